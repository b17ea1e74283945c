"""Measure what events cost a frame, and what a dead broker does.

Usage: python -m benchmarks.outputs.events [ROUNDS] [SECONDS]

Takes Mosquitto, which it starts and stops itself.

Cost: eight cameras at 30 frames a second, three faces each, as a sink has them after it has followed the faces.
Rounds take turns: nothing; events without anybody who listens, their state stored as often as a sink stores it;
MQTT; MQTT with every result. The figure is CPU time of the whole process, its other threads included, over that of
the round's turn with nothing.

Latency: one live run on the sample clip at 30 frames a second with MQTT, whose broker is stopped (SIGSTOP) and
goes on in turns, so that what else the machine does weighs on both; the latencies are in the run's results.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import median

from prometheus_client import CollectorRegistry

from emotion_stream.benchmarks.harness.plan import percentile
from emotion_stream.benchmarks.harness.script import at_least_one, script, seconds
from emotion_stream.shared.messages.types import OK, Box, Emotions, FrameInfo, Prediction
from emotion_stream.shared.process.metrics import Metrics
from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.mqtt import Mqtt
from emotion_stream.sink.events.watch import Watcher
from emotion_stream.sink.results.output import Result
from emotion_stream.sink.results.stats import Stats
from emotion_stream.sink.tracking.follow import Follower, following

CAMERAS, FPS = 8, 30
PORT = 18831
LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
STORED_EVERY = 8
"""Frames of a camera between two acknowledgements, which store what is known of it."""
WARM_UP = 4.0
TURN = 3.0
CASES = ("nothing", "events, nobody listens", "MQTT", "MQTT with every result")


def results(seconds: float) -> list[Result]:
    """What a sink shows: each face changes its emotion and comes and goes every few seconds."""
    follower, made = Follower(following("4/6", 0.3, "auto")), []
    for n in range(round(seconds * FPS)):
        for camera in range(CAMERAS):
            faces = []
            for face in range(3):
                if (n // 120 + face + camera) % 4:
                    best = (n // 90 + face) % len(LABELS)
                    shares = tuple(0.7 if k == best else 0.05 for k in range(len(LABELS)))
                    faces.append(Prediction(Box(50 + 200 * face + n % 7, 100, 120, 120), 5.0, shares))
            info = FrameInfo(f"cam{camera}", "x", "run", n, time.time(), n / FPS, 640, 360, "live")
            message = Emotions(replace(info, interval=1 / FPS), f"{n + 1}-0", LABELS, tuple(faces), OK, 0.4)
            found, unseen, cut, apart = follower.follow(message)
            made.append(Result(info, OK, LABELS, found, 0.05, unseen, cut, apart))
    return made


@contextmanager
def mosquitto(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A broker on PORT."""
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {PORT} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def turn(case: str, shown: list[Result]) -> float:
    """Milliseconds of CPU time a frame."""
    watcher, stats, metrics = Watcher(), Stats(), Metrics(CollectorRegistry(), "sink")
    mqtt = None
    if case.startswith("MQTT"):
        options = EventOptions(mqtt_frames=case != "MQTT")
        mqtt = Mqtt(parse_broker(f"mqtt://127.0.0.1:{PORT}/bench"), options)
        time.sleep(0.5)
    started, spent = time.monotonic(), time.process_time()
    for n, result in enumerate(shown):
        due = started + n / (CAMERAS * FPS)
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
        if case == "nothing":
            continue
        if mqtt is not None:
            mqtt.write(result, None)
        for event in watcher.see(result, time.time()):
            stats.tell(event.kind)
            metrics.events(event.kind).inc()
            if mqtt is not None:
                mqtt.tell(event)
        if n // CAMERAS % STORED_EVERY == 0:
            watcher.state(result.info.camera)
    spent = time.process_time() - spent
    if mqtt is not None:
        mqtt.close()
    return 1000 * spent / len(shown)


def cost(rounds: int, seconds: float, folder: Path) -> None:
    """Print what each case costs."""
    shown = results(seconds)
    watcher = Watcher()
    told = sum(len(watcher.see(result, 0.0)) for result in shown)
    print(f"{len(shown)} frames of {CAMERAS} cameras in {seconds:g} s, {told} events; ms of CPU time a frame")
    taken: dict[str, list[float]] = {case: [] for case in CASES}
    with mosquitto(folder):
        for _ in range(rounds):
            row = {case: turn(case, shown) for case in CASES}
            for case in CASES:
                taken[case].append(row[case] - row["nothing"])
    for case in CASES[1:]:
        values = taken[case]
        print(f"{case:24} {median(values):.4f}   ({min(values):.4f} to {max(values):.4f})")


def latency(seconds: float, folder: Path) -> None:
    """Print the latencies of a run while its broker answers, and while it is stopped."""
    path = folder / "results.jsonl"
    command = [sys.executable, "-m", "emotion_stream", "run", "sample", "--mode", "live", "--loop", "--fps", "30"]
    outputs = ["--output", f"jsonl={path}", f"mqtt://127.0.0.1:{PORT}/bench", "--mqtt-frames"]
    turns: list[tuple[float, float, str]] = []
    with mosquitto(folder) as broker:
        run = subprocess.Popen([*command, *outputs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not path.exists() or not path.stat().st_size:
            time.sleep(0.1)
        time.sleep(WARM_UP)
        for n in range(max(4, round(2 * seconds / TURN))):
            broker.send_signal(signal.SIGSTOP if n % 2 else signal.SIGCONT)
            begun = time.time()
            time.sleep(TURN)
            turns.append((begun + 0.3, begun + TURN - 0.3, "broker stopped" if n % 2 else "with its broker"))
        broker.send_signal(signal.SIGCONT)
        run.send_signal(signal.SIGINT)
        run.wait()
    found: dict[str, list[float]] = {}
    for line in map(json.loads, path.read_text().splitlines()):
        at = datetime.fromisoformat(line["captured_at"]).timestamp()
        for begun, ended, name in turns:
            if begun < at < ended:
                found.setdefault(name, []).append(line["latency_ms"])
    for name, values in found.items():
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        print(f"{name:24} p50 {p50:.1f} ms, p99 {p99:.1f} ms   ({len(values)} frames)")


if __name__ == "__main__":
    with (
        script("outputs.events", __doc__) as parser,
        tempfile.TemporaryDirectory(prefix="emotion-events-") as place,
    ):
        parser.add_argument("rounds", nargs="?", type=at_least_one, default=3, metavar="ROUNDS")
        parser.add_argument("seconds", nargs="?", type=seconds, default=8.0, metavar="SECONDS")
        given = parser.parse_args()
        cost(given.rounds, given.seconds, Path(place))
        latency(2 * given.seconds, Path(place))
