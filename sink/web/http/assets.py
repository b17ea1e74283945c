"""The page's files, read once and served from memory: no request can name a file on disk."""

import mimetypes
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file with its type, and a tag that changes when it does."""

    body: bytes
    kind: str
    tag: str

    def response(self, known: str = "") -> Response:
        """The file, or 304 for a browser that has it already."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if self.tag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.kind)


def load() -> dict[str, Asset]:
    """All files of `static/` by their path in it."""
    return _load(files("emotion_stream.sink.web") / "static", "")


def _load(folder: Traversable, prefix: str) -> dict[str, Asset]:
    found: dict[str, Asset] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _load(entry, f"{prefix}{entry.name}/")
        else:
            body = entry.read_bytes()
            suffix = f".{entry.name.rpartition('.')[2]}"
            kind = TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0] or "text/plain"
            found[prefix + entry.name] = Asset(body, kind, f'"{sha256(body).hexdigest()[:20]}"')
    return found
