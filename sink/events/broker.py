"""Where an MQTT broker is, who we are to it, and the topics that we write. Reads files, opens no connection."""

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from emotion_stream.shared.errors import EmotionError, UsageError
from emotion_stream.shared.settings.result_options import EventOptions

SCHEMES = ("mqtt://", "mqtts://")
PREFIX = "emotion"
LONGEST = 200
"""Characters of a prefix."""
_UNFIT = re.compile(r"[+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]|^\$")
"""What a topic must not hold: wildcards, what MQTT forbids, and `$` at the begin, which is the broker's own."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker; `prefix` begins all topics, fit for one. `shown` is what may be told of the address."""

    host: str
    port: int
    tls: bool
    prefix: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The address for messages, without password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_broker(url: str) -> Broker:
    """Read `mqtt://user:password@host:1883/prefix`, or `mqtts://`; letters beyond ASCII, and those that mean
    something in URLs, may be written as `%2B`.

    Raises:
        UsageError: it is none.
    """
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    who, _, where = authority.rpartition("@")
    user, _, password = who.partition(":")
    try:
        parts = urlsplit(f"//{where}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.path or parts.query or parts.fragment:
        raise UsageError(
            "output mqtt://...: name an address such as mqtt://user:password@host:1883/prefix"
            " (a / in a password is %2F, an @ is %40)"
        )
    tls = scheme == "mqtts"
    prefix = fit(unquote(path).strip("/")) or PREFIX
    if len(prefix) > LONGEST:
        raise UsageError(f"output {scheme}://{host}: its prefix is longer than {LONGEST} characters")
    return Broker(host, port or (8883 if tls else 1883), tls, prefix, unquote(user), unquote(password))


def fit(text: str) -> str:
    """`text` as a part of a topic: what none may hold becomes `_`; a `/` makes levels, as in any topic. Pure."""
    return _UNFIT.sub("_", text)


def read_secret(path: str, flag: str) -> str:
    """The text in a file, without the line's end.

    Raises:
        EmotionError: it cannot be read, or is empty.
    """
    try:
        text = Path(path).read_text().strip("\r\n")
    except OSError as e:
        raise EmotionError(f"{flag} {path} cannot be read ({e.strerror})") from e
    except UnicodeDecodeError:
        raise EmotionError(f"{flag} {path} is no text") from None
    if not text:
        raise EmotionError(f"{flag} {path} is empty")
    return text


def trust(options: EventOptions) -> ssl.SSLContext:
    """What is needed to speak TLS with a broker.

    Raises:
        EmotionError: a file is not there, or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=options.mqtt_ca)
    except (OSError, ssl.SSLError) as e:
        raise EmotionError(f"--mqtt-ca {options.mqtt_ca} cannot be used ({e.strerror or e})") from e
    if options.mqtt_cert:
        try:
            context.load_cert_chain(options.mqtt_cert, options.mqtt_key, password="")
        except (OSError, ssl.SSLError) as e:
            key = f" --mqtt-key {options.mqtt_key}" if options.mqtt_key else ""
            told = f"--mqtt-cert {options.mqtt_cert}{key}"
            raise EmotionError(f"{told} cannot be used ({e.strerror or e})") from e
    elif options.mqtt_key:
        raise UsageError("--mqtt-key is of use only with --mqtt-cert")
    return context
