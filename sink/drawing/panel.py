"""A picture with a panel beside it: each face's crop, and a bar with a percentage per emotion. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from emotion_stream.shared.messages.types import Box
from emotion_stream.shared.words.words import ENGLISH, Words
from emotion_stream.sink.drawing.draw import COLOURS, UNCERTAIN, annotate, plate, track_colour
from emotion_stream.sink.drawing.resize import resized, resized_image
from emotion_stream.sink.drawing.text import SMALLEST, Colour, fit, measure, write
from emotion_stream.sink.results.output import Face, Image, Result

_BACKGROUND: Colour = (26, 22, 20)
_CARD: Colour = (44, 38, 35)
_TRACK: Colour = (66, 58, 54)
_TEXT: Colour = (240, 240, 240)
_BAR: Colour = (130, 122, 116)
_MUTED: Colour = (165, 160, 156)
_NOTE: Colour = (80, 190, 255)
_OTHER: Colour = (200, 200, 80)
_CARD_WIDTH, _CARD_HEIGHT = 300, 152
"""Pixels of a card at scale 1."""
_LARGEST_CARD = 1.5
"""Times the view's own scale."""
_SMALLEST_CARD = 0.66
_ROOM_FOR_A_PANEL = 240, 240
"""Pixels; a smaller view holds the picture alone."""
_DEFAULT_PICTURE = 640, 360
_CONTEXT = 0.15
"""Of a face's size, on each side of it in its crop."""


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of the view, pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the picture and the panel lie in a view; no panel where there is no room for one."""

    picture: Area
    panel: Area | None


def natural_size(width: int, height: int, least: int = 360) -> tuple[int, int]:
    """Width and height of a view in which a picture of this size is shown pixel by pixel, pixels.

    A picture lower than `least` pixels is enlarged.
    """
    if not width or not height:
        width, height = _DEFAULT_PICTURE
    scale = max(1.0, least / height)
    tall = round(height * scale)
    return round(width * scale) + _panel_width(tall), tall


def arrange(view: tuple[int, int], picture: tuple[int, int]) -> Layout:
    """Lay out a view of this width and height: the panel beside the picture or below it, whichever leaves more.

    The picture keeps its ratio.
    """
    width, height = view
    least_width, least_height = _ROOM_FOR_A_PANEL
    if width < least_width or height < least_height:
        return Layout(_fitted(Area(0, 0, width, height), picture), None)
    left = width - round(height * picture[0] / picture[1])  # beside a picture that takes the whole height
    side = min(max(left, round(width * 0.28)), _panel_width(height), int(width * 0.45))
    beside = _fitted(Area(0, 0, width - side, height), picture)
    top = max(int(height * 0.5), height - max(_panel_height(width), height - _fitted_height(width, picture)))
    below = _fitted(Area(0, 0, width, top), picture)
    if beside.width * beside.height >= below.width * below.height:
        return Layout(beside, Area(width - side, 0, side, height))
    below = replace(below, y=0)
    return Layout(below, Area(0, below.height, width, height - below.height))


def compose(
    image: Image | None,
    result: Result,
    view: tuple[int, int],
    fps: float | None = None,
    notes: Sequence[str] = (),
    notice: str = "",
    keys: str | None = None,
    words: Words = ENGLISH,
) -> Image:
    """The annotated picture with its panel.

    Args:
        image: the frame, `[height, width, 3]`, uint8, BGR; None where it could not be read.
        result: what to draw; boxes are in pixels of `image`.
        view: width and height of what is returned, pixels; at least 1 each.
        fps: rate for the picture's header; None leaves it out.
        notes: what the viewer says, such as "paused", at the picture's lower edge.
        notice: a line for people who look, below the notes, unless the camera has its own; empty for none.
        keys: what the keyboard does, for the panel's foot; None: as in the output `window`.
        words: the language.

    Returns:
        `[view height, view width, 3]`, uint8, BGR.
    """
    out = np.full((view[1], view[0], 3), _BACKGROUND, np.uint8)
    size = _DEFAULT_PICTURE if image is None else (image.shape[1], image.shape[0])
    layout = arrange(view, size)
    area = layout.picture
    if image is None:
        picture = plate(area.width, area.height, result, fps, words=words)
    else:
        picture = annotate(*resized(image, result, area.width, area.height), fps, words=words)
    _strips(picture, ((" ".join(result.notice(notice).split())[:200], _TEXT), ("   ".join(notes), _NOTE)))
    out[area.y : area.y + area.height, area.x : area.x + area.width] = picture
    if layout.panel is not None:
        keys = words("picture.keys") if keys is None else keys
        _panel(out, layout.panel, image, result, keys, max(1.0, min(view) / 720), words)
    return out


def crop(image: Image, box: Box) -> Image | None:
    """The square around a face, as far as it lies in the picture: a view, no copy. None for a box outside it."""
    height, width = image.shape[:2]
    half = max(box.width, box.height) * (0.5 + _CONTEXT)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = max(0, round(x - half)), min(width, round(x + half))
    top, bottom = max(0, round(y - half)), min(height, round(y + half))
    return image[top:bottom, left:right] if right > left and bottom > top else None


def _panel_width(height: int) -> int:
    return max(200, round(height * 0.72))


def _panel_height(width: int) -> int:
    return max(120, round(width * 0.45))


def _fitted_height(width: int, picture: tuple[int, int]) -> int:
    return round(width * picture[1] / picture[0])


def _fitted(area: Area, picture: tuple[int, int]) -> Area:
    """The largest area of the picture's ratio within `area`, in its middle."""
    scale = min(area.width / picture[0], area.height / picture[1])
    width = min(area.width, max(1, round(picture[0] * scale)))
    height = min(area.height, max(1, round(picture[1] * scale)))
    return Area(area.x + (area.width - width) // 2, area.y + (area.height - height) // 2, width, height)


def _strips(picture: Image, lines: Sequence[tuple[str, Colour]]) -> None:
    """Lines of text on dark strips along the lower edge, the first lowest; empty ones take no room."""
    bottom, width = picture.shape[:2]
    scale = max(SMALLEST, 0.5 * min(width, bottom * 16 / 9) / 640)
    for text, colour in lines:
        if not text:
            continue
        line = fit(text, scale, width)
        top = max(0, bottom - line.size[1])
        picture[top:bottom] //= 4
        write(picture, line, max(0, (width - line.size[0]) // 2), top, colour)
        bottom = top


def _panel(
    out: Image, area: Area, image: Image | None, result: Result, keys: str, unit: float, words: Words
) -> None:
    gap = max(4, round(min(area.width, area.height) * 0.02))
    foot = fit(keys, max(SMALLEST, min(0.5 * unit, area.width / 700)), area.width - 2 * gap) if keys else None
    inner = Area(
        area.x + gap, area.y + gap, area.width - 2 * gap, area.height - 2 * gap - (foot.size[1] if foot else 0)
    )
    if foot:
        write(out, foot, area.x + gap, area.y + area.height - gap // 2 - foot.size[1], _MUTED)
    if inner.width < 1 or inner.height < 1:
        return
    if not result.drawn:
        line = fit(words("picture.no_face"), max(SMALLEST, min(0.7 * unit, area.width / 480)), inner.width)
        write(out, line, inner.x + (inner.width - line.size[0]) // 2, inner.y + inner.height // 2, _MUTED)
        return
    columns, scale, room = grid(inner.width, inner.height, len(result.drawn), gap, unit)
    rest = len(result.drawn) - room
    if rest > 0:
        more = fit(words("picture.more", n=rest), 0.4 * unit, inner.width)
        inner = replace(inner, height=inner.height - more.size[1])
        columns, scale, room = grid(inner.width, inner.height, len(result.drawn), gap, unit)
        more = fit(words("picture.more", n=len(result.drawn) - room), more.scale, inner.width)
        write(out, more, inner.x, inner.y + inner.height, _MUTED)
    width = (inner.width - (columns - 1) * gap) // columns
    height = min(round(_CARD_HEIGHT * scale), inner.height)
    for n, face in enumerate(_chosen(result.drawn, room)):
        x, y = inner.x + n % columns * (width + gap), inner.y + n // columns * (height + gap)
        _card(out[y : y + height, x : x + width], image, result, face, words)


def grid(width: int, height: int, count: int, gap: int, unit: float) -> tuple[int, float, int]:
    """Columns, scale of the cards, and how many fit at the most, for `count` cards in this room, pixels."""
    least, most = _SMALLEST_CARD * unit, _LARGEST_CARD * unit
    best = (1, 0.0, 1)
    for columns in range(1, count + 1):
        across = (width - (columns - 1) * gap) / columns / _CARD_WIDTH
        if columns > 1 and across < least:
            break
        rows = math.ceil(count / columns)
        down = (height - (rows - 1) * gap) / rows / _CARD_HEIGHT
        scale = min(across, down, most)
        if scale < least:  # not all fit: as many as are readable
            scale = min(across, least)
            rows = max(1, int((height + gap) / (_CARD_HEIGHT * scale + gap)))
        room = min(count, rows * columns)
        if (room, scale) > (best[2] if best[1] else 0, best[1]):
            best = columns, scale, room
    return best


def _chosen(faces: Sequence[Face], room: int) -> list[Face]:
    """The largest faces if there is not room for all, in the order of their tracks so that they stay put."""
    largest = sorted(faces, key=lambda face: -face.box.width * face.box.height)[:room]
    return sorted(largest, key=lambda face: face.track)


def _card(out: Image, image: Image | None, result: Result, face: Face, words: Words) -> None:
    """Fill one card: title, crop, bars."""
    height, width = out.shape[:2]
    out[:] = _CARD
    name = result.emotion(face)
    colour = UNCERTAIN if face.uncertain else COLOURS.get(name, _OTHER)
    out[:, : max(3, width // 80)] = track_colour(face.track)  # as its box in the picture
    pad = max(3, round(height * 0.05))
    scale = max(SMALLEST, height / _CARD_HEIGHT * 0.5)
    title = fit(f"#{face.track} {words.emotion(result.said(face))}", scale * 1.15, width - 2 * pad)
    write(out, title, pad, pad // 2, colour)
    top = pad // 2 + title.size[1]
    side = max(1, min(height - top - pad, round(width * 0.32)))
    picture = None if image is None else crop(image, face.box)
    if picture is not None:
        place = _fitted(Area(2 * pad, top, side, side), (picture.shape[1], picture.shape[0]))
        out[place.y : place.y + place.height, place.x : place.x + place.width] = resized_image(
            picture, place.width, place.height
        )
    left = 3 * pad + side
    _bars(out[top : height - pad, left : width - pad], result.labels, face.probabilities, face.label, words)


def _bars(out: Image, labels: Sequence[str], probabilities: Sequence[float], said: int, words: Words) -> None:
    """One row per label: its name, a bar, and a percentage; the one that is said in its colour."""
    height, width = out.shape[:2]
    step = height / len(labels)
    if width < 20 or step < 8:
        return
    scale = max(0.3, step / 36)
    lines = [measure(words.emotion(label), scale) for label in labels]
    names = max(line.size[0] for line in lines)
    figures = measure("100%", scale).size[0]
    if names + figures > width * 0.85:
        scale *= width * 0.85 / (names + figures)
        lines = [measure(words.emotion(label), scale) for label in labels]
        names, figures = max(line.size[0] for line in lines), measure("100%", scale).size[0]
    room = max(4, width - names - figures)
    for n, (label, line, p) in enumerate(zip(labels, lines, probabilities, strict=True)):
        top, bottom = round(n * step), round((n + 1) * step)
        middle = (top + bottom) // 2
        thick = max(2, round((bottom - top) * 0.55))
        colour = _TEXT if n == said else _MUTED
        write(out, line, 0, middle - line.size[1] // 2, colour)
        bar = out[middle - thick // 2 : middle - thick // 2 + thick, names : names + room]
        bar[:] = _TRACK
        bar[:, : max(1, round(room * p))] = COLOURS.get(label, _OTHER) if n == said else _BAR
        figure = measure(f"{p * 100:.0f}%", scale)
        write(out, figure, width - figure.size[0], middle - figure.size[1] // 2, colour)
