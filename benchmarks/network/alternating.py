"""Measure whether streams should look at a face and at its mirror image in turn, where smoothing joins the two.

Usage: python -m benchmarks.network.alternating FER2013 FERPLUS [TRACKS]

FER2013 and FERPLUS are what `emotion evaluate --data` and `--ferplus` take. A track is `SECONDS` long: a face of
PublicTest is pasted into a wider picture, drifts, nods, comes nearer and has noise, from frame to frame; half
way it becomes another one. The detector finds it, the default model labels it with the prior that it is served
with, and the sink's `Follower` makes labels of that, with its default settings. The same crops are labelled in
three ways: "one" view, as streams are; "turns": every other frame mirrored; "two": the mean of both in every
frame, at twice the cost.

- frames: share of frames with the right label, of all in which the face was found; raw of one frame, kept after
  smoothing.
- settled: share of right labels in the last frame of each half.
- changes: of the label, per second: raw and kept. Half way one is due.

The 95 % intervals of the differences come from resampling the tracks in pairs.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_stream.classifier_worker.classifier import make_backend
from emotion_stream.detector_worker.crop import crop_face
from emotion_stream.detector_worker.haar.cascade import FaceFinder
from emotion_stream.models.calibration import probabilities
from emotion_stream.models.data.fer2013 import Split, load_splits
from emotion_stream.models.evaluation.assess import truth
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.shared.messages.manifest import load_manifest
from emotion_stream.shared.messages.types import Box, Emotions, FrameInfo, Prediction
from emotion_stream.shared.settings.options import ClassifierOptions, DetectorOptions
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions
from emotion_stream.sink.tracking.follow import Follower, following

RATE = 15
SECONDS = 2
FACE, SCENE = 96, 192
"""Sides in pixels of a face and of the picture around it."""
WAYS = ("one", "turns", "two")

Pixels = NDArray[np.uint8]


class Seen(NamedTuple):
    """One face in one frame of a track."""

    track: int
    frame: int
    label: int
    box: Box
    crop: bytes


def drift(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """How a head moves: shift across and down in pixels, relative size, degrees; float64 [frames, 4]. Smooth, with
    a tremble on top."""
    times = np.arange(frames)[:, None] / RATE
    sway = np.sin(2 * np.pi * (times * rng.uniform(0.2, 0.8, 4) + rng.random(4)))
    return (sway + 0.25 * rng.normal(size=(frames, 4))) * (4.0, 4.0, 0.03, 3.0)


def pasted(face: Pixels, pose: NDArray[np.float64], rng: np.random.Generator) -> Pixels:
    """A frame: uint8 [SCENE, SCENE], the face in its middle but for the pose, its edge going on around it."""
    across, down, size, angle = pose
    middle, way = (len(face) - 1) / 2, (SCENE - len(face)) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), float(angle), FACE / len(face) * (1 + float(size)))
    turn = turn + np.array([[0, 0, way + across], [0, 0, way + down]])
    frame = cv2.warpAffine(face, turn, (SCENE, SCENE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray((frame + rng.normal(0, 3, (SCENE, SCENE))).round().clip(0, 255), np.uint8)


def film(faces: Split, labels: NDArray[np.int64], tracks: int) -> list[Seen]:
    """What the detector finds in each frame of each track."""
    rng, finder, manifest = np.random.default_rng(0), FaceFinder(DetectorOptions()), load_manifest()
    frames, seen = SECONDS * RATE, []
    order = rng.permutation(len(faces))
    for track in range(tracks):
        actors = order[2 * track : 2 * track + 2]
        for frame, pose in enumerate(drift(frames, rng)):
            actor = int(actors[int(frame >= frames // 2)])
            picture = pasted(faces.pixels[actor], pose, rng)
            found = [box for box, *_ in finder.find(picture)]
            if found:
                box = min(found, key=lambda b: abs(b.x + b.width / 2 - 96) + abs(b.y + b.height / 2 - 96))
                crop = crop_face(picture, box, manifest.size, manifest.margin)
                seen.append(Seen(track, frame, int(labels[actor]), box, crop))
    return seen


def kept_labels(seen: list[Seen], shares: NDArray[np.floating]) -> NDArray[np.int64]:
    """The sink's label of each face, [n]."""
    options = SinkOptions()
    rules = following(options.confirm, options.smoothing, ShowOptions().uncertain)
    kept, follower, track = [], Follower(rules), -1
    for face, row in zip(seen, shares.tolist(), strict=True):
        if face.track != track:
            track, follower = face.track, Follower(rules)
        time = face.frame / RATE
        info = FrameInfo("clip", "", "", face.frame, time, time, SCENE, SCENE, "lossless")
        (now,), *_ = follower.follow(
            Emotions(info, "", tuple("0123456"), (Prediction(face.box, 1.0, tuple(row)),))
        )
        kept.append(now.label)
    return np.array(kept)


def measured(seen: list[Seen], labels: NDArray[np.int64], tracks: int) -> NDArray[np.float64]:
    """Of each track the share of right frames, of right ends, and the changes a second: float64 [tracks, 3]."""
    owner = np.array([face.track for face in seen])
    truth_of = np.array([face.label for face in seen])
    found = np.full((tracks, 3), np.nan)
    for track in range(tracks):
        mine = np.flatnonzero(owner == track)
        if len(mine) < RATE:
            continue
        right = labels[mine] == truth_of[mine]
        half = np.array([seen[i].frame < SECONDS * RATE // 2 for i in mine])
        ends = [right[half][-1:], right[~half][-1:]]
        found[track] = right.mean(), np.concatenate(ends).mean(), (np.diff(labels[mine]) != 0).sum() / SECONDS
    return found


def difference(gains: NDArray[np.float64], unit: float) -> str:
    """Mean of the gains of tracks, with a 95 % interval."""
    chosen = np.random.default_rng(0).integers(0, len(gains), (1000, len(gains)))
    low, high = np.percentile(unit * gains[chosen].mean(axis=1), [2.5, 97.5])
    return f"{unit * gains.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def main(data: Path, ferplus: Path, tracks: int) -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    manifest = load_manifest()
    head = manifest.head(manifest.default_head)
    public = load_splits(data, ferplus, ["PublicTest"], ["PublicTest"])["PublicTest"]
    labels, clear = truth(public, head.name)
    chosen = np.flatnonzero(clear)
    seen = film(public.take(chosen), labels[chosen], min(tracks, len(chosen) // 2))
    size, count = manifest.size, max(face.track for face in seen) + 1
    crops = np.frombuffer(b"".join(face.crop for face in seen), np.uint8).reshape(-1, size, size)
    backend = make_backend(ClassifierOptions(threads=2), manifest, head.name)
    backend.open()
    plain, mirrored = (backend.logits(views).astype(np.float64) for views in (crops, crops[:, :, ::-1].copy()))
    backend.close()
    odd = np.array([face.frame % 2 == 1 for face in seen])[:, None]
    logits = {"one": plain, "turns": np.where(odd, mirrored, plain), "two": (plain + mirrored) / 2}
    print(
        f"{count} tracks of {SECONDS} s, a face found in {len(seen)} of {count * SECONDS * RATE} frames; model"
        f" {manifest.id}, head {head.name}, served prior\n"
    )
    figures: dict[tuple[str, str], NDArray[np.float64]] = {}
    for way in WAYS:
        shares = probabilities(logits[way], head.calibration())
        for stage, told in (("raw", shares.argmax(axis=1)), ("kept", kept_labels(seen, shares))):
            figures[way, stage] = measured(seen, told, count)
    whole = ~np.isnan(figures["one", "raw"]).any(axis=1)
    rows = [["", "frames", "settled", "changes/s"]]
    for (way, stage), values in figures.items():
        frames, ends, changes = values[whole].mean(axis=0)
        rows.append([f"{way}, {stage}", f"{100 * frames:.1f} %", f"{100 * ends:.1f} %", f"{changes:.2f}"])
    print(table(rows))
    rows = [["less one view", "frames, points", "settled, points", "changes/s"]]
    for stage in ("raw", "kept"):
        for way in WAYS[1:]:
            gains = (figures[way, stage] - figures["one", stage])[whole]
            rows.append(
                [f"{way}, {stage}", *(difference(gains[:, i], unit) for i, unit in enumerate((100, 100, 1)))]
            )
    print(f"\n{table(rows)}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("alternating: name fer2013.csv and fer2013new.csv")
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 300)
