"""The rules of the rooms: who may import whom, how much a room holds, what it says.

docs/explanation/architecture.md explains them.
"""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PREFIX = "emotion_stream"
STAGES = ("producer", "detector_worker", "classifier_worker", "sink")
MAY_IMPORT = {
    "shared": set[str](),
    "samples": set[str](),
    "producer": {"shared", "samples"},
    "detector_worker": {"shared"},
    "classifier_worker": {"shared", "models"},
    "sink": {"shared"},
    "models": {"shared"},
    "emotion": {"shared", "samples", "producer", "detector_worker", "classifier_worker", "sink", "models"},
    "benchmarks": {
        *("shared", "samples", "producer", "detector_worker", "classifier_worker", "sink", "models", "emotion"),
    },
}
"""Folder to the folders that it may import, beside itself. What serves never imports `benchmarks`."""
TRAINING = {"tensorflow", "keras", "torch", "jax", "nncf", "h5py", "matplotlib", "sklearn", "pandas"}
"""Libraries that only these may import when they are loaded; others import them where they are asked for it."""
TRAINING_ROOMS = (
    "models.training", "models.evaluation", "models.export", "models.data", "benchmarks",
    "classifier_worker.tensorflow_backend", "emotion.commands.export",
)  # fmt: skip
MOST_LINES = 450
MOST_FILES = 12
"""Python files in a room, without its `__init__.py` and `__main__.py`."""


@cache
def modules() -> dict[str, Path]:
    """Dotted name, without the prefix, to file of every module of the project, tests included."""
    found = {}
    for top in (*MAY_IMPORT, "tests"):
        for file in (ROOT / top).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


def imported(file: Path, when_loaded: bool = False) -> Iterator[str]:
    """What a module imports anywhere in it, or when it is loaded. For `from a import b` both `a` and `a.b`; ours
    without the prefix."""
    tree = ast.parse(file.read_text())
    for node in tree.body if when_loaded else ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name.removeprefix(f"{PREFIX}.") for name in names)


def rooms() -> list[Path]:
    """All folders with modules."""
    return sorted({file.parent for file in modules().values()})


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_those_below_it(folder: str) -> None:
    ours = {name: file for name, file in modules().items() if name.split(".")[0] == folder}
    assert ours
    wrong = {
        (module, name)
        for module, file in ours.items()
        for name in imported(file)
        if (top := name.split(".")[0]) in (*MAY_IMPORT, "tests")
        and top != folder
        and top not in MAY_IMPORT[folder]
    }
    assert wrong == set()


def test_the_folders_are_imported_under_one_name() -> None:
    """`import shared` would work in the repository, and make a second copy of every module."""
    wrong = set()
    for module, file in modules().items():
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            wrong |= {(module, name) for name in names if name.split(".")[0] in MAY_IMPORT}
    assert wrong == set()
    links = {path.name for path in (ROOT / PREFIX).iterdir() if path.is_symlink()}
    assert links == set(MAY_IMPORT)


def test_no_module_imports_itself_in_a_circle() -> None:
    known = modules()
    graph = {module: {n for n in imported(file) if n in known and n != module} for module, file in known.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(known)  # raises CycleError


def test_no_room_needs_another_in_a_circle() -> None:
    """A room inside a folder is one node; each file that lies in the folder itself is a node of its own."""

    def node(module: str) -> str:
        return module if module.count(".") < 2 else module.rpartition(".")[0]

    known = {name: file for name, file in modules().items() if file.name != "__init__.py" and name[:6] != "tests."}
    graph: dict[str, set[str]] = {}
    for module, file in known.items():
        needs = {node(name) for name in imported(file) if name in known} - {node(module)}
        graph.setdefault(node(module), set()).update(needs)
    assert tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_what_serves_needs_no_training_library() -> None:
    wrong = {
        (module, name)
        for module, file in modules().items()
        if not module.startswith((*TRAINING_ROOMS, "tests"))
        for name in imported(file, when_loaded=True)
        if name.split(".")[0] in TRAINING
    }
    assert wrong == set()


def test_a_room_holds_at_most_a_dozen_files() -> None:
    full = {}
    for room in rooms():
        count = sum(1 for f in room.glob("*.py") if f.name not in ("__init__.py", "__main__.py"))
        if count > MOST_FILES:
            full[str(room.relative_to(ROOT))] = count
    assert full == {}


def test_no_file_is_longer_than_a_reader_bears() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "*.py"], capture_output=True, text=True, check=False
    )
    files = [ROOT / name for name in tracked.stdout.splitlines()] or list(modules().values())
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > MOST_LINES}
    assert long == {}


def test_every_room_says_what_it_is_for() -> None:
    silent = [str(room.relative_to(ROOT)) for room in rooms() if room.name != "data" and not _docstring(room)]
    assert silent == []


def test_rooms_use_of_one_another_only_what_they_export() -> None:
    """`__all__` in a room's `__init__.py` names the modules that others may use; the rest is its own affair."""
    known = {name: file for name, file in modules().items() if name.split(".")[0] != "tests"}
    private, missing = set(), set()
    for module, file in known.items():
        for name in imported(file):
            if name in known and known[name].name != "__init__.py" and known[name].parent != file.parent:
                room, _, what = name.rpartition(".")
                if what not in exported(known[name].parent):
                    private.add((module, room, what))
    for folder in {file.parent for file in known.values()}:
        missing |= {(str(folder), name) for name in exported(folder) if not (folder / f"{name}.py").exists()}
    assert private == set(), "used by another room, and not in the __all__ of its own"
    assert missing == set()


def test_the_architecture_shows_every_room() -> None:
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    missing = [
        name
        for room in rooms()
        if (name := f"{room.relative_to(ROOT)}/") and not name.startswith("tests/") and f"`{name}`" not in text
    ]
    assert missing == []


def _docstring(room: Path) -> str:
    init = room / "__init__.py"
    return (ast.get_docstring(ast.parse(init.read_text())) or "") if init.exists() else ""


def exported(room: Path) -> list[str]:
    """What `__all__` of a room names."""
    for node in ast.parse((room / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []
