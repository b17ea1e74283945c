"""Completion as a shell does it: real bash, with the script that `emotion completion bash` prints."""

import subprocess
from pathlib import Path

import pytest

from emotion_stream.emotion.__main__ import COMMANDS, main

TRY = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
$(complete -p emotion | sed 's/.*-F \\([^ ]*\\).*/\\1/') emotion
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def test_bash_completes_commands_flags_choices_and_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "completion.bash").write_text(script("bash", capsys))
    (tmp_path / "clip.mp4").touch()

    def told(*words: str) -> set[str]:
        done = subprocess.run(
            ["bash", "-c", TRY, "bash", "completion.bash", "emotion", *words],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        return set(done.stdout.split())

    assert told("") >= {*COMMANDS, "help"}
    assert told("pic") == {"picture"}
    assert told("help", "ru") == {"run", "runs"}
    assert told("run", "--det") >= {"--detector", "--detectors", "--detect-batch"}
    assert told("run", "--detector", "y") == {"yunet"}
    assert told("run", "--mode", "li") == {"live"}
    assert told("run", "cl") == {"clip.mp4"}
    assert told("run", "clip.mp4", "--source", "cl") == {"clip.mp4"}
    assert told("picture", "--image", "cl") == {"clip.mp4"}
    assert "--run-id" not in told("run", "--ru")  # of the runner's own choice: it is no flag of `run`


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert all(command in text for command in COMMANDS)
    assert "blur-faces" in text


def test_a_shell_is_named_or_known(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/zsh")
    assert main(["completion"]) == 0
    assert capsys.readouterr().out.startswith("#compdef emotion")
    monkeypatch.setenv("SHELL", "/bin/ksh")
    assert main(["completion"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
    assert main(["completion", "tcsh"]) == 2
    told = "emotion completion: argument shell: 'tcsh' is not one of bash, zsh, fish\n"  # there is no flag --shell
    assert capsys.readouterr().err == told
