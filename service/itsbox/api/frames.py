"""Packed frames: ops and results as fixed little-endian records, for clients that send thousands (docs/wire.md).

A request is a 16-byte header, ``count`` records of 24 bytes, and the payloads of the records in order. An answer is a 32-byte
header, a 16-byte result per executed op, their payloads, and what the header announces at the end. Decoding is total: any
bytes give either ops or a 422 that names record and field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

import orjson

from itsbox import ops
from itsbox.api.problems import InvalidRequest, field_error
from itsbox.ops import Op, Verdict
from itsbox.reasons import Reason
from itsbox.sessions.errors import CapExceeded
from itsbox.sessions.session import Part, Run

__all__ = ["FrameRequest", "decode_frame", "encode_answer", "encode_problem", "tag_of"]

REQUEST_MAGIC: Final = b"ITSQ"
ANSWER_MAGIC: Final = b"ITSA"
HEADER: Final = Struct("<4sHHII")  # magic, flags, version, count, tag
RECORD: Final = Struct("<BBHIQQ")  # op, size, flags, length, addr, value
ANSWER: Final = Struct("<4sHHIIQQ")  # magic, flags, version, executed, tag, seq, step
RESULT: Final = Struct("<BBHIQ")  # outcome, flags, reason, length, value
COMMAND: Final = Struct("<IBBHII")  # slot, opcode, verdict, reason, error code, reserved
VERSION: Final = 1

# Flags of a request.
HASH: Final = 1 << 0
STOPS: Final = {"refused": 1 << 1, "abort": 1 << 2, "panic": 1 << 3, "violation": 1 << 4}
DETAIL: Final = 1 << 5
_REQUEST_FLAGS: Final = HASH | DETAIL | sum(STOPS.values())

# Flags of an answer: it ends with a state hash, with violations; or it is a problem.
HAS_HASH: Final = 1 << 0
HAS_VIOLATIONS: Final = 1 << 1
IS_PROBLEM: Final = 1 << 15

# Codes of ops.
MMIO_READ: Final = 1
MMIO_WRITE: Final = 2
LOAD: Final = 3
STORE: Final = 4
FILL: Final = 5
HVC: Final = 6
MSI: Final = 7
ACK: Final = 8
CLEAN: Final = 9
DRIVER: Final = 10
RESTORE: Final = 11

OUTCOMES: Final = ("ok", "refused", "abort", "panic")
_OK, _REFUSED, _ABORT, _PANIC = range(4)
VERDICTS: Final = (Verdict.EXECUTED, Verdict.ERROR, Verdict.STALLED, Verdict.REFUSED)
_VERDICT_CODE: Final = {verdict: code for code, verdict in enumerate(VERDICTS)}
#: 0 is "no reason"; the others are places in the list that ``GET /v1/arch`` has under ``reasons``.
_REASON_CODE: Final[Mapping[Reason | None, int]] = {None: 0, **{reason: n for n, reason in enumerate(Reason, 1)}}

_SIZES: Final = frozenset({1, 2, 4, 8})
_HVC_ARGS: Final = 6
_WORDS: Final = tuple(Struct(f"<{n}Q") for n in range(_HVC_ARGS + 1))


class FrameRequest(NamedTuple):
    """A decoded request: its ops in parts, each behind the restore that begins it."""

    parts: list[Part]
    stops: frozenset[str]
    hash: bool
    detail: bool
    tag: int


class _Malformed(Exception):
    """A record's field is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


# -------------------------------------------------------------------------------------------------------- decoding


def tag_of(frame: bytes) -> int:
    """The tag of a frame, however malformed: 0 if it is too short to have one."""
    return int(HEADER.unpack_from(frame)[4]) if len(frame) >= HEADER.size else 0


def decode_frame(frame: bytes, cap: int) -> FrameRequest:
    """A request of at most ``cap`` ops. Raises ``InvalidRequest`` (malformed-frame) or ``CapExceeded`` (413)."""
    if len(frame) < HEADER.size:
        raise _frame_error("header", f"a frame begins with {HEADER.size} bytes of header, this one has {len(frame)}")
    magic, flags, version, count, tag = HEADER.unpack_from(frame)
    if magic != REQUEST_MAGIC:
        raise _frame_error("magic", f"must be {REQUEST_MAGIC.decode()}")
    if version != VERSION:
        raise _frame_error("version", f"must be {VERSION}")
    if flags & ~_REQUEST_FLAGS:
        raise _frame_error("flags", f"bits {flags & ~_REQUEST_FLAGS:#x} are reserved")
    if count > cap:
        raise CapExceeded("ops_per_request", cap, count, "too many ops in one request", status=413)
    end = HEADER.size + count * RECORD.size
    if len(frame) < end:
        raise _frame_error("count", f"{count} records take {end} bytes, the frame has {len(frame)}")
    current: list[Op] = []
    parts: list[Part] = [(None, current)]
    place = end
    for index, record in enumerate(RECORD.iter_unpack(memoryview(frame)[HEADER.size : end])):
        try:
            if record[0] == RESTORE:
                name, place = _restore(record, frame, place)
                current = []
                parts.append((name, current))
            else:
                op, place = _decode_record(record, frame, place)
                current.append(op)
        except _Malformed as error:
            raise InvalidRequest([field_error(("ops", index, error.field), error.message)], "malformed-frame") from None
    if place != len(frame):
        raise _frame_error("payload", f"{len(frame) - place} bytes behind the last record's payload")
    stops = frozenset(word for word, bit in STOPS.items() if flags & bit)
    if not parts[0][1]:
        del parts[0]
    return FrameRequest(parts, stops, bool(flags & HASH), bool(flags & DETAIL), tag)


def _frame_error(field: str, message: str) -> InvalidRequest:
    return InvalidRequest([field_error((field,), message)], "malformed-frame")


def _decode_record(record: tuple[int, ...], frame: bytes, place: int) -> tuple[Op, int]:
    """One op, and where the next payload begins."""
    code, size, flags, length, addr, value = record
    if flags:
        raise _Malformed("flags", "must be 0")
    if code == MMIO_READ:
        if size not in _SIZES:
            raise _Malformed("size", "must be 1, 2, 4 or 8")
        _unused(length=length, value=value)
        return ops.MmioRead(addr, size), place
    if code == MMIO_WRITE:
        if size not in _SIZES:
            raise _Malformed("size", "must be 1, 2, 4 or 8")
        _unused(length=length)
        return ops.MmioWrite(addr, size, value), place
    if code in (LOAD, STORE, FILL, CLEAN):
        _unused(size=size)
        if not length:
            raise _Malformed("length", "must be at least 1")
        if code == STORE:
            _unused(value=value)
            return ops.Store(addr, _payload(frame, place, length)), place + length
        if code == FILL:
            if value > 0xFF:
                raise _Malformed("value", "must be a byte")
            return ops.Fill(addr, length, value), place
        _unused(value=value)
        return ops.Load(addr, length) if code == LOAD else ops.Clean(addr, length), place
    if code in (MSI, ACK):
        return _decode_interrupt(record), place
    if code == HVC:
        _unused(addr=addr, value=value)
        if size > _HVC_ARGS:
            raise _Malformed("size", f"a hypercall takes at most {_HVC_ARGS} arguments")
        words = _payload(frame, place, 8 * size)
        return ops.Hvc(length, _WORDS[size].unpack(words)), place + len(words)
    if code == DRIVER:
        _unused(size=size, addr=addr, value=value)
        return _driver(_payload(frame, place, length)), place + length
    raise _Malformed("op", f"{code} is not an op")


def _decode_interrupt(record: tuple[int, ...]) -> Op:
    code, size, _, length, addr, value = record
    _unused(size=size, length=length)
    if value > 0xFFFF_FFFF:
        raise _Malformed("value", "must fit 32 bits")
    if code == ACK:
        _unused(addr=addr)
        return ops.Ack(value)
    if addr > 0xFFFF_FFFF:
        raise _Malformed("addr", "a DeviceID fits 32 bits")
    return ops.Msi(addr, value)


def _unused(**fields: int) -> None:
    for name, value in fields.items():
        if value:
            raise _Malformed(name, "must be 0 for this op")


def _payload(frame: bytes, place: int, length: int) -> bytes:
    data = frame[place : place + length]
    if len(data) != length:
        raise _Malformed("length", f"the frame ends {length - len(data)} bytes before this payload does")
    return data


def _driver(text: bytes) -> Op:
    try:
        asked = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _Malformed("payload", f"is not JSON: {error.msg}") from None
    call, args = (asked.get("call"), asked.get("args", {})) if isinstance(asked, dict) else (None, None)
    if not isinstance(call, str) or not isinstance(args, dict) or set(asked) - {"call", "args"}:
        raise _Malformed("payload", 'must be {"call": name, "args": {...}}')
    return ops.Drive(call, args)


def _restore(record: tuple[int, ...], frame: bytes, place: int) -> tuple[str, int]:
    _, size, flags, length, addr, value = record
    _unused(flags=flags, size=size, addr=addr, value=value)
    text = _payload(frame, place, length)
    if not text or not text.isascii():
        raise _Malformed("payload", "must be a snapshot's id")
    return text.decode("ascii"), place + length


# -------------------------------------------------------------------------------------------------------- encoding


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
    header = ANSWER.pack(ANSWER_MAGIC, flags, VERSION, len(results), request.tag, run.seq, run.step)
    tail = bytes.fromhex(state_hash) if state_hash else b""
    return b"".join((header, *results, *payloads, tail, orjson.dumps(violations) if violations else b""))


def encode_problem(problem: bytes, tag: int) -> bytes:
    """A problem on the lane: a header that says so, then the problem's JSON."""
    return ANSWER.pack(ANSWER_MAGIC, IS_PROBLEM, VERSION, 0, tag, 0, 0) + problem


_Encoded = tuple[int, int, int, bytes]


def _commands(records: Sequence[ops.CommandRecord], *, detail: bool) -> bytes:
    if not detail:
        return b""
    return b"".join(
        COMMAND.pack(
            slot,
            words[0].to_bytes(8, "little")[0],
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
    code = _OK if outcome.reason is None else _REFUSED
    return code, _REASON_CODE[outcome.reason], outcome.x0, _WORDS[1].pack(outcome.x1)


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
