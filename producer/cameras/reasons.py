"""What went wrong with a camera, in the words that people are told."""

import re
import socket
from urllib.parse import urlsplit

UNKNOWN_HOST = "unknown host"
"""Also where the name server does not answer."""
_HTTP = re.compile(r"Server returned (\d{3}) ([A-Za-z ]+?)(?: \(.*\))?$")
_SAID = {
    "immediate exit requested": "timed out",
    "operation timed out": "timed out",
    "connection timed out": "timed out",
    "timeouterror": "timed out",
    "end of file": "the stream ended",
    "invalid data found when processing input": "nothing in what it sends can be read as a video",
    "protocol not found": "it speaks another protocol",
    "name or service not known": UNKNOWN_HOST,
    "nodename nor servname provided, or not known": UNKNOWN_HOST,
    "temporary failure in name resolution": UNKNOWN_HOST,
    "no address associated with hostname": UNKNOWN_HOST,
    "server returned 4xx client error, but not one of 40{0,1,3,4}": "4xx client error",
    "server returned 5xx server error reply": "5xx server error",
}


def plain(text: str) -> str:
    """What a library or the system says, in plain words: "401 Unauthorized", "timed out", "connection refused".
    Pure."""
    text = text.strip().rstrip(".")
    told = _HTTP.match(text)
    if told:
        return f"{told[1]} {told[2]}"
    if text.lower() in _SAID:
        return _SAID[text.lower()]
    # A sentence of the system; names such as RTSP stay as they are.
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def why_not_open(url: str, text: str) -> str:
    """As `plain`, for a URL that could not be opened: FFmpeg calls a name that nobody knows an error of input and
    output, so the name is looked up once more."""
    if text.lower() in ("input/output error", "unknown error occurred", "invalid argument"):
        try:
            host = urlsplit(url).hostname
            if host:
                socket.getaddrinfo(host, None)
        except socket.gaierror:
            return UNKNOWN_HOST
        except ValueError:
            pass
    return plain(text)
