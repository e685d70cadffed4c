"""Sessions: made, listed, looked up, changed, ended."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from itsbox.api import examples
from itsbox.api.answers import SessionInfo, SessionList
from itsbox.api.body import read_json
from itsbox.api.describe import describe, link
from itsbox.api.problems import InvalidRequest, field_error
from itsbox.api.render import json_response, session_json
from itsbox.api.requests import KEY_MAX, VALUE_MAX, CreateSession, HardeningChoice, PatchSession
from itsbox.api.routes.common import ServiceDep, SessionDep, SessionId, session_path
from itsbox.machine import ConfigError, MachineConfig
from itsbox.sessions.errors import InvalidField

__all__ = ["configuration", "router"]

router = APIRouter(tags=["sessions"])

_ID = "$response.body#/id"
_LINKS = {
    operation: link(operation, session_id=_ID)
    for operation in (
        "get_session", "patch_session", "delete_session", "mmio_read", "mmio_write", "memory_load", "memory_store",
        "run_ops", "get_state", "get_registers", "get_queues", "list_events", "list_violations", "get_journal",
        "create_snapshot", "fork_session",
    )
}  # fmt: skip


def configuration(asked: CreateSession) -> MachineConfig:
    """The machine that a request describes. Raises ``InvalidField`` naming what cannot be."""
    hardening = asked.hardening
    try:
        return MachineConfig.make(
            profile=asked.profile,
            cpus=asked.cpus,
            ram_mib=asked.ram_mib,
            hardening=hardening.model_dump() if isinstance(hardening, HardeningChoice) else hardening,
            start=asked.start,
            error_policy=asked.error_policy,
            quirks=asked.quirks,
            oracle=asked.oracle,
        )
    except ConfigError as error:
        raise InvalidField(error.field, error.message) from error


@router.post(
    "/v1/sessions",
    response_model=SessionInfo,
    **describe(
        status=201,
        doc="The session; `Location` is its address.",
        example=examples.SESSION,
        form=CreateSession,
        body=examples.SESSION_REQUEST,
        optional=True,
        links=_LINKS,
    ),
)
async def create_session(request: Request, service: ServiceDep) -> Response:
    """Make a machine in a session of its own."""
    asked = read_json(request, CreateSession, optional=True)
    session = service.sessions.create(configuration(asked), asked.metadata, asked.idle_timeout_s)
    where = {"location": f"/v1/sessions/{session.id}"}
    return json_response(session_json(session, session.born), 201, where)


@router.get(
    "/v1/sessions",
    response_model=SessionList,
    **describe(example={"sessions": [examples.SESSION], "next": None}),
)
async def list_sessions(
    request: Request,
    service: ServiceDep,
    state: Annotated[Literal["running", "crashed"] | None, Query(description="Only sessions in this state.")] = None,
    cursor: Annotated[str, Query(description="`next` of the page before.", max_length=64)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Sessions, oldest first. `metadata.KEY=VALUE`, for any number of keys, finds those with that metadata."""
    wanted = {
        name.removeprefix("metadata."): value
        for name, value in request.query_params.multi_items()
        if name.startswith("metadata.")
    }
    for key, value in wanted.items():
        if not 1 <= len(key) <= KEY_MAX or len(value) > VALUE_MAX:
            raise InvalidRequest([field_error((f"metadata.{key}",), "no session can have such metadata")])
    found, following = service.sessions.page(cursor, limit, state, wanted)
    return json_response({"sessions": [session_json(session) for session in found], "next": following})


@router.get(
    session_path,
    response_model=SessionInfo,
    **describe(example=examples.SESSION, links={"delete": link("delete_session", session_id=_ID)}),
)
async def get_session(session: SessionDep) -> Response:
    """A session as it is now."""
    return json_response(session_json(session))


@router.patch(
    session_path,
    response_model=SessionInfo,
    **describe(example=examples.SESSION, form=PatchSession, body={"metadata": {"job": "ci-8"}, "idle_timeout_s": 600}),
)
async def patch_session(request: Request, service: ServiceDep, session: SessionDep) -> Response:
    """Replace the metadata, the idle timeout, or both."""
    asked = read_json(request, PatchSession)
    service.sessions.change(session, asked.metadata, asked.idle_timeout_s)
    return json_response(session_json(session))


@router.delete(session_path, **describe(status=204, doc="There is no such session any more."))
async def delete_session(service: ServiceDep, session_id: SessionId) -> Response:
    """End a session. Ending one that is not there is not an error."""
    await service.sessions.close(session_id, "deleted")
    return Response(status_code=204)
