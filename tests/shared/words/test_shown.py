"""`--language` reaches what is drawn, the window and the report; data stay English."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_stream.emotion.report.command import COMMAND as REPORT
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.signal import Signal
from emotion_stream.shared.words.words import load
from emotion_stream.sink.catalogue import open_outputs
from emotion_stream.sink.drawing.draw import _style
from emotion_stream.sink.drawing.panel import compose
from emotion_stream.sink.results.output import Image
from emotion_stream.sink.window.viewer import trouble_of
from tests.support.web_feed import SAD, make_image, make_result

GERMAN = load("de")


def drawn(folder: Path, language: str) -> Image:
    """What `images=` writes of one frame."""
    (output,) = open_outputs([f"images={folder}"], language=language)
    output.write(make_result(probabilities=SAD, camera="cam", captured_at=1e9), make_image())
    output.close()
    (path,) = (folder / "cam").glob("*.jpg")
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(image, np.uint8)


def test_labels_in_pictures(tmp_path: Path) -> None:
    result = make_result(probabilities=SAD)
    assert _style(result, result.faces[0], GERMAN)[0] == "#1 traurig 90%"
    english, auto, german = (drawn(tmp_path / name, name) for name in ("en", "auto", "de"))
    assert np.array_equal(english, auto)  # nobody's browser says otherwise
    assert not np.array_equal(english, german)
    with pytest.raises(UsageError, match="there are auto, de, en"):
        open_outputs([f"images={tmp_path}"], language="xx")


def test_the_window() -> None:
    result = make_result()
    english, german = (compose(make_image(), result, (900, 400), words=words) for words in (load("en"), GERMAN))
    assert not np.array_equal(english, german)
    lost = Signal("lost", "connection refused", 1e9, retry_at=1e9 + 8)
    assert trouble_of(lost, 1e9, GERMAN) == "Kein Signal: Verbindung abgelehnt. Neuer Versuch in 8 s"
    waits = Signal("waiting", "waiting for a key frame", 1e9)
    assert trouble_of(waits, 1e9 + 7, GERMAN) == "Warten auf ein Schlüsselbild, 7 s"


def test_the_report_is_german_and_its_data_are_not(tmp_path: Path) -> None:
    (lines,) = open_outputs([f"jsonl={tmp_path / 'r.jsonl'}"], language="de")
    for seq in range(60):
        lines.write(make_result(seq, "cam", faces=2, mode="lossless"), None)
    lines.close()
    told = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[0])
    assert told["faces"][0]["emotion"] == "happy"
    assert REPORT.main([str(tmp_path / "r.jsonl"), "--language", "de"]) == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert '<html lang="de">' in page
    for text in (
        "fröhlich",
        "Kamera cam",
        "60 Einzelbilder",
        "verfolgte Gesichter",
        "100,0 %",
        "Gefühle im Verlauf",
    ):
        assert text in page, text
    body = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    english = {"the", "faces", "frames", "happy", "latency", "camera", "shares", "changes", "seen", "results"}
    assert english & set(re.findall(r"[a-z]+", body.lower())) == set()
