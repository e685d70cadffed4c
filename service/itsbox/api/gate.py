"""The outermost layer: access, body bound, fast path, idempotency, counting, and the last word on any failure.

A plain ASGI application, because a framework middleware would cost more than the ops behind it. What gets past it has an
acceptable Host and Origin, a key if keys are needed, and a complete body of bounded size in ``scope[BODY]``.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from itsbox.api import idempotency
from itsbox.api.body import BODY, ClientGone, receive_body
from itsbox.api.fastpath import FIRST_MESSAGE
from itsbox.api.problems import Unacceptable, internal_error, problem_response
from itsbox.api.service import Service
from itsbox.sessions.errors import SessionError

__all__ = ["ANSWERED", "Gate"]

#: Set by whoever has logged a failure and answered it.
ANSWERED: Final = "itsbox.answered"
_NO_STREAM: Final = "there is no stream at this path; openapi/asyncapi.yaml lists them"
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class Gate:
    """The service as an ASGI application. ``service`` is what its routes work on."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope."""
        if scope["type"] == "http":
            fast = self.service.fast
            if fast is None or scope["method"] != "POST" or not await fast.serve(scope, receive, send):
                await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        service = self.service
        headers = dict(scope["headers"])
        method, path = scope["method"], scope["path"]
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            service.access.check(headers, method, path)
            if BODY not in scope:
                scope[BODY] = b""
                declared = headers.get(b"content-length")
                if method in _WITH_BODY and declared != b"0" and (declared or b"transfer-encoding" in headers):
                    cap = service.settings.limits.request_bytes
                    scope[BODY] = await receive_body(receive, declared, cap, scope.get(FIRST_MESSAGE))
            if method == "POST" and idempotency.HEADER in headers:
                await service.idempotency.serve(self.app, scope, receive, watched)
            else:
                await self.app(scope, receive, watched)
        except ClientGone:
            status = 499
        except SessionError as error:
            await problem_response(error, path)(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 - the last word on any failure is ours
            if not scope.get(ANSWERED):
                problem = internal_error(error, method, path)
                if not status:
                    await problem_response(problem, path)(scope, receive, watched)
        finally:
            service.metrics.count(method, _route(scope), status, perf_counter() - started)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        accepted = lost = False

        async def watched(message: Message) -> None:
            nonlocal accepted, lost
            accepted = accepted or message["type"] == "websocket.accept"
            if message["type"] == "websocket.close" and not accepted:
                lost = True  # routing found no such path, for which the server would answer a bare 403
            else:
                await send(message)

        try:
            self.service.access.check(dict(scope["headers"]), "GET", path, websocket=True)
            await self.app(scope, receive, watched)
            if lost:
                await deny(Unacceptable("not-found", _NO_STREAM), path, receive, send)
        except SessionError as error:
            await deny(error, path, receive, send)
        except Exception as error:  # noqa: BLE001 - as above
            problem = internal_error(error, "WEBSOCKET", path)
            if accepted:
                await send({"type": "websocket.close", "code": 1011, "reason": "a defect of the service"})
            else:
                await deny(problem, path, receive, send)


async def deny(error: SessionError, path: str, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's opening request with a problem instead of an upgrade."""
    response = problem_response(error, path)
    await receive()  # the connect message
    headers: Iterable[tuple[bytes, bytes]] = response.raw_headers
    await send({"type": "websocket.http.response.start", "status": error.status, "headers": list(headers)})
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


def _route(scope: Scope) -> str:
    """The route's template: what a label may carry."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or "other"
