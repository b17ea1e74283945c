"""The settings of events, and of the software that is told of them."""

from dataclasses import dataclass

from emotion_stream.shared.settings.loading import option


@dataclass(frozen=True, slots=True)
class EventOptions:
    """Events: what is told of faces and cameras, and how it reaches other software (docs/how-to/events.md)."""

    event_hold: float = option(
        1.0, "seconds for which an emotion must be shown until it counts as changed", low=0, high=60
    )
    camera_name: tuple[str, ...] = option(
        (), "name by which people know a camera, told with its events; repeat for several", metavar="CAMERA=NAME"
    )
    event_pictures: bool = option(False, "send a small picture of the face with the events of webhooks")
    webhook_secret: str = option(
        "",
        "secret that signs what webhooks send; set it as EMOTION_WEBHOOK_SECRET, because other users can read"
        " flags",
        metavar="SECRET",
    )
    webhook_secret_file: str | None = option(None, "file with the secret for webhooks", metavar="FILE")
    mqtt_password_file: str | None = option(
        None, "file with the password for the MQTT broker, in place of one in its URL", metavar="FILE"
    )
    mqtt_ca: str | None = option(
        None, "certificates that the broker of mqtts:// is checked against; default: the system's", metavar="FILE"
    )
    mqtt_cert: str | None = option(None, "certificate that this program shows to the broker", metavar="FILE")
    mqtt_key: str | None = option(None, "key of --mqtt-cert, if that file does not hold it", metavar="FILE")
    mqtt_frames: bool = option(False, "send every result to the broker, too, not only events and states")
    mqtt_discovery: str = option(
        "homeassistant", "topic below which Home Assistant finds the cameras; empty: they are not announced"
    )
