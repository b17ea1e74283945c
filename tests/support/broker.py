"""Mosquitto, and what `mosquitto_sub` hears of it. Tests that use it are skipped where it is not installed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.events.broker import parse_broker
from emotion_stream.sink.events.mqtt import Mqtt, Pace
from tests.support.servers import free_port

needs_mosquitto = pytest.mark.skipif(
    not (
        shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") and shutil.which("mosquitto_sub")
    ),
    reason="mosquitto is not installed: apt-get install mosquitto mosquitto-clients",
)
LASTING = ("allow_anonymous true", "persistence true", "autosave_on_changes true", "autosave_interval 1")
"""Lines for a broker that remembers who listens, though it is killed."""
USER, PASSWORD = "emotion", "pässwort/@:#"
"""Who may use a broker that asks for it."""


@dataclass
class Heard:
    """One message: `retained` is whether it lay there before whoever hears it came."""

    topic: str
    payload: str
    retained: bool

    def json(self) -> Any:
        return json.loads(self.payload)


@dataclass
class Ear:
    """`mosquitto_sub`, and all that it has heard."""

    process: "subprocess.Popen[str]"
    heard: list[Heard] = field(default_factory=list)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            self.heard.append(Heard(told["topic"], told["payload"], bool(told["retain"])))

    def on(self, topic: str) -> list[Heard]:
        """The messages of a topic."""
        return [message for message in self.heard if message.topic == topic]

    def events(self, without: Collection[str] = ()) -> list[str]:
        """The ids of all events, as often as they were heard, `without` these: a broker that is killed may not
        have noted that somebody has heard something, and says it again."""
        ids = [message.json()["id"] for message in self.heard if message.topic.endswith("/event")]
        return [name for name in ids if name not in without]


@dataclass
class Mosquitto:
    """A broker; `start` starts it, also again after it was killed."""

    folder: Path
    port: int
    lines: Sequence[str]
    flags: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        own = [f"listener {self.port} 127.0.0.1"]
        if not any(line.startswith("persistence_location") for line in self.lines):
            own.append(f"persistence_location {self.folder}/")
        config.write_text("\n".join([*own, *self.lines, ""]))
        command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @contextmanager
    def ear(self, *topics: str, lasting: str = "") -> Iterator[Ear]:
        """Somebody who listens to these topics, all by default; has heard what is retained when it comes back. A
        `lasting` one has this name, and hears later what came while it was away: a broker needs LASTING for it."""
        wanted = [part for topic in topics or ("#",) for part in ("-t", topic)]
        wanted += ["-c", "-i", lasting] if lasting else []
        command = [
            "mosquitto_sub",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-F",
            "%j",
            "-q",
            "1",
            *self.flags,
            *wanted,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        ear = Ear(process)
        thread = threading.Thread(target=ear.listen)
        thread.start()
        time.sleep(0.3)
        try:
            yield ear
        finally:
            process.kill()
            thread.join()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def broker(folder: Path, *lines: str, flags: Sequence[str] = (), started: bool = True) -> Iterator[Mosquitto]:
    """A broker on this machine, which forgets everything when it ends. `flags` are those of `mosquitto_sub`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Mosquitto(folder, free_port(), lines or ("allow_anonymous true",), flags)
    if os.geteuid() == 0:
        found.lines = [*found.lines, "user root"]
    try:
        if started:
            found.start()
        yield found
    finally:
        found.kill()


def password_file(folder: Path) -> Path:
    """The file of a broker that knows USER."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(path), USER, PASSWORD], check=True)
    return path


def certificates(folder: Path) -> dict[str, Path]:
    """A CA (`ca`, and `other`, which nobody trusts), and what it has signed: `server` for 127.0.0.1, and `client`.
    Keys are `server.key` and `client.key`."""
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Path] = {}
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("ca", "other", "server", "client"):
        made[name], made[f"{name}.key"] = folder / f"{name}.pem", folder / f"{name}.key"
        command = [
            *new,
            "-x509",
            "-subj",
            f"/CN={name}",
            "-keyout",
            str(made[f"{name}.key"]),
            "-out",
            str(made[name]),
        ]
        if name in ("server", "client"):
            command += ["-CA", str(made["ca"]), "-CAkey", str(made["ca.key"])]
            command += ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
            command += ["-addext", "authorityKeyIdentifier=keyid"]
        subprocess.run(command, check=True, capture_output=True)
    return made


FAST = Pace(state=0.1, alive=1, connect=1.0, first_pause=0.1, longest_pause=0.2)
QUIET = EventOptions(mqtt_discovery="")


@contextmanager
def telling(
    where: Mosquitto,
    options: EventOptions = QUIET,
    *,
    url: str = "",
    pace: Pace = FAST,
    cameras: dict[str, str] | None = None,
    **changes: Any,
) -> Iterator[Mqtt]:
    """An output that tells this broker; closed at the end. `cameras` are those that it knows, with their names."""
    names = tuple(f"{camera}={name}" for camera, name in (cameras or {}).items())
    options, found = replace(options, camera_name=names), parse_broker(url or f"mqtt://127.0.0.1:{where.port}")
    mqtt = Mqtt(found, options, cameras or (), pace=pace, **changes)
    try:
        yield mqtt
    finally:
        mqtt.close()
        assert not mqtt._thread.is_alive()
