"""Hostile bytes: a short form of `make fuzz`, and messages of every shape that MessagePack has."""

import contextlib
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_stream.producer.pictures.header import read_header
from emotion_stream.shared.errors import DecodeError
from emotion_stream.shared.messages.jpeg import check_jpeg
from tests.fuzz import decoders, pictures

LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20) | st.binary()
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
INFO = st.tuples(st.sampled_from(["cam", "a/b"]), *[LEAVES] * 7, st.sampled_from(["live", "lossless"])).map(list)
SOUND = {"v": 1, "info": ["cam", "x", "e", 1, 1.0, 0.1, 8, 8, "live"], "frame": "1-1", "model": ["m", 1, 0.1]}
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "v": LEAVES,
        "info": INFO | ANYTHING,
        "frame": LEAVES,
        "model": ANYTHING,
        "labels": ANYTHING,
        "faces": ANYTHING,
        "outcome": ANYTHING,
        "still": LEAVES,
    },
)
"""Sound messages in which some things are something else."""


@settings(max_examples=200, deadline=None, database=None)
@given(body=ANYTHING | CHANGES.map(lambda changes: {**SOUND, **changes}))
def test_any_message_is_read_or_refused(body: object) -> None:
    for decode in decoders.DECODERS.values():
        with contextlib.suppress(DecodeError):
            decode(msgpack.packb(body))


@settings(max_examples=200, deadline=None, database=None)
@given(head=st.sampled_from([p[: n + 2] for p in pictures.corpus() for n in (0, 10, 40)]), tail=st.binary())
def test_any_header_is_read_or_refused(head: bytes, tail: bytes) -> None:
    for read in (read_header, check_jpeg):
        with contextlib.suppress(ValueError):
            read(head + tail)


def test_mutants_of_messages() -> None:
    tally = decoders.fuzz(12_000, random.Random(3))
    assert sum(tally.inputs.values()) > 12_000
    assert tally.accepted["frame"] > 20  # some are near enough to be read


@pytest.mark.timeout(300)
def test_bombs_liars_and_mutants_of_pictures() -> None:
    """In a process of its own, because decoders are native code: its death would be a failure."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        tally = pool.submit(pictures.fuzz, 300, 4).result()
    assert sum(tally.outcomes.values()) == 300 + 300 // pictures.SHARE + 2 * len(pictures.bombs())
    assert tally.outcomes["haar: read as a file, ok as a frame"] > 10
    assert tally.outcomes["yunet: read as a file, ok as a frame"] > 10
    assert tally.peak < 1200 << 20  # OpenVINO and both detectors are in it, too


@pytest.mark.parametrize("name", pictures.bombs())
def test_what_means_harm_is_refused_by_its_header(name: str) -> None:
    """Only what is sound, and small, may be decoded at all."""
    harmless = ("a JPEG that is a ZIP file, too", "a JPEG with a PNG in a comment")
    data = pictures.bombs()[name]
    try:
        header = read_header(data)
    except ValueError:
        assert name not in harmless
    else:
        assert name in harmless or header.kind != "jpeg" or header.width * header.height <= 100_000_000
