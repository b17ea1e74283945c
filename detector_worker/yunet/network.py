"""The network on OpenVINO: one compiled form for each size of picture, a few of them kept."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emotion_stream.detector_worker.contract import Gray
from emotion_stream.detector_worker.yunet.decode import STRIDES, Faces, anchors, decode, suppress
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.smaller import smaller

WEIGHTS = Path(__file__).parent / "weights" / "yunet.xml"
DIGEST = "a5e27e5cc53a0916d8f81eba42be73e9764b487eadf1e9874aa6b3c653182c3f"
"""SHA-256 of the .xml and the .bin, one after the other."""
KEPT = 16
"""Compiled networks that are kept, the last ones used; each takes some MiB. Cameras of like shape share one."""
UNIT = STRIDES[-1]


class Network:
    """YuNet. Not to be shared between threads."""

    def __init__(self, precision: str = "auto", weights: Path = WEIGHTS, digest: str | None = None) -> None:
        """Read the network. `precision`: fp32, bf16, or auto: bf16 where it is faster. `digest`: of
        other files than those that ship, as DIGEST.

        Raises:
            EmotionError: its files are missing or damaged, or OpenVINO is not installed.
        """
        try:
            import openvino as ov
        except ImportError as e:
            raise EmotionError("--detector yunet needs OpenVINO: pip install openvino, or --detector haar") from e
        check(weights, digest or DIGEST)
        self._core = ov.Core()
        self._tensor = partial(ov.Tensor, shared_memory=True)
        self._model = self._core.read_model(weights)
        if precision == "auto":
            able = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            name = str(self._core.get_property("CPU", "FULL_DEVICE_NAME"))
            precision = "bf16" if able and bf16_is_fast(name, _flags()) else "fp32"
        self.precision = precision
        self._compiled: OrderedDict[tuple[int, int], _Compiled] = OrderedDict()

    def look(self, gray: Gray, width: int, height: int, least: float) -> Faces:
        """The faces of a picture, seen at `width` x `height` pixels, with a score of at least `least`, each once;
        in these pixels."""
        compiled = self._for(padded(width), padded(height))
        canvas = compiled.canvas
        if compiled.filled != (width, height):
            canvas[:] = 0
            compiled.filled = width, height
        part = canvas[:height, :width]
        if width <= gray.shape[1] and height <= gray.shape[0]:
            part[:] = smaller(gray, width, height)
        else:
            cv2.resize(gray, (width, height), dst=part, interpolation=cv2.INTER_LINEAR)
        scores, boxes, landmarks = compiled.run()
        return suppress(decode(scores, boxes, landmarks, compiled.anchors, least), least)

    def _for(self, width: int, height: int) -> "_Compiled":
        size = width, height
        if size not in self._compiled:
            while len(self._compiled) >= KEPT:
                self._compiled.popitem(last=False)
            self._compiled[size] = _Compiled(self._core, self._model, self._tensor, width, height, self.precision)
        self._compiled.move_to_end(size)
        return self._compiled[size]


def bf16_is_fast(processor: str, flags: str) -> bool:
    """Whether a processor that knows bf16 computes faster in it. AMD's do, 1.5 times (EPYC); Intel's where they
    have AMX: with AVX-512 alone a frame took 2.7 ms instead of 1.6 (Xeon). Pure."""
    return "AMD" in processor or "amx_bf16" in flags.split()


def _flags() -> str:
    """What the processor can do, as Linux tells it; elsewhere nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("flags")), "")


class _Compiled:
    """The network for pictures of one size. `canvas` is what it sees, uint8 `[height, width]`; a picture that is
    smaller fills its upper left part, of the size `filled`."""

    def __init__(
        self, core: Any, model: Any, make_tensor: Callable[..., Any], width: int, height: int, precision: str
    ) -> None:
        shaped = model.clone()
        shaped.reshape([height, width])
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # Else the first thread of each process is tied to the first core, however many of them there are.
            "ENABLE_CPU_PINNING": False,
        }
        compiled = core.compile_model(shaped, "CPU", config)
        self.canvas = np.zeros((height, width), np.uint8)
        self._request = compiled.create_infer_request()
        # What goes in and comes out lies where it is: to hand it over each time takes a twentieth of the whole.
        self._request.set_input_tensor(make_tensor(self.canvas))
        names = ("scores", "boxes", "landmarks")
        self._outputs = [self._request.get_tensor(compiled.output(name)).data for name in names]
        self.filled = width, height
        self.anchors = anchors(width, height)

    def run(self) -> list[Any]:
        """Scores, boxes and landmarks of what lies on the canvas; they hold until the next run."""
        self._request.infer(share_outputs=True)
        return self._outputs


def padded(side: int) -> int:
    """The next multiple of what the network wants. Pure."""
    return -(-side // UNIT) * UNIT


def check(weights: Path, expected: str) -> None:
    """
    Raises:
        EmotionError: a file of the network is missing or damaged.
    """
    digest = hashlib.sha256()
    for path in (weights, weights.with_suffix(".bin")):
        try:
            digest.update(path.read_bytes())
        except OSError as e:
            raise EmotionError(f"YuNet's file {path} cannot be read ({e.strerror}): restore it") from e
    if digest.hexdigest() != expected:
        raise EmotionError(f"YuNet's file {weights} or its .bin is damaged (checksum differs): restore both")
