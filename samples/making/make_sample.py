"""Make `sample.mp4`: two public-domain portraits that move, grow, tilt and meet; then, after a cut, change what
their faces show, and one of them leaves and comes back.

Usage: python -m emotion_stream.samples.making.make_sample [ASTRONAUT.png GRACE_HOPPER.jpg]

The pictures lie in the packages scikit-image (`skimage/data/astronaut.png`, Eileen Collins, NASA) and matplotlib
(`mpl-data/sample_data/grace_hopper.jpg`, US Navy); without arguments they are taken from there.
"""

import importlib.util
import itertools
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from emotion_stream.samples.making.expressions import (
    AS_IT_IS,
    COLLINS,
    HOPPER,
    Expression,
    Floats,
    Marks,
    warped,
)

WIDTH, HEIGHT, RATE = 640, 360, 25
TARGET = Path(__file__).resolve().parents[1] / "sample.mp4"
PICTURES = (("skimage", "data/astronaut.png"), ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"))
COOL = (118, 84, 52), (196, 178, 140)  # BGR of the background, above and below
DARK = (34, 26, 44), (84, 62, 86)
RING = (235, 242, 245)


@dataclass(frozen=True, slots=True)
class Key:
    """Where a portrait is at `time` seconds: its centre and height in pixels, tilt in degrees; and its face."""

    time: float
    x: float
    y: float
    height: float
    tilt: float
    face: Expression = AS_IT_IS


Act = tuple[int, tuple[Key, ...]]
"""Which portrait (0 or 1), and its way."""


@dataclass(frozen=True, slots=True)
class Scene:
    """From `start` seconds to `end`: a background, and who is on stage."""

    start: float
    end: float
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]
    acts: tuple[Act, ...]


# Centre and half axes, in pixels of the picture, of the oval that is cut out; then marks, in pixels of that.
ASTRONAUT_OVAL = (226, 117, 90, 112)
HOPPER_OVAL = (268, 228, 172, 214)
MARKS = (
    Marks((149, 209), (246, 219), (145, 303), (231, 312)),
    Marks((147, 208), (245, 208), (154, 302), (237, 302)),
)

# The first scene.
ACTS: tuple[Act, ...] = (
    (
        0,
        (
            Key(0.0, 90, 190, 190, 0),
            Key(1.6, 210, 180, 240, 4),
            Key(3.4, 170, 190, 200, -6),
            Key(5.2, 180, 170, 250, 5),
            Key(7.0, 420, 180, 190, -4),
            Key(8.4, 500, 180, 220, 3),
            Key(9.6, 760, 180, 220, 10),
        ),
    ),
    (
        1,
        (
            Key(1.6, 760, 190, 220, -8),
            Key(3.0, 470, 190, 220, 3),
            Key(4.6, 460, 170, 290, -5),
            Key(5.8, 530, 180, 190, 4),
            Key(7.2, 190, 180, 200, -4),
            Key(8.6, 170, 185, 250, 5),
            Key(10.0, 150, 190, 230, 0),
        ),
    ),
    (0, (Key(7.6, 320, 440, 130, 0), Key(8.6, 330, 90, 130, 5), Key(10.0, 440, 240, 170, -3))),
    (1, (Key(3.6, 320, -80, 120, 0), Key(4.6, 315, 80, 120, 4), Key(5.8, 320, -80, 120, -4))),
)

SCENES = (
    Scene(0.0, 10.0, COOL, ACTS),
    Scene(
        10.0,
        14.2,
        DARK,
        (
            (
                1,
                (
                    Key(10.0, 200, 180, 270, -2),
                    Key(10.5, 200, 180, 275, 0),
                    Key(10.9, 205, 180, 280, 2, HOPPER["angry"]),
                    Key(11.6, 200, 182, 285, 2, HOPPER["angry"]),
                    Key(12.0, 195, 184, 285, -2, HOPPER["sad"]),
                    Key(12.7, 190, 186, 280, -3, HOPPER["sad"]),
                    Key(13.1, 200, 180, 275, 2, HOPPER["happy"]),
                    Key(14.2, 205, 178, 270, 3, HOPPER["happy"]),
                ),
            ),
            (
                0,
                (
                    Key(10.0, 470, 180, 230, 3),
                    Key(10.4, 472, 180, 235, 2),
                    Key(10.8, 470, 184, 240, -2, COLLINS["sad"]),
                    Key(11.5, 476, 186, 240, -3, COLLINS["sad"]),
                    Key(12.1, 770, 190, 230, -6),
                ),
            ),
            (0, (Key(12.9, 770, 190, 230, 6), Key(13.5, 480, 180, 235, 2), Key(14.2, 470, 178, 240, 0))),
        ),
    ),
)


COUNT = round(RATE * SCENES[-1].end)


def find_pictures() -> list[Path]:
    """The two portraits in the installed packages."""
    paths = []
    for package, name in PICTURES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"the package {package} is not installed: install it or give both pictures as arguments")
        paths.append(Path(spec.origin).parent / name)
    return paths


def cut_out(path: Path, oval: tuple[int, int, int, int]) -> Floats:
    """The portrait as an oval with a light ring: float32 `[height, width, 4]`, BGR times alpha, alpha 0 to 1."""
    picture = cv2.imread(str(path))
    if picture is None:
        sys.exit(f"{path} cannot be read")
    x, y, half_width, half_height = oval
    part = picture[y - half_height : y + half_height, x - half_width : x + half_width].astype(np.float32)
    size = (400, round(400 * half_height / half_width))
    part = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC).clip(0, 255)
    down, across = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    radius = np.hypot(down, across)[..., None]
    ring = np.clip((radius - 0.93) / 0.015, 0, 1)
    alpha = np.clip((0.985 - radius) / 0.015, 0, 1)
    color = part * (1 - ring) + np.array(RING) * ring
    portrait: Floats = np.concatenate([color * alpha, alpha], axis=2).astype(np.float32)
    return portrait


def background(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Floats:
    """A soft gradient between two colours, float32 `[HEIGHT, WIDTH, 3]`, with a little noise against banding."""
    down, across = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    mix = (0.75 * down + 0.25 * across)[..., None]
    noise = np.random.default_rng(0).uniform(-1, 1, (HEIGHT, WIDTH, 1))
    gradient: Floats = (np.array(top) * (1 - mix) + np.array(bottom) * mix + noise).astype(np.float32)
    return gradient


def pose(way: tuple[Key, ...], time: float) -> Key | None:
    """Where a portrait is at `time`, gliding from key to key; None while it is off stage."""
    for a, b in itertools.pairwise(way):
        if a.time <= time <= b.time:
            part = (time - a.time) / (b.time - a.time)
            part = part * part * (3 - 2 * part)
            x, y, height, tilt = (
                start + (end - start) * part
                for start, end in ((a.x, b.x), (a.y, b.y), (a.height, b.height), (a.tilt, b.tilt))
            )
            return Key(time, x, y, height, tilt, a.face.towards(b.face, part))
    return None


def scene_at(time: float) -> Scene:
    """The scene that is played at `time`."""
    return next(scene for scene in reversed(SCENES) if scene.start <= time + 1e-9)


def on_stage(time: float) -> list[tuple[int, int, Key]]:
    """Who is there at `time`: number of the act, counted over all scenes; portrait; where and how."""
    scene, found, number = scene_at(time), [], 0
    for played in SCENES:
        for who, way in played.acts:
            at = pose(way, time) if played is scene else None
            if at is not None:
                found.append((number, who, at))
            number += 1
    return found


def put(canvas: Floats, portrait: Floats, at: Key) -> Floats:
    """`canvas` with the portrait and its shadow on it."""
    size = (round(at.height * portrait.shape[1] / portrait.shape[0]), round(at.height))
    small = cv2.resize(portrait, size, interpolation=cv2.INTER_AREA)
    turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), at.tilt, at.height / size[1])
    turn[:, 2] += np.array([at.x - size[0] / 2, at.y - size[1] / 2])
    layer = cv2.warpAffine(small, turn, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)
    fall = np.array([[1, 0, 5], [0, 1, 8]], np.float32)
    shadow = cv2.GaussianBlur(cv2.warpAffine(layer[..., 3], fall, (WIDTH, HEIGHT)), (0, 0), 8)[..., None]
    result: Floats = canvas * (1 - 0.4 * shadow) * (1 - layer[..., 3:]) + layer[..., :3]
    return result


def main(pictures: list[Path]) -> None:
    """Write the clip to `TARGET`."""
    portraits = [cut_out(pictures[0], ASTRONAUT_OVAL), cut_out(pictures[1], HOPPER_OVAL)]
    empty = {scene.start: background(*scene.colours) for scene in SCENES}
    with av.open(str(TARGET), "w", options={"movflags": "faststart"}) as clip:
        options = {"crf": "20", "preset": "slow", "threads": "1"}
        stream = clip.add_stream("libx264", rate=Fraction(RATE), options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(COUNT):
            time = index / RATE
            canvas = empty[scene_at(time).start]
            for _, who, at in on_stage(time):
                canvas = put(canvas, warped(portraits[who], MARKS[who], at.face), at)
            pixels = canvas.clip(0, 255).round().astype(np.uint8)
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        clip.mux(stream.encode())
    print(f"{TARGET}: {COUNT} frames, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    if len(sys.argv) not in (1, 3):
        sys.exit(__doc__)
    main([Path(name) for name in sys.argv[1:]] or find_pictures())
