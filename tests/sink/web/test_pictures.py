"""The pictures that leave the sink: clean for the page, annotated for programs, and hidden where that is asked."""

import http.client
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.drawing.privacy import BLOCKS, MARGIN
from emotion_stream.sink.results.output import Image
from tests.sink.web.conftest import Serve
from tests.support.web_feed import Client, make_image, make_result, records

POINTS: Any = ((70.0, 130.0), (110.0, 130.0), (90.0, 150.0), (75.0, 180.0), (105.0, 180.0))


def decoded(jpeg: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def next_picture(stream: Any) -> tuple[dict[str, Any], Image]:
    head, body = next((head, body) for head, body in stream if head["kind"] == "picture")
    return head, decoded(body)


def test_the_page_gets_clean_pictures_with_the_faces_of_the_very_same_frame(serve: Serve) -> None:
    web = serve()
    first = make_result(0, faces=2)
    first = replace(first, faces=(replace(first.faces[0], landmarks=POINTS), first.faces[1]))
    web.write(first, make_image(90))
    stream = records(Client(web).open("/api/live?width=0"))
    head, image = next_picture(stream)
    assert np.abs(image.astype(int) - 90).max() < 4  # nothing is drawn
    assert (head["camera"], head["seq"], head["width"]) == ("cam", 0, 640)
    assert head["faces"][0] == {
        "track": 1, "box": [40, 100, 120, 120], "landmarks": [[x, y] for x, y in POINTS], "emotion": "happy",
        "confidence": 0.9, "uncertain": False, "missed": False,
    }  # fmt: skip
    assert head["faces"][1]["landmarks"] is None
    # A later frame has no picture: its faces are told with the results, never with the picture before it.
    moved = make_result(1, faces=1)
    web.write(replace(moved, faces=(replace(moved.faces[0], box=Box(400, 10, 50, 50)),)), None)
    stream = records(Client(web).open("/api/live?width=0"))
    head, _ = next_picture(stream)
    assert (head["seq"], head["faces"][0]["box"]) == (0, [40, 100, 120, 120])


def test_faces_that_are_missed_for_a_moment_are_drawn_and_doubtful_ones_are_not(serve: Serve) -> None:
    web = serve()
    result = make_result(0, faces=4)
    one, two, three, four = result.faces
    faces = (one, replace(two, confirmed=False))
    web.write(
        replace(result, faces=faces, unseen=(replace(three, missed=0.2), replace(four, missed=0.9))), make_image()
    )
    head, _ = next_picture(records(Client(web).open("/api/live")))
    assert [(face["track"], face["missed"]) for face in head["faces"]] == [(1, False), (3, True)]


def test_programs_get_annotated_pictures(serve: Serve) -> None:
    web = serve(notice="Emotion recognition in use")
    web.write(make_result(0), make_image(90))
    response = Client(web).open("/stream/cam.mjpg")
    assert response.readline() == b"--frame\r\n"
    assert response.readline() == b"Content-Type: image/jpeg\r\n"
    length = int(response.readline().split()[1])
    response.readline()
    for jpeg in (response.read(length), Client(web).get("/snapshot/cam.jpg")[1]):
        image = decoded(jpeg).astype(int)
        assert np.abs(image[100, 40:160] - 90).max() > 60  # the upper edge of the box
        assert np.abs(image[-20:] - 90).max() > 60  # the notice
        assert np.abs(image[:30, :200] - 90).max() > 60  # camera and age


def detail(image: Image, box: list[int]) -> float:
    """How much is to be seen inside a face: what is left when each of the blocks of a hidden one is averaged."""
    x, y, width, height = box
    left, top = max(0, x - round(width * MARGIN)), max(0, y - round(height * MARGIN))
    right = min(image.shape[1], x + width + round(width * MARGIN))
    bottom = min(image.shape[0], y + height + round(height * MARGIN))
    part = image[top:bottom, left:right]
    few = cv2.resize(part, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    flat = cv2.resize(few, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST)
    return float(np.abs(part.astype(int) - np.asarray(flat).astype(int)).mean())


def faces_seen(blur: bool) -> list[float]:
    """How much detail faces have that a run of the sample clip sends to a viewer."""
    flags = ["--blur-faces"] if blur else []
    process = subprocess.Popen(
        [sys.executable, "-m", "emotion_stream", "run", "--source=sample", "--mode=live", "--loop", *flags,
         "--output=web=127.0.0.1:0"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "web page: " in line)
        port = int(re.search(r":(\d+)/", told)[1])  # type: ignore[index]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/api/live?width=0")
        found: list[float] = []
        with connection.getresponse() as response:
            for head, body in records(response):
                if head["kind"] == "picture" and head["faces"]:
                    image = decoded(body)
                    found += [detail(image, face["box"]) for face in head["faces"] if not face["missed"]]
                    if len(found) >= 20:
                        break
        connection.close()
        return found
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_no_clean_face_leaves_the_sink_where_faces_are_hidden(tmp_path: Path) -> None:
    assert max(faces_seen(blur=True)) < min(faces_seen(blur=False)) / 2
