"""Single ops answered in front of the framework: same validation, same bytes, a sixth of the cost.

It answers what is usual and leaves the rest alone: an unknown session, a body that does not validate, an op that the machine
cannot take, an Idempotency-Key. Those go through the framework, which then gives the canonical problem. A differential test
(``tests/api/test_fastpath.py``) holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from pydantic import ValidationError

from itsbox.api import idempotency
from itsbox.api.body import JSON, check_ops
from itsbox.api.optable import OP_ROUTES
from itsbox.api.problems import MEDIA_TYPE as PROBLEM
from itsbox.api.problems import problem_bytes, problem_headers
from itsbox.api.render import op_bytes
from itsbox.sessions.errors import SessionError
from itsbox.sessions.host import SessionHost

__all__ = ["PREFIX", "FastAnswer", "FastPath"]

PREFIX: Final = "/v1/sessions/"
_JSON: Final = JSON.encode()


class FastAnswer(NamedTuple):
    """A complete answer and the route template that it belongs to."""

    route: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class FastPath:
    """The short way to one SessionHost."""

    def __init__(self, host: SessionHost) -> None:
        self._host = host
        self._routes = {
            row.path: (f"{PREFIX}{{session_id}}/{row.path}", row.form.__pydantic_validator__.validate_json)
            for row in OP_ROUTES
        }

    async def answer(self, path: str, headers: Mapping[bytes, bytes], body: bytes) -> FastAnswer | None:
        """The answer to a POST, or None for the framework to give it."""
        if not path.startswith(PREFIX):
            return None
        sid, _, tail = path[len(PREFIX) :].partition("/")
        row = self._routes.get(tail)
        if row is None or headers.get(b"content-type") != _JSON or idempotency.HEADER in headers:
            return None
        route, validate = row
        try:
            session = self._host.find(sid)
            op = validate(body).to_op()
            check_ops(((None, (op,)),), session, self._host.limits, batch=False)
        except (SessionError, ValidationError):
            return None
        try:
            answer = op_bytes(await session.run_one(op))
        except SessionError as error:  # the op has been tried: this is the answer, not a reason to try again
            answer = problem_bytes(error, path)
            extra = [(name.encode(), value.encode()) for name, value in problem_headers(error).items()]
            return FastAnswer(route, error.status, [*extra, *_headers(answer, PROBLEM.encode())], answer)
        return FastAnswer(route, 200, _headers(answer, _JSON), answer)


def _headers(body: bytes, media_type: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % len(body)), (b"content-type", media_type)]
