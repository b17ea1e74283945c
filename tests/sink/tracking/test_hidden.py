"""What is drawn and hidden of the faces that are followed."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.types import OK, Box, Emotions, Frame, Prediction
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.sink.drawing.draw import annotate, plate, track_colour
from emotion_stream.sink.drawing.privacy import hide
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.results.output import Face, Image, Result
from tests.shared.test_upgrades import Kept
from tests.shared.test_worker import own_connection, until
from tests.sink.tracking.test_tracks import HAPPY, LABELS, SAD, box, emotions, follower

# --- what is drawn and hidden ----------------------------------------------------------------------------------


def noise(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (360, 640, 3), np.uint8)


def result(faces: Sequence[Face], unseen: Sequence[Face] = ()) -> Result:
    return Result(emotions(0).info, OK, LABELS, tuple(faces), 0.1, tuple(unseen))


def face(at: Box, **changes: object) -> Face:
    return replace(Face.alone(1, Prediction(at, 5.0, HAPPY)), **changes)  # type: ignore[arg-type]


def detail(image: Image, at: Box) -> float:
    """How much neighbouring pixels of a part differ, on average."""
    part = image[at.y : at.y + at.height, at.x : at.x + at.width].astype(float)
    return float(np.abs(np.diff(part, axis=1)).mean())


def test_faces_are_hidden_confirmed_or_not_found_or_missed() -> None:
    image = noise()
    before = image.copy()
    sure, doubtful, missed = face(box(50)), face(box(250), confirmed=False), face(box(450), missed=0.5)
    hidden = hide(image, result([sure, doubtful], [missed]))
    np.testing.assert_array_equal(image, before)
    for at in (sure.box, doubtful.box, missed.box):
        assert detail(hidden, at) < detail(image, at) / 20
        around = Box(at.x - 30, at.y - 30, 25, 160)
        assert detail(hidden, around) < detail(image, around) / 4  # ears, too
    np.testing.assert_array_equal(hidden[230:], image[230:])


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        (Box(-50, -50, 90, 90), Box(0, 0, 40, 40)),
        (Box(600, 320, 100, 100), Box(600, 320, 40, 40)),
        (Box(0, 0, 640, 360), Box(0, 0, 640, 360)),
    ],
)
def test_faces_at_the_edge_are_hidden_too(at: Box, inside: Box) -> None:
    image = noise()
    assert detail(hide(image, result([face(at)])), inside) < detail(image, inside) / 5
    for harmless in (Box(9000, 9000, 50, 50), Box(5, 5, 1, 1)):
        assert (hide(image, result([face(harmless)])) != image).mean() < 1e-4


def test_only_confirmed_faces_are_drawn_in_the_colour_of_their_track() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    empty = annotate(image, result([]))
    np.testing.assert_array_equal(annotate(image, result([face(box(200, 150), confirmed=False)])), empty)
    for track in range(1, 9):
        happy, sad = (annotate(image, result([face(box(200, 150), track=track, label=label)])) for label in (1, 2))
        for drawn in (happy, sad):  # the box keeps its colour when the label changes
            assert tuple(drawn[249, 240]) == track_colour(track)
        assert (happy != sad).any()
    assert len({track_colour(n) for n in range(8)}) == 8


def test_uncertain_is_shown_in_place_of_the_label() -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    one, other = (annotate(image, result([face(box(200, 150), label=n, uncertain=True)])) for n in (1, 2))
    np.testing.assert_array_equal(one, other)
    assert (one != annotate(image, result([face(box(200, 150))]))).any()


def test_a_notice_is_a_thin_banner_in_every_picture() -> None:
    image = np.full((360, 640, 3), 200, np.uint8)
    text = "emotion recognition in use"
    pairs = (
        (annotate(image, result([])), annotate(image, result([]), notice=text)),
        (plate(640, 360, result([])), plate(640, 360, result([]), notice=text)),
    )
    for without, with_it in pairs:
        changed = np.flatnonzero((without != with_it).any(axis=(1, 2)))
        assert changed[0] > 320
        assert changed[-1] == 359
    tiny = annotate(np.zeros((10, 10, 3), np.uint8), result([]), notice="a rather long notice\nof two lines")
    assert tiny.shape == (10, 10, 3)


# --- in the sink -----------------------------------------------------------------------------------------------


class Pictures(Kept):
    """An output that remembers pictures, too."""

    needs_image = True

    def __init__(self) -> None:
        super().__init__()
        self.images: list[Image | None] = []

    def write(self, result: Result, image: Image | None) -> None:
        super().write(result, image)
        self.images.append(image)


def shown_by_a_sink(streams: Streams, count: int, kept: Kept, *, blur: bool = False) -> None:
    """Run a sink of its own until it has shown so many frames."""
    service = Service("sink", "me", CommonOptions())
    kept_open = [kept]
    sink = Sink(
        service, own_connection(streams), "sink", lambda: kept_open, 1.0, Watchdog(10), follower("2/3"), blur
    )
    thread = threading.Thread(target=sink.run)
    thread.start()
    try:
        until(lambda: len(kept.results) >= count)
    finally:
        service.stop.set()
        thread.join(10)
    assert not thread.is_alive()


def add(streams: Streams, message: Emotions) -> None:
    streams.client.xadd(streams.keys.emotions, encode_emotions(message))  # type: ignore[arg-type]


def test_a_sink_that_takes_over_knows_the_faces(streams: Streams) -> None:
    both = [(box(0), HAPPY), (box(300), SAD)]
    first, second = Kept(), Kept()
    for n in range(4):
        add(streams, emotions(n, both if n else both[:1]))
    shown_by_a_sink(streams, 4, first)
    assert [[f.track for f in r.faces] for r in first.results] == [[1], [1, 2], [1, 2], [1, 2]]
    for n in range(4, 6):
        add(streams, emotions(n, [*reversed(both), (box(500, 220), HAPPY)]))
    streams.client.hset(streams.keys.tracks, b"sink|\xff", b"garbage")
    shown_by_a_sink(streams, 2, second)
    assert [[f.track for f in r.faces] for r in second.results] == [[2, 1, 3], [2, 1, 3]]
    assert [f.confirmed for f in second.results[0].faces] == [True, True, False]


def test_no_output_of_a_sink_that_hides_faces_ever_sees_one(streams: Streams) -> None:
    ok, jpeg = cv2.imencode(".jpg", noise())
    assert ok
    assert streams.lease("camera:hall", "me", 60)
    for n in range(3):
        message = emotions(n, [(box(100), HAPPY)] if n != 2 else [])
        frame_id = streams.append_frame(Frame(message.info, jpeg.tobytes()), "me", ttl=60)
        assert frame_id
        add(streams, replace(message, frame_id=frame_id))
    open_, hidden = Pictures(), Pictures()
    shown_by_a_sink(streams, 3, open_)
    for key in (streams.keys.progress, streams.keys.tracks, streams.keys.stats):
        streams.client.delete(key)
    streams.client.xgroup_destroy(streams.keys.emotions, "sink")
    shown_by_a_sink(streams, 3, hidden, blur=True)
    for seen, unseen in zip(open_.images, hidden.images, strict=True):  # in the last, it was not found
        assert seen is not None
        assert unseen is not None
        assert detail(unseen, box(100)) < detail(seen, box(100)) / 20
