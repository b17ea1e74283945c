"""Lines of text on pictures, in OpenCV's own letters (ASCII)."""

from dataclasses import dataclass

import cv2

from sink.output import Image

Colour = tuple[int, int, int]
"""BGR."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
SMALLEST = 0.36
"""The smallest scale of letters that people can read."""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that fits, with the padding around it. `rise` and `drop` are above and below its base."""

    text: str
    scale: float
    weight: int
    width: int
    rise: int
    drop: int
    pad: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width + 2 * self.pad, self.rise + self.drop + 2 * self.pad


def measure(text: str, scale: float) -> Text:
    """The text at this scale. Pure."""
    weight = max(1, round(1.6 * scale))
    (width, rise), drop = cv2.getTextSize(text, FONT, scale, weight)
    return Text(text, scale, weight, width, rise, drop // 2, max(2, round(6 * scale)))


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
    base = x + line.pad, y + line.pad + line.rise
    cv2.putText(out, line.text, base, FONT, line.scale, colour, line.weight, cv2.LINE_AA)
