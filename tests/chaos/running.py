"""`emotion run` in live mode, with the stages that are shipped, one process of each: all are killed in turn."""

import json
import os
import random
import signal
import subprocess
import sys
import time

from tests.chaos.checks import Tail, Verdict, check_increasing, lines
from tests.chaos.live import CAMERAS, PATIENCE, recovered
from tests.chaos.lossless import detectors
from tests.chaos.plant import Plant, plain_environment
from tests.chaos.report import Outcome
from tests.soak import children

VICTIMS = ("producer", "detector-0", "classifier-0", "sink", "server")
ROUNDS = 2
FPS = 15.0


def running_wave(plant: Plant, chance: random.Random) -> Outcome:
    """Kill every process of a run, see how long it takes until the view is young again, and count."""
    outcome = Outcome(Verdict())
    verdict = outcome.verdict
    results, summary = plant.directory / "results.jsonl", plant.directory / "summary.json"
    command = [
        sys.executable, "-m", "emotion_stream", "run", "--source", *(f"{camera}=sample" for camera in CAMERAS),
        "--mode=live", "--loop", f"--fps={FPS:g}", "--detectors=1", "--classifiers=1", f"--output=jsonl={results}",
        f"--state={plant.directory}", f"--summary-json={summary}", f"--detector={detectors()[0].detector}",
    ]  # fmt: skip
    with (plant.directory / "run.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, env=plain_environment())
    try:
        tail = Tail(results)
        verdict.expect(recovered(tail, time.time()) is not None, "nothing is shown at all")
        for name in chance.sample(VICTIMS * ROUNDS, ROUNDS * len(VICTIMS)):
            at = time.time()
            os.kill(children(process.pid)[name], signal.SIGKILL)
            healed = recovered(tail, at)
            what = f"SIGKILL {name}"
            outcome.faults[what] += 1
            verdict.expect(healed is not None, f"after {what}: nothing young is shown for {PATIENCE:.0f} s")
            outcome.recovery[what] = max(outcome.recovery.get(what, 0.0), round(healed or PATIENCE, 2))
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    finally:
        process.kill()
        process.wait()
    verdict.expect(code == 0, f"the run ended with {code}")
    if code == 0:
        told = json.loads(summary.read_text())
        lost = sum(told["dropped"].values()) + told["missing"]
        verdict.expect(told["frames"] + lost == told["appended"], f"the summary does not add up: {told}")
        verdict.expect(told["frames"] == len(lines(results)), "the summary tells of other frames than were shown")
        outcome.figures |= {
            "appended": told["appended"],
            "not shown": lost,
            "processes restarted": told["restarts"],
        }
    check_increasing(verdict, lines(results))
    outcome.figures["worst recovery, s"] = max(outcome.recovery.values(), default=0.0)
    return outcome
