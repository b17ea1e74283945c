"""A sink hides faces, and tells its notice, as each camera wants it."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.messages.codec import encode_emotions
from emotion_stream.shared.messages.types import Box, Emotions, Mode, Prediction
from emotion_stream.shared.process.service import Service
from emotion_stream.shared.process.watchdog import Watchdog
from emotion_stream.shared.settings.options import CommonOptions
from emotion_stream.shared.streams.shard import Streams
from emotion_stream.shared.words.words import ENGLISH
from emotion_stream.sink.drawing.panel import compose
from emotion_stream.sink.loop import Sink
from emotion_stream.sink.outputs.images import Images
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.follow import Follower, following
from emotion_stream.sink.veil import Veil
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.lane import Shot
from emotion_stream.sink.web.pictures import render
from tests.conftest import make_frame
from tests.shared.test_worker import own_connection, until
from tests.sink.test_veil import message, put
from tests.support.pictures import encode, sample_frames

FACE = Box(407, 123, 118, 118)
PICTURE = sample_frames()[84]


class Pictures:
    """An output that keeps what it is given."""

    needs_image = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, Image | None]] = []

    def write(self, result: Result, image: Image | None) -> None:
        self.seen.append((result.info.camera, result.info.seq, image))

    def flush(self) -> None: ...

    def close(self) -> None: ...


def shown(streams: Streams, mode: Mode, blur: bool, count: int) -> list[tuple[str, int, Image | None]]:
    """What a sink gives its outputs of three frames of each of three cameras."""
    own = {
        "plain": CameraSettings(),
        "hides": CameraSettings(blur_faces=True),
        "open": CameraSettings(blur_faces=False),
    }
    for seq in range(3):
        for camera, settings in own.items():
            assert streams.lease(f"camera:{camera}", "me", 60)
            frame = make_frame(seq, camera, width=640, height=360, mode=mode, interval=0.1, settings=settings)
            frame_id = streams.append_frame(replace(frame, jpeg=encode(PICTURE)), "me", ttl=60)
            assert frame_id
            faces = (Prediction(FACE, 5.0, (1.0,)),) if seq < 2 else ()
            entry = encode_emotions(Emotions(frame.info, frame_id, ("happy",), faces))
            streams.client.xadd(streams.keys.emotions, entry)  # type: ignore[arg-type]
    for camera in own:
        streams.finish(camera, "run", 3)
    service, kept = Service("sink", "me", CommonOptions()), Pictures()
    follower = Follower(following("1/1", 0.0, "off"))
    sink = Sink(service, own_connection(streams), "sink", lambda: [kept], 1.0, Watchdog(10), follower, blur)
    thread = threading.Thread(target=sink.run)
    thread.start()
    try:
        until(lambda: len(kept.seen) >= count)
    finally:
        service.stop.set()
        thread.join(10)
    return kept.seen


@pytest.mark.parametrize("mode", ["lossless", "live"])
@pytest.mark.parametrize("blur", [False, True])
def test_faces_are_hidden_on_one_camera_only(streams: Streams, mode: Mode, blur: bool) -> None:
    seen = shown(streams, mode, blur, 6)
    assert [seq for camera, seq, _ in seen if camera == "open"] == [0, 1, 2]
    within = np.s_[FACE.y : FACE.y + FACE.height, FACE.x : FACE.x + FACE.width]
    hidden: dict[str, set[bool]] = {}
    for camera, _, image in seen:
        assert image is not None
        difference = np.abs(image.astype(int) - PICTURE)
        hidden.setdefault(camera, set()).add(bool(difference[within].mean() > 10))
        assert difference[:, :250].mean() < 3, "the picture itself is there"
    assert hidden == {"plain": {blur}, "hides": {True}, "open": {False}}


def test_each_camera_is_held_back_for_as_long_as_it_wants() -> None:
    veil = Veil(blur=False, delay=1.0)
    put(veil, message(0, [], "live"), now=0.0)
    assert [item.camera for item in veil.due(0.0)] == ["c"]
    put(veil, message(1, [], "live", settings=CameraSettings(blur_faces=True, blur_delay=0.2)), now=0.0)
    put(veil, message(2, [], "live"), now=0.0)
    assert veil.due(0.19) == []  # the frame behind it does not overtake it
    assert [item.message.info.seq for item in veil.due(0.21) if item.message] == [1, 2]
    put(veil, message(3, [], "live", settings=CameraSettings(blur_faces=True)), now=1.0)
    assert veil.due(1.9) == []
    assert len(veil.due(2.1)) == 1


def test_a_camera_has_a_notice_of_its_own(tmp_path: Path) -> None:
    def result(notice: str | None) -> Result:
        info = make_frame(width=640, height=360, settings=CameraSettings(notice=notice)).info
        return Result(info, Emotions(info, "1-0", ()).outcome, (), (), 0.0)

    for own, general, told in (("own", "", "own"), ("own", "all", "own"), ("", "all", ""), (None, "all", "all")):
        window = compose(PICTURE, result(own), (800, 400), notice=general)
        assert np.array_equal(window, compose(PICTURE, result(None), (800, 400), notice=told))
        page = render(Shot(1, result(own), PICTURE), 0, ENGLISH, 90, general)
        assert page == render(Shot(1, result(None), PICTURE), 0, ENGLISH, 90, told)
        pictures = Images(tmp_path / f"{own} {general}", general), Images(tmp_path / "told", told)
        for output, about in zip(pictures, (own, None), strict=True):
            output.write(result(about), PICTURE)
        one, other = ((tmp_path / name / "cam" / "00000000.jpg") for name in (f"{own} {general}", "told"))
        assert one.read_bytes() == other.read_bytes()
        other.unlink()

    hub = Hub(notice="watched")
    hub.show(result("Emotionen werden erkannt"), None)
    status = hub.status()
    assert (status.notice, status.cameras[0].notice) == ("watched", "Emotionen werden erkannt")
