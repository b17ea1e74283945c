"""The output `webhook=URL`: events as JSON, one POST for what happened within a second."""

import json
import logging
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from http.client import HTTPException
from typing import Any

from emotion_stream.shared.log import NOTICE
from emotion_stream.sink.events.event import VERSION, Event, as_json
from emotion_stream.sink.events.outbox import Outbox
from emotion_stream.sink.events.post import Post, parse_hook, sign, why
from emotion_stream.sink.outputs.faces import cut
from emotion_stream.sink.results.output import Image, Result

log = logging.getLogger(__name__)

MOST_QUEUED = 1000
MOST_AT_ONCE = 100
"""Events of one POST."""
WITH_PICTURE = ("face_appeared", "emotion_changed")
"""Kinds of events whose face is in the newest picture."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: for which events are gathered, that an answer may take, of the first and the longest pause after a
    failure, and that sending may take on the way out."""

    gather: float = 1.0
    answer: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    leave: float = 2.0


class Webhook:
    """Tells a web server of events, from a thread of its own.

    A POST is repeated, with the same `Idempotency-Key`, until the server answers with something below 500.

    Raises:
        UsageError: the URL is none.
    """

    def __init__(
        self,
        url: str,
        secret: str = "",
        pictures: bool = False,
        left_out: Callable[[int], None] = lambda count: None,
        pace: Pace = Pace(),
        most: int = MOST_QUEUED,
    ) -> None:
        """
        Args:
            url: `http://` or `https://`.
            secret: signs what is sent; empty: it is not signed.
            pictures: whether to send a thumbnail with events of faces.
            left_out: called with the number of events that will never be sent; by any thread.
            pace: how long everything takes.
            most: events that wait at the most.
        """
        self.needs_image = pictures
        self._hook = parse_hook(url)
        self._trust = ssl.create_default_context() if self._hook.scheme == "https" else None
        self._secret = secret
        self._left_out = left_out
        self._pace = pace
        self._box: Outbox[dict[str, Any]] = Outbox(most, left_out)
        self._newest: tuple[str, Image] | None = None
        self._leaving = threading.Event()
        self._deadline = 0.0
        self._closed = False
        self._post: Post | None = None
        self._told = ""
        self._unsent = 0
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
        self._thread.start()

    # --- the sink's side -------------------------------------------------------------------------------------

    def write(self, result: Result, image: Image | None) -> None:
        """Keep the newest picture for the events that come with it."""
        self._newest = None if image is None else (result.info.camera, image)

    def tell(self, event: Event) -> None:
        """Queue an event, with its face where pictures are wanted."""
        told = as_json(event)
        newest = self._newest
        if newest is not None and event.subject and newest[0] == event.camera and event.kind in WITH_PICTURE:
            told["picture"] = f"data:image/jpeg;base64,{b64encode(cut(newest[1], event.subject.box)).decode()}"
        self._box.put(told)

    def flush(self) -> None:
        """Nothing is kept on a disk."""

    def finish(self) -> None:
        """See `sink.events.event.Sender`."""
        if not self._leaving.is_set():
            self._deadline = time.monotonic() + self._pace.leave
            self._leaving.set()
            self._box.close()

    def close(self) -> None:
        """Send what waits, if that goes within a moment."""
        if self._closed:
            return
        self._closed = True
        self.finish()
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        if (post := self._post) is not None:
            post.abort()
        self._thread.join(0.2)
        lost = self._unsent + len(self._box) + self._box.take_lost()
        if self._unsent + len(self._box):
            self._left_out(self._unsent + len(self._box))
        if lost:
            log.warning("webhook %s: %d events were never sent", self._hook.shown, lost)

    # --- the sending thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._box.gather(self._pace.gather, MOST_AT_ONCE):
            self._unsent = len(batch)
            if not self._deliver(batch):
                return  # no time is left
            self._unsent = 0

    def _deliver(self, batch: list[dict[str, Any]]) -> bool:
        body = json.dumps({"version": VERSION, "events": batch}, ensure_ascii=False).encode(errors="replace")
        names = "\n".join(event["id"] for event in batch)
        headers = {"Idempotency-Key": blake2b(names.encode(), digest_size=16).hexdigest()}
        if self._secret:
            headers["X-Signature"] = sign(body, self._secret)
        pause = self._pace.first_pause
        while True:
            seconds = self._pace.answer
            if self._leaving.is_set():
                seconds = min(seconds, self._deadline - time.monotonic())
            if seconds <= 0:
                return False
            trouble = self._try(body, headers, seconds, len(batch))
            if not trouble:
                return True
            self._say("away", f"{trouble}: trying again")
            if self._leaving.is_set():
                time.sleep(max(0.0, min(pause, self._pace.leave / 8, self._deadline - time.monotonic())))
            else:
                self._leaving.wait(pause)
            pause = min(pause * 2, self._pace.longest_pause)

    def _try(self, body: bytes, headers: dict[str, str], seconds: float, count: int) -> str:
        """Why it has to be tried again; empty: it does not."""
        self._post = Post(self._hook, seconds, self._trust)
        try:
            status = self._post.send(body, headers)
        except (OSError, HTTPException) as e:
            return why(e)
        finally:
            self._post = None
        if status >= 500:
            return f"it answered {status}"
        if status >= 300:
            also = ", and redirects are not followed" if status < 400 else ""
            self._say("refuses", f"it answered {status}{also}: what it refuses is left out")
            self._left_out(count)
        else:
            if self._told != "slow" or len(self._box) < MOST_AT_ONCE:
                self._say()
            if self._box.lost:
                self._say("slow", "it takes less than comes: the oldest is left out")
        return ""

    def _say(self, state: str = "", trouble: str = "") -> None:
        """Tell trouble once for an outage: servers that come back fail in several ways."""
        if state and state != self._told:
            log.warning("webhook %s: %s", self._hook.shown, trouble)
        elif self._told and not state:
            lost = self._box.take_lost()
            more = f"; {lost} events were left out" if lost else ""
            again = "keeps up" if self._told == "slow" else "answers"
            log.log(NOTICE, "webhook %s: it %s again%s", self._hook.shown, again, more)
        self._told = state
