"""Where the page is served, under which names it may be asked for, and the token that opens it."""

import ipaddress
import re
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.result_options import WebOptions

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080
SHORTEST_TOKEN = 16
_HOST = r"\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+"
_ADDRESS = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]+")
"""What needs no escaping in a URL, a cookie or a header."""
_ROOT_PATH = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*/?")
UNSENT_BYTES = 64 * 1024
"""Bytes that wait in the system for a slow viewer at the most: more would only make what it sees older."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a port; port 0 lets the system choose."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        ip = as_ip(self.host)
        return ip is not None and ip.is_loopback

    @property
    def is_any(self) -> bool:
        """Whether it stands for all addresses of this machine."""
        ip = as_ip(self.host)
        return ip is not None and ip.is_unspecified


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask.

    Attributes:
        token: what every request has to show; empty: nothing.
        names: host names that a request may address, lower case.
        any_ip: whether every IP address will do as well. A foreign page can make its own name point to this
            machine (DNS rebinding), but no IP address.
    """

    token: str
    names: frozenset[str]
    any_ip: bool


def as_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is, if it is one."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def parse_address(text: str) -> Address:
    """The address in `web=HOST:PORT`; host or port alone will do, and nothing at all means 127.0.0.1:8080.

    Raises:
        UsageError: it is no address.
    """
    if not text:
        return Address()
    if text.isdecimal():
        text = f"{DEFAULT_HOST}:{text}"
    match = _ADDRESS.fullmatch(text)
    port = int(match[2]) if match and match[2] else DEFAULT_PORT
    if match is None or port > 65535:
        raise UsageError(f"output 'web={text}': give HOST:PORT, as in web={DEFAULT_HOST}:{DEFAULT_PORT}")
    return Address(match[1].strip("[]"), port)


def settle(options: WebOptions, address: Address) -> WebOptions:
    """The options with a token where this address needs one and none is set.

    Raises:
        UsageError: the token is too short, or it or the root path holds what does not belong there.
    """
    if options.web_root_path and not _ROOT_PATH.fullmatch(options.web_root_path):
        raise UsageError(f"--web-root-path {options.web_root_path!r}: give a path such as /emotion")
    token = options.web_token
    if token and (len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token)):
        raise UsageError(
            f"--web-token: at least {SHORTEST_TOKEN} letters, digits, '-', '_', '.' or '~';"
            " without one, a good one is made"
        )
    if options.editable and options.web_open_to_anyone:
        raise UsageError("--editable needs a token: leave --web-open-to-anyone away")
    if options.editable and not options.areas_file:
        raise UsageError("--editable saves areas in the settings file: name one with --config or --cameras-file")
    if token or options.web_open_to_anyone or (address.is_loopback and not options.editable):
        return options
    return replace(options, web_token=secrets.token_urlsafe(24))


def untold(given: WebOptions, settled: WebOptions) -> str:
    """The token that people have to be told, because it was made here. One that somebody has set they know; it
    stays out of terminals and logs."""
    return "" if given.web_token else settled.web_token


def access(options: WebOptions, address: Address) -> Access:
    """Who may ask for a page that is served on `address`."""
    names = {"localhost", "127.0.0.1", "::1", address.host.lower(), *(name.lower() for name in options.web_host)}
    if not address.is_loopback:
        own = socket.gethostname().lower()
        names |= {own, own.partition(".")[0], f"{own.partition('.')[0]}.local"}
    return Access(options.web_token, frozenset(names), any_ip=address.is_any)


def bind(address: Address) -> socket.socket:
    """A socket that listens on `address`.

    Raises:
        EmotionError: it cannot be had.
    """
    sock = None
    try:
        family, kind, proto, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # connections inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        sock.bind(place)
        sock.listen(128)
    except (OSError, UnicodeError) as e:
        if sock is not None:
            sock.close()
        why = getattr(e, "strerror", None) or e
        other = replace(address, port=address.port % 65535 + 1)
        raise EmotionError(
            f"the web page cannot be served on {address} ({why}):"
            f" choose another address, as in --output web={other}"
        ) from e
    return sock


def free(address: Address) -> Address:
    """The address with its port, where the system was to choose one.

    Raises:
        EmotionError: it is taken.
    """
    with bind(address) as sock:
        return replace(address, port=int(sock.getsockname()[1]))


def urls(address: Address, token: str = "", published: str = "") -> Sequence[str]:
    """What people open: the `published` address where there is one; else the page on this machine and, where it is
    served to others, from theirs."""
    query = f"?token={token}" if token else ""
    if published:
        return [published.rstrip("/") + "/" + query]
    hosts = ["localhost", _outward()] if address.is_any else [address.host]
    return [f"http://{Address(host, address.port)}/{query}" for host in dict.fromkeys(filter(None, hosts))]


def _outward() -> str:
    """The address that others reach this machine under, or an empty text. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def tell(addresses: Sequence[str]) -> None:
    """Print where the page is, if anywhere, to people."""
    if not addresses:
        return
    first, *others = addresses
    more = f" (from other machines: {', '.join(others)})" if others else ""
    print(f"web page: {first}{more}", file=sys.stderr, flush=True)
