"""The `emotion` command: finds the subcommand and hands over."""

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from shared import __version__
from shared.cli import Command

COMMANDS = {
    "run": ("emotion.run", "run the whole pipeline on this machine"),
    "picture": ("emotion.picture", "find and label the faces in pictures on disk"),
    "cameras": ("emotion.cameras", "list the cameras of this machine"),
    "report": ("emotion.report.command", "make one page of results, with charts and faces"),
    "train": ("models.train", "train VGG16 on FER-2013 (after `make train-env`)"),
    "evaluate": ("emotion.evaluate", "measure the model that is served, on labelled faces"),
    "export": ("emotion.export", "make a model that can be served from trained weights, and measure it"),
    "runs": ("models.runs", "compare training runs"),
    "bench": ("emotion.bench", "measure how fast the pipeline is on this machine"),
    "dead": ("emotion.dead", "list, show, replay or drop messages that could not be processed"),
    "producer": ("producer.__main__", "one stage: sources in, stream `frames` out"),
    "detector": ("detector_worker.__main__", "one stage: find faces"),
    "classifier": ("classifier_worker.__main__", "one stage: label faces with emotions"),
    "sink": ("sink.__main__", "one stage: order the results, show and store them"),
}
"""Name to the module that holds its `COMMAND`, imported only when asked for."""


def usage() -> str:
    """The overview of all commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        ["usage: emotion COMMAND [options]", "", *lines, "", "`emotion COMMAND --help` tells a command's options."]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run `emotion`; returns its exit code."""
    try:
        try:
            return _dispatch(list(sys.argv[1:] if argv is None else argv))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # whoever read our output has had enough
        return 0
    except OSError as e:
        _discard_output()
        print(f"emotion: cannot write standard output: {e.strerror}", file=sys.stderr)
        return 1


def _discard_output() -> None:
    """Keep the interpreter from failing on what is left in the buffer when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(__version__)
        return 0
    if arguments[0] not in COMMANDS:
        near = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
        told = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(COMMANDS)}"
        print(f"emotion: unknown command {arguments[0]!r}; {told}", file=sys.stderr)
        return 2
    command: Command = importlib.import_module(COMMANDS[arguments[0]][0]).COMMAND
    return command.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
