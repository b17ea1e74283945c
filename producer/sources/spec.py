"""How the text `[NAME=]SRC` becomes the description of a source. Reads no pictures, loads nothing that could."""

import glob
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from emotion_stream.producer.cameras.permission import denied
from emotion_stream.producer.sources.kinds import IMAGE_SUFFIXES, kind_of
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.log import hides, redact_url
from emotion_stream.shared.messages.types import CAMERA_NAME, MAX_NAME, MAX_TEXT, Mode
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.options import ProducerOptions

SUPPORTED = "JPEG, PNG, BMP, WebP, TIFF, AVIF, HEIC"
MAX_CAMERA_INDEX = 999
URL_SCHEMES = frozenset({"rtsp", "rtsps", "http", "https"})

TRANSPORTS = ("auto", "tcp", "udp", "udp_multicast")
RESERVED = "In a password, write # as %23, / as %2F, ? as %3F, @ as %40, : as %3A, [ as %5B, ] as %5D and % as %25"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters at least: `C:` is a drive
_NAMED = re.compile(r"([^=/\\:?*\[\]]*)=(.*)", re.DOTALL)
_DEVICE = re.compile(r"/dev/video([0-9]+)")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A described, not yet opened source.

    Attributes:
        name: name of the camera, as in streams, files and addresses.
        display_name: what people call it; empty: the same.
        kind: "camera" (target is an index), "url", "video" (a file) or "pictures" (a folder, a glob or files).
        target: index, URL with password, path or glob.
        files: for pictures that were named one by one: their paths.
        stream: for a URL: which of its video streams, from 0; None: the one with the most pixels.
        transport: for an RTSP URL: tcp, udp or udp_multicast; empty: as `--rtsp-transport` says.
    """

    name: str
    kind: Literal["camera", "url", "video", "pictures"]
    target: str
    files: tuple[str, ...] = ()
    stream: int | None = None
    transport: str = ""
    display_name: str = ""

    @property
    def mode(self) -> Mode:
        """What suits it when nobody says otherwise."""
        return "live" if self.kind in ("camera", "url") else "lossless"


def plan(
    options: ProducerOptions, cameras: Sequence[Camera] = (), *, patient: bool = False
) -> tuple[Mode, tuple[SourceSpec, ...]]:
    """Which sources there are, and in which mode all of them run: with `auto` live as soon as one is a camera or
    URL, or is to be looped, because live streams are trimmed by length.

    Args:
        options: those of the producer; the sources that they name win over those of `cameras`.
        cameras: the tables of the settings file.
        patient: whether files of live mode may be missing, because they are waited for.

    Raises:
        UsageError: the options do not fit together.
        EmotionError: a file is not there.
    """
    lacking = sorted(set(options.only_cameras) - {camera.id for camera in cameras})
    if lacking:
        raise UsageError(
            f"--only-cameras {lacking[0]}: there is no table [cameras.{lacking[0]}] in the settings file"
        )
    absent = patient and (options.mode == "live" or options.loop)
    if options.source or not cameras:
        specs = parse_sources(options.source, absent=absent)
    else:
        specs = tuple(describe_camera(camera, absent=absent) for camera in cameras)
    names = {camera.id: camera.name for camera in cameras}
    specs = tuple(replace(s, display_name=s.display_name or names.get(s.name, "")) for s in specs)
    if len(options.run_id) > 64:
        raise UsageError("--run-id: at most 64 characters")
    if options.mode == "lossless":
        if options.loop:
            raise UsageError("--loop goes on for ever: it needs --mode live")
        return "lossless", specs
    live = options.mode == "live" or options.loop or any(spec.mode == "live" for spec in specs)
    return ("live" if live else "lossless"), specs


def describe_camera(camera: Camera, *, absent: bool = False) -> SourceSpec:
    """Describe the source that a table of the settings file names. With `absent`, as `parse_source`.

    Raises:
        UsageError: it names none, or the text is malformed.
        EmotionError: the file is not there.
    """
    if not camera.source:
        raise UsageError(
            f"[cameras.{camera.id}] has no source: write source = in its table, or name it with"
            f" --source {camera.id}=SRC"
        )
    try:
        spec = _describe(camera.id, camera.source, absent)
    except EmotionError as e:
        raise type(e)(f"[cameras.{camera.id}], source: {e}") from e
    return replace(spec, display_name=camera.name)


def printable(path: str) -> str:
    """A path or URL as a text that can travel: no password, no undecodable bytes, bounded length. Pure."""
    return redact_url(os.fsencode(path).decode("utf-8", "replace"))[:MAX_TEXT]


def parse_sources(texts: Sequence[str], *, absent: bool = False) -> tuple[SourceSpec, ...]:
    """Describe all sources of a run. Pictures named one by one, as a shell expands `*.jpg`, become one camera.
    With `absent`, a file that is not there is described by its name.

    Raises:
        UsageError: none given, a text is malformed, or two cameras have the same name.
        EmotionError: a file is not there.
    """
    if not texts:
        raise UsageError("no source given: name one with --source, for example --source sample")
    specs: list[SourceSpec] = []
    loose: list[str] = []
    for text in texts:
        spec = parse_source(text, absent=absent)
        name = spec.display_name or _split(text)[0]
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
        EmotionError: one is not there, or may not be opened by us.
    """
    if not sys.platform.startswith("linux"):
        return
    for spec in specs:
        if spec.kind == "camera" and not os.path.exists(f"/dev/video{spec.target}"):
            raise EmotionError(f"source {spec.target}: no such camera; `emotion cameras` lists those that work")
        why = denied(spec.target) if spec.kind == "camera" else None
        if why:
            raise EmotionError(f"source {spec.target}: {why}")


def parse_source(text: str, *, absent: bool = False) -> SourceSpec:
    """Describe the source `[NAME=]SRC`. A name with other letters than a camera's has is what people call it; the
    camera's is made of it. With `absent`, a file that is not there is described by its name.

    Raises:
        UsageError: the text is malformed.
        EmotionError: the file is not there.
    """
    name, target = _split(text)
    if not name or CAMERA_NAME.fullmatch(name):
        return _describe(name, target, absent)
    return replace(_describe(_plain(name), target, absent), display_name=name)


def _split(text: str) -> tuple[str, str]:
    """Name (or nothing) and source. A `=` in a URL or path is none of ours, nor one of an existing file's name."""
    match = _NAMED.fullmatch(text)
    if match is None or os.path.lexists(text):
        return "", text
    name, target = match.groups()
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise UsageError(f"source {printable(text)}: a name has 1 to {MAX_NAME} letters that can be printed")
    return name, target


def _describe(name: str, target: str, absent: bool = False) -> SourceSpec:
    if not target or "\0" in target:
        raise UsageError(f"source {name + '=' if name else ''}: nothing to read is named")
    device = _DEVICE.fullmatch(target)
    index = device[1] if device else target
    if re.fullmatch("[0-9]{1,9}", index):
        if int(index) > MAX_CAMERA_INDEX:
            raise UsageError(f"source {index}: a camera's index goes from 0 to {MAX_CAMERA_INDEX}")
        return SourceSpec(name or f"camera{int(index)}", "camera", str(int(index)))
    if target == "sample":
        from emotion_stream import samples

        return SourceSpec(name or "sample", "video", str(Path(samples.__file__).parent / "sample.mp4"))
    url = _URL.match(target)
    if url:
        host = _host(target, url[1])
        address, stream, transport = _fragment(target)
        return SourceSpec(name or host, "url", address, stream=stream, transport=transport)
    return _describe_path(name, os.path.expanduser(target), absent)


def _host(url: str, scheme: str) -> str:
    if not hides(url):
        raise UsageError(f"source {scheme}://...: write spaces, quotes, < and > in a URL as %20, %22, %3C and %3E")
    if scheme.lower() not in URL_SCHEMES:
        raise UsageError(f"source {printable(url)}: {scheme}:// is not among rtsp:// http:// https://")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        # A password is cut off at the first letter that means something in a URL.
        raise UsageError(f"source {scheme}://...: not a URL. {RESERVED}") from None
    if "@" in url and "@" not in parts.netloc:
        if "@" in parts.fragment:
            raise UsageError(f"source {scheme}://...: {RESERVED}")
        return "camera"  # what looks like a host may be somebody's name
    if not host:
        raise UsageError(f"source {printable(url)}: no host is named, as in {scheme}://192.168.1.20/stream")
    return _sanitise(host)


def _fragment(url: str) -> tuple[str, int | None, str]:
    """A URL without what stands behind its `#`, and that: the number of a stream, and how RTSP is carried. Pure.

    Raises:
        UsageError: it says something else.
    """
    address, mark, fragment = url.partition("#")
    stream, transport = None, ""
    for part in fragment.split("&") if mark and fragment else ():
        key, _, value = part.partition("=")
        if key == "stream" and re.fullmatch("[0-9]{1,3}", value):
            stream = int(value)
        elif key == "transport" and value in TRANSPORTS:
            transport = value
        else:
            raise UsageError(
                f"source {printable(address)}: behind # stands stream=N, transport={'|'.join(TRANSPORTS)} or both"
                " with & between; a # that belongs to the address is written %23"
            )
    return address, stream, transport


def _describe_path(name: str, target: str, absent: bool) -> SourceSpec:
    try:
        return _describe_entry(name, target, absent)
    except OSError as e:
        raise EmotionError(f"source {printable(target)}: cannot be read ({e.strerror})") from e


def _describe_entry(name: str, target: str, absent: bool) -> SourceSpec:
    path = Path(target)
    if path.is_dir():
        return SourceSpec(name or _sanitise(path.resolve().name), "pictures", target)
    if path.is_file():
        if kind_of(path) == "picture":
            return SourceSpec(name or _sanitise(path.stem), "pictures", target, (target,))
        return SourceSpec(name or _sanitise(path.stem), "video", target)
    if path.exists():
        raise EmotionError(f"source {printable(target)}: neither a file nor a folder")
    if glob.has_magic(target):
        fixed = Path(*path.parts[: _first_magic(path.parts)])
        return SourceSpec(name or _sanitise(fixed.resolve().name), "pictures", target)
    if absent:
        suffix = path.suffix.lower()
        own = (target,) if suffix in IMAGE_SUFFIXES else ()
        kind: Literal["video", "pictures"] = "video" if suffix and not own else "pictures"
        return SourceSpec(name or _sanitise(path.stem), kind, target, own)
    raise EmotionError(f"source {printable(target)}: no such file or folder")


def _first_magic(parts: Sequence[str]) -> int:
    return next(n for n, part in enumerate(parts) if glob.has_magic(part))


def _plain(name: str) -> str:
    """A name in the letters of a camera's: without accents, other letters by their number. Pure."""
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    kept = "".join(letter for letter in letters if not unicodedata.combining(letter))
    spelled = re.sub(r"[^\x00-\x7f]", lambda found: f"u{ord(found[0]):x}", kept)
    return _sanitise(spelled.strip())


def _sanitise(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:64] or "camera"
