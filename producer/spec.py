"""How the text `[NAME=]SRC` becomes the description of a source. Reads no pictures, loads nothing that could."""

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from shared.errors import EmotionError, UsageError
from shared.log import hides, redact_url
from shared.messages import CAMERA_NAME, MAX_TEXT, Mode
from shared.options import ProducerOptions

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff"})
SUPPORTED = "JPEG, PNG, BMP, WebP, TIFF"
MAX_CAMERA_INDEX = 999
URL_SCHEMES = frozenset({"rtsp", "rtsps", "http", "https"})

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters at least: `C:` is a drive
_NAMED = re.compile(r"([^=/\\:?*\[\]]*)=(.*)", re.DOTALL)
_DEVICE = re.compile(r"/dev/video([0-9]+)")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A described, not yet opened source.

    Attributes:
        name: name of the camera.
        kind: "camera" (target is an index), "url", "video" (a file) or "pictures" (a folder, a glob or files).
        target: index, URL with password, path or glob.
        files: for pictures that were named one by one: their paths.
    """

    name: str
    kind: Literal["camera", "url", "video", "pictures"]
    target: str
    files: tuple[str, ...] = ()

    @property
    def mode(self) -> Mode:
        """What suits it when nobody says otherwise."""
        return "live" if self.kind in ("camera", "url") else "lossless"


def plan(options: ProducerOptions) -> tuple[Mode, tuple[SourceSpec, ...]]:
    """Which sources there are, and in which mode all of them run: with `auto` live as soon as one is a camera or
    URL, or is to be looped, because live streams are trimmed by length.

    Raises:
        UsageError: the options do not fit together.
        EmotionError: a file is not there.
    """
    specs = parse_sources(options.source)
    if len(options.run_id) > 64:
        raise UsageError("--run-id: at most 64 characters")
    if options.mode == "lossless":
        if options.loop:
            raise UsageError("--loop goes on for ever: it needs --mode live")
        return "lossless", specs
    live = options.mode == "live" or options.loop or any(spec.mode == "live" for spec in specs)
    return ("live" if live else "lossless"), specs


def printable(path: str) -> str:
    """A path or URL as a text that can travel: no password, no undecodable bytes, bounded length. Pure."""
    return redact_url(os.fsencode(path).decode("utf-8", "replace"))[:MAX_TEXT]


def parse_sources(texts: Sequence[str]) -> tuple[SourceSpec, ...]:
    """Describe all sources of a run. Pictures named one by one, as a shell expands `*.jpg`, become one camera.

    Raises:
        UsageError: none given, a text is malformed, or two cameras have the same name.
        EmotionError: a file is not there.
    """
    if not texts:
        raise UsageError("no source given: name one with --source, for example --source sample")
    specs: list[SourceSpec] = []
    loose: list[str] = []
    for text in texts:
        name, target = _split(text)
        spec = _describe(name, target)
        if spec.files and not name:
            loose.extend(spec.files)
            if len(loose) > len(spec.files):
                continue
        specs.append(spec)
    if len(loose) > 1:
        folder = _sanitise(Path(loose[0]).resolve().parent.name)
        merged = SourceSpec(folder, "pictures", str(Path(loose[0]).parent), tuple(loose))
        specs = [merged if spec.files == (loose[0],) else spec for spec in specs]
    for camera, count in Counter(spec.name for spec in specs).items():
        if count > 1:
            raise UsageError(f"{count} sources are named {camera}: give them names, --source NAME=SRC")
    return tuple(specs)


def check_cameras(specs: Sequence[SourceSpec]) -> None:
    """Tell of cameras that are not plugged in, where the system has a file for each (Linux). Whether one can be
    used, only its opening tells.

    Raises:
        EmotionError: one is not there.
    """
    if not sys.platform.startswith("linux"):
        return
    for spec in specs:
        if spec.kind == "camera" and not os.path.exists(f"/dev/video{spec.target}"):
            raise EmotionError(f"source {spec.target}: no such camera; `emotion cameras` lists those that work")


def parse_source(text: str) -> SourceSpec:
    """Describe the source `[NAME=]SRC`.

    Raises:
        UsageError: the text is malformed.
        EmotionError: the file is not there.
    """
    return _describe(*_split(text))


def _split(text: str) -> tuple[str, str]:
    """Name (or nothing) and source. A `=` in a URL or path is none of ours, nor one of an existing file's name."""
    match = _NAMED.fullmatch(text)
    if match is None or os.path.lexists(text):
        return "", text
    name, target = match.groups()
    if not CAMERA_NAME.fullmatch(name):
        raise UsageError(f"source {printable(text)}: a name has 1 to 64 letters, digits, '_', '.' or '-'")
    return name, target


def _describe(name: str, target: str) -> SourceSpec:
    if not target or "\0" in target:
        raise UsageError(f"source {name + '=' if name else ''}: nothing to read is named")
    device = _DEVICE.fullmatch(target)
    index = device[1] if device else target
    if re.fullmatch("[0-9]{1,9}", index):
        if int(index) > MAX_CAMERA_INDEX:
            raise UsageError(f"source {index}: a camera's index goes from 0 to {MAX_CAMERA_INDEX}")
        return SourceSpec(name or f"camera{int(index)}", "camera", str(int(index)))
    if target == "sample":
        import samples

        return SourceSpec(name or "sample", "video", str(Path(samples.__file__).parent / "sample.mp4"))
    url = _URL.match(target)
    if url:
        host = _host(target, url[1])
        return SourceSpec(name or host, "url", target)
    return _describe_path(name, os.path.expanduser(target))


def _host(url: str, scheme: str) -> str:
    if not hides(url):
        raise UsageError(f"source {scheme}://...: write spaces, quotes, < and > in a URL as %20, %22, %3C and %3E")
    if scheme.lower() not in URL_SCHEMES:
        raise UsageError(f"source {printable(url)}: {scheme}:// is not among rtsp:// http:// https://")
    try:
        return _sanitise(urlsplit(url).hostname or "")
    except ValueError:
        raise UsageError(f"source {printable(url)}: not a URL") from None


def _describe_path(name: str, target: str) -> SourceSpec:
    try:
        return _describe_entry(name, target)
    except OSError as e:
        raise EmotionError(f"source {printable(target)}: cannot be read ({e.strerror})") from e


def _describe_entry(name: str, target: str) -> SourceSpec:
    path = Path(target)
    if path.is_dir():
        return SourceSpec(name or _sanitise(path.resolve().name), "pictures", target)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return SourceSpec(name or _sanitise(path.stem), "pictures", target, (target,))
        return SourceSpec(name or _sanitise(path.stem), "video", target)
    if path.exists():
        raise EmotionError(f"source {printable(target)}: neither a file nor a folder")
    if glob.has_magic(target):
        fixed = Path(*path.parts[: _first_magic(path.parts)])
        return SourceSpec(name or _sanitise(fixed.resolve().name), "pictures", target)
    raise EmotionError(f"source {printable(target)}: no such file or folder")


def _first_magic(parts: Sequence[str]) -> int:
    return next(n for n, part in enumerate(parts) if glob.has_magic(part))


def _sanitise(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:64] or "camera"
