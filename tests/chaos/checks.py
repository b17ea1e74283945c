"""What must hold in spite of everything."""

import json
import signal
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_stream.shared.streams.shard import Streams
from tests.chaos.faults import GARBAGE_CAMERA, LETTERS
from tests.chaos.plant import SINKS, Plant


@dataclass(slots=True)
class Verdict:
    """What a run came to. `wrong` is empty when all held."""

    wrong: list[str] = field(default_factory=list)
    frames: int = 0
    lost: int = 0
    repeated: int = 0
    innocent: int = 0
    letters: int = 0

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


@dataclass(frozen=True, slots=True)
class Line:
    camera: str
    epoch: str
    seq: int
    status: str
    error: str | None
    captured_at: str = ""
    latency_ms: float = 0.0
    right: bool = True
    landmarks: frozenset[bool] = frozenset()
    """Whether its faces have landmarks, if it has any."""


class Tail:
    """Reads a file of results as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def read(self) -> list[Line]:
        """The lines that have come since the last call, as far as they are whole."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._at += len(text)
        return _parse(text)


def lines(path: Path) -> list[Line]:
    """The lines of results, as far as they are whole."""
    return Tail(path).read()


def _parse(text: bytes) -> list[Line]:
    found = []
    for line in text.splitlines():
        r: dict[str, Any] = json.loads(line)
        faces = r["faces"]
        right = all(f["box"][0] == r["seq"] % 10_000 and f["emotion"] == "yes" for f in faces)
        found.append(
            Line(
                r["camera"],
                r["epoch"],
                r["seq"],
                r["status"],
                r["error"],
                r["captured_at"],
                r["latency_ms"],
                right,
                frozenset(f["landmarks"] is not None for f in faces),
            )
        )
    return found


def tables(path: Path) -> list[Line]:
    """The rows of the database, in the order in which they were written."""
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT camera, epoch, seq, status, error FROM frames ORDER BY id").fetchall()
    return [Line(*row) for row in rows]


def results(plant: Plant) -> Mapping[str, list[Line]]:
    """What each sink has shown."""
    return {
        "lines": lines(plant.directory / "results.jsonl"),
        "tables": tables(plant.directory / "results.sqlite"),
    }


def check_order(
    verdict: Verdict,
    plant: Plant,
    epoch: str,
    counts: Mapping[str, int],
    poisons: Mapping[str, Mapping[int, str]],
    *,
    marked: bool,
) -> None:
    """Every frame exactly one line in every sink, in order; only poison is an error, or what shared a worker's
    repeated deaths with it. `marked`: the results say which frame they belong to."""
    letters = dead(plant.streams)
    for sink, shown in results(plant).items():
        mine: dict[str, list[Line]] = defaultdict(list)
        for line in shown:
            if line.epoch == epoch:
                mine[line.camera].append(line)
        verdict.expect(set(mine) == set(counts), f"{sink}: cameras {sorted(mine)}")
        for camera, count in counts.items():
            seqs = [line.seq for line in mine[camera]]
            verdict.frames += len(set(seqs))
            verdict.lost += count - len(set(seqs))
            verdict.repeated += len(seqs) - len(set(seqs))
            verdict.expect(seqs == list(range(count)), f"{sink}, {camera}: {_difference(seqs, count)}")
            for line in mine[camera]:
                _check_line(verdict, line, poisons[camera].get(line.seq, ""), letters, marked)


def check_faces(verdict: Verdict, shown: Path, detectors: Set[str]) -> None:
    """Faces came through from each of these detectors: YuNet's have landmarks, Haar's have none."""
    seen = {"yunet" if has else "haar" for line in lines(shown) for has in line.landmarks}
    verdict.expect(seen == detectors, f"faces of {sorted(seen)}, not of {sorted(detectors)}")


def _difference(seqs: Sequence[int], count: int) -> str:
    missing = sorted(set(range(count)) - set(seqs))
    repeated = sorted({s for s in seqs if seqs.count(s) > 1}) if len(seqs) != len(set(seqs)) else []
    return f"missing {missing[:10]}, repeated {repeated[:10]}, in order: {list(seqs) == sorted(seqs)}"


def _check_line(
    verdict: Verdict, line: Line, poison: str, letters: Mapping[tuple[str, str, int], str], marked: bool
) -> None:
    where = f"{line.camera} {line.seq}"
    if poison:
        verdict.expect(line.status == "error", f"{where} is {poison} and came out as {line.status}")
        verdict.expect(bool(line.error), f"{where}: no reason")
        if poison != "broken":
            reason = letters.get((line.camera, line.epoch, line.seq), "")
            verdict.expect(bool(reason), f"{where} is {poison} and not among the dead letters")
    elif line.status == "error":
        # It was in the hands of workers that were killed, as often as makes a message suspicious.
        verdict.innocent += 1
        verdict.expect("gave up after" in (line.error or ""), f"{where}: {line.error}")
        verdict.expect((line.camera, line.epoch, line.seq) in letters, f"{where} failed without a dead letter")
    else:
        verdict.expect(line.status == "ok", f"{where} is {line.status}")
        verdict.expect(line.right or not marked, f"{where} shows the result of another frame")


def check_set_aside(verdict: Verdict, streams: Streams, faults: Mapping[str, int]) -> None:
    """All garbage and poison that was put into the streams is among the dead letters, each with its reason."""
    from emotion_stream.emotion.commands.dead import Letter

    letters = [Letter.of(entry) for entry in streams.dead_letters() if b"group" in entry.fields]
    found = {
        "garbage into every stream": sum(
            x.info is None and x.reason.startswith("not a message: ") for x in letters
        ),
        "poison messages": sum(
            x.info is not None and x.info.camera == GARBAGE_CAMERA and bool(x.reason) for x in letters
        ),
    }
    for name, count in found.items():
        expected = LETTERS[name] * faults.get(name, 0)
        verdict.expect(count >= expected, f"{name}: {count} dead letters, not {expected}")


def check_increasing(verdict: Verdict, shown: Sequence[Line]) -> None:
    """Live results: each frame at most once, in order per camera and epoch."""
    last: dict[tuple[str, str], int] = {}
    for line in shown:
        before = last.get((line.camera, line.epoch), -1)
        verdict.repeated += line.seq == before
        verdict.expect(line.seq > before, f"{line.camera}: {line.seq} after {before}")
        last[line.camera, line.epoch] = line.seq
    verdict.frames = len(shown)


def dead(streams: Streams) -> dict[tuple[str, str, int], str]:
    """Dead letters with a place, by camera, epoch and seq: their reasons."""
    from emotion_stream.emotion.commands.dead import Letter

    found = {}
    for entry in streams.dead_letters():
        letter = Letter.of(entry)
        if letter.info is not None and letter.info.camera != GARBAGE_CAMERA:
            found[letter.info.camera, letter.info.epoch, letter.info.seq] = letter.reason
    return found


def check_ends(verdict: Verdict, codes: Mapping[str, int | None]) -> None:
    """Every process ended by itself when it was told to. SIGTERM also ends one that is only starting."""
    for name, code in codes.items():
        verdict.expect(code in (0, -signal.SIGTERM), f"{name} ended with {code} when it was told to stop")


def check_drained(verdict: Verdict, plant: Plant) -> None:
    """Nothing is left pending or waiting, and the streams are short."""
    streams, keys = plant.streams, plant.streams.keys
    groups = [(keys.frames, "detector"), (keys.faces, "classifier"), *((keys.emotions, s) for s in SINKS)]
    for stream, group in groups:
        pending = streams.client.xpending(stream, group)["pending"]
        verdict.expect(pending == 0, f"{group}: {pending} entries pending")
        lag = streams.lag(stream, group)
        verdict.expect(not lag.entries, f"{group}: {lag.entries} entries not read")
    verdict.letters = streams.length(keys.dead)
    for entry in streams.dead_letters():
        if b"group" in entry.fields:
            verdict.expect(bool(entry.fields.get(b"reason")), f"dead letter {entry.id} without a reason")
