"""What differs between two lists of cameras. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emotion_stream.producer.sources.spec import SourceSpec
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.settings.cameras import Camera
from emotion_stream.shared.settings.options import ProducerOptions

_PASS = re.compile(r"(.*)@([0-9]{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One camera to be produced: its source, the settings that its producer applies, and those that travel."""

    spec: SourceSpec
    options: ProducerOptions
    settings: CameraSettings

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self.spec.name

    def goes_on(self, before: "Assignment") -> bool:
        """Whether the pictures are those of `before`: then a pass over a file continues where it is."""
        return (self.spec.kind, self.spec.target, self.spec.files) == (
            before.spec.kind,
            before.spec.target,
            before.spec.files,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """From one list of cameras to another, in the order of the new list; `removed` in that of the old one."""

    added: tuple[Assignment, ...] = ()
    changed: tuple[Assignment, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def __str__(self) -> str:
        """For a log line: `added door; changed hall, yard; removed attic`."""
        parts = {
            "added": [camera.name for camera in self.added],
            "changed": [camera.name for camera in self.changed],
            "removed": self.removed,
        }
        return "; ".join(f"{word} {', '.join(names)}" for word, names in parts.items() if names) or "no change"


def assign(
    specs: Sequence[SourceSpec], options: ProducerOptions, cameras: Sequence[Camera]
) -> tuple[Assignment, ...]:
    """Each source with the settings of its camera, and those of all where it has none of its own."""
    tables = {camera.id: camera for camera in cameras}
    general = replace(options, source=(), only_cameras=())  # that another source comes concerns nobody
    own = [tables.get(spec.name, Camera(spec.name)) for spec in specs]
    return tuple(Assignment(s, table.over(general), table.settings) for s, table in zip(specs, own, strict=True))


def compare(old: Sequence[Assignment], new: Sequence[Assignment]) -> Change:
    """Which cameras come, go, or become others. Another order alone is no change."""
    before: Mapping[str, Assignment] = {camera.name: camera for camera in old}
    names = {camera.name for camera in new}
    return Change(
        tuple(camera for camera in new if camera.name not in before),
        tuple(camera for camera in new if camera.name in before and before[camera.name] != camera),
        tuple(camera.name for camera in old if camera.name not in names),
    )


def pass_name(run: str, stored: str, left: bool) -> str:
    """The epoch of a lossless camera: the run, and for the n-th pass after the first one `run@n`.

    Args:
        run: the run that the producer belongs to.
        stored: the epoch of the camera's newest frame on the server; empty: none.
        left: whether the camera was let go since. Its next pass begins anew.
    """
    found = _PASS.fullmatch(stored)
    if run not in (stored, found[1] if found else None):
        return run
    return f"{run}@{int(found[2]) + 1 if found else 1}" if left else stored
