"""Tracks and labels on real clips, by the pipeline's own stages."""

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Literal

import cv2
import numpy as np
import pytest

from emotion_stream.emotion.analyzer import Analyzer
from emotion_stream.producer.pictures.jpeg import encode
from emotion_stream.samples.making.make_sample import ACTS, pose
from emotion_stream.shared.messages.types import Emotions
from emotion_stream.shared.settings.options import DetectorOptions
from emotion_stream.shared.settings.result_options import ShowOptions, SinkOptions
from emotion_stream.sink.results.output import Face, Image
from emotion_stream.sink.tracking.follow import Follower
from tests.sink.tracking.test_tracks import emotions, follower
from tests.support.pictures import SHARED_DATA, sample_frames

# --- real clips ------------------------------------------------------------------------------------------------


Name = Literal["haar", "yunet"]
both = pytest.mark.parametrize("detector", ["haar", "yunet"])


@cache
def analyzer(detector: Name) -> Analyzer:
    return Analyzer(DetectorOptions(detector, scan_width=320, min_face=0.15))


def look(detector: Name, images: Sequence[Image | bytes], times: Sequence[float]) -> list[Emotions]:
    """What detector and classifier say of these pictures."""
    found = []
    for n, (image, time) in enumerate(zip(images, times, strict=True)):
        faces = [(f.box, tuple(f.probabilities.values())) for f in analyzer(detector).analyze(image)]
        found.append(emotions(n, faces, time=time))
    return found


def by_default() -> Follower:
    return follower(SinkOptions().confirm, SinkOptions().smoothing, ShowOptions().uncertain)


@both
def test_the_samples_portraits_keep_their_numbers_while_they_cross(detector: Name) -> None:
    chosen = range(130, 185, 2)  # from 5.2 to 7.4 s; the two large ones change sides
    pictures, times = [sample_frames()[n] for n in chosen], [n / 25 for n in chosen]
    kept = by_default()
    numbers: dict[int, set[int]] = {0: set(), 1: set()}
    for n, frame in zip(chosen, look(detector, pictures, times), strict=True):
        for shown in kept.follow(frame)[0]:
            x = shown.box.x + shown.box.width / 2
            places = {who: at.x for who in (0, 1) if (at := pose(ACTS[who][1], n / 25)) is not None}
            who = min(places, key=lambda w: abs(places[w] - x))
            if abs(places[0] - places[1]) > 80 and shown.box.width > 70:
                numbers[who].add(shown.track)
    assert [len(found) for found in numbers.values()] == [1, 1]
    assert numbers[0] != numbers[1]


@both
def test_a_real_face_keeps_one_number_and_flickers_less(detector: Name) -> None:
    path = SHARED_DATA / "video" / "fer_test.mp4"
    if not path.exists():
        pytest.skip("needs fer_test.mp4")
    clip = cv2.VideoCapture(str(path))
    # As JPEGs, which pass untouched: how often a label changes depends on their quality.
    images = [encode(np.asarray(clip.read()[1], np.uint8), 90).data for _ in range(115)]
    kept = by_default()
    lives: dict[int, list[Face]] = {}
    for frame in look(detector, images, [n / 25 for n in range(115)]):
        for found in kept.follow(frame)[0]:
            if found.confirmed and found.box.width > 80:
                lives.setdefault(found.track, []).append(found)
    assert len(lives) == 1
    (life,) = lives.values()
    raw = [max(range(7), key=f.raw.__getitem__) for f in life]
    shown = [f.label for f in life]
    flicker = [sum(a != b for a, b in itertools.pairwise(x)) for x in (raw, shown)]
    assert flicker[0] >= 5
    assert flicker[1] <= flicker[0] / 2.5
