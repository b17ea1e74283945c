"""One command of the command line: its settings, its function, and its errors as one clear line."""

import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.log import HIDDEN, clean, redact_url, setup_logging
from emotion_stream.shared.settings.cameras import TABLES, find_cameras
from emotion_stream.shared.settings.catalogue import ALL
from emotion_stream.shared.settings.flags import Parser, add_flags, merge_plain
from emotion_stream.shared.settings.loading import build, gather_with_origins, specs
from emotion_stream.shared.settings.options import CommandOptions
from emotion_stream.shared.terminal import discard_output, settle

log = logging.getLogger(__name__)

EXIT_UNEXPECTED = 70
"""An unexpected error: EX_SOFTWARE of sysexits.h."""
EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells count: 128 and the number of SIGINT."""

SECRETS = ("web_token", "webhook_secret")
"""Settings that only their owner should read."""
_HOOK = re.compile(r"(webhook=https?://[^/\s]+/)\S+")
_HIDE = rf"\1{HIDDEN}"
"""The address of a webhook: whoever knows its path may often post there."""

Values = Mapping[str, Any]
"""Settings by name, merged from flags, environment and file; `shared.settings.build` makes dataclasses of them.
Beside them the cameras of the settings file (`cameras.TABLES`) and where each setting comes from (`ORIGINS`)."""
ORIGINS = "origins"


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `settings` lists the settings classes that become its flags, beside those of every command.
    `first` names the settings that its help begins with, `without` those that get no flag because the command has
    no use for them. The setting `plain` may be given without its flag. A stage logs its settings at its start."""

    name: str
    summary: str
    settings: tuple[type, ...]
    run: Callable[[Values], None]
    first: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    plain: str = ""
    is_stage: bool = False

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the command; returns its exit code: 0 done, 1 failed, 2 wrong usage."""
        prog = f"emotion {self.name}"
        if argv is None:
            settle()
        arguments = sys.argv[1:] if argv is None else argv
        try:
            parser = Parser(prog, self.summary)
            add_flags(parser, (*self.settings, CommandOptions), self.first, self.without, self.plain)
            given = merge_plain(vars(parser.parse_args(arguments)))
            traced = gather_with_origins(given, (*ALL, *self.settings))
            values = {name: value for name, (value, _) in traced.items()}
            values |= {
                TABLES: find_cameras(values),
                ORIGINS: {name: origin for name, (_, origin) in traced.items()},
            }
            common = build(CommandOptions, values)
            setup_logging(common.log_level, common.log_format, self.name)
            if any(_is_secret(argument) for argument in arguments):
                log.warning(
                    "a password on the command line can be read by every user of this machine while it runs:"
                    " put it into an EMOTION_* variable or a settings file"
                )
            self._tell(values)
            self.run(values)
        except EmotionError as e:
            print(f"{prog}: {clean(str(e))}", file=sys.stderr)
            return e.exit_code
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
        except RedisError as e:
            print(f"{prog}: Redis: {clean(str(e))}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            # Whoever read our output has had enough; keep the interpreter from failing on its last flush.
            discard_output()
            return 0
        except Exception as e:
            if _was_interrupted(e):
                return EXIT_INTERRUPTED
            # Not one of the codes above: the runner starts a process again that ends like this.
            logging.getLogger(prog).critical("unexpected error: please report it", exc_info=True)
            return EXIT_UNEXPECTED
        finally:
            logging.shutdown()
        return 0

    def _tell(self, values: Values) -> None:
        """Log once which settings differ from the defaults, if this stage runs on its own; the runner knows those
        of others."""
        if not self.is_stage or values.get("parent"):
            return
        own = specs(self.settings)
        told = [
            f"{name}={shown(name, value)}"
            for name, value in values.items()
            if name in own and value != own[name].default
        ]
        log.info("settings: %s", " ".join(told) or "the defaults")


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: a library that it stops while it loads tells "initialization failed"."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def shown(name: str, value: object) -> str:
    """The value of a setting for people: URLs without their passwords, of webhooks no more than the host, secrets
    not at all. Pure."""
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return HIDDEN if name in SECRETS else _HOOK.sub(_HIDE, redact_url(text))


def _is_secret(argument: str) -> bool:
    """Whether an argument of a command line is, or holds, what only its owner should read."""
    flag = argument.partition("=")[0].removeprefix("--").replace("-", "_")
    return redact_url(argument) != argument or (argument.startswith("--") and flag in SECRETS)
