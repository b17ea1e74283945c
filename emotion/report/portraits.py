"""The faces of a report's contact sheet: kept during the run, or cut from the files that the results name."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from emotion_stream.emotion.report.table import Camera
from emotion_stream.producer.pictures.pixels import pixels
from emotion_stream.producer.pictures.source import Context, Image, Nobody
from emotion_stream.producer.sources.files import Video
from emotion_stream.producer.sources.folder import read_picture
from emotion_stream.producer.sources.kinds import IMAGE_SUFFIXES
from emotion_stream.producer.sources.spec import SourceSpec
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.types import Box
from emotion_stream.sink.drawing.privacy import pixelate
from emotion_stream.sink.outputs.faces import SMALLEST, Choice, Sample, cut, paths
from emotion_stream.sink.retention.naming import read_folder

log = logging.getLogger(__name__)

Portrait = tuple[Sample, bytes]
"""A face, and its JPEG."""
SAME = 0.02
"""Seconds by which the time of a frame may differ from what the results say."""


def kept(directory: Path) -> list[Portrait]:
    """What the output `faces=DIR` has kept, also where it began anew each day.

    Raises:
        EmotionError: there is no such folder, or it cannot be read.
    """
    if not directory.is_dir():
        raise EmotionError(f"--faces {directory}: there is no such folder (--output faces=DIR writes one)")
    try:
        days = sorted(path for path in directory.iterdir() if read_folder(path.name) and path.is_dir())
        found = {sample: path for place in (directory, *days) for sample, path in paths(place).items()}
        chosen = Choice(found)
        return [(sample, found[sample].read_bytes()) for sample in chosen.samples]
    except OSError as e:
        raise EmotionError(f"--faces {directory} cannot be read ({e.strerror})") from e


def from_sources(cameras: Sequence[Camera], blur: bool) -> list[Portrait]:
    """The surest faces, cut out of the files that the frames came from. What is no longer there is told and left
    out."""
    wanted: dict[str, dict[int, list[tuple[Sample, Box]]]] = defaultdict(lambda: defaultdict(list))
    chosen: list[Sample] = []
    for camera in cameras:
        rows: dict[Sample, int] = {}
        choice = Choice()
        for row in range(len(camera.frame)):
            if camera.uncertain[row] or camera.box[row, 2:].min() < SMALLEST:
                continue
            frame = camera.frame[row]
            about = float(camera.confidence[row]), int(camera.track[row]), int(camera.seq[frame])
            sample = Sample(camera.name, camera.labels[camera.label[row]], *about, float(camera.time[frame]))
            if choice.offer(sample)[0]:
                rows[sample] = row
        for sample in choice.samples:
            row = rows[sample]
            source = camera.sources[camera.source[camera.frame[row]]]
            wanted[source][sample.seq].append((sample, camera.place(row)))
        chosen += choice.samples
    found: dict[Sample, bytes] = {}
    for source, frames in wanted.items():
        try:
            for seq, image in _frames(source, {seq: faces[0][0].time for seq, faces in frames.items()}):
                for sample, box in frames[seq]:
                    found[sample] = _cut(image, box, blur)
        except (EmotionError, OSError, ValueError) as e:
            log.warning("no faces from %s: %s", source, e)
    return [(sample, found[sample]) for sample in chosen if sample in found]


def _frames(source: str, wanted: dict[int, float]) -> Iterator[tuple[int, Image]]:
    """Frames of a file by their number, which are to be at these times."""
    path = Path(source)
    if not path.is_file():
        raise EmotionError("there is no such file any more")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        picture = read_picture(path, 0.0)
        if picture.error is not None:
            raise EmotionError(picture.error)
        image = pixels(picture)
        yield from ((seq, image) for seq in wanted)
        return
    video = Video(SourceSpec("report", "video", source), Context(Event(), Nobody()))
    video.open()
    try:
        for seq in range(max(wanted) + 1):
            read = video.read()
            if read is None:
                return
            if seq in wanted and read.error is None and abs(read.media_time - wanted[seq]) < SAME:
                yield seq, pixels(read)
    finally:
        video.close()


def _cut(image: Image, box: Box, blur: bool) -> bytes:
    if blur:
        image = image.copy()
        pixelate(image, box)  # reaches further than what is cut out
    return cut(image, box)
