"""Reading requests: the body once and bounded, JSON by its content type, ops checked against the session's machine."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import Message, Receive

from itsbox.api.problems import InvalidRequest, Unacceptable, field_error, validation_problem
from itsbox.host.errors import DriverCallError
from itsbox.ops import Ack, Drive, Load, MmioWrite
from itsbox.sessions.errors import CapExceeded
from itsbox.sessions.limits import Limits
from itsbox.sessions.runs import Part
from itsbox.sessions.session import Session

__all__ = ["BODY", "JSON", "PACKED", "check_ops", "check_parameters", "content_type", "read_json", "receive_body"]

#: Where the gate leaves the body for whoever serves the request.
BODY: Final = "itsbox.body"
JSON: Final = "application/json"
PACKED: Final = "application/octet-stream"

M = TypeVar("M", bound=BaseModel)


class ClientGone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


async def receive_body(receive: Receive, declared: bytes | None, cap: int, first: Message | None = None) -> bytes:
    """The whole body, ``first`` being what was received already.

    Raises ``CapExceeded`` (413), before reading the body if its declared length says so, and ``ClientGone``.
    """
    if declared is not None and declared.isdigit() and int(declared) > cap:
        raise _too_large(cap, int(declared))
    message = first or await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, total = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            total += len(parts[-1])
            if total > cap:
                raise _too_large(cap, total)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise ClientGone
    if len(body) > cap:
        raise _too_large(cap, len(body))
    return body


def _too_large(cap: int, size: int) -> CapExceeded:
    return CapExceeded("request_bytes", cap, size, "the request body is too large", status=413)


def content_type(request: Request) -> str:
    """The media type of the body, without parameters, lower case; empty if there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_json(request: Request, form: type[M] | TypeAdapter[M], *, optional: bool = False, list_cap: str = "") -> M:
    """The body as a model. Raises 415, 400 (not JSON) or 422 (not of this form).

    ``optional``: no body at all means a body without fields.
    """
    body: bytes = request.scope[BODY]
    if optional and not body:
        body = b"{}"
    else:
        kind = content_type(request)
        if kind != JSON:
            raise Unacceptable("unsupported-media-type", f"send {JSON}, not {kind or 'a body without content type'}")
    try:
        if isinstance(form, TypeAdapter):
            return form.validate_json(body)
        return form.model_validate_json(body)
    except ValidationError as error:
        raise validation_problem(error, list_cap) from None


def check_parameters(given: QueryParams, known: Container[str]) -> None:
    """Refuse parameters that are not known, and known ones that are given twice: only one of them would count."""
    for name in given:
        if name not in known:
            raise InvalidRequest([field_error((name,), "is not a known parameter")])
        if len(given.getlist(name)) > 1:
            raise InvalidRequest([field_error((name,), "is given more than once")])


def no_body(request: Request) -> None:
    """Refuse a body where the route takes none; an empty object is as good as nothing."""
    if request.scope[BODY].strip() not in (b"", b"{}"):
        raise InvalidRequest([field_error((), "this request takes no body")])


def check_ops(parts: Sequence[Part], session: Session, limits: Limits, *, batch: bool) -> None:
    """What takes the machine to judge: a value wider than its access, a CPU or driver call that does not exist, long loads.

    Raises 422 naming op and field (counting each part's restore as an op), or 413. Nothing has run by then.
    """
    errors: list[dict[str, Any]] = []
    loaded = first = 0
    cpus = session.machine.config.cpus
    for name, ops in parts:
        first += name is not None
        for index, op in enumerate(ops, first):
            if isinstance(op, MmioWrite):
                if op.value >> 8 * op.size:
                    errors.append(_op_error(index, batch, "value", f"does not fit {op.size} byte(s)"))
            elif isinstance(op, Load):
                loaded += op.length
            elif isinstance(op, Ack) and op.cpu >= cpus:
                errors.append(_op_error(index, batch, "cpu", f"must be between 0 and {cpus - 1}"))
            elif isinstance(op, Drive):
                try:
                    session.machine.check(op)
                except DriverCallError as error:
                    field = error.field if error.field == "call" else f"args.{error.field}"
                    errors.append(_op_error(index, batch, field, error.message))
        first += len(ops)
    if errors:
        raise InvalidRequest(errors)
    if loaded > limits.answer_bytes:
        raise CapExceeded(
            "answer_bytes", limits.answer_bytes, loaded, "the loads of one request read too much together", status=413
        )


def _op_error(index: int, batch: bool, field: str, message: str) -> dict[str, Any]:
    return field_error(("ops", index, field) if batch else (field,), message)
