"""Flags that do nothing are told, where somebody has written them for this run."""

from pathlib import Path

import pytest

from tests.emotion.test_run import FAST, emotion, write_clip

NO_PAGE = "without a page: ask for one with --output web=127.0.0.1:8080"
BLUR = '[cameras.hall]\nsource = "{clip}"\nblur_faces = true\n'


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ("--sound", "--blur-delay=1", "--web-token=long-enough-for-a-token", "--editable", "--watch-settings"),
            [
                "--watch-settings does nothing without a settings file: name one with --config or --cameras-file",
                "--sound does nothing without a camera or a URL: it is for cameras",
                "--blur-delay does nothing without --blur-faces",
                f"--web-token does nothing {NO_PAGE}",
                f"--editable does nothing {NO_PAGE}",
            ],
        ),
        (
            ("--mode=live", "--paced", "--areas-file=x.toml", "--no-sound", "--blur-delay=1", "--blur-faces"),
            [
                "--paced does nothing in live mode, which plays files at their own speed anyway",
                f"--areas-file does nothing {NO_PAGE}",
            ],
        ),
    ],
)
def test_a_flag_that_does_nothing_is_told(flags: tuple[str, ...], told: list[str], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 5)
    done = emotion("run", str(clip), f"--output=jsonl={tmp_path / 'r.jsonl'}", *flags, *FAST)
    assert done.returncode == 0, done.stderr
    said = [line.partition(" WARNING run ")[2].strip() for line in done.stderr.splitlines() if "nothing " in line]
    assert sorted(said) == sorted(told)


def test_settings_of_files_and_variables_are_not_told(tmp_path: Path) -> None:
    """They may be there for many runs. A camera's own blur, and a page, make flags count."""
    clip = write_clip(tmp_path / "clip.mp4", 5)
    config = tmp_path / "all.toml"
    config.write_text("paced = true\n" + BLUR.format(clip=clip))
    done = emotion(
        "run", f"--config={config}", "--mode=live", "--blur-delay=0.1", "--watch-settings", "--output=web=0",
        "--web-token=long-enough-for-a-token", *FAST, EMOTION_SOUND="true",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "does nothing" not in done.stderr
