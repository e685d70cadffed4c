"""A trace as steps: which lines become ops, and which reads say nothing about a model."""

from __future__ import annotations

import pytest

from itsbox.ops import Ack, Fill, MmioRead, MmioWrite, Msi, Store
from itsbox.replay.steps import steps_of, uncomparable
from itsbox.replay.trace import Acknowledge, Crash, Filled, Head, Line, Note, Read, Sent, Stored, Trace, Write

GICD, ITS, GICR = 0x800_0000, 0x808_0000, 0x80A_0000
SEQUENCE = Head("s", "S", "7", False, 3, 2, 256, GICD, ITS, GICR, 0x2_0000, 0x4000_0000, 1)
CLIENT = SEQUENCE._replace(client=True)


def test_each_line_becomes_its_op() -> None:
    """In order; remarks and the end are no ops."""
    lines: tuple[Line, ...] = (
        Write(2, 1, 4, 3, ()), Read(3, 1, 4, 3), Stored(4, 5, b"x"), Filled(5, 6, 7, 8), Note(6, ""),
        Sent(7, 8, 9, translated=True), Acknowledge(8, 1, 8192), Crash(9, ""),
    )  # fmt: skip

    steps = list(steps_of(Trace(SEQUENCE, lines)))

    assert [step.op for step in steps] == [
        MmioWrite(1, 4, 3), MmioRead(1, 4), Store(5, b"x"), Fill(6, 7, 8), Msi(8, 9), Ack(1),
    ]  # fmt: skip
    assert [step.recorded.line for step in steps if step.recorded] == [2, 3, 4, 5, 7, 8]


@pytest.mark.parametrize(
    "addr, comparable",
    [
        (ITS + 0x90, True),
        (GICR + 0x70, True),
        (GICR + 0x1_0100, True),  # enables of SGIs and PPIs are software's own
        (GICR + 0x2_0000 + 0x1_0200, False),  # the second CPU's pending PPIs are the wires' business
        (GICR + 0x1_0300, False),
        (GICD + 0x0004, True),
        (GICD + 0x0284, False),
        (GICD + 0x0380, False),
        (GICD + 0x5000, False),  # no register that is modelled
        (0x900_0000, True),
    ],
)
def test_a_clients_wires_are_not_compared(addr: int, comparable: bool) -> None:
    """Timers, SGIs and devices' SPIs are not in a recording, so neither is what is pending or active."""
    assert (uncomparable(CLIENT, Read(1, addr, 4, 0)) is None) is comparable


def test_a_sequence_drives_no_wires() -> None:
    """So everything that is modelled must agree there."""
    assert uncomparable(SEQUENCE, Read(1, GICD + 0x284, 4, 0)) is None


def test_a_read_that_says_nothing_is_still_played() -> None:
    """It is sent, since reading might have an effect, but expects nothing."""
    (step,) = steps_of(Trace(CLIENT, (Read(1, GICD + 0x284, 4, 0),)))

    assert step.op == MmioRead(GICD + 0x284, 4)
    assert step.recorded is None
