"""Compare the face detectors: what they find, and what they cost.

Usage: python -m benchmarks.detectors [DATA]

DATA is what `benchmarks/cascades.py` wants, beside `fer2013/PublicTest.npz` and `weights/yunet/`. Without it only
the cost is measured, on the sample clip. Every frame is searched whole. A face counts as found when a box overlaps
it with IoU >= 0.4, or, where a FER face was pasted, when a box holds its middle. Times are processor time of the
whole process, the best of several rounds, in one thread. What else the machine does changes them little, but it
shares caches and clock rates: compare them within one run only.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from emotion_stream.benchmarks.cascades import IOU, faceless, iou, photos
from emotion_stream.benchmarks.harness.script import data_folder, script
from emotion_stream.benchmarks.video.pans import frames_of
from emotion_stream.detector_worker.contract import FaceDetector, Found, Gray
from emotion_stream.detector_worker.crop import crop_face, upright
from emotion_stream.detector_worker.detector import make_finder
from emotion_stream.detector_worker.yunet import convert
from emotion_stream.detector_worker.yunet.detector import YuNet
from emotion_stream.detector_worker.yunet.network import Network
from emotion_stream.shared.messages.jpeg import GrayJpeg
from emotion_stream.shared.messages.manifest import load_manifest, model_directory
from emotion_stream.shared.messages.types import Box, FrameInfo, ModelSpec
from emotion_stream.shared.settings.options import DetectorOptions, ProducerOptions

OLD = "haarcascade_frontalface_default"
WAYS = {
    "haar": DetectorOptions(),
    "haar, default 1.1 / 5": DetectorOptions(cascade=OLD, scale_factor=1.1, min_neighbors=5),
    "yunet fp32": DetectorOptions(detector="yunet", detector_precision="fp32"),
    "yunet bf16": DetectorOptions(detector="yunet", detector_precision="bf16"),
}
S = "yunet-s"
"""The smaller one of both networks, which does not ship: made from the authors' file when it is measured."""
BANDS = (11, 16, 23, 32, 64)
"""Pixels of a face's height in the scanned picture, between which recall is told."""
SIDES = (112, 160, 224, 320, 448, 640)
"""Pixels of the longer side that photos are brought to, and scanned at, so that there are faces of all heights."""
HEIGHTS = (12, 14, 16, 18, 20)
"""Pixels that every face of a photo is brought to in turn: within a band much depends on where in it they are."""
CANVAS = 320
"""Pixels a side of the picture in which they lie then."""
PASTED = ((48, 120), (64, 120), (96, 120), (140, 120), (96, 0))
"""Pixels a side of a FER face that is pasted into a frame of 320 x 192, and the frame's shade: 0 is black."""
TILTS = (0, 12, 25)
FRAME = (596, 336)
WHOLE = ((160, 96), (320, 192), (640, 384))
"""Sizes of gray pictures, decoded before, that are scanned at their own size."""
CROWD = (1, 40)
"""Faces in a frame of 1280 x 720 pixels."""
ROUNDS = 5

Known = Sequence[tuple[Gray, list[Box]]]
Finders = Callable[[DetectorOptions], FaceDetector]


def jpeg_of(gray: Gray) -> bytes:
    """The picture as the producer sends it, all but lossless."""
    return cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def boxes(finder: FaceDetector, gray: Gray) -> list[Box]:
    """The faces of a picture."""
    return [found.box for found in finder.scan(GrayJpeg(jpeg_of(gray)))]


def finders(data: Path | None) -> Mapping[str, tuple[Finders, DetectorOptions]]:
    """Each detector: what loads it with such options, and its own. The smaller YuNet only where `data` has it."""
    model = load_manifest(model_directory(None)).spec
    made: dict[str, tuple[Finders, DetectorOptions]] = {
        name: (lambda options: make_finder(options, model), options) for name, options in WAYS.items()
    }
    source = data / "weights" / "yunet" / "yunet_s_dynamic.onnx" if data else None
    if source and source.is_file():
        folder = Path(tempfile.mkdtemp(prefix="yunet-s-"))
        convert.main(source, folder)
        xml = folder / f"{convert.NAME}.xml"
        digest = hashlib.sha256(xml.read_bytes() + xml.with_suffix(".bin").read_bytes()).hexdigest()
        for precision in ("fp32", "bf16"):
            made[f"{S} {precision}"] = (
                lambda options: YuNet(options, Network(options.detector_precision, xml, digest)),
                WAYS[f"yunet {precision}"],
            )
    return made


def native(options: DetectorOptions, side: int) -> DetectorOptions:
    """Options with which a picture whose longer side is `side` is scanned as it is."""
    if options.detector == "haar":
        return replace(options, scan_width=side)
    return replace(options, scan_width=side, min_face=0.005)


def shrunk(gray: Gray, ratio: float) -> Gray:
    """The picture, its sides `ratio` times as long."""
    size = round(gray.shape[1] * ratio), round(gray.shape[0] * ratio)
    how = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, size, interpolation=how), np.uint8)


def hit(found: Sequence[Box], face: Box, ratio: float) -> bool:
    """Whether one of the boxes is this face of the picture that was scaled by `ratio`."""
    small = Box(*(round(v * ratio) for v in (face.x, face.y, face.width, face.height)))
    return any(iou(box, small) >= IOU for box in found)


def of_photos(finder: FaceDetector, known: Known) -> str:
    """Faces found in the photos, of how many, and boxes that are none."""
    hits = extra = total = 0
    for gray, truth in known:
        found = boxes(finder, gray)
        hits += sum(any(iou(box, face) >= IOU for box in found) for face in truth)
        extra += sum(all(iou(box, face) < IOU for face in truth) for box in found)
        total += len(truth)
    return f"{hits} of {total}, {extra} extra"


def by_height(make: Finders, options: DetectorOptions, known: Known) -> list[str]:
    """Faces found, of how many, by their height in the scanned picture."""
    counts = [[0, 0] for _ in BANDS[1:]]
    for side in SIDES:
        finder = make(native(options, side))
        for gray, truth in known:
            ratio = side / max(gray.shape)
            found = boxes(finder, shrunk(gray, ratio))
            for face in truth:
                band = int(np.searchsorted(BANDS, face.height * ratio, side="right")) - 1
                if 0 <= band < len(counts):
                    counts[band][0] += hit(found, face, ratio)
                    counts[band][1] += 1
    return [f"{hits} of {total}" for hits, total in counts]


def at_height(make: Finders, options: DetectorOptions, known: Known, height: int) -> str:
    """Faces found, of how many, each in a photo scaled so that it has exactly this height; the photo lies in the
    corner of a plain picture, because YuNet enlarges small ones."""
    finder = make(native(options, CANVAS))
    hits = total = 0
    for gray, truth in known:
        for ratio in sorted({height / face.height for face in truth}):
            canvas, small = np.full((CANVAS, CANVAS), 120, np.uint8), shrunk(gray, ratio)
            canvas[: small.shape[0], : small.shape[1]] = small
            found = boxes(finder, canvas)
            these = [face for face in truth if height / face.height == ratio]
            hits += sum(hit(found, face, ratio) for face in these)
            total += len(these)
    return f"{hits} of {total}"


def pasted(face: Gray, side: int, tilt: float, shade: int = 120) -> Gray:
    """A frame of one shade with a FER face in its middle, tilted by so many degrees."""
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), tilt, 1)
    turn[:, 2] += np.array([160 - side / 2, 96 - side / 2])
    large = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.warpAffine(large, turn, (320, 192), borderValue=(shade,)), np.uint8)


def of_pasted(finder: FaceDetector, faces: Gray, side: int, shade: int) -> str:
    """Share of FER faces found, upright and tilted, half of them to either side."""
    shares = []
    for tilt in TILTS:
        hits = 0
        for n, face in enumerate(faces):
            found = boxes(finder, pasted(face, side, tilt if n % 2 else -tilt, shade))
            hits += any(b.x <= 160 < b.x + b.width and b.y <= 96 < b.y + b.height for b in found)
        shares.append(f"{hits / len(faces):.0%}")
    return " / ".join(shares)


def best_ms(work: Callable[[GrayJpeg], object], jpegs: Sequence[Callable[[], GrayJpeg]]) -> float:
    """Milliseconds of processor time for one picture, the best of several rounds over all."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for jpeg in jpegs:
            work(jpeg())
        rounds.append((time.process_time() - started) * 1000 / len(jpegs))
    return min(rounds)


def sample() -> list[bytes]:
    """Every twelfth frame of the sample clip, 596 x 336, as the producer sends it."""
    clip = cv2.VideoCapture(str(next((Path(__file__).parents[1] / "samples").glob("*.mp4"))))
    quality = [cv2.IMWRITE_JPEG_QUALITY, ProducerOptions().jpeg_quality]
    found: list[bytes] = []
    while True:
        read, frame = clip.read()
        if not read:
            return found[::12]
        found.append(cv2.imencode(".jpg", cv2.resize(frame, FRAME), quality)[1].tobytes())


def fresh(data: bytes) -> Callable[[], GrayJpeg]:
    """A picture that must be decoded each time."""
    return lambda: GrayJpeg(data)


def decoded(data: bytes) -> Callable[[], GrayJpeg]:
    """A picture that is decoded already."""
    jpeg = GrayJpeg(data)
    jpeg.reduced(1)
    return lambda: jpeg


def crowd(grays: Sequence[Gray], finder: FaceDetector, count: int) -> Gray:
    """A plain frame of 1280 x 720 pixels in which the surest face of these pictures is so many times, up to 40,
    each in 136 pixels a side. YuNet may not find a single one: it has no neck, and nothing around it."""
    found = [
        (face.score, n, face.box) for n, gray in enumerate(grays) for face in finder.scan(GrayJpeg(jpeg_of(gray)))
    ]
    _, best, b = max(found, key=lambda one: one[0])
    pad = b.width // 8
    part = grays[best][max(0, b.y - pad) : b.y + b.height + pad, max(0, b.x - pad) : b.x + b.width + pad]
    face = cv2.resize(part, (136, 136))
    frame = np.full((720, 1280), 120, np.uint8)
    for n in range(count):
        row, column = divmod(n, 8)
        frame[row * 142 + 2 : row * 142 + 138, column * 155 + 10 : column * 155 + 146] = face
    return frame


def crop(gray: Gray, face: Found, model: ModelSpec) -> bytes:
    """The face as a worker cuts it out of a frame that is decoded."""
    square = upright(face.landmarks, model.margin) if face.landmarks else None
    if square is not None and square.fits(face.box):
        return square.cut(gray, model.size)
    return crop_face(gray, face.box, model.size, model.margin)


def cost(make: Finders, options: DetectorOptions) -> list[str]:
    """Milliseconds for a frame of the sample, decoded and searched; for pictures of known sizes, decoded before;
    for frames of one and 40 faces, decoded before, and how much the second takes of the first; for a crop."""
    model = load_manifest(model_directory(None)).spec
    finder, clip = make(options), sample()
    cells = [f"{best_ms(finder.scan, [fresh(data) for data in clip]):.2f}"]
    grays = [GrayJpeg(data).reduced(1) for data in clip]
    for size in WHOLE:
        own = make(native(options, max(size)))
        small = [np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), np.uint8) for gray in grays]
        cells.append(f"{best_ms(own.scan, [decoded(jpeg_of(gray)) for gray in small]):.2f}")
    data = [jpeg_of(crowd(grays, finder, count)) for count in CROWD]
    counts = [len(finder.scan(GrayJpeg(jpeg))) for jpeg in data]
    times = [best_ms(finder.scan, [decoded(jpeg)] * 5) for jpeg in data]
    many = decoded(data[1])
    found = finder.scan(many())
    rounds = best_ms(lambda jpeg: [crop(jpeg.reduced(1), face, model) for face in found], [many] * 5)
    each = rounds / max(1, len(found))
    told = [f"{t:.2f} ({n} found)" for t, n in zip(times, counts, strict=True)]
    return [*cells, *told, f"{times[1] / times[0]:.2f}", f"{each:.3f}"]


def films(data: Path | None) -> dict[str, list[bytes]]:
    """Clips, frame by frame as the producer sends them."""
    paths = [Path(__file__).parents[1] / "samples" / "sample.mp4"]
    if data is not None:
        paths += [data / "video" / "fer_test.mp4", data / "video" / "pyfeat_no_face.mp4"]
    quality = [cv2.IMWRITE_JPEG_QUALITY, ProducerOptions().jpeg_quality]
    return {p.stem: [cv2.imencode(".jpg", f, quality)[1].tobytes() for f in frames_of(p)] for p in paths}


def in_film(make: Finders, options: DetectorOptions, frames: Sequence[bytes]) -> str:
    """Milliseconds of processor time for a frame of a clip, decoded, and searched with what is remembered of the
    frames before; the best of two rounds."""
    rounds = []
    for _ in range(2):
        finder, remembered = make(options), None
        started = time.process_time()
        for n, data in enumerate(frames):
            jpeg = GrayJpeg(data)
            info = FrameInfo("film", "", "", n, 0.0, n / 25, jpeg.width, jpeg.height, "lossless")
            _, left = finder.search(jpeg, info, remembered)
            remembered = left or remembered
        rounds.append((time.process_time() - started) * 1000 / len(frames))
    return f"{min(rounds):.2f}"


def print_row(cells: Sequence[str]) -> None:
    """One line of a table."""
    print("|", " | ".join(cells), "|", flush=True)


def main(data: Path | None) -> None:
    """Print the tables."""
    cv2.setNumThreads(1)
    ways, clips = finders(data), films(data)
    print_row(["ms, a frame of a film", *clips])
    print("|---" * (len(clips) + 1) + "|")
    for name, (make, options) in ways.items():
        print_row([name, *(in_film(make, options, frames) for frames in clips.values())])
    print()
    sizes = [f"ms, {width}x{height}" for width, height in WHOLE]
    titles = [
        f"ms, {FRAME[0]}x{FRAME[1]}, decoded",
        *sizes,
        *(f"ms, {n} faces" for n in CROWD),
        "ratio",
        "ms, a crop",
    ]
    print_row(["detector", *titles])
    print("|---" * (len(titles) + 1) + "|")
    for name, (make, options) in ways.items():
        print_row([name, *cost(make, options)])
    if data is None:
        return
    known, empty = photos(data / "faces"), faceless(data)
    faces = np.load(data / "fer2013" / "PublicTest.npz")["pixels"][::12][:300]
    rows = [
        "photos",
        *(f"{low}-{high} px" for low, high in pairwise(BANDS)),
        *(f"exactly {h} px" for h in HEIGHTS),
    ]
    rows += [f"FER {side} px on {shade}, {TILTS}" for side, shade in PASTED]
    rows += ["dogs", f"{len(empty) - 1} frames without a face"]
    columns = []
    for make, options in ways.values():
        finder = make(options)
        found = [of_photos(finder, known), *by_height(make, options, known)]
        found += [at_height(make, options, known, height) for height in HEIGHTS]
        found += [of_pasted(finder, faces, side, shade) for side, shade in PASTED]
        found += [str(len(boxes(finder, empty[0]))), str(sum(len(boxes(finder, gray)) for gray in empty[1:]))]
        columns.append(found)
    print()
    print_row(["", *ways])
    print("|---" * (len(ways) + 1) + "|")
    for cells in zip(rows, *columns, strict=True):
        print_row(cells)


if __name__ == "__main__":
    with script("detectors", __doc__) as parser:
        parser.add_argument("data", nargs="?", type=data_folder, metavar="DATA")
        main(parser.parse_args().data)
