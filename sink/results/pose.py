"""Where a face looks, told from its landmarks. Pure functions."""

import math

from emotion_stream.shared.messages.types import Landmarks

DEPTH = 0.28
"""How far the tip of the nose stands out from the line between the eyes, in distances between them, as YuNet's
landmarks have it: fitted to faces that `benchmarks/turned.py` turns by 10 to 40 degrees; the heads have 0.45."""
TURNED = 60.0
"""Degrees of estimated yaw beyond which a face is turned: there the emotion is that of the same face at 0 degrees
for 69 % of them, below for 81 to 92 % (`benchmarks/turned.py`)."""


def yaw_roll(landmarks: Landmarks) -> tuple[float, float] | None:
    """How far a face is turned and tilted; None where the points make no face.

    A head that turns by an angle moves the tip of its nose by the sine, and narrows the distance between its eyes
    by the cosine. Both are measured along the face, so that roll does not matter; pitch is not told apart.

    Args:
        landmarks: right eye, left eye (the person's), tip of the nose, right and left corner of the mouth.

    Returns:
        Degrees. Yaw: 0 looks at the camera, above 0 to the right of the picture, -90 to 90. Roll: above 0 the head
        is tilted clockwise in the picture, -180 to 180.
    """
    if len(landmarks) != 5:
        return None
    right_eye, left_eye, nose, right_mouth, left_mouth = (complex(x, y) for x, y in landmarks)
    across = left_eye - right_eye + left_mouth - right_mouth
    if not 0 < abs(across) < math.inf:
        return None
    unit = across / abs(across)
    apart = ((left_eye - right_eye) / unit).real
    moved = ((nose - (right_eye + left_eye) / 2) / unit).real
    if not (math.isfinite(apart) and math.isfinite(moved)):
        return None
    yaw = math.degrees(math.atan2(moved, DEPTH * max(apart, 0.0)))
    return yaw, math.degrees(math.atan2(unit.imag, unit.real))


def is_turned(landmarks: Landmarks | None) -> bool:
    """Whether a face looks so far away that its emotion cannot be told."""
    pose = yaw_roll(landmarks) if landmarks else None
    return pose is not None and abs(pose[0]) > TURNED
