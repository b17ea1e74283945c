"""What the runner settles about the web page before anything starts: its port and its token, so that it can tell
people the URL, which the sink's process has no terminal to print on."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.sink.catalogue import web_address
from emotion_stream.sink.claims import split
from emotion_stream.sink.web.http.address import Address, free, settle, untold, urls


@dataclass(frozen=True, slots=True)
class Page:
    """The values of `--output`, with the page's address in full; who may look; what people open, if anything; and
    whether the page is all there is of the results (`alone`)."""

    outputs: tuple[str, ...]
    options: WebOptions
    urls: tuple[str, ...] = ()
    alone: bool = False


def settle_page(outputs: Sequence[str], options: WebOptions, *, at_terminal: bool) -> Page:
    """The page of a run. A person at a terminal who asks for no output gets one, on a free port of this machine.

    Raises:
        UsageError: an output or the token is wrong.
        EmotionError: the address is taken.
    """
    address = web_address(outputs)
    if address is None and (outputs or not at_terminal):
        return Page(tuple(outputs), options)
    alone = address is None
    if address is None:
        address = Address(port=0)
        with suppress(EmotionError):
            address = free(Address())
    address = free(address)
    settled = settle(options, address)
    others = (spec for spec in outputs if split(spec)[0] != "web")
    return Page((*others, f"web={address}"), settled, tuple(urls(address, untold(options, settled))), alone)
