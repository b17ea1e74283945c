"""The output `video=FILE.mp4`: annotated frames as H.264 in a file that plays even when the run is killed."""

import contextlib
from collections import deque
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.sound import Sound
from emotion_stream.shared.messages.types import FrameInfo, Mode
from emotion_stream.shared.smaller import smaller
from emotion_stream.shared.words.words import ENGLISH, Words
from emotion_stream.sink.drawing.draw import Rate, annotate, plate
from emotion_stream.sink.outputs.fragments import trim
from emotion_stream.sink.outputs.heard import Heard
from emotion_stream.sink.outputs.sound import add_sound
from emotion_stream.sink.results.output import Image, Result

MARK = "emotion-stream"
"""Begins the comment in the metadata of every file written here; epoch and seq of its first frame follow."""
_TICKS = 90_000
_LONGEST_STEP = 3600.0
_DEFAULT_STEP = 1 / 25
_DEFAULT_SIZE = 640, 360
_MAX_WAITING = 100
# Finite clips: every frame is a fragment of its own, so a killed run loses one frame at the most, and a clean end
# turns the file into an ordinary one. Live ones run for weeks: only what keyframes begin is a fragment, because
# the muxer remembers every fragment.
_MOVFLAGS: dict[Mode, str] = {
    "lossless": "frag_every_frame+empty_moov+default_base_moof+hybrid_fragmented",
    "live": "frag_keyframe+empty_moov+default_base_moof",
}


def part_path(target: Path, camera: str | None, part: int) -> Path:
    """`F.mp4`, with `-<camera>` for one of several cameras, with `.002` and so on for later parts."""
    name = target.stem if camera is None else f"{target.stem}-{camera}"
    return target.with_name(f"{name}{f'.{part:03}' if part > 1 else ''}{target.suffix}")


def is_ours(path: Path) -> bool:
    """Whether a file was written by this output; an empty one of a run killed at its start counts, too."""
    try:
        if path.stat().st_size == 0:
            return True
        with av.open(str(path)) as container:
            return container.metadata.get("comment", "").startswith(MARK)
    except (av.FFmpegError, OSError):
        return False


class Video:
    """Writes one annotated clip per camera.

    The first picture sets a clip's size (padded to even sides); other sizes are scaled into it. Frames lie where
    their media time says, strictly increasing. Frames without a picture become a plain dark plate. When it ends,
    a clip gets the sound of the video file that it was made of, up to where media time jumps back; that of
    a camera gets what was heard of it.

    Args:
        target: the file, ending in `.mp4`.
        many: whether several cameras are expected; each then has its own `F-<camera>.mp4`. Otherwise the first
            camera gets `F.mp4`.
        fps: constant frame rate instead of media time.
        threads: threads of the encoder.
        notice: a line shown in every picture.
        words: the language of what is drawn.
        part: the first file that may be begun: where others were, numbers go on.
    """

    needs_image = True

    def __init__(
        self,
        target: Path,
        *,
        many: bool = False,
        fps: float | None = None,
        threads: int = 1,
        notice: str = "",
        words: Words = ENGLISH,
        part: int = 1,
    ) -> None:
        self._target = target
        self._notice = notice
        self._words = words
        self._part = part
        self._many = many
        self._fps = fps
        self._threads = threads
        self._clips: dict[str, _Clip] = {}
        self._before: dict[str, dict[str, int]] = {}
        self._ends: dict[str, dict[str, int]] = {}

    def write(self, result: Result, image: Image | None) -> None:
        """Add the frame to its camera's clip, which begins with its first frame."""
        camera = result.info.camera
        clip = self._clips.get(camera)
        if clip is None:
            name = camera if self._many or self._clips else None
            how = self._target, name, self._fps, self._threads, self._notice, self._words, self._part
            clip = self._clips[camera] = _Clip(*how, self._before.get(camera))
        clip.write(result, image)

    def hear(self, sound: Sound) -> None:
        """See `sink.results.hearing.Hearing`."""
        clip = self._clips.get(sound.camera)
        if clip is not None:
            clip.hear(sound)

    def follow(self, before: "Video") -> None:
        """Know also which frames the clips of this one, which is closed, hold."""
        self._before = before._ends

    def flush(self) -> None:
        """Nothing to do: each packet goes to the operating system as it is encoded.

        The newest frame of a lossless clip, and the newest second or so of a live one, follow with the next.
        """

    def let_go(self, camera: str) -> None:
        """Finish the clip of one camera.

        Raises:
            EmotionError: it could not be finished.
        """
        clip = self._clips.pop(camera, None)
        if clip is not None:
            clip.close()

    def close(self) -> None:
        """Finish every clip.

        Raises:
            EmotionError: one could not be finished; the others are.
        """
        clips, self._clips = self._clips, {}
        self._ends |= {camera: clip.last for camera, clip in clips.items()}
        failures = []
        for clip in clips.values():
            try:
                clip.close()
            except EmotionError as e:
                failures.append(e)
        if failures:
            raise failures[0]


class _Clip:
    """The clip of one camera."""

    def __init__(
        self,
        target: Path,
        name: str | None,
        fps: float | None,
        threads: int,
        notice: str,
        words: Words,
        part: int,
        last: dict[str, int] | None,
    ) -> None:
        self._target = target
        self._notice = notice
        self._words = words
        self._part = part
        self._name = name
        self._fps = fps
        self._threads = threads
        self._encoder: _Encoder | None = None
        self.last: dict[str, int] = last or {}
        self._waiting: deque[tuple[Result, float | None]] = deque()
        self._rate = Rate()
        self._media_time: float | None = None
        self._time = 0.0
        self._step = 1 / fps if fps else _DEFAULT_STEP
        self._looked_back = last is not None
        self._first: FrameInfo | None = None
        self._silent_from: float | None = None
        self._heard: Heard | None = None

    def write(self, result: Result, image: Image | None) -> None:
        info = result.info
        if not self._looked_back:
            self._looked_back = True
            self._look_back(result)
        if info.seq <= self.last.get(info.epoch, -1):
            return
        self.last = {info.epoch: info.seq}
        fps = self._rate.update(info.captured_at + result.latency)
        if self._encoder is None:
            if image is None and not info.width and len(self._waiting) < _MAX_WAITING:
                self._waiting.append((result, fps))  # the first picture will tell the size
                return
            size = (image.shape[1], image.shape[0]) if image is not None else (info.width, info.height)
            self._start(result, size if all(size) else _DEFAULT_SIZE)
        self._encode(result, image, fps)

    def _look_back(self, result: Result) -> None:
        """After a restart, learn which frames earlier parts hold: in a lossless clip they are consecutive."""
        if result.info.mode != "lossless":
            return
        part = 1
        while (path := part_path(self._target, self._name, part)).exists() or part < self._part:
            try:
                with av.open(str(path)) as container:
                    mark, epoch, seq = container.metadata.get("comment", "").split(" ")
                    frames = sum(1 for packet in container.demux(video=0) if packet.size)
                if mark == MARK and epoch == result.info.epoch:
                    self.last[epoch] = max(self.last.get(epoch, -1), int(seq) + frames - 1)
            except (av.FFmpegError, OSError, ValueError):
                pass  # killed before its first frame, or not ours
            part += 1

    def _start(self, result: Result, size: tuple[int, int]) -> None:
        part = self._part
        while (path := part_path(self._target, self._name, part)).exists():
            part += 1
        first = self._waiting[0][0].info if self._waiting else result.info
        comment = f"{MARK} {first.epoch} {first.seq}"
        self._first = first
        self._encoder = _Encoder(path, size, self._fps, self._threads, first.mode, comment)
        if first.mode == "live" and not self._fps:
            self._heard = Heard(path)
        while self._waiting:
            early, fps = self._waiting.popleft()
            self._encode(early, None, fps)

    def _encode(self, result: Result, image: Image | None, fps: float | None) -> None:
        assert self._encoder is not None
        size, notice = self._encoder.size, result.notice(self._notice)
        if image is None:
            drawn = plate(*size, result, fps, notice, self._words)
        else:
            drawn = annotate(image, result, fps, notice, words=self._words)
        at = self._place(result.info.media_time)
        if self._heard is not None:
            self._heard.place(result.info.epoch, result.info.media_time, at)
        self._encoder.write(drawn, at)

    def hear(self, sound: Sound) -> None:
        """Keep sound of the clip, which it gets at its end."""
        if self._heard is not None:
            self._heard.hear(sound)

    def _place(self, media_time: float) -> float:
        """Seconds in the clip. Where media time stands or jumps back (a loop, a restart), a usual step is made."""
        if self._media_time is None:
            step = 0.0
        elif self._fps or media_time <= self._media_time:
            step = self._step
            if self._silent_from is None and media_time < self._media_time:
                self._silent_from = self._time + step
        else:
            step = min(media_time - self._media_time, _LONGEST_STEP)
            self._step = min(step, 1.0)
        self._media_time = media_time
        self._time += step
        return self._time

    def close(self) -> None:
        if self._waiting:
            self._start(self._waiting[0][0], _DEFAULT_SIZE)
        if self._encoder is not None:
            try:
                self._encoder.close()
                self._add_sound(self._encoder.path)
            finally:
                if self._heard is not None:
                    self._heard.close()

    def _add_sound(self, path: Path) -> None:
        """That of a camera; or, where the clip was made of a file that lies on this machine, of that. Only where
        pictures lie at their own times."""
        if self._heard is not None:
            self._heard.add(self._time + self._step)
        first = self._first
        if first is None or first.still or self._fps or not Path(first.source).is_file():
            return
        seconds = self._time + self._step if self._silent_from is None else self._silent_from
        add_sound(path, Path(first.source), first.media_time, seconds)


class _Encoder:
    """One file, H.264 in fragmented MP4."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        fps: float | None,
        threads: int,
        mode: Mode,
        comment: str,
    ) -> None:
        self.size = max(16, size[0] + size[0] % 2), max(16, size[1] + size[1] % 2)
        self.path = path
        self._ticks = -1
        self._broken = False
        try:
            options = {"movflags": _MOVFLAGS[mode], "flush_packets": "1"}
            self._container = av.open(str(path), "w", format="mp4", options=options)
            self._container.metadata["comment"] = comment
            rate = Fraction(fps or 25).limit_denominator(1001)
            # zerolatency: no frame waits in the encoder, where it would die with the process.
            settings = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "g": "30"}
            self._stream = self._container.add_stream("libx264", rate=rate, options=settings)
            self._stream.width, self._stream.height = self.size
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, _TICKS)
            self._stream.codec_context.thread_count = threads
        except (av.FFmpegError, OSError, ValueError) as e:
            raise self._failed(e) from e

    def write(self, image: Image, seconds: float) -> None:
        """Append a picture of any size, `[height, width, 3]`, BGR, at a time that does not go back."""
        self._ticks = max(round(seconds * _TICKS), self._ticks + 1)
        frame = av.VideoFrame.from_ndarray(_fitted(image, self.size), format="bgr24")
        frame.pts, frame.time_base = self._ticks, Fraction(1, _TICKS)
        self._mux(frame)

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as e:
            raise self._failed(e) from e

    def close(self) -> None:
        failure: EmotionError | None = None
        if not self._broken:
            try:
                self._mux(None)
                self._container.close()
            except EmotionError as e:
                failure = e
            except (av.FFmpegError, OSError) as e:
                failure = self._failed(e)
        if self._broken:
            with contextlib.suppress(av.FFmpegError, OSError):
                self._container.close()
            with contextlib.suppress(OSError):
                trim(self.path)
        if failure is not None:
            raise failure

    def _failed(self, e: Exception) -> EmotionError:
        self._broken = True
        reason = getattr(e, "strerror", None) or str(e) or type(e).__name__
        return EmotionError(f"cannot write video {self.path}: {reason}")


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    """The picture at exactly this size: an odd side gets one more pixel, other sizes are scaled, with bars."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(image)
    if (width + width % 2, height + height % 2) == size:
        return _uint8(cv2.copyMakeBorder(image, 0, size[1] - height, 0, size[0] - width, cv2.BORDER_REPLICATE))
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    small = smaller(image, *inner) if scale < 1 else cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    out = np.zeros((size[1], size[0], 3), np.uint8)
    out[top : top + inner[1], left : left + inner[0]] = small
    return out


def _uint8(image: object) -> Image:
    return np.asarray(image, np.uint8)
