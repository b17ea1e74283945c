"""A language's words, read from its file: texts with places for values, plural forms, numbers."""

import gettext
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from emotion_stream.shared.errors import UsageError

Text = str | Mapping[str, str]
"""A text, or its plural forms by the names that Unicode has for them: `one`, `few`, `other` ..."""
AUTO = "auto"
"""In place of a language: that of the browser on the page, English elsewhere."""
SUFFIX = ".toml"
OTHER = "other"
WHY = "why"
"""The place of a reason in which yet another part says why."""
_CODE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_ROOM = re.compile(r"\{(\w+)\}")
_LASTED = re.compile(r"(.+), (\d+ s)")
"""A reason with the time that it has lasted, as `Signal.said` tells it."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language.

    Attributes:
        code: its name as browsers write it, such as `de`.
        texts: key, `section.name`, to the text.
        plural: form to the function that says whether it is for this number; none holds: `other`.
        decimal, group: what stands before a number's fraction, and between its thousands.
        reasons: patterns of what other parts say in English, with what this language says in their place.
    """

    code: str
    texts: Mapping[str, Text]
    plural: Mapping[str, Callable[[int], int]]
    decimal: str
    group: str
    reasons: tuple[tuple[re.Pattern[str], str], ...] = ()

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, with values in its places; a number of `n` chooses the plural form.

        Raises:
            KeyError: there is no such text.
        """
        text = self.texts[key]
        if not isinstance(text, str):
            n = values["n"]
            text = text[self.form(n)] if isinstance(n, int) else text[OTHER]
        return _filled(text, {name: self._written(value) for name, value in values.items()})

    def form(self, n: int) -> str:
        """The name of the plural form for so many."""
        return next((form for form, holds in self.plural.items() if holds(n)), OTHER)

    def emotion(self, label: str) -> str:
        """An emotion's name; a label that nobody translated stays as it is."""
        text = self.texts.get(f"emotions.{label}", label)
        return text if isinstance(text, str) else label

    def reason(self, text: str) -> str:
        """What the pipeline says in English of what went wrong, in this language where the sentence is ours."""
        for pattern, own in self.reasons:
            if found := pattern.fullmatch(text):
                values = found.groupdict()
                if WHY in values:
                    values[WHY] = self.reason(values[WHY])
                return _filled(own, values)
        lasted = _LASTED.fullmatch(text)
        return f"{self.reason(lasted[1])}, {lasted[2]}" if lasted else text

    def number(self, value: float, digits: int = 0) -> str:
        """A number as people write it: 1,234.5 or 1.234,5."""
        written = f"{value:,.{digits}f}"
        return written.translate({ord(","): self.group, ord("."): self.decimal})

    def percent(self, share: float, digits: int = 0) -> str:
        """A share from 0 to 1 as a percentage."""
        return self("units.percent", n=self.number(share * 100, digits))

    def _written(self, value: object) -> str:
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _ROOM.sub(lambda place: values[place[1]], text)


def _folder() -> Traversable:
    return files(__package__)


@lru_cache(maxsize=1)
def codes() -> tuple[str, ...]:
    """The languages that come along, by their files."""
    names = (entry.name for entry in _folder().iterdir() if entry.name.endswith(SUFFIX))
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names))


@lru_cache(maxsize=8)
def load(code: str) -> Words:
    """One of the languages that come along.

    Raises:
        UsageError: its file is wrong.
    """
    return _read((_folder() / f"{code}{SUFFIX}").read_text("utf-8"), code, code)


def chosen(language: str) -> Words | None:
    """The words of `--language`; None for `auto`.

    Raises:
        UsageError: there is no such language, or its file is wrong.
    """
    if language == AUTO:
        return None
    if language in codes():
        return load(language)
    path = Path(language)
    if path.suffix != SUFFIX:
        raise UsageError(
            f"--language {language}: there are {', '.join((AUTO, *codes()))}, or name a file that ends in {SUFFIX}"
        )
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"--language {language} cannot be read ({getattr(e, 'strerror', None) or e})") from e
    if not _CODE.fullmatch(path.stem):
        raise UsageError(f"--language {language}: name the file as browsers call the language, such as fr{SUFFIX}")
    return _read(text, path.stem, language)


def asked(accept: str) -> Words:
    """The language that a browser would like most, by its header `Accept-Language`; English where we have none of
    its languages."""
    wishes: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept[:1000].split(",")):
        tag, _, weight = part.partition(";")
        code = tag.strip().lower().partition("-")[0]
        try:
            likes = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            likes = 0.0
        if code in codes() and likes > 0:
            wishes.append((-likes, place, code))
    return load(min(wishes)[2]) if wishes else ENGLISH


def _read(text: str, code: str, where: str) -> Words:
    """
    Raises:
        UsageError: it is no TOML, has texts that English has not, or places that the English text has not.
    """
    try:
        told = tomllib.loads(text)
        own = {
            f"{section}.{name}": _text(value) for section, texts in told.items() for name, value in texts.items()
        }
        plural = {
            key.partition(".")[2]: gettext.c2py(str(own.pop(key)))
            for key in list(own)
            if key.startswith("plural.")
        }
    except (tomllib.TOMLDecodeError, AttributeError, TypeError, ValueError) as e:
        raise UsageError(f"language file {where}: {e}") from None
    if code == "en":
        ours: Mapping[str, Text] = own
    else:
        ours = load("en").texts
        _check(own, ours, plural, where)
    texts = {**ours, **own}
    reasons = tuple(
        (_pattern(said), str(texts[key]))
        for key, said in ours.items()
        if key.startswith("reasons.") and isinstance(said, str)
    )
    return Words(code, texts, plural, str(texts["language.decimal"]), str(texts["language.group"]), reasons)


def _text(value: object) -> Text:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and OTHER in value and all(isinstance(form, str) for form in value.values()):
        return value
    raise ValueError(f"{value!r} is neither a text nor plural forms with one called {OTHER!r}")


def _check(own: Mapping[str, Text], ours: Mapping[str, Text], plural: Mapping[str, object], where: str) -> None:
    for key, text in own.items():
        if key not in ours:
            raise UsageError(f"language file {where}: there is no text called {key!r}")
        given, wanted = _forms(text), _forms(ours[key])
        if not isinstance(ours[key], str) and not set(given) <= {*plural, OTHER}:
            raise UsageError(f"language file {where}: {key!r} has forms that [plural] does not tell")
        places = {place for form in wanted.values() for place in _ROOM.findall(form)}
        for form in given.values():
            if unknown := set(_ROOM.findall(form)) - places:
                raise UsageError(f"language file {where}: {key!r} has no place {{{min(unknown)}}}")


def _forms(text: Text) -> Mapping[str, str]:
    return {OTHER: text} if isinstance(text, str) else text


def _pattern(text: str) -> re.Pattern[str]:
    """What an English sentence with places looks like when it is filled in."""
    parts = _ROOM.split(text)
    return re.compile("".join(f"(?P<{p}>.+)" if i % 2 else re.escape(p) for i, p in enumerate(parts)), re.DOTALL)


ENGLISH = load("en")
"""The language that has every text."""
