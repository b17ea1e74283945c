"""Which cameras of a live producer are there: told by their threads, asked by health checks."""

import time
from dataclasses import dataclass
from threading import Lock


@dataclass(slots=True)
class _Camera:
    late: float | None
    why: str = "not open yet"
    seen: float = 0.0
    ended: bool = False


class Roll:
    """A roll call of cameras. Any thread may call anything."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cameras: dict[str, _Camera] = {}

    def expect(self, camera: str, late: float | None = None) -> None:
        """There should be this camera. `late`: seconds without a picture after which it counts as away; None: it
        sets no pace that could be waited for, as a folder of stills."""
        with self._lock:
            self._cameras[camera] = _Camera(late)

    def seen(self, camera: str) -> None:
        """It has delivered a picture."""
        with self._lock:
            about = self._cameras.get(camera)
            if about is not None:
                about.seen, about.why = time.monotonic(), ""

    def away(self, camera: str, why: str) -> bool:
        """It cannot be opened, or has failed. False: that is known already."""
        with self._lock:
            about = self._cameras.get(camera)
            if about is None:
                return False
            news, about.why = about.why != why, why
            return news

    def ended(self, camera: str) -> None:
        """It was a recording, and has come to its end."""
        with self._lock:
            if camera in self._cameras:
                self._cameras[camera].ended = True

    def forget(self, camera: str) -> None:
        """There is this camera no more."""
        with self._lock:
            self._cameras.pop(camera, None)

    def missing(self) -> dict[str, str]:
        """The cameras that do not deliver now, each with the reason."""
        now, found = time.monotonic(), {}
        with self._lock:
            for name, camera in self._cameras.items():
                silent = camera.late is not None and now - camera.seen > camera.late
                if not camera.ended and (camera.why or silent):
                    found[name] = camera.why or f"no picture for {now - camera.seen:.0f} s"
        return found

    def check(self) -> tuple[bool, str]:
        """Whether one of them delivers, or none is left to deliver; and lines that say which do not."""
        missing, count = self.missing(), len(self._cameras)
        if not count:
            return True, ""
        lines = [
            f"cameras: {count - len(missing)} of {count}",
            *(f"{name}: {why}" for name, why in missing.items()),
        ]
        return len(missing) < count, "".join(f"{line}\n" for line in lines)
