"""What producers and sinks tell of their progress in the hash `progress`, read. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from emotion_stream.shared.messages.signal import Signal


@dataclass(frozen=True, slots=True)
class Progress:
    """What producers and sinks tell of their progress.

    Attributes:
        appended: camera to (epoch, frames appended).
        ended: camera to (epoch, frames in all), for sources that have ended.
        sinks: names of the registered sinks.
        shown: (sink, camera, epoch) to frames shown: all below this seq.
        stats: sink to its statistics.
        signals: camera to how it does.
        work: "producer" to the frames appended in all epochs, a consumer group to the messages it has finished.
    """

    appended: Mapping[str, tuple[str, int]]
    ended: Mapping[str, tuple[str, int]]
    sinks: tuple[str, ...]
    shown: Mapping[tuple[str, str, str], int]
    stats: Mapping[str, bytes]
    work: Mapping[str, int]
    signals: Mapping[str, Signal] = field(default_factory=dict)

    @staticmethod
    def parse(table: Mapping[bytes, bytes], summaries: Mapping[bytes, bytes] | None = None) -> "Progress":
        """What the hash `progress` holds. Entries that cannot be read are left out."""
        appended, ended, shown, work = {}, {}, {}, {}
        stats = {name.decode(errors="replace"): summary for name, summary in (summaries or {}).items()}
        sinks, signals = [], {}
        for raw, value in table.items():
            try:
                kind, _, rest = raw.decode().partition("|")
                if kind == "work":
                    work[rest] = int(value)
                elif kind == "signal":
                    signals[rest] = Signal.parse(value)
                elif kind == "sink":
                    sinks.append(rest)
                else:
                    epoch, _, count = value.decode().rpartition(" ")
                    if kind == "at":
                        appended[rest] = (epoch, int(count))
                    elif kind == "end":
                        ended[rest] = (epoch, int(count))
                    elif kind == "done":
                        sink, _, camera = rest.partition("|")
                        shown[sink, camera, epoch] = int(count)
            except ValueError:
                continue  # not ours: whoever may write to the server may write anything
        return Progress(appended, ended, tuple(sorted(sinks)), shown, stats, work, signals)

    def all_shown(self, cameras: Collection[str], *, ended: bool) -> bool:
        """Whether every registered sink has shown all frames of `cameras`: those of the whole source where it
        must have `ended`, else those appended so far."""
        counts = self.ended if ended else self.appended
        if not self.sinks or (ended and not set(cameras) <= set(counts)):
            return False
        return all(
            self.shown.get((sink, camera, counts[camera][0]), 0) >= counts[camera][1]
            for camera in cameras
            if camera in counts
            for sink in self.sinks
        )
