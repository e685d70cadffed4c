"""Packed frames from the client's side, written from docs/wire.md and from nothing else."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

__all__ = ["Answer", "Result", "decode", "encode"]

_CODES = {
    "mmio_read": 1, "mmio_write": 2, "load": 3, "store": 4, "fill": 5, "hvc": 6, "msi": 7, "ack": 8, "clean": 9,
    "driver": 10, "restore": 11,
}  # fmt: skip
_FLAGS = {"hash": 1, "refused": 2, "abort": 4, "panic": 8, "violation": 16, "detail": 32}


class Result(NamedTuple):
    """A result record and its payload."""

    outcome: int
    flags: int
    reason: int
    value: int
    payload: bytes


class Answer(NamedTuple):
    """A decoded answer frame."""

    flags: int
    tag: int
    seq: int
    step: int
    results: list[Result]
    state_hash: str | None
    violations: list[dict[str, Any]]
    problem: dict[str, Any] | None


def encode(ops: list[dict[str, Any]], *flags: str, tag: int = 0) -> bytes:
    """A request frame from ops in their JSON form (numbers as integers)."""
    records, payloads = b"", b""
    for op in ops:
        kind = op["op"]
        size, length, addr, value, payload = op.get("size", 0), op.get("length", 0), op.get("addr", 0), 0, b""
        if kind == "mmio_write":
            value = op["value"]
        elif kind == "store":
            payload = bytes.fromhex(op["hex"])
            length = len(payload)
        elif kind == "fill":
            value = op["byte"]
        elif kind == "hvc":
            size, length = len(op["args"]), op["function"]
            payload = struct.pack(f"<{size}Q", *op["args"])
        elif kind == "msi":
            addr, value = op["device_id"], op["event_id"]
        elif kind == "ack":
            value = op["cpu"]
        elif kind == "driver":
            payload = json.dumps({"call": op["call"], "args": op["args"]}).encode()
            length = len(payload)
        elif kind == "restore":
            payload = op["snapshot"].encode()
            length = len(payload)
        records += struct.pack("<BBHIQQ", _CODES[kind], size, 0, length, addr, value)
        payloads += payload
    header = struct.pack("<4sHHII", b"ITSQ", sum(_FLAGS[flag] for flag in flags), 1, len(ops), tag)
    return header + records + payloads


def decode(frame: bytes) -> Answer:
    """An answer frame; every byte must be accounted for."""
    magic, flags, version, executed, tag, seq, step = struct.unpack_from("<4sHHIIQQ", frame)
    assert (magic, version) == (b"ITSA", 1)
    place = 32
    if flags & 0x8000:
        return Answer(flags, tag, seq, step, [], None, [], json.loads(frame[place:]))
    heads = [struct.unpack_from("<BBHIQ", frame, place + 16 * n) for n in range(executed)]
    place += 16 * executed
    results = []
    for outcome, marks, reason, length, value in heads:
        results.append(Result(outcome, marks, reason, value, frame[place : place + length]))
        place += length
    state_hash = None
    if flags & 1:
        state_hash = frame[place : place + 32].hex()
        place += 32
    violations = json.loads(frame[place:]) if flags & 2 else []
    assert flags & 2 or place == len(frame)
    return Answer(flags, tag, seq, step, results, state_hash, violations, None)
