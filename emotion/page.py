"""What the runner settles about the web page before anything starts: its port and its token, so that it can tell
people the URL, which the sink's process has no terminal to print on."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from shared.errors import EmotionError
from shared.options import WebOptions
from sink.outputs import web_address
from sink.web.address import Address, free, settle, untold, urls


@dataclass(frozen=True, slots=True)
class Page:
    """The values of `--output`, with the page's address in full; who may look; what people open, if anything."""

    outputs: tuple[str, ...]
    options: WebOptions
    urls: tuple[str, ...] = ()


def settle_page(outputs: Sequence[str], options: WebOptions, *, at_terminal: bool) -> Page:
    """The page of a run. A person at a terminal who asks for no output gets one, on a free port of this machine.

    Raises:
        UsageError: an output or the token is wrong.
        EmotionError: the address is taken.
    """
    address = web_address(outputs)
    if address is None and (outputs or not at_terminal):
        return Page(tuple(outputs), options)
    if address is None:
        address = Address(port=0)
        with suppress(EmotionError):
            address = free(Address())
    address = free(address)
    settled = settle(options, address)
    others = (spec for spec in outputs if spec.partition("=")[0] != "web")
    return Page((*others, f"web={address}"), settled, tuple(urls(address, untold(options, settled))))
