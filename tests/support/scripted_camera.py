"""Network cameras that do what they are told: MJPEG over HTTP; JPEG over RTP (RFC 2435) with RTSP (RFC 2326)."""

import base64
import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Literal, Protocol

import cv2
import numpy as np

Mood = Literal["play", "freeze", "stall", "hang up", "garbage", "larger", "refuse"]
USER, PASSWORD = "watcher", "geh:eim@1"
RATE = 25
BOUNDARY = b"frame"
RTP_BYTES = 1200
CLOCK = 90_000
"""Ticks of RTP's clock for video, per second."""
SIZES = {"play": (160, 96), "larger": (320, 192)}


def picture(number: int, size: tuple[int, int]) -> bytes:
    """A JPEG whose content changes from number to number."""
    width, height = size
    image = np.full((height, width, 3), 60, np.uint8)
    cv2.putText(image, str(number), (4, height // 2), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2)
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
    assert done
    return data.tobytes()


class Talker(Protocol):
    """One protocol: greets a client, then turns pictures into bytes for it."""

    scheme: str

    def greet(self, client: socket.socket) -> bool: ...
    def wrap(self, jpeg: bytes, number: int) -> bytes: ...


class Camera:
    """Serves one protocol on a port of this machine. `mood` may be changed at any time; `visits` counts clients
    that have come so far, `strangers` those who did not know the password."""

    def __init__(self, talker: Talker, port: int = 0) -> None:
        self.mood: Mood = "play"
        self.visits = 0
        self._talker = talker
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._talker.scheme}://{USER}:geh%3Aeim%401@127.0.0.1:{self.port}/live"

    def close(self) -> None:
        self._over.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client:
            client.settimeout(20)
            if self.mood == "refuse" or not self._talker.greet(client):
                return
            self.visits += 1
            for jpeg, number in self._pictures():
                client.sendall(self._talker.wrap(jpeg, number))

    def _pictures(self) -> Iterator[tuple[bytes, int]]:
        due = time.monotonic()
        while not self._over.is_set() and self.mood not in ("hang up", "refuse"):
            number = next(self._numbers)
            mood = self.mood
            if mood == "garbage":
                noise = np.random.default_rng(number).integers(0, 256, 3000, np.uint8).tobytes()
                jpeg = picture(number, SIZES["play"])
                yield jpeg[: len(jpeg) // 2] + noise, number
            elif mood != "stall":
                shown = 0 if mood == "freeze" else number
                yield picture(shown, SIZES.get(mood, SIZES["play"])), number
            due = max(due + 1 / RATE, time.monotonic() - 1)
            self._over.wait(max(0.0, due - time.monotonic()))


def read_head(client: socket.socket) -> str:
    """A request up to its empty line.

    Raises:
        ValueError: the client hung up.
    """
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            raise ValueError("hung up")
        data += byte
    return data.decode()


def knows_password(head: str) -> bool:
    expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return f"Basic {expected}" in head


class HttpTalker:
    """MJPEG: one JPEG after the other, as parts of an answer that never ends."""

    scheme = "http"

    def greet(self, client: socket.socket) -> bool:
        head = read_head(client)
        if not knows_password(head):
            client.sendall(
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="camera"\r\nContent-Length: 0\r\n'
                b"Connection: close\r\n\r\n"
            )
            return False
        client.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
            b"Content-Type: multipart/x-mixed-replace; boundary=" + BOUNDARY + b"\r\n\r\n"
        )
        return True

    def wrap(self, jpeg: bytes, number: int) -> bytes:
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        return b"--" + BOUNDARY + b"\r\n" + head + jpeg + b"\r\n"


class RtspTalker:
    """RTSP with RTP/JPEG, interleaved in the one TCP connection."""

    scheme = "rtsp"

    def __init__(self) -> None:
        self.asked: list[str] = []
        """How clients asked to be sent the picture."""

    def greet(self, client: socket.socket) -> bool:
        while True:
            head = read_head(client)
            verb, _, rest = head.partition(" ")
            url = rest.split(" ")[0]
            number = next(line[5:].strip() for line in head.splitlines() if line.startswith("CSeq:"))
            body, extra, status = "", "", "200 OK"
            if verb == "OPTIONS":
                extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif not knows_password(head):
                status, extra = "401 Unauthorized", 'WWW-Authenticate: Basic realm="camera"\r\n'
            elif verb == "DESCRIBE":
                body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n" + self.medium()
                body += f"c=IN IP4 0.0.0.0\r\na=control:{url}/track\r\na=framerate:{RATE}\r\n"
                extra = "Content-Type: application/sdp\r\n"
            elif verb == "SETUP":
                self.asked += [line for line in head.splitlines() if line.startswith("Transport:")]
                channels = "2-3" if url.endswith("audio") else "0-1"
                extra = f"Transport: RTP/AVP/TCP;unicast;interleaved={channels}\r\n"
            if verb not in ("OPTIONS", "DESCRIBE"):
                extra += "Session: 12345678\r\n"
            answer = f"RTSP/1.0 {status}\r\nCSeq: {number}\r\n{extra}Content-Length: {len(body)}\r\n\r\n{body}"
            client.sendall(answer.encode())
            if verb == "TEARDOWN":
                return False
            if verb == "PLAY" and status == "200 OK":
                return True

    def medium(self) -> str:
        """The lines of the description that name the format."""
        return "m=video 0 RTP/AVP 26\r\n"

    def wrap(self, jpeg: bytes, number: int) -> bytes:
        tables, scan, (width, height) = take_apart(jpeg)
        packets: list[bytes] = []
        at = 0
        while at < len(scan):
            # Type 1: 4:2:0; Q 255: the tables come along, in the first packet.
            payload = struct.pack(">I", at) + bytes((1, 255, width // 8, height // 8))
            if at == 0:
                payload += struct.pack(">BBH", 0, 0, len(tables)) + tables
            part = scan[at : at + RTP_BYTES]
            at += len(part)
            last = 0x80 if at >= len(scan) else 0
            stamp = number * CLOCK // RATE & 0xFFFFFFFF
            sequence = (number * 64 + len(packets)) & 0xFFFF
            packet = struct.pack(">BBHII", 0x80, last | 26, sequence, stamp, 0x1234) + payload + part
            packets.append(b"$\0" + struct.pack(">H", len(packet)) + packet)
        return b"".join(packets)


class H264Talker(RtspTalker):
    """RTSP with H.264 (RFC 6184), from the middle of what it has: a camera that runs when somebody comes."""

    def __init__(self, stream: bytes, first: int) -> None:
        """
        Args:
            stream: Annex B, with a delimiter before each picture.
            first: the picture to begin with.
        """
        super().__init__()
        units = [unit for piece in stream.split(b"\0\0\1") if (unit := piece.rstrip(b"\0"))]
        self._sets = [next(unit for unit in units if unit[0] & 31 == kind) for kind in (7, 8)]
        self._pictures: list[list[bytes]] = []
        for unit in units:
            if unit[0] & 31 == 9:
                self._pictures.append([])
            elif unit[0] & 31 in (1, 5):
                self._pictures[-1].append(unit)
        self._first = first
        self._sequence = itertools.count()

    def medium(self) -> str:
        sets = ",".join(base64.b64encode(unit).decode() for unit in self._sets)
        return (
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\n"
        )

    def wrap(self, jpeg: bytes, number: int) -> bytes:
        picture = self._pictures[(self._first + number) % len(self._pictures)]
        payloads: list[bytes] = []
        for unit in picture:
            pieces = [unit[at : at + RTP_BYTES] for at in range(1, len(unit), RTP_BYTES)]
            for n, piece in enumerate(pieces):  # in fragments, all of them
                edges = 0x80 * (n == 0) | 0x40 * (n == len(pieces) - 1)
                payloads.append(bytes((unit[0] & 0x60 | 28, edges | unit[0] & 31)) + piece)
        stamp = number * CLOCK // RATE & 0xFFFFFFFF
        packets = []
        for n, payload in enumerate(payloads):
            last = 0x80 if n == len(payloads) - 1 else 0
            head = struct.pack(">BBHII", 0x80, last | 96, next(self._sequence) & 0xFFFF, stamp, 0x1234)
            packets.append(b"$\0" + struct.pack(">H", len(head + payload)) + head + payload)
        return b"".join(packets)


def take_apart(jpeg: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """Quantization tables, entropy-coded data, and size of a baseline JPEG, or of the beginning of one."""
    tables, size, at = b"", (0, 0), 2
    while True:
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4])
        body = jpeg[at + 4 : at + 2 + length]
        if marker == 0xDB:
            for start in range(0, len(body), 65):
                tables += body[start + 1 : start + 65]
        elif marker == 0xC0:
            size = (int.from_bytes(body[3:5]), int.from_bytes(body[1:3]))
        elif marker == 0xDA:
            return tables, jpeg[at + 2 + length :].removesuffix(b"\xff\xd9"), size
        at += 2 + length
