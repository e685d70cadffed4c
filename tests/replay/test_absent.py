"""What a client's recording leaves out, told from the recording itself."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import DISCARD, INV, INVALL, MAPD
from itsbox.arch.layout import Layout
from itsbox.ops import Fill, MmioWrite, Op, Store
from itsbox.replay.replayer import replay
from itsbox.replay.steps import steps_of
from itsbox.replay.target import InProcess, wish_for
from itsbox.replay.trace import Acknowledge, End, Head, Line, Read, RecordedCommand, Stored, Trace, Write

ITS, GICR, STRIDE = 0x808_0000, 0x80A_0000, 0x4_0000
CWRITER, CBASER, PROPBASER, VPROPBASER, VPENDBASER = 0x88, 0x80, 0x70, 0x2_0070, 0x2_0078
QUEUE, TABLE = 0x4100_0000, 0x4500_0000
ON, OFF = b"\xa3", b"\xa2"  # priority 0xA0, bit 1 is RES1
RESIDENT, PENDING_LAST = 1 << 63, 1 << 61


def head(gic: int = 4) -> Head:
    """A client on two CPUs."""
    return Head("c", "C", "7", True, gic, 2, 256, 0x800_0000, ITS, GICR, STRIDE, 0x4000_0000, None)


def played(*lines: Line, gic: int = 4) -> list[Op]:
    """The ops of a client's trace."""
    return [step.op for step in steps_of(Trace(head(gic), (*lines, End(99, {}, {}, {}))))]


def write(addr: int, value: int, size: int = 8, *commands: RecordedCommand) -> Write:
    """A register write that ran commands."""
    return Write(1, addr, size, value, commands)


def command(slot: int, layout: type[Layout], **fields: int) -> tuple[Stored, RecordedCommand]:
    """A command in the queue, and the recording that it ran."""
    raw = layout.STRUCT.pack(*layout.decode(0, 0, 0, 0).replace(**fields).encode())
    return Stored(1, QUEUE + 32 * slot, raw), RecordedCommand(slot, layout.NAME, "ok")


SET_UP = (write(GICR + PROPBASER, TABLE | 15), write(ITS + CBASER, 1 << 63 | QUEUE | 15))


def test_an_lpi_is_enabled_at_the_inv_before_its_acknowledge() -> None:
    """Its byte is stored just before the write that runs the INV, and taken back at the next one without an acknowledge."""
    (_, inv), (_, invall) = command(0, INV), command(1, INVALL)
    first, second = write(ITS + CWRITER, 0x20, 4, inv), write(ITS + CWRITER, 0x40, 4, invall)

    ops = played(*SET_UP, first, Acknowledge(1, 0, 8193), second)

    enabled, disabled = Store(TABLE + 1, ON), Store(TABLE + 1, OFF)
    assert ops.index(enabled) + 1 == ops.index(MmioWrite(ITS + CWRITER, 4, 0x20))
    assert ops.index(disabled) + 1 == ops.index(MmioWrite(ITS + CWRITER, 4, 0x40))


def test_other_commands_do_not_configure() -> None:
    """Only an INV or INVALL makes a redistributor read its table again."""
    _, discard = command(0, DISCARD)

    ops = played(*SET_UP, write(ITS + CWRITER, 0x20, 4, discard), Acknowledge(1, 0, 8193))

    assert ops.index(Store(TABLE + 1, ON)) < ops.index(MmioWrite(ITS + CWRITER, 4, 0x20))


def test_an_lpi_that_is_acknowledged_before_any_inv_was_enabled_from_the_start() -> None:
    """Its byte is there as soon as there is a table, and in each table that a CPU is given."""
    other = TABLE + 0x1_0000

    ops = played(*SET_UP, write(GICR + STRIDE + PROPBASER, other | 15), Acknowledge(1, 0, 8200))

    assert Store(TABLE + 8, ON) in ops
    assert Store(other + 8, ON) in ops


def test_a_fresh_itt_is_zeroed_before_its_mapd() -> None:
    """Memory that was another device's is handed over empty, as software must; a repeated MAPD leaves its entries alone."""
    store, ran = command(0, MAPD, device_id=8, size=2, itt_addr=0x4700_0000, valid=1)
    again, ran_again = command(1, MAPD, device_id=8, size=2, itt_addr=0x4700_0000, valid=1)

    ops = played(*SET_UP, store, write(ITS + CWRITER, 0x20, 4, ran), again, write(ITS + CWRITER, 0x40, 4, ran_again))

    fill = Fill(0x4700_0000, 8 * 12, 0)
    assert [op for op in ops if isinstance(op, Fill)] == [fill]
    assert ops.index(fill) + 1 == ops.index(MmioWrite(ITS + CWRITER, 4, 0x20))


def test_an_itt_is_fresh_again_after_an_unmap() -> None:
    """MAPD with V=0 gives the memory back; the next MAPD of the same address starts empty."""
    lines: list[Line] = list(SET_UP)
    for slot, valid in enumerate((1, 0, 1)):
        store, ran = command(slot, MAPD, device_id=8, size=0, itt_addr=0x4700_0000, valid=valid)
        lines += [store, write(ITS + CWRITER, 32 * (slot + 1), 4, ran)]

    ops = played(*lines)

    assert [op for op in ops if isinstance(op, Fill)] == [Fill(0x4700_0000, 24, 0)] * 2


def test_a_vpe_leaves_an_enabled_vlpi_pending_when_the_recording_says_so() -> None:
    """The guest's configuration is made to answer as recorded, just before the vPE is scheduled in."""
    vpendbaser, arrives = GICR + VPENDBASER, RESIDENT | 0x4800_0000
    for read, byte in ((PENDING_LAST, ON[0]), (0, OFF[0])):
        ops = played(
            write(GICR + VPROPBASER, 0x4900_0000 | 15),
            write(vpendbaser, arrives),
            Read(1, vpendbaser, 8, arrives | PENDING_LAST),
            write(vpendbaser, 0x4800_0000),
            Read(1, vpendbaser, 8, 0x4800_0000 | read),
        )

        fill = Fill(0x4900_0000, 0xE000, byte)
        assert [op for op in ops if isinstance(op, Fill)] == [fill]
        assert ops.index(fill) + 1 == ops.index(MmioWrite(vpendbaser, 8, arrives))


def test_nothing_is_assumed_of_a_vpe_that_nobody_looked_at() -> None:
    """Without a read of PendingLast after it has left there is nothing to answer."""
    vpendbaser, arrives = GICR + VPENDBASER, RESIDENT | 0x4800_0000

    ops = played(
        write(GICR + VPROPBASER, 0x4900_0000 | 15),
        write(vpendbaser, arrives),
        write(vpendbaser, 0),
        write(vpendbaser, 0x4800_0000),
        Read(1, vpendbaser, 8, PENDING_LAST),
        write(vpendbaser, arrives),
        Read(1, vpendbaser, 8, PENDING_LAST),
    )

    assert not [op for op in ops if isinstance(op, Fill)]


@pytest.mark.parametrize("pending_last", [0, PENDING_LAST])
def test_a_machine_answers_pending_last_as_recorded(pending_last: int) -> None:
    """A vLPI that came while its vPE was away is there when it leaves again, if and only if the recording says so."""
    vpendbaser, arrives = GICR + VPENDBASER, RESIDENT | 0x4800_0000
    lines = (
        Stored(1, 0x4800_0400, b"\x01"),  # vLPI 8192 is pending
        write(GICR + VPROPBASER, 0x4900_0000 | 15),
        write(vpendbaser, arrives),
        write(vpendbaser, 0x4800_0000),
        Read(9, vpendbaser, 8, 0x4800_0000 | pending_last),
        End(10, {}, {}, {}),
    )

    report = replay(Trace(head(), lines), InProcess(wish_for(head())))

    assert [str(difference) for difference in report.differences] == []


def test_registers_written_in_halves_count_like_whole_ones() -> None:
    """A client may use 32-bit accesses."""
    ops = played(
        write(GICR + PROPBASER, TABLE | 15, 4), write(GICR + PROPBASER + 4, 0, 4), Acknowledge(1, 0, 8193), gic=3
    )

    assert Store(TABLE + 1, ON) in ops


def test_a_recorded_sequence_is_played_as_it_is() -> None:
    """Its stores are all in the trace; nothing is put in."""
    sequence = head()._replace(client=False)
    lines = (*SET_UP, Acknowledge(1, 0, 8193))

    ops = [step.op for step in steps_of(Trace(sequence, lines))]

    assert not [op for op in ops if isinstance(op, Store | Fill)]
    assert len(ops) == 3
