"""Settings: three sources in their order, everything undeclared refused, every error one line."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from emotion_stream.emotion.__main__ import main
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.settings.catalogue import ALL
from emotion_stream.shared.settings.flags import Parser, add_flags
from emotion_stream.shared.settings.loading import build, gather, option, specs, to_toml
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    CommonOptions,
    DetectorOptions,
    LinkOptions,
    ProducerOptions,
    RunOptions,
)
from emotion_stream.shared.settings.result_options import SinkOptions


def settings(*argv: str, environ: dict[str, str] | None = None, classes: tuple[type, ...] = ALL) -> dict[str, Any]:
    """What `argv` and `environ` amount to."""
    parser = Parser(prog="emotion")
    add_flags(parser, classes)
    return gather(vars(parser.parse_args(argv)), ALL, environ or {})


def toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "emotion.toml"
    path.write_text(text)
    return f"--config={path}"


def test_defaults_are_valid_and_declared_with_a_help_text() -> None:
    for cls in ALL:
        made = build(cls, {})
        for name, spec in specs([cls]).items():
            assert spec.meta["help"], name
            default = getattr(made, name)
            assert spec.parse(default, name) == default


def test_no_setting_is_declared_twice() -> None:
    names = [name for cls in ALL for name in cls.__annotations__]  # of its own, not inherited
    assert len(names) == len(set(names))


def test_flags_win_over_variables_over_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "fps = 1\nmax_width = 100\njpeg_quality = 70")
    environ = {"EMOTION_MAX_WIDTH": "200", "EMOTION_JPEG_QUALITY": "80", "HOME": "/"}
    found = build(ProducerOptions, settings(file, "--jpeg-quality=95", environ=environ))
    assert (found.fps, found.max_width, found.jpeg_quality) == (1.0, 200, 95)


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    path = toml(tmp_path, 'namespace = "two"').removeprefix("--config=")
    assert build(LinkOptions, settings(environ={"EMOTION_CONFIG": path})).namespace == "two"


def test_types(tmp_path: Path) -> None:
    file = toml(tmp_path, 'source = ["a=clip one.mp4", "b=0"]\nloop = true\nfps = 12.5\nmetrics_port = 0')
    values = settings(file)
    producer = build(ProducerOptions, values)
    assert producer.source == ("a=clip one.mp4", "b=0")
    assert producer.loop is True
    assert producer.fps == 12.5
    assert build(CommonOptions, values).metrics_port == 0
    assert build(ProducerOptions, settings("--source", "a", "b", "--source", "c")).source == ("a", "b", "c")
    assert build(ProducerOptions, settings(environ={"EMOTION_SOURCE": "a b"})).source == ("a", "b")
    assert build(ProducerOptions, settings("--no-loop", environ={"EMOTION_LOOP": "yes"})).loop is False
    assert build(ProducerOptions, settings(environ={"EMOTION_FPS": ""})).fps is None


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--fps=fast",), "--fps: 'fast' is not a number"),
        (("--fps=nan",), "--fps: nan is out of range (from 0.01 to 1000)"),
        (("--jpeg-quality=0",), "--jpeg-quality: 0 is out of range (from 1 to 100)"),
        (("--jpeg-quality=9.5",), "--jpeg-quality: '9.5' is not a whole number"),
        (("--mode=turbo",), "--mode: 'turbo' is not one of auto, live, lossless"),
        (("--backend=torch",), "--backend: 'torch' is not one of openvino, onnxruntime, tensorflow"),
        (("--metrics-port=70000",), "--metrics-port: 70000 is out of range (from 0 to 65535)"),
        (("--nonsense",), "unrecognized arguments: --nonsense (see: emotion --help)"),
        (("--config=/nowhere.toml",), "settings file /nowhere.toml cannot be read (No such file or directory)"),
    ],
)
def test_a_wrong_flag_is_one_line(argv: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(*argv)
    assert str(caught.value) == says
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jpeg_qualty = 90", "unknown setting 'jpeg_qualty'; did you mean 'jpeg_quality'?"),
        ("[producer]\nfps = 1", "unknown setting 'producer'"),
        ("fps = ", "is not TOML"),
        ("loop = 'maybe'", "loop: 'maybe' is not true or false"),
        ("fps = -1", "fps: -1 is out of range"),
        ("jpeg_quality = [90]", "jpeg_quality: '[90]' is not a whole number"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        settings(toml(tmp_path, text))
    assert says in str(caught.value)
    assert "emotion.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_no_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "emotion.toml"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UsageError, match="is not TOML"):
        settings(f"--config={path}")


def test_wrong_variables_name_themselves() -> None:
    with pytest.raises(UsageError, match=r"^environment variable EMOTION_FPS: 'x' is not a number$"):
        settings(environ={"EMOTION_FPS": "x"})
    with pytest.raises(UsageError, match=r"EMOTION_REDIS_URL: unknown setting 'redis_url'"):
        settings(environ={"EMOTION_REDIS_URL": "redis://h"})


def test_a_stage_accepts_the_settings_of_all_stages_but_only_its_own_flags(tmp_path: Path) -> None:
    values = settings(toml(tmp_path, "fps = 5\nscan_width = 320"), classes=(CommonOptions, DetectorOptions))
    assert build(DetectorOptions, values).scan_width == 320
    with pytest.raises(UsageError, match="unrecognized arguments"):
        settings("--fps=5", classes=(CommonOptions, DetectorOptions))


def test_a_range_without_an_upper_end() -> None:
    @dataclass(frozen=True)
    class Own:
        size: int = option(3, "a size", low=1)

    with pytest.raises(UsageError, match=r"^--size: 0 is out of range \(at least 1\)$"):
        gather({"size": "0"}, [Own], {})


@pytest.mark.parametrize(
    "made",
    [
        CommonOptions(),
        CommonOptions(config=None, log_format="json", metrics_port=0),
        LinkOptions(redis="rediss://:p@h:1/2", slot="0", max_age=0.25),
        ProducerOptions(
            source=("a b=clip 1.mp4", 'caf\u00e9 \U0001f600 "x"', "-x", "rtsp://u:p@h/?a=b"), loop=True, fps=0.1
        ),
        DetectorOptions(scale_factor=1.05),
        ClassifierOptions(backend="tensorflow"),
        SinkOptions(output=("jsonl=-", "video=a b.mp4")),
        RunOptions(detectors=3, summary_json="s.json"),
    ],
)
def test_to_toml_recreates_the_settings(made: object, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(made))
    again = build(type(made), gather({"config": str(path)}, ALL, {}))
    assert again == (replace(made, config=str(path)) if isinstance(made, CommonOptions) else made)


def test_defaults_need_no_lines() -> None:
    assert to_toml(DetectorOptions(), LinkOptions()) == ""


def described(*classes: type, **how: Any) -> str:
    """The help for these classes, on one line."""
    parser = Parser("emotion")
    add_flags(parser, classes, **how)
    return " ".join(parser.format_help().split())


def test_help_shows_every_flag_and_its_default() -> None:
    text = described(*ALL)
    for spec in specs(ALL).values():
        assert (spec.flag if spec.default is not True else f"--no-{spec.flag[2:]}") in text or spec.meta[
            "positional"
        ]
    assert f"(default: {DetectorOptions().scale_factor})" in text
    assert "(default: )" not in text


def test_help_begins_with_what_is_needed_most_and_groups_the_rest() -> None:
    text = described(ProducerOptions, LinkOptions, first=("source",))
    order = [
        "Needed most:",
        "--source",
        "Sources:",
        "--fps",
        "Redis:",
        "--slot",
    ]
    assert sorted(order, key=text.index) == order
    assert text.count("--source") == 1


def test_a_misspelt_flag_or_command_gets_a_guess(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"unrecognized arguments: --sorce=0; did you mean --source\?"):
        settings("--sorce=0")
    assert main(["rnu"]) == 2
    assert "unknown command 'rnu'; did you mean 'run'?" in capsys.readouterr().err
    assert main(["nonsense"]) == 2
    assert "there is: run, picture" in capsys.readouterr().err


def test_a_setting_without_a_flag_is_still_one_in_a_file(tmp_path: Path) -> None:
    parser = Parser("emotion")
    add_flags(parser, (LinkOptions,), without=("slot",))
    with pytest.raises(UsageError, match="unrecognized arguments: --slot=1"):
        parser.parse_args(["--slot=1"])
    assert "--slot" not in parser.format_help()
    assert settings(toml(tmp_path, 'slot = "1"'))["slot"] == "1"
