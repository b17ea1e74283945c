"""What outputs will write, and how to tell files that they wrote from others. Libraries for that are loaded only
if there is such a file."""

from collections.abc import Callable, Sequence
from pathlib import Path

from emotion_stream.shared.claims import Claim

Test = Callable[[Path], bool]


def _jsonl(path: Path) -> bool:
    import json

    with path.open("rb") as file:
        line = file.readline(1 << 20)
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return b'{"camera"'.startswith(line[:9]) or (line.startswith(b'{"camera"') and not line.endswith(b"\n"))
    # An event has a kind, and is none of ours.
    return isinstance(record, dict) and {"camera", "epoch", "seq"} <= set(record) and "kind" not in record


def _events(path: Path) -> bool:
    from emotion_stream.sink.events.lines import is_ours

    return is_ours(path)


def _csv(path: Path) -> bool:
    from emotion_stream.sink.outputs.csv_table import is_ours

    return is_ours(path)


def _sqlite(path: Path) -> bool:
    from emotion_stream.sink.outputs.sqlite import is_ours

    return is_ours(path)


def _video(path: Path) -> bool:
    from emotion_stream.sink.outputs.video import is_ours

    return is_ours(path)


OURS: dict[str, Test] = {"jsonl": _jsonl, "csv": _csv, "sqlite": _sqlite, "video": _video, "events": _events}
FOLDERS = ("images", "faces")
COMPANIONS = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a database."""


def split(spec: str) -> tuple[str, str]:
    """The kind and the target of a value of `--output`; that of `mqtt://...` is all of it. Pure."""
    if spec.startswith(("mqtt://", "mqtts://")):
        return "mqtt", spec
    kind, _, target = spec.partition("=")
    return kind, target


def claims(specs: Sequence[str], cameras: Sequence[str] = ()) -> list[Claim]:
    """What these values of `--output` write; unknown kinds and standard output are passed over.

    Args:
        specs: values of `--output`.
        cameras: the cameras of the run: several have files of their own, and each has a folder.
    """
    found = []
    for spec in specs:
        kind, target = split(spec)
        if target and target != "-" and kind in (*OURS, *FOLDERS):
            path = Path(target)
            ours = OURS.get(kind, lambda _: True)
            beside = _beside(kind, path, cameras)
            found.append(Claim(path, f"output {spec}", ours, beside, is_folder=kind in FOLDERS))
    return found


def _beside(kind: str, path: Path, cameras: Sequence[str]) -> tuple[Path, ...]:
    if not path.name:
        return ()
    if kind == "sqlite":
        return tuple(path.with_name(path.name + name) for name in COMPANIONS)
    if kind == "video" and len(cameras) > 1:
        return tuple(path.with_name(f"{path.stem}-{camera}{path.suffix}") for camera in cameras)
    if kind in FOLDERS:
        return tuple(path / (f"_{camera}" if camera in (".", "..") else camera) for camera in cameras)
    return ()
