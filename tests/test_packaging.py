"""The wheel, installed into an environment of its own, away from this folder."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built from a copy so that no build files are left here."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the tree cannot be copied without build files")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "-C", str(ROOT), "checkout-index", "--all", f"--prefix={folder}/tree/"], check=True)
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    built = subprocess.run(
        [sys.executable, "-c", code], cwd=folder / "tree", capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / built.stdout.split()[-1]


def test_the_wheel_holds_model_sample_and_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in (
        "models/artifacts/manifest.json",
        "models/artifacts/vgg16-int8.bin",
        "samples/sample.mp4",
        "sink/web/static/index.html",
        "sink/web/static/vendor/uPlot.iife.min.js",
    ):
        assert wanted in names
    assert any(name.endswith("licenses/NOTICE") for name in names)
    assert not any(name.startswith("tests/") for name in names)


def test_the_wheel_runs_beside_modules_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    """Someone's folder has a models.py and a shared.py of its own: `emotion` must not import them."""
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("models.py", "shared.py", "sink.py"):
        (folder / name).write_text("raise RuntimeError('the wrong module')")
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); from emotion.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "run", "--source=sample", "--output=jsonl=-", "--scan-width=160"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 250


@pytest.mark.parametrize("name", ["run", "dev", "train"])
def test_every_package_is_locked_with_its_hashes(name: str) -> None:
    """What was tested is what is installed: pip refuses a file of another content."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+ .*--hash=sha256:[0-9a-f]{64}( |$)", entry), entry
    locked = {entry.partition("==")[0].partition("[")[0] for entry in entries}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] if name == "run" else project["optional-dependencies"][name]
    assert {re.split(r"[<>=;~! ]", one)[0] for one in wanted} <= locked
    for installer in ("Makefile", "deploy/Dockerfile"):
        assert "--require-hashes" in (ROOT / installer).read_text()
