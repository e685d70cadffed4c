"""Single ops answered in front of the framework: same validation, same bytes, a fraction of the cost.

It answers what is usual and leaves the rest alone: an unknown session, a body that does not validate, an op that the machine
cannot take, a query, an Idempotency-Key. Those go the long way, which then gives the canonical answer. A differential test
(``tests/api/test_fastpath.py``) holds the two together.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from itsbox.api import idempotency
from itsbox.api.access import Access
from itsbox.api.body import BODY, JSON, check_ops
from itsbox.api.metrics import Metrics
from itsbox.api.optable import OP_ROUTES, OpRoute
from itsbox.api.problems import internal_error, problem_response
from itsbox.api.render import op_bytes
from itsbox.sessions.errors import SessionError
from itsbox.sessions.host import SessionHost

__all__ = ["FIRST_MESSAGE", "PREFIX", "FastPath"]

PREFIX: Final = "/v1/sessions/"
#: Where the first message of a body that came in pieces is left for the long way.
FIRST_MESSAGE: Final = "itsbox.first_message"
_JSON: Final = JSON.encode()
_JSON_HEADER: Final = (b"content-type", _JSON)
#: Ops of which the machine itself judges some field.
_JUDGED: Final = frozenset({"mmio/write", "memory/load", "ack"})


class _Row:
    """What the fast path knows of a route."""

    __slots__ = ("judged", "tally", "template", "validate")

    def __init__(self, row: OpRoute, metrics: Metrics) -> None:
        self.template = f"{PREFIX}{{session_id}}/{row.path}"
        self.validate = row.form.__pydantic_validator__.validate_json
        self.judged = row.path in _JUDGED
        self.tally = metrics.tally("POST", self.template)


class FastPath:
    """The short way to one SessionHost."""

    def __init__(self, host: SessionHost, access: Access, metrics: Metrics) -> None:
        self._host = host
        self._access = access
        self._metrics = metrics
        self._rows = {row.path: _Row(row, metrics) for row in OP_ROUTES}

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a POST, or say False; what was received of it by then is in the scope."""
        path: str = scope["path"]
        sid, _, tail = path[len(PREFIX) :].partition("/")
        row = self._rows.get(tail)
        if row is None or not path.startswith(PREFIX) or scope["query_string"]:
            return False
        started = perf_counter()
        headers = dict(scope["headers"])
        if headers.get(b"content-type") != _JSON or idempotency.HEADER in headers:
            return False
        try:
            self._access.check(headers, "POST", path)
            session = self._host.find(sid)
            message = await receive()
            if message.get("more_body") or message["type"] != "http.request":
                scope[FIRST_MESSAGE] = message
                return False
            body = scope[BODY] = message["body"]
            op = row.validate(body).to_op()
            if row.judged:
                check_ops(((None, (op,)),), session, self._host.limits, batch=False)
        except (SessionError, ValidationError):
            return False
        try:
            answer = op_bytes(await session.run_one(op))
        except Exception as error:  # noqa: BLE001 - the op has been tried: this is the answer, not a reason to try again
            problem = error if isinstance(error, SessionError) else internal_error(error, "POST", path)
            await problem_response(problem, path)(scope, receive, send)
            self._metrics.count("POST", row.template, problem.status, perf_counter() - started)
            return True
        headers_out = [(b"content-length", b"%d" % len(answer)), _JSON_HEADER]
        await send({"type": "http.response.start", "status": 200, "headers": headers_out})
        await send({"type": "http.response.body", "body": answer})
        row.tally.answers += 1
        row.tally.seconds += perf_counter() - started
        return True
