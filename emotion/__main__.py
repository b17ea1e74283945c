"""The `emotion` command: finds the subcommand and hands over."""

from __future__ import annotations

import importlib
import signal
import sys
import threading

from emotion_stream import __version__
from emotion_stream.shared.interrupt import hear_hang_ups, hear_none, interrupt, interrupt_again
from emotion_stream.shared.terminal import discard_output, settle

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is loaded here, Ctrl-C could not end quietly
    from collections.abc import Sequence
    from typing import Any

    from emotion_stream.shared.settings.cli import Command

COMMANDS = {
    "run": ("emotion_stream.emotion.commands.run", "run the whole pipeline on this machine"),
    "picture": ("emotion_stream.emotion.commands.picture", "find and label the faces in pictures on disk"),
    "cameras": (
        "emotion_stream.emotion.commands.cameras",
        "list this machine's cameras, or look at a source",
    ),
    "config": (
        "emotion_stream.emotion.commands.config",
        "show the settings that are in force for each camera, and where they come from",
    ),
    "report": ("emotion_stream.emotion.report.command", "make one page of results, with charts and faces"),
    "train": ("emotion_stream.models.training.train", "train VGG16 on FER-2013 (after `make train-env`)"),
    "evaluate": (
        "emotion_stream.emotion.commands.evaluate",
        "measure the model that is served, on labelled faces",
    ),
    "export": (
        "emotion_stream.emotion.commands.export",
        "make a model that can be served from trained weights, and measure it",
    ),
    "runs": ("emotion_stream.models.training.runs", "compare training runs"),
    "bench": ("emotion_stream.benchmarks.command", "measure how fast the pipeline is on this machine"),
    "dead": (
        "emotion_stream.emotion.commands.dead",
        "list, show, replay or drop messages that could not be processed",
    ),
    "completion": (
        "emotion_stream.emotion.commands.completion",
        "print what makes a shell complete commands, flags and files",
    ),
    "producer": ("emotion_stream.producer.__main__", "one stage: sources in, stream `frames` out"),
    "detector": ("emotion_stream.detector_worker.__main__", "one stage: find faces"),
    "classifier": ("emotion_stream.classifier_worker.__main__", "one stage: label faces with emotions"),
    "sink": ("emotion_stream.sink.__main__", "one stage: order the results, show and store them"),
}
"""Name to the module that holds its `COMMAND`, imported only when asked for."""
SERVICES = ("run", "producer", "detector", "classifier", "sink")
"""Those that read their settings file again on SIGHUP, or need not."""
NO_BENCHMARKS = "the benchmarks are not installed; run `make bench` in a copy of the repository"


def usage() -> str:
    """The overview of all commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        ["usage: emotion COMMAND [options]", "", *lines, "", "`emotion help COMMAND` tells a command's options."]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `emotion`; returns its exit code."""
    if argv is None:
        settle()
    _quietly(signal.SIG_DFL)
    try:
        try:
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        discard_output()  # whoever read our output has had enough
        return 0
    except OSError as e:
        discard_output()
        print(f"emotion: cannot write standard output: {e.strerror}", file=sys.stderr)
        return 1


def _quietly(handler: Any) -> None:
    """What Ctrl-C does: while modules load it ends the process without a word; a command may clean up."""
    ours = signal.getsignal(signal.SIGINT) in (
        signal.SIG_DFL,
        signal.default_int_handler,
        interrupt,
        interrupt_again,
    )
    if ours and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    if arguments[0] == "help":
        return _dispatch([*arguments[1:2], "--help"])
    if arguments[0] not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
        told = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(COMMANDS)}"
        print(f"emotion: unknown command {arguments[0]!r}; {told}", file=sys.stderr)
        return 2
    if arguments[0] in SERVICES:
        hear_hang_ups()
    try:
        command: Command = importlib.import_module(COMMANDS[arguments[0]][0]).COMMAND
    except ModuleNotFoundError as e:
        if not (e.name or "").startswith("emotion_stream."):
            raise
        lacks = NO_BENCHMARKS if "benchmarks" in str(e.name) else f"{e.name} is not part of this installation"
        print(f"emotion {arguments[0]}: {lacks}", file=sys.stderr)
        return 1
    _quietly(interrupt)
    try:
        return command.main(arguments[1:])
    except KeyboardInterrupt:  # before or after the command's own work
        return 130
    finally:
        _quietly(signal.SIG_DFL)
        hear_none()


if __name__ == "__main__":
    sys.exit(main())
