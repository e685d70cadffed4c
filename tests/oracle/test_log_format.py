"""Lines of the event log: ops there and back, numbers, page states."""

from __future__ import annotations

import json

import pytest

from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.log_format import LogError, number, op_from_line, op_line, page_text

OPS: list[Op] = [
    MmioRead(0x808_0008, 8), MmioWrite(0x808_0088, 4, (1 << 32) - 1), Load(0x4000_0000, 64), Store(0x4000_0000, b"\x00\xff"),
    Fill(0x4000_0000, 4096, 255), Hvc("__pkvm_host_share_hyp", (1 << 63,)), Hvc(0xC600_0008, ()), Msi(0xFFFF, 31), Ack(3),
    Clean(0x4000_0000, 64), Drive("map_device", {"device_id": 8, "events": 3}),
]  # fmt: skip


@pytest.mark.parametrize("op", OPS)
def test_an_op_survives_its_line(op: Op) -> None:
    """Written as JSON and read again, an op is the same."""
    assert op_from_line(json.loads(json.dumps(op_line(op)))) == op


@pytest.mark.parametrize("value, expected", [(5, 5), ("0x10", 16), ("12", 12)])
def test_numbers_are_integers_or_strings(value: object, expected: int) -> None:
    """Addresses are strings, small numbers may be numbers."""
    assert number(value) == expected


@pytest.mark.parametrize("value", [True, None, 1.5, "ten", []])
def test_nothing_else_is_a_number(value: object) -> None:
    """Anything else is an error of the log."""
    with pytest.raises(ValueError, match=r".+"):
        number(value)


def test_page_states_are_read() -> None:
    """As ``page.state`` events spell them, with or without pins."""
    assert page_text("host SHARED_OWNED pins=3") == ("host", "SHARED_OWNED", 3)
    assert page_text("guest OWNED") == ("guest", "OWNED", 0)
    assert page_text("host SHARED_OWNED with guest") == ("host", "SHARED_OWNED", 0)
    with pytest.raises(ValueError, match="nobody"):
        page_text("nobody OWNED")


def test_an_error_names_its_line() -> None:
    """For people and for programs."""
    error = LogError(7, "is no JSON")

    assert (str(error), error.line) == ("line 7: is no JSON", 7)
