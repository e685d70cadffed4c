"""Where a host access ends: device, memory, region, abort."""

from __future__ import annotations

from itsbox.arch.its_registers import GITS_CTLR
from itsbox.arch.values import pfn_of
from itsbox.ops import Aborted, Done, MmioRead, MmioWrite, Refused, Value
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
