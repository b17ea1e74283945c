"""`python -m tests.year`: a year of results on a small disk, in minutes.

Three cameras write all outputs for YEAR_DAYS days (default 400) of YEAR_FRAMES frames each (default 96 a camera)
onto a file system of 200 MB in memory. The clock is a number that goes on with each frame. What happens:

- quiet times, in which only `--keep` makes results go;
- busy ones, which need more room than `--keep-size` gives;
- somebody else who fills the disk, up to the last byte, and leaves again;
- sinks that are killed in the middle of a day, and told the last frames again by their successors.

After each write the disk is asked whether the bound holds. Every few days all that is left is opened, and it is
looked up that nothing is missing that should be there. YEAR_JSON is a file for the figures.
"""

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import av
import cv2

from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.events.event import Listener, Moment
from emotion_stream.sink.outputs import images
from emotion_stream.sink.outputs.faces import paths as face_paths
from emotion_stream.sink.results.kept import Kept
from emotion_stream.sink.results.monitor import Keeping
from emotion_stream.sink.results.output import Output
from emotion_stream.sink.retention.rules import DAY, Rules
from emotion_stream.sink.retention.store import Held
from tests.sink.retention.disks import mounting
from tests.support.events import make_event
from tests.support.web_feed import make_result, noise

CAMERAS = ("hall", "door", "yard-2")
DISK = "200m"
RULES = Rules(keep=7 * DAY, size=100 << 20, free=20 << 20)
OUTPUTS = {
    "jsonl": "results.jsonl", "csv": "table.csv", "sqlite": "results.db", "video": "clip.mp4", "images": "shots",
    "faces": "faces", "events": "events.jsonl",
}  # fmt: skip
FOREIGN = {
    "results-hall-2020-01-01.jsonl": b"remember the milk\n",
    "clip-hall-2020-01-01.mp4": b"no film",
    "table-door-2020-01-01.002.csv": b"a,b\n1,2\n",
    "shots/2020-01-01/hall/00000001.jpg": b"\xff\xd8\xff\xe0 no picture of ours",
    "shots/2020-01-01/hall/notes.txt": b"notes",
    "notes.txt": b"more notes",
}
"""Somebody's files, some of which are called as ours are: they stay."""
FIRST_DAY = (int(time.time()) // DAY + 1) * DAY
"""Tomorrow: files are never changed after the day that they are of, as far as this clock tells."""
BATCH = 16
LOST_AT_DEATH = 40
"""Frames of a live video that a killed sink takes with it: its newest second or so, and what it was told again."""
MOST_GROWTH = 8.0
"""MiB by which the process may grow from the first to the last third of the days after the first quarter."""
LONG = 100
"""Days after which libraries have all the memory that they want."""
PAGE = os.sysconf("SC_PAGE_SIZE")


def disk(folder: Path) -> tuple[int, int]:
    """Bytes that are taken, and that are free."""
    told = os.statvfs(folder)
    return (told.f_blocks - told.f_bfree) * told.f_frsize, told.f_bavail * told.f_frsize


def resident() -> float:
    """MiB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


@dataclass
class Year:
    """The simulation. `sent` is what must be there: by output and camera, the times of frames by their number."""

    folder: Path
    frames: int
    now: float = FIRST_DAY
    seq: int = 0
    outputs: list[Output] = field(default_factory=list)
    sent: dict[tuple[str, str], dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    pictures: list[Any] = field(default_factory=lambda: [noise(n, 128, 96) for n in range(32)])
    stranger: int = 0
    pressed_until: float = 0.0
    full_until: float = 0.0
    figures: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    wrong: list[str] = field(default_factory=list)

    # --- the sink ----------------------------------------------------------------------------------------

    def open(self) -> None:
        specs = [f"{kind}={self.folder / name}" for kind, name in OUTPUTS.items()]
        self.outputs = open_outputs(specs, many=True, kept=RULES, clock=lambda: self.now)

    def close(self) -> None:
        for output in reversed(self.outputs):
            output.close()
        self.outputs = []

    @property
    def kept(self) -> Kept:
        return next(output.kept() for output in self.outputs if isinstance(output, Keeping))

    @property
    def held(self) -> list[Held]:
        return [output for output in self.outputs if isinstance(output, Held)]

    def write(self, seq: int, at: float, size: int) -> None:
        """One frame of each camera, onto all outputs, as the sink's loop does."""
        for n, camera in enumerate(CAMERAS):
            image = self.pictures[(seq + n) % len(self.pictures)]
            image = cv2.resize(image, None, fx=size, fy=size) if size > 1 else image
            about: dict[str, Any] = {
                "captured_at": at,
                "media_time": (seq % 86_400) / 25,
                "width": 128,
                "height": 96,
            }
            result = make_result(seq, camera, **about)
            face = replace(
                result.faces[0], track=seq, box=replace(result.faces[0].box, x=4, y=4, width=60, height=60)
            )
            result = replace(result, faces=(face,))
            event = replace(make_event(seq, camera), told_at=at, at=Moment("e", seq, 0.0, at))
            for output in self.outputs:
                if isinstance(output, Held) and not output.paused:
                    self.sent[output.store.kind, camera][seq] = at
                output.write(result, image if output.needs_image else None)
                if isinstance(output, Listener):
                    output.tell(event)
            self.check_bound()

    def flush(self) -> None:
        for output in self.outputs:
            output.flush()
            self.check_bound()

    def day(self, load: int, size: int) -> None:
        """A day with `load` times as many frames, `size` times as wide and high."""
        count = self.frames * load
        begin = self.now
        for n in range(count):
            self.now = begin + n * DAY / count
            self.write(self.seq, self.now, size)
            self.seq += 1
            if n % BATCH == BATCH - 1:
                self.flush()
        self.flush()
        self.now = begin + DAY

    def die(self) -> None:
        """A sink is killed after a third of a day, and its successor is told its last frames again."""
        self.close()
        count, begin, first = self.frames // 3, self.now, self.seq
        child = os.fork()
        if not child:
            try:
                self.open()
                for n in range(count):
                    self.now = begin + n * 600
                    self.write(first + n, self.now, 1)
                    if n % BATCH == 0:
                        self.flush()
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        self.open()
        told_again = max(0, count - 2 * BATCH)
        for n in range(count):
            for kind in OUTPUTS:
                for camera in CAMERAS:
                    if kind != "video" or n < count - LOST_AT_DEATH:
                        self.sent[kind, camera][first + n] = begin + n * 600
        for n in range(told_again, count):
            self.write(first + n, begin + n * 600, 1)
        self.flush()
        self.seq, self.now = first + count, begin + count * 600
        for camera in CAMERAS:
            for n in range(max(0, count - LOST_AT_DEATH), count):
                self.sent["video", camera].pop(first + n, None)

    # --- somebody else -----------------------------------------------------------------------------------

    def fill(self, leave: int) -> None:
        """Somebody else fills the disk but for so many bytes."""
        with (self.folder / "stranger.bin").open("ab") as file:
            while (lacking := disk(self.folder)[1] - leave) > 0:
                file.write(b"\1" * min(lacking, 1 << 20))
                file.flush()
        self.stranger = (self.folder / "stranger.bin").stat().st_size

    def leave(self) -> None:
        (self.folder / "stranger.bin").unlink()
        self.stranger = 0

    # --- what must hold ----------------------------------------------------------------------------------

    def say(self, what: str) -> None:
        if len(self.wrong) < 20:
            self.wrong.append(f"day {(self.now - FIRST_DAY) / DAY:.1f}: {what}")

    def check_bound(self) -> None:
        used, free = disk(self.folder)
        mine = used - self.stranger
        self.figures["looks"] += 1
        self.figures["most used"] = max(self.figures["most used"], mine)
        assert RULES.size is not None
        if mine > RULES.size:
            self.say(f"{mine} bytes are taken")
        if free < RULES.free and not self.stranger:
            self.say(f"only {free} bytes are free")

    def check_kept(self) -> None:
        """What is there can be read; what should be there is."""
        there: dict[tuple[str, str], set[int]] = defaultdict(set)
        for kind, read in READERS.items():
            for camera, seq in read(self.folder / OUTPUTS[kind]):
                if seq in there[kind, camera] and kind not in ("video", "faces"):
                    self.say(f"{kind}: frame {seq} of {camera} is there twice")
                there[kind, camera].add(seq)
        newest_gone, oldest_there = 0.0, self.now
        for (kind, camera), sent in self.sent.items():
            if kind == "faces":
                continue
            until = self.seq - (LOST_AT_DEATH if kind == "video" else 0)  # what is not on the disk yet
            lost = {seq for seq in sent if seq not in there[kind, camera] and seq < until}
            young = {seq for seq in lost if sent[seq] > self.now - (RULES.keep or 0)}
            if young and self.now > self.pressed_until:
                self.say(f"{kind}: {len(young)} young frames of {camera} are missing, as {min(young)}")
            times = [sent[seq] for seq in there[kind, camera] if seq in sent]
            if lost and times and self.now > self.full_until:  # on a full disk the newest are left out
                gone = max(sent[seq] for seq in lost)
                if gone > min(times) + DAY:
                    self.say(f"{kind}: a frame of {camera} went before an older one")
                newest_gone, oldest_there = max(newest_gone, gone), min(oldest_there, *times)
            for seq in lost:
                del sent[seq]
        if newest_gone > oldest_there + 2 * DAY:
            self.say(f"outputs differ by {(newest_gone - oldest_there) / DAY:.1f} days")
        old = self.now - (RULES.keep or 0) - 2 * DAY
        if oldest_there < old:
            self.say(f"results of {(self.now - oldest_there) / DAY:.1f} days ago are still there")


def _lines(target: Path) -> Iterator[tuple[str, int]]:
    for path in _files(target):
        for line in path.read_bytes().splitlines():
            told = json.loads(line)
            yield told["camera"], told["seq"]


def _files(target: Path) -> list[Path]:
    """What rolled over of a file, without what somebody else has put there."""
    found = target.parent.glob(f"{target.stem}-*{target.suffix}")
    return [path for path in found if path.name not in FOREIGN]


def _table(target: Path) -> Iterator[tuple[str, int]]:
    for path in _files(target):
        with path.open() as file:
            for row in csv.DictReader(file):
                yield row["camera"], int(row["seq"])


def _rows(target: Path) -> Iterator[tuple[str, int]]:
    with closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as db:
        alone = db.execute("SELECT count(*) FROM faces WHERE frame_id NOT IN (SELECT id FROM frames)").fetchone()
        assert alone == (0,)
        yield from db.execute("SELECT camera, seq FROM frames JOIN faces ON frame_id = frames.id")


def _clips(target: Path) -> Iterator[tuple[str, int]]:
    for path in _files(target):
        match = re.fullmatch(rf"{target.stem}-(.+)-[0-9-]{{10}}(\.[0-9]+)?", path.stem)
        assert match is not None, path
        if not path.stat().st_size:
            continue
        with av.open(str(path)) as container:
            first = int(container.metadata["comment"].split(" ")[2])
            for n, _ in enumerate(packet for packet in container.demux(video=0) if packet.size):
                yield match[1], first + n


def _pictures(target: Path) -> Iterator[tuple[str, int]]:
    for path in target.glob("*/*/*.jpg"):
        if (comment := images.comment(path)) is not None:
            yield path.parent.name, int(comment.split()[1])


def _faces(target: Path) -> Iterator[tuple[str, int]]:
    for day in target.iterdir():
        for sample, path in face_paths(day).items():
            assert cv2.imread(str(path)) is not None
            yield sample.camera, sample.seq


READERS: dict[str, Callable[[Path], Iterator[tuple[str, int]]]] = {
    "jsonl": _lines, "csv": _table, "sqlite": _rows, "video": _clips, "images": _pictures, "faces": _faces,
    "events": _lines,
}  # fmt: skip


def live_through(year: Year, days: int) -> list[float]:
    """Let the days pass; returns MiB of this process after each."""
    for name, data in FOREIGN.items():
        path = year.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    memory = []
    year.open()
    for day in range(days):
        share = day / days
        busy = 0.4 <= share < 0.5
        if busy:
            year.pressed_until = year.now + 9 * DAY
        if 0.65 <= share < 0.75:
            year.fill(leave=(12 << 20) if share < 0.7 else 0)
            year.pressed_until = year.now + 9 * DAY
            year.full_until = year.now + 2 * DAY
        elif year.stranger:
            year.leave()
        if day % 29 == 5 and not year.stranger and not busy:
            year.die()
        elif day % 13 == 7:
            year.close()
            year.open()
        year.day(2 if busy else 1, 2 if busy else 1)
        if day % 4 == 3 or day == days - 1:
            year.check_kept()
        kept = year.kept
        year.figures["paused days"] += bool(kept.paused)
        year.figures["left out"] = max(year.figures["left out"], sum(dict(kept.left_out).values()))
        if kept.paused and not year.stranger:
            year.say(f"{', '.join(kept.paused)} still paused")
        memory.append(resident())
    year.close()
    year.check_kept()
    for name, data in FOREIGN.items():
        if not (year.folder / name).is_file() or (year.folder / name).read_bytes() != data:
            year.say(f"{name} has gone")
    return memory


def judge(year: Year, memory: list[float]) -> None:
    """Whether memory stayed where it was, and whether all that should have happened did."""
    settled = memory[len(memory) // 4 :]
    third = max(1, len(settled) // 3)
    year.figures["MiB"] = round(memory[-1], 1)
    year.figures["MiB grown"] = round(sum(settled[-third:]) / third - sum(settled[:third]) / third, 2)
    if len(memory) >= LONG and year.figures["MiB grown"] > MOST_GROWTH:
        year.say(f"the process has grown by {year.figures['MiB grown']} MiB")
    if not year.figures["paused days"] or not year.figures["left out"]:
        year.say("no output ever found its disk full")


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 if all held."""
    days, frames = int(os.environ.get("YEAR_DAYS") or 400), int(os.environ.get("YEAR_FRAMES") or 96)
    if not arguments:
        with tempfile.TemporaryDirectory(prefix="year-") as folder:
            command = mounting(Path(folder), DISK, sys.executable, "-m", "tests.year", folder)
            return subprocess.run(command, check=False).returncode
    cv2.setNumThreads(1)
    year = Year(Path(arguments[0]), frames)
    memory = live_through(year, days)
    judge(year, memory)
    print(f"{days} days, {len(CAMERAS)} cameras with {frames} frames a day each, {len(OUTPUTS)} outputs")
    for name, value in sorted(year.figures.items()):
        print(f"  {name:<14} {value:g}")
    for what in year.wrong:
        print(f"WRONG: {what}")
    if path := os.environ.get("YEAR_JSON"):
        Path(path).write_text(
            json.dumps({"figures": year.figures, "memory": memory, "wrong": year.wrong}, indent=2) + "\n"
        )
    return int(bool(year.wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
