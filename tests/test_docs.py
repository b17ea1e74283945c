"""The documentation: every link leads somewhere, and what the code can tell is what the code tells."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from emotion_stream.emotion.__main__ import COMMANDS
from emotion_stream.shared.errors import to_install
from emotion_stream.shared.settings.loading import specs
from emotion_stream.shared.settings.options import CommandOptions
from tests.support.pictures import sample_frames

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links and pictures that lie in this repository."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for markdown, html in re.findall(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"', text):
        if not (target := markdown or html).startswith(("http://", "https://", "mailto:")):
            yield target


def anchors(page: Path) -> set[str]:
    """What `#...` may name on a page: its headings, as GitHub spells them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


def test_every_link_leads_somewhere() -> None:
    broken = set()
    for page in PAGES:
        for target in links(page):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
                broken.add((str(page.relative_to(ROOT)), target))
    assert broken == set()


def test_every_page_is_named_where_it_is_mentioned() -> None:
    """`docs/...` in code, comments and settings names a file or folder that is there."""
    kinds = {".py", ".md", ".yml", ".yaml", ".json", ".toml", ".acl", ".lua"}
    skipped = {".git", "out", "build"}
    missing = set()
    for top in ROOT.iterdir():
        if top.name in skipped or top.name.startswith(".venv") or (top.is_symlink() and top.is_dir()):
            continue
        for file in [top] if top.is_file() else top.rglob("*"):
            if file.suffix in kinds and file.is_file() and file != Path(__file__):
                for name in re.findall(r"\bdocs/[\w/.-]+\.(?:md|py|svg)", file.read_text(encoding="utf-8")):
                    if not (ROOT / name).exists():
                        missing.add((str(file.relative_to(ROOT)), name))
    assert missing == set()


def test_the_reference_is_what_the_code_says(tmp_path: Path) -> None:
    """After a change of a setting, a metric, a message or an answer: `make docs`."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "docs" / "generate.py"), "--output", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    made = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    pages = ("commands", "settings", "metrics", "exit-codes", "messages", "http", "events")
    assert made.keys() == {f"{page}.md" for page in pages}
    committed = {name: (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") for name in made}
    assert committed == made


def test_the_readme_is_read_to_its_end() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    assert "```\nmake run" in "\n".join(lines[:15]), "the first command is among the first lines"
    assert any("<img" in line for line in lines[:8])


def calls(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """Program, command and flags of each call of `emotion` and `make` in a page's blocks of commands."""
    for block in re.findall(r"```\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            call = re.match(
                r"(?:\w+=\S+ )*(?:docker-compose run --rm tools )?(?:\S*bin/)?(emotion|make)(?: +(.*))?$", line
            )
            words = re.split(r"[\s'\[\]]+", (call[2] or "").partition("#")[0].replace("ARGS=", "")) if call else []
            if call and words[0] not in ("", "COMMAND", "help"):
                yield call[1], words[0], {word.partition("=")[0] for word in words if word.startswith("--")}


def flags(command: str) -> set[str]:
    """The flags that a command of `emotion` takes."""
    taken = specs([CommandOptions, *importlib.import_module(COMMANDS[command][0]).COMMAND.settings])
    return {"--help"} | {f"--{no}{name.replace('_', '-')}" for name in taken for no in ("", "no-")}


def test_commands_on_pages_are_there_and_take_their_flags() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    known = {("make", target): set[str]() for target in phony.split()}
    known |= {("emotion", command): flags(command) for command in COMMANDS}
    known |= {("make", command): flags(command) for command in ("run", "bench")}
    wrong, seen = set(), 0
    for page in PAGES:
        for program, command, given in calls(page.read_text(encoding="utf-8")):
            seen += 1
            for one in command.split("|"):
                missing = {"the command"} if (program, one) not in known else given - known[program, one]
                wrong |= {(page.name, f"{program} {one}", what) for what in missing}
    assert seen > 50
    assert wrong == set()


def test_programs_on_pages_are_there() -> None:
    named = {
        (name, page.name)
        for page in PAGES
        for name in re.findall(r"python -m ((?:benchmarks|emotion_stream)[\w.]*)", page.read_text("utf-8"))
    }
    assert len(named) > 10
    missing = {
        (name, page)
        for name, page in named
        if importlib.util.find_spec(name if name.startswith("emotion_stream") else f"emotion_stream.{name}")
        is None
    }
    assert missing == set()


def test_the_figure_behind_haar_is_what_its_section_tells() -> None:
    """A decision is open again when its figure changes; so whoever measures anew has to change both."""
    page = (ROOT / "docs" / "explanation" / "performance.md").read_text("utf-8")
    row = re.search(
        r"^\| \*\*now, one detector\*\* \| ([\d.]+) %.*\| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE
    )
    assert row
    recall, cost, full = row.groups()
    decision = " ".join((ROOT / "docs" / "decisions" / "haar.md").read_text("utf-8").split())
    assert (
        f"**{cost} core-ms per frame**; a scan of every frame costs {full}. Recall stays at {recall} %" in decision
    )
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    assert f"{cost} core-ms per frame instead of {full}" in listed


def test_the_picture_of_both_detectors_shows_what_they_find() -> None:
    """docs/images/detectors.jpg says how many faces of five each of them finds."""
    code = (
        "import compare_detectors as c; p = c.scene();"
        "print(*[sum(c.is_face(f.box) for f in c.search(p, d)) for d in ('haar', 'yunet')])"
    )
    folder = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "docs"), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "5"]


def test_nobody_is_told_to_install_what_no_index_has() -> None:
    """This project is installed from a copy of it. What it can do with more, it does with packages of others."""
    extra = "emotion-stream" + "["
    code = [file for top in ROOT.iterdir() if (top / "__init__.py").exists() for file in top.rglob("*.py")]
    told = [file for file in (*PAGES, *code) if extra in file.read_text(encoding="utf-8")]
    assert len(code) > 100
    assert told == []
    assert to_install("matplotlib").endswith(" -m pip install matplotlib")


def test_tutorials_show_the_sample_as_it_is() -> None:
    told = {
        (page.name, int(frames))
        for page in (ROOT / "docs" / "tutorials").glob("*.md")
        for frames in re.findall(r"^frames +(\d+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    frames = len(sample_frames())
    assert told == {("first-camera.md", frames), ("first-video.md", frames)}
