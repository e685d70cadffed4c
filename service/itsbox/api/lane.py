"""The lane: packed frames over a WebSocket, one answer per frame, in order.

For clients that cannot wait a round trip per request: several frames may be in flight, told apart by their tags. A frame that
is refused is answered with a problem in a frame, and the lane stays open.
"""

from __future__ import annotations

from starlette.websockets import WebSocket

from itsbox.api.body import check_ops, check_parameters
from itsbox.api.frame_answers import encode_answer, encode_problem
from itsbox.api.frame_requests import decode_frame, tag_of
from itsbox.api.problems import Unacceptable, problem_bytes
from itsbox.api.service import Service
from itsbox.api.stream import ENDED, accept
from itsbox.sessions.errors import CapExceeded, SessionError, SessionNotFound
from itsbox.sessions.session import Session

__all__ = ["serve_lane"]


async def serve_lane(websocket: WebSocket, service: Service, session: Session) -> None:
    """Answer frames until the client leaves or the session ends. Raises ``SessionError`` before the upgrade."""
    check_parameters(websocket.query_params, frozenset())
    await accept(websocket)
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        frame = message.get("bytes")
        if frame is None:
            answer = encode_problem(
                _problem(Unacceptable("malformed-frame", "a frame is a binary message"), websocket), 0
            )
        else:
            answer = await _answer(frame, websocket, service, session)
        await websocket.send_bytes(answer)
        if session.ended:
            await websocket.close(ENDED, session.ended)
            return


async def _answer(frame: bytes, websocket: WebSocket, service: Service, session: Session) -> bytes:
    limits = service.settings.limits
    try:
        if len(frame) > limits.request_bytes:
            raise CapExceeded("request_bytes", limits.request_bytes, len(frame), "the frame is too large", status=413)
        request = decode_frame(frame, limits.ops_per_request)
        service.sessions.find(session.id)  # it is in use, or it has ended
        check_ops(request.parts, session, limits, batch=True)
        run = await session.run_parts(request.parts, request.stops)
        return encode_answer(run, request, session.state_hash() if request.hash else None)
    except SessionError as error:
        if isinstance(error, SessionNotFound) and session.ended is None:
            raise
        return encode_problem(_problem(error, websocket), tag_of(frame))


def _problem(error: SessionError, websocket: WebSocket) -> bytes:
    return problem_bytes(error, websocket.url.path)
