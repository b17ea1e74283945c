"""How many workers a run has: the rule on made-up loads, and real processes that come and go."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Thread

import pytest

from emotion_stream.emotion.runner import crew
from emotion_stream.emotion.runner.demand import (
    CALM_FOR,
    ROOM_LIVE,
    ROOM_LOSSLESS,
    SETTLE,
    SHORT_FOR,
    Load,
    Since,
    decide,
)
from emotion_stream.emotion.runner.launch import Launch, Workers, choose_workers
from emotion_stream.emotion.runner.pipeline import Run
from emotion_stream.emotion.runner.processor import seconds_idle, seconds_used
from emotion_stream.emotion.runner.supervisor import Plan, Supervisor
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.settings.options import CommonOptions, RunOptions
from tests.support.pictures import Image, encode, sample_frames

DETECTOR, CLASSIFIER = "detector_worker", "classifier_worker"
STEP = 0.5
QUIET = Load(workers=1, most=2, busy=0.3, waiting=1)
SHORT = Load(workers=1, most=2, busy=0.95, waiting=40)

# --- the rule ----------------------------------------------------------------------------------------------


def changes(
    seconds: float, detector: Load, classifier: Load = QUIET, idle: float = 0.4, room: float = ROOM_LIVE
) -> Iterator[tuple[float, str, int]]:
    """When a load that stays as it is has something changed, and what."""
    since: Mapping[str, Since] = {}
    for n in range(round(seconds / STEP)):
        stage, change, since = decide({DETECTOR: detector, CLASSIFIER: classifier}, since, idle, room, n * STEP)
        if stage is not None:
            yield n * STEP, stage, change


def test_a_stage_that_is_busy_and_behind_gets_another_worker_while_cores_are_idle() -> None:
    assert next(changes(10, SHORT)) == (SHORT_FOR, DETECTOR, 1)
    assert next(changes(10, QUIET, SHORT)) == (SHORT_FOR, CLASSIFIER, 1)


@pytest.mark.parametrize(
    ("load", "idle", "room"),
    [
        (SHORT, 0.1, ROOM_LIVE),  # the cores are busy with something else
        (SHORT, 0.4, ROOM_LOSSLESS),  # a second detector would search twice, and gain nothing
        (Load(1, 2, busy=0.5, waiting=40), 1.0, ROOM_LIVE),  # they wait for something else
        (Load(1, 2, busy=0.95, waiting=1), 1.0, ROOM_LIVE),  # nothing waits for them
        (Load(2, 2, busy=1.9, waiting=90), 1.0, ROOM_LIVE),  # no more are allowed
    ],
)
def test_nothing_changes_where_another_worker_would_not_help(load: Load, idle: float, room: float) -> None:
    assert not list(changes(100, load, idle=idle, room=room))


def test_the_stage_that_is_furthest_behind_comes_first() -> None:
    worse = Load(1, 2, busy=0.95, waiting=90)
    assert [stage for _, stage, _ in islice(changes(10, SHORT, worse, idle=1), 1)] == [CLASSIFIER]


def test_a_change_gets_time_to_show_its_effect() -> None:
    (first, *_), (second, *_) = islice(changes(20, SHORT), 2)
    assert second - first >= SETTLE + SHORT_FOR


def test_a_worker_that_is_not_needed_for_long_is_retired() -> None:
    assert next(changes(100, Load(2, 2, busy=0.4, waiting=1))) == (CALM_FOR, DETECTOR, -1)
    assert not list(changes(100, Load(2, 2, busy=0.6, waiting=1)))  # one alone would be busy
    assert not list(changes(100, Load(2, 2, busy=0.1, waiting=40)))  # others take the cores
    assert not list(changes(100, Load(1, 2, busy=0.0, waiting=0)))  # one stays


def test_a_load_that_comes_and_goes_changes_nothing() -> None:
    since: Mapping[str, Since] = {}
    for n in range(200):
        stage, _, since = decide({DETECTOR: SHORT if n % 3 else QUIET}, since, 0.4, ROOM_LIVE, n * STEP)
        assert stage is None


def test_numbers_that_are_given_are_the_highest() -> None:
    assert choose_workers(RunOptions(), 2, False) == {DETECTOR: Workers(1, 2), CLASSIFIER: Workers(1, 2)}
    assert choose_workers(RunOptions(), 8, True) == {DETECTOR: Workers(8, 8), CLASSIFIER: Workers(2, 8)}
    given = choose_workers(RunOptions(detectors=3, classifiers=1), 8, False)
    assert given == {DETECTOR: Workers(3, 3), CLASSIFIER: Workers(1, 1)}


# --- real processes ----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_how_busy_processes_are_is_known() -> None:
    before = seconds_idle()
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        deadline = time.monotonic() + 60
        while (used := seconds_used([spinning.pid, 2**22 + 1])) is not None and used < 0.1:  # no such process
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        spinning.kill()
        spinning.wait()
    after = seconds_idle()
    assert None not in (used, before, after)
    assert after >= before > 0  # type: ignore[operator]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module whose process ends when it is asked to, or, with `stubborn`, not even then."""
    (tmp_path / "stays.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN if 'stubborn' in sys.argv else lambda *_: sys.exit(0))\n"
        "print('up', file=sys.stderr, flush=True)\n"
        "time.sleep(100)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "stays"


@pytest.mark.parametrize("how", ["willing", "stubborn"])
def test_a_process_that_is_retired_ends_and_is_not_started_again(
    how: str, tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "emotion_stream.emotion.runner.supervisor.RETIRES_WITHIN", 30.0 if how == "willing" else 0.1
    )
    supervisor = Supervisor(tmp_path / "logs")
    for n in range(2):
        supervisor.start(Plan(f"stays-{n}", module, [how]))
    pids = dict(supervisor.pids(module))
    deadline = time.monotonic() + 60
    while (tmp_path / "logs" / "stays-1.log").read_text() != "up\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    supervisor.retire("stays-1")
    while not supervisor.is_free("stays-1"):
        supervisor.check({})
        assert time.monotonic() < deadline
        time.sleep(0.02)
    supervisor.check({})
    assert supervisor.pids(module) == {"stays-0": pids["stays-0"]}
    assert supervisor.restarts == 0
    os.kill(pids["stays-0"], signal.SIGKILL)
    supervisor.stop()


def clip(folder: Path, pictures: Sequence[Image]) -> Path:
    folder.mkdir()
    for n, picture in enumerate(pictures):
        (folder / f"{n:03}.jpg").write_bytes(encode(picture))
    return folder


def test_workers_come_and_go_while_a_run_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is played: another detector as soon as there is something to do, and without it once it works."""
    directory = tmp_path / "run"
    directory.mkdir()
    pictures = clip(tmp_path / "pictures", sample_frames()[:2] * 200)
    values = {
        "source": (str(pictures),),
        "output": (f"jsonl={tmp_path / 'results.jsonl'}",),
        "detectors": 1,
        "in_flight": 4,
        "scan_width": 240,
        "min_face": 0.3,
    }
    launch = Launch(values, directory)
    service = Service("runner", "", CommonOptions())
    seen: list[int] = []

    def played(
        loads: Mapping[str, Load], since: Mapping[str, Since], *_: float
    ) -> tuple[str | None, int, Mapping[str, Since]]:
        seen.append(loads[DETECTOR].workers)
        if max(seen) == 1:
            return DETECTOR, 1, since
        second, results = directory / "logs" / "detector-1.log", tmp_path / "results.jsonl"
        if seen[-1] == 2 and "ready" in second.read_text() and results.exists() and results.stat().st_size:
            return DETECTOR, -1, since
        return None, 0, since

    monkeypatch.setattr(crew, "decide", played)
    monkeypatch.setattr(crew, "STEP", 0.02)
    try:
        launch.begin()
        run = Run(launch, service)
        over = Thread(target=_stop_when_retired, args=(seen, service), daemon=True)
        over.start()
        summary = run.run()
        ended = launch.supervisor.is_free("detector-1")
    finally:
        launch.stop()
        service.close()
    assert (max(seen), seen[-1]) == (2, 1), "no worker came, or none went"
    assert ended
    assert (summary["errors"], summary["missing"], summary["dropped"], summary["dead_letters"]) == (0, 0, {}, 0)
    assert (summary["frames"], summary["restarts"]) == (summary["appended"], 0)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == summary["frames"] > 0


def _stop_when_retired(seen: Sequence[int], service: Service) -> None:
    deadline = time.monotonic() + 60
    while not (len(seen) > 1 and max(seen) == 2 and seen[-1] == 1) and time.monotonic() < deadline:
        time.sleep(0.02)
    service.stop.set()
