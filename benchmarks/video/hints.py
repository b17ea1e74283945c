"""Measure what hints gain and what they cost: video searched near known faces, against scans of every whole frame.

Usage: python -m benchmarks.video.hints [CLIP...] [--starts N] [--json FILE]

Without clips: the bundled sample, and the clips in ../shared/data/video where they are. Both ways run in one
process on the same JPEGs, so their ratio holds on any machine. `detectors` simulates as many detectors that share
one camera: each takes 4 frames at once and knows only what was noted by the time it took them. Much of
what is found in a clip is chance: `--starts 8` plays each eight times, from frames up to its middle.

recall      of the faces that full scans find, from the first scheduled scan of each face's track on (IoU >= 0.4)
everywhere  the same, from the track's first frame on
delay       seconds from a track's first frame to its first box, the mean of tracks that begin after the clip
unconfirmed faces per minute that no full scan of another frame within half a second shows at that place
ms          CPU time of decoding, searching and cropping one frame
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from emotion_stream.benchmarks.harness.script import DATA, at_least_one
from emotion_stream.detector_worker.detector import Detector
from emotion_stream.detector_worker.haar.cascade import LARGE, MEDIUM, SMALL
from emotion_stream.detector_worker.haar.schedule import due, split
from emotion_stream.producer.pictures.jpeg import to_jpeg
from emotion_stream.producer.pictures.source import Context, Nobody
from emotion_stream.producer.sources.factory import make_source
from emotion_stream.producer.sources.spec import parse_source
from emotion_stream.shared.messages.types import Box, Frame, FrameInfo, ModelSpec
from emotion_stream.shared.process.stage import Hints
from emotion_stream.shared.settings.options import DetectorOptions, ProducerOptions
from emotion_stream.shared.settings.result_options import SinkOptions
from emotion_stream.sink.tracking.tracks import Confirmation, Tracker, iou

BATCH = 4
SAME = 0.4
WINDOW = 20
"""Pixels of the default cascade's window."""
CONFIRMED = Confirmation(*map(int, SinkOptions().confirm.split("/")))
NEARBY = 0.5
"""Seconds within which another frame's full scan confirms a face."""

Boxes = list[list[Box]]
"""The faces of each frame."""


@dataclass(frozen=True, slots=True)
class Run:
    """One way to search a clip: its faces, and the CPU seconds it took."""

    boxes: Boxes
    seconds: float


def read(source: str) -> list[Frame]:
    """All frames of a clip as they travel."""
    spec = parse_source(source)
    clip = make_source(spec, "lossless", ProducerOptions(), Context(Event(), Nobody()))
    clip.open()
    frames: list[Frame] = []
    while (picture := clip.read()) is not None:
        jpeg = to_jpeg(picture, 0, ProducerOptions().jpeg_quality)
        info = FrameInfo(
            spec.name, source, "run", len(frames), 0.0, picture.media_time, jpeg.width, jpeg.height, "lossless"
        )
        frames.append(Frame(info, jpeg.data, f"{len(frames) + 1}-0"))
    clip.close()
    return frames


def search(detector: Detector, frames: Sequence[Frame], detectors: int) -> Run:
    """The clip with hints; 0 detectors: without."""
    found: Boxes = []
    started = time.process_time()
    stored: list[Hints] = [{}] * max(1, detectors)  # as after the batch so many batches ago
    for at in range(0, len(frames), BATCH):
        batch = frames[at : at + BATCH]
        if detectors:
            hints = dict(stored.pop(0))
            results = detector.process_hinted(batch, hints)
            stored.append(hints)
        else:
            results = detector.process(batch)
        found += [[face.box for face in result.faces] for result in results]
    return Run(found, time.process_time() - started)


def has(boxes: Sequence[Box], box: Box, least: float = SAME) -> bool:
    """Whether one of `boxes` shows the face in `box`."""
    return any(iou(box, other) >= least for other in boxes)


def tracks(frames: Sequence[Frame], boxes: Boxes) -> list[list[tuple[int, Box]]]:
    """The faces of full scans, frame number and box, by track; those that no sink would show are left out."""
    tracker = Tracker(Confirmation(1, 1))
    found: dict[int, list[tuple[int, Box]]] = {}
    for number, (frame, faces) in enumerate(zip(frames, boxes, strict=True)):
        for track, box in zip(tracker.update(faces, frame.info.media_time), faces, strict=True):
            found.setdefault(track.id, []).append((number, box))
    return [track for track in found.values() if shown(track)]


def shown(track: Sequence[tuple[int, Box]]) -> bool:
    """Whether a sink with its default settings shows this track at all."""
    need = CONFIRMED
    starts = zip(track, track[need.hits - 1 :], strict=False)
    return any(last - first < need.window for (first, _), (last, _) in starts)


def unconfirmed(frames: Sequence[Frame], boxes: Boxes, full: Boxes) -> int:
    """Faces that no full scan of another frame nearby shows."""
    times = [frame.info.media_time for frame in frames]
    count = 0
    for number, faces in enumerate(boxes):
        near = [n for n, t in enumerate(times) if n != number and abs(t - times[number]) <= NEARBY]
        count += sum(not any(has(full[n], box, 0.3) for n in near) for box in faces)
    return count


def box_at(track: Sequence[tuple[int, Box]], number: int) -> Box:
    """Where a track is in a frame, or was last."""
    return next((box for n, box in reversed(track) if n <= number), track[0][1])


def scheduled(info: FrameInfo, box: Box, every: int) -> bool:
    """Whether a scheduled search in this frame is about a face in `box`."""
    scale = min(1.0, DetectorOptions().scan_width / info.width)
    windows = min(box.width, box.height) * scale / WINDOW
    sizes = SMALL if windows < MEDIUM.reduction else MEDIUM if windows < LARGE.reduction else LARGE
    for turn in due(info, info.seq, every):
        margin = round(sizes.to * sizes.reduction * WINDOW / scale)
        area = split(Box(0, 0, info.width, info.height), turn.parts, margin)[turn.part]
        across = area.x <= box.x and box.x + box.width <= area.x + area.width
        down = area.y <= box.y and box.y + box.height <= area.y + area.height
        if turn.sizes == sizes and across and down:
            return True
    return False


def from_frame(start: int, frames: Sequence[Frame], full: Run) -> tuple[list[Frame], Run]:
    """The clip as of a frame, as another camera sees it, whose turns come at other times; and its full scans."""
    infos = [replace(f.info, seq=n, camera=f"{f.info.camera}{start}") for n, f in enumerate(frames[start:])]
    later = [replace(f, info=info) for f, info in zip(frames[start:], infos, strict=True)]
    return later, Run(full.boxes[start:], full.seconds * len(later) / len(frames))


def measure(name: str, frames: Sequence[Frame], full: Run, hinted: Run, every: int) -> dict[str, Any]:
    """The figures of one clip."""
    recall, everywhere, delays, never = [0, 0], [0, 0], [], 0
    for track in tracks(frames, full.boxes):
        hits = [(number, has(hinted.boxes[number], box)) for number, box in track]
        first = track[0][0]
        seen = next(
            (n for n in range(first, len(frames)) if n == 0 or scheduled(frames[n].info, box_at(track, n), every)),
            None,
        )
        after = [hit for number, hit in hits if seen is not None and number >= seen]
        recall[0], recall[1] = recall[0] + sum(after), recall[1] + len(after)
        everywhere[0], everywhere[1] = everywhere[0] + sum(hit for _, hit in hits), everywhere[1] + len(hits)
        if first > 0:
            found = next((number for number, hit in hits if hit), None)
            never += found is None
            last = track[-1][0] if found is None else found
            delays.append(frames[last].info.media_time - frames[first].info.media_time)
    minutes = (frames[-1].info.media_time + 0.04) / 60
    count = len(frames)
    return {
        "clip": name,
        "frames": count,
        "faces": everywhere[1],
        "recall": recall,
        "everywhere": everywhere,
        "delays": [round(d, 3) for d in delays],
        "never_found": never,
        "unconfirmed_full": unconfirmed(frames, full.boxes, full.boxes) / minutes,
        "unconfirmed_hinted": unconfirmed(frames, hinted.boxes, full.boxes) / minutes,
        "ms_full": full.seconds * 1000 / count,
        "ms_hinted": hinted.seconds * 1000 / count,
    }


def share(counts: Sequence[int]) -> str:
    """`[hits, all]` in percent."""
    return f"{100 * counts[0] / counts[1]:.1f} %" if counts[1] else "-"


def row(figures: dict[str, Any]) -> str:
    """One line of the table."""
    delays = figures["delays"]
    delay = f"{sum(delays) / len(delays):.2f}" if delays else "-"
    return (
        f"{figures['clip'][:14]:14} {figures['detectors']:9d} {figures['frames']:6d} {figures['faces']:5d}"
        f" {share(figures['recall']):>8} {share(figures['everywhere']):>10} {delay:>5} ({len(delays):2d})"
        f" {figures['unconfirmed_full']:6.1f} {figures['unconfirmed_hinted']:6.1f}"
        f" {figures['ms_full']:8.2f} {figures['ms_hinted']:8.2f} {figures['ms_full'] / figures['ms_hinted']:6.1f}x"
    )


def total(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several clips together; per frame and per minute, each frame counts the same."""
    frames = sum(part["frames"] for part in parts)

    def mean(key: str) -> float:
        return float(sum(part[key] * part["frames"] for part in parts) / frames)

    def both(key: str) -> list[int]:
        return [sum(part[key][n] for part in parts) for n in (0, 1)]

    return {
        **parts[0],
        "clip": "all",
        "frames": frames,
        "faces": sum(part["faces"] for part in parts),
        "recall": both("recall"),
        "everywhere": both("everywhere"),
        "delays": [delay for part in parts for delay in part["delays"]],
        "never_found": sum(part["never_found"] for part in parts),
        **{k: mean(k) for k in ("unconfirmed_full", "unconfirmed_hinted", "ms_full", "ms_hinted")},
    }


HEAD = (
    "clip           detectors frames faces   recall everywhere   delay (n)   unconfirmed/min     ms/frame\n"
    "                                                                        full hinted     full   hinted"
)


def clips() -> list[str]:
    """The sample, and what lies in the shared folder."""
    return ["sample", *(str(path) for path in sorted((DATA / "video").glob("*.*")))]


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="emotion_stream.benchmarks.video.hints", description="What hints gain and cost."
    )
    parser.add_argument("clips", nargs="*", help="video files; default: the sample and ../shared/data/video")
    parser.add_argument("--scan-every", type=int, default=DetectorOptions().scan_every)
    parser.add_argument(
        "--starts", type=at_least_one, default=1, help="play each clip from so many frames of its first half"
    )
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file, too")
    chosen = parser.parse_args(arguments)
    options = replace(DetectorOptions(), scan_every=chosen.scan_every)
    detector = Detector(options, ModelSpec("benchmark", 48, 0.1))
    detector.open()
    rows: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    print(f"scan_every {options.scan_every}, {options.cascade}, width {options.scan_width}\n{HEAD}")
    for source in chosen.clips or clips():
        whole = read(source)
        scanned = search(detector, whole, 0)
        starts = sorted({len(whole) // 2 * n // chosen.starts for n in range(chosen.starts)})
        for detectors, parts in rows.items():
            figures = []
            for start in starts:
                frames, full = from_frame(start, whole, scanned)
                hinted = search(detector, frames, detectors)
                figures.append(measure(Path(source).stem, frames, full, hinted, options.scan_every))
            parts.append({**total(figures), "clip": Path(source).stem, "detectors": detectors})
            print(row(parts[-1]), flush=True)
    for parts in rows.values():
        print(row(total(parts)))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps([*rows[1], *rows[2]], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
