"""Results as tables: for the terminal, for Markdown files, and as plain data for JSON. Pure functions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emotion_stream.shared.errors import EmotionError


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the cells of its first column are names, the others figures. `notes` are sentences below it."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """What one benchmark found: tables for people and the same as data, with every round, for JSON."""

    name: str
    tables: Sequence[Table]
    data: Mapping[str, Any] = field(default_factory=dict)


def text(section: Section) -> str:
    """The section for a terminal."""
    blocks = []
    for table in section.tables:
        widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if n == 0 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in (table.header, *table.rows)
        ]
        blocks.append("\n".join([f"{table.title}:", *(f"  {line.rstrip()}" for line in lines), *table.notes]))
    return "\n\n".join(blocks)


def markdown(section: Section) -> str:
    """The section for a Markdown file."""
    blocks = []
    for table in section.tables:
        rows = [table.header, ["---", *["---:"] * (len(table.header) - 1)], *table.rows]
        lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        blocks.append(
            "\n\n".join([f"**{table.title}**", lines, *(["\n".join(table.notes)] if table.notes else [])])
        )
    return "\n\n".join(blocks)


def fill(document: str, name: str, content: str) -> str:
    """`document` with `content` between its markers `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`.

    Raises:
        EmotionError: the document has no such markers.
    """
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not found.search(document):
        raise EmotionError(f"the Markdown file has no lines {begin} and {end} to write between")
    return found.sub(lambda _: f"{begin}\n{content}\n{end}", document)
