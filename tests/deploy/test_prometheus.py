"""Rules, alerts and the dashboard: checked by promtool, compared with the metrics and the guide, and every panel
asked of a real Prometheus that scrapes the real pipeline."""

import importlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from emotion_stream.shared.process.metrics import Metrics
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "emotion-stream.json"
GUIDE = ROOT / "docs" / "how-to" / "operations.md"
SUFFIX = {"counter": ("_total",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="needs Prometheus (Debian: apt install prometheus)",
)


def exported() -> set[str]:
    """The names of all time series of a process."""
    registry = CollectorRegistry()
    Metrics(registry, "sink")
    names = set()
    for family in registry.collect():
        names |= {family.name + suffix for suffix in SUFFIX.get(family.type, ("",))}
    return names


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text())


def queries() -> list[str]:
    """Every query of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


@needs_prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml", "alerts.yml"),
        ("test", "rules", "tests.yml"),
    ],
)
def test_promtool_is_content(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_explained() -> None:
    tested = (FOLDER / "tests.yml").read_text()
    guide = GUIDE.read_text()
    assert len(alerts()) > 10
    for name in alerts():
        assert f"alertname: {name}\n" in tested, f"{name} is never made to fire"
        assert f"\n### {name}\n" in guide, f"{GUIDE.name} does not say what to do about {name}"
    assert set(re.findall(r"\n### (Emotion\w+)\n", guide)) == set(alerts())


def test_every_metric_is_explained_and_no_other() -> None:
    listed = set(re.findall(r"^\| `(emotion_\w+)", GUIDE.read_text(), flags=re.MULTILINE))
    plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in exported() if name.startswith("emotion_")}
    assert listed == plain


def test_rules_and_dashboard_ask_only_for_what_is_exported() -> None:
    known = exported() | set(re.findall(r"record: (\S+)", (FOLDER / "rules.yml").read_text()))
    for text in (*(path.read_text() for path in FOLDER.glob("*.yml")), *queries()):
        asked = set(re.findall(r"(?<![\w:])(?:\w+:)?emotion[_:]\w+(?::\w+)?", text))
        assert asked <= known, asked - known


def test_panels_lie_side_by_side_and_ask_the_data_source_that_is_provisioned() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    source = (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} covers another panel"
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert f"uid: {target['datasource']['uid']}\n" in source, panel["title"]


def test_the_dashboard_follows_grafanas_own_schema() -> None:
    """Read by the types that Grafana publishes and written again, nothing is missing or different."""
    skip = "needs pip install grafana-foundation-sdk"
    models: Any = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason=skip)
    plugins: Any = importlib.import_module("grafana_foundation_sdk.cog.plugins")
    encoder: Any = importlib.import_module("grafana_foundation_sdk.cog.encoder")
    plugins.register_default_plugins()
    ours = json.loads(DASHBOARD.read_text())
    theirs = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(ours)))
    for note in ours["annotations"]["list"]:  # two of the data source's own settings, which the schema leaves open
        del note["titleFormat"], note["tagKeys"]
    assert not different(ours, theirs, "dashboard")


def different(ours: Any, theirs: Any, place: str) -> list[str]:
    """Where `theirs` lacks or changes what `ours` says; nulls and empty values aside."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [d for k, v in ours.items() for d in different(v, theirs.get(k), f"{place}.{k}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            d for i, pair in enumerate(zip(ours, theirs, strict=True)) for d in different(*pair, f"{place}[{i}]")
        ]
    return [] if ours == theirs or (not ours and not theirs) else [f"{place}: {ours} became {theirs}"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus with the project's rules, which scrapes a running pipeline."""
    folder = tmp_path_factory.mktemp("prometheus")
    metrics, port = free_port(), free_port()
    for name in ("rules.yml", "alerts.yml"):
        shutil.copy(FOLDER / name, folder)
    (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml, alerts.yml]
scrape_configs:
  - job_name: emotion
    http_sd_configs: [{{url: "http://127.0.0.1:{metrics}/targets", refresh_interval: 1s}}]
    relabel_configs: [{{source_labels: [stage], target_label: service}}, {{regex: stage, action: labeldrop}}]
""")
    run = [sys.executable, "-m", "emotion_stream", "run", "--source=sample", "--loop", f"--metrics-port={metrics}"]
    run += ["--scan-width=320", "--min-face=0.2", f"--output=jsonl={folder}/out.jsonl", "--detectors=1"]
    watch = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    watch += [f"--web.listen-address=127.0.0.1:{port}"]
    started = []
    try:
        for command in (run, watch):
            with (folder / "log").open("ab") as log:
                started.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
                )
        yield f"http://127.0.0.1:{port}"
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ask(address: str, query: str) -> list[dict[str, Any]]:
    """The samples that a query gives that are numbers; empty while Prometheus is not there yet."""
    question = urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{question}", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as e:
        raise AssertionError(f"{query}: {e.read().decode()}") from e
    except OSError:
        return []
    return [sample for sample in found if sample["value"][1] != "NaN"]


@needs_prometheus
@pytest.mark.timeout(240)
def test_every_panel_shows_data_of_a_running_pipeline(address: str) -> None:
    deadline = time.monotonic() + 200
    waiting = queries()
    assert len(waiting) > 25
    while waiting:
        assert time.monotonic() < deadline, f"no data for {waiting}"
        time.sleep(1)
        waiting = [query for query in waiting if not ask(address, query)]
    shown = ask(address, 'stage:emotion_frames:rate1m{stage="sink"} > 0')
    assert shown, "frames are shown"
    assert {s["metric"]["emotion"] for s in ask(address, "sum by (emotion) (emotion_predictions_total)")} > {
        "happy"
    }
