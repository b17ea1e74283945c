"""The output `web`: hands everything to a hub, which a server on a thread of its own shows to whoever looks."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from shared.messages import FrameInfo
from shared.options import WebOptions
from sink.monitor import Report
from sink.output import Image, Result
from sink.web.address import Address, access, bind, settle, tell, untold, urls
from sink.web.hub import Hub
from sink.web.server import WebServer

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
        announce: bool = False,
    ) -> None:
        """
        Args:
            address: where to serve; port 0 lets the system choose.
            options: who may look.
            cameras: shown before their first frame.
            notice: told to everybody who looks; empty: nothing.
            announce: whether to print the page's URL, with its token if that was made here, to standard error.
        """
        given, options = options, settle(options, address)
        sock = bind(address)
        self.address = replace(address, port=int(sock.getsockname()[1]))
        self.urls = urls(self.address, untold(given, options))
        self._hub = Hub(cameras, notice)
        self._server = WebServer(self._hub, sock, access(options, self.address), options.web_viewers)
        self._server.start()
        log.info("the web page is served on %s", self.address)
        if announce:
            tell(self.urls)

    def wants_image(self, info: FrameInfo) -> bool:
        return self._hub.wants_image(info)

    def write(self, result: Result, image: Image | None) -> None:
        self._hub.show(result, image)

    def lost(self, camera: str, reason: str, count: int) -> None:
        self._hub.lost(camera, reason, count)

    def report(self, report: Report) -> None:
        self._hub.report(report)

    def flush(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self._server.stop()
