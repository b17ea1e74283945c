"""Time to the first result, and a pipeline in which nothing happens: `emotion bench --only start`.

Cold means new processes and a new server; the files that they load are in the system's cache, except perhaps in
the first round. Idle: a live camera that never delivers a picture, an address of this machine that accepts and
keeps silent.
"""

import logging
import socket
import subprocess
import time
from collections.abc import Callable
from threading import Timer

from emotion_stream.benchmarks.harness.pipeline import LOOK, started
from emotion_stream.benchmarks.harness.plan import Plan, Spread
from emotion_stream.benchmarks.harness.processes import Watch
from emotion_stream.benchmarks.harness.report import Section, Table
from emotion_stream.benchmarks.sections.throughput import STAGES
from emotion_stream.shared.errors import EmotionError

log = logging.getLogger(__name__)

PATIENCE = 120.0
SETTLE = 5.0
"""Seconds that an idle pipeline gets to come to rest."""


def run(plan: Plan) -> Section:
    """Measure both.

    Raises:
        EmotionError: a run failed.
    """
    firsts = []
    for n in range(plan.rounds):
        firsts.append(first_result(plan))
        log.info("round %d of %d: first result after %.2f s", n + 1, plan.rounds, firsts[-1])
    seconds = min(plan.seconds, 10.0)
    idle = idle_cpu(plan, seconds)
    cold = Table(
        "From the command to the first result",
        ("", "seconds"),
        [["emotion run, cold", Spread.of(firsts).text(2)]],
        [f"{plan.rounds} rounds, median (lowest to highest)."],
    )
    rows = [[stage, f"{share:.2%}"] for stage, share in idle.items()]
    quiet = Table("Idle", ("", "of one core, per process"), rows, [f"A silent camera, {seconds:g} s."])
    return Section("start", [cold, quiet], {"first_result_seconds": firsts, "idle_share_of_a_core": idle})


def first_result(plan: Plan) -> float:
    """Seconds from the start of `emotion run` to the first line of results.

    Raises:
        EmotionError: none came.
    """
    began = time.monotonic()
    with started(plan, f"--source={plan.clip}", "--output=jsonl=-", pipe=True) as (process, _):
        assert process.stdout is not None
        timer = Timer(PATIENCE, process.kill)
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        took = time.monotonic() - began
        if not line:
            raise EmotionError("a run of the pipeline ended without a result")
        process.stdout.close()  # it has had enough
        return took


def idle_cpu(plan: Plan, seconds: float) -> dict[str, float]:
    """Cores that one process of each stage uses while nothing comes.

    Raises:
        EmotionError: the pipeline did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with started(plan, f"--source=silent=rtsp://127.0.0.1:{port}/") as (process, watch):
            _look(process, watch, PATIENCE, lambda: watch.running("producer"))
            _look(process, watch, SETTLE)
            start = time.time()
            _look(process, watch, seconds)
            used, counts = watch.cpu(start, time.time()), watch.count()
    return {stage: used[stage] / seconds / counts[stage] for stage in STAGES if stage in used}


def _look(
    process: "subprocess.Popen[bytes]", watch: Watch, seconds: float, until: Callable[[], bool] = lambda: False
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not until():
        if process.poll() is not None:
            raise EmotionError("a run of the pipeline ended early")
        watch.look()
        time.sleep(LOOK)
