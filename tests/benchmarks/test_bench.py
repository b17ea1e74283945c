"""`emotion bench`: its arithmetic, and a short run of the real thing."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import pytest

from emotion_stream import samples
from emotion_stream.benchmarks.command import COMMAND, SECTIONS
from emotion_stream.benchmarks.harness.clips import retimed, size
from emotion_stream.benchmarks.harness.pipeline import Observation, Shown
from emotion_stream.benchmarks.harness.plan import Spread, percentile
from emotion_stream.benchmarks.harness.processes import _at, _cpu_seconds
from emotion_stream.benchmarks.harness.report import Section, Table, fill, markdown, text
from emotion_stream.benchmarks.sections.cameras import largest
from emotion_stream.benchmarks.sections.latency import from_schedule, settled
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.command_options import BenchOptions
from emotion_stream.shared.settings.loading import specs

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(samples.__file__).parent / "sample.mp4"
SECTION = Section("speed", [Table("Speed", ("", "fps"), [["pipeline", "10.0"], ["loop", "5.5"]], ["Two cores."])])


def test_percentile_is_the_nearest_rank() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.2, 0.5, 0.99, 1.0)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_spread_names_median_and_extremes() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.0 (1.0 to 3.0)"
    assert Spread.of([2.004]).text(2) == "2.00"


@pytest.mark.parametrize("most", [1, 2, 7, 32])
def test_the_search_finds_every_number_of_cameras(most: int) -> None:
    for true in range(most + 1):
        asked: list[int] = []

        def holds(cameras: int, true: int = true, asked: list[int] = asked) -> bool:
            asked.append(cameras)
            return cameras <= true

        assert largest(holds, most) == true
        assert len(asked) == len(set(asked)) <= 11


def test_tables_for_terminal_and_markdown() -> None:
    assert text(SECTION) == "Speed:\n             fps\n  pipeline  10.0\n  loop       5.5\nTwo cores."
    expected = "**Speed**\n\n|  | fps |\n| --- | ---: |\n| pipeline | 10.0 |\n| loop | 5.5 |\n\nTwo cores."
    assert markdown(SECTION) == expected


def test_markdown_is_written_between_its_markers_only() -> None:
    document = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n<!-- bench:y -->\nkept\n<!-- /bench:y -->\n"
    filled = fill(document, "x", r"new \1")
    assert filled == document.replace("old", r"new \1")
    assert fill(filled, "x", r"new \1") == filled
    with pytest.raises(EmotionError, match="bench:z"):
        fill(document, "z", "")


def test_a_clip_is_repeated_at_another_rate_without_a_gap(tmp_path: Path) -> None:
    width, height, once = size(SAMPLE)
    longer = retimed(SAMPLE, tmp_path / "longer.mp4", once + 21, 30)
    assert size(longer) == (width, height, once + 21)
    with av.open(str(longer)) as container:
        times = [frame.time or 0.0 for frame in container.decode(video=0)]
    assert len(times) == once + 21
    assert max(abs(b - a - 1 / 30) for a, b in pairwise(times)) < 1e-3


def test_cpu_time_between_two_looks_lies_on_a_line() -> None:
    series = [(10.0, 1.0), (12.0, 2.0)]
    assert [_at(series, when) for when in (9.0, 10.0, 11.0, 12.0, 99.0)] == [1.0, 1.0, 1.5, 2.0, 2.0]
    assert _at([], 1.0) == 0.0


def test_cpu_time_of_another_process_is_its_own() -> None:
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(time.process_time(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = float(child.stdout.readline())
        assert _cpu_seconds(child.pid) == pytest.approx(told, abs=0.05)
        child.kill()


def test_frames_that_come_late_from_the_camera_count_from_when_they_were_due() -> None:
    """The third camera frame was due after 5 s and stamped a second late."""
    times = ((0.0, 100.0, 100.1), (4.0, 104.0, 104.1), (5.0, 106.0, 106.1))
    frames = [Shown("cam", 0, media, captured, shown) for media, captured, shown in times]
    live = Observation(frames, 6.1, {}, 0.0, {}, {}, {"dropped": {}, "missing": 0})
    assert settled(live) == pytest.approx([0.1, 0.1])
    assert from_schedule(live) == pytest.approx([0.1, 1.1])


def test_only_names_every_section() -> None:
    choices = specs([BenchOptions])["only"].meta["choices"]
    assert tuple(choices) == tuple(SECTIONS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--only=speed"], 2, "'speed' is not one of throughput,"),
        (["--clip=absent.mp4"], 1, "--clip absent.mp4: there is no such file"),
        (["--json=absent/x.json"], 1, "--json absent/x.json cannot be written: there is no folder absent"),
        (["--markdown=absent.md"], 1, "--markdown absent.md: cannot be read"),
        (["--markdown=README.md", "--only=start"], 1, "<!-- bench:start -->"),
        (["--only=throughput", "--fer-python=absent", "--quick"], 1, "--fer-python absent: "),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert COMMAND.main(arguments) == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1
    assert not captured.out


@pytest.mark.timeout(600)
def test_a_short_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real pipeline, and the real loops beside it. Figures of a short run mean nothing; that they fit does."""
    told, document = tmp_path / "bench.json", tmp_path / "tables.md"
    document.write_text(
        "<!-- bench:throughput -->\n<!-- /bench:throughput -->\n<!-- bench:start --><!-- /bench:start -->\n"
    )
    flags = ["--only", "throughput", "start", "--quick", "--seconds=0.5", "--frames=200", "--scan-width=160"]
    assert COMMAND.main([*flags, f"--json={told}", f"--markdown={document}"]) == 0
    out = capsys.readouterr().out
    assert "The fer package was left out" in out
    found = json.loads(told.read_text())
    (run,) = found["throughput"]["pipeline"]
    assert run["frames"] == 200
    assert run["fps"] > 0
    for stage in ("producer", "detector", "classifier", "sink", "server"):
        assert run["cpu_ms_per_frame"][stage] > 0
        assert run["memory"][stage]["rss"] > run["memory"][stage]["pss"] > 1e6
    (loop,) = found["throughput"]["loop"]
    assert loop["frames"] > 0
    assert sum(loop["steps"].values()) <= loop["cpu"] * 1.05 + 0.02
    assert found["start"]["first_result_seconds"][0] > 0
    assert set(found["start"]["idle_share_of_a_core"]) >= {"detector", "classifier", "sink"}
    assert "| pipeline, lossless |" in document.read_text()
    assert "**Idle**" in document.read_text()


def test_cameras_of_different_phases_give_the_same_frames_between_one_anothers(tmp_path: Path) -> None:
    def times(phase: float) -> list[float]:
        with av.open(str(retimed(SAMPLE, tmp_path / "c.mp4", 60, 30, phase))) as container:
            found = [float(frame.time or 0) for frame in container.decode(video=0)]
        return [time - found[0] for time in found]

    together, between = times(0.0), times(0.25)
    assert together == pytest.approx([n / 30 for n in range(60)], abs=1e-4)
    assert between == pytest.approx([0.0, *((n + 0.25) / 30 for n in range(1, 60))], abs=1e-4)
