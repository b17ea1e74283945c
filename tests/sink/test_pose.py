"""Yaw and roll from landmarks, what counts as turned away, and where results tell of it."""

import csv
import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_stream.shared.messages.types import Box, Emotions, Landmarks, Prediction
from emotion_stream.sink.outputs.csv_table import CsvTable
from emotion_stream.sink.outputs.sqlite import Sqlite
from emotion_stream.sink.results.output import ANALYZED, DETAILS, NAME, ZONES, Face, Result, as_json, details
from emotion_stream.sink.results.pose import DEPTH, TURNED, is_turned, yaw_roll
from emotion_stream.sink.tracking.follow import Follower, following
from tests.conftest import make_frame
from tests.sink.outputs.test_outputs import LABELS, result

HAPPY = (0.02, 0.02, 0.02, 0.88, 0.02, 0.02, 0.02)


def head(yaw: float, roll: float = 0.0, scale: float = 40.0, at: complex = 100 + 80j) -> Landmarks:
    """The landmarks of a head with a nose of DEPTH, turned and then tilted by so many degrees."""
    across, out = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    points = [-0.5 * across, 0.5 * across, DEPTH * out + 0.5j, -0.4 * across + 1j, 0.4 * across + 1j]
    tilt = complex(math.cos(math.radians(roll)), math.sin(math.radians(roll)))
    placed = [at + scale * tilt * point for point in points]
    return tuple((p.real, p.imag) for p in placed)


@pytest.mark.parametrize("yaw", [-80, -45, 0, 10, 45, 80])
@pytest.mark.parametrize("roll", [-150, -30, 0, 25, 90])
def test_yaw_and_roll_do_not_depend_on_each_other(yaw: float, roll: float) -> None:
    assert yaw_roll(head(yaw, roll)) == pytest.approx((yaw, roll), abs=1e-6)
    assert yaw_roll(head(yaw, roll, scale=7, at=-5 + 3j)) == pytest.approx((yaw, roll), abs=1e-6)


@pytest.mark.parametrize(
    "points", [((3.0, 4.0),) * 5, ((math.nan, 0.0),) * 5, ((math.inf, 0.0), *((0.0, 0.0),) * 4), ((1.0, 1.0),), ()]
)
def test_points_that_make_no_face_have_no_pose_and_are_not_turned(points: Landmarks) -> None:
    assert yaw_roll(points) is None
    assert not is_turned(points)


def test_one_eye_behind_the_other_is_a_profile() -> None:
    eye, nose, mouth = (0.0, 0.0), (10.0, 5.0), ((-2.0, 10.0), (2.0, 10.0))
    assert yaw_roll((eye, eye, nose, *mouth)) == pytest.approx((90, 0), abs=1e-6)
    assert is_turned(head(-89))


def test_turned_faces_are_uncertain_unless_none_is_to_be() -> None:
    def shown(yaw: float, uncertain: str, still: bool) -> Face:
        frame = make_frame()
        found = Prediction(Box(1, 2, 30, 40), 0.9, HAPPY, head(yaw))
        info = replace(frame.info, still=still)
        message = Emotions(info, "1-0", LABELS, (found,), uncertain_below=0.3)
        return Follower(following("1/1", 0.3, uncertain)).follow(message)[0][0]

    for still in (False, True):
        for side in (-1, 1):
            less, more = side * (TURNED - 1), side * (TURNED + 1)
            assert not shown(less, "auto", still).uncertain
            assert shown(more, "auto", still).uncertain
            assert shown(more, "0.1", still).uncertain
            away = shown(more, "off", still)
            assert away.turned
            assert not away.uncertain


def seen(landmarks: Landmarks | None) -> Result:
    """A result with one face."""
    one = result(0, boxes=(Box(1, 2, 30, 40),))
    return replace(one, faces=(replace(one.faces[0], weight=0.75, landmarks=landmarks),))


@pytest.mark.parametrize("landmarks", [None, head(70, -20)])
def test_all_tables_tell_score_pose_and_landmarks(tmp_path: Path, landmarks: Landmarks | None) -> None:
    (told,) = as_json(seen(landmarks))["faces"]
    if landmarks is None:
        assert (told["yaw"], told["roll"], told["turned"]) == (None, None, False)
    else:
        assert (told["yaw"], told["roll"], told["turned"]) == (70.0, -20.0, True)
    wanted = dict(zip(DETAILS, details(told), strict=True))
    assert wanted["score"] == 0.75
    assert [wanted["nose_x"], wanted["nose_y"]] == (told["landmarks"][2] if landmarks else [None, None])
    for output in (CsvTable(tmp_path / "t.csv"), Sqlite(tmp_path / "t.db")):
        output.write(seen(landmarks), None)
        output.close()
    with (tmp_path / "t.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {name: float(row[name]) if row[name] else None for name in DETAILS} == wanted
    with closing(sqlite3.connect(tmp_path / "t.db")) as db:
        db.row_factory = sqlite3.Row
        (stored,) = db.execute("SELECT * FROM faces")
        assert {name: stored[name] for name in DETAILS} == wanted


@pytest.mark.parametrize("lacks", [(*DETAILS, ANALYZED, NAME, ZONES), (ZONES,)])
def test_tables_of_an_earlier_version_go_on(tmp_path: Path, lacks: tuple[str, ...]) -> None:
    table, database = tmp_path / "t.csv", tmp_path / "t.db"
    for output in (CsvTable(table), Sqlite(database)):
        output.write(seen(head(5)), None)
        output.close()
    with table.open(newline="") as file:
        old = [row[: -len(lacks)] for row in csv.reader(file)]
    with table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(old)
    with closing(sqlite3.connect(database)) as db:
        for name in lacks:
            table_of = "frames" if name in (ANALYZED, NAME) else "faces"
            db.execute(f"ALTER TABLE {table_of} DROP COLUMN {name}")
    later = seen(head(5))
    for output in (CsvTable(table), Sqlite(database)):
        output.write(replace(later, info=replace(later.info, seq=1)), None)
        output.close()
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == old
    assert [len(row) for row in rows] == [len(old[0])] * 3
    with closing(sqlite3.connect(database)) as db:
        first = (None, None) if "score" in lacks else (0.75, 0)
        assert db.execute("SELECT score, turned FROM faces ORDER BY id").fetchall() == [first, (0.75, 0)]
