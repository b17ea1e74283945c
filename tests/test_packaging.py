"""The wheel, installed into an environment of its own, away from this folder."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
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


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `bin` of an environment that holds the wheel, and of this checkout only what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file is only a path: the link to this checkout in it is not followed.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, which has modules of the names of our folders."""
    for name in ("models", "producer", "samples", "emotion"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"MINE = {name!r}\n")
    (tmp_path / "shared.py").write_text("MINE = 'shared'\n")
    (tmp_path / "sink.py").write_text("raise RuntimeError('the wrong module')\n")
    return tmp_path


def call(command: list[str | Path], folder: Path) -> "subprocess.CompletedProcess[str]":
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "EMOTION_"))}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=110, check=False)


def test_the_wheel_holds_model_sample_and_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for wanted in (
        "models/artifacts/half/manifest.json",
        "models/artifacts/half/vgg16-int8.bin",
        "models/artifacts/full/vgg16-int8.bin",
        "samples/sample.mp4",
        "sink/web/static/index.html",
        "sink/web/static/vendor/uPlot.iife.min.js",
        "emotion/report/report.css",
        "py.typed",
    ):
        assert f"emotion_stream/{wanted}" in names
    assert any(name.endswith("licenses/NOTICE") for name in names)


def test_the_wheel_holds_one_package_without_tests_benchmarks_and_sample_making(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"emotion_stream"}
    inside = {name.split("/")[1] for name in names if name.startswith("emotion_stream/")}
    assert not inside & {"tests", "benchmarks"}
    assert not any("making" in name for name in names)


def test_the_installed_command_runs_beside_modules_of_the_same_names(installed: Path, project: Path) -> None:
    done = call([installed / "emotion", "run", "--source=sample", "--output=jsonl=-", "--scan-width=160"], project)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 355


def test_the_installed_package_is_used_from_a_project_with_the_same_names(installed: Path, project: Path) -> None:
    code = (
        "import emotion, models, producer, shared\n"
        "from emotion_stream import Analyzer, analyze, analyze_source\n"
        "import emotion_stream\n"
        "print(emotion_stream.__file__)\n"
        "print(sum(len(a.faces) for a, _ in zip(analyze_source('sample'), range(25))))\n"
        "print(emotion.MINE, models.MINE, producer.MINE, shared.MINE)\n"
    )
    (project / "main.py").write_text(code)
    done = call([installed / "python", "main.py"], project)
    assert done.returncode == 0, done.stderr
    place, faces, mine = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed.parent)
    assert int(faces) > 0
    assert mine == "emotion models producer shared"


def test_the_installed_command_says_where_the_benchmarks_are(installed: Path, project: Path) -> None:
    done = call([installed / "emotion", "bench", "--quick"], project)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "make bench" in line


@pytest.mark.parametrize("name", ["run", "dev", "train", "train-torch", "train-jax"])
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


@pytest.mark.parametrize(
    ("backend", "environment", "lock"),
    [("tensorflow", "train", "train"), ("torch", "train-torch", "train-torch"), ("jax", "train-jax", "train-jax")],
)
def test_make_train_env_has_an_environment_for_each_back_end(backend: str, environment: str, lock: str) -> None:
    told = subprocess.run(
        ["make", "-n", "-B", "train-env", f"BACKEND={backend}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f".venv-{environment}/bin/python -m pip" in told.stdout
    assert f"-r requirements/{lock}.txt -r requirements/dev.txt" in told.stdout


def test_make_train_env_says_which_back_ends_there_are() -> None:
    ran = subprocess.run(
        ["make", "train-env", "BACKEND=mxnet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "BACKEND=mxnet: there are tensorflow, torch and jax" in ran.stderr
