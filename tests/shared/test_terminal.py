"""A terminal or locale of any kind: what can be said is said, and nothing ends because of it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from emotion_stream.shared.terminal import is_unicode
from tests.producer.test_sources import write_video

C = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
EUC = {**C, "LANG": "ja_JP.eucJP", "LC_ALL": "ja_JP.eucJP", "PYTHONIOENCODING": "euc_jp"}


def emotion(
    *arguments: str | bytes, environment: Mapping[str, str] = {}, closed: str = ""
) -> subprocess.CompletedProcess[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO", "PYTHONUTF8"))}
    command = [sys.executable.encode(), b"-m", b"emotion_stream", *(os.fsencode(a) for a in arguments)]
    whole = [b"sh", b"-c", b'exec "$@" ' + closed.encode(), b"sh", *command]
    return subprocess.run(whole, env={**kept, **environment}, capture_output=True, timeout=110)


@pytest.mark.parametrize(
    "environment", [C, EUC, {**C, "PYTHONIOENCODING": "latin-1:strict"}], ids=["C", "EUC", "1"]
)
@pytest.mark.parametrize("name", ["Überwachung 口.mp4", b"\xb8\xfd\xff.mp4"], ids=["UTF-8", "bytes"])
def test_names_that_the_locale_has_no_letters_for_are_told(
    environment: Mapping[str, str], name: str | bytes, tmp_path: Path
) -> None:
    done = emotion("run", "--source", os.fsencode(tmp_path) + b"/" + os.fsencode(name), environment=environment)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"no such file or folder" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("environment", [C, EUC], ids=["C", "EUC"])
def test_a_run_over_such_a_file(environment: Mapping[str, str], tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", 5)
    name = os.fsencode(tmp_path) + b"/" + (b"cl\xb8\xfd.mp4" if environment is EUC else "Übung 口.mp4".encode())
    os.rename(clip, name)
    results = tmp_path / "results.jsonl"
    done = emotion("run", "--source", name, "--output", f"jsonl={results}", environment=environment)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    lines = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    assert len(lines) == 5
    if environment is C:
        assert lines[0]["source"].endswith("Übung 口.mp4")


@pytest.mark.parametrize("closed", ["2>&-", "2</dev/null", "<&- >&- 2>&-"])
def test_a_run_without_standard_error(closed: str, tmp_path: Path) -> None:
    """A closed stream is the null device: else the first connection would get its number, and what is said."""
    clip = write_video(tmp_path / "clip.mp4", 5)
    results = tmp_path / "results.jsonl"
    done = emotion("run", "--source", str(clip), "--output", f"jsonl={results}", closed=closed)
    assert done.returncode == 0
    assert len(results.read_text("utf-8").splitlines()) == 5


def test_which_encodings_have_all_letters() -> None:
    assert [is_unicode(name) for name in ("utf-8", "UTF8", "ascii", "euc_jp", "latin-1")] == [True, True] + [
        False
    ] * 3
