"""`emotion dead` against a real server, with workers and a sink that process what is replayed."""

import json
import threading
from pathlib import Path

import pytest

from emotion_stream.emotion.commands.dead import COMMAND
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.messages.codec import decode_frame, encode_emotions, encode_frame
from emotion_stream.shared.messages.types import Emotions, Frame, Outcome
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.groups import DEAD_TOTAL, Done
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.tracking.follow import Follower, following
from tests.conftest import append_frames, entries, make_frame
from tests.shared.test_upgrades import Kept
from tests.shared.test_worker import Echo, letters, own_connection, results, until, working


@pytest.fixture
def link(server: EmbeddedServer, streams: Streams) -> list[str]:
    return [f"--redis={server.url}", f"--namespace={streams.keys.namespace}"]


def set_aside(streams: Streams, count: int = 1, reason: str = "kills workers") -> list[str]:
    """Dead letters of `count` frames; returns their ids."""
    keys = streams.keys
    ids = append_frames(streams, count)
    streams.ensure_group(keys.frames, "detector")
    streams.read_new(keys.frames, "detector", "a", count, None)
    streams.hop(keys.frames, "detector", keys.faces, [Done(i, b"", reason, 3) for i in ids])
    return [i for i, _ in entries(streams, keys.dead)]


def test_letters_are_listed_and_shown(
    streams: Streams, link: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (letter,) = set_aside(streams, reason="rtsp://u:secret@cam \x1b[31m failed")
    assert COMMAND.main(["list", *link]) == 0
    told = capsys.readouterr().out
    assert letter in told
    assert "cam #0" in told
    assert "secret" not in told
    assert "\x1b" not in told
    assert COMMAND.main(["--json", *link]) == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 0
    picture = tmp_path / "letter.jpg"
    assert COMMAND.main(["show", letter, f"--jpeg={picture}", *link]) == 0
    shown = capsys.readouterr().out
    assert "deliveries  3" in shown
    assert picture.read_bytes() == make_frame().jpeg


def test_garbage_is_listed_too(streams: Streams, link: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    streams.client.xadd(streams.keys.dead, {"stream": b"\xff\xfe", "field:h": b"\xc1", "field:\xff": b"x"})
    assert COMMAND.main(["list", *link]) == 0
    assert "  -  " in capsys.readouterr().out
    (letter,) = (i for i, _ in entries(streams, streams.keys.dead))
    latest = f"{2**64 - 1}-0"  # no time that anybody could write
    streams.client.xadd(streams.keys.dead, {"reason": "late"}, id=latest)
    for arguments in (["list"], ["list", "--json"], ["show", latest]):
        assert COMMAND.main([*arguments, *link]) == 0
        assert latest in capsys.readouterr().out
    assert COMMAND.main(["drop", latest, *link]) == 0
    assert COMMAND.main(["show", letter, *link]) == 0
    assert COMMAND.main(["replay", letter, *link]) == 1
    assert "cannot be replayed" in capsys.readouterr().err
    assert len(letters(streams)) == 1  # it stays


def test_letters_are_dropped(streams: Streams, link: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = set_aside(streams, 3)
    assert COMMAND.main(["drop", first, *link]) == 0
    assert len(letters(streams)) == 2
    assert COMMAND.main(["drop", "--all", *link]) == 0
    assert "dropped 2 of 2" in capsys.readouterr().out
    assert COMMAND.main(["list", *link]) == 0
    assert "no dead letters in namespace" in capsys.readouterr().out


def test_an_empty_namespace_points_to_those_of_runs(
    server: EmbeddedServer, streams: Streams, capsys: pytest.CaptureFixture[str]
) -> None:
    set_aside(streams)
    name = streams.keys.namespace
    assert COMMAND.main(["list", f"--redis={server.url}", f"--namespace={name}x"]) == 0
    assert name in capsys.readouterr().out
    assert COMMAND.main(["drop", "--all", f"--redis={server.url}", f"--namespace={name}"]) == 0
    capsys.readouterr()
    assert COMMAND.main(["list", f"--redis={server.url}", f"--namespace={name}"]) == 0
    told, _, elsewhere = capsys.readouterr().out.partition("there are some in")
    assert name in told
    assert name not in elsewhere.replace(",", " ").split()  # what is empty now is not pointed to


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["burn"], 2, "not one of list, show"),
        (["drop"], 2, "--all"),
        (["drop", "1-0", "--all"], 2, "--all"),
        (["show"], 2, "one letter"),
        (["show", "latest"], 2, "not the id"),
        (["show", "1-0"], 1, "no dead letter 1-0"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], code: int, says: str, link: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMAND.main([*arguments, *link]) == code
    told = capsys.readouterr().err
    assert says in told
    assert len(told.splitlines()) == 1


def test_what_is_replayed_is_processed_and_shown(
    streams: Streams, link: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As frames of a camera and epoch of their own: their places were taken by errors long ago."""
    set_aside(streams, 3)
    streams.client.delete(streams.keys.frames)
    kept = Kept()
    service = Service("sink", "0", CommonOptions())
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(service, own_connection(streams), "sink", lambda: [kept], 1.0, Watchdog(10), follower)
    shown = threading.Thread(target=sink.run)
    shown.start()
    done = threading.Event()
    passed = threading.Thread(target=pass_on, args=(own_connection(streams), done))
    passed.start()
    try:
        with working(streams, Echo()):
            assert COMMAND.main(["replay", "--all", *link]) == 0
    finally:
        done.set()
        passed.join(10)
        service.stop.set()
        shown.join(10)
    assert "replayed 3, as cam.replay" in capsys.readouterr().out
    assert [(r.info.camera, r.info.seq, r.info.media_time) for r in kept.results] == [
        ("cam.replay", n, n / 10) for n in range(3)
    ]
    assert {r.info.epoch[:7] for r in kept.results} == {"replay-"}
    assert letters(streams) == []
    assert streams.length(streams.keys.frames) == 0


def pass_on(streams: Streams, done: threading.Event) -> None:
    """A classifier that labels nothing."""
    seen = 0
    while not done.wait(0.02):
        for found in results(streams)[seen:]:
            seen += 1
            message = Emotions(found.info, found.frame_id, (), ())
            streams.client.xadd(streams.keys.emotions, encode_emotions(message))  # type: ignore[arg-type]


def test_a_letter_is_replayed_once(streams: Streams) -> None:
    (letter,) = set_aside(streams)
    before = streams.length(streams.keys.frames)
    fields = encode_frame(make_frame(5))
    made = streams.replay(letter, streams.keys.frames, fields)
    assert made is not None
    assert streams.replay(letter, streams.keys.frames, fields) is None
    assert streams.length(streams.keys.frames) == before + 1
    found: Frame = decode_frame(dict(entries(streams, streams.keys.frames)[-1][1]), made)
    assert (found.info.seq, found.outcome) == (5, Outcome())


def test_large_letters_are_fewer(streams: Streams) -> None:
    keys = streams.keys
    streams.ensure_group(keys.frames, "detector")
    size, count = 900_000, 90
    for _ in range(count):
        streams.client.xadd(keys.frames, {"j": bytes(size)})
        (entry,) = streams.read_new(keys.frames, "detector", "a", 1, None)
        streams.hop(keys.frames, "detector", keys.faces, [Done(entry.id, dead="garbage")])
        streams.delete_frames([entry.id])
    kept = streams.length(keys.dead)
    assert DEAD_TOTAL // size <= kept <= DEAD_TOTAL // size + 3 < count
    streams.client.delete(keys.dead)


def test_letters_on_a_foreign_server_end_with_time(streams: Streams) -> None:
    set_aside(streams)
    streams.forget()
    until(lambda: 0 < int(streams.client.ttl(streams.keys.dead)) <= 7 * 86_400)
