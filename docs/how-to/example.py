"""Faces and emotions from Python. Run it: `python docs/how-to/example.py [PICTURE ...]`."""

import sys
from collections import Counter

from emotion_stream import Analyzer


def main(paths: list[str]) -> None:
    """Tell the faces in pictures, then which emotions the sample clip shows."""
    with Analyzer() as analyzer:
        for path in paths:
            faces = analyzer.analyze(path)
            print(f"{path}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
            for face in faces:
                box = face.box
                print(f"  {face.emotion} {face.confidence:.0%} at x={box.x} y={box.y}, {box.width} x {box.height}")

        frames, shown = 0, Counter[str]()
        for frame in analyzer.analyze_source("sample", every=25):
            frames += 1
            shown.update(face.emotion for face in frame.faces)
        print(f"{frames} frames of the sample clip: {dict(shown.most_common())}")


if __name__ == "__main__":
    main(sys.argv[1:])
