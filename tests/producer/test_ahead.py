"""Reading ahead: the same pictures, the same errors, and no thread left behind."""

import threading
import time
from dataclasses import dataclass, field

import pytest

from emotion_stream.producer.pictures.source import Context, Picture
from emotion_stream.producer.sources.ahead import DEPTH, Ahead
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Mode
from emotion_stream.shared.settings.options import ProducerOptions


@dataclass
class Counted:
    """A source of numbered pictures that fails at `bad`."""

    count: int = 20
    bad: int = -1
    name: str = "cam"
    url: str = "nowhere"
    mode: Mode = "lossless"
    rate: float | None = 10.0
    read_so_far: list[int] = field(default_factory=list)
    closed: int = 0
    at: int = 0

    def open(self, start: int = 0) -> None:
        self.at = start

    def read(self) -> Picture | None:
        if self.at == self.bad:
            raise EmotionError("it is broken")
        if self.at >= self.count:
            return None
        self.read_so_far.append(self.at)
        self.at += 1
        return Picture(None, b"", 1, 1, (self.at - 1) / 10, 0.0)

    def close(self) -> None:
        self.closed += 1


def seqs(source: Ahead) -> list[int]:
    found = []
    while (picture := source.read()) is not None:
        found.append(round(picture.media_time * 10))
    return found


def test_all_pictures_come_in_order_and_then_none_for_ever() -> None:
    source = Ahead(Counted())
    source.open(3)
    assert seqs(source) == list(range(3, 20))
    assert source.read() is None
    source.open(18)
    assert seqs(source) == [18, 19]
    source.close()


def test_it_reads_only_a_little_ahead_and_stops_when_closed() -> None:
    inner = Counted(count=10**9)
    source = Ahead(inner)
    source.open()
    assert source.read() is not None
    time.sleep(0.2)
    assert len(inner.read_so_far) <= DEPTH + 2
    source.close()
    assert inner.closed == 1
    assert not [t for t in threading.enumerate() if t.name == "decode-cam"]
    assert source.read() is None


def test_an_error_comes_in_its_place() -> None:
    source = Ahead(Counted(bad=2))
    source.open()
    assert source.read() is not None
    assert source.read() is not None
    with pytest.raises(EmotionError, match="broken"):
        source.read()
    assert source.read() is None
    source.close()


def test_a_clip_is_the_same_read_ahead() -> None:
    class Nobody:
        def frames(self, n: int) -> None: ...
        def dropped(self, reason: str, n: int) -> None: ...
        def errors(self, n: int) -> None: ...
        def reconnects(self) -> None: ...

    context = Context(threading.Event(), Nobody())
    ahead, plain = (
        make_source(parse_source("sample"), m, ProducerOptions(), context) for m in ("lossless", "live")
    )
    assert isinstance(ahead, Ahead)
    for source in (ahead, plain):
        source.open(345)
    for _ in range(10):
        a, b = ahead.read(), plain.read()
        assert a is not None
        assert b is not None
        assert a.image is not None
        assert (a.image == b.image).all()
        assert a.media_time == b.media_time
    assert ahead.read() is None
    for source in (ahead, plain):
        source.close()
