"""check_env.py [FOLDER]: refuses names in FOLDER/.env that nothing reads, before anything starts.

Compose drops what no file of it names, so a misspelt setting would be lost in silence. The names are those that
the Compose files themselves use; variables of the shell cannot be seen from here. Only the standard library.
"""

import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

FILES = ("*compose*.yml", "*compose*.yaml", "deploy/compose.*.yml")
READ_BY_OTHERS = re.compile(r"(COMPOSE|DOCKER|BUILDKIT|BUILDX)_\w+|(?:https?|no|all|ftp)_proxy", re.IGNORECASE)
"""What Compose and the engine read themselves."""

_ASKED = re.compile(r"\$\{([A-Za-z_]\w*)|^\s+(?:- )?([A-Z][A-Z0-9_]*):?[ \t]*$", re.MULTILINE)
"""`${NAME...}`, and a name that an `environment` passes on."""
_FIXED = re.compile(r"^\s+(?:- )?(EMOTION_\w+)[:=][ \t]*\S", re.MULTILINE)
"""A setting that a Compose file gives a value itself."""
_LINE = re.compile(r"\s*(?:export\s+)?([^#=\s][^=\s]*)\s*=")


def given(text: str) -> list[str]:
    """The names that a `.env` sets. Pure."""
    return [match[1] for line in text.splitlines() if (match := _LINE.match(line))]


def asked(texts: Iterable[str]) -> tuple[set[str], set[str]]:
    """The names that Compose files ask for, and those that they settle themselves. Pure."""
    joined = "\n".join(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE) for text in texts)
    known = {name for match in _ASKED.findall(joined) for name in match if name}
    return known, set(_FIXED.findall(joined)) - known


def problems(names: Sequence[str], known: set[str], fixed: set[str]) -> list[str]:
    """A line for each name that nothing reads. Pure."""
    lines = []
    for name in names:
        if name in known or READ_BY_OTHERS.fullmatch(name):
            continue
        if name in fixed:
            lines.append(f".env: {name} is settled by docker-compose.yml: change it there")
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1)
        guess = f"; did you mean {near[0]}?" if near else "; .env.example lists them"
        lines.append(f".env: no setting is named {name}{guess}")
    return lines


def main(folder: Path) -> int:
    """Exit code 2 where a name is unknown."""
    file = folder / ".env"
    if not file.is_file():
        return 0
    texts = [path.read_text() for pattern in FILES for path in sorted(folder.glob(pattern))]
    lines = problems(given(file.read_text()), *asked(texts))
    print("".join(f"{line}\n" for line in lines), end="", file=sys.stderr)
    return 2 if lines else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path()))
