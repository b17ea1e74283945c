"""The files for Kubernetes, built by kustomize and checked against the schemas that Kubernetes publishes."""

import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = "1.33"
OTHERS = {"ScaledObject", "TriggerAuthentication", "PodMonitor"}
"""Kinds of KEDA and the Prometheus operator, whose schemas Kubernetes does not publish."""

kubernetes_validate: Any = pytest.importorskip(
    "kubernetes_validate", reason="needs pip install kubernetes-validate"
)
yaml: Any = pytest.importorskip("yaml")
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


def build(folder: Path, secrets: ModuleType, *, everything: bool = False) -> list[dict[str, Any]]:
    """What `kubectl apply -k deploy` would send."""
    shutil.copytree(ROOT / "deploy", folder, ignore=shutil.ignore_patterns("secrets"))
    secrets.main(folder / "secrets", {})
    if everything:
        file = folder / "kustomization.yaml"
        file.write_text(file.read_text().replace("#components:", "components:"))
    command = ["kubectl", "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("everything", [False, True])
def test_every_object_follows_its_schema(secrets: ModuleType, tmp_path: Path, everything: bool) -> None:
    objects = build(tmp_path / "deploy", secrets, everything=everything)
    assert {o["kind"] for o in objects} & OTHERS == (OTHERS if everything else set())
    for item in objects:
        if item["kind"] not in OTHERS:
            kubernetes_validate.validate(item, VERSION, strict=True)


def test_every_pod_is_restricted_and_watched(secrets: ModuleType, tmp_path: Path) -> None:
    objects = build(tmp_path / "deploy", secrets)
    pods = {
        o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in objects if "template" in o.get("spec", {})
    }
    assert set(pods) == {"producer", "detector-worker", "classifier-worker", "sink", "redis"}
    for name, pod in pods.items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert container["securityContext"]["readOnlyRootFilesystem"], name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}, name
        mounted = {v["secret"]["secretName"].split("-")[0] for v in pod["volumes"] if "secret" in v}
        assert mounted == {name.removesuffix("-worker")}, "each finds its own password alone"
