"""Draws the network as plain SVG, from the layer table alone.

Usage: python -m emotion_stream.models.evaluation.drawing docs/images/network.svg
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from emotion_stream.models.network import DEPTHS, HEADS, MEAN, WIDTHS, convolutions, shapes

WIDTH, BOX, ROW, GAP = 640, 420, 46, 22
"""Pixels: of the picture, of a box, its height, and the space to the next."""

FILLS = ("#e8eef7", "#d3e0f0", "#bed2ea", "#a9c4e3", "#94b6dc")
FACTS = {"fer2013": "the benchmark's labels", "consensus": "what ten annotators agree on"}


def _box(x: float, y: float, width: float, fill: str, lines: Sequence[str]) -> list[str]:
    parts = [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{ROW}" rx="6" fill="{fill}" stroke="#54698a"/>']
    for i, line in enumerate(lines):
        weight = ' font-weight="bold"' if i == 0 else ""
        parts.append(
            f'<text x="{x + width / 2:g}" y="{y + 19 + 17 * i:g}" text-anchor="middle"{weight}>{line}</text>'
        )
    return parts


def _arrow(x1: float, y1: float, x2: float, y2: float, text: str = "") -> list[str]:
    parts = [f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="#54698a" marker-end="url(#tip)"/>']
    if text:
        parts.append(f'<text x="{x1 + 10:g}" y="{(y1 + y2) / 2 + 4:g}" fill="#54698a">{text}</text>')
    return parts


def network_svg(size: int = 48, heads: Sequence[str] = HEADS) -> str:
    """The network as SVG: layers, shapes, parameters, and where the heads leave."""
    table = shapes(heads)
    x, y, side = (WIDTH - BOX) / 2, 12.0, size
    middle = WIDTH / 2
    count = {name: math.prod(shape) for name, shape in table.items()}
    parts = _box(x, y, BOX, "#ffffff", [f"gray crop, {size} x {size} x 1, 0 to 255", f"{MEAN:g} is subtracted"])
    for b, block in enumerate(convolutions(WIDTHS), start=1):
        note = "" if b == 1 else "max pooling 2 x 2"
        parts += _arrow(middle, y + ROW, middle, y + ROW + GAP, note)
        y += ROW + GAP
        side = side if b == 1 else side // 2
        own = sum(n for name, n in count.items() if name.startswith(f"block{b}_"))
        parts += _box(x, y, BOX, FILLS[b - 1], [
            f"block {b}: {DEPTHS[b - 1]} convolutions 3 x 3, ReLU",
            f"{side} x {side} x {block[-1][2]}, {own:,} parameters",
        ])  # fmt: skip
    parts += _arrow(middle, y + ROW, middle, y + ROW + GAP)
    y += ROW + GAP
    parts += _box(x, y, BOX, "#ffffff", ["mean over all places", f"{WIDTHS[-1]} features"])
    width = (WIDTH - 60) / max(len(heads), 1)
    for i, head in enumerate(heads):
        left = 20 + i * (width + 20)
        own = count[f"{head}/kernel"] + count[f"{head}/bias"]
        parts += _arrow(middle, y + ROW, left + width / 2, y + ROW + 2 * GAP)
        lines = [f"{head}: 7 classes, {own:,} parameters", FACTS.get(head, "")]
        parts += _box(left, y + ROW + 2 * GAP, width, "#f4e3cf", lines)
    height = y + 2 * ROW + 2 * GAP + 34
    total = f"{sum(count.values()):,} parameters in all"
    parts.append(f'<text x="{middle:g}" y="{height - 12:g}" text-anchor="middle">{total}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
        f'height="{height:g}" font-family="sans-serif" font-size="13" fill="#1d2735">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#54698a"/></marker></defs>\n'
        f'<rect width="{WIDTH}" height="{height:g}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("drawing: name the SVG file to write")
    Path(sys.argv[1]).write_text(network_svg(), encoding="utf-8")
