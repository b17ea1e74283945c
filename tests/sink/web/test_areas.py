"""Areas through the web interface: told to everybody, saved only for who may."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emotion_stream.shared.errors import UsageError
from emotion_stream.shared.messages.areas import parse_polygon
from emotion_stream.shared.messages.camera import CameraSettings
from emotion_stream.shared.settings.cameras import load_cameras
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.settings.writing import with_file
from emotion_stream.sink.web.http.address import Address, settle
from emotion_stream.sink.web.output import Web
from tests.support.web_feed import Client, make_image, make_result

TOKEN = "a-token-of-some-length"
WINDOW, DOOR = "0,0 0.3,0 0.3,0.4", "0.5,0.5 1,0.5 1,1 0.5,1"
AREAS = {"ignore": [WINDOW], "zones": {"door": DOOR}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cameras.toml"
    path.write_text("# ours\n[cameras.cam]\nsource = '0'\n")
    return path


@pytest.fixture
def page(file: Path) -> Iterator[Web]:
    web = Web(Address(port=0), WebOptions(web_token=TOKEN, editable=True, areas_file=str(file)))
    web.write(make_result(), make_image())
    yield web
    web.close()


def put(web: Web, body: object, camera: str = "cam", **headers: str) -> tuple[int, Any]:
    """Ask for areas to be saved, with the token, unless other headers are given."""
    connection = http.client.HTTPConnection(web.address.host, web.address.port, timeout=20)
    told = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in told.items() if value}
    connection.request("PUT", f"/api/areas?camera={camera}", body=data, headers=named)
    with closing(connection), connection.getresponse() as response:
        return response.status, json.loads(response.read())


def test_areas_are_told_with_each_camera() -> None:
    web = Web(Address(port=0), WebOptions(), ("cam", "other"))
    try:
        result = make_result()
        own = CameraSettings(ignore=(parse_polygon(WINDOW),), zones=(("door", parse_polygon(DOOR)),))
        web.write(replace(result, info=replace(result.info, settings=own)), None)
        run = Client(web).json("/api/run")
        assert run["editable"] is False
        assert [(camera["ignore"], camera["zones"]) for camera in run["cameras"]] == [
            ([WINDOW], {"door": DOOR}),
            ([], {}),
        ]
        status, answer = put(web, AREAS)
        assert (status, answer["detail"]) == (403, "areas are saved by a run that was started with --editable")
    finally:
        web.close()


def test_areas_are_saved_in_the_settings_file(page: Web, file: Path) -> None:
    assert Client(page, {"Authorization": f"Bearer {TOKEN}"}).json("/api/run")["editable"] is True
    assert put(page, AREAS) == (200, {"file": "cameras.toml"})
    [camera] = load_cameras(file)
    assert camera.settings.ignore == (parse_polygon(WINDOW),)
    assert camera.settings.zones == (("door", parse_polygon(DOOR)),)
    assert file.read_text().startswith("# ours\n")
    assert put(page, {}) == (200, {"file": "cameras.toml"})
    assert load_cameras(file)[0].own == ()


def test_nobody_else_saves_anything(page: Web, file: Path) -> None:
    before = file.read_text()
    assert put(page, AREAS, Authorization="")[0] == 401
    assert put(page, AREAS, Authorization="Bearer wrong")[0] == 401
    assert put(page, AREAS, Host="evil.example")[0] == 421
    assert put(page, AREAS, Origin="http://evil.example")[0] == 403
    assert put(page, AREAS, Sec_Fetch_Site="same-site")[0] == 403
    assert put(page, AREAS, "nobody")[0] == 404
    assert (
        put(page, json.dumps(AREAS).encode(), Content_Type="text/plain")[0] == 422
    )  # as forms of other sites send
    assert file.read_text() == before


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        [1],
        {"ignore": ["0,0 1,1"]},
        {"ignore": ["0,0 2,0 1,1"]},
        {"ignore": ["nan,0 1,0 1,1"]},
        {"ignore": [WINDOW] * 17},
        {"ignore": [" ".join(["0,0 1,0 1,1"] * 20)]},
        {"zones": {"": DOOR}},
        {"zones": {"a\nb": DOOR}},
        {"zones": {"a" * 33: DOOR}},
        {"zones": {"door": "1"}},
    ],
)
def test_what_are_no_areas_is_refused(page: Web, file: Path, body: object) -> None:
    before = file.read_text()
    status, answer = put(page, body)
    assert status == 422
    assert answer["detail"]
    assert file.read_text() == before


@pytest.mark.parametrize("length", [{"Content-Length": str(10**9)}, {"Transfer-Encoding": "chunked"}])
def test_too_much_is_not_even_read(page: Web, length: dict[str, str]) -> None:
    connection = http.client.HTTPConnection(page.address.host, page.address.port, timeout=20)
    with closing(connection):
        connection.putrequest("PUT", "/api/areas?camera=cam")
        for name, value in {"Authorization": f"Bearer {TOKEN}", **length}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as response:
            assert response.status == 413


def test_a_file_that_cannot_be_changed_is_told(page: Web, file: Path) -> None:
    file.write_text("[cameras.cam\n")
    status, answer = put(page, AREAS)
    assert status == 409
    assert "cameras.toml cannot be changed here" in answer["detail"]
    assert file.read_text() == "[cameras.cam\n"


def test_editing_needs_a_token_and_a_file() -> None:
    here = WebOptions(editable=True, areas_file="s.toml")
    assert settle(here, Address()).web_token  # also on this machine alone
    assert not settle(WebOptions(), Address()).web_token
    with pytest.raises(UsageError, match="needs a token"):
        settle(replace(here, web_open_to_anyone=True), Address())
    with pytest.raises(UsageError, match="--config"):
        settle(WebOptions(editable=True), Address())
    values = {"config": "a.toml", "cameras_file": "b.toml"}
    assert with_file(WebOptions(editable=True), values).areas_file == str(Path.cwd() / "b.toml")
    assert with_file(WebOptions(), values).areas_file == ""
