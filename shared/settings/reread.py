"""Reads the settings file again while a process runs: because somebody asks for it, or because it has changed."""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.cameras import TABLES, find_cameras
from emotion_stream.shared.settings.loading import read_toml

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the file. One that was changed is read when it has stayed the same for so long."""
UNCHANGED = "the cameras stay as they are: %s"
_PLACE = re.compile(rf"\[{TABLES}\.(?P<camera>[^\]]*)\](?:, (?P<key>[a-z_]+))?")
_UNKNOWN = re.compile(r"unknown setting '(?P<key>[^']*)'")
T = TypeVar("T")
Stamp = tuple[tuple[int, int, int] | None, ...]


class Reread:
    """The settings file of a process that goes on while people change it."""

    def __init__(
        self,
        values: Mapping[str, Any],
        asked: Event,
        *,
        watch: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            values: the merged settings with which the process began.
            asked: is set when somebody asks for the file to be read again.
            watch: whether the file is read by itself when it changes.
            clock: seconds.
        """
        self._values = dict(values)
        self._asked = asked
        self._watch = watch
        self._clock = clock
        names = (values.get("config"), values.get("cameras_file"))
        self._files = tuple(Path(name) for name in names if name)
        self._general = self._look_general()
        self._seen = _stamp(self._files)
        self._done = self._seen if self._is_known() else ()
        self._look_at = clock() + LOOK_EVERY

    def is_due(self) -> bool:
        """Whether the file is to be read again."""
        if self._changed():
            self._asked.set()
        return self._asked.is_set()

    def news(self, read: Callable[[Mapping[str, Any]], T]) -> T | None:
        """What `read` makes of the settings as they are now, if the file is to be read again. A mistake, which is
        what raises `EmotionError`, is logged with its line. To be asked often."""
        if not self.is_due():
            return None
        self._asked.clear()
        self._done = _stamp(self._files)
        if not self._files:
            log.warning("there is no settings file to be read again: --config names one")
            return None
        try:
            values = {**self._values, TABLES: find_cameras(self._values)}
            made = read(values)
        except EmotionError as e:
            log.error(UNCHANGED, with_line(str(e), self._files))
            return None
        self._tell_general()
        return made

    def _is_known(self) -> bool:
        """Whether the file is as it was when the process read its settings: it may have changed meanwhile."""
        try:
            return TABLES not in self._values or find_cameras(self._values) == self._values[TABLES]
        except EmotionError:
            return False

    def _changed(self) -> bool:
        now = self._clock()
        if not self._watch or now < self._look_at:
            return False
        self._look_at = now + LOOK_EVERY
        before, self._seen = self._seen, _stamp(self._files)
        steady = self._seen == before and None not in self._seen  # not while somebody writes or replaces it
        return steady and self._seen != self._done

    def _tell_general(self) -> None:
        """Settings of all cameras, and those of other things, belong to processes that go on as they are."""
        before, self._general = self._general, self._look_general()
        names = sorted(n for n in before.keys() | self._general.keys() if before.get(n) != self._general.get(n))
        if names:
            log.warning("%s: changed, which needs a restart; cameras alone can change without", ", ".join(names))

    def _look_general(self) -> Mapping[str, Any]:
        config = self._values.get("config")
        try:
            document = read_toml(Path(config)) if config else {}
        except EmotionError:
            return {}
        return {name: value for name, value in document.items() if name != TABLES}


def _stamp(files: tuple[Path, ...]) -> Stamp:
    """What changes with a file, also where it is replaced by another one; None: it is not there."""
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            about = os.stat(file)
            found.append((about.st_mtime_ns, about.st_size, about.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def with_line(message: str, files: tuple[Path, ...]) -> str:
    """The message about a mistake in one of these files, with the number of its line where that can be found."""
    place, unknown = _PLACE.search(message), _UNKNOWN.search(message)
    key = (unknown or place or {"key": None})["key"]
    for file in files if (place or unknown) and " line " not in message else ():
        try:
            number = line_of(file.read_text("utf-8", "replace"), place["camera"] if place else None, key)
        except OSError:
            continue
        if number is not None:
            where = f"{file}, line {number}"
            return (
                where + message.removeprefix(str(file)) if message.startswith(str(file)) else f"{where}, {message}"
            )
    return message


def line_of(text: str, camera: str | None, key: str | None) -> int | None:
    """The number, from 1, of the line that sets `key` in the table of `camera`; of its head where no key is given
    or found; None: it is not to be found. Without a camera, the lines before the first table. Pure."""
    found = None
    inside = camera is None
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(rf"\s*\[\s*{TABLES}\s*\.\s*([\"']?)([^\"'\]]*?)\1\s*[.\]]", line)
        if head or line.lstrip().startswith("["):
            if inside and found is not None:
                break
            inside = bool(head) and camera is not None and head is not None and head[2].strip() == camera
            found = number if inside else found
        elif inside and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return found
