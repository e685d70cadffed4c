"""Packed requests: ops as fixed little-endian records, for clients that send thousands (docs/wire.md).

A 16-byte header, ``count`` records of 24 bytes, and the payloads of the records in order. Decoding is total: any bytes give
either ops or a 422 that names record and field.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

import orjson

from itsbox import ops
from itsbox.api.numbers import U32_MAX
from itsbox.api.problems import InvalidRequest, field_error
from itsbox.ops import Op
from itsbox.sessions.errors import CapExceeded
from itsbox.sessions.runs import Part

__all__ = ["VERSION", "FrameRequest", "decode_frame", "tag_of"]

MAGIC: Final = b"ITSQ"
VERSION: Final = 1
HEADER: Final = Struct("<4sHHII")  # magic, flags, version, count, tag
RECORD: Final = Struct("<BBHIQQ")  # op, size, flags, length, addr, value

# Flags of the header.
HASH: Final = 1 << 0
STOPS: Final = {"refused": 1 << 1, "abort": 1 << 2, "panic": 1 << 3, "violation": 1 << 4}
DETAIL: Final = 1 << 5
_FLAGS: Final = HASH | DETAIL | sum(STOPS.values())

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


def tag_of(frame: bytes) -> int:
    """The tag of a frame, however malformed: 0 if it is too short to have one."""
    return int(HEADER.unpack_from(frame)[4]) if len(frame) >= HEADER.size else 0


def decode_frame(frame: bytes, cap: int) -> FrameRequest:
    """A request of at most ``cap`` ops. Raises ``InvalidRequest`` (malformed-frame) or ``CapExceeded`` (413)."""
    if len(frame) < HEADER.size:
        raise _frame_error("header", f"a frame begins with {HEADER.size} bytes of header, this one has {len(frame)}")
    magic, flags, version, count, tag = HEADER.unpack_from(frame)
    if magic != MAGIC:
        raise _frame_error("magic", f"must be {MAGIC.decode()}")
    if version != VERSION:
        raise _frame_error("version", f"must be {VERSION}")
    if flags & ~_FLAGS:
        raise _frame_error("flags", f"bits {flags & ~_FLAGS:#x} are reserved")
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
                op, place = _DECODE.get(record[0], _unknown)(record, frame, place)
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


_Record: TypeAlias = tuple[int, int, int, int, int, int]
#: One op and where the next payload begins.
_Decoded: TypeAlias = tuple[Op, int]


def _unknown(record: _Record, frame: bytes, place: int) -> _Decoded:
    raise _Malformed("op", f"{record[0]} is not an op")


def _mmio_read(record: _Record, frame: bytes, place: int) -> _Decoded:
    _, size, flags, length, addr, value = record
    if flags or length or value:
        _unused(flags=flags, length=length, value=value)
    if size not in _SIZES:
        raise _Malformed("size", "must be 1, 2, 4 or 8")
    return ops.MmioRead(addr, size), place


def _mmio_write(record: _Record, frame: bytes, place: int) -> _Decoded:
    _, size, flags, length, addr, value = record
    if flags or length:
        _unused(flags=flags, length=length)
    if size not in _SIZES:
        raise _Malformed("size", "must be 1, 2, 4 or 8")
    return ops.MmioWrite(addr, size, value), place


def _range(record: _Record) -> tuple[int, int, int]:
    """Address, length and value of an op on a range of memory."""
    _, size, flags, length, addr, value = record
    if flags or size:
        _unused(flags=flags, size=size)
    if not length:
        raise _Malformed("length", "must be at least 1")
    return addr, length, value


def _load(record: _Record, frame: bytes, place: int) -> _Decoded:
    addr, length, value = _range(record)
    _unused(value=value)
    return ops.Load(addr, length), place


def _store(record: _Record, frame: bytes, place: int) -> _Decoded:
    addr, length, value = _range(record)
    if value:
        _unused(value=value)
    return ops.Store(addr, _payload(frame, place, length)), place + length


def _fill(record: _Record, frame: bytes, place: int) -> _Decoded:
    addr, length, value = _range(record)
    if value > 0xFF:
        raise _Malformed("value", "must be a byte")
    return ops.Fill(addr, length, value), place


def _clean(record: _Record, frame: bytes, place: int) -> _Decoded:
    addr, length, value = _range(record)
    _unused(value=value)
    return ops.Clean(addr, length), place


def _hvc_op(record: _Record, frame: bytes, place: int) -> _Decoded:
    _, size, flags, length, addr, value = record
    _unused(flags=flags, addr=addr, value=value)
    if size > _HVC_ARGS:
        raise _Malformed("size", f"a hypercall takes at most {_HVC_ARGS} arguments")
    words = _payload(frame, place, 8 * size)
    return ops.Hvc(length, _WORDS[size].unpack(words)), place + len(words)


def _msi(record: _Record, frame: bytes, place: int) -> _Decoded:
    _, size, flags, length, addr, value = record
    _unused(flags=flags, size=size, length=length)
    if addr > U32_MAX:
        raise _Malformed("addr", "a DeviceID fits 32 bits")
    if value > U32_MAX:
        raise _Malformed("value", "an EventID fits 32 bits")
    return ops.Msi(addr, value), place


def _ack(record: _Record, frame: bytes, place: int) -> _Decoded:
    _, size, flags, length, addr, value = record
    _unused(flags=flags, size=size, length=length, addr=addr)
    return ops.Ack(value), place


def _driver_op(record: _Record, frame: bytes, place: int) -> _Decoded:
    _, size, flags, length, addr, value = record
    _unused(flags=flags, size=size, addr=addr, value=value)
    return _driver(_payload(frame, place, length)), place + length


_DECODE: Final[dict[int, Callable[[_Record, bytes, int], _Decoded]]] = {
    MMIO_READ: _mmio_read,
    MMIO_WRITE: _mmio_write,
    LOAD: _load,
    STORE: _store,
    FILL: _fill,
    HVC: _hvc_op,
    MSI: _msi,
    ACK: _ack,
    CLEAN: _clean,
    DRIVER: _driver_op,
}


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


def _restore(record: _Record, frame: bytes, place: int) -> tuple[str, int]:
    _, size, flags, length, addr, value = record
    _unused(flags=flags, size=size, addr=addr, value=value)
    text = _payload(frame, place, length)
    if not text or not text.isascii():
        raise _Malformed("payload", "must be a snapshot's id")
    return text.decode("ascii"), place + length
