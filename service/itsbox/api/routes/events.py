"""Events of a session: pulled, streamed over a WebSocket or as server-sent events; and the lane, ops over a WebSocket."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response, WebSocket, WebSocketDisconnect

from itsbox.api import answers, examples
from itsbox.api.describe import describe
from itsbox.api.lane import serve_lane
from itsbox.api.render import json_response
from itsbox.api.routes.common import ServiceDep, SessionDep, session_path
from itsbox.api.service import Service
from itsbox.api.stream import TYPES_PATTERN, EventStream, cursor_of, deny_socket, serve_stream, wanted_types
from itsbox.events import render
from itsbox.sessions.errors import SessionError

__all__ = ["router"]

router = APIRouter(tags=["events"])

_TYPES_DOC = "Event types, separated by commas; `trap.*` means a family. All if left out."
_After = Annotated[int, Query(ge=0, description="Number of the last event already seen.")]
_Types = Annotated[
    str | None, Query(description=_TYPES_DOC, max_length=1024, json_schema_extra={"pattern": TYPES_PATTERN})
]


@router.get(f"{session_path}/events", response_model=answers.EventPage, **describe(example=examples.EVENT_PAGE))
async def list_events(
    session: SessionDep,
    after: _After = 0,
    types: _Types = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """Events behind a cursor, oldest first. `next` is the cursor of the next page, also where a filter hides events."""
    wanted = wanted_types(types)
    ring = session.ring
    cursor = min(after, ring.head)
    page: dict[str, Any] = {"epoch": session.epoch, "events": []}
    if cursor < ring.first - 1:
        page["gap"] = {"from": cursor + 1, "to": ring.first - 1}
        cursor = ring.first - 1
    for seq, event in ring.slice(cursor, ring.head):
        if wanted is None or event[0].name in wanted:
            if len(page["events"]) == limit:
                break
            page["events"].append({"seq": seq, **render(event)})
        cursor = seq
    return json_response({**page, "next": cursor, "head": ring.head})


@router.get(
    f"{session_path}/events:stream",
    response_class=Response,
    **describe(
        media_type="text/event-stream",
        example=examples.SSE,
        doc="Frames as on the WebSocket, each with the number of its last event as `id`.",
    ),
)
async def stream_events(
    session: SessionDep,
    after: _After = 0,
    types: _Types = None,
    last_event_id: Annotated[str | None, Header(description="Takes the place of `after`.")] = None,
) -> Response:
    """The same frames as server-sent events; stays open."""
    subscription = session.feed.subscribe(cursor_of(last_event_id, after), wanted_types(types))
    return EventStream(subscription)


@router.websocket(f"{session_path}/stream")
async def stream(websocket: WebSocket, service: ServiceDep, session_id: str) -> None:
    """Events as they happen, from a cursor on (openapi/asyncapi.yaml)."""
    await _over_websocket(websocket, service, session_id, serve_stream)


@router.websocket(f"{session_path}/lane")
async def lane(websocket: WebSocket, service: ServiceDep, session_id: str) -> None:
    """Packed frames of ops, answered in order (docs/wire.md)."""
    await _over_websocket(websocket, service, session_id, serve_lane)


async def _over_websocket(websocket: WebSocket, service: Service, session_id: str, serve: Any) -> None:
    try:
        session = service.sessions.find(session_id)
        await serve(websocket, service, session)
    except SessionError as error:
        await deny_socket(websocket, error)
    except WebSocketDisconnect:
        return  # the client vanished while something was being sent to it: an end like another, with nobody left to tell
