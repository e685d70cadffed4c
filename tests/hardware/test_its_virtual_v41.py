"""GICv4.1: VMAPP and VMOVP in their longer forms, VSGI, INVDB, GITS_SGIR, nID; every operand at its limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.its_commands import (
    INT,
    INV,
    INVDB,
    MAPC,
    MAPD,
    VINVALL,
    VMAPI,
    VMAPP_V41,
    VMAPTI,
    VMOVI,
    VMOVP_V41,
    VSGI,
    VSYNC,
)
from itsbox.arch.its_registers import GITS_CTLR, GITS_MPIDR, GITS_SGIR, GITS_TYPER
from itsbox.arch.its_tables import VTE_V41
from itsbox.arch.layout import Layout
from itsbox.arch.lpi_tables import VSGI_CONFIG_OFFSET
from itsbox.hardware.profile import PROFILES
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Fill, MmioWrite, Store
from tests.rig import Rig

DEVICE = 16
VCONF = 0x4520_0000
DOORBELL = 9000


def vmapp(vpe_id: int, rd_base: int = 0, valid: int = 1, **fields: int) -> VMAPP_V41:
    """A VMAPP as Linux sends it for a new vPE, with the vPE's own VPT."""
    command = VMAPP_V41(
        alloc=1,
        ptz=0,
        vconf_addr=VCONF,
        default_doorbell=DOORBELL + vpe_id % 64,
        vpe_id=vpe_id,
        rd_base=rd_base,
        valid=valid,
        vpt_size=15,
        vpt_addr=vpt(vpe_id),
    )
    return command.replace(**fields)


def vmapti(event_id: int, vpe_id: int = 0, intid: int = 8200, doorbell: int = 1023) -> VMAPTI:
    """A VMAPTI for the device; nobody has individual doorbells."""
    return VMAPTI(device_id=DEVICE, event_id=event_id, vpe_id=vpe_id, virtual_intid=intid, doorbell_intid=doorbell)


def vmovp(vpe_id: int, rd_base: int, db: int = 0, doorbell: int = 0) -> VMOVP_V41:
    """A VMOVP where one is enough for all ITSs."""
    return VMOVP_V41(sequence_number=0, its_list=0, vpe_id=vpe_id, rd_base=rd_base, db=db, default_doorbell=doorbell)


def vsgi(virtual_intid: int, vpe_id: int = 0, **fields: int) -> VSGI:
    """A VSGI that enables in group 1 with priority 0xA0."""
    command = VSGI(enable=1, clear=0, group=1, priority=0xA0, virtual_intid=virtual_intid, vpe_id=vpe_id)
    return command.replace(**fields)


def vpt(vpe_id: int) -> int:
    """Where the vPE's pending table lies."""
    return Rig.VPT + vpe_id % 8 * 0x1_0000


def vpending(rig: Rig, vpe_id: int) -> list[int]:
    """The pending virtual interrupts of a vPE."""
    bits: list[int] = rig.machine.state()["vpending"].get(hex(vpt(vpe_id)), [])
    return bits


def send_sgi(rig: Rig, vpe_id: int, virtual_intid: int, size: int = 8) -> None:
    """Write GITS_SGIR."""
    assert rig.map.sgir is not None
    value = GITS_SGIR(virtual_intid=virtual_intid, vpe_id=vpe_id).word()
    rig.machine.apply(MmioWrite(rig.map.sgir, size, value % (1 << 8 * size)))


def entry(rig: Rig, vpe_id: int) -> VTE_V41:
    """A vPE's entry in memory."""
    return VTE_V41.decode(*VTE_V41.STRUCT.unpack(rig.machine.physical(Rig.VPES + 32 * vpe_id, 32)))


def new_rig(**config: str) -> Rig:
    """A GICv4.1 machine with vPEs 0 and 1 on CPUs 0 and 1, a device of 32 events, and vLPIs enabled in VCONF."""
    rig = Rig(profile="virt-gicv4.1", **config).set_up()
    rig.machine.apply(Fill(VCONF, 57344, 0xA1))
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(vmapp(0), vmapp(1, rd_base=1))
    rig.machine.take_events()
    return rig


@pytest.fixture
def rig() -> Rig:
    """``new_rig`` with the default error policy."""
    return new_rig()


# ---------------------------------------------------------------- identity


def test_typer_says_what_gicv4_1_adds() -> None:
    """VMAPP, VSGI and a shared vPE table; no individual doorbells; the ITS and all CPUs share Aff3 = 0."""
    rig = Rig(profile="virt-gicv4.1")
    typer = GITS_TYPER.decode(rig.gits(GITS_TYPER.OFFSET))

    assert (typer.vmapp, typer.vsgi, typer.svpet, typer.nid, typer.vmovp, typer.virtual) == (1, 1, 1, 1, 1, 1)
    assert rig.gits(GITS_MPIDR.OFFSET, size=4) == 0


def test_quiescent_is_the_inverse_of_enabled() -> None:
    """GICv4.1 reads zero once the ITS is enabled, and one again when it is off."""
    rig = Rig(profile="virt-gicv4.1").set_up()
    assert rig.gits(GITS_CTLR.OFFSET, 0, size=4) == 1

    assert rig.gits(GITS_CTLR.OFFSET, size=4) == 0x8000_0000


# ---------------------------------------------------------------- VMAPP and VMOVP


def test_vmapp_records_both_tables_and_the_doorbell(rig: Rig) -> None:
    """Everything that the command says is in the vPE's 32-byte entry, and the decoded tables show the vPE."""
    assert entry(rig, 1) == VTE_V41(
        valid=1, vpt_size=15, rd_base=1, its_map=1, vpt_addr=vpt(1), vconf_addr=VCONF, default_doorbell=DOORBELL + 1
    )
    assert rig.machine.state()["vpes"]["1"] == {"rd": 1, "vptsize": 15, "vpt": hex(vpt(1))}
    (shown,) = (row for row in rig.machine.tables("vpe", "hw")["level2"] if row["id"] == 1)
    assert (shown["fields"]["vconf_addr"], shown["fields"]["default_doorbell"]) == (hex(VCONF), DOORBELL + 1)


def test_a_command_of_linux_is_understood_word_by_word(rig: Rig) -> None:
    """The published vector: vPE 5 to PE 1, VPT 0x41000000 with 16 bits, VCONF 0x42000000, Alloc, PTZ, doorbell 9000."""
    rig.post((0x42000329, 0x5_0000_2328, 0x8000_0000_0001_0000, 0x4100_000F))

    assert entry(rig, 5) == VTE_V41(
        valid=1,
        vpt_size=15,
        rd_base=1,
        its_map=1,
        vpt_addr=0x4100_0000,
        vconf_addr=0x4200_0000,
        default_doorbell=9000,
    )


def test_unmapping_ignores_everything_but_the_vpe_and_alloc(rig: Rig) -> None:
    """V = 0 with a wild RDbase, VPT_size and doorbell unmaps; the entry is zero."""
    assert rig.verdicts(vmapp(1, rd_base=77, valid=0, vpt_size=31, default_doorbell=5)) == ["executed"]

    assert rig.machine.physical(Rig.VPES + 32, 32) == bytes(32)
    assert "1" not in rig.machine.state()["vpes"]


def test_alloc_begins_a_vpe_without_sgis(rig: Rig) -> None:
    """Only Alloc clears what an earlier life left in the redistributor's part of the pending table; vLPIs stay pending."""
    rig.post(vsgi(3), vmapti(0), INT(device_id=DEVICE, event_id=0))
    send_sgi(rig, 0, 3)
    rig.post(vmapp(0, valid=0), vmapp(0, alloc=0))
    assert vpending(rig, 0) == [3, 8200]
    rig.post(vmapp(0, alloc=1))

    assert vpending(rig, 0) == [8200]
    assert rig.machine.physical(vpt(0) + VSGI_CONFIG_OFFSET + 3, 1) == b"\0"


def test_vmovp_moves_a_vpe_and_replaces_its_doorbell_only_with_db(rig: Rig) -> None:
    """Without DB the default doorbell stays as VMAPP gave it."""
    rig.post(vmovp(0, 2, doorbell=9999))
    assert (entry(rig, 0).rd_base, entry(rig, 0).default_doorbell) == (2, DOORBELL)
    rig.post(vmovp(0, 3, db=1, doorbell=9999))

    assert (entry(rig, 0).rd_base, entry(rig, 0).default_doorbell) == (3, 9999)


# ---------------------------------------------------------------- virtual SGIs


def test_vsgi_configures_and_clear_changes_nothing_else(rig: Rig) -> None:
    """Enable, group and priority are kept per vPE; Clear withdraws the pending state and leaves them."""
    rig.post(vsgi(4))
    send_sgi(rig, 0, 4)
    assert vpending(rig, 0) == [4]
    rig.post(vsgi(4, enable=0, group=0, priority=0, clear=1))

    assert vpending(rig, 0) == []
    assert rig.machine.physical(vpt(0) + VSGI_CONFIG_OFFSET + 4, 1) == b"\xa3"


@pytest.mark.parametrize("virtual_intid", [0, 15])
def test_sgir_makes_the_first_and_the_last_vsgi_pending(rig: Rig, virtual_intid: int) -> None:
    """A write to GITS_SGIR sets the bit of the SGI and emits an event that names the vPE."""
    send_sgi(rig, 1, virtual_intid)

    assert vpending(rig, 1) == [virtual_intid]
    assert [event[2:] for event in rig.machine.take_events() if event[0].name == "lpi.pending"] == [
        (virtual_intid, None, 1)
    ]


def test_sgir_is_dropped_for_who_is_not_there(rig: Rig) -> None:
    """An unmapped vPE, one beyond the table, a disabled ITS, and halves of the register change nothing."""
    before = rig.machine.state_hash()
    send_sgi(rig, 2, 4)
    send_sgi(rig, 2048, 4)
    send_sgi(rig, 0xFFFF, 4)
    send_sgi(rig, 0, 4, size=4)
    assert rig.machine.state_hash() == before
    rig.gits(GITS_CTLR.OFFSET, 0, size=4)
    send_sgi(rig, 0, 4)

    assert vpending(rig, 0) == []


def test_sgir_answers_at_its_architected_offset_too(rig: Rig) -> None:
    """128 KB behind GITS_CTLR a driver finds GITS_SGIR, though redistributors begin there."""
    value = GITS_SGIR(virtual_intid=9, vpe_id=1).word()
    rig.machine.apply(MmioWrite(rig.map.its + GITS_SGIR.OFFSET, 8, value))

    assert rig.map.its + GITS_SGIR.OFFSET == rig.map.gicr + 0x20
    assert vpending(rig, 1) == [9]


def test_without_vsgi_there_is_no_such_register() -> None:
    """GICv4.0 has neither the frame nor the offset."""
    rig = Rig(profile="virt-gicv4").set_up()
    before = rig.machine.state_hash()
    rig.machine.apply(MmioWrite(0x0807_0020, 8, 4))
    rig.machine.apply(MmioWrite(rig.map.its + GITS_SGIR.OFFSET, 8, 4))

    assert rig.map.sgir is None
    assert rig.machine.state_hash() == before


# ---------------------------------------------------------------- limits

LIMITS = [
    (vmapp(2047), None),
    (vmapp(2048), "VMAPP_VCPU_OOR"),
    (vmapp(2049, valid=0), "VMAPP_VCPU_OOR"),
    (vmapp(3, rd_base=3), None),
    (vmapp(3, rd_base=4), "VMAPP_PROCNUM_OOR"),
    (vmapp(3, rd_base=5, valid=0), None),
    (vmapp(3, vpt_size=15), None),
    (vmapp(3, vpt_size=16), "VMAPP_VPTSIZE_OOR"),
    (vmapp(3, vpt_size=31), "VMAPP_VPTSIZE_OOR"),
    (vmapp(3, vpt_size=16, valid=0), None),
    (vmapp(3, default_doorbell=1022), "VMAPP_PHYSICALID_OOR"),
    (vmapp(3, default_doorbell=1023), None),
    (vmapp(3, default_doorbell=8191), "VMAPP_PHYSICALID_OOR"),
    (vmapp(3, default_doorbell=8192), None),
    (vmapp(3, default_doorbell=65535), None),
    (vmapp(3, default_doorbell=65536), "VMAPP_PHYSICALID_OOR"),
    (vmapti(31), None),
    (vmapti(32), "VMAPTI_ID_OOR"),
    (vmapti(0, vpe_id=2), "VMAPTI_VCPU_INVALID"),
    (vmapti(0, vpe_id=2047), "VMAPTI_VCPU_INVALID"),
    (vmapti(0, vpe_id=2048), "VMAPTI_VCPU_OOR"),
    (vmapti(0, intid=8191), "VMAPTI_VIRTUALID_OOR"),
    (vmapti(0, intid=8192), None),
    (vmapti(0, intid=65535), None),
    (vmapti(0, intid=65536), "VMAPTI_VIRTUALID_OOR"),
    (vmapti(0, doorbell=8192), "VMAPTI_PHYSICALID_OOR"),
    (VMAPI(device_id=DEVICE, event_id=31, vpe_id=0, doorbell_intid=1023), "VMAPI_VIRTUALID_OOR"),
    (VMAPI(device_id=DEVICE + 1, event_id=31, vpe_id=0, doorbell_intid=1023), "VMAPI_UNMAPPED_DEVICE"),
    (VMAPI(device_id=0xFFFF_FFFF, event_id=31, vpe_id=0, doorbell_intid=1023), "VMAPI_DEVICE_OOR"),
    (VMOVI(device_id=DEVICE, event_id=30, vpe_id=1, d=0, doorbell_intid=0), "VMOVI_UNMAPPED_INTERRUPT"),
    (vmovp(0, 3), None),
    (vmovp(0, 4), "VMOVP_PROCNUM_OOR"),
    (vmovp(2, 4), "VMOVP_VCPU_INVALID"),
    (vmovp(2048, 4), "VMOVP_VCPU_OOR"),
    (vmovp(0, 1, db=1, doorbell=65536), "VMOVP_PHYSICALID_OOR"),
    (vmovp(0, 1, db=0, doorbell=65536), None),
    (vsgi(0), None),
    (vsgi(15, vpe_id=2), "VSGI_VCPU_INVALID"),
    (vsgi(15, vpe_id=2048), "VSGI_VCPU_OOR"),
    (VINVALL(vpe_id=1), None),
    (VINVALL(vpe_id=2), "VINVALL_VCPU_INVALID"),
    (VINVALL(vpe_id=2048), "VINVALL_VCPU_OOR"),
    (VSYNC(vpe_id=1), None),
    (VSYNC(vpe_id=2), "VSYNC_VCPU_INVALID"),
    (VSYNC(vpe_id=2048), "VSYNC_VCPU_OOR"),
    (INVDB(vpe_id=1), None),
    (INVDB(vpe_id=2), "INVDB_VCPU_INVALID"),
    (INVDB(vpe_id=2048), "INVDB_VCPU_OOR"),
]


@pytest.mark.parametrize("policy", ["ignore", "stall"])
@pytest.mark.parametrize("command, error", LIMITS, ids=repr)
def test_each_operand_at_its_limit(command: Layout, error: str | None, policy: str) -> None:
    """A command at a limit is executed; beyond it nothing changes but the queue, which stalls if that is the policy."""
    rig = new_rig(error_policy=policy)
    before = rig.machine.state()
    verdict = "error" if policy == "ignore" else "stalled"

    assert rig.verdicts(command) == ["executed" if error is None else f"{verdict}: {error}"]
    assert error is None or before == rig.machine.state()
    assert rig.creadr % 32 == (0 if error is None or policy == "ignore" else 1)


def test_an_event_needs_an_interrupt_that_the_vpe_has(rig: Rig) -> None:
    """The vPE's VPT_size bounds its vLPIs: 14 bits end before 16384."""
    rig.post(vmapp(3, vpt_size=13))

    assert rig.verdicts(vmapti(0, 3, 16383), vmapti(0, 3, 16384)) == ["executed", "error: VMAPTI_VIRTUALID_OOR"]


def test_commands_meet_a_vpe_that_was_unmapped_since(rig: Rig) -> None:
    """INT and INV of its events, and VMOVI from and to it, each have their own error."""
    rig.post(vmapti(0), vmapti(1, vpe_id=1), vmapp(1, valid=0))
    int_, inv = INT(device_id=DEVICE, event_id=1), INV(device_id=DEVICE, event_id=1)
    leave = VMOVI(device_id=DEVICE, event_id=1, vpe_id=0, d=0, doorbell_intid=0)
    enter = VMOVI(device_id=DEVICE, event_id=0, vpe_id=1, d=0, doorbell_intid=0)

    assert rig.verdicts(int_, inv, leave, enter) == [
        "error: INT_ITE_INVALID",
        "error: INV_ITE_INVALID",
        "error: VMOVI_ITEVCPU_INVALID",
        "error: VMOVI_CMDVCPU_INVALID",
    ]


def test_where_individual_doorbells_exist_they_ring() -> None:
    """With GITS_TYPER.nID = 0 an event's own doorbell is accepted and rings."""
    profile = PROFILES["virt-gicv4.1"]
    typer = GITS_TYPER.decode(profile.its_typer).replace(nid=0).word()
    config = MachineConfig.make(profile="virt-gicv4.1", hardening="off")
    rig = Rig(profile="virt-gicv4.1")
    rig.machine = Machine(replace(config, profile=replace(profile, its_typer=typer)))
    rig.set_up()
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1), vmapp(0))
    rig.post(vmapti(0, doorbell=8300), INT(device_id=DEVICE, event_id=0))

    assert rig.pending(0) == [8300]


@pytest.mark.parametrize(
    "place", [Rig.NOWHERE, 0x4FF0_0000, 0x4FE0_0000, 0x0808_0000, 0x080A_0000, 0x0, (1 << 52) - 0x1_0000]
)
def test_a_pending_table_anywhere_is_no_defect_of_ours(rig: Rig, place: int) -> None:
    """VPTs in absent memory, hypervisor memory, a guest, or over a device: every command and write has an answer."""
    rig.post(vmapp(0, vpt_addr=place, vconf_addr=place), vmapti(0), vsgi(1))
    send_sgi(rig, 0, 1)

    assert rig.verdicts(INT(device_id=DEVICE, event_id=0), VSYNC(vpe_id=0), INVDB(vpe_id=0)) == ["executed"] * 3
    assert rig.machine.state()["vpes"]["0"]["vpt"] == hex(place)


def test_a_vpe_table_in_missing_memory_stalls_and_names_the_fault() -> None:
    """VMAPP, VMOVP, VSGI and INVDB cannot read or write the entry: the queue stalls at them, as for every table."""
    for command in (vmapp(0), vmapp(0, valid=0), vmovp(0, 1), vsgi(0), INVDB(vpe_id=0)):
        rig = Rig(profile="virt-gicv4.1")
        rig.VPES = Rig.NOWHERE
        rig.set_up()

        assert rig.verdicts(command) == ["stalled: MEMORY_FAULT"]


def test_a_forged_entry_with_a_wild_target_reaches_nobody(rig: Rig) -> None:
    """An entry that no command wrote names CPU 77: commands that must reach it say that the vPE is not usable."""
    forged = entry(rig, 0).replace(rd_base=77)
    rig.machine.apply(Store(Rig.VPES, VTE_V41.STRUCT.pack(*forged.encode())))
    rig.post(vmapti(0))
    send_sgi(rig, 0, 3)

    assert rig.verdicts(vsgi(3), vmovp(0, 1), INVDB(vpe_id=0), INT(device_id=DEVICE, event_id=0)) == [
        "error: VSGI_VCPU_INVALID",
        "error: VMOVP_VCPU_INVALID",
        "error: INVDB_VCPU_INVALID",
        "error: INT_TGT_OOR",
    ]
    assert vpending(rig, 0) == []


@pytest.mark.parametrize("page", [0x1000, 0x4000, 0x1_0000])
def test_a_two_level_vpe_table_is_walked(page: int) -> None:
    """Entry n lies in level-2 page n / (page / 32); behind an invalid level-1 entry a VMAPP is swallowed."""
    rig = Rig(profile="virt-gicv4.1")
    rig.VPES = Rig.VPES | 1 << 62
    first, per_page = Rig.VPT + 0x20_0000, page // 32
    rig.machine.apply(Store(Rig.VPES, (1 << 63 | first).to_bytes(8, "little") + bytes(8)))
    rig.set_up(page=page)
    rig.post(vmapp(per_page - 1), vmapp(per_page))

    at = first + page - 32
    assert VTE_V41.decode(*VTE_V41.STRUCT.unpack(rig.machine.physical(at, 32))).valid
    assert list(rig.machine.state()["vpes"]) == [str(per_page - 1)]
    assert rig.verdicts(VINVALL(vpe_id=per_page - 1), VINVALL(vpe_id=per_page)) == [
        "executed",
        "error: VINVALL_VCPU_INVALID",
    ]
