"""How Home Assistant finds the cameras: a device each, with sensors for faces, main emotion, and online. Pure."""

import re
from hashlib import blake2b
from typing import Any

from emotion_stream import __version__


def node(prefix: str, camera: str) -> str:
    """The id of a camera's device: letters that Home Assistant takes, and different for different cameras."""
    plain = re.sub(r"[^a-z0-9]+", "_", camera.lower()).strip("_")[:40]
    own = blake2b(f"{prefix}\n{camera}".encode(errors="replace"), digest_size=4).hexdigest()
    return f"emotion_{plain}_{own}"


def topics(discovery: str, prefix: str, camera: str) -> dict[str, str]:
    """Sensor to the topic that describes it."""
    own = node(prefix, camera)
    kinds = {"faces": "sensor", "emotion": "sensor", "online": "binary_sensor"}
    return {sensor: f"{discovery}/{kind}/{own}/{sensor}/config" for sensor, kind in kinds.items()}


def described(prefix: str, camera: str, name: str) -> dict[str, dict[str, Any]]:
    """Sensor to its description.

    Args:
        prefix: begins our topics.
        camera: the camera's id.
        name: what people call it.
    """
    own = node(prefix, camera)
    state, status = f"{prefix}/{camera}/state", f"{prefix}/status"
    alive = {"topic": status}
    seen = {"topic": state, "value_template": "{{ 'online' if value_json.online else 'offline' }}"}
    common: dict[str, Any] = {
        "state_topic": state,
        "device": {
            "identifiers": [own],
            "name": name,
            "manufacturer": "Emotion Stream",
            "model": "camera",
            "sw_version": __version__,
        },
        "origin": {"name": "Emotion Stream", "sw_version": __version__},
    }
    about: dict[str, dict[str, Any]] = {
        "faces": {
            "name": "Faces",
            "value_template": "{{ value_json.faces }}",
            "state_class": "measurement",
            "icon": "mdi:account-multiple",
            "availability": [alive, seen],
            "availability_mode": "all",
        },
        "emotion": {
            "name": "Main emotion",
            "value_template": "{{ value_json.emotion or 'nobody' }}",
            "json_attributes_topic": state,
            "icon": "mdi:emoticon-outline",
            "availability": [alive, seen],
            "availability_mode": "all",
        },
        "online": {
            "name": "Online",
            "device_class": "connectivity",
            "value_template": "{{ 'ON' if value_json.online else 'OFF' }}",
            "availability": [alive],
        },
    }
    return {sensor: {**own_part, "unique_id": f"{own}_{sensor}", **common} for sensor, own_part in about.items()}
