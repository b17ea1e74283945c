"""Where one scene ends and another begins: told from the thumbnails that detectors send with every frame."""

from dataclasses import dataclass

from emotion_stream.shared.messages import scene
from emotion_stream.shared.messages.types import FrameInfo


@dataclass(slots=True)
class Scene:
    """What a camera showed last: `look`, a thumbnail, empty before the first; `time`, seconds of the medium.

    Frames come in order here, whoever looked for faces in them, so a cut lies before exactly one frame.
    """

    look: bytes = b""
    time: float = 0.0

    def ends(self, info: FrameInfo) -> bool:
        """Whether a frame begins a new scene, because it shows something else or the medium has begun anew. A
        frame on which nothing can be seen (black, or white as in a flash) is no scene and ends none; what follows
        is compared with what was before it."""
        passed = info.media_time - self.time
        seen = scene.unpacked(info.scene)
        if seen is None or scene.flat(seen):
            return bool(self.look) and passed < 0
        before = scene.unpacked(self.look)
        self.look, self.time = info.scene, info.media_time
        return before is not None and (passed < 0 or scene.cut(seen, before, passed))
