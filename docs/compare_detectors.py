"""Make `docs/images/detectors.jpg`: one picture, searched by both detectors.

Usage: python docs/compare_detectors.py

The portraits are those of the sample clip: one upright, the others tilted.
"""

import math
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import numpy.typing as npt

from emotion_stream.detector_worker.detector import Detector
from emotion_stream.samples.making.expressions import Floats
from emotion_stream.samples.making.make_sample import COOL, Key, background, put
from emotion_stream.samples.making.make_sample import TARGET as CLIP
from emotion_stream.shared.messages.manifest import load_manifest
from emotion_stream.shared.messages.types import Box, Crop, Frame, FrameInfo
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.sink.drawing import text

TARGET = Path(__file__).resolve().parent / "images" / "detectors.jpg"
FRAME = 115
"""Frame of the clip from which both portraits are taken."""
OVALS = ((178, 175, 92, 115), (460, 170, 113, 140))
"""Their centres and half axes, pixels."""
SCENE = (
    (0, Key(0, 95, 115, 170, 0)),
    (1, Key(0, 225, 250, 180, 28)),
    (0, Key(0, 360, 110, 170, -32)),
    (1, Key(0, 440, 255, 170, -22)),
    (0, Key(0, 560, 120, 180, 35)),
)
"""Which portrait, and where: one upright, the others tilted."""
FOUND, POINT = (90, 220, 60), (40, 200, 255)
"""BGR."""

Image = npt.NDArray[np.uint8]


def portrait(frame: Image, oval: tuple[int, int, int, int]) -> Floats:
    """A portrait with its ring, float32 `[height, width, 4]`, as `make_sample.cut_out` gives it."""
    x, y, half_width, half_height = oval
    part = frame[y - half_height : y + half_height, x - half_width : x + half_width].astype(np.float32)
    down, across = np.mgrid[-1 : 1 : part.shape[0] * 1j, -1 : 1 : part.shape[1] * 1j]
    alpha = np.clip((0.99 - np.hypot(down, across)) / 0.015, 0, 1)[..., None]
    return np.concatenate([part * alpha, alpha], axis=2).astype(np.float32)


def scene() -> Image:
    """The picture, BGR."""
    with av.open(str(CLIP)) as clip:
        frame = next(islice(clip.decode(video=0), FRAME, None)).to_ndarray(format="bgr24")
    portraits = [portrait(np.asarray(frame, np.uint8), oval) for oval in OVALS]
    canvas = background(*COOL)
    for who, at in SCENE:
        canvas = put(canvas, portraits[who], at)
    return np.asarray(canvas.clip(0, 255).round(), np.uint8)


def search(picture: Image, name: Literal["haar", "yunet"]) -> tuple[Crop, ...]:
    """What a worker finds in it, with its usual settings."""
    worker = Detector(DetectorOptions(name), load_manifest().spec)
    worker.open()
    height, width = picture.shape[:2]
    info = FrameInfo("picture", "", "", 0, 0.0, 0.0, width, height, "lossless", still=True)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    (found,) = worker.process([Frame(info, jpeg, "1-0")])
    return found.faces


def is_face(box: Box) -> bool:
    """Whether a box lies about the middle of one of the portraits."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return any(math.hypot(x - at.x, y - at.y) < 0.15 * at.height for _, at in SCENE)


def panel(picture: Image, name: Literal["haar", "yunet"]) -> Image:
    """The picture with what one detector finds in it, and a line that says so."""
    faces, out = search(picture, name), picture.copy()
    for face in faces:
        b = face.box
        cv2.rectangle(out, (b.x, b.y), (b.x + b.width, b.y + b.height), FOUND, 2, cv2.LINE_AA)
        for x, y in face.landmarks or ():
            cv2.circle(out, (round(x), round(y)), 2, POINT, -1, cv2.LINE_AA)
    bar = np.full((36, out.shape[1], 3), 30, np.uint8)
    right = sum(is_face(face.box) for face in faces)
    wrong = f", {len(faces) - right} wrong" if right < len(faces) else ""
    line = text.measure(f"--detector {name}: {right} of {len(SCENE)} faces{wrong}", 0.8)
    text.write(bar, line, 4, (36 - line.size[1]) // 2, (255, 255, 255))
    return np.concatenate([bar, out])


def main() -> None:
    """Write the picture."""
    picture = scene()
    both = [panel(picture, "haar"), np.full((396, 6, 3), 255, np.uint8), panel(picture, "yunet")]
    cv2.imwrite(str(TARGET), np.concatenate(both, axis=1), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
