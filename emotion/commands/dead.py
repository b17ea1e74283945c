"""`emotion dead`: the messages that could not be processed. Look at them, put them back, throw them away."""

import contextlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError

from emotion_stream.shared.claims import Claim, check
from emotion_stream.shared.errors import DecodeError, EmotionError, UsageError
from emotion_stream.shared.log import clean
from emotion_stream.shared.messages.codec import (
    decode_detections,
    decode_emotions,
    decode_frame,
    encode_detections,
    encode_emotions,
    encode_frame,
    salvage,
)
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.process.service import Service, open_streams
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.loading import build, option
from emotion_stream.shared.settings.options import CommonOptions, ServerOptions
from emotion_stream.shared.settings.result_options import WriteOptions
from emotion_stream.shared.streams.access import Entry, id_seconds
from emotion_stream.shared.streams.keys import Keys
from emotion_stream.shared.streams.letters import REPLAYED
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.shared.terminal import say
from emotion_stream.shared.whole import write_whole

STREAM_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")
SUFFIX = ".replay"
"""What a camera's name gets: replayed frames never mix with what that camera sends now."""
PATIENCE = 30.0
"""Seconds that replayed frames may take until every sink has shown them."""
FIELD = b"field:"


@dataclass(frozen=True, slots=True)
class DeadOptions:
    """What to do with which dead letters."""

    action: str = option(
        "list",
        "list them; show one; replay: process again, as camera NAME.replay; drop: delete",
        choices=("list", "show", "replay", "drop"),
        positional=True,
    )
    letter: tuple[str, ...] = option((), "ids, as `list` tells them", metavar="ID", positional=True)
    all: bool = option(False, "replay or drop all of them")
    json: bool = option(False, "print JSON lines instead of a table")
    jpeg: str | None = option(None, "show: write the letter's picture to this file", metavar="FILE")


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Attributes:
        id: its own id, and the time at which it was set aside.
        stream, entry: kind of the stream it was in, and its id there.
        group: whose workers could not process it.
        deliveries: how often it had been handed out before.
        fields: what it was; empty where that was too large to be kept.
        info: whose place in the order it took, where that could be told.
    """

    id: str
    stream: str
    entry: str
    group: str
    reason: str
    deliveries: str
    fields: Mapping[bytes, bytes]
    info: FrameInfo | None

    @staticmethod
    def of(entry: Entry) -> "Letter":
        """The letter in an entry of the stream `dead`. Fields that are missing or garbled are left empty."""

        def text(name: bytes) -> str:
            return clean(entry.fields.get(name, b"").decode(errors="replace"))

        fields = {k.removeprefix(FIELD): v for k, v in entry.fields.items() if k.startswith(FIELD)}
        placed = salvage(fields, text(b"id"))
        return Letter(
            entry.id,
            text(b"stream").rpartition(":")[2],
            text(b"id"),
            text(b"group"),
            text(b"reason"),
            text(b"deliveries"),
            fields,
            placed.info if placed else None,
        )

    def time(self, zone: tzinfo | None, precision: str) -> str | None:
        """When it was set aside, as ISO 8601; None where its id, which anybody may have chosen, is no time."""
        try:
            return datetime.fromtimestamp(id_seconds(self.id), zone).isoformat(timespec=precision)
        except (ValueError, OverflowError, OSError):
            return None

    def as_json(self) -> dict[str, Any]:
        """The letter as `dead list --json` prints it."""
        info = self.info
        return {
            "id": self.id,
            "time": self.time(UTC, "milliseconds"),
            "stream": self.stream,
            "entry": self.entry,
            "group": self.group,
            "deliveries": self.deliveries,
            "reason": self.reason,
            "camera": info.camera if info else None,
            "epoch": clean(info.epoch) if info else None,
            "seq": info.seq if info else None,
            "source": clean(info.source) if info else None,
            "bytes": {clean(k.decode(errors="replace")): len(v) for k, v in self.fields.items()},
        }


def run(values: Values) -> None:
    """Do what the action says.

    Raises:
        EmotionError: a letter is not there or cannot be replayed, or the server cannot be reached.
        UsageError: letters are named wrongly, or not at all.
    """
    options = build(DeadOptions, values)
    for letter in options.letter:
        if not STREAM_ID.fullmatch(letter):
            raise UsageError(f"{clean(letter)!r} is not the id of a dead letter; `emotion dead list` tells them")
    if options.action in ("replay", "drop") and bool(options.letter) == options.all:
        raise UsageError(f"{options.action}: name letters by their ids, or all of them with --all")
    if options.action == "show" and len(options.letter) != 1:
        raise UsageError("show: name one letter by its id")
    if options.jpeg:
        check((), [Claim(Path(options.jpeg), f"--jpeg {options.jpeg}")], force=build(WriteOptions, values).force)
    streams = open_streams(build(ServerOptions, values), Service("dead", "", CommonOptions()), patience=0)
    ACTIONS[options.action](streams, options)


def _list(streams: Streams, options: DeadOptions) -> None:
    empty = True
    for entry in streams.dead_letters():
        letter, empty = Letter.of(entry), False
        if options.json:
            say(json.dumps(letter.as_json(), ensure_ascii=False))
            continue
        where = f"{letter.info.camera} #{letter.info.seq}" if letter.info else "-"
        when = (letter.time(None, "seconds") or "-").replace("T", " ")
        say(f"{letter.id}  {when}  {letter.stream:<8}  {where:<20}  {letter.reason}")
    if empty and not options.json:
        say(f"no dead letters in namespace {streams.keys.namespace}{_elsewhere(streams)}")


def _elsewhere(streams: Streams) -> str:
    """Namespaces that begin like ours and do have dead letters: every run on a server has one of its own."""
    found = set()
    with contextlib.suppress(ResponseError):  # SCAN may be forbidden
        for key in streams.client.scan_iter(f"{streams.keys.namespace}*:dead", count=1000):
            if streams.client.xlen(key):  # dropping all letters leaves an empty stream
                found.add(key.decode(errors="replace").partition(":")[0])
    return f"; there are some in: {clean(', '.join(sorted(found)))} (--namespace)" if found else ""


def _show(streams: Streams, options: DeadOptions) -> None:
    letter = _find(streams, options.letter[0])
    if options.jpeg:
        if not letter.fields.get(b"j"):
            raise EmotionError(f"letter {letter.id} holds no picture")
        try:
            write_whole(Path(options.jpeg), letter.fields[b"j"])
        except OSError as e:
            raise EmotionError(f"cannot write {options.jpeg}: {e.strerror}") from e
    if options.json:
        say(json.dumps(letter.as_json(), ensure_ascii=False))
        return
    for name, value in letter.as_json().items():
        if value is not None:
            say(f"{name:<10}  {value}")


def _find(streams: Streams, letter: str) -> Letter:
    entry = streams.dead_letter(letter)
    if entry is None:
        raise EmotionError(f"there is no dead letter {letter} in namespace {streams.keys.namespace}")
    return Letter.of(entry)


def _drop(streams: Streams, options: DeadOptions) -> None:
    letters = [e.id for e in streams.dead_letters()] if options.all else list(options.letter)
    say(f"dropped {streams.drop_letters(letters)} of {len(letters)}")


def _replay(streams: Streams, options: DeadOptions) -> None:
    """Put letters back, in their order, as frames of an epoch of their own: their old places are taken by now."""
    names = [e.id for e in streams.dead_letters()] if options.all else list(options.letter)
    epoch = f"{REPLAYED}{secrets.token_hex(4)}"
    counts: dict[str, int] = {}
    frames, failed = [], []
    for name in names:
        letter = _find(streams, name)
        try:
            stream, camera, fields = _again(streams.keys, letter, epoch, counts)
        except DecodeError as e:
            failed.append(f"letter {name} cannot be replayed: {e}")
            continue
        made = streams.replay(name, stream, fields)
        if made is not None:
            counts[camera] = counts.get(camera, 0) + 1
            if stream == streams.keys.frames:
                frames.append(made)
    total = sum(counts.values())
    if total:
        say(f"replayed {total}, as {', '.join(sorted(counts))}, epoch {epoch}")
        shown = _wait(streams, epoch, counts)
        streams.delete_frames(frames)
        if shown < total:
            failed.append(f"only {shown} of {total} replayed frames were shown within {PATIENCE:.0f} s")
    if failed:
        raise EmotionError(failed[0] + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""))
    if not total:
        say("nothing to replay")


def _again(
    keys: Keys, letter: Letter, epoch: str, counts: Mapping[str, int]
) -> tuple[str, str, dict[bytes, bytes]]:
    """Stream, camera and fields with which a letter is processed once more.

    Raises:
        DecodeError: it is not a message.
    """
    if not letter.fields:
        raise DecodeError("its content was too large to be kept")

    def place(info: FrameInfo) -> FrameInfo:
        # Lossless, because it is old and must not be dropped for that.
        camera = info.camera[: 64 - len(SUFFIX)].removesuffix(SUFFIX) + SUFFIX
        return replace(info, camera=camera, epoch=epoch, seq=counts.get(camera, 0), mode="lossless")

    if letter.stream == "frames":
        frame = decode_frame(letter.fields, letter.entry)
        frame = replace(frame, info=place(frame.info))
        return keys.frames, frame.info.camera, encode_frame(frame)
    if letter.stream == "faces":
        detections = decode_detections(letter.fields, letter.entry)
        detections = replace(detections, info=place(detections.info))
        return keys.faces, detections.info.camera, encode_detections(detections)
    emotions = decode_emotions(letter.fields, letter.entry)
    emotions = replace(emotions, info=place(emotions.info))
    return keys.emotions, emotions.info.camera, encode_emotions(emotions)


def _wait(streams: Streams, epoch: str, counts: Mapping[str, int]) -> int:
    """Wait until every sink has shown what was replayed; returns how many frames they have shown."""
    deadline = time.monotonic() + PATIENCE
    while True:
        shown = sum(streams.done(camera, epoch) or 0 for camera in counts)
        if shown >= sum(counts.values()) or time.monotonic() > deadline:
            return shown
        time.sleep(0.1)


ACTIONS: Mapping[str, Callable[[Streams, DeadOptions], None]] = {
    "list": _list,
    "show": _show,
    "replay": _replay,
    "drop": _drop,
}

COMMAND = Command(
    "dead",
    "List, show, replay or drop the messages that could not be processed.",
    (DeadOptions, WriteOptions, ServerOptions),
    run,
)
