"""The output `images=DIR`: every annotated frame as `DIR/<camera>/<seq>.jpg`."""

import contextlib
import os
import re
from pathlib import Path

import cv2

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.words.words import ENGLISH, Words
from emotion_stream.sink.drawing.draw import Rate, annotate
from emotion_stream.sink.outputs.blocks import rounded
from emotion_stream.sink.results.output import Image, Result

MARK = b"emotion-stream "
"""Begins the comment in every JPEG written here; epoch and seq follow."""
QUALITY = 90
_START = b"\xff\xd8\xff\xfe"
NAME = re.compile(r"(?:[0-9]{8,}(?:-[A-Za-z0-9_.-]+)?\.jpg|\.[0-9]{8,}(?:-[A-Za-z0-9_.-]+)?\.jpg\.part)")
"""What pictures written here are called, unfinished ones included."""


def folder(directory: Path, camera: str) -> Path:
    """The folder of a camera. Pure."""
    return directory / (f"_{camera}" if camera in (".", "..") else camera)


def camera_of(folder: Path) -> str:
    """The camera whose folder this is. Pure."""
    return folder.name[1:] if folder.name in ("_.", "_..") else folder.name


def comment(path: Path) -> bytes | None:
    """`epoch seq` of a JPEG written here, None for any other file."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:
        return None
    if not head.startswith(_START) or head[6 : 6 + len(MARK)] != MARK:
        return None
    return head[6 + len(MARK) : 4 + int.from_bytes(head[4:6])]


def written(directory: Path) -> list[Path]:
    """The files in `directory` that this output has written, unfinished ones of a killed run included."""
    if not directory.is_dir():
        return []
    folders = [p for p in directory.iterdir() if p.is_dir() and not p.is_symlink()]
    return [
        p
        for each in folders
        for p in each.iterdir()
        if NAME.fullmatch(p.name) and p.is_file() and not p.is_symlink() and is_ours(p)
    ]


def is_ours(path: Path) -> bool:
    """Whether a picture carries our mark, or is the empty beginning of one."""
    return comment(path) is not None or (path.suffix == ".part" and path.stat().st_size == 0)


def remove(directory: Path) -> None:
    """Remove what `written` finds, and the folders that become empty.

    Raises:
        OSError: a file cannot be removed.
    """
    paths = written(directory)
    for path in paths:
        path.unlink(missing_ok=True)
    for parent in {path.parent for path in paths}:
        with contextlib.suppress(OSError):
            parent.rmdir()


class Images:
    """Writes one annotated JPEG per frame that has a picture.

    Each appears whole or not at all. `<seq>` has eight digits; where a live camera was started again and counts
    from 0 once more, later epochs get `<seq>-<epoch>.jpg`.

    Attributes:
        size: bytes that its pictures have taken since it began.

    Raises:
        EmotionError: the folder cannot be made.
    """

    needs_image = True

    def __init__(self, directory: Path, notice: str = "", words: Words = ENGLISH) -> None:
        self.size = 0
        self._directory = directory
        self._notice = notice
        self._words = words
        self._rates: dict[str, Rate] = {}
        make_folder(directory)

    def write(self, result: Result, image: Image | None) -> None:
        """Write the picture with its boxes, if there is one."""
        info = result.info
        rate = self._rates.setdefault(info.camera, Rate())
        fps = rate.update(info.captured_at + result.latency)
        if image is None or result.outcome.status != "ok":
            return
        mark = _mark(info)
        place = folder(self._directory, info.camera)
        path = place / f"{info.seq:08}.jpg"
        there = comment(path)
        if there is None and path.exists():
            raise EmotionError(f"{path} is a picture of something else: choose another folder")
        if there is not None and there != mark:
            path = place / f"{info.seq:08}-{re.sub(r'[^A-Za-z0-9_.-]', '_', info.epoch)}.jpg"
            there = comment(path)
        if there == mark:
            return
        drawn = annotate(image, result, fps, result.notice(self._notice), words=self._words)
        done, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not done:
            raise EmotionError(f"cannot write {path}: the picture cannot be encoded")
        make_folder(place)
        whole = marked(data.tobytes(), mark)
        store(path, whole)
        self.size += rounded(len(whole))

    def flush(self) -> None:
        """Nothing to do: each picture goes to the operating system at once."""

    def close(self) -> None:
        """Nothing to do."""


def _mark(info: FrameInfo) -> bytes:
    return f"{info.epoch} {info.seq}".encode()


def make_folder(place: Path) -> None:
    """
    Raises:
        EmotionError: it is not there and cannot be made.
    """
    try:
        place.mkdir(exist_ok=True)
    except OSError as e:
        raise EmotionError(f"cannot make the folder {place}: {e.strerror}") from e


def store(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        EmotionError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as e:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise EmotionError(f"cannot write {path}: {e.strerror}") from e


def marked(jpeg: bytes, mark: bytes) -> bytes:
    """The JPEG with our comment as its first segment. Pure."""
    text = MARK + mark
    return _START + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]
