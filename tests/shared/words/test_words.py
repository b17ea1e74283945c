"""The languages: each complete, each text used, nothing that people read written anywhere else."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.signal import STATES
from emotion_stream.shared.words.words import ENGLISH, OTHER, Text, Words, asked, chosen, codes, load
from emotion_stream.sink.events.event import KINDS

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "sink" / "web" / "static"
SCRIPTS = [*STATIC.glob("*.js"), *(STATIC / "page").glob("*.js")]
PLACE = re.compile(r"\{(\w+)\}")
NAMED_ELSEWHERE = ("emotions", "states", "skipped", "reasons", "language", "plural", "token", "events")
"""Sections whose texts are found by names that come with data."""


def forms(text: Text) -> dict[str, str]:
    return {OTHER: text} if isinstance(text, str) else dict(text)


def sources() -> Iterator[Path]:
    for folder in ("sink", "emotion", "shared"):
        for kind in ("*.py", "*.js", "*.html"):
            yield from (ROOT / folder).rglob(kind)


@pytest.mark.parametrize("code", codes())
def test_a_language_that_comes_along_has_every_text_and_every_form(code: str) -> None:
    own = (ROOT / "shared" / "words" / f"{code}.toml").read_text("utf-8")
    words = load(code)
    assert set(words.texts) == set(ENGLISH.texts)
    for key, text in words.texts.items():
        name = re.escape(key.partition(".")[2])
        assert re.search(rf"^{name} = ", own, re.MULTILINE), key  # its own, not the English one in its place
        if not isinstance(ENGLISH.texts[key], str):
            assert set(forms(text)) == {*words.plural, OTHER}, key
        wanted = set(PLACE.findall(forms(ENGLISH.texts[key])[OTHER]))
        for form in forms(text).values():
            assert form
            assert set(PLACE.findall(form)) == wanted, key


def test_every_text_is_used_and_every_text_that_is_used_is_there() -> None:
    sections = {key.partition(".")[0] for key in ENGLISH.texts}
    code = "".join(path.read_text("utf-8") for path in sources())
    found = [a or b for a, b in re.findall(r"""["'`]([a-z]+\.[a-z_]+)["'`]|\{\{([a-z]+\.[a-z_]+)\}\}""", code)]
    files = ".html", ".css", ".py"
    used = {key for key in found if key.partition(".")[0] in sections and not key.endswith(files)}
    assert used - set(ENGLISH.texts) == set()
    begun = tuple(re.findall(r"""["'`]([a-z]+\.[a-z]+_)\{""", code))  # such as report.chart_{what}
    rest = {key for key in ENGLISH.texts if key not in used and not key.startswith(begun)}
    assert {key for key in rest if key.partition(".")[0] not in NAMED_ELSEWHERE} == set()


def test_every_kind_of_event_and_every_state_has_a_name() -> None:
    names = {*(f"events.{kind}" for kind in KINDS), *(f"states.{state}" for state in STATES)}
    assert names <= set(ENGLISH.texts)


def test_what_is_translated_of_other_parts_is_what_they_say() -> None:
    """A sentence that was changed there must be changed here, too."""
    code = "".join(p.read_text("utf-8") for f in ("producer", "sink", "shared") for p in (ROOT / f).rglob("*.py"))
    spoken = re.sub(r'"\s*f?"', "", code).lower()  # texts that go on in the next line
    theirs = {
        "refused",
        "reset",
        "no_route",
        "no_network",
        "unauthorized",
        "forbidden",
        "not_found",
        "no_rights",
        "read_only",
        "no_room",
        "no_file",
    }  # the system's
    for key, text in ENGLISH.texts.items():
        section, _, name = key.partition(".")
        if section == "reasons" and name not in theirs:
            for part in PLACE.split(str(text))[::2]:
                assert part.strip(" ()").lower() in spoken, key


SPOKEN = ("title", "aria-label", "alt", "placeholder", "aria-valuetext")


class Reader(HTMLParser):
    """What people read of a page: text, titles and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag in ("script", "style", "kbd")
        self.read += [
            v for k, v in attrs if k in ("title", "aria-label", "alt", "placeholder", "aria-valuetext") and v
        ]

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.read.append(data)


@pytest.mark.parametrize("page", sorted(STATIC.glob("*.html")), ids=lambda path: path.name)
def test_pages_hold_no_words_of_their_own(page: Path) -> None:
    reader = Reader()
    reader.feed(page.read_text("utf-8"))
    rest = [re.sub(r"\{\{[\w.]+\}\}|Emotion Stream|openapi\.json", "", text) for text in reader.read]
    assert [text for text in rest if re.search(r"[A-Za-z]{2}", text)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_hold_no_sentences_of_their_own(script: Path) -> None:
    code = re.sub(
        r"/\*.*?\*/|(?<![:\"'])//[^\n]*|throw new Error\([^\n]*", "", script.read_text("utf-8"), flags=re.DOTALL
    )
    texts = [a or b for a, b in re.findall(r'"([^"\n]*)"|`([^`]*)`', code)]
    told = [re.sub(r"\$\{[^}]*\}", "", text) for text in texts]
    allowed = re.compile(
        r"Emotion Stream|use strict|system-ui|button, a|no signal|no result yet|prefers-color|\bpx\b|[.#\[][a-z]"
    )
    assert [t for t in told if re.search(r"[A-Za-z]{2,}[ :,]* [a-z]{2,}", t) and not allowed.search(t)] == []


def test_numbers_plurals_and_reasons() -> None:
    german = load("de")
    assert ENGLISH("camera.faces", n=1) == "1 face"
    assert german("camera.faces", n=1) == "1 Gesicht"
    assert german("camera.faces", n=0) == "0 Gesichter"
    assert german("camera.faces", n=12345) == "12.345 Gesichter"
    assert ENGLISH("camera.faces", n=12345) == "12,345 faces"
    assert german.percent(0.423, 1) == "42,3 %"
    assert german.emotion("happy") == "fröhlich"
    assert german.emotion("bored") == "bored"  # of a model that nobody translated
    assert german.reason("connection refused") == "Verbindung abgelehnt"
    assert german.reason("stalled, nothing new for 5 s") == "hängt, seit 5 s nichts Neues"
    assert german.reason("waiting for a key frame, 7 s") == "warten auf ein Schlüsselbild, 7 s"
    assert german.reason("its lens cap is on") == "its lens cap is on"
    told = german.reason("a.toml cannot be written (Permission denied): its folder must be writable, too")
    assert told == "a.toml lässt sich nicht schreiben (keine Berechtigung): auch der Ordner muss beschreibbar sein"
    for key, text in ENGLISH.texts.items():
        if key.startswith("reasons."):
            assert ENGLISH.reason(str(text)) == text


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("fr,de;q=0.4,en;q=0.3", "de"),
        ("fr;q=1, de;q=0", "en"),
        ("DE", "de"),
        ("de;q=nonsense", "en"),
        ("", "en"),
        ("*", "en"),
    ],
)
def test_a_browser_gets_the_language_it_likes_most_of_those_there_are(header: str, code: str) -> None:
    assert asked(header).code == code


def test_a_third_language_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pl.toml"
    path.write_text(
        '[plural]\none = "n == 1"\nfew = "n % 10 >= 2 && n % 10 <= 4 && (n % 100 < 12 || n % 100 > 14)"\n'
        '[emotions]\nhappy = "radosny"\n'
        '[camera]\nfaces = { one = "{n} twarz", few = "{n} twarze", other = "{n} twarzy" }\n',
        "utf-8",
    )
    words = chosen(str(path))
    assert isinstance(words, Words)
    assert (words.code, words.emotion("happy"), words.emotion("sad")) == ("pl", "radosny", "sad")
    told = [words("camera.faces", n=n) for n in (1, 2, 5, 12, 22)]
    assert told == ["1 twarz", "2 twarze", "5 twarzy", "12 twarzy", "22 twarze"]
    assert chosen("auto") is None


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("fr.toml", '[page]\nhello = "bonjour"', "there is no text called 'page.hello'"),
        ("fr.toml", '[camera]\nlabel = "{nom}"', "'camera.label' has no place {nom}"),
        (
            "fr.toml",
            '[camera]\nfaces = { few = "x", other = "y" }',
            "'camera.faces' has forms that [plural] does not",
        ),
        ("fr.toml", "[camera]\nlabel = 3", "3 is neither a text nor plural forms"),
        ("fr.toml", '[plural]\none = "n ="', "language file"),
        ("fr.toml", 'page = "bonjour"', "language file"),
        ("fr.toml", "no toml", "language file"),
        ("my words.toml", "", "name the file as browsers call the language, such as fr.toml"),
        ("fr.txt", "", "or name a file that ends in .toml"),
        ("", "", "cannot be read"),
    ],
)
def test_a_wrong_file_is_told_in_a_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / (name or "none.toml")
    if name:
        path.write_text(text, "utf-8")
    with pytest.raises(UsageError) as refused:
        chosen(str(path))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
