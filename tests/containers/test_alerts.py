"""A stage that starts again and again, on a real engine: Prometheus says so within three minutes."""

import os
import time

import pytest

from tests.containers.stack import STAGES, Stack, docker, wait
from tests.containers.test_containers import KILL_ALL

SOON = 180
"""Seconds."""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_CONTAINERS"), reason="takes minutes: make test-containers"),
    pytest.mark.timeout(1200),
]


def alerts(stack: Stack) -> set[tuple[str, str]]:
    """What fires, and for which service."""
    found = stack.query('ALERTS{alertstate="firing"}')
    return {(r["metric"]["alertname"], r["metric"].get("service", "")) for r in found}


def test_a_stage_that_dies_after_each_start_is_told(stack: Stack) -> None:
    stack.compose("up", "-d")
    wait("all healthy", lambda: stack.healthy({"redis": 1, **dict.fromkeys(STAGES, 1)}))
    wait("all targets", lambda: stack.targets_up() == dict.fromkeys(STAGES, 1))
    wait("no alerts", lambda: ("EmotionRestarts", "classifier_worker") not in alerts(stack))

    def told() -> bool:
        """It lives for some seconds each time."""
        (about,) = stack.inspect("classifier_worker")
        if about["State"]["Running"] and about["State"].get("Health", {}).get("Status") == "healthy":
            docker("exec", about["Id"], "python", "-c", KILL_ALL)
            time.sleep(1)
        return ("EmotionRestarts", "classifier_worker") in alerts(stack)

    print(f"\ntold after {wait('the alert', told, SOON):.0f} s")


def test_a_stage_that_cannot_start_is_told(stack: Stack) -> None:
    stack.settings["EMOTION_SMOOTHING"] = "much"
    stack.compose("up", "-d")
    ours = {("EmotionRestarts", "sink"), ("EmotionStageMissing", "sink")}
    print(f"\ntold after {wait('an alert', lambda: alerts(stack) & ours, SOON):.0f} s: {alerts(stack)}")
    wait("starts", lambda: stack.inspect("sink")[0]["RestartCount"] > 1)
    assert "EMOTION_SMOOTHING: 'much' is not a number" in stack.logs("sink")
