"""Ops: what the host, or a device, does. One at a time, or many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from itsbox.api import answers, examples
from itsbox.api.body import BODY, PACKED, check_ops, content_type, read_json
from itsbox.api.describe import describe
from itsbox.api.frame_answers import encode_answer
from itsbox.api.frame_requests import decode_frame
from itsbox.api.op_bodies import Batch, DriverArguments
from itsbox.api.optable import OP_ROUTES, OpRoute
from itsbox.api.render import json_response, op_bytes, run_json
from itsbox.api.routes.common import ServiceDep, SessionDep, session_path
from itsbox.host.calls import CALLS
from itsbox.host.errors import DriverCallError
from itsbox.ops import Drive
from itsbox.sessions.errors import InvalidField

__all__ = ["router"]

router = APIRouter(tags=["ops"])

_ANSWERS = {
    "mmio_read": answers.MmioReadAnswer,
    "mmio_write": answers.MmioWriteAnswer,
    "memory_load": answers.LoadAnswer,
    "hvc": answers.HvcAnswer,
    "msi": answers.MsiAnswer,
    "ack": answers.AckAnswer,
}


def _op_route(row: OpRoute) -> Callable[..., Awaitable[Response]]:
    async def single_op(request: Request, service: ServiceDep, session: SessionDep) -> Response:
        op = read_json(request, row.form).to_op()
        check_ops(((None, (op,)),), session, service.settings.limits, batch=False)
        return Response(op_bytes(await session.run_one(op)), media_type="application/json")

    single_op.__name__ = row.name
    single_op.__doc__ = row.form.__doc__
    return single_op


for _row in OP_ROUTES:
    _body, _example = examples.OPS[_row.name]
    router.add_api_route(
        f"{session_path}/{_row.path}",
        _op_route(_row),
        methods=["POST"],
        response_model=_ANSWERS.get(_row.name, answers.OpAnswer),
        response_model_exclude_unset=True,
        **describe(example=_example, form=_row.form, body=_body, doc="What came of it."),
    )


@router.post(
    f"{session_path}/driver/{{call}}",
    response_model=answers.DriverAnswer,
    **describe(
        example=examples.DRIVER_ANSWER,
        form=DriverArguments,
        body=examples.DRIVER_ARGUMENTS,
        optional=True,
        doc="What the driver printed and answered.",
    ),
)
async def drive(
    request: Request,
    service: ServiceDep,
    session: SessionDep,
    call: Annotated[str, Path(description="What to do.", max_length=64, json_schema_extra={"enum": [*CALLS]})],
) -> Response:
    """The built-in host driver is asked to do something. The body is the object of the call's arguments itself."""
    op = Drive(call, read_json(request, DriverArguments, optional=True).root)
    try:
        session.machine.check(op)
    except DriverCallError as error:
        raise InvalidField(error.field, error.message) from error
    return Response(op_bytes(await session.run_one(op)), media_type="application/json")


@router.post(
    f"{session_path}/ops",
    response_model=answers.BatchAnswer,
    **describe(
        example=examples.BATCH_ANSWER,
        form=Batch,
        body=examples.BATCH,
        packed=True,
        doc="A result for each op that was executed; as a packed frame if the request was one.",
    ),
)
async def run_ops(request: Request, service: ServiceDep, session: SessionDep) -> Response:
    """Execute many ops in order. Nothing runs unless all of them are well formed."""
    limits = service.settings.limits
    if content_type(request) == PACKED:
        frame = decode_frame(request.scope[BODY], limits.ops_per_request)
        check_ops(frame.parts, session, limits, batch=True)
        run = await session.run_parts(frame.parts, frame.stops)
        return Response(encode_answer(run, frame, session.state_hash() if frame.hash else None), media_type=PACKED)
    asked = read_json(request, service.batch, list_cap="ops_per_request")
    ops = asked.to_ops()
    check_ops(((None, ops),), session, limits, batch=True)
    run = await session.run(ops, frozenset(asked.stop_on))
    return json_response(run_json(run, session.state_hash() if asked.hash else None))
