"""Event streams: WebSocket and server-sent events over the same frames, resumed by the number of the last event seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from itsbox.api.access import SUBPROTOCOL
from itsbox.api.body import check_parameters
from itsbox.api.problems import InvalidRequest, field_error, problem_response
from itsbox.api.service import Service
from itsbox.events import EVENT_TYPES
from itsbox.sessions.errors import SessionError
from itsbox.sessions.feed import Subscription, Types
from itsbox.sessions.session import Session

__all__ = ["EventStream", "cursor_of", "deny_socket", "serve_stream", "wanted_types"]

#: Seconds without an event after which a comment shows an SSE client, and what is between, that we are there.
KEEP_ALIVE_S: Final = 15.0
UNSUPPORTED_DATA: Final = 1003
_PARAMETERS: Final = frozenset({"after", "types"})
GOING_AWAY: Final = 1001
ENDED: Final = 1000


_FAMILIES: Final = sorted({name.partition(".")[0] for name in EVENT_TYPES if "." in name})
_TYPE_PATTERN: Final = "|".join(
    (*(re.escape(name) for name in EVENT_TYPES), *(rf"{family}\.\*" for family in _FAMILIES))
)
TYPES_PATTERN: Final = f"^(({_TYPE_PATTERN})(,({_TYPE_PATTERN}))*)?$"


def wanted_types(asked: str | None) -> Types:
    """The types that a filter names; None for all. Raises ``InvalidRequest`` for one that does not exist."""
    if not asked:
        return None
    wanted: set[str] = set()
    for name in asked.split(","):
        if name in EVENT_TYPES:
            wanted.add(name)
            continue
        family = {known for known in EVENT_TYPES if name.endswith(".*") and known.startswith(name[:-1])}
        if not family:
            raise InvalidRequest([field_error(("types",), f"{name!r} is not an event type; see GET /v1/arch")])
        wanted |= family
    return frozenset(wanted)


def cursor_of(text: str | None, fallback: int = 0) -> int:
    """A cursor from a header or query; ``fallback`` if there is none. Raises ``InvalidRequest``."""
    if text is None or text == "":
        return fallback
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InvalidRequest([field_error(("after",), "must be the number of an event")])
    return int(text)


async def first_done(*work: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; end the others; raise what it raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


# ------------------------------------------------------------------------------------------------------- WebSocket


async def deny_socket(websocket: WebSocket, error: SessionError) -> None:
    """Answer the opening request with a problem instead of an upgrade."""
    await websocket.send_denial_response(problem_response(error, websocket.url.path))


async def accept(websocket: WebSocket) -> None:
    """Upgrade; confirm our subprotocol if the client offered it."""
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)


async def serve_stream(websocket: WebSocket, service: Service, session: Session) -> None:
    """Send frames until the client leaves or the session ends. Raises ``SessionError`` before the upgrade."""
    query = websocket.query_params
    check_parameters(query, _PARAMETERS)
    subscription = session.feed.subscribe(cursor_of(query.get("after")), wanted_types(query.get("types")))
    try:
        await accept(websocket)
        await first_done(_send_frames(websocket, subscription), _until_gone(websocket))
        if (
            websocket.application_state is WebSocketState.CONNECTED
            and websocket.client_state is WebSocketState.CONNECTED
        ):
            code = GOING_AWAY if service.stopping else ENDED if session.ended else UNSUPPORTED_DATA
            await websocket.close(code, session.ended or "a stream takes no messages")
    finally:
        subscription.close()


async def _send_frames(websocket: WebSocket, subscription: Subscription) -> None:
    send = websocket.send
    while (frame := await subscription.next()) is not None:
        await send({"type": "websocket.send", "text": frame.text})


async def _until_gone(websocket: WebSocket) -> None:
    """Ends when the client closes, or says something: a stream takes no messages."""
    await websocket.receive()


# ------------------------------------------------------------------------------------------------------------- SSE


class EventStream(Response):
    """Frames as server-sent events, each with its last event's number as ``id``."""

    media_type = "text/event-stream"

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves or the session ends."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await first_done(self._frames(send), _until_disconnect(receive))
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._subscription.close()

    async def _frames(self, send: Send) -> None:
        pending: asyncio.Future[Any] | None = None
        try:
            while True:
                pending = pending or asyncio.ensure_future(self._subscription.next())
                done, _ = await asyncio.wait((pending,), timeout=KEEP_ALIVE_S)
                if not done:
                    await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
                    continue
                frame = pending.result()
                if frame is None:
                    return
                pending = None
                body = f"id: {frame.last}\ndata: {frame.text}\n\n".encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            if pending is not None:
                pending.cancel()


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
