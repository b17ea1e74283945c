"""Measure what tracks and smoothing do on real clips: identity switches, false faces, flicker, delay.

Usage: python benchmarks/video/tracks.py [DATA]

DATA holds `video/`: `fer_test.mp4` (one face), `pyfeat_no_face.mp4` (none), a GIF in which two people walk by; and
`faces/`, photographs of groups, over which a camera pans (`benchmarks/video/pans.py`). The
sample that comes along is measured, too: where its four portraits are is known. Detector and classifier run once
over each clip. "raw" is what they say frame by frame, with ids by overlap from one frame to the next; "kept" is
what the sink makes of it with its default settings.

- ids: numbers that the clip's people were given; switches: how often one of them got another number than before.
- false: faces that are none of these people, each number once; per minute, those that were confirmed.
  In pans over groups, people nearer or farther than most are counted here, too.
- changes: how often the label of a confirmed track changes, per second.
- delay: real stretches in which one raw label prevails are put one behind the other: from the first raw label that
  is new to the first kept one.
"""

import itertools
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from emotion_stream.benchmarks.harness.script import DATA, data_folder, script
from emotion_stream.benchmarks.video.pans import pan
from emotion_stream.emotion.analyzer import Analyzer
from emotion_stream.samples.making.make_sample import on_stage
from emotion_stream.shared.messages.types import Box, Emotions, FrameInfo, Prediction
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions
from emotion_stream.sink.results.output import Face
from emotion_stream.sink.tracking.follow import Follower, following
from emotion_stream.sink.tracking.tracks import MIN_OVERLAP, iou

LONG = 0.6
"""Seconds that a stretch lasts in which one raw label prevails ..."""
PREVAILS = 0.85
"""... in at least this share of its frames."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One face in one frame: its person (None: nobody), its numbers, and both labels."""

    time: float
    who: int | None
    raw_id: int
    face: Face


def read(analyzer: Analyzer, source: str) -> list[Emotions]:
    """What detector and classifier say of every frame of a clip."""
    frames = []
    for found in analyzer.analyze_source(source):
        info = FrameInfo("clip", source, "", found.index, 0.0, found.time, found.width, found.height, "lossless")
        faces = tuple(Prediction(f.box, 1.0, tuple(f.probabilities.values())) for f in found.faces)
        labels = tuple(found.faces[0].probabilities) if found.faces else ()
        frames.append(Emotions(info, "", labels, faces))
    return frames


def follower() -> Follower:
    """As the sink has it by default."""
    options = SinkOptions()
    return Follower(following(options.confirm, options.smoothing, ShowOptions().uncertain))


def watch(frames: Sequence[Emotions]) -> list[Seen]:
    """Every face of a clip, with its numbers by both ways, and the person it belongs to."""
    kept, people = follower(), persons(frames)
    before: list[tuple[Box, int]] = []
    numbers = itertools.count(1)
    seen = []
    for frame, whose in zip(frames, people, strict=True):
        free, now = list(before), []
        for face, who in zip(kept.follow(frame)[0], whose, strict=True):
            best = max(free, key=lambda old: iou(face.box, old[0]), default=None)
            if best is None or iou(face.box, best[0]) < MIN_OVERLAP:
                number = next(numbers)
            else:
                free.remove(best)
                number = best[1]
            now.append((face.box, number))
            seen.append(Seen(frame.info.media_time, who, number, face))
        before = now
    return seen


def persons(frames: Sequence[Emotions]) -> list[list[int | None]]:
    """Whose each box is. The sample's are known; else those about as large as most belong to people, by place:
    in the clips used here nobody takes another's half of the picture."""
    sides = [f.box.width for frame in frames for f in frame.faces]
    usual = median(sides) if sides else 0
    found = []
    for frame in frames:
        if Path(frame.info.source).name == "sample":
            found.append([_actor(f.box, frame.info.media_time) for f in frame.faces])
        else:
            found.append([0 if 0.6 * usual < f.box.width < 1.6 * usual else None for f in frame.faces])
    return found


def _actor(box: Box, time: float) -> int | None:
    """Who of the sample is nearest to a box, and near enough."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    near = [(abs(x - at.x) + abs(y - at.y), at.height, who) for who, _, at in on_stage(time)]
    distance, height, who = min(near, default=(1e9, 0.0, -1))
    return who if distance < height / 2 else None


def switches(ids: Sequence[tuple[int, int]]) -> int:
    """How often a person, of (person, number) in the order of time, gets another number. Pure."""
    last: dict[int, int] = {}
    count = 0
    for who, number in ids:
        count += last.get(who, number) != number
        last[who] = number
    return count


def tracks(seen: Sequence[Seen]) -> list[list[Seen]]:
    """The confirmed faces of people, by track."""
    found: dict[int, list[Seen]] = {}
    for s in seen:
        if s.face.confirmed and s.who is not None:
            found.setdefault(s.face.track, []).append(s)
    return list(found.values())


def raw_label(face: Face | Prediction) -> int:
    """The likeliest label of one frame alone."""
    shares = face.raw if isinstance(face, Face) else face.probabilities
    return max(range(len(shares)), key=shares.__getitem__)


def changes(labels: Sequence[int]) -> int:
    """How often a label differs from the one before it."""
    return sum(a != b for a, b in itertools.pairwise(labels))


def row(name: str, frames: Sequence[Emotions], seen: Sequence[Seen], *, one: bool) -> str:
    """One line of the table; `one`: whether people can be told apart (one person, or a known clip)."""
    people = [s for s in seen if s.who is not None]
    raw = [(s.who, s.raw_id) for s in people if s.who is not None]
    kept = [(s.who, s.face.track) for s in people if s.who is not None]
    nobody = [s for s in seen if s.who is None]
    false = len({s.raw_id for s in nobody}), len({s.face.track for s in nobody if s.face.confirmed})
    minutes = (frames[-1].info.media_time - frames[0].info.media_time) / 60
    lives = tracks(seen)
    seconds = sum(life[-1].time - life[0].time for life in lives)
    before = sum(changes([raw_label(s.face) for s in life]) for life in lives) / max(seconds, 1e-9)
    after = sum(changes([s.face.label for s in life]) for life in lives) / max(seconds, 1e-9)
    told = f"{switches(raw):3} -> {switches(kept)}" if one else "  -"
    return (
        f"{name:32} {len(frames):6} {len({i for _, i in raw}):5} -> {len({i for _, i in kept}):<3} {told:>11}"
        f" {false[0]:5} -> {false[1]} ({false[1] / minutes:.1f}/min) {before:8.2f} -> {after:.2f}"
    )


def stretches(lives: Sequence[Sequence[Seen]]) -> list[tuple[int, list[Seen]]]:
    """The purest stretch of each raw label that prevails, in each track."""
    best: dict[tuple[int, int], tuple[float, list[Seen]]] = {}
    for n, life in enumerate(lives):
        for start, first in enumerate(life):
            part = [s for s in life[start:] if s.time - first.time <= LONG]
            label, count = Counter(raw_label(s.face) for s in part).most_common(1)[0]
            share = count / len(part)
            whole = life[-1].time - first.time >= LONG and raw_label(first.face) == label
            if whole and share >= PREVAILS and share > best.get((n, label), (0.0, []))[0]:
                best[n, label] = share, part
    return [(label, part) for (_, label), (_, part) in best.items()]


def delay(first: Sequence[Seen], then: Sequence[Seen], label: int) -> float | None:
    """Seconds from the first raw `label` behind the seam to the first kept one; None: never."""
    kept, box = follower(), Box(100, 100, 100, 100)
    seam = LONG + 0.04
    line = [(s.time - first[0].time, s.face) for s in first] + [
        (seam + s.time - then[0].time, s.face) for s in then
    ]
    raw = None
    for n, (time, face) in enumerate(line):
        info = FrameInfo("clip", "", "", n, 0.0, time, 640, 360, "lossless")
        message = Emotions(info, "", tuple("0123456"), (Prediction(box, 1.0, face.raw),))
        ((now,), *_) = kept.follow(message)
        if time >= seam and raw is None and raw_label(face) == label:
            raw = time
        if raw is not None and now.label == label:
            return time - raw
    return None


def main(data: Path) -> None:
    """Print the table and the delays."""
    clips = [*sorted((data / "video").glob("*.*")), Path("sample")] if data.is_dir() else [Path("sample")]
    print(f"{'clip':32} frames      ids        switches       false              changes/s   (raw -> kept)")
    parts: list[tuple[int, list[Seen]]] = []
    with Analyzer() as analyzer:
        for clip in clips:
            frames = read(analyzer, str(clip))
            seen = watch(frames)
            print(row(clip.stem, frames, seen, one=clip.suffix != ".gif"), flush=True)
            parts += stretches(tracks(seen))
        for n, photo in enumerate(sorted((data / "faces").glob("2*.jpg"))):
            with tempfile.TemporaryDirectory() as folder:
                frames = read(analyzer, str(pan(photo, Path(folder) / "pan.mp4", seed=n)))
            print(row(f"pan over {photo.stem}", frames, watch(frames), one=False), flush=True)
    pairs = [(a, b) for a, b in itertools.permutations(parts, 2) if a[0] != b[0]]
    found = [delay(a, b, label) for (_, a), (label, b) in pairs]
    added = [seconds for seconds in found if seconds is not None]
    if added:
        print(
            f"{len(pairs)} changes between {len(parts)} stretches: label {mean(added):.2f} s later on average,"
            f" {max(added):.2f} s at the most; {len(found) - len(added)} not followed within {LONG} s"
        )


if __name__ == "__main__":
    with script("video.tracks", __doc__) as parser:
        parser.add_argument("data", nargs="?", type=data_folder, default=DATA, metavar="DATA")
        main(parser.parse_args().data)
