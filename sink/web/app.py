"""The interface behind the page, and the page itself."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from emotion_stream import __version__
from emotion_stream.shared.errors import EmotionError
from emotion_stream.sink.outputs.csv_table import as_csv
from emotion_stream.sink.results.history import MOST_POINTS
from emotion_stream.sink.results.output import Result, as_json
from emotion_stream.sink.web.areas import Keep, told
from emotion_stream.sink.web.flight import Flight, Flights
from emotion_stream.sink.web.http.assets import Pages
from emotion_stream.sink.web.http.paths import is_proxied
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.lane import Lane
from emotion_stream.sink.web.live import (
    BOUNDARY,
    Bell,
    LiveResponse,
    Message,
    Seats,
    Wish,
    as_event,
    as_part,
    as_record,
    follow,
    written,
)
from emotion_stream.sink.web.model import Areas, CameraHistory, CameraStatus, RunStatus, Saved
from emotion_stream.sink.web.pictures import SNAPSHOT_QUALITY, Gallery

ABOUT = """What the page shows, for programs. Nothing here changes anything, but for the areas of a camera where
the run was started with `--editable`.

Where a token is needed, send it as `Authorization: Bearer TOKEN` or as `?token=TOKEN`."""
RECORDS = "application/octet-stream"
EVENTS = "text/event-stream"
MJPEG = f"multipart/x-mixed-replace; boundary={BOUNDARY}"

Camera = Annotated[str, Path(description="name of a camera", max_length=64)]
Cameras = Annotated[list[str] | None, Query(description="only these cameras; repeat for several", max_length=256)]
Width = Annotated[int, Query(ge=0, le=16384, description="widest picture wanted, in pixels; 0: as wide as it is")]
Viewer = Annotated[
    str, Query(pattern="^[A-Za-z0-9_-]{0,64}$", description="a name that nobody else has, to tell `/api/seen` by")
]
Fps = Annotated[float, Query(gt=0, le=60, description="most results and pictures of one camera per second")]


def make_app(
    hub: Hub,
    gallery: Gallery,
    bell: Callable[[], Bell],
    seats: Seats,
    pages: Pages,
    root_path: str = "",
    keep: Keep | None = None,
) -> FastAPI:
    """The application; all of it runs in one event loop.

    Args:
        bell: gives that loop's bell.
        seats: for the streams that may be open at once.
        root_path: below which path a proxy serves all this, "" or "/path".
        keep: saves the areas of a camera; None where nobody may.
    """
    app = FastAPI(
        title="Emotion Stream",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": root_path}] if root_path else None,
    )
    flights = Flights()

    def known(camera: str) -> Lane:
        lane = hub.find(camera)
        if lane is None:
            raise HTTPException(404, f"there is no camera {camera!r}")
        return lane

    def live(
        wish: Wish, form: Callable[[Message], bytes], kind: str, before: bytes = b"", flight: Flight | None = None
    ) -> LiveResponse:
        if not seats.take():
            raise HTTPException(503, f"{seats.most} viewers are here already: --web-viewers allows more")
        content: AsyncGenerator[bytes] = written(follow(hub, gallery, bell(), wish, flight), form, before, flight)
        return LiveResponse(content, kind, seats)

    def language(request: Request) -> str:
        return request.headers.get("accept-language", "")

    def asset(name: str, request: Request) -> Response:
        found = pages.find(name, language(request))
        if found is None:
            raise HTTPException(404, "there is no such file")
        return found.response(request.headers.get("if-none-match", ""))

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return asset("index.html", request)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return asset("docs.html", request)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon(request: Request) -> Response:
        return asset("icon.svg", request)

    @app.get("/static/{name:path}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        return asset(name, request)

    @app.get("/healthz", response_class=PlainTextResponse, summary="Whether the page is served")
    async def health() -> str:
        return "ok\n"

    @app.get("/api/run", summary="How the run and all its cameras do")
    async def run() -> RunStatus:
        return hub.status()

    @app.get("/api/cameras", summary="All cameras")
    async def cameras() -> list[CameraStatus]:
        return hub.status().cameras

    @app.get("/api/history", summary="What a camera has shown since the run began")
    async def history(
        camera: Annotated[str, Query(description="name of a camera", max_length=64)],
        start: Annotated[float | None, Query(alias="from", description="default: the beginning")] = None,
        end: Annotated[float | None, Query(alias="to", description="default: now")] = None,
        points: Annotated[int, Query(ge=1, le=MOST_POINTS, description="most points wanted")] = 300,
    ) -> CameraHistory:
        """Counts and mean probabilities, as fine as they still are: seconds of the last ten minutes, ten seconds
        of the last 2.5 hours, minutes of the last 15, coarser before. `from`, `to` and all times are seconds since
        1970 of a live camera, and seconds of the medium of a file (`axis`). It survives the sink, which keeps it
        in Redis, 256 KB a camera at the most, without pictures."""
        known(camera)
        told = hub.histories.told(camera, start, end, points)
        return CameraHistory.model_validate(told or {"camera": camera})

    @app.put("/api/areas", summary="Save the areas of a camera")
    async def areas(
        camera: Annotated[str, Query(description="name of a camera", max_length=64)], areas: Areas
    ) -> Saved:
        """The body is `Areas`, as JSON, in place of those that the settings file has now. They are in force
        as soon as the producer has read the file again, a moment later. Only where the run was started with
        `--editable`, which needs the token."""
        known(camera)
        if keep is None:
            raise HTTPException(403, "areas are saved by a run that was started with --editable")
        try:
            ignore, zones = told(areas)
        except ValueError as e:
            raise HTTPException(422, str(e)) from e
        try:
            return Saved(file=await asyncio.to_thread(keep, camera, ignore, zones))
        except EmotionError as e:
            raise HTTPException(409, str(e)) from e

    @app.get("/api/events", response_class=Response, responses=_is(EVENTS), summary="Results as they come")
    async def events(camera: Cameras = None, fps: Fps = 30.0, viewer: Viewer = "") -> Response:
        """Server-sent events. `result`: a frame, in the form of the JSON lines; `status`: as `/api/run`, once a
        second; `timeline`: points of a second each, `[time, probability, ...]`, or `[time]` where nobody was seen;
        `event`: the `camera`, and the `event` as docs/reference/events.md tells it, the last 500 at first;
        `end`: the run is over; `restart`: the sink stops, and the run goes on: come again. Who reads slowly
        gets the newest and skips the rest."""
        return live(
            Wish(frozenset(camera or ()), fps=fps),
            as_event,
            EVENTS,
            flight=flights.begin(viewer, proxied=False) if viewer else None,
        )

    @app.get("/api/live", response_class=Response, responses=_is(RECORDS), summary="Results and pictures")
    async def results_and_pictures(
        request: Request, camera: Cameras = None, width: Width = 640, fps: Fps = 30.0, viewer: Viewer = ""
    ) -> Response:
        """Everything over one connection, because browsers open no more than six to one server. Records: two
        lengths of 32 bits (big-endian), a JSON object, and the JPEG that belongs to it or nothing. The object is
        the `data` of an event of `/api/events` with its `kind`, or a `picture`: `camera`, `epoch`, `seq`, `width`,
        and `faces`, what to draw over it. Nothing is drawn in the JPEG; the faces are those of the same frame: of
        each `track`, `box`, `landmarks`, `emotion`, `confidence`, `uncertain`, and `missed`, which says that it
        was found a moment ago but not in this frame. Boxes and landmarks are in pixels of the whole frame, which
        is `width` wide. With `--blur-faces`, faces are hidden in the JPEG, as everywhere."""
        wish = Wish(frozenset(camera or ()), pictures=True, width=width, fps=fps)
        return live(wish, as_record, RECORDS, flight=flights.begin(viewer, proxied=is_proxied(request)))

    @app.get("/api/seen", status_code=204, summary="Say how much of a stream has come")
    async def seen(viewer: Viewer, number: Annotated[int, Query(ge=0, description="messages so far")]) -> Response:
        """For viewers of `/api/events` and `/api/live` that have given themselves a name there (`viewer`): proxies
        between take everything at once, and only the viewer itself knows that it is slow. Who is more than a
        second behind what it was sent gets nothing more until it has caught up, and then the newest. Two times a
        second is enough. Behind a proxy, who does not tell gets pictures at 30 kB/s from `/api/live`."""
        flights.arrived(viewer, number)
        return Response(status_code=204)

    @app.get("/stream/{camera}.mjpg", response_class=Response, responses=_is(MJPEG), summary="Live pictures")
    async def stream(request: Request, camera: Camera, width: Width = 0, fps: Fps = 30.0) -> Response:
        """Motion JPEG with the faces drawn in, as an `<img>` or a video player shows it; a slow viewer skips
        frames."""
        words = pages.words(language(request))
        wish = Wish(frozenset([known(camera).name]), False, True, width, fps, annotated=words)
        return live(wish, as_part, MJPEG, f"--{BOUNDARY}\r\n".encode())

    @app.get("/snapshot/{camera}.jpg", response_class=Response, responses=_is("image/jpeg"), summary="A picture")
    async def snapshot(request: Request, camera: Camera, width: Width = 0) -> Response:
        """The newest annotated picture; up to a second old when nobody has looked for a while."""
        shot = known(camera).shot
        hub.glance()
        if shot is None:
            raise HTTPException(503, f"there is no picture of {camera} yet", {"Retry-After": "1"})
        words = pages.words(language(request))
        jpeg = await gallery.jpeg(shot, width, annotated=words, quality=SNAPSHOT_QUALITY)
        at = datetime.fromtimestamp(shot.result.info.captured_at, UTC)
        return Response(
            jpeg, media_type="image/jpeg", headers=_named(f"{camera}-{at:%Y%m%d-%H%M%S}.jpg", "inline")
        )

    @app.get("/api/results", response_class=Response, summary="Download what was shown lately")
    async def results(camera: Cameras = None, format: Literal["jsonl", "csv"] = "jsonl") -> Response:
        """Up to 20,000 frames, oldest first, in the form of the outputs `jsonl` and `csv`. Frames that were shown
        too fast for a viewer are here, too."""
        kept = hub.results(camera or ())
        name = f"emotions-{datetime.now(UTC):%Y%m%d-%H%M%S}.{format}"
        content = as_csv(kept) if format == "csv" else _lines(kept)
        kind = "text/csv; charset=utf-8" if format == "csv" else "application/jsonl"
        return StreamingResponse(_pieces(content), media_type=kind, headers=_named(name, "attachment"))

    return app


def _is(kind: str) -> dict[int | str, dict[str, object]]:
    """What the description says of an answer that is not JSON."""
    return {200: {"content": {kind: {}}}}


def _named(name: str, how: str) -> dict[str, str]:
    return {"Content-Disposition": f'{how}; filename="{name}"'}


def _lines(results: list[Result]) -> Iterator[bytes]:
    for result in results:
        yield json.dumps(as_json(result), separators=(", ", ": ")).encode() + b"\n"


def _pieces(parts: Iterator[bytes], size: int = 1 << 16) -> Iterator[bytes]:
    """The same bytes in fewer pieces."""
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= size:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)
