"""Makes hostile inputs of good ones. Everything follows from the seed."""

import random
from collections.abc import Iterator, Sequence

NASTY = (
    b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\0" * 7, b"\xcb\x7f\xf8" + b"\0" * 6,
    b"\xcb\x7f\xf0" + b"\0" * 6, b"\x91" * 600, b"\x81\xa1v" * 200, b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff",
    b"\xff\xd8", b"\xff\xd9", b"\xff\xda\0\x02", b"\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0",
    b"IDAT", b"IHDR",
)  # fmt: skip
"""Lengths that lie, numbers at the edge, depth, and markers of picture formats."""
LONGEST = 1 << 16


def mutations(corpus: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """Endless mutants of `corpus`."""
    while True:
        data = bytearray(chance.choice(corpus))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8))):
            _mutate(data, corpus, chance)
        yield bytes(data[:LONGEST])


def _mutate(data: bytearray, corpus: Sequence[bytes], chance: random.Random) -> None:
    size = len(data)
    at = chance.randrange(size + 1)
    what = chance.randrange(8)
    if what == 0 and size:
        data[at % size] ^= 1 << chance.randrange(8)
    elif what == 1 and size:
        data[at % size] = chance.choice((0, 1, 0x7F, 0x80, 0xC0, 0xFF, chance.randrange(256)))
    elif what == 2:
        del data[at:]
    elif what == 3:
        del data[at : at + chance.randint(1, 16)]
    elif what == 4:
        data[at:at] = chance.choice(NASTY)
    elif what == 5:
        nasty = chance.choice(NASTY)
        data[at : at + len(nasty)] = nasty
    elif what == 6:
        other = chance.choice(corpus)
        data[at:] = other[chance.randrange(len(other) + 1) :]
    else:
        data[at:at] = data[max(0, at - chance.randint(1, 64)) : at] * chance.choice((1, 2, 9))
