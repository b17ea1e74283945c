"""At what size a frame is looked at. Pure functions."""

from emotion_stream.shared.settings.options import DetectorOptions

USUAL = 320
"""Pixels of a scan's longer side, unless `--min-face` asks for another."""
SMALLEST = 16
"""Pixels of a scan that a face needs to be found: of 45 faces of 16 to 23 pixels, 44 are."""
LARGEST = 256
"""Pixels of the largest face that a scan is trusted with: the network was made for faces of 10 to 300."""
ENLARGED = 2.0
"""How much a small frame may be enlarged. Of 43 faces in pictures 112 pixels wide, 9 are found at once, and 40 in
pictures that are enlarged so; beyond that there is nothing more to be seen in it."""
MOST = 4096
"""Pixels of a scan's longer side at the most: its memory grows with its area."""
NEAR = 0.9
"""A picture that the decoder gives may be so much smaller than asked for, to be taken as it is."""


def scan_side(width: int, height: int, options: DetectorOptions) -> int:
    """Pixels of the longer side of the scan of a frame of `width` x `height` pixels."""
    longer, shorter = max(width, height), min(width, height)
    side = USUAL
    if options.min_face is not None:
        side = round(SMALLEST * longer / (options.min_face * shorter))
    side = min(side, round(longer * ENLARGED))
    if options.scan_width:
        side = min(side, options.scan_width)
    return max(1, min(side, MOST))


def fitted(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side becomes `side`."""
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def has_closeups(width: int, height: int) -> bool:
    """Whether a scan of this size can hold a face that is too large for the network, and that a scan of the usual
    size would find."""
    return min(width, height) > LARGEST and max(width, height) > USUAL
