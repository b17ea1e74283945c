"""Dead letters: messages that could not be processed."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from emotion_stream.shared.messages.types import Fields
from emotion_stream.shared.streams import scripts
from emotion_stream.shared.streams.access import Access, Entry
from emotion_stream.shared.streams.keys import Keys

if TYPE_CHECKING:
    import redis


REPLAYED = "replay-"
"""How the epochs of replayed messages begin."""


class Letters(Access):
    """The operator's part of `Streams`."""

    def __init__(self, client: "redis.Redis", keys: Keys) -> None:
        super().__init__(client, keys)
        self._replay = client.register_script(scripts.REPLAY)

    def dead_letters(self) -> Iterator[Entry]:
        """All dead letters, the oldest first; a few at a time, because they may hold pictures."""
        after = "-"
        while page := cast(
            list[tuple[bytes, dict[bytes, bytes]]], self.client.xrange(self.keys.dead, after, "+", count=16)
        ):
            yield from (Entry(i.decode(), fields) for i, fields in page)
            after = f"({page[-1][0].decode()}"

    def dead_letter(self, letter: str) -> Entry | None:
        """One dead letter; None if it is not there."""
        found = cast(
            list[tuple[bytes, dict[bytes, bytes]]], self.client.xrange(self.keys.dead, letter, letter, count=1)
        )
        return Entry(found[0][0].decode(), found[0][1]) if found else None

    def drop_letters(self, letters: Sequence[str]) -> int:
        """Delete dead letters; returns how many there were."""
        return int(self.client.xdel(self.keys.dead, *letters)) if letters else 0

    def replay(self, letter: str, stream: str, fields: Fields) -> str | None:
        """Delete a dead letter and append `fields` to `stream`, in one step.

        Returns:
            The new entry's id; None if the letter was not there any more.
        """
        made = self._replay([self.keys.dead, stream], [letter, *(part for f in fields.items() for part in f)])
        return made.decode() if made else None
