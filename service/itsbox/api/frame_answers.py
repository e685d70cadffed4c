"""Packed answers: results as fixed little-endian records, their payloads, and what the header announces (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, Final, TypeAlias

import orjson

from itsbox import ops
from itsbox.api.frame_requests import VERSION, FrameRequest
from itsbox.ops import Verdict
from itsbox.reasons import Reason
from itsbox.sessions.runs import Run

__all__ = ["encode_answer", "encode_problem"]

MAGIC: Final = b"ITSA"
HEADER: Final = Struct("<4sHHIIQQ")  # magic, flags, version, executed, tag, seq, step
RESULT: Final = Struct("<BBHIQ")  # outcome, flags, reason, length, value
COMMAND: Final = Struct("<IBBHII")  # slot, opcode, verdict, reason, error code, reserved
_WORD: Final = Struct("<Q")

# Flags of the header: it ends with a state hash, with violations; or it is a problem.
HAS_HASH: Final = 1 << 0
HAS_VIOLATIONS: Final = 1 << 1
IS_PROBLEM: Final = 1 << 15

_OK, _REFUSED, _ABORT, _PANIC = range(4)
_VERDICT_CODE: Final = {Verdict.EXECUTED: 0, Verdict.ERROR: 1, Verdict.STALLED: 2, Verdict.REFUSED: 3}
#: 0 is "no reason"; the others are places in the list that ``GET /v1/arch`` has under ``reasons``.
_REASON_CODE: Final[Mapping[Reason | None, int]] = {None: 0, **{reason: n for n, reason in enumerate(Reason, 1)}}


def encode_answer(run: Run, request: FrameRequest, state_hash: str | None) -> bytes:
    """The answer to a request."""
    results: list[bytes] = []
    payloads: list[bytes] = []
    violations: list[dict[str, Any]] = []
    pack = RESULT.pack
    for outcome, found in run.results:
        code, reason, value, payload = _ENCODE[type(outcome)](outcome, request.detail)
        results.append(pack(code, bool(found), reason, len(payload), value))
        if payload:
            payloads.append(payload)
        if found:
            violations += [violation.wire() for violation in found]
    flags = (HAS_HASH if state_hash else 0) | (HAS_VIOLATIONS if violations else 0)
    header = HEADER.pack(MAGIC, flags, VERSION, len(results), request.tag, run.seq, run.step)
    tail = bytes.fromhex(state_hash) if state_hash else b""
    return b"".join((header, *results, *payloads, tail, orjson.dumps(violations) if violations else b""))


def encode_problem(problem: bytes, tag: int) -> bytes:
    """A problem on the lane: a header that says so, then the problem's JSON."""
    return HEADER.pack(MAGIC, IS_PROBLEM, VERSION, 0, tag, 0, 0) + problem


_Encoded: TypeAlias = tuple[int, int, int, bytes]


def _commands(records: Sequence[ops.CommandRecord], *, detail: bool) -> bytes:
    if not detail:
        return b""
    return b"".join(
        COMMAND.pack(
            slot,
            _WORD.pack(words[0])[0],
            _VERDICT_CODE[verdict],
            _REASON_CODE[reason],
            0 if error is None else error.code,
            0,
        )
        for slot, _, words, verdict, error, reason in records
    )


def _done(outcome: ops.Done, detail: bool) -> _Encoded:
    return _OK, 0, len(outcome.commands), _commands(outcome.commands, detail=detail)


def _refused(outcome: ops.Refused, detail: bool) -> _Encoded:
    value = len(outcome.commands) if outcome.value is None else outcome.value
    return _REFUSED, _REASON_CODE[outcome.reason], value, _commands(outcome.commands, detail=detail)


def _hvc(outcome: ops.HvcReturn, detail: bool) -> _Encoded:
    code = _OK if outcome.errno is None else _REFUSED  # as in JSON: NOT_SUPPORTED is an answer, an errno a refusal
    return code, _REASON_CODE[outcome.reason], outcome.x0, _WORD.pack(outcome.x1)


_ENCODE: Final[dict[type, Callable[[Any, bool], _Encoded]]] = {
    ops.Value: lambda o, _: (_OK, 0, o.value, b""),
    ops.Done: _done,
    ops.Bytes: lambda o, _: (_OK, 0, 0, o.data),
    ops.HvcReturn: _hvc,
    ops.Delivered: lambda o, _: (_OK, 0, int(o.delivered), b""),
    ops.Acked: lambda o, _: (_OK, 0, o.intid, b""),
    ops.Drove: lambda o, _: (_OK, 0, 0, orjson.dumps({"log": list(o.log), "result": o.result})),
    ops.Refused: _refused,
    ops.Aborted: lambda o, _: (_ABORT, _REASON_CODE[o.reason], 0, "\n".join(o.log).encode()),
    ops.Panicked: lambda o, _: (_PANIC, _REASON_CODE[o.reason], 0, b""),
}
