"""RFC 9457 problems: every answer that says "you did something wrong" or "we did" has this one form.

``type`` is a URN whose last part is stable and names the kind; ``instance`` is the path that was asked, or, for a defect of
ours, the URN of the incident that the log has one line about. A validation problem lists what is wrong in ``errors``, each
with its ``location`` (``ops.400.size``), the ``op`` index and the ``field``.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson
import structlog
from pydantic import ValidationError
from starlette.responses import Response

from itsbox.sessions.errors import CapExceeded, InvalidField, SessionError

__all__ = [
    "MEDIA_TYPE",
    "PROBLEMS",
    "InvalidRequest",
    "ProblemKind",
    "Unacceptable",
    "in_words",
    "internal_error",
    "message_of",
    "problem_bytes",
    "problem_response",
    "validation_problem",
]

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:itsbox:problem:"
_log = structlog.get_logger("itsbox.api")

#: Errors listed in one validation problem; a batch can hold thousands.
_ERRORS_SHOWN: Final = 20
_RETRY_AFTER_S: Final = 5


class ProblemKind(NamedTuple):
    """A kind of problem: the last part of its ``type``, its statuses, its title, and when it is answered."""

    kind: str
    statuses: tuple[int, ...]
    title: str
    doc: str


PROBLEMS: Final = {
    row.kind: row
    for row in (
        ProblemKind("malformed-json", (400,), "The body is not JSON", "The body cannot be parsed."),
        ProblemKind("bad-request", (400,), "Bad request", "The request is not one that HTTP or this service knows."),
        ProblemKind("host-not-allowed", (400,), "Host not allowed", "The Host header names no host of this service."),
        ProblemKind("unauthorized", (401,), "An API key is needed", "No key, or not one of the service's."),
        ProblemKind("origin-not-allowed", (403,), "Origin not allowed", "A web page of another origin is asking."),
        ProblemKind("not-found", (404,), "No such resource", "The path, scenario or table does not exist."),
        ProblemKind(
            "session-not-found", (404,), "No such session", "It never was, or it has ended (`ended` says how)."
        ),
        ProblemKind("snapshot-not-found", (404,), "No such snapshot", "The session has no snapshot of that id."),
        ProblemKind("method-not-allowed", (405,), "Method not allowed", "The path exists; `Allow` lists its methods."),
        ProblemKind("conflict", (409,), "Not possible in this state", "The request does not fit the present state."),
        ProblemKind("session-crashed", (409,), "The session has crashed", "It can be looked at, but not driven."),
        ProblemKind(
            "request-in-flight", (409,), "Still in progress", "A request with this Idempotency-Key is running."
        ),
        ProblemKind(
            "cap-exceeded", (413, 429), "A cap is reached", "`cap` names it, `limit` and `in_use` say how much."
        ),
        ProblemKind("unsupported-media-type", (415,), "Unsupported media type", "Send application/json."),
        ProblemKind(
            "invalid-request", (422,), "The request is not valid", "`errors` names each field; nothing was done."
        ),
        ProblemKind("malformed-frame", (422,), "The packed frame is not valid", "`errors` names record and field."),
        ProblemKind("key-reused", (422,), "Idempotency-Key reused", "The key was used for another request."),
        ProblemKind(
            "model-crash", (500,), "A defect of the service", "The machine model failed; the session is crashed."
        ),
        ProblemKind("internal-error", (500,), "A defect of the service", "The log has one line about `incident`."),
        ProblemKind("unavailable", (503,), "Not available now", "The service is starting, stopping or overloaded."),
    )
}

#: Kinds for a status that something below us raised without one.
_BY_STATUS: Final = {
    400: "bad-request",
    401: "unauthorized",
    403: "origin-not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    413: "cap-exceeded",
    415: "unsupported-media-type",
    422: "invalid-request",
    503: "unavailable",
}


class Unacceptable(SessionError):
    """A request that a kind of ``PROBLEMS`` describes."""

    def __init__(self, kind: str, detail: str, **members: object) -> None:
        super().__init__(detail, **members)
        row = PROBLEMS[kind]
        self.kind, self.title, self.status = kind, row.title, row.statuses[0]


class InvalidRequest(Unacceptable):
    """One or more fields are wrong; ``errors`` as in the module's docstring."""

    def __init__(self, errors: list[dict[str, Any]], kind: str = "invalid-request") -> None:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = f"{first['location']}: " if first["location"] else ""
        members: dict[str, Any] = {"errors": errors[:_ERRORS_SHOWN]}
        if len(errors) > _ERRORS_SHOWN:
            members["errors_total"] = len(errors)
        indexes = [error["op"] for error in errors if "op" in error]
        if indexes:
            members["index"] = indexes[0]
        super().__init__(kind, f"{where}{first['message']}{more}", **members)


def field_error(location: tuple[int | str, ...], message: str) -> dict[str, Any]:
    """One entry of ``errors``; ``ops.N`` at the front of the location makes it an op's."""
    shown: dict[str, Any] = {"location": ".".join(map(str, location))}
    if len(location) > 1 and location[0] == "ops" and isinstance(location[1], int):
        shown["op"] = location[1]
        location = location[2:]
    shown["field"] = ".".join(map(str, location))
    shown["message"] = message
    return shown


#: What pydantic appends to a location that is a key and not the value at it.
_KEY: Final = "[key]"
_MESSAGES: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "union_tag_not_found": "is required",
    "model_attributes_type": "should be an object",
    "dict_type": "should be an object",
}


def _own_location(error: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Pydantic's location without the names of union members, and the mark of a key, that it puts in."""
    loc: tuple[int | str, ...] = error["loc"]
    if loc[-1:] == (_KEY,):
        loc = loc[:-1]
    if loc[:1] == ("ops",) and len(loc) > 1:
        if error["type"].startswith("union_tag"):
            return (*loc[:2], "op")
        return (*loc[:2], *loc[3:])
    if loc[:1] == ("hardening",):
        return (loc[0], *loc[2:])
    if loc[:1] == ("quirks",):
        return loc[:2]
    return loc


def message_of(error: Mapping[str, Any]) -> str:
    """What one error of a failed validation says, without pydantic's own words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "union_tag_invalid":
        return f"{context['tag']!r} is not an op; must be one of {context['expected_tags']}"
    if kind == "too_long":
        return f"must have at most {context['max_length']} items"
    text = _MESSAGES.get(kind) or str(error["msg"])
    text = text.removeprefix("Input ").removeprefix("String ").removeprefix("Value error, ")
    return f"its name {text}" if error["loc"][-1:] == (_KEY,) else text


def in_words(error: ValidationError) -> str:
    """All that a failed validation found, in one line."""
    found = ((".".join(map(str, item["loc"])), message_of(item)) for item in error.errors())
    return "; ".join(f"{place}: {text}" if place else text for place, text in found)


def validation_problem(error: ValidationError, list_cap: str = "") -> SessionError:
    """What a failed validation answers. ``list_cap`` names the cap that bounds the list ``ops``."""
    found = error.errors(include_url=False, include_input=False)
    first = found[0]
    if first["type"] == "json_invalid":
        return Unacceptable("malformed-json", first["msg"].removeprefix("Invalid JSON: "))
    if list_cap and first["type"] == "too_long" and first["loc"] == ("ops",):
        limit, actual = first["ctx"]["max_length"], first["ctx"]["actual_length"] or 0
        return CapExceeded(list_cap, limit, actual, "too many ops in one request", status=413)
    errors: list[dict[str, Any]] = []
    for item in found:
        shown = field_error(_own_location(item), message_of(item))
        if shown not in errors:
            errors.append(shown)
    return InvalidRequest(errors)


def problem_bytes(error: SessionError, instance: str) -> bytes:
    """The problem's JSON."""
    members = dict(error.members)
    if isinstance(error, InvalidField):
        members["errors"] = [field_error(tuple(error.field.split(".")), error.message)]
    if "incident" in members and error.status >= 500:
        instance = f"urn:itsbox:incident:{members['incident']}"
    return orjson.dumps(
        {
            "type": TYPE_PREFIX + error.kind,
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "instance": instance,
            **members,
        }
    )


def problem_headers(error: SessionError) -> dict[str, str]:
    """Headers that the status asks for."""
    if error.status in (429, 503) or error.kind == "request-in-flight":
        return {"retry-after": str(_RETRY_AFTER_S)}
    if error.status == 401:
        return {"www-authenticate": "Bearer"}
    return {}


def problem_response(error: SessionError, instance: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer for an error."""
    return Response(
        problem_bytes(error, instance),
        error.status,
        {**problem_headers(error), **(headers or {})},
        MEDIA_TYPE,
    )


def internal_error(error: Exception, method: str, path: str) -> Unacceptable:
    """Log a defect of ours, once, in one line; what to answer."""
    incident = secrets.token_hex(8)
    _log.error("request failed", incident=incident, method=method, path=path, exc_info=error)
    return Unacceptable("internal-error", "A defect of the service; the incident is in its log.", incident=incident)


def of_status(status: int, detail: str) -> SessionError:
    """The problem for a bare HTTP status, as routing raises it."""
    error = Unacceptable(_BY_STATUS.get(status, "bad-request"), detail)
    error.status = status
    return error
