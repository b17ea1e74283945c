"""Measure what the web page costs the pipeline, and how live it is.

`python -m benchmarks.outputs.web [SECONDS] [ROUNDS]` measures all cases;
`python -m benchmarks.outputs.web nine [ROUNDS]` is the last case alone.

One live camera at 30 frames a second; results also go to JSON lines, which latency is taken from. Cases: no page;
a page that nobody looks at; one viewer; ten, one of whom reads 20 kB a second. A viewer takes Motion JPEG and
server-sent events at once, over two connections; all viewers are one process, which is not counted. CPU time is
that of the sink and of all processes of the run, from /proc.

The last case is the page itself with nine cameras: pictures of the sample clip with three faces each, 12 a second
and camera, are handed to the output `web` as the sink does, in a process of its own, and one viewer takes what the
page takes. The CPU time of that process per picture that the viewer got is all that the page costs.
"""

import json
import multiprocessing
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from emotion_stream import samples
from emotion_stream.benchmarks.harness.clips import retimed
from emotion_stream.benchmarks.harness.plan import percentile
from emotion_stream.benchmarks.harness.processes import Watch
from emotion_stream.benchmarks.harness.script import at_least_one, script, seconds
from emotion_stream.shared.messages.types import OK, Box, FrameInfo, Prediction
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.results.output import Face, Image, Result
from emotion_stream.sink.web.http.address import Address
from emotion_stream.sink.web.output import Web

FPS = 30
WARM_UP = 4.0
SLOW_BYTES, SLOW_EVERY = 2048, 0.1
NINE, NINE_FPS, NINE_WIDTH = 9, 12, 480
PICTURE = re.compile(rb'"kind":"picture"')
CASES = (("no page", None), ("page, nobody looks", 0), ("1 viewer", 1), ("10 viewers, 1 of them slow", 10))


@dataclass(slots=True)
class Stream:
    """One connection of a viewer: when pictures came, or how old results were when they came."""

    sock: socket.socket
    slow: bool
    tail: bytes = b""
    due: float = 0.0
    came: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)

    def read(self) -> None:
        """Take what has arrived, and note when each picture or result came.

        Raises:
            EOFError: the server has closed the connection.
        """
        data = self.sock.recv(SLOW_BYTES if self.slow else 1 << 18)
        if not data:
            raise EOFError
        now = time.time()
        self.due = now + SLOW_EVERY
        text = self.tail + data
        cut = text.rfind(b"\n")
        self.tail = text[cut + 1 :][-4096:]
        for line in text[: cut + 1].split(b"\n"):
            if line.startswith(b"--frame"):
                self.came.append(now)
            elif line.startswith(b"data: ") and (found := re.search(rb'"captured_at":"([^"]+)"', line)):
                self.came.append(now)
                self.ages.append(now - datetime.fromisoformat(found[1].decode()).timestamp())


def view(port: int, viewers: int, pipe: Connection) -> None:
    """Look at the page until told to stop; sends pictures a second, longest gap and ages of those not slow."""
    streams = []
    for n in range(viewers):
        for path in ("/stream/cam.mjpg", "/api/events"):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            streams.append(Stream(sock, slow=viewers > 1 and n == 0))
    selector = selectors.DefaultSelector()
    for stream in streams:
        selector.register(stream.sock, selectors.EVENT_READ, stream)
    while not pipe.poll():
        for key, _ in selector.select(0.05):
            stream = key.data
            if stream.slow and time.time() < stream.due:
                continue
            try:
                stream.read()
            except (EOFError, OSError):
                selector.unregister(stream.sock)
        time.sleep(0.003)  # what is known of when something came is that fine
    begin, end = pipe.recv()
    found = []
    for pictures, results in zip(streams[::2], streams[1::2], strict=True):
        came = [t for t in pictures.came if begin <= t <= end]
        ages = [a for t, a in zip(results.came, results.ages, strict=True) if begin <= t <= end]
        gaps = [b - a for a, b in pairwise(came)]
        if not pictures.slow:
            found.append((len(came) / (end - begin), max(gaps, default=end - begin), ages))
    pipe.send(found)


def serve(cameras: int, pipe: Connection) -> None:
    """Show a page with so many cameras until told to stop; sends its port, then the CPU time it has used."""
    images: list[Image] = []
    capture = cv2.VideoCapture(str(Path(samples.__file__).parent / "sample.mp4"))
    while len(images) < 60 and (read := capture.read())[0]:
        images.append(np.asarray(read[1], np.uint8))
    web = Web(Address(port=0), WebOptions(), [f"cam{n}" for n in range(cameras)])
    pipe.send(web.address.port)
    pipe.recv()
    started, seq = time.process_time(), 0
    while not pipe.poll():
        for n in range(cameras):
            image = images[(seq + 7 * n) % len(images)]
            web.write(_three_faces(f"cam{n}", seq, image), image)
        seq += 1
        time.sleep(1 / NINE_FPS)
    pipe.send(time.process_time() - started)
    web.close()


def _three_faces(camera: str, seq: int, image: Image) -> Result:
    height, width = image.shape[:2]
    info = FrameInfo(
        camera=camera, source="bench", epoch="e", seq=seq, captured_at=time.time(), media_time=seq / NINE_FPS,
        width=width, height=height, mode="live",
    )  # fmt: skip
    shares = (0.02, 0.02, 0.02, 0.86, 0.02, 0.02, 0.04)
    boxes = [Box(width * (1 + 3 * n) // 10, height // 4, width // 6, width // 6) for n in range(3)]
    faces = tuple(Face.alone(n + 1, Prediction(box, 1.0, shares)) for n, box in enumerate(boxes))
    return Result(info, OK, ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"), faces, 0.03)


def nine(seconds: float, cameras: int = NINE) -> dict[str, float]:
    """The page with nine cameras, without a pipeline: milliseconds of CPU and kB per picture, and pictures a
    second of each camera."""
    ours, theirs = multiprocessing.Pipe()
    serving = multiprocessing.Process(target=serve, args=(cameras, theirs))
    serving.start()
    port = ours.recv()
    path = f"/api/live?width={NINE_WIDTH}&fps={NINE_FPS}"
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        ours.send("begin")
        count, size, tail, end = 0, 0, b"", time.monotonic() + seconds
        while time.monotonic() < end:
            data = sock.recv(1 << 18)
            size += len(data)
            text = tail + data
            found = list(PICTURE.finditer(text))
            count += len(found)
            tail = text[max(found[-1].end() if found else 0, len(text) - 20) :]
        ours.send("end")
        cpu = float(ours.recv())
    serving.join(30)
    return {
        "cpu": 1000 * cpu / max(1, count),
        "pictures": count / seconds / cameras,
        "kb": size / 1000 / max(1, count),
    }


def case(clip: Path, viewers: int | None, seconds: float, folder: Path) -> dict[str, float]:
    """Run the pipeline once; milliseconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = folder / "results.jsonl"
    page = [] if viewers is None else [f"--output=web=127.0.0.1:{port}"]
    command = [
        sys.executable,
        "-m",
        "emotion_stream",
        "run",
        f"--source=cam={clip}",
        "--mode=live",
        f"--output=jsonl={results}",
    ]
    results.unlink(missing_ok=True)
    run = subprocess.Popen([*command, *page], stderr=subprocess.DEVNULL)
    watch, ours, looking = Watch(run.pid), None, None
    begin = end = 0.0
    while run.poll() is None:
        watch.look()
        if not begin and results.exists() and results.stat().st_size:
            begin = time.time() + WARM_UP
            end = begin + seconds
            if viewers:
                ours, theirs = multiprocessing.Pipe()
                looking = multiprocessing.Process(target=view, args=(port, viewers, theirs))
                looking.start()
        if end and time.time() > end + 0.5:
            break
        time.sleep(0.03)
    found = {}
    if ours is not None and looking is not None:
        ours.send((begin, end))
        rates = ours.recv()
        looking.join()
        ages = [age for _, _, own in rates for age in own]
        found = {
            "pictures": min(rate for rate, _, _ in rates),
            "gap": 1000 * max(gap for _, gap, _ in rates),
            "age_p50": 1000 * percentile(ages, 0.5),
            "age_p99": 1000 * percentile(ages, 0.99),
        }
    run.send_signal(signal.SIGINT)
    run.wait(60)
    told = [json.loads(line) for line in results.read_text().splitlines()]
    shown = [
        t["latency_ms"] for t in told
        if begin <= datetime.fromisoformat(t["captured_at"]).timestamp() <= end
    ]  # fmt: skip
    cpu = watch.cpu(begin, end)
    return {
        "fps": len(shown) / seconds,
        "sink": 1000 * cpu["sink"] / len(shown),
        "all": 1000 * sum(cpu.values()) / len(shown),
        "p50": percentile(shown, 0.5),
        "p99": percentile(shown, 0.99),
        **found,
    }


def main(seconds: float, rounds: int) -> None:
    """Run every case in turn, `rounds` times, and print medians."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = Path(samples.__file__).parent / "sample.mp4"
        clip = retimed(sample, folder / "clip.mp4", round(FPS * (seconds + WARM_UP + 10)), FPS)
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(rounds):
            for label, viewers in CASES:
                found.setdefault(label, []).append(case(clip, viewers, seconds, folder))
                print(label, {k: round(v, 1) for k, v in found[label][-1].items()}, file=sys.stderr, flush=True)
    pages = [nine(seconds) for _ in range(rounds)]
    print(f"{rounds} rounds of {seconds:g} s, {os.cpu_count()} cores; medians; milliseconds unless it is said")
    print(f"{'':28}    fps  sink CPU/frame  all CPU/frame   p50    p99  pictures/s  longest gap  age p50   p99")
    for label, runs in found.items():
        m = {key: median(r[key] for r in runs) for key in runs[0]}
        told = f"{label:28} {m['fps']:6.1f} {m['sink']:15.2f} {m['all']:14.2f} {m['p50']:5.1f} {m['p99']:6.1f}"
        if "gap" in m:
            told += f"  {m['pictures']:10.1f} {m['gap']:12.0f} {m['age_p50']:8.1f} {m['age_p99']:5.0f}"
        print(told)
    print(_told_of_nine(pages))


def _told_of_nine(pages: list[dict[str, float]]) -> str:
    m = {key: median(page[key] for page in pages) for key in pages[0]}
    return (
        f"page of {NINE} cameras, one viewer: {m['cpu']:.2f} ms of CPU and {m['kb']:.1f} kB per picture,"
        f" {m['pictures']:.1f} pictures/s of each"
    )


if __name__ == "__main__":
    with script("outputs.web", __doc__) as parser:
        if sys.argv[1:2] == ["nine"]:
            parser.add_argument("nine")
        else:
            parser.add_argument("seconds", nargs="?", type=seconds, default=10.0, metavar="SECONDS")
        parser.add_argument("rounds", nargs="?", type=at_least_one, default=3, metavar="ROUNDS")
        given = parser.parse_args()
        if "nine" in given:
            print(_told_of_nine([nine(10.0) for _ in range(given.rounds)]))
        else:
            main(given.seconds, given.rounds)
