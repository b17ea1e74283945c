"""The layout that docs/architecture.md promises: which package may import which, and no module in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = ("producer", "detector_worker", "classifier_worker", "sink")
MAY_IMPORT = {
    "shared": set[str](),
    "samples": set[str](),
    "producer": {"shared", "samples"},
    "detector_worker": {"shared"},
    "classifier_worker": {"shared", "models"},
    "sink": {"shared"},
    "models": {"shared"},
    "emotion": {
        "shared",
        "samples",
        "producer",
        "detector_worker",
        "classifier_worker",
        "sink",
        "models",
        "benchmarks",
    },
}
"""Package to the packages of ours that it may import, beside itself."""
PACKAGES = {*MAY_IMPORT, "benchmarks", "tests"}


def modules(package: str) -> dict[str, Path]:
    """Name to file of all modules of a package."""
    files = (ROOT / package).rglob("*.py")
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def imported(file: Path) -> Iterator[str]:
    """What a module imports, anywhere in it; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_those_below_it(package: str) -> None:
    found = {
        (module, name.partition(".")[0])
        for module, file in modules(package).items()
        for name in imported(file)
        if name.partition(".")[0] in PACKAGES
    }
    assert modules(package)
    assert {(m, p) for m, p in found if p != package and p not in MAY_IMPORT[package]} == set()


def test_no_module_imports_itself_in_a_circle() -> None:
    known = {name: file for package in PACKAGES for name, file in modules(package).items()}
    graph = {module: {n for n in imported(file) if n in known and n != module} for module, file in known.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) == len(known)  # raises CycleError
