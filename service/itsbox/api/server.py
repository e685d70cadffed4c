"""Running the application on uvicorn: safe settings, a bound on how long a request may take to arrive, a clean end.

uvicorn bounds the time between requests but not the time that one takes to arrive: a client that sends a byte now and then
holds a connection for ever. ``DeadlineProtocol`` adds that bound, a cap on connections, and problems in our form where the
server answers before the application is asked.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from itsbox.api.app import create_app
from itsbox.api.gate import Gate
from itsbox.api.logs import configure_logs
from itsbox.api.problems import Unacceptable, problem_bytes
from itsbox.api.settings import Settings

__all__ = ["BackgroundServer", "run", "server_config"]

_REASONS: Final = {400: b"Bad Request", 503: b"Service Unavailable"}
_GRACE_S: Final = 5
_PING_S: Final = 20.0


def _plain_answer(kind: str, detail: str) -> bytes:
    """A whole HTTP response, for a connection that no application will see."""
    error = Unacceptable(kind, detail)
    body = problem_bytes(error, "/")
    head = (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    )
    return head % (error.status, _REASONS[error.status], len(body)) + body


def deadline_protocol(timeout_s: float, connections: int) -> type[HttpToolsProtocol]:
    """A protocol class whose requests must arrive within ``timeout_s``, for at most ``connections`` at once."""

    class DeadlineProtocol(HttpToolsProtocol):
        """HTTP/1.1 with a deadline from a request's first byte, or the connection's, to its last."""

        _deadline: asyncio.TimerHandle | None = None

        def _arm(self) -> None:
            self._disarm()
            self._deadline = self.loop.call_later(timeout_s, self._late)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _late(self) -> None:
            self._deadline = None
            if not self.transport.is_closing():
                self.transport.close()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.write(_plain_answer("unavailable", "the service holds as many connections as it may"))
                transport.close()
                return
            self._arm()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._arm()
            super().on_message_begin()

        def on_message_complete(self) -> None:
            self._disarm()
            super().on_message_complete()

        def handle_websocket_upgrade(self) -> None:
            self._disarm()
            super().handle_websocket_upgrade()

        def send_400_response(self, msg: str) -> None:
            self.transport.write(_plain_answer("bad-request", msg))
            self.transport.close()

    return DeadlineProtocol


class DenyingProtocol(WebSocketsSansIOProtocol):
    """WebSockets whose refusal by an ordinary response is not taken for a failure of the application."""

    async def send(self, message: Any) -> None:
        """Send; a complete response ends the opening handshake as an upgrade does."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Uvicorn's settings. One worker: sessions live in this process."""
    limits = settings.limits
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=deadline_protocol(settings.receive_timeout_s, limits.connections),
        ws=DenyingProtocol,
        ws_max_size=limits.request_bytes,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_per_message_deflate=False,  # it would compress each subscriber's copy anew
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=_GRACE_S,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        headers=[("x-content-type-options", "nosniff")],
        lifespan="on",
    )


def bind(settings: Settings) -> socket.socket:
    """A listening socket, so that the address is known, and held, before the server starts."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host.strip("[]"), settings.port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL of what listens there."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(settings: Settings | None = None, announce: Callable[[str], None] | None = None) -> None:
    """Serve until interrupted. ``announce`` is called with the base URL once requests are accepted."""
    settings = settings or Settings()
    configure_logs()
    listener = bind(settings)
    url = url_of(listener)
    server = _Server(create_app(settings), settings, lambda: announce(url) if announce else None)
    gc.collect()
    gc.freeze()  # what is here by now stays: collections need not walk it again
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """Says when it has started; ends streams before it waits for requests to end, or it would wait for them in vain."""

    def __init__(self, app: Gate, settings: Settings, on_started: Callable[[], None]) -> None:
        super().__init__(server_config(app, settings))
        self._service = app.service
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start accepting."""
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: no new connections, then the streams, then what is still running."""
        for listener in self.servers:
            listener.close()
        await self._service.drain()
        await super().shutdown(sockets)


class BackgroundServer:
    """The service on a thread of this process, on a free loopback port unless the settings name one.

    A context manager; ``url`` is its address, ``app`` the application.
    """

    def __init__(self, settings: Settings | None = None, app: Gate | None = None) -> None:
        self.settings = settings or Settings(port=0)
        self.app = app or create_app(self.settings)
        self._ready = threading.Event()
        self._listener = bind(self.settings)
        self.url = url_of(self._listener)
        self._server = _Server(self.app, self.settings, self._ready.set)
        self._thread = threading.Thread(target=self._serve, name="itsbox-server", daemon=True)

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        finally:
            self._ready.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if not self._server.started:
            raise RuntimeError("the service did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
