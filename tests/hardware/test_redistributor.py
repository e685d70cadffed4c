"""The redistributor's LPI side: tables in RAM, enabling, priorities, acknowledging; and its identity."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPC, MAPD, MAPTI
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SETLPIR,
    GICR_SYNCR,
    GICR_TYPER,
    GICR_WAKER,
)
from itsbox.ops import Ack, Acked, Store
from tests.rig import Rig


@pytest.fixture
def rig() -> Rig:
    """A machine with a device of 32 events, all to CPU 0, LPI 8192 + n each."""
    rig = Rig().set_up()
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=1, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(*(MAPTI(device_id=1, event_id=n, intid=8192 + n, icid=0) for n in range(32)))
    return rig


def fire(rig: Rig, *events: int) -> None:
    """INT for each event."""
    rig.post(*(INT(device_id=1, event_id=event) for event in events))


def configure(rig: Rig, intid: int, byte: int) -> None:
    """Write an LPI's configuration byte, as software does."""
    rig.machine.apply(Store(Rig.PROP + intid - 8192, bytes([byte])))


def test_typer_counts_the_cpus_and_marks_the_last() -> None:
    """GICR_TYPER has the processor number and affinity of each CPU, and Last at the end of the series only."""
    rig = Rig(cpus=3)
    typers = [GICR_TYPER.decode(rig.gicr(cpu, GICR_TYPER.OFFSET)) for cpu in range(3)]

    assert [(t.processor_number, t.affinity_value, t.last) for t in typers] == [(0, 0, 0), (1, 1, 0), (2, 2, 1)]


def test_acknowledging_takes_the_lowest_intid_of_equal_priority(rig: Rig) -> None:
    """Ties go to the lowest INTID; each acknowledge clears the pending bit; then there is 1023."""
    fire(rig, 7, 3)

    assert [rig.machine.apply(Ack(0)) for _ in range(3)] == [Acked(8195), Acked(8199), Acked(1023)]
    assert rig.pending(0) == []


def test_acknowledging_prefers_the_numerically_lowest_priority(rig: Rig) -> None:
    """Priority 0x40 goes before 0xA0."""
    configure(rig, 8199, 0x41)
    fire(rig, 3, 7)

    assert rig.machine.apply(Ack(0)) == Acked(8199)


def test_a_disabled_lpi_stays_pending_until_it_is_enabled(rig: Rig) -> None:
    """An LPI whose configuration byte has Enable clear is not acknowledged, and is once it is set."""
    configure(rig, 8195, 0xA0)
    fire(rig, 3)
    assert rig.machine.apply(Ack(0)) == Acked(1023)
    configure(rig, 8195, 0xA1)

    assert rig.machine.apply(Ack(0)) == Acked(8195)


def test_pending_bits_survive_in_ram_while_lpis_are_off(rig: Rig) -> None:
    """Clearing EnableLPIs (CES is set) stops delivery; RAM keeps the bits; setting it again brings them back."""
    fire(rig, 3)
    rig.gicr(0, GICR_CTLR.OFFSET, 0, size=4)
    assert rig.machine.apply(Ack(0)) == Acked(1023)
    assert rig.pending(0) == [8195]
    rig.gicr(0, GICR_CTLR.OFFSET, 1, size=4)

    assert rig.machine.apply(Ack(0)) == Acked(8195)


def test_a_preloaded_pending_table_is_taken_over(rig: Rig) -> None:
    """Bits that software put into the pending table are pending LPIs."""
    rig.machine.apply(Store(Rig.PEND + 8200 // 8, b"\x01"))

    assert rig.machine.apply(Ack(0)) == Acked(8200)


def test_waker_follows_processor_sleep() -> None:
    """ChildrenAsleep reads as ProcessorSleep was written; both are set at reset."""
    rig = Rig()
    assert rig.gicr(0, GICR_WAKER.OFFSET, 0, size=4) == 6
    assert rig.gicr(0, GICR_WAKER.OFFSET, 2, size=4) == 0
    assert rig.gicr(0, GICR_WAKER.OFFSET, size=4) == 6


def test_base_registers_keep_every_bit_that_was_written() -> None:
    """PROPBASER and PENDBASER read back as written, halves included (QEMU's choice)."""
    rig = Rig()
    for offset in (GICR_PROPBASER.OFFSET, GICR_PENDBASER.OFFSET):
        rig.gicr(0, offset, 0x4567_89AB, size=4)
        rig.gicr(0, offset + 4, 0x0123, size=4)
        assert rig.gicr(0, offset) == 0x0123_4567_89AB


@pytest.mark.parametrize("offset", [GICR_SETLPIR.OFFSET, GICR_SYNCR.OFFSET, 0x0C, 0x8000])
def test_what_is_not_implemented_is_raz_wi(offset: int) -> None:
    """Without DirectLPI the registers of direct injection do nothing."""
    rig = Rig().set_up()
    before = rig.machine.state_hash()
    rig.gicr(0, offset, 8192, size=4)

    assert rig.gicr(0, offset, size=4) == 0
    assert before == rig.machine.state_hash()


def test_a_pending_table_in_missing_memory_delivers_nothing() -> None:
    """A redistributor whose tables are not RAM loses LPIs without any other effect."""
    rig = Rig().set_up(lpis_on=[])
    rig.gicr(0, GICR_PENDBASER.OFFSET, Rig.NOWHERE)
    rig.gicr(0, GICR_PROPBASER.OFFSET, Rig.PROP | 15)
    rig.gicr(0, GICR_CTLR.OFFSET, 1, size=4)
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=1, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(MAPTI(device_id=1, event_id=0, intid=8192, icid=0))

    assert rig.verdicts(INT(device_id=1, event_id=0)) == ["executed"]
    assert rig.machine.apply(Ack(0)) == Acked(1023)
    assert rig.machine.state()["pending"] == {}
