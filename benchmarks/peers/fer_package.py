"""The `fer` package on a clip, with its defaults.

It runs in an environment of its own; docs/explanation/performance.md tells how to make one.

Usage: python benchmarks/peers/fer.py CLIP SECONDS

Plays the clip over and over for at most SECONDS: reads each frame with OpenCV and asks `FER().detect_emotions`.
Prints one line of JSON.
"""

import json
import sys
import time
from importlib.metadata import version

WARM_UP = 5
"""Frames before the clock starts."""


def main(clip: str, seconds: float) -> None:
    """Run the `fer` package on a clip for some seconds, and print what it did as JSON."""
    import cv2
    from fer.fer import FER

    peer = FER()
    capture = cv2.VideoCapture(clip)
    frames = faces = 0
    started = cpu = 0.0
    turn = -WARM_UP
    while turn <= 0 or time.perf_counter() - started < seconds:
        if turn == 0:
            frames = faces = 0
            started, cpu = time.perf_counter(), time.process_time()
        turn += 1
        read, image = capture.read()
        if not read:
            capture = cv2.VideoCapture(clip)
            read, image = capture.read()
        faces += len(peer.detect_emotions(image))
        frames += 1
    told = {
        "frames": frames,
        "faces": faces,
        "seconds": time.perf_counter() - started,
        "cpu": time.process_time() - cpu,
        "what": f"fer {version('fer')}",
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
