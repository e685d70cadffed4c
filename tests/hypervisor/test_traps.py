"""Where a host access ends: device, memory, region, abort."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPTI
from itsbox.arch.its_registers import GITS_CTLR
from itsbox.arch.redist_registers import GICR_CTLR, GICR_PENDBASER
from itsbox.arch.values import FIRST_LPI, pfn_of
from itsbox.ops import Aborted, Done, Drive, MmioRead, MmioWrite, Refused, Value
from itsbox.reasons import Reason
from tests.hypervisor.box import Box


def test_devices_that_nobody_took_stay_the_hosts() -> None:
    """The distributor, and addresses where nothing is."""
    box = Box()

    assert isinstance(box.machine.apply(MmioRead(box.map.gicd, 4)), Value)
    assert box.machine.apply(MmioRead(0x1000, 4)) == Value(0)
    assert isinstance(box.machine.apply(MmioWrite(0x1000, 4, 1)), Done)


def test_a_device_page_without_a_handler_is_an_abort() -> None:
    """The host donated the distributor itself: nothing stands for it."""
    box = Box(session={"start": "bare"})
    box.errno("__pkvm_host_donate_hyp_mmio", pfn_of(box.map.gicd))
    box.finalise()
    box.machine.take_events()

    assert box.machine.apply(MmioRead(box.map.gicd, 4)) == Aborted(Reason.HYP_MMIO)
    assert box.machine.apply(MmioWrite(box.map.gicd, 4, 0)) == Aborted(Reason.HYP_MMIO)
    assert [event["write"] for event in box.events("trap.abort")] == [False, True]


def test_an_mmio_access_to_foreign_memory_is_an_abort() -> None:
    """By whichever op the host tries."""
    box = Box()

    assert box.machine.apply(MmioRead(box.map.hyp, 8)) == Aborted(Reason.HYP_MEMORY)
    assert box.machine.apply(MmioWrite(box.map.guest, 8, 0)) == Aborted(Reason.GUEST_MEMORY)


def test_every_answer_leaves_an_event() -> None:
    """Emulated, forwarded and refused, with register, size, direction, value and reason."""
    box = Box()
    box.machine.take_events()
    box.read(GITS_CTLR.OFFSET, 4)
    box.read(0xFFE8, 4)
    box.write(0x20, 5, 4)

    shown = [(e["register"], e["write"], e["value"], e["action"], e["reason"]) for e in box.events("trap.mmio")]
    assert shown == [
        ("GITS_CTLR", False, "0x80000001", "emulated", None),
        ("GITS_PIDR2", False, "0x3b", "forwarded", None),
        (None, True, "0x5", "refused", "impdef_register"),
    ]


def test_a_refused_read_has_no_value_in_its_event() -> None:
    """The host reads zero; nobody says that the register is zero."""
    box = Box()
    box.machine.take_events()
    assert box.read(0, 1) == Refused(Reason.ACCESS_WIDTH, 0)

    assert box.events("trap.mmio")[0]["value"] is None


@pytest.mark.parametrize("size", [2, 4, 8])
def test_the_second_page_of_a_misaligned_access_is_translated_too(size: int) -> None:
    """One byte in the guest's memory is enough, as for a load or a store there."""
    box = Box()

    assert box.machine.apply(MmioRead(box.map.guest - 1, size)) == Aborted(Reason.GUEST_MEMORY)
    assert box.machine.apply(MmioWrite(box.map.guest - 1, size, 0)) == Aborted(Reason.GUEST_MEMORY)
    assert box.machine.apply(MmioRead(box.map.guest - size, size)) == Value(0)
    assert [event["addr"] for event in box.events("trap.abort")] == [hex(box.map.guest)] * 2


@pytest.mark.parametrize("preset", ["forward", "rfc-v1", "v2", "android-6.12", "strict"])
def test_a_write_that_ends_in_a_guarded_frame_does_not_reach_it(preset: str) -> None:
    """Its first bytes lie in a page that nobody guards: the ITS would be disabled behind the hypervisor's back."""
    box = Box(preset)
    before = box.hardware(GITS_CTLR)

    assert box.machine.apply(MmioWrite(box.its - 4, 8, 0)) == Refused(Reason.ACCESS_WIDTH)
    assert box.hardware(GITS_CTLR) == before


@pytest.mark.parametrize("preset", ["android-6.12", "strict"])
def test_a_pending_table_is_not_slipped_in_by_writes_across_frames(preset: str) -> None:
    """LPIs off and on again by writes that begin in the frame before, with another pending table in between."""
    box = Box(preset, session={"oracle": "lockstep"})
    victim, per_cpu = box.map.hyp + 0x3_0000, box.map.gicr_stride
    box.machine.apply(Drive("map_device", {"device_id": 0x20, "events": 1}))
    was = GICR_PENDBASER.decode(box.machine.redistributors[1].read(GICR_PENDBASER.OFFSET, 8))
    before = box.machine.physical(victim, 0x1_0000)
    for cpu in (0, 1):
        box.machine.apply(MmioWrite(box.map.gicr + cpu * per_cpu - 4, 8, 0))
        box.gicr(cpu, GICR_PENDBASER, was.replace(physical_address=victim).word())
        box.machine.apply(MmioWrite(box.map.gicr + cpu * per_cpu - 4, 8, 1 << 32))
        box.verdicts(MAPTI(device_id=0x20, event_id=0, intid=FIRST_LPI + 9, icid=cpu), INT(device_id=0x20, event_id=0))
        assert GICR_CTLR.decode(box.machine.redistributors[cpu].read(GICR_CTLR.OFFSET, 4)).enable_lpis

    assert box.machine.physical(victim, 0x1_0000) == before
    assert box.machine.violations == []
