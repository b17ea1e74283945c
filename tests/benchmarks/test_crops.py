"""What the programs on crops and views measure with: faces pasted, cut out again, and followed."""

import numpy as np
from numpy.typing import NDArray

from emotion_stream.benchmarks import crops
from emotion_stream.benchmarks.jitter import BORDER, ENLARGED, scene_of
from emotion_stream.benchmarks.network import alternating
from emotion_stream.detector_worker.contract import Found
from emotion_stream.detector_worker.crop import FACE
from emotion_stream.shared.messages.types import Box


def face() -> NDArray[np.uint8]:
    """A smooth picture that is brighter further down and to the right: uint8 [48, 48]."""
    down, across = np.mgrid[:48, :48]
    return np.asarray(20 + 3 * down + across, np.uint8)


def found(margin: float) -> Found:
    """It, as a detector sees it in its scene: the box fills it with this margin around."""
    side = round(ENLARGED / (1 + 2 * margin))
    corner = BORDER + (ENLARGED - side) // 2
    points = tuple((BORDER + p.real * ENLARGED, BORDER + p.imag * ENLARGED) for p in FACE.tolist())
    return Found(Box(corner, corner, side, side), 1.0, points)


def test_a_pasted_face_is_cut_out_as_it_was_by_box_and_by_landmarks() -> None:
    scene, seen = scene_of(face()), found(0.01)
    by_box = crops.cut([scene], [seen], 48, 0.01, 0.0, align=False)
    assert np.abs(by_box[0].astype(int) - face()).mean() < 1.5
    by_points = crops.cut([scene], [seen], 48, 0.0107, 0.0)  # BOX is 0.979 of the square
    assert np.abs(by_points[0].astype(int) - face()).mean() < 1.5
    for align in (False, True):
        lower = crops.cut([scene], [seen], 48, 0.01, 0.1, align)
        gain = lower[0, 10:30, 10:30].astype(float).mean() - face()[10:30, 10:30].mean()
        assert 0.8 * 4.8 * 3 < gain < 1.2 * 4.8 * 3  # a tenth of the side is 4.8 rows, 3 gray values each


def test_a_frame_shows_the_face_where_the_pose_says() -> None:
    rng = np.random.default_rng(0)
    middle = (alternating.SCENE - alternating.FACE) // 2
    still = alternating.pasted(face(), np.zeros(4), rng)
    part = still[middle : middle + alternating.FACE, middle : middle + alternating.FACE]
    again = part.reshape(48, 2, 48, 2).mean(axis=(1, 3))
    assert np.abs(again - face()).mean() < 2
    lower = alternating.pasted(face(), np.array([0.0, 8.0, 0.0, 0.0]), rng).astype(float)
    assert still[90:100, 90:100].mean() - lower[90:100, 90:100].mean() > 8  # 4 of its rows higher up are darker


def test_a_label_that_changes_with_every_other_frame_is_raw_flicker_only() -> None:
    frames = alternating.SECONDS * alternating.RATE
    box = Box(48, 48, 96, 96)
    seen = [alternating.Seen(0, frame, 0, box, b"") for frame in range(frames)]
    sure, unsure = np.eye(7)[0] * 0.72 + 0.04, np.full(7, 0.1)
    unsure[1] = 0.4
    shares = np.array([sure if frame % 2 == 0 else unsure for frame in range(frames)])
    raw, kept = shares.argmax(axis=1), alternating.kept_labels(seen, shares)
    (told,) = alternating.measured(seen, raw, 1)
    assert told[0] == 0.5
    assert told[2] == (frames - 1) / alternating.SECONDS
    (told,) = alternating.measured(seen, kept, 1)
    assert told.tolist() == [1.0, 1.0, 0.0]
