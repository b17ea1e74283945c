"""`emotion bench`: how fast the pipeline is on this machine, beside other programs. The work is done in
`sections`.
"""

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from emotion_stream import samples
from emotion_stream.benchmarks.harness import machine
from emotion_stream.benchmarks.harness.plan import Plan
from emotion_stream.benchmarks.harness.report import Section, fill, markdown, text
from emotion_stream.benchmarks.sections import cameras, latency, profiling, scaling, start, throughput
from emotion_stream.emotion.runner.processor import usable_cores
from emotion_stream.shared.claims import Claim, Source, check
from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.messages.manifest import model_directory
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import BenchOptions
from emotion_stream.shared.settings.loading import build, option, to_toml
from emotion_stream.shared.settings.options import (
    ClassifierOptions,
    DetectorOptions,
    ModelOptions,
    ProducerOptions,
    RunOptions,
)
from emotion_stream.shared.settings.result_options import WriteOptions
from emotion_stream.shared.terminal import say

log = logging.getLogger(__name__)

SECTIONS: dict[str, Callable[[Plan], Section]] = {
    "throughput": throughput.run,
    "latency": latency.run,
    "cameras": cameras.run,
    "scaling": scaling.run,
    "start": start.run,
}
"""In the order in which they run."""
QUICK = {"rounds": 1, "frames": 60, "seconds": 2.0, "most_cameras": 2}
"""What `--quick` makes of settings that were not given."""

PIPELINE = (DetectorOptions, ClassifierOptions, ModelOptions)
"""Settings of the pipeline that can be tried out as flags; the other ones as variables or in a file."""


@dataclass(frozen=True, slots=True)
class JsonFile:
    """For this command the setting `json` is a file."""

    json: str | None = option(None, "write every round's figures to this file", metavar="FILE")


def run(values: Values) -> None:
    """Measure, print tables, and write what was asked for.

    Raises:
        EmotionError: the clip cannot be read, a run failed, or a file cannot be written.
    """
    options = build(BenchOptions, values)
    if options.quick:
        options = build(BenchOptions, {**QUICK, **values})
    steps = {name: SECTIONS[name] for name in options.only or (() if options.profile else SECTIONS)}
    if options.profile:
        steps["profile"] = partial(profiling.run, target=Path(options.profile))
    target = build(JsonFile, values).json
    claims = [Claim(Path(target), f"--json {target}", _is_figures)] if target else []
    read = {"clip": options.clip, "markdown": options.markdown}
    sources = [Source(Path(path), f"--{name} {path}") for name, path in read.items() if path]
    check(sources, claims, force=build(WriteOptions, values).force)
    if options.markdown:
        document = _read(options.markdown)
        for name in steps:
            fill(document, name, "")  # told before anything is measured
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:  # `emotion-*` is what runs tidy up
        plan = _plan(options, values, Path(folder))
        about = machine.describe(plan.cores, *_networks(values))
        command = _command(options, values)
        say(f"{machine.sentence(about)}\n")
        whole: dict[str, Any] = {"machine": about, "command": command}
        for name, measure in steps.items():
            log.info("measuring %s", name)
            section = measure(plan)
            say(f"{text(section)}\n")
            # Written at once: what comes next may fail, after an hour.
            whole[name] = section.data
            if target:
                _write(target, json.dumps(whole, indent=2) + "\n")
            if options.markdown:
                content = f"`{command}`, {machine.sentence(about)}.\n\n{markdown(section)}"
                _write(options.markdown, fill(_read(options.markdown), name, content))


def _is_figures(path: Path) -> bool:
    """Whether a file is what `--json` has written."""
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and {"machine", "command"} <= set(told)


def _networks(values: Values) -> tuple[str, str]:
    """The classifier's network and the detector, in a few words each."""
    model = model_directory(build(ModelOptions, values).model).name
    return f"{model} ({build(ClassifierOptions, values).precision})", build(DetectorOptions, values).detector


def _plan(options: BenchOptions, values: Values, folder: Path) -> Plan:
    clip = Path(options.clip) if options.clip else Path(samples.__file__).parent / "sample.mp4"
    if not clip.is_file():
        raise EmotionError(f"--clip {clip}: there is no such file")
    if options.fer_python and shutil.which(options.fer_python) is None:
        raise EmotionError(f"--fer-python {options.fer_python}: no such program")
    settings = folder / "settings.toml"
    producer = replace(build(ProducerOptions, values), source=())
    runner = replace(build(RunOptions, values), summary_json=None, state=None)
    settings.write_text(to_toml(*(build(cls, values) for cls in PIPELINE), producer, runner))
    return Plan(
        clip=clip.resolve(),
        rounds=options.rounds,
        frames=options.frames,
        seconds=options.seconds,
        most_cameras=options.most_cameras,
        fer_python=options.fer_python,
        settings=settings,
        folder=folder,
        cores=usable_cores(),
    )


def _command(options: BenchOptions, values: Values) -> str:
    """The command line again, without this machine's folders."""
    parts = ["emotion bench"]
    for cls, settings in ((BenchOptions, options), *((cls, build(cls, values)) for cls in PIPELINE)):
        for f in fields(cls):
            value = getattr(settings, f.name)
            if value == f.default or f.name in ("markdown", "quick"):
                continue
            named = value if isinstance(value, tuple) else (value,)
            texts = [Path(v).name if isinstance(v, str) else f"{v:g}" for v in named]
            parts.append(f"--{f.name.replace('_', '-')} {' '.join(texts)}")
    return " ".join(parts)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise EmotionError(f"--markdown {path}: cannot be read, and a file with markers is needed") from e


def _write(path: str, content: str) -> None:
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as e:
        raise EmotionError(f"{path} cannot be written ({e.strerror})") from e


COMMAND = Command(
    "bench",
    "Measure throughput, latency, CPU and memory of the pipeline on this machine, beside other programs.",
    (BenchOptions, JsonFile, WriteOptions, *PIPELINE),
    run,
)
