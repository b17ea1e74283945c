"""The output `mqtt://...`: events, states and, if asked for, every result, to an MQTT broker."""

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emotion_stream.shared.errors import EmotionError, to_install
from emotion_stream.shared.log import NOTICE
from emotion_stream.shared.settings.result_options import EventOptions
from emotion_stream.sink.events import discovery
from emotion_stream.sink.events.broker import Broker, fit, read_secret, trust
from emotion_stream.sink.events.event import Event, as_json
from emotion_stream.sink.events.names import camera_names
from emotion_stream.sink.events.outbox import Outbox
from emotion_stream.sink.events.post import why
from emotion_stream.sink.events.state import States
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.results.output import as_json as result_as_json

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

log = logging.getLogger(__name__)

MOST_EVENTS = 1000
MOST_FRAMES = 100
AT_ONCE = 20
"""Messages given to the broker that it has not taken yet, at the most."""
FRAMES_EVERY = 0.04
"""Seconds for which results are gathered: each turn of the threads costs more than a result."""
ONLINE, OFFLINE = b"online", b"offline"


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two states of a camera, of silence after which a broker is thought dead, that connecting
    may take, of the first and the longest pause after a failure, and that sending may take on the way out."""

    state: float = 1.0
    alive: int = 15
    connect: float = 5.0
    first_pause: float = 1.0
    longest_pause: float = 30.0
    leave: float = 2.0


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that the broker has not taken yet; `told` is whether anybody misses it."""

    qos: int
    told: bool
    info: "MQTTMessageInfo"


class Mqtt:
    """Tells a broker, from a thread of its own; what comes while the broker is away waits, or is left out.

    Raises:
        EmotionError: paho-mqtt is not installed, or a file with a secret or a certificate cannot be used.
    """

    needs_image = False

    def __init__(
        self,
        broker: Broker,
        options: EventOptions,
        cameras: Collection[str] = (),
        left_out: Callable[[int], None] = lambda count: None,
        pace: Pace = Pace(),
        most: int = MOST_EVENTS,
    ) -> None:
        """
        Args:
            broker: where it is.
            options: what is told, and with which secrets.
            cameras: all there are; others that an earlier run has announced below this prefix are withdrawn.
                Empty: not known, so none is withdrawn.
            left_out: called with the number of messages that will never be sent; by any thread.
            pace: how long everything takes.
            most: events that wait at the most.
        """
        self._broker = broker
        self._pace = pace
        self._left_out = left_out
        self._frames_wanted = options.mqtt_frames
        self._discovery = fit(options.mqtt_discovery.strip("/"))
        self._expected = frozenset(cameras)
        self._states = States(cameras, camera_names(options))
        self._events: Outbox[Event] = Outbox(most, left_out)
        self._frames: Outbox[Result] = Outbox(MOST_FRAMES, left_out)
        self._wake = threading.Event()
        self._connected = self._greet = self._closing = self._broken = self._shared = self._known = False
        self._slow = self._closed = False
        self._deadline = 0.0
        self._told = ""
        self._sent: dict[str, bytes] = {}
        self._announced: dict[str, str] = {}
        self._withdrawn: set[str] = set()
        self._open: list[_Sent] = []
        self._next_state = 0.0
        self._client = self._make(options)
        self._client.connect_async(broker.host, broker.port, pace.alive)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def _make(self, options: EventOptions) -> "Client":
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as e:
            raise EmotionError(f"output mqtt://...: paho-mqtt is not installed: {to_install('paho-mqtt')}") from e
        broker = self._broker
        client = Client(CallbackAPIVersion.VERSION2)
        password = broker.password
        if options.mqtt_password_file:
            password = read_secret(options.mqtt_password_file, "--mqtt-password-file")
        if broker.user or password:
            client.username_pw_set(broker.user, password)
        if broker.tls:
            client.tls_set_context(trust(options))
        client.connect_timeout = self._pace.connect
        client.reconnect_delay_set(self._pace.first_pause, self._pace.longest_pause)  # type: ignore[arg-type]
        client.will_set(self._topic("status"), OFFLINE, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _topic(self, *levels: str) -> str:
        return "/".join((self._broker.prefix, *levels))

    # --- the sink's side -------------------------------------------------------------------------------------

    def write(self, result: Result, image: Image | None) -> None:
        """Note a result for the cameras' states, and queue it where every frame is wanted."""
        self._states.see(result)
        if self._frames_wanted:
            self._frames.put(result)

    def ended(self, camera: str) -> None:
        """Its state says so from now on."""
        self._states.ended(camera)

    def tell(self, event: Event) -> None:
        """Queue an event."""
        self._states.tell(event)
        self._events.put(event)
        self._wake.set()

    def let_go(self, camera: str) -> None:
        """Take back what the broker keeps of a camera that has gone, and what describes it."""
        self._states.forget(camera)
        self._withdrawn.add(camera)
        self._wake.set()

    def flush(self) -> None:
        """Nothing is kept on a disk."""

    def finish(self) -> None:
        """See `sink.events.event.Sender`."""
        if not self._closing:
            self._deadline = time.monotonic() + self._pace.leave
            self._closing = True
            self._wake.set()

    def close(self) -> None:
        """Send what waits, if that goes within a moment, and say goodbye."""
        if self._closed:
            return
        self._closed = True
        self.finish()
        self._thread.join(max(0.0, self._deadline - time.monotonic()) + 0.2)
        self._unfinished()
        lost = len(self._events) + len(self._frames) + sum(sent.told for sent in self._open)
        if lost:
            self._left_out(lost)
            log.warning("mqtt %s: %d messages were never sent", self._broker.shown, lost)
        self._client.disconnect()
        self._hang_up()

    def _hang_up(self) -> None:
        """End paho's thread, which otherwise waits for as long as a broker is silent."""
        until = time.monotonic() + 0.2
        while self._connected and time.monotonic() < until:
            time.sleep(0.01)
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)  # it may be connecting, still
        ending.start()
        ending.join(0.3)
        if isinstance(sock, socket.socket) and not ending.is_alive():
            sock.close()  # paho leaves it open where it is told to stop before it has seen the end

    # --- paho's thread ---------------------------------------------------------------------------------------

    def _on_connect(self, client: "Client", data: Any, flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._say(f"it refuses the connection ({str(code).lower()})")
            return
        lost = self._events.take_lost() + self._frames.take_lost()
        if self._told:
            more = f"; {lost} messages were left out" if lost else ""
            log.log(NOTICE, "mqtt %s: connected again%s", self._broker.shown, more)
        else:
            log.info("mqtt %s: connected; topics begin with %s/", self._broker.shown, self._broker.prefix)
        self._told, self._slow = "", False
        wanted = [(self._topic("status"), 1)]
        if self._expected:
            wanted.append((self._topic("+", "state"), 1))
        client.subscribe(wanted)  # before anything is published: so we hear first how it was before us
        self._connected = self._greet = True
        self._wake.set()

    def _on_connect_fail(self, client: "Client", data: Any) -> None:
        error = sys.exc_info()[1]
        self._say(why(error) if isinstance(error, OSError) else "no connection")

    def _on_disconnect(self, client: "Client", data: Any, flags: Any, code: Any, properties: Any) -> None:
        was, self._connected = self._connected, False
        self._broken = True
        if not self._closing:
            self._say("the connection is lost" if was else "it closes the connection")
        self._wake.set()

    def _on_publish(self, client: "Client", data: Any, mid: int, code: Any, properties: Any) -> None:
        if self._closing or len(self._events) or len(self._frames):
            self._wake.set()

    def _on_message(self, client: "Client", data: Any, message: Any) -> None:
        levels = message.topic.removeprefix(self._broker.prefix + "/").split("/")
        if levels == ["status"]:
            if message.retain and not self._known and message.payload == ONLINE:
                self._shared = True
                told = "another program tells below the same prefix, %s/: give each one of its own"
                log.warning("mqtt %s: " + told, self._broker.shown, self._broker.prefix)
            self._known = True
            # The will of a process that this one has followed comes after our greeting.
            if message.payload == OFFLINE and not self._closing:
                self._greet = True
        elif message.retain and message.payload and len(levels) == 2 and levels[0] not in self._states.names():
            self._withdrawn.add(levels[0])
        self._wake.set()

    def _say(self, trouble: str) -> None:
        """Tell trouble once for an outage, while it is tried again and again."""
        if not self._told:
            log.warning("mqtt %s: %s: trying again", self._broker.shown, trouble)
        self._told = trouble

    # --- the sending thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            rest = max(0.02, self._next_state - time.monotonic())
            self._wake.wait(
                (min(rest, FRAMES_EVERY) if self._frames_wanted else rest) if self._connected else None
            )
            self._wake.clear()
            self._send()
        self._send()  # the last states, too
        while time.monotonic() < self._deadline and self._waits():
            self._send()
            self._wake.wait(0.02)
            self._wake.clear()
        if self._connected:
            self._publish(self._topic("status"), OFFLINE, 1, retain=True)
            while time.monotonic() < self._deadline and self._unfinished():
                time.sleep(0.01)

    def _waits(self) -> bool:
        return bool(len(self._events) or self._unfinished() or (self._connected and len(self._frames)))

    def _unfinished(self) -> int:
        if self._broken:  # what nobody has to acknowledge is gone with the connection
            self._broken = False
            self._open = [sent for sent in self._open if sent.qos]
        self._open = [sent for sent in self._open if not sent.info.is_published()]
        return len(self._open)

    def _send(self) -> None:
        """Send whatever the broker takes now."""
        if not self._connected:
            return
        if self._greet:
            self._greet = False
            self._sent.clear()
            self._announced.clear()
            self._next_state = 0.0
            self._publish(self._topic("status"), ONLINE, 1, retain=True)
        while self._withdrawn:
            camera = self._withdrawn.pop()
            if not self._shared:  # else it is the other's
                self._withdraw(camera)
        if time.monotonic() >= self._next_state or self._closing:
            self._next_state = time.monotonic() + self._pace.state
            for camera, name in self._states.names().items():
                self._announce(camera, name)
                self._tell_state(camera)
        while self._connected and self._unfinished() < AT_ONCE and (event := self._events.pop()):
            self._publish(self._topic(event.camera, "event"), _packed(as_json(event)), 1, told=True)
        while self._connected and self._unfinished() < AT_ONCE and (result := self._frames.pop()):
            self._publish(self._topic(result.info.camera, "frame"), _packed(result_as_json(result)), 0)
        self._tell_of_slowness()

    def _tell_of_slowness(self) -> None:
        """Of a broker that is there, and takes less than comes: once when it begins, and once when it is over."""
        if not self._slow and (self._events.lost or self._frames.lost):
            self._slow = True
            log.warning("mqtt %s: it takes less than comes: the oldest is left out", self._broker.shown)
        elif self._slow and not (len(self._events) or len(self._frames)):
            self._slow = False
            lost = self._events.take_lost() + self._frames.take_lost()
            log.log(NOTICE, "mqtt %s: it keeps up again; %d messages were left out", self._broker.shown, lost)

    def _tell_state(self, camera: str) -> None:
        known = self._states.state(camera)
        if known is None:
            return
        state = _packed(known)
        if self._sent.get(camera) != state and self._unfinished() < AT_ONCE:
            self._sent[camera] = state
            self._publish(self._topic(camera, "state"), state, 0, retain=True)

    def _announce(self, camera: str, name: str) -> None:
        if not self._discovery or self._announced.get(camera) == name:
            return
        self._announced[camera] = name
        where = discovery.topics(self._discovery, self._broker.prefix, camera)
        for sensor, told in discovery.described(self._broker.prefix, camera, name).items():
            self._publish(where[sensor], _packed(told), 1, retain=True)

    def _withdraw(self, camera: str) -> None:
        """Nobody is to find a camera any more that there is not."""
        self._sent.pop(camera, None)
        self._announced.pop(camera, None)
        if self._discovery:
            for topic in discovery.topics(self._discovery, self._broker.prefix, camera).values():
                self._publish(topic, b"", 1, retain=True)
        self._publish(self._topic(camera, "state"), b"", 1, retain=True)

    def _publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False, told: bool = False) -> None:
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc == 0:  # else the connection has just gone, and paho repeats what has to be acknowledged
            self._open.append(_Sent(qos, told, info))


def _packed(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode(errors="replace")
