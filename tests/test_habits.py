"""The habits of the house: `make help` tells everything, and the hooks of git run what CI runs."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def targets() -> set[str]:
    """What the Makefile offers to people."""
    (line,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return set(line.split())


def test_make_alone_tells_every_target() -> None:
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    told = set(re.findall(r"\bmake ([a-z-]+)", done.stdout))
    assert told >= targets() - {"help"}
    assert all(len(line) <= 115 for line in done.stdout.splitlines())


def test_hooks_run_what_ci_runs() -> None:
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    entries = set(re.findall(r"^ *entry: (.+)$", config, re.MULTILINE))
    assert {"make lint", "make test", ".ci/run"} <= entries
    assert {entry.removeprefix("make ") for entry in entries if entry.startswith("make ")} <= targets()
    assert set(re.findall(r"^ *- repo: (.+)$", config, re.MULTILINE)) == {"local"}, "a hook needs the network"


def test_the_hooks_are_locked() -> None:
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["hooks"]
    locked = (ROOT / "requirements" / "hooks.txt").read_text().replace("\\\n", " ")
    entries = [line for line in locked.splitlines() if line and not line.lstrip().startswith("#")]
    assert {re.split(r"[<>=~]", wanted)[0] for wanted in group} <= {entry.partition("==")[0] for entry in entries}
    assert all("--hash=sha256:" in entry for entry in entries)


def test_public_names_have_docstrings() -> None:
    """The rules are switched on, and no room but the tests is left out of them."""
    text = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^select = \[.*"D"\]$', text, re.MULTILINE)
    assert re.findall(r'^"(.+)" = \["D', text, re.MULTILINE) == ["tests/**"]


def test_contributing_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([a-z_]+/[\w/.]*[\w/])`", text) if "NAME" not in name}
    made_up = {"sink/outputs/parquet.py"}
    assert len(named) > 20
    assert {name for name in named - made_up if not (ROOT / name).exists()} == set()


def test_each_decision_gives_its_figure_and_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    pages = [page for page in folder.glob("*.md") if page.name != "README.md"]
    assert len(pages) >= 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        (figure,) = re.findall(r"\*\*The figure\.\*\* (.*?)\n\n", text, re.DOTALL)
        assert re.search(r"\d", figure), page
        assert f"({page.name})" in listed
        assert len(text.splitlines()) <= 40, f"{page} is not short"


def test_what_newcomers_ask_for_lies_where_the_architecture_says() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| Where .*\? \| `([\w/]+/)` \| `(\w+\.py)` \|$", text, re.MULTILINE)
    assert len(rows) >= 3
    assert [folder + name for folder, name in rows if not (ROOT / folder / name).is_file()] == []
