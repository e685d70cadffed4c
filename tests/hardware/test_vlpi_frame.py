"""GICv4.0's VLPI frame: two addresses a scheduling, what may change when, and what a wild address does."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import CLEAR, DISCARD, INT, INV, MAPC, MAPD, VINVALL, VMAPP, VMAPTI, VMOVI
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.hardware.vlpi_frame import VlpiFrame
from itsbox.machine import Machine
from itsbox.ops import Fill, Store
from tests.rig import Rig

DEVICE = 16
VALID, PENDING_LAST, DIRTY = 1 << 63, 1 << 61, 1 << 60
VPROP, VPEND = GICR_VPROPBASER.OFFSET, GICR_VPENDBASER.OFFSET


@pytest.fixture
def rig() -> Rig:
    """A GICv4 machine with vPE 0 on CPU 0 and event n of a device going to its vLPI 8192 + n, doorbell 8300."""
    rig = Rig(profile="virt-gicv4").set_up()
    rig.machine.apply(Fill(Rig.VPROP, 57344, 0xA1))
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(VMAPP(vpe_id=0, rd_base=0, valid=1, vpt_size=15, vpt_addr=Rig.VPT))
    rig.post(
        *(VMAPTI(device_id=DEVICE, event_id=n, vpe_id=0, virtual_intid=8192 + n, doorbell_intid=8300) for n in range(4))
    )
    rig.gicr(0, VPROP, Rig.VPROP | 15)
    return rig


def fire(rig: Rig, event_id: int) -> None:
    """INT for an event."""
    rig.post(INT(device_id=DEVICE, event_id=event_id))


def test_dirty_is_never_set_and_never_written(rig: Rig) -> None:
    """The model's residency changes are complete at once."""
    rig.gicr(0, VPEND, VALID | DIRTY | Rig.VPT)
    assert not rig.gicr(0, VPEND) & DIRTY
    rig.gicr(0, VPEND, DIRTY | Rig.VPT)

    assert not rig.gicr(0, VPEND) & DIRTY


def test_another_vpes_table_is_not_resident(rig: Rig) -> None:
    """Residency is an address: with another table loaded the vPE is away and its doorbell rings."""
    rig.gicr(0, VPEND, VALID | Rig.VPT + 0x1_0000)
    fire(rig, 0)

    assert rig.pending(0) == [8300]


def test_pending_last_counts_enabled_vlpis_only(rig: Rig) -> None:
    """A pending vLPI that the guest disabled is not worth waking for."""
    rig.machine.apply(Store(Rig.VPROP, b"\xa0"))
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    fire(rig, 0)
    rig.gicr(0, VPEND, Rig.VPT)
    assert not rig.gicr(0, VPEND) & PENDING_LAST
    rig.machine.apply(Store(Rig.VPROP, b"\xa1"))
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    rig.gicr(0, VPEND, Rig.VPT)

    assert rig.gicr(0, VPEND) & PENDING_LAST


@pytest.mark.parametrize("reread", [INV(device_id=DEVICE, event_id=1), VINVALL(vpe_id=0)], ids=repr)
def test_a_change_of_configuration_counts_from_the_next_inv(rig: Rig, reread: Layout) -> None:
    """A guest that enables a pending vLPI must tell; before that PendingLast does not know of it."""
    for told, pending_last in (([], 0), ([reread], PENDING_LAST)):
        rig.machine.apply(Fill(Rig.VPROP, 57344, 0xA0))
        rig.post(CLEAR(device_id=DEVICE, event_id=0))
        rig.gicr(0, VPEND, VALID | Rig.VPT)
        fire(rig, 0)
        rig.machine.apply(Fill(Rig.VPROP, 57344, 0xA1))
        rig.post(*told)
        rig.gicr(0, VPEND, Rig.VPT)

        assert rig.gicr(0, VPEND) & PENDING_LAST == pending_last


def test_when_the_best_one_goes_another_is_found(rig: Rig) -> None:
    """CLEAR of the best pending vLPI leaves the next one; CLEAR of the last leaves nothing."""
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    rig.machine.apply(Store(Rig.VPROP + 1, b"\x41"))
    fire(rig, 0)
    fire(rig, 1)
    frame = rig.machine.redistributors[0].vlpi
    assert isinstance(frame, VlpiFrame)
    assert (frame.best, frame.best_priority) == (8193, 0x40)
    rig.post(CLEAR(device_id=DEVICE, event_id=1))
    assert (frame.best, frame.best_priority) == (8192, 0xA0)
    rig.post(DISCARD(device_id=DEVICE, event_id=0))
    rig.gicr(0, VPEND, Rig.VPT)

    assert rig.gicr(0, VPEND) == Rig.VPT


def test_a_vlpi_that_moves_away_is_no_longer_the_best(rig: Rig) -> None:
    """VMOVI takes it out of the resident vPE's table."""
    rig.post(VMAPP(vpe_id=1, rd_base=1, valid=1, vpt_size=15, vpt_addr=Rig.VPT + 0x1_0000))
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    fire(rig, 0)
    rig.post(VMOVI(device_id=DEVICE, event_id=0, vpe_id=1, d=0, doorbell_intid=0))
    rig.gicr(0, VPEND, Rig.VPT)

    assert rig.gicr(0, VPEND) == Rig.VPT


@pytest.mark.parametrize("id_bits, pending_last", [(14, PENDING_LAST), (30, PENDING_LAST), (31, 0)])
def test_the_search_is_bounded_by_idbits(rig: Rig, id_bits: int, pending_last: int) -> None:
    """More bits than there are count as all; of 31 QEMU makes none."""
    fire(rig, 0)
    rig.gicr(0, VPROP, Rig.VPROP | id_bits)
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    rig.gicr(0, VPEND, Rig.VPT)

    assert rig.gicr(0, VPEND) & PENDING_LAST == pending_last


@pytest.mark.parametrize("place", [Rig.NOWHERE, 0x4FF0_0000, 0x4FE0_0000, 0x0808_0000, 0, (1 << 52) - 0x1_0000])
def test_tables_anywhere_are_no_defect_of_ours(rig: Rig, place: int) -> None:
    """VPROPBASER and VPENDBASER are raw addresses: absent, hypervisor, guest and device memory all have an answer."""
    rig.post(VMAPP(vpe_id=0, rd_base=0, valid=1, vpt_size=15, vpt_addr=place))
    rig.gicr(0, VPROP, place | 15)
    rig.gicr(0, VPEND, VALID | place)
    fire(rig, 0)
    rig.gicr(0, VPEND, place)

    assert GICR_VPENDBASER.decode(rig.gicr(0, VPEND)).physical_address == place
    assert rig.pending(0) == []


def test_a_pending_table_in_hypervisor_memory_takes_one_bit(rig: Rig) -> None:
    """Attack A6: VMAPP names hypervisor memory and an interrupt sets a bit there, resident or not."""
    secret = rig.map.hyp
    before = rig.machine.physical(secret + 1024, 1)[0]
    rig.post(VMAPP(vpe_id=0, rd_base=0, valid=1, vpt_size=15, vpt_addr=secret))
    fire(rig, 2)

    assert rig.machine.physical(secret + 1024, 1)[0] == before | 4 != before


def test_residency_may_change_under_a_queued_command(rig: Rig) -> None:
    """What counts is who is resident when the ITS comes to the command."""
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    rig.put(INT(device_id=DEVICE, event_id=0))
    rig.gicr(0, VPEND, Rig.VPT)
    rig.post()

    assert rig.pending(0) == [8300]


def test_a_snapshot_keeps_residency(rig: Rig) -> None:
    """A fork knows who is resident, and its bound on vLPIs."""
    rig.gicr(0, VPROP, Rig.VPROP | 13)
    rig.gicr(0, VPEND, VALID | Rig.VPT)
    fork = Machine.fork(rig.machine.snapshot())
    frame = fork.redistributors[0].vlpi

    assert fork.state_hash() == rig.machine.state_hash()
    assert (frame.resident, frame.state()) == (Rig.VPT, rig.machine.redistributors[0].vlpi.state())
    rig.machine = fork
    fire(rig, 1)
    assert rig.pending(0) == []
