"""`emotion run` as people use it: real processes, the embedded server, the committed model, real pictures."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import redis

from emotion_stream.emotion.runner.server import EmbeddedServer
from emotion_stream.shared.streams.connection import connect
from tests.emotion.conftest import Launch, command

FAST = ("--scan-width=320", "--min-face=0.2", "--scale-factor=1.2")
"""A coarse search: these tests are about what arrives, not about small faces."""
LIMIT = 100


def emotion(*arguments: str, limit: float = LIMIT, **environment: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, **environment}
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=limit, env=env, check=False)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def sample_frames(count: int) -> list[np.ndarray[Any, Any]]:
    from emotion_stream import samples

    frames = []
    with av.open(str(Path(samples.__file__).parent / "sample.mp4")) as container:
        for frame in container.decode(video=0):
            frames.append(cv2.resize(frame.to_ndarray(format="bgr24"), (320, 180)))
            if len(frames) == count:
                break
    return frames


def write_clip(path: Path, count: int, rate: int = 25) -> Path:
    pictures = sample_frames(min(count, 60))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(pictures[n % len(pictures)], format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def workers_of(pid: int, part: str) -> list[int]:
    """Children of the runner whose command line contains `part`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
            if parent == pid and part in line:
                found.append(int(entry.name))
    return sorted(found)


def wait_for(path: Path, count: int, process: "subprocess.Popen[str]", seconds: float = LIMIT) -> None:
    """Until the results have at least `count` lines."""
    deadline = time.monotonic() + seconds
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def check_lossless(results: Sequence[dict[str, Any]], count: int) -> None:
    assert [r["seq"] for r in results] == list(range(count))


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_a_folder_gives_one_line_a_picture_in_order(detector: str, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    face = sample_frames(40)[39]
    for n in (1, 2, 10, 11):
        cv2.imwrite(str(folder / f"img{n}.jpg"), face)
    good = (folder / "img1.jpg").read_bytes()
    (folder / "img3.jpg").write_bytes(good[: len(good) // 2])
    (folder / "img4.jpg").write_bytes(b"this is no picture")
    cv2.imwrite(str(folder / "img5.png"), cv2.cvtColor(face, cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(folder / "img6.png"), cv2.cvtColor(face, cv2.COLOR_BGR2GRAY))
    (folder / "notes.txt").write_text("not a picture")
    out = tmp_path / "results.jsonl"
    summary = tmp_path / "summary.json"
    told = (f"--output=jsonl={out}", f"--summary-json={summary}", f"--detector={detector}")
    done = emotion("run", "--source", str(folder), *told, *FAST)
    assert done.returncode == 0, done.stderr
    results = lines(out)
    check_lossless(results, 8)
    names = [Path(r["source"]).name for r in results]
    assert names == [f"img{n}.{'png' if n in (5, 6) else 'jpg'}" for n in (1, 2, 3, 4, 5, 6, 10, 11)]
    assert [r["status"] for r in results] == ["ok", "ok", "error", "error", "ok", "ok", "ok", "ok"]
    assert all("cannot be decoded" in r["error"] for r in results if r["status"] == "error")
    faces = [r["faces"] for r in results if r["status"] == "ok"]
    assert all(len(f) >= 1 for f in faces)
    for face_found in (f for found in faces for f in found):
        assert list(face_found["probabilities"]) == [
            "angry",
            "disgust",
            "fear",
            "happy",
            "sad",
            "surprise",
            "neutral",
        ]
        assert sum(face_found["probabilities"].values()) == pytest.approx(1, abs=0.01)
        assert face_found["confidence"] == max(face_found["probabilities"].values())
    about = json.loads(summary.read_text())
    assert (about["frames"], about["errors"], about["dead_letters"]) == (8, 2, 0)
    assert about["fps"] > 0


def test_killed_workers_lose_and_repeat_nothing(tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 240)
    out = tmp_path / "results.jsonl"
    process = start(
        "run", "--source", str(clip), f"--output=jsonl={out}", "--detectors=3", "--classifiers=3", *FAST
    )
    for count in (20, 90, 150):  # at each of these lines
        wait_for(out, count, process)
        for part in ("detector", "classifier", "sink", "producer"):
            for pid in workers_of(process.pid, f"-m emotion_stream.{part}")[:1]:
                os.kill(pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    check_lossless(lines(out), 240)


@pytest.mark.parametrize("part", ["detector", "producer"])
def test_a_process_that_was_told_to_leave_is_replaced(part: str, tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 250)
    out = tmp_path / "results.jsonl"
    process = start("run", "--source", str(clip), f"--output=jsonl={out}", "--detectors=1", *FAST)
    wait_for(out, 10, process)
    os.kill(workers_of(process.pid, f"-m emotion_stream.{part}")[0], signal.SIGTERM)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    check_lossless(lines(out), 250)


def test_a_reader_that_has_had_enough_ends_the_run(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 100)
    pipe = f"{sys.executable} -m emotion_stream run --source {clip} --output jsonl=- {' '.join(FAST)} | head -n 1"
    done = subprocess.run(pipe, shell=True, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert json.loads(done.stdout)["seq"] == 0
    assert "Traceback" not in done.stderr


def test_a_flushed_server_is_filled_again(tmp_path: Path, short_path: Path, start: Launch) -> None:
    """Everything is gone at once: frames in flight are sent again, and none is shown twice."""
    # At its own speed: it must not have ended before this process looks, on a busy machine.
    clip = write_clip(tmp_path / "clip.mp4", 300, rate=60)
    out = tmp_path / "results.jsonl"
    process = start(
        "run", "--source", str(clip), f"--output=jsonl={out}", f"--state={short_path}", "--paced", *FAST
    )
    wait_for(out, 20, process)
    client = connect(f"unix://{next(short_path.glob('run-*/server/server.sock'))}")
    client.flushall()
    client.close()
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    check_lossless(lines(out), 300)


@pytest.mark.parametrize("report", [False, True])
def test_ctrl_c_before_the_first_frame(report: bool, start: Launch, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    process = start("run", "--source", "http://127.0.0.1:1/nothing", *["--report", str(page)] * report)
    assert process.stderr is not None
    patience = threading.Timer(LIMIT, process.kill)
    patience.start()
    said = next(
        line for line in process.stderr if "WARNING producer" in line
    )  # a worker's complaint reaches the user
    patience.cancel()
    assert "127.0.0.1:1" in said
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == int(report), errors
    assert "Traceback" not in errors
    assert "p50 -" in errors
    if report:
        assert errors.endswith(f"emotion run: --report {page} is not written: no frame was shown\n")


def test_a_killed_server_loses_and_repeats_nothing(tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 200)
    out = tmp_path / "results.jsonl"
    process = start("run", "--source", str(clip), f"--output=jsonl={out}", *FAST)
    wait_for(out, 20, process)
    os.kill(workers_of(process.pid, "valkey-server")[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    check_lossless(lines(out), 200)


@pytest.mark.parametrize("mode", ["lossless", "live"])
def test_a_server_that_is_killed_before_anything_is_ready_comes_back(
    mode: str, tmp_path: Path, start: Launch
) -> None:
    clip, out = write_clip(tmp_path / "clip.mp4", 30), tmp_path / "results.jsonl"
    process = start("run", "--source", str(clip), f"--mode={mode}", f"--output=jsonl={out}", *FAST)
    deadline = time.monotonic() + LIMIT
    while not workers_of(process.pid, "detector_worker"):  # the server has answered, and the rest is loaded
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(workers_of(process.pid, "valkey-server")[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    assert "the embedded server had died: started it again" in errors
    assert lines(out)


def test_a_killed_server_of_a_live_run_is_counted(tmp_path: Path, start: Launch) -> None:
    """It keeps nothing on disk: what it held is gone, and so is its count of what was sent."""
    out, summary = tmp_path / "results.jsonl", tmp_path / "summary.json"
    process = start(
        "run", "--source", "sample", "--mode=live", "--loop", "--fps=20", f"--output=jsonl={out}",
        f"--summary-json={summary}", *FAST,
    )  # fmt: skip
    wait_for(out, 60, process)
    os.kill(workers_of(process.pid, "valkey-server")[0], signal.SIGKILL)
    epoch = re.compile(r'"epoch": ?"[^"]+"')
    before = set(epoch.findall(out.read_text()))
    deadline = time.monotonic() + LIMIT
    while set(epoch.findall(out.read_text())) == before:  # the last line may be half written
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    assert "without the frames that it held" in errors
    told = json.loads(summary.read_text())
    assert told["frames"] == len(lines(out)) > 60
    assert told["appended"] == told["frames"] + sum(told["dropped"].values()) + told["missing"]
    assert told["missing"] < 20  # a second's worth


def test_live_mode_counts_every_frame_it_drops(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 600, rate=300)
    out, summary = tmp_path / "results.jsonl", tmp_path / "summary.json"
    done = emotion(
        "run", "--source", str(clip), "--mode=live", f"--output=jsonl={out}", f"--summary-json={summary}",
        "--detectors=1", "--scan-every=1", "--scan-width=320", "--scale-factor=1.05", "--min-face=0.05",
        "--max-age=0.3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(summary.read_text())
    dropped = sum(told["dropped"].values())
    assert dropped > 50  # the source is faster than the pipeline
    assert told["frames"] + dropped + told["missing"] == told["appended"]
    results = lines(out)
    assert len(results) == told["frames"]
    # Being late is no reason to show nothing: the newest frames get through until the very end.
    assert told["frames"] >= 5
    assert results[-1]["seq"] > 450
    assert [r["seq"] for r in results] == sorted({r["seq"] for r in results})
    # The newest frames win: what is shown late is about as old as what is shown early.
    assert max(r["latency_ms"] for r in results[len(results) // 2 :]) < 3000


@pytest.mark.parametrize("detector", ["haar", "yunet"])
def test_several_sources_are_named_cameras(detector: str, tmp_path: Path) -> None:
    one, two = write_clip(tmp_path / "a.mp4", 12), write_clip(tmp_path / "b.mp4", 9)
    video = tmp_path / "seen.mp4"
    wanted = ("--output=jsonl=-", f"--output=video={video}", f"--detector={detector}")
    done = emotion("run", "--source", f"left={one}", f"right={two}", *wanted, *FAST)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for camera, count in (("left", 12), ("right", 9)):
        check_lossless([r for r in results if r["camera"] == camera], count)
        with av.open(str(tmp_path / f"seen-{camera}.mp4")) as container:
            assert sum(1 for _ in container.decode(video=0)) == count


def test_ctrl_c_drains(tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 100)
    out = tmp_path / "results.jsonl"
    process = start("run", "--source", str(clip), "--mode=live", "--loop", f"--output=jsonl={out}", *FAST)
    wait_for(out, 5, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    frames = re.search(r"^frames +(\d+)", errors, re.M)
    assert frames is not None
    assert int(frames[1]) == len(lines(out))


def test_nothing_outlives_a_killed_runner(tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 50)
    out = tmp_path / "results.jsonl"
    process = start(
        "run",
        "--source",
        str(clip),
        "--mode=live",
        "--loop",
        f"--output=jsonl={out}",
        f"--state={tmp_path}",
        *FAST,
    )
    wait_for(out, 5, process)
    children = workers_of(process.pid, "")
    assert len(children) >= 5
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while left := [pid for pid in children if Path(f"/proc/{pid}/cmdline").exists() and _running(pid)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_metrics_and_targets_of_a_run(tmp_path: Path, start: Launch) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 100)
    out = tmp_path / "results.jsonl"
    port = _free_port()
    process = start(
        "run",
        "--source",
        str(clip),
        "--mode=live",
        "--loop",
        f"--output=jsonl={out}",
        f"--metrics-port={port}",
        *FAST,
    )
    try:
        wait_for(out, 5, process)
        time.sleep(1.2)
        targets = json.loads(_get(f"http://127.0.0.1:{port}/targets"))
        stages = Counter(group["labels"]["stage"] for group in targets)
        assert set(stages) == {"producer", "detector", "classifier", "sink"}
        pages = {g["labels"]["stage"]: _get(f"http://{g['targets'][0]}/metrics").decode() for g in targets}
        assert re.search(r'emotion_frames_total\{stage="sink"\} [1-9]', pages["sink"])
        assert "emotion_end_to_end_latency_seconds_bucket" in pages["sink"]
        assert re.search(
            r'emotion_lag_seconds\{group="detector",stage="detector",stream="frames"\}', pages["detector"]
        )
        assert re.search(r'emotion_frames_total\{stage="producer"\} [1-9]', pages["producer"])
        assert "emotion_predictions_total" in pages["classifier"]
        for group in targets:
            assert _get(f"http://{group['targets'][0]}/readyz").split()[0] == b"ready"
            assert _get(f"http://{group['targets'][0]}/livez").strip() == b"live"
        assert _get(f"http://127.0.0.1:{port}/metrics")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return bytes(reply.read())


def test_a_run_on_somebody_elses_server_leaves_nothing_behind(
    tmp_path: Path, server: EmbeddedServer, client: "redis.Redis"
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 10)
    before = set(client.keys())
    done = emotion("run", "--source", str(clip), "--output=jsonl=-", "--redis", server.url, *FAST)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10
    assert set(client.keys()) <= before  # leases of other tests may end meanwhile
