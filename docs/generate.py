"""Write the pages of `docs/reference/` that the code itself can tell: `make docs`.

Settings, metrics, exit codes, messages and the HTTP interface are declared in the code. These pages repeat the
declarations for readers; a test (`tests/test_docs.py`) compares the committed pages with what this program writes.
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emotion_stream.emotion.__main__ import COMMANDS
from emotion_stream.shared import errors
from emotion_stream.shared.messages import camera, sound, types
from emotion_stream.shared.process import metrics
from emotion_stream.shared.settings import cli
from emotion_stream.shared.settings.cameras import KEYS
from emotion_stream.shared.settings.catalogue import ALL
from emotion_stream.shared.settings.flags import metavar, title_of
from emotion_stream.shared.settings.loading import PREFIX, Spec, specs
from emotion_stream.shared.settings.options import CommandOptions
from emotion_stream.sink.web.app import make_app
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.live import Seats
from emotion_stream.sink.web.pictures import Gallery

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make docs` from the code. Change the code, then run it again. -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table. Bars in cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def sentences(text: str | None) -> str:
    """A docstring as one paragraph a paragraph, without its indentation."""
    paragraphs = re.split(r"\n\s*\n", text or "")
    return "\n\n".join(" ".join(p.split()) for p in paragraphs)


def settings_page() -> str:
    """All settings by group: flag, variable, default, meaning, and the commands that take them."""
    used = takers()
    parts = [
        "# Settings",
        NOTE,
        "A setting is a flag, an environment variable, or a line of the TOML file that `--config` names. Flags"
        " win over variables, and variables win over the file. The name in the file is the name of the flag with"
        " `_` in place of `-`: `--max-age 0.5` is `max_age = 0.5`. Settings that may be repeated are separated"
        " by spaces in a variable, and are a list in the file. An unknown name is an error. A switch that is on"
        " by default is turned off by `--no-NAME`.",
        "The table `[cameras.NAME]` of [a camera](../how-to/settings-per-camera.md) wins over all of these. It may"
        " hold " + ", ".join(f"`{key}`" for key in KEYS) + ".",
        "[The how-to on operation](../how-to/operations.md) shows how containers get them.",
    ]
    for cls in ALL:
        rows = [
            [f"`{flag_of(spec)}`", f"`{PREFIX}{spec.name.upper()}`", default_of(spec), meaning(spec)]
            for spec in own_specs(cls)
        ]
        if rows:
            parts += [f"## {title_of(cls)}", "Commands: " + ", ".join(f"`{name}`" for name in used[cls]) + "."]
            parts.append(table(["flag", "variable", "default", "meaning"], rows))
    return page(parts)


def commands_page() -> str:
    """All commands, and the groups of settings that each takes."""
    used = takers()
    groups = [cls for cls in ALL if own_specs(cls) and cls is not CommandOptions]
    rows = []
    for name, (_, summary) in COMMANDS.items():
        titles = [title_of(cls) for cls in groups if name in used[cls]]
        linked = ", ".join(f"[{t}](settings.md#{t.lower().replace(' ', '-')})" for t in titles)
        rows.append([f"`emotion {name}`", summary, linked])
    parts = [
        "# Commands",
        NOTE,
        "In a checkout the command is `.venv/bin/emotion`, or `python -m emotion_stream`; `make run` is a"
        " shorthand for `emotion run`. `emotion help COMMAND` tells all options of a command. All take the"
        " [settings of every command](settings.md#settings-of-every-command), too. Exit codes have"
        " [a page of their own](exit-codes.md).",
        table(["command", "what it does", "its settings"], rows),
    ]
    return page(parts)


def own_specs(cls: type) -> list[Spec]:
    """The settings that a class declares itself, without those of its bases."""
    return [spec for name, spec in specs([cls]).items() if name in inspect.get_annotations(cls)]


def takers() -> dict[type, list[str]]:
    """Settings class to the commands that take it, or a class that is derived from it."""
    found: dict[type, list[str]] = {cls: [] for cls in ALL}
    for name, (module, _) in COMMANDS.items():
        command: cli.Command = importlib.import_module(module).COMMAND
        for cls in ALL:
            if any(issubclass(taken, cls) for taken in (*command.settings, CommandOptions)):
                found[cls].append(name)
    return found


def flag_of(spec: Spec) -> str:
    """The flag as its help writes it."""
    if spec.kind is bool:
        return f"--no-{spec.flag.removeprefix('--')}" if spec.default else spec.flag
    return f"{spec.flag} {metavar(spec)}"


def default_of(spec: Spec) -> str:
    """The default, or a dash where there is none."""
    if spec.default in (None, (), ""):
        return "-"
    return f"`{str(spec.default).lower() if spec.kind is bool else spec.default}`"


def meaning(spec: Spec) -> str:
    """The help text, and the values that are allowed."""
    text = str(spec.meta["help"])
    if spec.kind is bool and spec.default:
        text = f"{text} (the flag turns this off)"
    low, high = spec.meta["low"], spec.meta["high"]
    if low is not None and high is not None:
        text += f" ({low:g} to {high:g})" if high < 1e6 else f" ({low:,} or more)"
    return re.sub(r"docs/(how-to/[\w-]+\.md)", r"[\1](../\1)", text).replace("<", "&lt;")


def metrics_page() -> str:
    """All metrics: name, type, labels, meaning."""
    kinds = metric_kinds()
    rows = []
    for spec in (value for value in vars(metrics).values() if isinstance(value, metrics.Spec)):
        kind = kinds[spec.name]
        name = spec.name + {"counter": "_total", "info": "_info"}.get(kind, "")
        labels = ", ".join(f"`{label}`" for label in ("stage", *spec.labels))
        rows.append([f"`{name}`", kind, labels, spec.help])
    return page(
        [
            "# Metrics",
            NOTE,
            "A process that is started with `--metrics-port` serves `/metrics` for Prometheus, `/livez` and"
            " `/readyz`. Live means that the loop has turned recently. Ready means that the stage is loaded,"
            " connected to Redis, and can work; the answer of `/readyz` says what is missing. No label names a"
            " camera, a frame or a worker, and an open label (`reason`, `emotion`) takes at most"
            f" {metrics.MAX_WORDS} values; the rest is `other`.",
            table(["metric", "type", "labels", "meaning"], rows),
            "Rules and alerts that use them are in `deploy/prometheus/`;"
            " [operations.md](../how-to/operations.md) says what to do when an alert fires.",
        ]
    )


def metric_kinds() -> dict[str, str]:
    """Name of each metric to its type, as a registry tells it."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    metrics.Metrics(registry, "stage")
    return {family.name: family.type for family in registry.collect()}


UNEXPECTED = (
    "An unexpected error, logged with its traceback: please report it. Also a worker that was stuck in one"
    " batch and that its watchdog ended (`--watchdog`)."
)


def exit_codes_page() -> str:
    """What the exit codes of all commands mean."""
    rows = [
        ["0", "Done. Also if the reader of a pipe has closed it."],
        [f"{errors.EmotionError.exit_code}", sentences(errors.EmotionError.__doc__).removesuffix(" Exit code 1.")],
        [f"{errors.UsageError.exit_code}", sentences(errors.UsageError.__doc__).removesuffix(" Exit code 2.")],
        [f"{cli.EXIT_UNEXPECTED}", UNEXPECTED],
        [f"{cli.EXIT_INTERRUPTED}", "Ended by Ctrl-C."],
        ["128 + N", "The process was ended by signal N, as shells count."],
    ]
    return page(
        [
            "# Exit codes",
            NOTE,
            "Errors are one line on standard error that says what is wrong and what to do.",
            table(["code", "meaning"], rows),
            "`emotion run` restarts a stage that ends with anything but 0, 1 or 2. A stage that ends with 1 or"
            " 2 has said what is wrong, and ends the run.",
        ]
    )


def messages_page() -> str:
    """The dataclasses that travel through the streams, and their bounds."""
    parts = [
        "# Messages",
        NOTE,
        "Entries of the streams, as `shared/messages/types.py` declares them and"
        " `shared/messages/codec.py` writes them: `frames` holds a `Frame` (field `h`: a MessagePack header,"
        " field `j`: the JPEG), `faces` holds `Detections` and `emotions` holds `Emotions` (field `m`,"
        " MessagePack). `sound` holds `Sound` (`shared/messages/sound.py`, field `m`), if somebody wants that."
        " Every message carries a schema version. A reader ignores fields that it does not know,"
        " and leaves messages of newer versions to newer readers. The [results](results.md) that users read are"
        " described on their own page.",
    ]
    for cls in MESSAGES:
        rows = [[f"`{field.name}`", f"`{type_of(field)}`", default_in(field)] for field in dataclasses.fields(cls)]
        parts += [f"## {cls.__name__}", described(cls), table(["field", "type", "default"], rows)]
    bounds = [
        [f"`{name}`", f"{value:,}"]
        for name, value in vars(types).items()
        if name.startswith("MAX_") and isinstance(value, int)
    ]
    return page([*parts, "## Bounds", "A message beyond these is refused.", table(["bound", "value"], bounds)])


MESSAGES = (
    *(types.Frame, types.Detections, types.Emotions, types.FrameInfo, types.Outcome, types.ModelSpec),
    *(types.Crop, types.Prediction, types.Box, camera.CameraSettings),
    *(sound.Sound, sound.Piece),
)


def described(cls: type) -> str:
    """A docstring, with its attributes as a list."""
    text, _, attributes = (cls.__doc__ or "").partition("Attributes:")
    items = re.split(r"\n {8}(?=\w)", "\n" + attributes.strip("\n").replace("    " * 2, " " * 8, 1))
    listed = ["- " + " ".join(item.split()) for item in items if item.strip()]
    named = [re.sub(r"^- ([\w, ]+):", r"- `\1`:", item) for item in listed]
    return "\n\n".join(part for part in (sentences(text).strip(), "\n".join(named)) if part)


def type_of(field: "dataclasses.Field[Any]") -> str:
    """The type of a dataclass field, without the modules of its parts."""
    text = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)


def default_in(field: "dataclasses.Field[Any]") -> str:
    """The default of a dataclass field."""
    if dataclasses.is_dataclass(field.default):
        return f"`{type(field.default).__name__}()`"
    return "required" if field.default is dataclasses.MISSING else f"`{field.default!r}`"


def http_page() -> str:
    """The interface of the web page, from its OpenAPI description."""
    app = make_app(Hub(), Gallery(), lambda: None, Seats(1), None)  # type: ignore[arg-type, return-value]
    described = app.openapi()
    parts = [
        "# HTTP interface",
        NOTE,
        "What `--output web` serves besides the page. `/docs` shows the same in a browser, `/openapi.json` is the"
        " description for machines. `HEAD` is answered wherever `GET` is."
        " [The how-to](../how-to/web.md) says who may look, and how to put a proxy in front.",
        described["info"]["description"],
    ]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            parts += [f"## {method.upper()} `{path}`", operation["summary"] + "."]
            if "description" in operation:
                parts.append(sentences(operation["description"]))
            if rows := list(parameters(operation)):
                parts.append(table(["parameter", "in", "type", "default", "meaning"], rows))
    for name, schema in described["components"]["schemas"].items():
        if name in ("HTTPValidationError", "ValidationError"):
            continue
        parts += [f"## {name}", sentences(schema.get("description", ""))]
        rows = [
            [f"`{field}`", kind_of(value), value.get("description", "")]
            for field, value in schema["properties"].items()
        ]
        parts.append(table(["field", "type", "meaning"], rows))
    return page(parts)


def parameters(operation: dict[str, Any]) -> Iterator[list[str]]:
    """A row for each parameter of an operation."""
    for one in operation.get("parameters", ()):
        value = one["schema"].get("default") or "-"
        default = "required" if one["required"] else f"`{value}`"
        yield [f"`{one['name']}`", one["in"], kind_of(one["schema"]), default, one.get("description", "")]


def kind_of(schema: dict[str, Any]) -> str:
    """A schema's type in a word or two."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(kind_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def page(parts: Sequence[str]) -> str:
    """Parts of a page with an empty line between them."""
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def events_page() -> str:
    """The fields of events, from their schema, and the kinds that have them."""
    schema = json.loads((FOLDER / "event.schema.json").read_text(encoding="utf-8"))
    parts = [
        "# Events",
        NOTE.replace("the code. Change the code", "event.schema.json. Change that"),
        "One line of `--output events=FILE`, one message of the topic `PREFIX/CAMERA/event`, one item of `events`"
        " in the body of a webhook. [event.schema.json](event.schema.json) says the same as a JSON Schema, to"
        " which a test holds every event; [the how-to](../how-to/events.md) says when there are which.",
    ]
    always = set(schema["required"])
    for title, names in (("In every event", always), ("In some", schema["properties"].keys() - always)):
        rows = [
            [f"`{name}`", schema_type(about), told_of(name, schema), about["description"]]
            for name, about in schema["properties"].items()
            if name in names
        ]
        head = ["field", "type", "of", "meaning"]
        if names is always:
            head, rows = ["field", "type", "meaning"], [[row[0], row[1], row[3]] for row in rows]
        parts += [f"## {title}", table(head, rows)]
    return page(parts)


def schema_type(about: dict[str, Any]) -> str:
    """The type of a field in a word or two."""
    if "const" in about or "enum" in about:
        return " or ".join(f"`{value}`" for value in about.get("enum", [about.get("const")]))
    kinds = about["type"] if isinstance(about["type"], list) else [about["type"]]
    names = {"integer": "whole number", "string": "text", "null": "nothing", "array": "list"}
    return " or ".join(str(names.get(kind, kind)) for kind in kinds)


def told_of(name: str, schema: dict[str, Any]) -> str:
    """The kinds of events that have a field, where the schema says so."""
    found: list[str] = []
    for rule in schema["allOf"]:
        kind = rule["if"]["properties"]["kind"]
        if name in rule["then"].get("required", ()):
            found += kind["enum"] if "enum" in kind else [kind["const"]]
    return ", ".join(f"`{value}`" for value in found or ["face_appeared", "emotion_changed"])


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "exit-codes.md": exit_codes_page,
    "messages.md": messages_page,
    "http.md": http_page,
    "events.md": events_page,
}
"""File in `docs/reference/` to the function that makes it."""


def main() -> None:
    """Write all pages."""
    parser = argparse.ArgumentParser(description="Write the pages of docs/reference/ that the code can tell.")
    parser.add_argument("--output", type=Path, default=FOLDER, metavar="DIR", help="folder to write them to")
    folder: Path = parser.parse_args().output
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
