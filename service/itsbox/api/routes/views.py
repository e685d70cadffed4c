"""Looking at a session: nothing here changes it, and all of it works on a crashed one as far as its machine allows."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Response

from itsbox.api import answers, examples
from itsbox.api.describe import describe
from itsbox.api.numbers import U64_MAX
from itsbox.api.problems import InvalidRequest, field_error
from itsbox.api.render import json_response, op_json
from itsbox.api.routes.common import InQuery, ServiceDep, SessionDep, session_path
from itsbox.machine import TooManySteps
from itsbox.sessions.errors import CapExceeded

__all__ = ["router"]

router = APIRouter(tags=["looking"])

_PHYSICAL_MAX: Final = 64 * 1024
#: Pages are answered run-length encoded, so a range may be all of RAM and the devices below it.
_PAGES_MAX: Final = (1 << 36) - 1
_VIEWS: Final = ("host", "hw", "diff")

_Addr = Annotated[int, InQuery(0, U64_MAX), Query(description="Physical address, decimal or 0x...")]


@router.get(f"{session_path}/state", response_model=answers.StateAnswer, **describe(example=examples.STATE))
async def get_state(service: ServiceDep, session: SessionDep) -> Response:
    """The ITS's tables and the pending LPIs, decoded from RAM by the current registers."""
    most = service.settings.limits.state_steps
    try:
        return json_response(session.machine.state(most))
    except TooManySteps:
        why = "the tables name more memory than one answer looks at"
        raise CapExceeded("state_steps", most, most, why, status=413) from None


@router.get(
    f"{session_path}/registers", response_model=dict[str, answers.Register], **describe(example=examples.REGISTERS)
)
async def get_registers(session: SessionDep) -> Response:
    """Every register by name: value, decoded fields, and what the hypervisor does with the host's access."""
    return json_response(session.machine.registers())


@router.get(f"{session_path}/queues", response_model=answers.Queues, **describe(example=examples.QUEUES))
async def get_queues(session: SessionDep) -> Response:
    """The command queue as the host has it and as hardware has it, with the entries around the pointers."""
    return json_response(session.machine.queues())


@router.get(f"{session_path}/tables/{{kind}}", response_model=dict[str, Any], **describe(example=examples.TABLE))
async def get_table(
    session: SessionDep,
    kind: Literal["device", "collection", "vpe"],
    view: Annotated[
        str,
        Query(
            description="One or more of host, hw and diff, separated by commas.",
            max_length=64,
            json_schema_extra={"pattern": "^(host|hw|diff)(,(host|hw|diff))*$"},
        ),
    ] = "hw",
) -> Response:
    """Level 1 and level 2 of a table: as the host sees it, as hardware reads it, or where they differ.

    With several views asked for, the answer has each under its name.
    """
    wanted = view.split(",")
    if any(name not in _VIEWS for name in wanted):
        raise InvalidRequest([field_error(("view",), f"must be one or more of {', '.join(_VIEWS)}")])
    shown = {name: session.machine.tables(kind, name) for name in wanted}
    return json_response(shown if len(wanted) > 1 else shown[view])


@router.get(f"{session_path}/pages", response_model=list[answers.PageRun], **describe(example=examples.PAGES))
async def get_pages(
    session: SessionDep,
    addr: Annotated[
        int | None, InQuery(0, U64_MAX), Query(description="Physical address; RAM's start if left out.")
    ] = None,
    length: Annotated[int | None, InQuery(1, _PAGES_MAX), Query(description="Bytes; all of RAM if left out.")] = None,
) -> Response:
    """Owner, state, pins and use of each page of a range, run-length encoded."""
    where = session.machine.map
    return json_response(
        session.machine.pages(where.ram if addr is None else addr, where.ram_bytes if length is None else length)
    )


@router.get(
    f"{session_path}/physical", response_model=answers.Physical, **describe(example={"hex": "0900000000000000"})
)
async def get_physical(
    session: SessionDep,
    addr: _Addr,
    length: Annotated[int, InQuery(1, _PHYSICAL_MAX), Query(description="Bytes.")],
) -> Response:
    """Bytes as they are in RAM, past stage 2, zeros where there is none. For people and tests: the host has no such way."""
    return json_response({"hex": session.machine.physical(addr, length).hex()})


@router.get(
    f"{session_path}/violations", response_model=list[answers.Violation], **describe(example=[examples.VIOLATION])
)
async def list_violations(session: SessionDep) -> Response:
    """Everything that the oracle has objected to so far."""
    return json_response([violation.wire() for violation in session.machine.violations])


@router.get(f"{session_path}/diagnosis", response_model=dict[str, Any], **describe(example=examples.DIAGNOSIS))
async def get_diagnosis(session: SessionDep) -> Response:
    """Why the command queue does not move, if it does not: pointers, the last refused command, each hypothesis judged."""
    return json_response(session.machine.diagnosis())


@router.get(f"{session_path}/journal", response_model=answers.JournalPage, **describe(example=examples.JOURNAL))
async def get_journal(
    session: SessionDep,
    after: Annotated[int, Query(ge=0, description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Response:
    """The ops since the session's start or its last restore; sent again, in order, they lead to the same state."""
    page = await session.journal(after, limit)
    following = page.first + len(page.ops) - 1
    return json_response(
        {
            "ops": [op_json(op) for op in page.ops],
            "next": following,
            "head": page.head,
            "first": page.first,
            "snapshot": page.origin,
        }
    )
