"""Whether the hosts of a run's addresses have names that are known, asked before anything starts."""

import logging
import socket
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from emotion_stream.producer.sources.spec import SourceSpec, printable
from emotion_stream.shared.errors import EmotionError

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds that all look-ups together may take; a run does not wait longer for a slow name server."""
UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
"""What a look-up says of names that nobody has; everything else may be different in a minute."""


def check_hosts(specs: Sequence[SourceSpec]) -> None:
    """Tell of hosts that nobody knows: a misspelt name is told at once, and not as a camera that is away.

    A run goes on while there is a source whose host may be there: a camera that is away takes no other down.

    Raises:
        EmotionError: no source is left.
    """
    unknown = [
        f"source {printable(spec.target)}: unknown host {host}"
        for spec, host in _failed([spec for spec in specs if spec.kind == "url"])
    ]
    if unknown and len(unknown) == len(specs):
        raise EmotionError("; ".join(unknown))
    for told in unknown:
        log.warning("%s; trying it again while the others run", told)


def _failed(specs: Sequence[SourceSpec]) -> list[tuple[SourceSpec, str]]:
    """The sources whose host has no address, and the host."""
    found: dict[int, str] = {}

    def look(n: int) -> None:
        host = urlsplit(specs[n].target).hostname or ""
        try:
            socket.getaddrinfo(host, None)
        except socket.gaierror as e:
            if e.errno in UNKNOWN:
                found[n] = host
        except (OSError, UnicodeError):  # a name that cannot be one, too, is left to who opens it
            return

    threads = [threading.Thread(target=look, args=(n,), daemon=True) for n in range(len(specs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE / len(specs))
    return [(specs[n], host) for n, host in sorted(found.items())]
