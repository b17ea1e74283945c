"""Outputs whose results are kept in order, with a clock and a disk of the test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.events.event import Moment
from emotion_stream.sink.results.output import Output
from emotion_stream.sink.retention.keeper import Keeper
from emotion_stream.sink.retention.rules import DAY, Rules
from emotion_stream.sink.retention.store import Held
from tests.support.events import make_event
from tests.support.web_feed import make_result, noise

TARGETS = {
    "jsonl": "r.jsonl", "csv": "r.csv", "sqlite": "r.db", "video": "v.mp4", "images": "shots", "faces": "faces",
    "events": "e.jsonl",
}  # fmt: skip
MORNING = 1_795_910_400.0
"""2026-11-29 00:00 UTC."""
PICTURES = [noise(n, 128, 96) for n in range(8)]


@dataclass
class Shop:
    """Writes frames of cameras, and knows what time it is and how full the disk is."""

    folder: Path
    rules: Rules
    kinds: tuple[str, ...] = tuple(TARGETS)
    now: float = MORNING
    free: int = 1 << 40
    seq: int = 0
    outputs: list[Output] = field(default_factory=list)

    def path(self, kind: str) -> Path:
        return self.folder / TARGETS[kind]

    def open(self) -> None:
        specs = [f"{kind}={self.path(kind)}" for kind in self.kinds]
        self.outputs = open_outputs(specs, many=True, kept=self.rules, clock=lambda: self.now, disk=self.disk)

    def disk(self, folder: Path) -> tuple[int, int]:
        return self.free, 1 << 40

    def close(self) -> None:
        for output in reversed(self.outputs):
            output.close()
        self.outputs = []

    @property
    def keeper(self) -> Keeper:
        return next(output for output in self.outputs if isinstance(output, Keeper))

    def held(self, kind: str) -> Held:
        return next(o for o in self.outputs if isinstance(o, Held) and o.store.kind == kind)

    def write(self, *cameras: str, seq: int | None = None, **changes: Any) -> None:
        """A frame of these cameras, captured now, and an event of each."""
        seq = self.seq if seq is None else seq
        self.seq = max(self.seq, seq + 1)
        for camera in cameras:
            about = {"captured_at": self.now, "media_time": seq / 25, "width": 128, "height": 96, **changes}
            result = make_result(seq, camera, **about)
            face = replace(result.faces[0], track=seq, box=replace(result.faces[0].box, x=4, y=4, width=60))
            event = replace(make_event(seq, camera), told_at=self.now, at=Moment("e", seq, 0.0, self.now))
            for output in self.outputs:
                image = PICTURES[seq % len(PICTURES)] if output.needs_image else None
                output.write(replace(result, faces=(face,)), image)
                if isinstance(output, Held):
                    output.tell(event)

    def flush(self) -> None:
        for output in self.outputs:
            output.flush()

    def settle(self) -> None:
        """Look until nothing more has to go: a look takes a limited time, and this machine may be busy."""
        before = -1
        while (removed := self.keeper.kept().removed) != before:
            before = removed
            self.flush()

    def days(self, count: int, *cameras: str, frames: int = 4) -> None:
        """So many days with so many frames each."""
        for _ in range(count):
            begin = self.now
            for n in range(frames):
                self.now = begin + n * DAY / frames
                self.write(*cameras)
                self.flush()
            self.now = begin + DAY

    def names(self) -> set[str]:
        """All files there are, below the folder; of pictures only the folders."""
        found = [p for p in self.folder.rglob("*") if p.is_file()]
        pictures = {str(p.parent.relative_to(self.folder)) for p in found if p.suffix == ".jpg"}
        return pictures | {str(p.relative_to(self.folder)) for p in found if p.suffix != ".jpg"}


@contextmanager
def shop(folder: Path, rules: Rules, *kinds: str, **about: Any) -> Iterator[Shop]:
    """Outputs of these kinds, or of all, that are closed at the end."""
    this = Shop(folder, rules, kinds or tuple(TARGETS), **about)
    this.open()
    try:
        yield this
    finally:
        this.close()
