"""`emotion completion SHELL`: prints what makes a shell complete commands, flags, choices and files.

shtab writes it once, from the same settings that become flags. So a shell that completes never starts Python.
"""

import argparse
import importlib
import os
from typing import Any

from emotion_stream.emotion.__main__ import COMMANDS
from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.cli import Command, Values
from emotion_stream.shared.settings.command_options import CompletionOptions
from emotion_stream.shared.settings.flags import PLAIN, add_flags, metavar
from emotion_stream.shared.settings.loading import Spec, build, specs
from emotion_stream.shared.settings.options import CommandOptions
from emotion_stream.shared.terminal import say

SHELLS = ("bash", "zsh", "fish")
FILES = ("FILE", "SRC", "SPEC", "PATH")
FOLDERS = ("DIR",)


def tree() -> argparse.ArgumentParser:
    """A parser of the whole command line. Commands that are not part of this installation are left out."""
    import shtab

    parser = argparse.ArgumentParser("emotion", description="Facial emotion recognition as a stream.")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(dest="command")
    for name, (module, summary) in COMMANDS.items():
        try:
            command: Command = importlib.import_module(module).COMMAND
        except ModuleNotFoundError:
            continue
        own = commands.add_parser(name, help=summary, add_help=False)
        classes = (*command.settings, CommandOptions)
        add_flags(own, classes, command.first, command.without, command.plain)
        table = specs(classes)
        for action in own._actions:
            spec = table.get(action.dest.removeprefix(PLAIN))
            if spec is not None and action.nargs != 0:
                _complete(action, spec, {"file": shtab.FILE, "folder": shtab.DIRECTORY})
    about = commands.add_parser("help", help="tell what a command does, and its options", add_help=False)
    about.add_argument("about", nargs="?", choices=tuple(COMMANDS))
    return parser


def _complete(action: Any, spec: Spec, known: dict[str, Any]) -> None:
    words = metavar(spec).split("|")
    if spec.meta["choices"]:
        action.choices = tuple(spec.meta["choices"])
    elif any(word.startswith(FILES) for word in words):
        action.complete = known["file"]
    elif any(word in FOLDERS for word in words):
        action.complete = known["folder"]


def run(values: Values) -> None:
    """Print the script.

    Raises:
        UsageError: no shell is named, and SHELL names none that is known.
        EmotionError: shtab is not installed.
    """
    shell = build(CompletionOptions, values).shell or os.path.basename(os.environ.get("SHELL", ""))
    if shell not in SHELLS:
        raise UsageError(f"name a shell: {', '.join(SHELLS)}; for example: emotion completion bash")
    try:
        import shtab
    except ModuleNotFoundError:
        raise EmotionError("the library that writes it is missing: pip install shtab") from None
    say(shtab.complete(tree(), shell))


COMMAND = Command(
    "completion",
    'Print what makes a shell complete commands and flags. In ~/.bashrc: eval "$(emotion completion bash)"',
    (CompletionOptions,),
    run,
)
