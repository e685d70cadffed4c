"""The application: FastAPI for routing and documentation, the gate around it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

import itsbox
from itsbox.api import openapi
from itsbox.api.body import check_parameters
from itsbox.api.gate import ANSWERED, Gate
from itsbox.api.logs import configure_logs
from itsbox.api.problems import InvalidRequest, field_error, internal_error, message_of, of_status, problem_response
from itsbox.api.routes import catalogue, events, ops, scenarios, service, sessions, snapshots, views
from itsbox.api.service import Service
from itsbox.api.settings import Settings
from itsbox.api.static import static_routes
from itsbox.sessions.errors import SessionError
from itsbox.sessions.host import SessionHost

__all__ = ["create_app"]

#: Seconds between two looks for sessions whose time is up.
_SWEEP_S: Final = 1.0
#: Hot routes first: a route costs about a microsecond for each that is tried before it.
_ROUTERS: Final = (
    ops.router,
    sessions.router,
    events.router,
    snapshots.router,
    views.router,
    scenarios.router,
    catalogue.router,
    service.router,
)

#: Paths that only a WebSocket finds.
_SOCKETS: Final = re.compile(r"/v1/sessions/[^/]+/(stream|lane)")
_SOCKET_DETAIL: Final = "this path speaks WebSocket only; openapi/asyncapi.yaml describes it"
#: What routing means by a bare status.
_DETAILS: Final = {
    404: "there is nothing at this path; GET /openapi.json lists the paths there are",
    405: "the path exists, but not with this method; the Allow header lists those it has",
}

_log = structlog.get_logger("itsbox.api")


def create_app(settings: Settings | None = None, sessions: SessionHost | None = None) -> Gate:
    """The service as an ASGI application. Settings come from the environment if none are given."""
    if not structlog.is_configured():
        configure_logs()  # structlog's own default paints tracebacks for minutes
    state = Service(settings or Settings(), sessions)
    app = _framework(state)
    for router in _ROUTERS:
        app.include_router(router)
    app.include_router(static_routes())
    app.openapi = openapi.document  # type: ignore[method-assign]
    return Gate(app, state)


def _framework(state: Service) -> FastAPI:
    app = FastAPI(
        title="itsbox",
        version=itsbox.__version__,
        summary=itsbox.__doc__,
        docs_url=None,  # the framework's pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        lifespan=_lifespan,
        dependencies=[Depends(refuse_unknown_parameters)],
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.service = state
    app.add_exception_handler(SessionError, _on_session_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.add_exception_handler(HTTPException, _on_status)
    app.add_exception_handler(Exception, _on_defect)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


async def refuse_unknown_parameters(request: HTTPConnection) -> None:
    """A query parameter that the route does not have, or has once, is a mistake, not to be passed over in silence."""
    if request.scope["type"] != "http":
        return  # a stream judges its own
    route = request.scope["route"]
    known = {field.alias for field in route.dependant.query_params}
    given = request.query_params
    if route.name == "list_sessions":
        known |= {name for name in given if name.startswith("metadata.")}
    check_parameters(given, known)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: Service = app.state.service
    state.sweeper = asyncio.create_task(_sweep(state))
    try:
        yield
    finally:
        state.sweeper.cancel()
        await state.drain()


async def _sweep(state: Service) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        try:
            await state.sessions.sweep()
        except Exception as error:  # noqa: BLE001 - one session's failure must not keep the others alive for ever
            _log.error("sweep failed", exc_info=error)


async def _on_session_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, SessionError):
        raise error
    return problem_response(error, request.url.path)


async def _on_invalid_parameter(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [field_error(tuple(item["loc"][1:]), message_of(item)) for item in error.errors()]
    return problem_response(InvalidRequest(errors), request.url.path)


async def _on_status(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    detail = _SOCKET_DETAIL if _SOCKETS.fullmatch(path) else _DETAILS.get(error.status_code, error.detail)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = openapi.methods_at(path)  # the framework names those of one route only
    return problem_response(of_status(error.status_code, detail), path, headers)


async def _on_defect(request: Request, error: Exception) -> Response:
    request.scope[ANSWERED] = True
    return problem_response(internal_error(error, request.method, request.url.path), request.url.path)
