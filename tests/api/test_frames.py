from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox import ops
from itsbox.api.frame_answers import encode_answer
from itsbox.api.frame_requests import decode_frame
from itsbox.arch.its_errors import CommandError
from itsbox.ops import Verdict
from itsbox.reasons import Reason
from itsbox.sessions.errors import CapExceeded, SessionError
from itsbox.sessions.runs import Run
from tests.api.frame_client import decode, encode

WIRE = Path(__file__).parents[2] / "docs" / "wire.md"
ONE_OF_EACH: list[tuple[dict[str, Any], ops.Op]] = [
    ({"op": "mmio_read", "addr": (1 << 64) - 1, "size": 8}, ops.MmioRead((1 << 64) - 1, 8)),
    ({"op": "mmio_write", "addr": 8, "size": 2, "value": 0xFFFF}, ops.MmioWrite(8, 2, 0xFFFF)),
    ({"op": "load", "addr": 8, "length": 5}, ops.Load(8, 5)),
    ({"op": "store", "addr": 8, "hex": "0102ff"}, ops.Store(8, b"\x01\x02\xff")),
    ({"op": "fill", "addr": 8, "length": 4096, "byte": 255}, ops.Fill(8, 4096, 255)),
    ({"op": "hvc", "function": 0xC6000001, "args": [1, (1 << 64) - 1]}, ops.Hvc(0xC6000001, (1, (1 << 64) - 1))),
    ({"op": "msi", "device_id": 0xFFFFFFFF, "event_id": 3}, ops.Msi(0xFFFFFFFF, 3)),
    ({"op": "ack", "cpu": 3}, ops.Ack(3)),
    ({"op": "clean", "addr": 8, "length": 64}, ops.Clean(8, 64)),
    ({"op": "driver", "call": "probe", "args": {"x": [1]}}, ops.Drive("probe", {"x": [1]})),
]


def test_every_op_survives_the_journey() -> None:
    """What a client packs by the documentation is what the machine is given."""
    request = decode_frame(encode([op for op, _ in ONE_OF_EACH], "hash", "abort", "violation", tag=77), 4096)

    assert request.parts == [(None, [op for _, op in ONE_OF_EACH])]
    assert (request.hash, request.detail, request.tag) == (True, False, 77)
    assert request.stops == {"abort", "violation"}


def test_a_restore_begins_a_part() -> None:
    """Ops behind a restore belong to it; a frame may begin with one."""
    back = {"op": "restore", "snapshot": "abc"}
    ack = {"op": "ack", "cpu": 0}

    assert decode_frame(encode([ack, back, ack, back]), 9).parts == [
        (None, [ops.Ack(0)]),
        ("abc", [ops.Ack(0)]),
        ("abc", []),
    ]
    assert decode_frame(encode([back, ack]), 9).parts == [("abc", [ops.Ack(0)])]
    assert decode_frame(encode([]), 9).parts == []


def record(op: int, **fields: int) -> bytes:
    """A frame of a good record and this one."""
    good = struct.pack("<BBHIQQ", 8, 0, 0, 0, 0, 0)
    rest = [fields.get(name, 0) for name in ("size", "flags", "length", "addr", "value")]
    return struct.pack("<4sHHII", b"ITSQ", 0, 1, 2, 0) + good + struct.pack("<BBHIQQ", op, *rest)


@pytest.mark.parametrize(
    "frame, location",
    [
        (b"", "header"),
        (b"ITSQ", "header"),
        (struct.pack("<4sHHII", b"XXXX", 0, 1, 0, 0), "magic"),
        (struct.pack("<4sHHII", b"ITSQ", 0x40, 1, 0, 0), "flags"),
        (struct.pack("<4sHHII", b"ITSQ", 0, 2, 0, 0), "version"),
        (struct.pack("<4sHHII", b"ITSQ", 0, 1, 1, 0), "count"),
        (encode([{"op": "ack", "cpu": 0}]) + b"x", "payload"),
        (record(0), "ops.1.op"),
        (record(12), "ops.1.op"),
        (record(8, flags=1), "ops.1.flags"),
        (record(1, size=3), "ops.1.size"),
        (record(1, size=8, length=1), "ops.1.length"),
        (record(1, size=8, value=1), "ops.1.value"),
        (record(2, size=0), "ops.1.size"),
        (record(3), "ops.1.length"),
        (record(3, size=1, length=1), "ops.1.size"),
        (record(4, length=4), "ops.1.length"),
        (record(5, length=4, value=256), "ops.1.value"),
        (record(6, size=7), "ops.1.size"),
        (record(6, size=1), "ops.1.length"),
        (record(6, addr=1), "ops.1.addr"),
        (record(7, value=1 << 32), "ops.1.value"),
        (record(7, addr=1 << 32), "ops.1.addr"),
        (record(8, addr=1), "ops.1.addr"),
        (record(10, length=2) + b"{]", "ops.1.payload"),
        (record(10, length=2) + b"[]", "ops.1.payload"),
        (record(10, length=13) + b'{"call":"x"  ', "ops.1.payload"),
        (record(11), "ops.1.payload"),
        (record(11, length=1) + b"\xff", "ops.1.payload"),
    ],
)
def test_what_is_wrong_with_a_frame_is_named(frame: bytes, location: str) -> None:
    """A malformed frame is refused with the record and the field."""
    with pytest.raises(SessionError) as refused:
        decode_frame(frame, 4096)

    errors: Any = refused.value.members["errors"]
    assert (refused.value.status, refused.value.kind) == (422, "malformed-frame")
    assert errors[0]["location"] == location
    assert refused.value.members.get("index") == (1 if location.startswith("ops") else None)


def test_too_many_records_name_the_cap() -> None:
    """One op more than a request may have is 413, before the records are looked at."""
    with pytest.raises(CapExceeded) as refused:
        decode_frame(struct.pack("<4sHHII", b"ITSQ", 0, 1, 11, 0), 10)

    assert refused.value.cap == "ops_per_request"


@settings(derandomize=True, max_examples=500)
@given(
    body=st.binary(max_size=200),
    head=st.sampled_from(
        [b"", struct.pack("<4sHHII", b"ITSQ", 0, 1, 2, 0), struct.pack("<4sHHII", b"ITSQ", 1, 1, 1, 0)]
    ),
)
def test_any_bytes_give_ops_or_a_problem(head: bytes, body: bytes) -> None:
    """Decoding is total: nothing but a request or a SessionError comes out."""
    status = 200
    try:
        decode_frame(head + body, 100)
    except SessionError as error:
        status = error.status

    assert status in (200, 413, 422)


def test_every_outcome_has_a_result() -> None:
    """Each kind of outcome is packed as docs/wire.md says."""
    reason = next(iter(Reason))
    command = (3, "MAPD", (0x08, 1, 2, 3), Verdict.ERROR, CommandError.MAPD_DEVICE_OOR, None)
    outcomes: list[ops.Outcome] = [
        ops.Value(0xFFFF_FFFF_FFFF_FFFF),
        ops.Done(),
        ops.Done([command, command]),
        ops.Bytes(b"abc"),
        ops.HvcReturn(0, (1 << 64) - 1, "EPERM", reason),
        ops.HvcReturn((1 << 64) - 1, 0, None, reason),  # NOT_SUPPORTED: an answer, as in JSON
        ops.Delivered(delivered=True),
        ops.Acked(8192),
        ops.Drove(("line",), {"x": 1}),
        ops.Refused(reason, 5),
        ops.Aborted(reason, ("one", "two")),
        ops.Panicked(reason),
    ]
    request = decode_frame(encode([], "detail", "hash", tag=9), 10)

    answer = decode(encode_answer(Run([(outcome, ()) for outcome in outcomes], 7, 8), request, "ab" * 32))

    assert (answer.tag, answer.seq, answer.step, answer.state_hash) == (9, 7, 8, "ab" * 32)
    assert [result.outcome for result in answer.results] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3]
    assert [result.reason for result in answer.results] == [0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1]
    assert [result.value for result in answer.results] == [
        (1 << 64) - 1,
        0,
        2,
        0,
        0,
        (1 << 64) - 1,
        1,
        8192,
        0,
        5,
        0,
        0,
    ]
    row = struct.pack("<IBBHII", 3, 0x08, 1, 0, CommandError.MAPD_DEVICE_OOR.code, 0)
    assert [result.payload for result in answer.results] == [
        b"", b"", row * 2, b"abc", b"\xff" * 8, b"\0" * 8, b"", b"", b'{"log":["line"],"result":{"x":1}}', b"", b"one\ntwo", b"",
    ]  # fmt: skip


def hex_block(text: str) -> bytes:
    """The bytes of an example in docs/wire.md."""
    return bytes.fromhex("".join(re.match(r"[0-9a-f ]*", line)[0] for line in text.splitlines()))  # type: ignore[index]


def test_the_documented_example_is_true(service: Any) -> None:
    """The request of docs/wire.md, sent to a new session, is answered with the bytes that stand there."""
    request, answer = (hex_block(block) for block in re.findall(r"```\n([0-9a-f].*?)```", WIRE.read_text(), re.DOTALL))
    path = service.session(hardening="strict")

    got = service.http.post(f"{path}/ops", content=request, headers={"content-type": "application/octet-stream"})

    assert len(request) == 72
    assert got.content == answer
