"""Draws results on pictures. Pure: every function returns a new picture, readable from 320 to 3840 px width."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from emotion_stream.shared.words.words import ENGLISH, Words
from emotion_stream.sink.drawing.text import SMALLEST, Colour, fit, measure, wrap, write
from emotion_stream.sink.results.output import Face, Image, Result

COLOURS: dict[str, Colour] = {
    "angry": (60, 60, 235),
    "disgust": (70, 150, 60),
    "fear": (220, 90, 170),
    "happy": (60, 210, 250),
    "sad": (225, 140, 50),
    "surprise": (80, 150, 255),
    "neutral": (205, 205, 205),
}
_OTHERS: tuple[Colour, ...] = ((200, 200, 80), (140, 100, 240), (110, 220, 150), (180, 130, 130))
UNCERTAIN: Colour = (150, 150, 150)
TRACK_COLOURS: tuple[Colour, ...] = (
    (235, 190, 60),
    (90, 200, 120),
    (200, 120, 235),
    (70, 160, 250),
    (200, 215, 80),
    (150, 130, 245),
    (110, 225, 200),
    (235, 150, 130),
)
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
NO_EPOCH = ""
"""The epoch of what stands for a camera that has given no frame."""
_DARK: Colour = (40, 34, 30)


@dataclass(frozen=True, slots=True)
class _Rect:
    x: int
    y: int
    width: int
    height: int

    def overlap(self, other: "_Rect") -> int:
        """Pixels in common."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0, width) * max(0, height)


class Rate:
    """Frames per second of one camera over its last `window` seconds."""

    def __init__(self, window: float = 2.0) -> None:
        self._window = window
        self._times: list[float] = []

    def update(self, shown_at: float) -> float | None:
        """Count a frame shown at this time, seconds; None while there is nothing to compare it with."""
        times = [t for t in self._times if 0 <= shown_at - t <= self._window]
        self._times = [*times, shown_at][-1000:]
        span = shown_at - self._times[0]
        return (len(self._times) - 1) / span if span > 0 else None


def track_colour(track: int) -> Colour:
    """The colour of a track's box, BGR: the same as long as it lives. Pure."""
    return TRACK_COLOURS[track % len(TRACK_COLOURS)]


def annotate(
    image: Image,
    result: Result,
    fps: float | None = None,
    notice: str = "",
    *,
    header: bool = True,
    words: Words = ENGLISH,
) -> Image:
    """A copy of a frame with the confirmed faces and a header; for a frame with an error, a plate of its size.

    Args:
        image: the frame, `[height, width, 3]`, uint8, BGR.
        result: what to draw; boxes are in pixels of `image`.
        fps: rate for the header; None leaves it out.
        notice: a line for a banner at the bottom; empty for none.
        header: whether to tell camera, rate and age in the corner.
        words: the language.
    """
    height, width = image.shape[:2]
    if result.outcome.status != "ok":
        return plate(width, height, result, fps, notice, words)
    out = image.copy()
    unit = _unit(width, height)
    for face in result.drawn:
        _outline(out, face, track_colour(face.track), unit)
    taken = [
        _header(out, result, fps, unit, words) if header else _Rect(0, 0, 0, 0),
        _banner(out, notice, unit),
    ]
    for face in result.drawn:
        taken.append(_label(out, face, *_style(result, face, words), unit, taken))
    return out


def plate(
    width: int,
    height: int,
    result: Result,
    fps: float | None = None,
    notice: str = "",
    words: Words = ENGLISH,
) -> Image:
    """A plain dark picture that says why there is no frame to show."""
    out = np.full((height, width, 3), _DARK, np.uint8)
    unit = _unit(width, height)
    _header(out, result, fps, unit, words)
    _banner(out, notice, unit)
    error = result.outcome.status != "ok"
    title = words("picture.error" if error else "picture.no_picture", seq=str(result.info.seq))
    if result.info.epoch == NO_EPOCH:
        title = words("picture.no_signal")
    reason = words.reason(result.outcome.reason or ("" if error else "it is no longer in the stream"))
    scale = _scale(unit)
    lines = [fit(title, scale * 1.3, width)]
    lines += [fit(line, scale, width) for line in wrap(reason, scale, int(width * 0.9))]
    gap = max(1, round(4 * unit))
    y = max(0, (height - sum(line.size[1] + gap for line in lines)) // 2)
    for i, line in enumerate(lines):
        write(out, line, (width - line.size[0]) // 2, y, (90, 110, 255) if error and i == 0 else (210, 210, 210))
        y += line.size[1] + gap
    return out


def _unit(width: int, height: int) -> float:
    """1 for a picture of 640x360; lines and letters grow with it."""
    return max(0.4, min(width, height * 16 / 9) / 640)


def _scale(unit: float) -> float:
    return max(SMALLEST, 0.5 * unit)


def _style(result: Result, face: Face, words: Words) -> tuple[str, Colour]:
    if face.uncertain:
        return f"#{face.track} {words.emotion(result.said(face))}", UNCERTAIN
    name = result.emotion(face)
    colour = COLOURS.get(name, _OTHERS[face.label % len(_OTHERS)])
    return f"#{face.track} {words.emotion(name)} {face.confidence * 100:.0f}%", colour


def _outline(out: Image, face: Face, colour: Colour, unit: float) -> None:
    line = max(1, round(2 * unit))
    b = face.box
    corners = (b.x, b.y), (b.x + b.width - 1, b.y + b.height - 1)
    # A dark rim keeps light boxes visible on light pictures.
    cv2.rectangle(out, *corners, _BLACK, line + 2 * max(1, round(0.7 * unit)), cv2.LINE_AA)
    cv2.rectangle(out, *corners, colour, line, cv2.LINE_AA)


def _label(out: Image, face: Face, text: str, colour: Colour, unit: float, taken: Sequence[_Rect]) -> _Rect:
    """Draw a face's label inside the picture, beside the labels that are there already if there is room."""
    height, width = out.shape[:2]
    b = face.box
    scale = _scale(unit)
    natural = measure(text, scale).size[0]
    # Labels of small faces shrink towards their box, so that groups stay readable.
    shrunk = scale * min(1.0, max(1.5 * b.width / natural, 0.6))
    line = fit(text, max(SMALLEST, shrunk), width)
    w, h = line.size
    places = [
        _Rect(min(max(x, 0), max(0, width - w)), min(max(y, 0), max(0, height - h)), w, h)
        for x, y in (
            (b.x, b.y - h),
            (b.x, b.y + b.height),
            (b.x + b.width - w, b.y - h),
            (b.x, b.y),
            (b.x, b.y + b.height - h),
            (b.x + b.width, b.y),
            (b.x, taken[0].height),
        )
    ]
    rect = min(places, key=lambda place: sum(place.overlap(other) for other in taken))
    cv2.rectangle(out, (rect.x, rect.y), (rect.x + w - 1, rect.y + h - 1), colour, cv2.FILLED)
    bright = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2] > 120
    write(out, line, rect.x, rect.y, _BLACK if bright else _WHITE)
    return rect


def _header(out: Image, result: Result, fps: float | None, unit: float, words: Words) -> _Rect:
    """Draw a translucent strip in the top left corner: camera, frame rate and age of the frame. For recordings,
    rate and age mean nothing: the strip shows the time in the medium instead, unless the frame is a still."""
    if result.info.mode == "lossless":
        rest = "" if result.info.still else f"  {_clock(result.info.media_time, words)}"
    else:
        rate = "" if fps is None else f"  {words('units.fps', n=words.number(fps, 1))}"
        rest = f"{rate}  {_age(result.latency, words)}"
    width = out.shape[1]
    scale = max(SMALLEST, 0.45 * unit)
    name = result.info.called
    while len(name) > 4 and measure(name + rest, scale).size[0] > width:
        name = name[:-3] + ".."
    line = fit(name + rest, scale, width)
    w, h = min(line.size[0], width), min(line.size[1], out.shape[0])
    out[:h, :w] = out[:h, :w] // 3
    write(out, line, 0, 0, (235, 235, 235))
    return _Rect(0, 0, w, h)


def _banner(out: Image, notice: str, unit: float) -> _Rect:
    """A translucent strip along the bottom with a line of text in its middle."""
    height, width = out.shape[:2]
    if not notice:
        return _Rect(0, height, 0, 0)
    line = fit(" ".join(notice.split())[:200], max(SMALLEST, 0.45 * unit), width)
    top = max(0, height - line.size[1])
    out[top:] = out[top:] // 3
    write(out, line, (width - line.size[0]) // 2, top, (235, 235, 235))
    return _Rect(0, top, width, height - top)


def _clock(seconds: float, words: Words) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}".replace(".", words.decimal)


def _age(latency: float, words: Words) -> str:
    if latency < 10:
        return words("units.ms", n=f"{latency * 1000:.0f}")
    return words("units.s", n=f"{latency:.0f}")
