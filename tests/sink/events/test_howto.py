"""What docs/how-to/ tells people to do with events works: the receiver, the automations, the flow."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jinja2

from emotion_stream.sink.events.discovery import described
from emotion_stream.sink.events.event import KINDS, as_json
from emotion_stream.sink.events.watch import Watcher
from emotion_stream.sink.events.webhook import Pace, Webhook
from tests.support.events import follower, make_event, result, three_people, until
from tests.support.servers import free_port

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"


def block(page: str, language: str) -> str:
    """The one block of code in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)
    return str(found)


def clip() -> dict[str, dict[str, Any]]:
    """An event of each kind that the scripted clip and its camera have."""
    watcher, kept = Watcher(names={"hall": "Main door"}), follower()
    events = [e for message in three_people() for e in watcher.see(result(kept, message), 1e9)]
    events += watcher.camera_state("hall", "lost", "401 Unauthorized", 1e9)
    return {event.kind: as_json(event) for event in events}


def test_the_receiver_prints_what_is_signed_and_nothing_else() -> None:
    port = free_port()
    environment = {**os.environ, "PORT": str(port), "SECRET": "schlüssel"}
    program = [sys.executable, "-c", block("events.md", "python")]
    with subprocess.Popen(
        program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            refused: list[int] = []
            for secret in ("wrong", "schlüssel"):
                fast = Pace(gather=0.0, first_pause=0.1)
                hook = Webhook(f"http://127.0.0.1:{port}/", secret, left_out=refused.append, pace=fast)
                hook.tell(make_event(name="Küche"))
                until(lambda: len(hook._box) == 0 and hook._unsent == 0)  # noqa: B023
                time.sleep(0.2)
                until(lambda: hook._unsent == 0)  # noqa: B023
                hook.close()
        finally:
            process.kill()
        assert process.stdout is not None
        assert process.stdout.read().splitlines() == ["2001-09-09T01:46:40.000+00:00 Küche face_appeared happy"]
    assert refused == [1]


def test_templates_of_the_automations_read_our_events() -> None:
    text = block("home-assistant.md", "yaml")
    events = clip()
    made = {
        template: [jinja2.Template(template).render(trigger={"payload_json": event}) for event in events.values()]
        for template in re.findall(r'"(\{\{.*)"', text)
    }
    assert len(made) == 4
    for template, shown in made.items():
        if "==" in template:
            assert sorted(shown) == ["False"] * (len(events) - 1) + ["True"]
    assert "Main door: somebody is there, and looks sad" in [line for shown in made.values() for line in shown]
    assert "Main door: 401 Unauthorized" in [line for shown in made.values() for line in shown]
    assert set(re.findall(r"topic: (\S+)", text)) == {"emotion/hall/event"}
    about = described("emotion", "hall", "Main door")["emotion"]
    entity = f"sensor.{about['device']['name']} {about['name']}".lower().replace(" ", "_")
    assert f"entity_id: {entity}\n" in text


def test_the_flow_of_node_red_is_whole() -> None:
    nodes = {node["id"]: node for node in json.loads(block("node-red.md", "json"))}
    for node in nodes.values():
        for target in (
            *(t for output in node.get("wires", ()) for t in output),
            node.get("broker"),
            node.get("z"),
        ):
            assert target is None or target in nodes or node["type"] == "mqtt-broker"
    assert nodes["es-in"]["topic"] == "emotion/+/event"
    events = clip()
    for rule, (target,) in zip(nodes["es-kind"]["rules"], nodes["es-kind"]["wires"], strict=True):
        assert rule["v"] in KINDS
        template = jinja2.Template(nodes[target]["template"].replace("payload.from", "payload['from']"))
        shown = template.render(payload=events[rule["v"]])
        assert shown in ("Main door: happy became sad", "Main door is lost: 401 Unauthorized")
