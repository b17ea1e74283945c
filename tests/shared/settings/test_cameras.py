"""Cameras of a settings file: what a table may hold, what is refused, and that it all travels with frames."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from emotion_stream.shared.errors import DecodeError, UsageError
from emotion_stream.shared.messages import camera as wire
from emotion_stream.shared.messages.areas import MAX_AREAS, MAX_POINTS, parse_polygon, polygon_text
from emotion_stream.shared.messages.camera import GENERAL, CameraSettings
from emotion_stream.shared.messages.codec import (
    MAX_HEADER_BYTES,
    decode_detections,
    decode_emotions,
    decode_frame,
    encode_detections,
    encode_emotions,
    encode_frame,
)
from emotion_stream.shared.messages.types import Detections, Emotions, Frame, FrameInfo, ModelSpec
from emotion_stream.shared.settings.cameras import (
    AREAS,
    OWN,
    Camera,
    find_cameras,
    load_cameras,
    read_cameras,
    to_tables,
)
from emotion_stream.shared.settings.catalogue import ALL
from emotion_stream.shared.settings.loading import specs
from emotion_stream.shared.settings.options import DetectorOptions, ProducerOptions

CORNER = parse_polygon("0,0 0.3,0 0.3,0.4 0,0.4")
HALL = """
min_face = 0.2

[cameras.hall]
source = "rtsp://admin:secret@10.0.0.7/stream"
name = "Haupteingang Süd"
fps = 10
min_face = 0.08
rtsp_transport = "udp"
blur_faces = true
notice = "Emotionen werden erkannt"
ignore = ["0,0 0.3,0 0.3,0.4 0,0.4"]
zones = { door = "0.5,0 1,0 1,1", till = "0,0.5 0.25,0.5 0.25,1" }

[cameras.yard]
source = 0
blur_faces = false
"""
FULL = CameraSettings(
    0.08,
    0.5,
    1.2,
    4,
    320,
    1,
    8,
    True,
    0.5,
    "ü" * 200,
    (CORNER,) * 16,
    tuple((f"zone {n}", CORNER) for n in range(16)),
)
INFO = FrameInfo("hall", "x" * 2000, "run1", 7, 1_795_000_000.125, 0.28, 640, 360, "lossless")


def file(tmp_path: Path, text: str, name: str = "emotion.toml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_tables_are_read(tmp_path: Path) -> None:
    hall, yard = load_cameras(file(tmp_path, HALL))
    assert (hall.id, hall.name, hall.source) == ("hall", "Haupteingang Süd", "rtsp://admin:secret@10.0.0.7/stream")
    assert hall.settings.ignore == (CORNER,)
    assert [name for name, _ in hall.settings.zones] == ["door", "till"]
    assert (hall.settings.min_face, hall.settings.blur_faces) == (0.08, True)
    assert (yard.source, yard.settings) == ("0", CameraSettings(blur_faces=False))
    producer = hall.over(ProducerOptions(fps=25, max_width=640))
    assert (producer.fps, producer.max_width, producer.rtsp_transport) == (10, 640, "udp")
    assert hall.over(DetectorOptions(min_face=0.2, max_faces=3)) == DetectorOptions(min_face=0.08, max_faces=3)
    assert yard.over(DetectorOptions(min_face=0.2)) == DetectorOptions(min_face=0.2)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    cameras = load_cameras(file(tmp_path, HALL))
    assert load_cameras(file(tmp_path, 'namespace = "two"\n' + to_tables(cameras))) == cameras
    dotted = Camera("a.b", 'say "hi"')
    assert load_cameras(file(tmp_path, to_tables([dotted]))) == (dotted,)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("minface = 0.1", r"\[cameras.hall\]: unknown setting 'minface'; did you mean 'min_face'\?"),
        ("widht = 3", r"unknown setting 'widht'; did you mean 'max_width'\?"),
        ("blur = true", r"unknown setting 'blur'; did you mean 'blur_faces'\?"),
        ("min_face = 2", r"\[cameras.hall\], min_face: 2 is out of range \(from 0.005 to 1\)"),
        ('output = ["web"]', "output is a setting of all cameras: write it above the first table"),
        ('rtsp_transport = "smoke"', "'smoke' is not one of auto"),
        ("source = true", "source: it is not a text"),
        (f'name = "{"x" * 65}"', "at most 64 letters"),
        (f'notice = "{"x" * 201}"', "more than 200 letters"),
        ('ignore = ["0,0 0.3,0"]', "ignore: an area has 3 to 32 corners, this one 2"),
        ('ignore = ["0,0 0.3,0 0,0"]', "fewer than 3 of the corners differ"),
        ('ignore = ["0,0 0.3,0 3,4"]', "the corner 3,4 lies outside"),
        ('ignore = ["0,0 0.3,0 nan,0.4"]', "the corner nan,0.4 lies outside"),
        ('ignore = ["0,0 0.3;0 1,1"]', "'0.3;0' is no corner"),
        ("ignore = 3", "write a list of areas"),
        (f'ignore = ["{"0,0 0,1 1,1 " * 11}"]', "3 to 32 corners, this one 33"),
        (f"ignore = {['0,0 0,1 1,1'] * 17}", "at most 16 areas, these are 17"),
        ('zones = ["0,0 0.3,0 3,4"]', "write names and areas"),
        ('zones = { door = "0,0" }', "zones, door: an area has"),
        ('zones = { "" = "0,0 0,1 1,1" }', "a zone's name has 1 to 32 letters"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, table: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_cameras(file(tmp_path, f"[cameras.hall]\n{table}\n"))


def test_a_file_is_one_of_cameras_or_of_a_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both `source` and"):
        load_cameras(file(tmp_path, 'source = "0"\n[cameras.hall]\nsource = "1"'))
    assert load_cameras(file(tmp_path, 'source = "hall=0"\n[cameras.hall]\nfps = 1')) == (
        Camera("hall", own=(("fps", 1.0),)),
    )
    for text in ("cameras = 3", "[cameras]\nhall = 3"):
        with pytest.raises(UsageError, match=r"write a table \[cameras.NAME\]"):
            load_cameras(file(tmp_path, text))
    with pytest.raises(UsageError, match="a camera's name has letters"):
        load_cameras(file(tmp_path, '[cameras."Haupteingang Süd"]\nsource = "0"'))


def test_cameras_may_have_a_file_of_their_own(tmp_path: Path) -> None:
    plain, hall = file(tmp_path, "fps = 3"), file(tmp_path, HALL.partition("min_face = 0.2")[2], "cameras.toml")
    assert [c.id for c in find_cameras({"config": plain, "cameras_file": hall})] == ["hall", "yard"]
    assert find_cameras({"config": plain}) == ()
    with pytest.raises(UsageError, match="keep those of one"):
        find_cameras({"config": hall, "cameras_file": hall})
    with pytest.raises(UsageError, match="min_face is a setting of all cameras"):
        find_cameras({"cameras_file": file(tmp_path, HALL)})


def test_bounds_are_those_of_the_general_settings() -> None:
    """What a table may say can travel, and the other way round."""
    general = specs(ALL)
    for field in fields(CameraSettings):
        if field.name in AREAS:
            continue
        spec = general[field.name]
        read = wire._READERS[field.name]
        for value in (spec.meta["low"], spec.meta["high"], spec.default):
            if value is not None:
                assert read(value, field.name) == value
        for value, step in ((spec.meta["low"], -1), (spec.meta["high"], 1)):
            if value is not None:
                with pytest.raises(DecodeError):
                    read(value + step * (1 if spec.kind is int else 1e-6), field.name)
    assert set(OWN) <= set(general)


@pytest.mark.parametrize("settings", [GENERAL, CameraSettings(blur_faces=False), FULL], ids=["none", "one", "all"])
def test_settings_travel_through_every_stage(settings: CameraSettings) -> None:
    info = replace(INFO, settings=settings)
    fields_of = encode_frame(Frame(info, b"\xff\xd8", "1-0"))
    assert decode_frame(fields_of, "1-0").info == info
    assert len(fields_of[b"h"]) < MAX_HEADER_BYTES
    found = Detections(info, "1-0", ModelSpec("fer-1", 4, 0.1))
    assert decode_detections(encode_detections(found), "2-0").info == info
    assert decode_emotions(encode_emotions(Emotions(info, "1-0", ("sad",))), "3-0").info == info
    assert (b"settings" in fields_of[b"h"]) == (settings != GENERAL)


def test_settings_are_read_once_and_not_with_each_frame() -> None:
    entry = encode_frame(Frame(replace(INFO, settings=FULL), b"\xff\xd8", "1-0"))
    assert decode_frame(entry, "1-0").info.settings is decode_frame(dict(entry), "2-0").info.settings


def test_the_largest_settings_fit() -> None:
    polygon = tuple((n / 40, 0.5) for n in range(MAX_POINTS))
    most = replace(
        FULL,
        notice="\U0001f600" * 200,
        ignore=(polygon,) * MAX_AREAS,
        zones=tuple((chr(0x1F600 + n) * 32, polygon) for n in range(MAX_AREAS)),
    )
    assert wire.unpack(wire.pack(most)) == most
    entry = encode_frame(Frame(replace(INFO, settings=most), b"", "1-0"))
    assert decode_frame(entry, "1-0").info.settings == most


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"min_face": 2}, "min_face"),
        ({"min_face": "0.1"}, "min_face"),
        ({"min_neighbors": 0}, "min_neighbors"),
        ({"blur_faces": 1}, "blur_faces is neither true nor false"),
        ({"notice": "x" * 201}, "notice"),
        ({"ignore": [b"12345678"]}, "3 to 32 corners"),
        ({"ignore": [b"\xff" * 12]}, "corners from 0 to 1"),
        ({"ignore": [b"1234567"]}, "ignore is not a polygon"),
        ({"ignore": [b"\0" * 12] * 17}, "MessagePack"),
        ({"zones": [["a", b"\0" * 12, 3]]}, "zone is not a list of 2"),
        ({"zones": [["a" * 33, b"\0" * 12]]}, "zone name"),
        ([1], "not a map"),
        (b"x" * 9000, "more than 8192"),
    ],
)
def test_settings_of_others_are_checked(told: Any, says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        wire.unpack(msgpack.packb(told))


def test_settings_of_newer_producers_are_left_out() -> None:
    assert wire.unpack(msgpack.packb({"later": 3, "max_faces": 2})) == CameraSettings(max_faces=2)
    header = msgpack.unpackb(encode_frame(Frame(INFO, b"", "1-0"))[b"h"])
    with pytest.raises(DecodeError, match="settings are not bytes"):
        decode_frame({b"h": msgpack.packb({**header, "settings": {}}), b"j": b""}, "1-0")


def test_the_text_of_an_area_is_read_as_it_is_written() -> None:
    third = parse_polygon("0,0 0.33333333,0 1,1")
    assert third == ((0, 0), (0.3333, 0), (1, 1))
    assert parse_polygon(polygon_text(third)) == third
    assert read_cameras({"a": {"ignore": "0,0 0.1,0 1,1"}}, "f")[0].settings.ignore == (
        ((0, 0), (0.1, 0), (1, 1)),
    )
