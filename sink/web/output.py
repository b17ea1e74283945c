"""The output `web`: hands everything to a hub, which a server on a thread of its own shows to whoever looks."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from emotion_stream.shared.messages.types import FrameInfo
from emotion_stream.shared.settings.result_options import WebOptions
from emotion_stream.shared.words.words import Words
from emotion_stream.sink.events.event import Event
from emotion_stream.sink.results.history import Histories
from emotion_stream.sink.results.monitor import Report
from emotion_stream.sink.results.output import Image, Result
from emotion_stream.sink.tracking.posters import Posters
from emotion_stream.sink.web.areas import keeper
from emotion_stream.sink.web.http.address import Address, access, bind, settle, tell, untold, urls
from emotion_stream.sink.web.hub import Hub
from emotion_stream.sink.web.server import WebServer

log = logging.getLogger(__name__)


class Web:
    """Shows results on a page. Nothing is stored but the last results and one picture per camera, in memory.

    Raises:
        EmotionError: the address cannot be had.
        UsageError: the token will not do.
    """

    needs_image = True

    def __init__(
        self,
        address: Address,
        options: WebOptions,
        cameras: Sequence[str] = (),
        notice: str = "",
        words: Words | None = None,
        announce: bool = False,
    ) -> None:
        """
        Args:
            address: where to serve; port 0 lets the system choose.
            options: who may look.
            cameras: shown before their first frame.
            notice: told to everybody who looks; empty: nothing.
            words: the language; None: that of each browser.
            announce: whether this process is no part of a run, so that it prints the page's URL itself, with its
                token if that was made here, to standard error.
        """
        given, options = options, settle(options, address)
        sock = bind(address)
        self.address = replace(address, port=int(sock.getsockname()[1]))
        self.urls = urls(self.address, untold(given, options), options.web_published)
        keep = keeper(options.areas_file) if options.editable else None
        posters = Posters(options.poster_after)
        self._hub = Hub(cameras, notice, posters=posters, editable=options.editable)
        root_path = options.web_root_path.rstrip("/")
        self._server = WebServer(
            self._hub,
            sock,
            access(options, self.address),
            options.web_viewers,
            root_path,
            words,
            keep,
        )
        self._alone = announce
        self._server.start()
        log.debug("the web page is served on %s", self.address)
        if announce:
            tell(self.urls)

    def remember(self, histories: Histories) -> None:
        """Hand on what has been since the run began."""
        self._hub.remember(histories)

    def wants_image(self, info: FrameInfo) -> bool:
        """Whether somebody looks at this camera, and a new picture is due."""
        return self._hub.wants_image(info)

    def write(self, result: Result, image: Image | None) -> None:
        """Show a result to all viewers."""
        self._hub.show(result, image)

    def lost(self, camera: str, reason: str, count: int) -> None:
        """Tell viewers of frames that were lost."""
        self._hub.lost(camera, reason, count)

    def tell(self, event: Event) -> None:
        """Tell viewers of an event."""
        self._hub.tell(event)

    def let_go(self, camera: str) -> None:
        """Show this camera no more."""
        self._hub.let_go(camera)

    def report(self, report: Report) -> None:
        """Tell viewers of backlog, rates and ended sources."""
        self._hub.report(report)

    def flush(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Tell viewers that the run is over, and stop the server."""
        # A runner ends its sink with the run; a sink on its own may only be started anew.
        self._server.stop(over=not self._alone or self._hub.is_over)
