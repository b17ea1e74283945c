"""Measure what the detector's boxes cost in accuracy, and which margin and shift of the crop cost least.

Usage: python -m benchmarks.crops FER2013 FERPLUS [IMAGES] [--detector haar|yunet]

FER2013 and FERPLUS are what `emotion evaluate --data` and `--ferplus` take. Each image of PublicTest is pasted
into a wider picture, as `benchmarks.jitter` does, and the detector finds it again. Faces are cut out as the
detector stage does, Haar's by their boxes, YuNet's turned upright by their landmarks, with each margin and shift
(a row tells of YuNet's boxes), and the default model labels them, with the prior that it is served with. All
rows are of the same faces, those found exactly once; the first row is of the images themselves, the perfect
crop. The 95 % intervals of the differences come from resampling the faces in pairs.

With YuNet there is a second table: the same scenes, tilted by known angles to either side in turns; crops turned
upright by the landmarks against crops by the box (`--no-align`), of the faces found exactly once at that angle.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_stream.benchmarks.jitter import scene_of
from emotion_stream.classifier_worker.backend import Backend
from emotion_stream.classifier_worker.classifier import make_backend
from emotion_stream.detector_worker.contract import Found
from emotion_stream.detector_worker.crop import crop_face, upright
from emotion_stream.detector_worker.haar.cascade import FaceFinder
from emotion_stream.models.calibration import adjusted
from emotion_stream.models.data.fer2013 import Split, load_splits
from emotion_stream.models.evaluation.assess import truth
from emotion_stream.models.evaluation.runlog import table
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.manifest import Manifest, load_manifest
from emotion_stream.shared.settings.options import ClassifierOptions, DetectorOptions

MARGINS = (-0.06, -0.03, 0.0, 0.015, 0.03, 0.06, 0.1)
"""Fractions of the box's side, added at each end."""
SHIFTS = (-0.04, -0.02, 0.0, 0.02, 0.04)
"""Fractions of the box's side that the crop moves down."""

TILTS = (0, 12, 25)
"""Degrees."""

Pixels = NDArray[np.uint8]
Hits = dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""For each head, which faces are labelled right, and which of them have a clear label."""


Find = Callable[[Pixels], Sequence[Found]]
"""A detector: from a scene to its faces."""


def haar() -> Find:
    """What the default detector finds in a scene."""
    finder = FaceFinder(DetectorOptions())
    return lambda scene: [Found(box, score) for box, score in finder.find(scene)]


def yunet() -> Find:
    """The same for the other detector, which takes JPEGs."""
    from emotion_stream.detector_worker.yunet.detector import YuNet

    finder = YuNet(DetectorOptions(detector="yunet"))
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return lambda scene: finder.scan(GrayJpeg(cv2.imencode(".jpg", scene, quality)[1].tobytes()))


def cut(
    scenes: list[Pixels], faces: list[Found], size: int, margin: float, shift: float, align: bool = True
) -> Pixels:
    """The crop of each scene's face, uint8 [n, size, size]; by its landmarks, where there are some and `align`."""
    crops = []
    for scene, face in zip(scenes, faces, strict=True):
        square = upright(face.landmarks, margin) if align and face.landmarks else None
        if square is not None and square.fits(face.box):
            down = square.across * 1j * shift
            crops.append(replace(square, x=square.x + down.real, y=square.y + down.imag).cut(scene, size))
        else:
            moved = replace(face.box, y=face.box.y + round(shift * face.box.height))
            crops.append(crop_face(scene, moved, size, margin))
    return np.frombuffer(b"".join(crops), np.uint8).reshape(-1, size, size)


def difference(right: NDArray[np.bool_], perfect: NDArray[np.bool_], resamples: int = 1000) -> str:
    """Points of accuracy that `right` [n] lies above `perfect` [n], with a 95 % interval."""
    gains = right.astype(float) - perfect
    chosen = np.random.default_rng(0).integers(0, len(gains), (resamples, len(gains)))
    low, high = np.percentile(100 * gains[chosen].mean(axis=1), [2.5, 97.5])
    return f"{100 * gains.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def tilted(scene: Pixels, angle: float) -> Pixels:
    """The scene, turned by so many degrees; its edge is continued."""
    height, width = scene.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    made = cv2.warpAffine(scene, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.uint8)


def hits(logits: dict[str, NDArray[np.float32]], public: Split, manifest: Manifest) -> Hits:
    """Where the network is right, with the prior that it is served with."""
    found = {}
    for head in manifest.heads:
        labels, clear = truth(public, head.name)
        found[head.name] = (adjusted(logits[head.name], head.calibration()).argmax(axis=1) == labels, clear)
    return found


def margins(public: Split, scenes: list[Pixels], find: Find, manifest: Manifest, backend: Backend) -> str:
    """The table of margins and shifts."""
    found = [find(scene) for scene in scenes]
    once = np.array([i for i, faces in enumerate(found) if len(faces) == 1])
    public, scenes = public.take(once), [scenes[i] for i in once]
    faces = [found[i][0] for i in once]
    print(f"{len(once)} of {len(found)} faces found once; model {manifest.id}, served prior\n")
    answers = {"perfect": backend.every_head(public.pixels)}
    for margin in MARGINS:
        answers[f"{margin:g}"] = backend.every_head(cut(scenes, faces, manifest.size, margin, 0.0))
    if any(face.landmarks for face in faces):
        crops = cut(scenes, faces, manifest.size, manifest.margin, 0.0, align=False)
        answers[f"{manifest.margin:g}, the box"] = backend.every_head(crops)
    for shift in SHIFTS:
        if shift:
            crops = cut(scenes, faces, manifest.size, manifest.margin, shift)
            answers[f"{manifest.margin:g}, {100 * shift:+g} % down"] = backend.every_head(crops)
    rows = [["margin", *(text for head in manifest.heads for text in (f"{head.name} top-1", "less the perfect"))]]
    perfect = hits(answers["perfect"], public, manifest)
    for name, logits in answers.items():
        row = [name]
        for kind, (right, clear) in hits(logits, public, manifest).items():
            told = "" if name == "perfect" else difference(right[clear], perfect[kind][0][clear])
            row += [f"{100 * right[clear].mean():.1f} %", told]
        rows.append(row)
    return table(rows)


def alignment(public: Split, scenes: list[Pixels], find: Find, manifest: Manifest, backend: Backend) -> str:
    """The table of crops that are aligned and such that are not."""
    rows = [["tilted", "found once"]]
    for head in manifest.heads:
        rows[0] += [f"{head.name}: perfect", "not aligned", "aligned", "aligned less not"]
    for angle in TILTS:
        turned = [tilted(scene, angle if n % 2 else -angle) for n, scene in enumerate(scenes)]
        found = [find(scene) for scene in turned]
        once = np.array([i for i, faces in enumerate(found) if len(faces) == 1])
        here, seen, faces = public.take(once), [turned[i] for i in once], [found[i][0] for i in once]
        crops = [cut(seen, faces, manifest.size, manifest.margin, 0.0, align) for align in (False, True)]
        each = (hits(backend.every_head(pixels), here, manifest) for pixels in (here.pixels, *crops))
        perfect, straight, aligned = each
        row = [f"{angle}", f"{len(once)} of {len(scenes)}"]
        for kind, (right, clear) in aligned.items():
            row += [f"{100 * told[kind][0][clear].mean():.1f} %" for told in (perfect, straight, aligned)]
            row.append(difference(right[clear], straight[kind][0][clear]))
        rows.append(row)
    return table(rows)


def main(data: Path, ferplus: Path, count: int, detector: str) -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    public = load_splits(data, ferplus, ["PublicTest"], ["PublicTest"])["PublicTest"]
    public = public.take(np.random.default_rng(0).permutation(len(public))[:count])
    manifest, find = load_manifest(), {"haar": haar, "yunet": yunet}[detector]()
    scenes = [scene_of(image) for image in public.pixels]
    backend = make_backend(ClassifierOptions(threads=2), manifest, manifest.default_head)
    backend.open()
    print(margins(public, scenes, find, manifest, backend))
    if detector == "yunet":
        print()
        print(alignment(public, scenes, find, manifest, backend))
    backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="crops")
    parser.add_argument("fer2013", type=Path)
    parser.add_argument("ferplus", type=Path)
    parser.add_argument("images", type=int, nargs="?", default=4000)
    parser.add_argument("--detector", choices=("haar", "yunet"), default="haar")
    given = parser.parse_args()
    main(given.fer2013, given.ferplus, given.images, given.detector)
