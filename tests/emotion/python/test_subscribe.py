"""Another program that listens to a pipeline: real runs on a real server."""

import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from emotion_stream import subscribe
from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.types import Emotions
from emotion_stream.shared.streams import groups
from emotion_stream.shared.streams.connection import connect
from emotion_stream.shared.streams.shard import Streams
from tests.conftest import make_frame
from tests.emotion.conftest import Launch
from tests.support.pictures import SAMPLE


def put(streams: Streams, *seqs: int, **changes: object) -> None:
    for seq in seqs:
        emotions = Emotions(make_frame(seq, **changes).info, f"{seq + 1}-0", ("happy",), ())  # type: ignore[arg-type]
        streams.client.xadd(streams.keys.emotions, {"m": encode_emotions(emotions)[b"m"]})


def take(results: Iterator[dict[str, Any]], count: int) -> list[int]:
    return [line["seq"] for line in itertools.islice(results, count)]


def test_results_of_a_run_come_as_its_json_lines_have_them(
    tmp_path: Path, server: EmbeddedServer, start: Launch
) -> None:
    path = tmp_path / "r.jsonl"
    where = f"--redis={server.url}", "--namespace=heard"
    process = start("run", str(SAMPLE), "--mode=live", "--loop", f"--output=jsonl={path}", *where)
    while not path.exists() or not path.stat().st_size:
        assert process.poll() is None
        time.sleep(0.1)
    results = subscribe(server.url, "heard", name="robot")
    heard = list(itertools.islice(results, 40))
    results.close()  # type: ignore[attr-defined]
    again = subscribe(server.url, "heard", name="robot")
    heard.append(next(again))
    process.send_signal(signal.SIGINT)
    rest = list(again)  # the run ends, and so does this
    assert process.wait(60) == 0
    told = {line["seq"]: line for line in map(json.loads, path.read_text().splitlines())}
    seqs = [line["seq"] for line in (*heard, *rest)]
    assert seqs == sorted(set(seqs))
    assert seqs[0] > 0  # from the call on, not from the beginning
    assert heard[40]["seq"] - heard[39]["seq"] < 60  # it went on where it was, and did not begin anew
    for line in heard[10:40]:
        same = told[line["seq"]]
        assert line.keys() == same.keys()
        assert [face["box"] for face in line["faces"]] == [face["box"] for face in same["faces"]]
        assert [face["raw"] for face in line["faces"]] == [face["raw"] for face in same["faces"]]
    assert any(face["confirmed"] for line in heard for face in line["faces"])


def test_nobody_waits_for_a_subscriber(tmp_path: Path, server: EmbeddedServer, start: Launch) -> None:
    """One that never reads, with a lossless run: all is shown, at the end nothing is left."""
    path = tmp_path / "r.jsonl"
    process = start("run", str(SAMPLE), f"--output=jsonl={path}", f"--redis={server.url}", "--namespace=unheard")
    while not path.exists() or not path.stat().st_size:
        assert process.poll() is None
        time.sleep(0.05)
    results = subscribe(server.url, "unheard", name="asleep")
    assert next(results)["camera"] == "sample"
    assert process.wait(100) == 0
    seqs = [json.loads(line)["seq"] for line in path.read_text().splitlines()]
    assert seqs == list(range(len(seqs)))
    rest = [line["seq"] for line in results]  # it ends: the run took its streams along
    assert rest == sorted(rest)


def test_results_come_in_order_and_a_gap_is_passed_over(server: EmbeddedServer, streams: Streams) -> None:
    results = subscribe(server.url, streams.keys.namespace, name="me", hold_back=0.3)
    put(streams, 0, 2, 1, 4, 5)
    assert take(results, 3) == [0, 1, 2]
    started = time.monotonic()
    assert take(results, 2) == [4, 5]
    assert time.monotonic() - started < 5


def test_a_place_is_the_callers_own_and_kept(server: EmbeddedServer, streams: Streams) -> None:
    where = server.url, streams.keys.namespace
    put(streams, 0)
    first = subscribe(*where, name="one", hold_back=0.1)
    put(streams, 1, 2, 3)
    second = subscribe(*where, name="two", hold_back=0.1, idle=0.5, keep=False)
    assert take(first, 2) == [1, 2]
    first.close()  # type: ignore[attr-defined]
    put(streams, 4)
    assert take(subscribe(*where, name="one", hold_back=0.1), 2) == [3, 4]
    assert [line["seq"] for line in second] == [4]  # of what came after its call; then it was idle
    names = {group["name"] for group in streams.client.xinfo_groups(streams.keys.emotions)}
    assert names == {b"reader:one"}


def test_two_programs_cannot_share_a_name(
    server: EmbeddedServer, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotion_stream.emotion.python.subscribing.LEASE_SECONDS", 1.0)
    where = server.url, streams.keys.namespace
    results = subscribe(*where, name="one", hold_back=0.0)
    over = threading.Event()

    def listen() -> None:
        for _ in results:
            if over.is_set():
                break

    thread = threading.Thread(target=listen)
    thread.start()
    with pytest.raises(EmotionError, match="another program reads as 'one'"):
        subscribe(*where, name="one")
    over.set()
    put(streams, 0)
    thread.join(20)
    assert not thread.is_alive()


def test_one_that_never_comes_back_costs_a_bounded_number_of_entries(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "READER_ENTRIES", 500)
    stream = streams.keys.emotions
    streams.ensure_group(stream, "sink")
    streams.join_reader(stream, "gone")
    for count, kept in ((400, True), (200, False)):
        for _ in range(count):
            streams.client.xadd(stream, {"m": b"x"})
        entries = streams.read_new(stream, "sink", "sink", 1000, None)
        streams.client.xack(stream, "sink", *[entry.id for entry in entries])
        streams.trim_used(stream)
        assert (streams.length(stream) >= 400) == kept


def test_mistakes_are_told(server: EmbeddedServer, streams: Streams) -> None:
    with pytest.raises(UsageError, match="letters"):
        subscribe(server.url, name="a b")
    with pytest.raises(EmotionError, match="cannot be reached"):
        subscribe("redis://127.0.0.1:1/0", name="a")
    for run in ("aaaa", "bbbb"):
        key = streams.keys.workers.replace(streams.keys.namespace, f"many-{run}")
        streams.client.hset(key, "a", "b")
    with pytest.raises(EmotionError, match="many-aaaa, many-bbbb"):
        subscribe(server.url, "many", name="a")


def test_the_user_of_the_documents_may_do_it_and_no_more(
    tmp_path: Path, client: "redis.Redis", streams: Streams, server: EmbeddedServer
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "python.md").read_text()
    block = next(part for part in page.split("```") if part.strip().startswith("user reader"))
    rules = " ".join(block.split()).replace("emotion:{", f"{streams.keys.namespace}:{{").split(" ")[2:]
    joined: list[str] = []
    for rule in rules:  # what stands in parentheses is one rule
        if joined and joined[-1].startswith("(") and not joined[-1].endswith(")"):
            joined[-1] += f" {rule}"
        else:
            joined.append(rule)
    client.execute_command("ACL", "SETUSER", "reader", "reset", *joined)  # type: ignore[no-untyped-call]
    (tmp_path / "password").write_text("PASSWORD\n")
    try:
        reader = connect(server.url)
        reader.connection_pool.connection_kwargs |= {"username": "reader", "password": "PASSWORD"}
        with pytest.raises(NoPermissionError):
            reader.xadd(streams.keys.emotions, {"m": b"x"})
        with pytest.raises(NoPermissionError):
            reader.xrange(streams.keys.frames)
        reader.close()
        url = (
            server.url.replace("://", "://reader@")
            if "unix" not in server.url
            else f"{server.url}?username=reader"
        )
        results = subscribe(
            url, streams.keys.namespace, name="me", hold_back=0.1, idle=1.0, keep=False,
            password_file=str(tmp_path / "password"),
        )  # fmt: skip
        put(streams, 0, 1)
        assert [line["seq"] for line in results] == [0, 1]
        assert not streams.client.xinfo_groups(streams.keys.emotions)
    finally:
        client.execute_command("ACL", "DELUSER", "reader")  # type: ignore[no-untyped-call]
