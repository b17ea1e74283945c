"""Cameras come and go in a running pipeline, and the others do not notice."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.emotion.conftest import Launch, command
from tests.emotion.test_run import FAST, lines, workers_of, write_clip
from tests.support.servers import free_port

LIMIT = 60.0
ONE_EACH = ("--detectors=1", "--classifiers=1", *FAST)


def until(met: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + LIMIT
    while not met():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def table(camera: str, source: Path, **settings: object) -> str:
    own = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    return f"[cameras.{camera}]\nsource = {json.dumps(str(source))}\n{own}"


class Results:
    """The JSON lines of a run that goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.of: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def look(self) -> Mapping[str, list[dict[str, Any]]]:
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if line.endswith(b"\n"):
                        self._read += len(line)
                        told = json.loads(line)
                        self.of[told["camera"]].append(told)
        return self.of


def page(port: int, what: str = "cameras") -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=10) as response:
        return json.load(response)


def names(port: int) -> list[str]:
    return [camera["name"] for camera in page(port)]


def processes(pid: int) -> list[int]:
    return workers_of(pid, "emotion_stream")


def write(settings: Path, general: str, tables: Sequence[str]) -> None:
    new = settings.with_suffix(".new")
    new.write_text(general + "".join(tables))
    new.replace(settings)


def test_ten_cameras_come_change_and_go_and_three_miss_no_frame(tmp_path: Path, start: Launch) -> None:
    """Step by step one comes, the one before it is changed, and the one before that goes. Lossless, at the clips'
    own speed: every frame of the three arrives, in order, once, and so do those of the ten as long as they were
    there."""
    clip = write_clip(tmp_path / "clip.mp4", 600, rate=5)
    port, settings, out, summary = free_port(), tmp_path / "s.toml", tmp_path / "out.jsonl", tmp_path / "sum.json"
    general = "mode = 'lossless'\npaced = true\n"
    steady = [table(name, clip) for name in ("left", "middle", "right")]
    write(settings, general, steady)
    told = (f"--output=jsonl={out}", f"--output=web=127.0.0.1:{port}", f"--summary-json={summary}")
    process = start("run", f"--config={settings}", *told, *ONE_EACH)
    results = Results(out)
    until(lambda: len(results.look()) == 3, process)
    at_the_start = processes(process.pid)
    assert len(at_the_start) >= 4
    guests = [f"guest{n}" for n in range(10)]
    for step in range(12):
        come, change = (guests[n] if 0 <= n < 10 else None for n in (step, step - 1))
        middle = [table(come, clip)] if come else []
        middle += [table(change, clip, max_width=160, name="Gast")] if change else []
        write(settings, general, [*steady[:1], *middle, *steady[1:]])
        process.send_signal(signal.SIGHUP)
        until(lambda come=come: not come or results.look()[come], process)  # type: ignore[misc]
        until(lambda change=change: not change or results.look()[change][-1]["width"] == 160, process)  # type: ignore[misc]
        if step == 5:  # the page follows, in the order of the file
            until(lambda: names(port) == ["left", "guest5", "guest4", "middle", "right"], process)
            assert [camera["display_name"] for camera in page(port)][2] == "Gast"
    until(lambda: names(port) == ["left", "middle", "right"], process)
    assert processes(process.pid) == at_the_start, "no process was started again"
    process.terminate()
    error = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0, error
    assert {"left", "middle", "right", *guests} == set(results.look())
    for name, told_of in results.of.items():
        assert [frame["seq"] for frame in told_of] == list(range(len(told_of))), name
        assert len({frame["epoch"] for frame in told_of}) == 1, name
    for name in guests:
        widths = [frame["width"] for frame in results.of[name]]
        assert widths == sorted(widths, reverse=True)
        assert set(widths) == {320, 160}, name
    counted = json.loads(summary.read_text())
    assert (counted["restarts"], counted["dropped"], counted["missing"]) == (0, {}, 0)
    assert counted["appended"] == counted["frames"] == sum(map(len, results.of.values()))


def test_a_mistake_changes_nothing_and_says_the_line(tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 50, rate=10)
    port, settings, out = free_port(), tmp_path / "s.toml", tmp_path / "out.jsonl"
    general = "mode = 'live'\nloop = true\njpeg_quality = 80\n"
    write(settings, general, [table("hall", clip), table("yard", clip)])
    process = start(
        "run", f"--config={settings}", f"--output=jsonl={out}", f"--output=web=127.0.0.1:{port}", *ONE_EACH
    )
    results = Results(out)
    until(lambda: len(results.look()) == 2, process)
    assert process.stderr is not None
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    hall, no_video = general + table("hall", clip), general + table("hall", tmp_path / "text.mp4")
    yard = "[cameras.yard]\nsource = 'nowhere.mp4'\n"
    guess = "unknown setting 'fsp'; did you mean 'fps'?"
    wrong = [
        (hall + "fsp = 3\n", f"s.toml, line 6, [cameras.hall]: {guess}"),
        (hall + yard, "s.toml, line 7, [cameras.yard], source: source nowhere.mp4: no such file"),
        (hall + "fps = \n", "(at line 6, column 7)"),
        ("", "there is no camera left in the settings file"),
        (no_video, "s.toml, line 5, [cameras.hall], source: "),
    ]
    for text, expected in wrong:
        settings.write_text(text)
        process.send_signal(signal.SIGHUP)
        line = next(line for line in process.stderr if "stay as they are" in line)
        assert expected in line
    # What is told needs a restart, and the rest of the same file is done all the same.
    write(settings, general.replace("80", "70"), [table("yard", clip), table("door", clip)])
    process.send_signal(signal.SIGHUP)
    line = next(line for line in process.stderr if "restart" in line)
    assert "jpeg_quality: changed" in line
    until(lambda: names(port) == ["yard", "door"], process)
    until(lambda: results.look()["door"], process)
    assert len({frame["epoch"] for frame in results.look()["yard"]}) == 1, "the mistakes did not touch it"
    process.terminate()
    assert "Traceback" not in process.communicate(timeout=LIMIT)[1]


def test_a_clip_joins_a_pass_that_ends_with_it(tmp_path: Path, start: Launch) -> None:
    """Without being told: --watch-settings. A camera that plays another file from now on begins anew with it."""
    long, short = write_clip(tmp_path / "long.mp4", 60, rate=10), write_clip(tmp_path / "short.mp4", 15, rate=10)
    settings, out = tmp_path / "s.toml", tmp_path / "out.jsonl"
    write(settings, "paced = true\n", [table("a", long), table("b", long)])
    process = start("run", f"--config={settings}", "--watch-settings", f"--output=jsonl={out}", *ONE_EACH)
    results = Results(out)
    until(lambda: len(results.look()) == 2, process)
    write(settings, "paced = true\n", [table("a", long), table("b", short), table("c", short)])
    error = process.communicate(timeout=LIMIT)[1]
    assert process.returncode == 0, error
    assert "cameras: added c; changed b" in error
    passes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for frame in lines(out):
        passes[frame["camera"], frame["epoch"]].append(frame["seq"])
    assert all(seqs == list(range(len(seqs))) for seqs in passes.values())
    counts = [(camera, len(seqs)) for (camera, _), seqs in passes.items()]
    first = next(count for camera, count in counts if camera == "b")
    assert 0 < first <= 60
    assert sorted(counts, key=lambda told: told[0]) == [("a", 60), ("b", first), ("b", 15), ("c", 15)]


def test_a_signal_is_heard_and_a_closed_terminal_ends_the_run(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 20, rate=10)
    settings, out = tmp_path / "s.toml", tmp_path / "out.jsonl"
    write(settings, "mode = 'live'\nloop = true\n", [table("a", clip)])
    arguments = command("run", f"--config={settings}", f"--output=jsonl={out}", f"--state={tmp_path}", *ONE_EACH)
    results, deadline = Results(out), time.monotonic() + LIMIT
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(arguments[0], arguments)
    try:
        while not results.look()["a"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        write(settings, "mode = 'live'\nloop = true\n", [table("a", clip), table("b", clip)])
        os.kill(pid, signal.SIGHUP)
        while not results.look()["b"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        own = processes(pid)
        os.close(terminal)
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert len(own) >= 4
    while any(Path(f"/proc/{number}").exists() for number in own):
        assert time.monotonic() < deadline
        time.sleep(0.05)
