"""What the commands read and write, for `shared.claims` to decide about. Loads nothing large."""

import json
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from emotion_stream.producer.sources.spec import SourceSpec
from emotion_stream.shared.claims import Claim, Source
from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.manifest import model_directory
from emotion_stream.shared.settings.cli import Values
from emotion_stream.shared.settings.loading import build
from emotion_stream.shared.settings.options import (
    CommandOptions,
    DetectorOptions,
    ModelOptions,
    ProducerOptions,
    RunOptions,
    ServerOptions,
)
from emotion_stream.shared.settings.result_options import EventOptions, KeepOptions, SinkOptions
from emotion_stream.sink.claims import FOLDERS, OURS, claims, split
from emotion_stream.sink.retention.naming import may_go
from emotion_stream.sink.retention.rules import rules

PAGE_MARK = b"Emotion Stream</title>"
"""Stands at the head of every report."""
HEAD_BYTES = 4096


def sources_of(specs: Sequence[SourceSpec]) -> list[Source]:
    """What a run plays."""
    found = []
    for spec in specs:
        if spec.kind == "video":
            found.append(Source(Path(spec.target), "a source"))
        elif spec.kind == "pictures":
            found.append(Source(Path(spec.target), "a source", partial(_pictures, spec)))
            found += [Source(Path(file), "a source") for file in spec.files]
    return found


def _pictures(spec: SourceSpec) -> Iterable[Path]:
    from emotion_stream.producer.sources.folder import list_pictures

    return list_pictures(spec)


def settings_of(values: Values) -> list[Source]:
    """The files that settings name to be read, and the model."""
    config, password = build(CommandOptions, values).config, build(ServerOptions, values).redis_password_file
    events = build(EventOptions, values)
    secrets = events.webhook_secret_file, events.mqtt_password_file
    certificates = events.mqtt_ca, events.mqtt_cert, events.mqtt_key
    cameras = build(ProducerOptions, values).cameras_file
    named = [config, cameras, password, build(DetectorOptions, values).cascade, *secrets, *certificates]
    model = model_directory(build(ModelOptions, values).model)
    found = [
        Source(Path(name), f"the file {name}, which is read") for name in named if name and os.path.isfile(name)
    ]
    return [*found, Source(model, "the model", partial(_inside, model))]


def _inside(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def claims_of_run(values: Values, cameras: Sequence[str]) -> list[Claim]:
    """All files of a run: outputs, report, summary."""
    options = build(RunOptions, values)
    found = claims(build(SinkOptions, values).output, cameras)
    if options.report is not None:
        found.append(report_claim(Path(options.report), f"--report {options.report}"))
    if options.summary_json is not None:
        found.append(Claim(Path(options.summary_json), f"--summary-json {options.summary_json}", is_summary))
    return found


def check_kept(values: Values, sources: Sequence[Source]) -> None:
    """Refuse to read what the run would remove when it is too old.

    Raises:
        UsageError: a source lies where an output keeps its results in order.
    """
    if rules(build(KeepOptions, values)) is None:
        return
    for spec in build(SinkOptions, values).output:
        kind, target = split(spec)
        for source in sources:
            if kind in (*OURS, *FOLDERS) and may_go(kind, Path(target), source.path):
                raise UsageError(
                    f"output {spec}: {source.path} is read, and would be removed when it is too old:"
                    " choose another file, or leave out --keep"
                )


def report_claim(path: Path, by: str) -> Claim:
    """A page of `emotion report`."""
    return Claim(path, by, is_page)


def is_page(path: Path) -> bool:
    """Whether a file is a report of ours."""
    with path.open("rb") as file:
        return PAGE_MARK in file.read(HEAD_BYTES)


def is_summary(path: Path) -> bool:
    """Whether a file is the summary of a run."""
    if path.stat().st_size > 1 << 20:
        return False
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and {"frames", "latency_ms", "appended", "outputs"} <= set(told)
