"""GICv4.0: the virtual commands, doorbells and residency."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import (
    CLEAR,
    DISCARD,
    INT,
    INV,
    INVDB,
    MAPC,
    MAPD,
    MAPTI,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPTI,
    VMOVI,
    VMOVP,
    VSGI,
    VSYNC,
)
from itsbox.arch.its_errors import CommandError
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.ops import Fill
from tests.rig import Rig

DEVICE = 16
VALID = 1 << 63
PENDING_LAST = 1 << 61


def vmapp(vpe_id: int, rd_base: int = 0, valid: int = 1, vpt_size: int = 15) -> VMAPP:
    """A VMAPP with the vPE's own VPT."""
    return VMAPP(
        vpe_id=vpe_id, rd_base=rd_base, valid=valid, vpt_size=vpt_size, vpt_addr=Rig.VPT + vpe_id % 8 * 0x1_0000
    )


def vmapti(event_id: int, vpe_id: int = 0, intid: int = 8200, doorbell: int = 1023) -> VMAPTI:
    """A VMAPTI for the device."""
    return VMAPTI(device_id=DEVICE, event_id=event_id, vpe_id=vpe_id, virtual_intid=intid, doorbell_intid=doorbell)


def new_rig(**config: str) -> Rig:
    """A GICv4 machine with two vPEs on CPUs 0 and 1, a device of 32 events, and vLPIs enabled in VPROP."""
    rig = Rig(profile="virt-gicv4", **config).set_up()
    rig.machine.apply(Fill(Rig.VPROP, 57344, 0xA1))
    rig.post(MAPC(icid=0, rd_base=0, valid=1), MAPD(device_id=DEVICE, size=4, itt_addr=Rig.ITT, valid=1))
    rig.post(vmapp(0), vmapp(1, rd_base=1))
    return rig


@pytest.fixture
def rig() -> Rig:
    """``new_rig`` with the default error policy."""
    return new_rig()


def vpending(rig: Rig, vpe_id: int) -> list[int]:
    """The pending vLPIs of a vPE."""
    bits: list[int] = rig.machine.state()["vpending"].get(hex(Rig.VPT + vpe_id * 0x1_0000), [])
    return bits


def schedule_in(rig: Rig, cpu: int, vpe_id: int, id_bits: int = 15) -> None:
    """Make a vPE resident."""
    rig.gicr(cpu, GICR_VPROPBASER.OFFSET, Rig.VPROP | id_bits)
    rig.gicr(cpu, GICR_VPENDBASER.OFFSET, Rig.VPT + vpe_id * 0x1_0000 | VALID)


def test_a_vlpi_of_an_absent_vpe_rings_its_doorbell(rig: Rig) -> None:
    """INT of a virtual event sets the bit in the VPT and makes the doorbell LPI pending at the vPE's CPU."""
    rig.post(vmapti(9, vpe_id=1, intid=8203, doorbell=8303), INT(device_id=DEVICE, event_id=9))

    assert (vpending(rig, 1), rig.pending(1)) == ([8203], [8303])


def test_a_resident_vpe_takes_its_vlpi_without_a_doorbell(rig: Rig) -> None:
    """While the vPE is resident the doorbell stays silent; after it left it rings."""
    rig.post(vmapti(9, vpe_id=1, intid=8203, doorbell=8303))
    schedule_in(rig, 1, 1)
    assert rig.gicr(1, GICR_VPENDBASER.OFFSET) == Rig.VPT + 0x1_0000 | VALID | PENDING_LAST
    rig.post(INT(device_id=DEVICE, event_id=9))
    assert (vpending(rig, 1), rig.pending(1)) == ([8203], [])

    rig.gicr(1, GICR_VPENDBASER.OFFSET, Rig.VPT + 0x1_0000)
    assert rig.gicr(1, GICR_VPENDBASER.OFFSET) == Rig.VPT + 0x1_0000 | PENDING_LAST
    rig.post(INT(device_id=DEVICE, event_id=9))
    assert rig.pending(1) == [8303]


def test_pending_last_is_clear_when_nothing_is_left(rig: Rig) -> None:
    """Scheduling out a vPE without a deliverable vLPI leaves PendingLast clear."""
    schedule_in(rig, 0, 0)
    rig.gicr(0, GICR_VPENDBASER.OFFSET, Rig.VPT)

    assert rig.gicr(0, GICR_VPENDBASER.OFFSET) == Rig.VPT


def test_nothing_changes_under_a_resident_vpe(rig: Rig) -> None:
    """Another address with Valid still set is ignored."""
    schedule_in(rig, 0, 0)
    before = rig.gicr(0, GICR_VPENDBASER.OFFSET, Rig.VPT + 0x5_0000 | VALID)

    assert before == rig.gicr(0, GICR_VPENDBASER.OFFSET)


def test_a_resident_vpe_bounds_vlpis_by_vpropbaser(rig: Rig) -> None:
    """A vLPI beyond GICR_VPROPBASER.IDbits of a resident vPE is lost."""
    rig.post(vmapti(1, intid=16384))
    schedule_in(rig, 0, 0, id_bits=13)

    assert rig.verdicts(INT(device_id=DEVICE, event_id=1)) == ["executed"]
    assert vpending(rig, 0) == []


def test_vmovi_takes_a_pending_vlpi_along(rig: Rig) -> None:
    """VMOVI moves the pending bit from one VPT to the other; without D the doorbell stays."""
    rig.post(vmapti(3, vpe_id=0, doorbell=8300), INT(device_id=DEVICE, event_id=3))
    rig.post(VMOVI(device_id=DEVICE, event_id=3, vpe_id=1, d=0, doorbell_intid=0))

    assert (vpending(rig, 0), vpending(rig, 1)) == ([], [8200])
    assert rig.machine.state()["events"][str(DEVICE)]["3"] == {"vintid": 8200, "vpe": 1, "doorbell": 8300}


def test_vmovp_moves_the_doorbells_target(rig: Rig) -> None:
    """After VMOVP the vPE's doorbell rings at the new CPU."""
    rig.post(vmapti(3, vpe_id=0, doorbell=8300))
    rig.post(VMOVP(sequence_number=0, its_list=0, vpe_id=0, rd_base=2), INT(device_id=DEVICE, event_id=3))

    assert (rig.pending(0), rig.pending(2)) == ([], [8300])


def test_physical_commands_work_on_virtual_events(rig: Rig) -> None:
    """CLEAR and DISCARD withdraw the vLPI; INV reaches the vPE; DISCARD unmaps."""
    rig.post(vmapti(3), INT(device_id=DEVICE, event_id=3), CLEAR(device_id=DEVICE, event_id=3))
    assert vpending(rig, 0) == []
    assert rig.verdicts(INV(device_id=DEVICE, event_id=3), DISCARD(device_id=DEVICE, event_id=3)) == ["executed"] * 2

    assert str(DEVICE) not in rig.machine.state()["events"]


LIMITS = [
    (vmapp(0x1FFF), None),
    (vmapp(0x2000), "VMAPP_VCPU_OOR"),
    (vmapp(0x2001), "VMAPP_VCPU_OOR"),
    (vmapp(3, rd_base=3), None),
    (vmapp(3, rd_base=4), "VMAPP_PROCNUM_OOR"),
    (vmapp(3, rd_base=5), "VMAPP_PROCNUM_OOR"),
    (vmapp(3, rd_base=4, valid=0), None),
    (vmapp(3, vpt_size=15), None),
    (vmapp(3, vpt_size=16), "VMAPP_VPTSIZE_OOR"),
    (vmapp(3, vpt_size=17), "VMAPP_VPTSIZE_OOR"),
    (vmapti(30), None),
    (vmapti(31), None),
    (vmapti(32), "VMAPTI_ID_OOR"),
    (vmapti(33), "VMAPTI_ID_OOR"),
    (vmapti(0, intid=8191), "VMAPTI_VIRTUALID_OOR"),
    (vmapti(0, intid=8192), None),
    (vmapti(0, intid=8193), None),
    (vmapti(0, intid=65535), None),
    (vmapti(0, intid=65536), "VMAPTI_VIRTUALID_OOR"),
    (vmapti(0, intid=65537), "VMAPTI_VIRTUALID_OOR"),
    (vmapti(0, doorbell=1022), "VMAPTI_PHYSICALID_OOR"),
    (vmapti(0, doorbell=1023), None),
    (vmapti(0, doorbell=1024), "VMAPTI_PHYSICALID_OOR"),
    (vmapti(0, doorbell=8192), None),
    (vmapti(0, doorbell=65535), None),
    (vmapti(0, doorbell=65536), "VMAPTI_PHYSICALID_OOR"),
    (vmapti(0, vpe_id=0x2000), "VMAPTI_VCPU_OOR"),
    (VMAPTI(device_id=0xFFFF, event_id=0, vpe_id=0, virtual_intid=8192, doorbell_intid=1023), "VMAPTI_UNMAPPED_DEVICE"),
    (VMAPTI(device_id=0x1_0000, event_id=0, vpe_id=0, virtual_intid=8192, doorbell_intid=1023), "VMAPTI_DEVICE_OOR"),
    (VMAPI(device_id=DEVICE, event_id=31, vpe_id=0, doorbell_intid=1023), "VMAPI_VIRTUALID_OOR"),
    (VMAPI(device_id=DEVICE, event_id=32, vpe_id=0, doorbell_intid=1023), "VMAPI_ID_OOR"),
    (VMAPI(device_id=17, event_id=31, vpe_id=0, doorbell_intid=1023), "VMAPI_UNMAPPED_DEVICE"),
    (VMOVI(device_id=DEVICE, event_id=30, vpe_id=1, d=0, doorbell_intid=0), "VMOVI_UNMAPPED_INTERRUPT"),
    (VMOVI(device_id=DEVICE, event_id=32, vpe_id=1, d=0, doorbell_intid=0), "VMOVI_ID_OOR"),
    (VMOVP(sequence_number=0, its_list=0, vpe_id=0, rd_base=3), None),
    (VMOVP(sequence_number=0, its_list=0, vpe_id=0, rd_base=4), "VMOVP_PROCNUM_OOR"),
    (VMOVP(sequence_number=0, its_list=0, vpe_id=7, rd_base=0), "VMOVP_VCPU_INVALID"),
    (VMOVP(sequence_number=0, its_list=0, vpe_id=0x2000, rd_base=0), "VMOVP_VCPU_OOR"),
    (VINVALL(vpe_id=7), "VINVALL_VCPU_INVALID"),
    (VINVALL(vpe_id=0x1FFF), "VINVALL_VCPU_INVALID"),
    (VINVALL(vpe_id=0x2000), "VINVALL_VCPU_OOR"),
    (VINVALL(vpe_id=1), None),
]
#: What QEMU lets pass or sees otherwise, and the manual does not: by policy ``ignore``, by policy ``stall``.
DIFFERENT = [
    (vmapp(3, vpt_size=16, valid=0), "VMAPP_VPTSIZE_OOR", None),
    (vmapti(0, vpe_id=7), None, "VMAPTI_VCPU_INVALID"),
    (VMAPI(device_id=DEVICE, event_id=0, vpe_id=7, doorbell_intid=1023), "VMAPI_VIRTUALID_OOR", "VMAPI_VCPU_INVALID"),
    (VMOVI(device_id=DEVICE, event_id=30, vpe_id=1, d=1, doorbell_intid=5), "VMOVI_PHYSICALID_OOR", "VMOVI_UNMAPPED_INTERRUPT"),
    (VMOVP(sequence_number=0, its_list=0, vpe_id=7, rd_base=4), "VMOVP_PROCNUM_OOR", "VMOVP_VCPU_INVALID"),
    (VSYNC(vpe_id=7), None, "VSYNC_VCPU_INVALID"),
    (VSYNC(vpe_id=0x2000), None, "VSYNC_VCPU_OOR"),
]  # fmt: skip


def check(rig: Rig, command: Layout, error: str | None, verdict: str) -> None:
    """The command is executed, or has no effect but its own error."""
    before = rig.machine.state()

    assert rig.verdicts(command) == ["executed" if error is None else f"{verdict}: {error}"]
    assert error is None or before == rig.machine.state()


@pytest.mark.parametrize("command, error", LIMITS, ids=repr)
def test_each_virtual_predicate_at_its_limit(command: Layout, error: str | None) -> None:
    """A virtual command at a limit is executed; beyond it has its own error, whatever the policy; ``stall`` stops there."""
    check(new_rig(), command, error, "error")
    stopping = new_rig(error_policy="stall")
    check(stopping, command, error, "stalled")

    assert stopping.creadr % 32 == int(error is not None)


@pytest.mark.parametrize("command, ignored, stalled", DIFFERENT, ids=repr)
def test_the_stall_policy_checks_as_the_manual_says(command: Layout, ignored: str | None, stalled: str | None) -> None:
    """Where QEMU checks less, or in another order, the stall policy has the manual's error."""
    check(new_rig(), command, ignored, "error")
    check(new_rig(error_policy="stall"), command, stalled, "stalled")


def test_a_stalled_virtual_command_is_tried_again_with_retry() -> None:
    """Rewritten as one that works, the slot is executed at Retry and the queue goes on."""
    rig = new_rig(error_policy="stall")
    assert rig.verdicts(vmapti(0, vpe_id=7), VSYNC(vpe_id=0)) == ["stalled: VMAPTI_VCPU_INVALID"]
    rig.cwriter -= 64
    rig.put(vmapti(0), VSYNC(vpe_id=0))

    assert rig.verdicts(retry=1) == ["executed", "executed"]


@pytest.mark.parametrize("command", [command for command, _ in LIMITS], ids=repr)
def test_gicv3_has_no_virtual_commands(command: Layout) -> None:
    """On GICv3 every virtual command is unknown, though its name is told; nothing changes."""
    rig = Rig().set_up()
    before = rig.machine.state()
    (record,) = rig.post(command)

    assert (record[1], record[3], record[4]) == (command.NAME, "error", CommandError.UNKNOWN_COMMAND)
    assert before == rig.machine.state()


@pytest.mark.parametrize("profile", ["virt-gicv3", "virt-gicv4", "virt-gicv4-dual-its"])
@pytest.mark.parametrize("policy", ["ignore", "stall"])
@pytest.mark.parametrize(
    "command",
    [VSGI(enable=1, clear=0, group=0, priority=0, virtual_intid=0, vpe_id=0), INVDB(vpe_id=0)],
    ids=repr,
)
def test_commands_of_gicv4_1_are_unknown_before_it(command: Layout, policy: str, profile: str) -> None:
    """VSGI and INVDB are opcodes that GICv4.0 does not have, name and all."""
    rig = Rig(profile=profile, error_policy=policy).set_up()
    (record,) = rig.post(command)

    assert (record[1], record[3]) == (None, "error" if policy == "ignore" else "stalled")
    assert record[4] is CommandError.UNKNOWN_COMMAND


def test_gicv4_0_ignores_what_vmapp_gained() -> None:
    """The doorbell and VCONF of a GICv4.1 VMAPP are reserved bits on GICv4.0."""
    rig = new_rig()
    rig.post((0x42000329, 0x5_0000_2328, 0x8000_0000_0001_0000, 0x4780_000F))

    assert rig.machine.state()["vpes"]["5"] == {"rd": 1, "vptsize": 15, "vpt": "0x47800000"}


@pytest.mark.parametrize("place", [Rig.NOWHERE, 0x4FF0_0000, 0x4FE0_0000, 0x0808_0000, 0, (1 << 52) - 0x1_0000])
def test_a_pending_table_anywhere_is_no_defect_of_ours(rig: Rig, place: int) -> None:
    """VPTs in absent, hypervisor, guest or device memory: every command has an answer."""
    rig.post(vmapp(0).replace(vpt_addr=place), vmapti(3, doorbell=8300))
    moves = VMOVI(device_id=DEVICE, event_id=3, vpe_id=1, d=0, doorbell_intid=0)

    assert rig.verdicts(INT(device_id=DEVICE, event_id=3), moves, DISCARD(device_id=DEVICE, event_id=3)) == [
        "executed",
        "executed",
        "executed",
    ]
    assert rig.pending(0) == [8300]


def test_vmovi_tells_physical_events_and_unmapped_vpes_apart(rig: Rig) -> None:
    """VMOVI of a physical event, from an unmapped vPE and to one each have their own error."""
    rig.post(MAPTI(device_id=DEVICE, event_id=1, intid=8192, icid=0), vmapti(2), vmapti(3, vpe_id=5))
    moves = [
        VMOVI(device_id=DEVICE, event_id=event, vpe_id=vpe, d=0, doorbell_intid=0)
        for event, vpe in ((1, 1), (2, 6), (3, 1))
    ]

    assert rig.verdicts(*moves) == [
        "error: VMOVI_ID_IS_PHYSICAL",
        "error: VMOVI_CMDVCPU_INVALID",
        "error: VMOVI_ITEVCPU_INVALID",
    ]
