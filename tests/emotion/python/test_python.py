"""From Python: what pictures may be given as, tables, and sources that are followed as in the stream."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from emotion_stream import Analyzer, Faces, Top, analyze
from emotion_stream.shared.errors import EmotionError
from tests.support.pictures import encode, portraits, sample_frames, to_gray


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Analyzer]:
    with Analyzer() as made:
        yield made


@pytest.fixture
def camera() -> Iterator[tuple[str, threading.Event]]:
    """A camera over HTTP that shows the sample clip's portraits; and whether its viewer has left."""
    left = threading.Event()
    pictures = [encode(frame) for frame in sample_frames()[100:130]]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
            self.end_headers()
            try:
                for n in range(100_000):
                    data = pictures[n % len(pictures)]
                    head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
                    time.sleep(0.03)
            except OSError:
                left.set()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/video", left
    server.shutdown()
    server.server_close()


def test_a_picture_may_be_given_in_any_form(analyzer: Analyzer) -> None:
    image = portraits()[1]
    (face,) = analyzer.analyze(image)
    png = encode(image, ".png")
    rgb = np.ascontiguousarray(image[:, :, ::-1])
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    for same in (
        png,
        bytearray(png),
        memoryview(png),
        opaque,
        Pillow.fromarray(rgb),
        Pillow.open(io.BytesIO(png)),
    ):
        assert analyzer.analyze(same) == [face]
    for gray in (to_gray(image), to_gray(image)[:, :, np.newaxis], Pillow.fromarray(rgb).convert("L")):
        (found,) = analyzer.analyze(gray)
        assert found.emotion == face.emotion
        assert found.confidence == pytest.approx(face.confidence, abs=0.1)
    deep = Pillow.fromarray(to_gray(image).astype(np.uint16) * 257)
    assert analyzer.analyze(deep) == analyzer.analyze(to_gray(image))
    clear = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    assert analyzer.analyze(clear) == []  # nothing of it can be seen: it is white
    turned = Pillow.fromarray(np.ascontiguousarray(np.rot90(rgb)))
    turned.getexif()[0x0112] = 6  # EXIF: turn it clockwise to look at it
    assert analyzer.analyze(turned)[0].box == face.box


def test_what_is_no_picture_is_told(analyzer: Analyzer) -> None:
    with pytest.raises(EmotionError, match="bytes: cannot be decoded"):
        analyzer.analyze(b"\xff\xd8 broken")
    with pytest.raises(TypeError, match="not list"):
        analyzer.analyze([1, 2])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too large"):
        analyzer.analyze(Pillow.new("L", (20_000, 1)))


def test_a_face_has_its_top_and_knows_whether_it_is_uncertain(analyzer: Analyzer) -> None:
    (face,) = analyzer.analyze(portraits()[1])
    assert face.top == Top(face.emotion, face.confidence)
    assert face.top.label == max(face.probabilities, key=face.probabilities.__getitem__)
    assert face.top.probability == max(face.probabilities.values())
    assert not face.uncertain
    assert face.raw == face.probabilities
    noise = np.random.default_rng(1).normal(0, 45, portraits()[1].shape)
    blurred = cv2.GaussianBlur(np.clip(portraits()[1] + noise, 0, 255).astype(np.uint8), (0, 0), 5)
    (doubtful,) = analyzer.analyze(blurred)
    assert doubtful.uncertain
    assert doubtful.top.probability < 0.6


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_faces_become_a_table(library: str) -> None:
    pytest.importorskip(library)
    both = np.hstack([cv2.resize(p, (200, 200)) for p in portraits()])
    faces = analyze(both)
    table = faces.to_dataframe(library)
    assert type(table).__module__.startswith(library)
    assert len(table) == len(faces) == 2
    assert list(table["emotion"]) == [face.emotion for face in faces]
    assert list(table["x"]) == [face.box.x for face in faces]
    assert list(table["happy"]) == [face.probabilities["happy"] for face in faces]
    empty = analyze(np.zeros((40, 40, 3), np.uint8)).to_dataframe(library)
    assert (len(empty), list(empty.columns)) == (0, list(table.columns))


def test_a_table_needs_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("emotion_stream.emotion.python.results.importlib.import_module", missing)
    with pytest.raises(EmotionError, match="pandas or polars: pip install pandas"):
        Faces().to_dataframe()
    with pytest.raises(ValueError, match="excel"):
        Faces().to_dataframe("excel")


def test_a_clip_is_followed_as_in_the_stream(analyzer: Analyzer) -> None:
    found = list(islice(analyzer.analyze_source("sample"), 70))
    assert found[0].faces == ()  # nobody is believed at the first sight
    assert found[0].unconfirmed
    numbers = [[face.track for face in frame.faces] for frame in found[10:60]]
    assert len({n for seen in numbers for n in seen}) <= 2  # the same faces keep their numbers
    faces = [face for frame in found[10:60] for face in frame.faces]
    assert any(face.raw != face.probabilities for face in faces)  # averaged


def test_a_camera_is_followed_and_left_cleanly(analyzer: Analyzer, camera: tuple[str, threading.Event]) -> None:
    url, left = camera
    before = set(threading.enumerate())
    for frame in analyzer.analyze_source(url):
        assert frame.error is None
        if frame.faces:
            break
    assert len(frame.faces) >= 2  # on a busy machine pictures are far apart, and all faces are believed
    assert frame.image is not None
    assert frame.image.shape[:2] == (frame.height, frame.width)
    assert left.wait(20)
    own = [t for t in set(threading.enumerate()) - before if t.name.startswith("grab")]
    for thread in own:
        thread.join(20)
        assert not thread.is_alive()
