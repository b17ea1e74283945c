"""One command of the command line: its settings, its function, and its errors as one clear line."""

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from shared.errors import EmotionError
from shared.flags import Parser, add_flags
from shared.log import redact_url, setup_logging
from shared.options import ALL, CommandOptions
from shared.settings import build, gather

log = logging.getLogger(__name__)

EXIT_UNEXPECTED = 70
"""EX_SOFTWARE of sysexits.h."""

Values = Mapping[str, Any]
"""Settings by name, merged from flags, environment and file; `shared.settings.build` makes dataclasses of them."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: `settings` lists the settings classes that become its flags, beside those of every command.
    `first` names those that its help begins with, `without` those that get no flag: it has no use for them."""

    name: str
    summary: str
    settings: tuple[type, ...]
    run: Callable[[Values], None]
    first: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the command; returns its exit code: 0 done, 1 failed, 2 wrong usage."""
        prog = f"emotion {self.name}"
        arguments = sys.argv[1:] if argv is None else argv
        try:
            parser = Parser(prog, self.summary)
            add_flags(parser, (*self.settings, CommandOptions), self.first, self.without)
            values = gather(vars(parser.parse_args(arguments)), (*ALL, *self.settings))
            common = build(CommandOptions, values)
            setup_logging(common.log_level, common.log_format, self.name)
            if any(_is_secret(argument) for argument in arguments):
                log.warning(
                    "a password on the command line can be read by every user of this machine while it runs:"
                    " put it into an EMOTION_* variable or a settings file"
                )
            self.run(values)
        except EmotionError as e:
            print(f"{prog}: {redact_url(str(e))}", file=sys.stderr)
            return e.exit_code
        except KeyboardInterrupt:
            return 130
        except RedisError as e:
            print(f"{prog}: Redis: {redact_url(str(e))}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            # Whoever read our output has had enough; keep the interpreter from failing on its last flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except Exception:
            # Not one of the codes above: the runner starts a process again that ends like this.
            logging.getLogger(prog).critical("unexpected error: please report it", exc_info=True)
            return EXIT_UNEXPECTED
        finally:
            logging.shutdown()
        return 0


def _is_secret(argument: str) -> bool:
    """Whether an argument of a command line is, or holds, what only its owner should read."""
    return redact_url(argument) != argument or argument.partition("=")[0] == "--web-token"
