"""What containers run on: processors (does every locked package have a wheel that the base image can load?) and
both generations of Compose."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.stack import ROOT

GLIBC = 36
"""2.36: what Debian 12 has, on which the images stand."""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_CONTAINERS"), reason="downloads 200 MB: make test-containers"),
    pytest.mark.timeout(600),
]


def test_the_files_are_valid() -> None:
    """For each Compose that this machine has: docker-compose 1.29, and version 2 as a plug-in of docker."""
    found = []
    for program in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(program[0]) is None:
            continue
        if subprocess.run([*program, "version"], capture_output=True, check=False).returncode == 0:
            found.append(program)
    assert found
    for program in found:
        for name in (None, "camera", "tls", "window"):
            files = ["-f", "docker-compose.yml", *(["-f", f"deploy/compose.{name}.yml"] if name else [])]
            command = [*program, "--profile", "tools", "--profile", "grafana", *files, "config", "--quiet"]
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, "DISPLAY": ":0"}, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), command


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
def test_every_package_has_a_wheel(machine: str, tmp_path: Path) -> None:
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(5, GLIBC + 1)] + [f"manylinux2014_{machine}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--implementation=cp", "--python-version=3.11"]
    command += [f"--platform={tag}" for tag in tags]
    command += ["--dest", str(tmp_path), "--requirement", str(ROOT / "requirements" / "run.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wheels = [path.name for path in tmp_path.iterdir()]
    assert any(name.startswith("openvino-2") and machine in name for name in wheels)
    native = [name for name in wheels if not name.endswith("-none-any.whl")]
    assert all(machine in name for name in native), native
