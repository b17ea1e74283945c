"""The page's files, read once and served from memory: no request can name a file on disk."""

import html
import json
import mimetypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import Response

from emotion_stream.shared.words.words import Words

WHAT_IS_WRONG = b"<!-- what is wrong -->"
PAGES = ".html"
"""What is served in the viewer's language."""
ON_PAGES = ("emotions", "states", "units", "page", "kept", "camera", "areas", "skipped", "timeline", "docs")
"""The sections of words that scripts use."""
_PLACE = re.compile(rb"\{\{(\w+(?:\.\w+)?)\}\}")
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file with its type, and a tag that changes when it does."""

    body: bytes
    kind: str
    tag: str

    def response(self, known: str = "") -> Response:
        """The file, or 304 for a browser that has it already."""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Language"}
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
            suffix = f".{entry.name.rpartition('.')[2]}"
            kind = TYPES.get(suffix) or mimetypes.guess_type(entry.name)[0] or "text/plain"
            found[prefix + entry.name] = _asset(entry.read_bytes(), kind)
    return found


def _asset(body: bytes, kind: str) -> Asset:
    return Asset(body, kind, f'"{sha256(body).hexdigest()[:20]}"')


def in_language(page: Asset, words: Words) -> Asset:
    """A page with the words of a language in the places that its file names: `{{section.name}}`, `{{language}}`,
    and `{{words}}` for those that its script needs. Pure.

    Raises:
        KeyError: there is no such text.
    """
    whole = {"language": lambda: words.code, "words": lambda: told(words)}

    def filled(place: re.Match[bytes]) -> bytes:
        key = place[1].decode()
        return (whole[key]() if key in whole else html.escape(words(key))).encode()

    return _asset(_PLACE.sub(filled, page.body), page.kind)


def told(words: Words) -> str:
    """A language for scripts, as JSON that may stand in a page. Pure."""
    texts = {key: text for key, text in words.texts.items() if key.partition(".")[0] in ON_PAGES}
    reasons = [[pattern.pattern.replace("(?P<", "(?<"), own] for pattern, own in words.reasons]
    about = {"language": words.code, "texts": texts, "reasons": reasons}
    return json.dumps(about, ensure_ascii=False).replace("<", "\\u003c")


class Pages:
    """All files; pages in the language of whoever asks.

    Args:
        choose: the words for a header `Accept-Language`.
    """

    def __init__(self, choose: Callable[[str], Words]) -> None:
        self._choose = choose
        self._assets = load()
        self._made: dict[tuple[str, str], Asset] = {}

    def denied(self, accept: str, why: str) -> bytes:
        """The page that asks for the token; `why` says what is wrong with the token it got, or empty."""
        page = self.find("denied.html", accept)
        words = self._choose(accept)
        told = f'<p class="wrong" role="alert">{html.escape(words(f"token.{why}"))}</p>' if why else ""
        return page.body.replace(WHAT_IS_WRONG, told.encode()) if page else b""

    def words(self, accept: str) -> Words:
        """The words for a header `Accept-Language`."""
        return self._choose(accept)

    def find(self, name: str, accept: str) -> Asset | None:
        """The file of this name; None where there is none."""
        asset = self._assets.get(name)
        if asset is None or not name.endswith(PAGES):
            return asset
        words = self._choose(accept)
        if (name, words.code) not in self._made:
            self._made[name, words.code] = in_language(asset, words)
        return self._made[name, words.code]
