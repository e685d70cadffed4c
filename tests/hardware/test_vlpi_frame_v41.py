"""GICv4.1's VLPI frame: the vPE table, residency, PendingLast, the default doorbell, GICR_VSGIR, invalidation."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import CLEAR, INT, MAPC, MAPD, VMAPP_V41, VMAPTI, VMOVI, VMOVP_V41, VSGI
from itsbox.arch.its_registers import GITS_SGIR
from itsbox.arch.its_tables import VTE_V41
from itsbox.arch.lpi_tables import VPE_FLAGS_OFFSET
from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_SYNCR,
    GICR_TYPER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER_V41,
    GICR_VSGIPENDR,
    GICR_VSGIR,
)
from itsbox.machine import Machine
from itsbox.ops import Fill, MmioWrite, Store
from tests.rig import Rig

DEVICE = 16
VCONF = 0x4520_0000
DOORBELL = 9000
VPROP, VPEND = GICR_VPROPBASER_V41.OFFSET, GICR_VPENDBASER_V41.OFFSET
ENABLED, DISABLED = 0xA1, 0xA0


def vpt(vpe_id: int) -> int:
    """Where the vPE's pending table lies."""
    return Rig.VPT + vpe_id * 0x1_0000


def vmapp(vpe_id: int, rd_base: int, valid: int = 1, doorbell: int | None = None) -> VMAPP_V41:
    """A VMAPP as Linux sends it for a new vPE."""
    return VMAPP_V41(
        alloc=1,
        ptz=0,
        vconf_addr=VCONF,
        default_doorbell=DOORBELL + vpe_id if doorbell is None else doorbell,
        vpe_id=vpe_id,
        rd_base=rd_base,
        valid=valid,
        vpt_size=15,
        vpt_addr=vpt(vpe_id),
    )


def vpropbaser(**fields: int) -> int:
    """GICR_VPROPBASER for the vPE table of the rig: one 64 KB page, flat."""
    return GICR_VPROPBASER_V41.decode(0).replace(physical_address=Rig.VPES, page_size=2, valid=1, **fields).word()


@pytest.fixture
def rig() -> Rig:
    """A GICv4.1 machine with vPEs 0 and 1 on CPUs 0 and 1, and event n of a device going to vLPI 8192 + n of vPE 1."""
    rig = Rig(profile="virt-gicv4.1").set_up()
    rig.machine.apply(Fill(VCONF, 57344, ENABLED))
    for cpu in range(4):
        rig.gicr(cpu, VPROP, vpropbaser())
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(vmapp(0, 0), vmapp(1, 1))
    rig.post(
        *(VMAPTI(device_id=DEVICE, event_id=n, vpe_id=1, virtual_intid=8192 + n, doorbell_intid=1023) for n in range(8))
    )
    rig.machine.take_events()
    return rig


def fire(rig: Rig, *events: int) -> None:
    """INT for each event."""
    rig.post(*(INT(device_id=DEVICE, event_id=event) for event in events))


def enter(rig: Rig, vpe_id: int = 1, cpu: int = 1) -> None:
    """Make a vPE resident, as Linux does."""
    value = GICR_VPENDBASER_V41.decode(0).replace(vpe_id=vpe_id, vgrp0_en=1, vgrp1_en=1, valid=1)
    rig.gicr(cpu, VPEND, value.word())


def leave(rig: Rig, *, doorbell: int = 0, pending_last: int = 0, cpu: int = 1) -> GICR_VPENDBASER_V41:
    """Make the resident vPE leave, and answer what the register reads then."""
    value = GICR_VPENDBASER_V41.decode(rig.gicr(cpu, VPEND))
    rig.gicr(cpu, VPEND, value.replace(valid=0, doorbell=doorbell, pending_last=pending_last).word())
    return GICR_VPENDBASER_V41.decode(rig.gicr(cpu, VPEND))


def send_sgi(rig: Rig, vpe_id: int, virtual_intid: int) -> None:
    """Write GITS_SGIR."""
    assert rig.map.sgir is not None
    rig.machine.apply(MmioWrite(rig.map.sgir, 8, GITS_SGIR(virtual_intid=virtual_intid, vpe_id=vpe_id).word()))


def vsgi(virtual_intid: int, enable: int = 1, vpe_id: int = 1) -> VSGI:
    """A VSGI."""
    return VSGI(enable=enable, clear=0, group=1, priority=0xA0, virtual_intid=virtual_intid, vpe_id=vpe_id)


def vpending(rig: Rig, vpe_id: int = 1) -> list[int]:
    """The pending virtual interrupts of a vPE."""
    bits: list[int] = rig.machine.state()["vpending"].get(hex(vpt(vpe_id)), [])
    return bits


# ---------------------------------------------------------------- registers


def test_typer_and_ctlr_say_what_gicv4_1_adds(rig: Rig) -> None:
    """RVPEID, VSGI, Dirty and one group at Aff3; INVLPIR and INVALLR work (IR) and nothing is ever busy."""
    typer = GICR_TYPER.decode(rig.gicr(0, GICR_TYPER.OFFSET))

    assert (typer.rvpeid, typer.vsgi, typer.dirty, typer.vlpis, typer.common_lpi_aff) == (1, 1, 1, 1, 1)
    assert GICR_CTLR.decode(rig.gicr(0, GICR_CTLR.OFFSET, size=4)).ir == 1
    assert rig.gicr(0, GICR_SYNCR.OFFSET, size=4) == 0


def test_vpropbaser_keeps_its_fields_and_fixes_entry_size(rig: Rig) -> None:
    """Entry_Size reads three (four doublewords) whatever is written; reserved bits read zero."""
    rig.gicr(0, VPROP, (1 << 64) - 1)
    value = rig.gicr(0, VPROP)

    assert GICR_VPROPBASER_V41.decode(value).entry_size == 3
    assert value & GICR_VPROPBASER_V41.RES0[0] == 0
    assert value == GICR_VPROPBASER_V41.decode((1 << 64) - 1).replace(entry_size=3).word()


def test_vpropbaser_does_not_change_under_a_resident_vpe(rig: Rig) -> None:
    """While a vPE is resident a write is ignored; afterwards it counts."""
    before = rig.gicr(1, VPROP)
    enter(rig)
    rig.gicr(1, VPROP, vpropbaser(size=1))
    assert rig.gicr(1, VPROP) == before
    leave(rig)
    rig.gicr(1, VPROP, vpropbaser(size=1))

    assert GICR_VPROPBASER_V41.decode(rig.gicr(1, VPROP)).size == 1


def test_nothing_but_valid_changes_under_a_resident_vpe(rig: Rig) -> None:
    """Another vPEID with Valid still set is ignored; Dirty never reads one."""
    enter(rig)
    before = rig.gicr(1, VPEND)
    rig.gicr(1, VPEND, 1 << 63 | 1 << 60)

    assert rig.gicr(1, VPEND) == before
    assert GICR_VPENDBASER_V41.decode(before).dirty == 0


def test_residency_works_by_halves(rig: Rig) -> None:
    """The vPEID in one 32-bit write and Valid in another."""
    rig.gicr(1, VPEND, 1, size=4)
    rig.gicr(1, VPEND + 4, 1 << 31, size=4)
    fire(rig, 0)

    assert rig.gicr(1, VPEND) == 1 << 63 | 1
    assert leave(rig).pending_last == 1


# ---------------------------------------------------------------- PendingLast and the default doorbell


def test_a_resident_vpe_takes_its_interrupts_without_a_doorbell(rig: Rig) -> None:
    """Virtual LPIs and SGIs of a resident vPE become pending for it, and no physical LPI does."""
    enter(rig)
    fire(rig, 2)
    send_sgi(rig, 1, 5)

    assert (vpending(rig), rig.pending(1)) == ([5, 8194], [])


def test_the_default_doorbell_rings_only_if_it_was_asked_for(rig: Rig) -> None:
    """Without Doorbell a vPE that left is not woken; with it the physical LPI becomes pending at the vPE's CPU."""
    fire(rig, 0)
    assert rig.pending(1) == []
    rig.post(CLEAR(device_id=DEVICE, event_id=0))
    enter(rig)
    assert leave(rig, doorbell=0).pending_last == 0
    fire(rig, 1)
    assert rig.pending(1) == []
    rig.post(CLEAR(device_id=DEVICE, event_id=1))
    enter(rig)
    assert leave(rig, doorbell=1).pending_last == 0
    fire(rig, 2)

    assert rig.pending(1) == [DOORBELL + 1]


def test_a_virtual_sgi_rings_the_default_doorbell(rig: Rig) -> None:
    """A virtual SGI wakes a vPE that asked to be woken."""
    enter(rig)
    leave(rig, doorbell=1)
    send_sgi(rig, 1, 0)

    assert rig.pending(1) == [DOORBELL + 1]


def test_the_doorbell_rings_once_until_the_vpe_was_resident_again(rig: Rig) -> None:
    """After it rang nothing more comes; the next residency with Doorbell asks anew."""
    enter(rig)
    leave(rig, doorbell=1)
    fire(rig, 0)
    rig.machine.apply(Store(Rig.PEND + 0x1_0000 + (DOORBELL + 1) // 8, b"\0"))
    fire(rig, 1)
    assert rig.pending(1) == []
    rig.post(CLEAR(device_id=DEVICE, event_id=0), CLEAR(device_id=DEVICE, event_id=1))
    enter(rig)
    leave(rig, doorbell=1)
    fire(rig, 2)

    assert rig.pending(1) == [DOORBELL + 1]


def test_becoming_resident_withdraws_the_request(rig: Rig) -> None:
    """Who asked for the doorbell, came back and left without asking is not woken."""
    enter(rig)
    leave(rig, doorbell=1)
    enter(rig)
    leave(rig, doorbell=0)
    fire(rig, 0)

    assert rig.pending(1) == []


def test_what_is_pending_already_is_told_and_does_not_ring(rig: Rig) -> None:
    """PendingLast reads one when something is left, and then the doorbell is not armed."""
    enter(rig)
    fire(rig, 0)
    assert leave(rig, doorbell=1).pending_last == 1
    fire(rig, 1)

    assert rig.pending(1) == []


def test_pending_last_written_as_one_stays_and_asks_for_nothing(rig: Rig) -> None:
    """Software that will be back does not want to know: PendingLast stays one and the doorbell stays silent."""
    enter(rig)
    assert leave(rig, doorbell=1, pending_last=1).pending_last == 1
    fire(rig, 0)

    assert rig.pending(1) == []


def test_pending_last_looks_at_the_vpes_configuration(rig: Rig) -> None:
    """A vLPI that VCONF disables, or a virtual SGI that VSGI disables, does not count; enabled ones do."""
    rig.machine.apply(Store(VCONF, bytes([DISABLED])))
    rig.post(vsgi(7, enable=0))
    enter(rig)
    fire(rig, 0)
    send_sgi(rig, 1, 7)
    assert leave(rig).pending_last == 0
    rig.post(vsgi(7, enable=1))
    enter(rig)
    assert leave(rig).pending_last == 1
    rig.post(vsgi(7, enable=0))
    rig.machine.apply(Store(VCONF, bytes([ENABLED])))
    enter(rig)

    assert leave(rig).pending_last == 1


def test_1023_is_no_default_doorbell(rig: Rig) -> None:
    """A vPE without one is not woken, asked for or not."""
    rig.post(vmapp(1, 1, doorbell=1023))
    enter(rig)
    leave(rig, doorbell=1)
    fire(rig, 0)

    assert rig.pending(1) == []


def test_a_request_moves_with_the_vpe(rig: Rig) -> None:
    """After VMOVP the doorbell rings at the new CPU, with the number that DB gave."""
    enter(rig)
    leave(rig, doorbell=1)
    rig.post(VMOVP_V41(sequence_number=0, its_list=0, vpe_id=1, rd_base=3, db=1, default_doorbell=9500))
    fire(rig, 0)

    assert (rig.pending(1), rig.pending(3)) == ([], [9500])


def test_vmovi_rings_the_new_vpes_default_doorbell(rig: Rig) -> None:
    """A pending vLPI that VMOVI brings wakes a vPE that asked."""
    enter(rig, 0, 0)
    leave(rig, doorbell=1, cpu=0)
    fire(rig, 0)
    rig.post(VMOVI(device_id=DEVICE, event_id=0, vpe_id=0, d=1, doorbell_intid=1023))

    assert (vpending(rig, 1), vpending(rig, 0), rig.pending(0)) == ([], [8192], [DOORBELL])


# ---------------------------------------------------------------- the redistributor's own view of the vPE table


def test_without_vpropbaser_the_its_table_serves(rig: Rig) -> None:
    """A redistributor that was given no vPE table uses the one of the ITS that shares it (SVPET)."""
    rig.gicr(1, VPROP, 0)
    enter(rig)
    fire(rig, 0)

    assert vpending(rig) == [8192]
    assert leave(rig).pending_last == 1


def forge(rig: Rig, place: int, vpt_addr: int) -> None:
    """Write a vPE table of the host's own with vPE 1's pending table elsewhere, and give it to CPU 1."""
    forged = VTE_V41(
        valid=1, vpt_size=15, rd_base=1, its_map=1, vpt_addr=vpt_addr, vconf_addr=VCONF, default_doorbell=1023
    )
    rig.machine.apply(Store(place + 32, VTE_V41.STRUCT.pack(*forged.encode())))
    value = GICR_VPROPBASER_V41.decode(0).replace(physical_address=place, page_size=2, valid=1)
    rig.gicr(1, VPROP, value.word())


def test_a_resident_vpe_goes_by_the_redistributors_table(rig: Rig) -> None:
    """Attack A10: a forged vPE table makes a vPE's state land in memory that the host chose: its flags, then its bit."""
    secret = rig.map.hyp
    before = rig.machine.physical(secret, 0x2000)
    forge(rig, 0x4600_0000 - 0x10_0000, secret)
    enter(rig)
    fire(rig, 2)
    after = rig.machine.physical(secret, 0x2000)
    changed = [n for n in range(0x2000) if before[n] != after[n]]

    assert vpending(rig) == []
    assert changed == [VPE_FLAGS_OFFSET, 8194 // 8]


def test_a_vpe_that_the_redistributor_cannot_find_loses_its_interrupts(rig: Rig) -> None:
    """Unmapped under a resident vPE, or an empty table of its own: nothing is written, nothing raises."""
    rig.gicr(1, VPROP, vpropbaser(indirect=1))
    enter(rig)
    send_sgi(rig, 1, 3)
    fire(rig, 0)

    assert vpending(rig) == []
    assert leave(rig, doorbell=1).pending_last == 0
    assert rig.machine.physical(vpt(1), 0x2000) == bytes(0x2000)


def test_a_vpe_that_is_unmapped_while_resident_gets_nothing_more(rig: Rig) -> None:
    """VMAPP with V = 0 under a resident vPE: its interrupts are errors, leaving finds nothing."""
    enter(rig)
    rig.post(vmapp(1, 1, valid=0))

    assert rig.verdicts(INT(device_id=DEVICE, event_id=0)) == ["error: INT_ITE_INVALID"]
    assert leave(rig, doorbell=1).pending_last == 0


def test_a_two_level_table_of_the_redistributor_is_walked(rig: Rig) -> None:
    """Indirect: level 1 names the page that holds the entries."""
    level_1 = 0x4540_0000
    rig.machine.apply(Store(level_1, (1 << 63 | Rig.VPES).to_bytes(8, "little")))
    rig.gicr(1, VPROP, vpropbaser(indirect=1) & ~0xF_FFFF_FFFF_F000 | level_1)
    enter(rig)
    fire(rig, 3)

    assert vpending(rig) == [8195]


def test_residency_may_change_under_a_queued_command(rig: Rig) -> None:
    """What counts is who is resident when the ITS comes to the command, not when it was written."""
    enter(rig)
    rig.put(INT(device_id=DEVICE, event_id=0))
    leave(rig, doorbell=1)
    rig.post()

    assert (vpending(rig), rig.pending(1)) == ([8192], [DOORBELL + 1])


# ---------------------------------------------------------------- GICR_VSGIR, INVLPIR, INVALLR


def test_vsgir_answers_in_vsgipendr(rig: Rig) -> None:
    """One bit per pending virtual SGI, not busy; zero for a vPE that is not mapped or beyond the table."""
    send_sgi(rig, 1, 0)
    send_sgi(rig, 1, 15)
    fire(rig, 0)
    answers = []
    for vpe_id in (1, 0, 2, 2047, 2048, 0xFFFF):
        rig.gicr(1, GICR_VSGIR.OFFSET, vpe_id, size=4)
        answers.append(rig.gicr(1, GICR_VSGIPENDR.OFFSET, size=4))

    assert answers == [0x8001, 0, 0, 0, 0, 0]
    assert rig.gicr(1, GICR_VSGIR.OFFSET, size=4) == 0


@pytest.mark.parametrize("register", [GICR_INVLPIR, GICR_INVALLR])
@pytest.mark.parametrize("value", [8192, 1 << 63 | 1 << 32 | 8192, 1 << 63 | 0xFFFF << 32, (1 << 64) - 1])
def test_invalidations_change_nothing_that_can_be_seen(
    rig: Rig, register: type[GICR_INVLPIR | GICR_INVALLR], value: int
) -> None:
    """Nothing is cached, so that physical and virtual invalidations, of vPEs that exist or not, leave no trace."""
    before = rig.machine.state_hash()
    rig.gicr(1, register.OFFSET, value)
    rig.gicr(1, register.OFFSET, value % (1 << 32), size=4)

    assert rig.machine.state_hash() == before
    assert rig.gicr(1, register.OFFSET) == 0


def test_a_snapshot_keeps_residency_and_requests(rig: Rig) -> None:
    """A fork in which the vPE left asking for its doorbell behaves as the original."""
    enter(rig)
    leave(rig, doorbell=1)
    enter(rig, 0, 0)
    rig.gicr(2, GICR_VSGIR.OFFSET, 0, size=4)
    fork = Machine.fork(rig.machine.snapshot())
    original, slot = rig.machine, rig.cwriter
    fire(rig, 0)
    rig.machine, rig.cwriter = fork, slot
    fire(rig, 0)

    assert fork.state()["pending"] == {"1": [DOORBELL + 1]}
    assert fork.state_hash() == original.state_hash()
    assert [gicr.vlpi.resident for gicr in fork.redistributors] == [0, -1, -1, -1]
