"""Snapshots of a whole machine, going back to one, and sessions that begin at one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from itsbox.api import examples
from itsbox.api.answers import Forked, Restored, SnapshotInfo, SnapshotList
from itsbox.api.body import no_body, read_json
from itsbox.api.describe import describe, link
from itsbox.api.render import json_response, session_json, snapshot_json
from itsbox.api.requests import ForkRequest, RestoreRequest
from itsbox.api.routes.common import ServiceDep, SessionDep, session_path

__all__ = ["router"]

router = APIRouter(tags=["snapshots"])

SnapshotId = Annotated[str, Path(description="A snapshot's id.", max_length=64)]
_LINKS = {
    "get_snapshot": link("get_snapshot", session_id="$request.path.session_id", snapshot_id="$response.body#/id"),
    "delete_snapshot": link("delete_snapshot", session_id="$request.path.session_id", snapshot_id="$response.body#/id"),
    "restore": {
        "operationId": "restore_session",
        "parameters": {"session_id": "$request.path.session_id"},
        "requestBody": {"snapshot": "$response.body#/id"},
    },
    "fork": {
        "operationId": "fork_session",
        "parameters": {"session_id": "$request.path.session_id"},
        "requestBody": {"count": 1, "snapshot": "$response.body#/id"},
    },
}


@router.post(
    f"{session_path}/snapshots",
    response_model=SnapshotInfo,
    **describe(status=201, doc="The snapshot.", example=examples.SNAPSHOT, links=_LINKS),
)
async def create_snapshot(request: Request, service: ServiceDep, session: SessionDep) -> Response:
    """Freeze the whole machine as it is."""
    no_body(request)
    record = await session.take_snapshot(service.sessions.clock())
    where = {"location": f"/v1/sessions/{session.id}/snapshots/{record.id}"}
    return json_response(snapshot_json(record), 201, where)


@router.get(
    f"{session_path}/snapshots", response_model=SnapshotList, **describe(example={"snapshots": [examples.SNAPSHOT]})
)
async def list_snapshots(session: SessionDep) -> Response:
    """All snapshots of a session, oldest first."""
    return json_response({"snapshots": [snapshot_json(record) for record in await session.snapshots()]})


@router.delete(f"{session_path}/snapshots", **describe(status=204, doc="The session has no snapshots any more."))
async def delete_snapshots(session: SessionDep) -> Response:
    """Forget all snapshots of a session."""
    await session.forget_snapshots()
    return Response(status_code=204)


@router.get(
    f"{session_path}/snapshots/{{snapshot_id}}", response_model=SnapshotInfo, **describe(example=examples.SNAPSHOT)
)
async def get_snapshot(session: SessionDep, snapshot_id: SnapshotId) -> Response:
    """One snapshot."""
    return json_response(snapshot_json(await session.snapshot_record(snapshot_id)))


@router.delete(
    f"{session_path}/snapshots/{{snapshot_id}}", **describe(status=204, doc="There is no such snapshot any more.")
)
async def delete_snapshot(session: SessionDep, snapshot_id: SnapshotId) -> Response:
    """Forget a snapshot. Forgetting one that is not there is not an error; sessions made from it stay."""
    await session.forget_snapshot(snapshot_id)
    return Response(status_code=204)


@router.post(
    f"{session_path}/restore",
    response_model=Restored,
    **describe(
        example={"state_hash": examples.SNAPSHOT["state_hash"], "epoch": 2, "seq": 14, "step": 7},
        form=RestoreRequest,
        body={"snapshot": examples.SNAPSHOT["id"]},
    ),
)
async def restore_session(request: Request, session: SessionDep) -> Response:
    """Make the machine exactly what it was at a snapshot. Events go on; the epoch grows."""
    asked = read_json(request, RestoreRequest)
    await session.restore(asked.snapshot)
    return json_response(
        {
            "state_hash": session.state_hash(),
            "epoch": session.epoch,
            "seq": session.seq,
            "step": session.machine.step,
        }
    )


@router.post(
    f"{session_path}/fork",
    response_model=Forked,
    **describe(
        status=201,
        doc="The new sessions.",
        example={"sessions": [examples.SESSION]},
        form=ForkRequest,
        body={"count": 1},
        optional=True,
        links={"get_session": link("get_session", session_id="$response.body#/sessions/0/id")},
    ),
)
async def fork_session(request: Request, service: ServiceDep, session: SessionDep) -> Response:
    """Make sessions that start as this one is now, or was at a snapshot. Memory is shared until written."""
    asked = read_json(request, ForkRequest, optional=True)
    made = await service.sessions.fork(session, asked.count, asked.snapshot)
    return json_response({"sessions": [session_json(child, child.born) for child in made]}, 201)
