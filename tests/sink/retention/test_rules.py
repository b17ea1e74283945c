"""What the settings mean, what files are called, and which goes next: all pure."""

from pathlib import Path

import pytest

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.result_options import KeepOptions
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.retention import naming, policy
from emotion_stream.sink.retention.naming import Name
from emotion_stream.sink.retention.policy import Segment
from emotion_stream.sink.retention.rules import DAY, Rules, rules

NOON = 1_795_953_600.0  # 2026-11-29 12:00 UTC


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (KeepOptions(), None),
        (KeepOptions(keep="off", keep_size="0", keep_free=""), None),
        (KeepOptions(keep="7d"), Rules(keep=7 * DAY)),
        (KeepOptions(keep="1.5h"), Rules(keep=5400)),
        (KeepOptions(keep_size="20G", keep_free="2GB"), Rules(size=20 << 30, free=2 << 30)),
        (KeepOptions(keep="4w", roll=("1h",)), Rules(keep=28 * DAY, period=3600)),
        (KeepOptions(roll=("500M", "15m")), Rules(period=900, part=500 << 20)),
        (KeepOptions(roll=("1w",)), Rules(period=7 * DAY)),
    ],
)
def test_settings_become_rules(options: KeepOptions, wanted: Rules | None) -> None:
    assert rules(options) == wanted


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (KeepOptions(keep="7"), "--keep 7: write a time as 7d, 12h or 4w (s, m, h, d, w), or off"),
        (KeepOptions(keep="seven days"), "--keep seven days: write a time"),
        (KeepOptions(keep="0d"), "--keep 0d: write a time"),
        (KeepOptions(keep_size="lots"), "--keep-size lots: write a size as 20G or 500M (K, M, G, T), or off"),
        (KeepOptions(keep_size="1M"), "--keep-size 1M: give results at least 16M"),
        (KeepOptions(keep_free="-1G"), "--keep-free -1G: write a size"),
        (KeepOptions(roll=("7h",)), "--roll 7h: a day is no multiple of it: take 1d, 12h, 6h, 1h or 15m"),
        (KeepOptions(roll=("1K",)), "--roll 1K: a file holds at least 64K"),
        (
            KeepOptions(roll=("1d", "1h")),
            "--roll 1h: give one time, such as 1d or 1h, one size, such as 500M, or both",
        ),
        (KeepOptions(roll=("daily",)), "--roll daily: give one time"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options: KeepOptions, told: str) -> None:
    with pytest.raises(UsageError) as e:
        rules(options)
    assert str(e.value).startswith(told)


@pytest.mark.parametrize(
    ("period", "label"),
    [(DAY, "2026-11-29"), (3600, "2026-11-29T12"), (900, "2026-11-29T1200"), (1, "2026-11-29T120001")],
)
def test_files_are_named_by_camera_and_utc_date(period: int, label: str) -> None:
    assert naming.label(NOON + 1.5, period) == label
    target = Path("out/results.jsonl")
    for camera in ("hall", "door-2", "a.b", "x-2020-01-01"):
        for part in (1, 2, 1000):
            name = Name(camera, label, part)
            path = naming.file(target, name)
            assert naming.read_file(target, path.name) == name
            assert naming.read_folder(naming.folder(target, name).name) == Name("", label, part)
            assert name.begin <= NOON + 1.5 < name.end(period)
    assert str(naming.file(target, Name("hall", "2026-11-29", 2))) == "out/results-hall-2026-11-29.002.jsonl"


@pytest.mark.parametrize(
    "name",
    [
        "results.jsonl",
        "results-hall.jsonl",
        "results-hall-2026-13-01.jsonl",
        "results-2026-11-29.jsonl",
        "results-hall-2026-11-29.csv",
        "others-hall-2026-11-29.jsonl",
        "results-hall-2026-11-29.jsonl.bak",
        "results-hall-1969-11-29.jsonl",
    ],
)
def test_other_names_are_none_of_ours(name: str) -> None:
    assert naming.read_file(Path("results.jsonl"), name) is None


def test_outputs_whose_files_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    specs = [f"jsonl={tmp_path}/{name}.jsonl" for name in ("r", "r-night")]
    with pytest.raises(UsageError, match="could not be told apart"):
        open_outputs(specs, many=True, kept=Rules())
    apart = [
        ("jsonl", "r.jsonl"),
        ("events", "r-e.jsonl"),
        ("csv", "r-2.csv"),
        ("sqlite", "r.db"),
        ("sqlite", "r-2.db"),
    ]
    apart += [("images", "r"), ("images", "r-2"), ("jsonl", "night/r-2.jsonl")]
    naming.check_apart([(kind, tmp_path / name) for kind, name in apart])


@pytest.mark.parametrize("time", [-1.0, 5e11, 1e300, float("nan")])
def test_times_that_no_calendar_holds_have_a_name_all_the_same(time: float) -> None:
    assert naming.label(time, DAY) == "1970-01-01"


def segment(end: float, size: int = 10, part: int = 1, path: str = "x") -> Segment:
    return Segment(Path(path), end, size, end - DAY, part)


def test_the_oldest_goes_first() -> None:
    old, young = segment(10.0), segment(20.0)
    second = segment(10.0, part=2, path="a")  # sorts before the first by its name alone
    assert policy.oldest([young, second, old]) == old
    assert policy.oldest([]) is None


def test_nothing_goes_while_it_holds_a_result_that_is_kept() -> None:
    kept = Rules(keep=7 * DAY)
    assert not policy.outdated(segment(NOON - 7 * DAY + 1), kept, NOON)
    assert policy.outdated(segment(NOON - 7 * DAY), kept, NOON)
    assert not policy.outdated(segment(0.0), Rules(size=1), NOON)


def test_room_is_made_before_it_is_needed() -> None:
    bounded = Rules(size=100, free=50)
    assert not policy.oversized(bounded, 90, 10)
    assert policy.oversized(bounded, 90, 11)
    assert not policy.crowded(bounded, 60, 10)
    assert policy.crowded(bounded, 60, 11)
    assert policy.left(bounded, 70, 500) == 30
    assert policy.left(bounded, 0, 60) == 10
    assert policy.left(bounded, 200, 10) == 0
    assert policy.left(Rules(keep=1), 70, 500) is None


def test_what_is_being_written_ends_before_it_takes_all_room() -> None:
    assert policy.most(Rules(keep=1), 3) is None
    assert policy.most(Rules(part=500), 3) == 500
    assert policy.most(Rules(size=8000, part=500), 3) == 8000 // 24
    assert policy.most(Rules(size=80_000, part=500), 3) == 500
