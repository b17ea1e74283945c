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
        left: camera to (epoch, frames appended), for cameras that their producer has let go for good.
        work: "producer" to the frames appended in all epochs, a consumer group to the messages it has finished.
    """

    appended: Mapping[str, tuple[str, int]]
    ended: Mapping[str, tuple[str, int]]
    sinks: tuple[str, ...]
    shown: Mapping[tuple[str, str, str], int]
    stats: Mapping[str, bytes]
    work: Mapping[str, int]
    signals: Mapping[str, Signal] = field(default_factory=dict)
    left: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @staticmethod
    def parse(table: Mapping[bytes, bytes], summaries: Mapping[bytes, bytes] | None = None) -> "Progress":
        """What the hash `progress` holds. Entries that cannot be read are left out."""
        appended, ended, left, shown, work = {}, {}, {}, {}, {}
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
                    elif kind == "left":
                        left[rest] = (epoch, int(count))
                    elif kind == "done":
                        sink, _, camera = rest.partition("|")
                        shown[sink, camera, epoch] = int(count)
            except ValueError:
                continue  # not ours: whoever may write to the server may write anything
        return Progress(appended, ended, tuple(sorted(sinks)), shown, stats, work, signals, left)

    def all_shown(self, cameras: Collection[str], *, ended: bool) -> bool:
        """Whether every registered sink has shown all frames of `cameras`: those of the whole source where it
        must have `ended`, else those appended so far."""
        counts = self.ended if ended else self.appended
        if not self.sinks or (ended and not set(cameras) <= set(counts)):
            return False
        return self._have_shown({camera: counts[camera] for camera in cameras if camera in counts})

    def left_shown(self) -> bool:
        """Whether every registered sink has shown all frames of the cameras that were let go."""
        return self._have_shown(self.left)

    def _have_shown(self, counts: Mapping[str, tuple[str, int]]) -> bool:
        return all(
            self.shown.get((sink, camera, epoch), 0) >= count
            for camera, (epoch, count) in counts.items()
            for sink in self.sinks
        )
