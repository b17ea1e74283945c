"""Lines of text on pictures: any letters that a font is there for, one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageFont

from emotion_stream.sink.results.output import Image

Colour = tuple[int, int, int]
"""BGR."""
FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
"""Latin, Greek, Cyrillic and more. Letters are not shaped: those of Arabic do not join."""
EAST_ASIAN = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)
"""Where systems have Chinese, Japanese and Korean letters: such fonts are too large to come along."""
EM = 30
"""Pixels of a font's em at scale 1."""
CAPITAL = 22
"""Pixels of a capital letter at scale 1."""
SMALLEST = 0.36
"""The smallest scale of letters that people can read."""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that fits, with the padding around it. `rise` and `drop` are above and below its base."""

    text: str
    scale: float
    width: int
    rise: int
    drop: int
    pad: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, with the padding."""
        return self.width + 2 * self.pad, self.rise + self.drop + 2 * self.pad


def measure(text: str, scale: float) -> Text:
    """The text at this scale. Pure."""
    rise, drop, pad = round(CAPITAL * scale), round(5 * scale), max(2, round(6 * scale))
    return Text(text, scale, _drawn(text, _pixels(scale)).shape[1], rise, drop, pad)


def fit(text: str, scale: float, width: int) -> Text:
    """The text at this scale, or smaller where it would not fit into `width` pixels."""
    line = measure(text, scale)
    while line.size[0] > width and scale > 0.05:
        scale *= 0.9
        line = measure(text, scale)
    return line


def wrap(text: str, scale: float, width: int, limit: int = 4) -> list[str]:
    """Break a text into at most `limit` lines of at most `width` pixels."""
    lines: list[str] = []
    for word in text[:400].split():
        if lines and measure(f"{lines[-1]} {word}", scale).size[0] <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines if len(lines) <= limit else [*lines[: limit - 1], lines[limit - 1] + " ..."]


def write(out: Image, line: Text, x: int, y: int, colour: Colour) -> None:
    """Draw a line of text; `x`, `y` is the top left corner of its padding, in pixels."""
    size = _pixels(line.scale)
    ink, rest, first = _inked(line.text, size, colour)
    top, left = y + line.pad + line.rise - _above(size) + first, x + line.pad
    height, width = ink.shape[:2]
    part = out[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    if not part.size:
        return
    seen = (
        slice(max(0, -top), max(0, -top) + part.shape[0]),
        slice(max(0, -left), max(0, -left) + part.shape[1]),
    )
    part[:] = cv2.add(cv2.multiply(part, rest[seen], scale=1 / 255), ink[seen])


@lru_cache(maxsize=1024)  # the same words come again in every frame
def _inked(text: str, size: int, colour: Colour) -> tuple[Image, Image, int]:
    """What letters of a colour add to each pixel, how much of 255 they leave of what is there, and the first row
    that has any of it."""
    mask = _drawn(text, size)
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 1)
    cover = np.repeat(mask[first:last, :, None], 3, axis=2)
    ink = (cover.astype(np.uint16) * np.array(colour, np.uint16) + 127) // 255
    return ink.astype(np.uint8), 255 - cover, first


def _pixels(scale: float) -> int:
    return max(1, round(EM * scale))


def _above(size: int) -> int:
    """Rows of a drawn text above its base line: capitals with accents reach so far."""
    return size + size // 8


@lru_cache(maxsize=1024)
def _drawn(text: str, size: int) -> npt.NDArray[np.uint8]:
    """How much of each pixel the letters cover, uint8 `[1.5 size, width]`, 0 to 255."""
    above = _above(size)
    masks = []
    for run, font in _runs(text, size):
        width = max(1, round(font.getlength(run)))
        letters, (x, y) = font.getmask2(run, mode="L", anchor="ls")
        across, down = letters.size
        mask = np.zeros((size + size // 2 + 1, width), np.uint8)
        drawn = np.array(letters, np.uint8).reshape(down, across)
        top, left = max(0, above + y), max(0, x)
        drawn = drawn[max(0, -above - y) :, max(0, -x) :][: len(mask) - top, : width - left]
        mask[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
        masks.append(mask)
    return np.hstack(masks) if masks else np.zeros((size + size // 2 + 1, 1), np.uint8)


def _runs(text: str, size: int) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
    """The text in pieces, each with the font that has its letters; control characters are left out."""
    clean = "".join(c for c in text if c.isprintable())
    for east, letters in groupby(clean, _is_east_asian):
        yield "".join(letters), _font(size, east)


def _is_east_asian(letter: str) -> bool:
    return any(a <= ord(letter) <= b for a, b in ((0x1100, 0x11FF), (0x2E80, 0x9FFF), (0xAC00, 0xD7AF)))


@lru_cache(maxsize=128)
def _font(size: int, east_asian: bool) -> ImageFont.FreeTypeFont:
    found = (path for path in EAST_ASIAN if Path(path).is_file()) if east_asian else iter(())
    return ImageFont.truetype(next(found, str(FONT)), size, layout_engine=ImageFont.Layout.BASIC)
