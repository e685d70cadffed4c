"""Virtual commands under strict: each operand at its limit, and what a vPE holds."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import (
    INVDB,
    MAPD,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPP_V41,
    VMAPTI,
    VMOVI,
    VMOVP,
    VMOVP_V41,
    VSGI,
    VSYNC,
)
from itsbox.arch.values import pfn_of
from itsbox.ops import Drive, HvcReturn, Msi
from tests.hypervisor.box import VALID, Box

GICV4 = {"profile": "virt-gicv4"}
GICV41 = {"profile": "virt-gicv4.1"}


@pytest.fixture
def box() -> Box:
    """GICv4.0: device 1 with 16 events, level-2 page for vPEs, vPE 1 with 16 INTID bits."""
    box = Box(session=GICV4)
    box.add_l2(0, box.page(2) | VALID, "vpe")
    assert box.verdicts(MAPD(device_id=1, size=3, itt_addr=box.page(0), valid=1), vmapp(box)) == ["executed"] * 2
    return box


def vmapp(box: Box, *, vpe_id: int = 1, page: int = 3, size: int = 15, rd_base: int = 0, valid: int = 1) -> VMAPP:
    """Map (or unmap) a vPE."""
    return VMAPP(vpe_id=vpe_id, rd_base=rd_base, valid=valid, vpt_size=size, vpt_addr=box.page(page))


def vmapti(
    event_id: int = 0, vpe_id: int = 1, virtual_intid: int = 8192, doorbell: int = 1023, device_id: int = 1
) -> VMAPTI:
    """Map an event to a virtual LPI."""
    return VMAPTI(
        device_id=device_id, event_id=event_id, vpe_id=vpe_id, virtual_intid=virtual_intid, doorbell_intid=doorbell
    )


def test_vmapp_at_its_limits(box: Box) -> None:
    """vPEID, RDbase, VPT_size, a second mapping, a table that is somebody's."""
    assert box.verdicts(vmapp(box, vpe_id=1, page=4)) == ["vpe_already_mapped"]
    assert box.verdicts(vmapp(box, vpe_id=2, rd_base=4)) == ["rd_base_unknown"]
    assert box.verdicts(vmapp(box, vpe_id=2, size=16), vmapp(box, vpe_id=2, size=12)) == ["vpt_size_range"] * 2
    assert box.verdicts(vmapp(box, vpe_id=2, page=4, size=13)) == ["executed"]
    assert box.verdicts(vmapp(box, vpe_id=8192, page=5)) == ["l1_entry_invalid"]
    for addr in (box.map.hyp, box.map.guest, 0x9_0000_0000, 0x808_0000):
        bad = VMAPP(vpe_id=3, rd_base=0, valid=1, vpt_size=15, vpt_addr=addr)
        assert box.verdicts(bad) == ["vpt_not_host_owned"], hex(addr)
    assert box.verdicts(VMAPP(vpe_id=3, rd_base=0, valid=1, vpt_size=15, vpt_addr=box.page(0))) == [
        "vpt_not_host_owned"
    ]


def test_a_vpe_beyond_a_small_table() -> None:
    """A flat vPE table of one 64 KB page has 8,192 entries."""
    box = Box(session={**GICV4, "start": "bare"})
    tables = box.program(vpes=True)
    box.finalise()
    outcome = box.hand_over(tables)

    assert isinstance(outcome, HvcReturn)
    assert outcome.errno is None
    assert box.verdicts(vmapp(box, vpe_id=8191, page=5), vmapp(box, vpe_id=8192, page=6)) == [
        "executed",
        "vpe_id_range",
    ]


def test_events_of_vpes_at_their_limits(box: Box) -> None:
    """Event, vPE, virtual INTID and doorbell, each one beyond."""
    assert box.verdicts(vmapti(), vmapti(15), vmapti(virtual_intid=65535), vmapti(doorbell=8192)) == ["executed"] * 4
    assert box.verdicts(vmapti(16)) == ["event_id_range"]
    assert box.verdicts(vmapti(device_id=2)) == ["device_not_mapped"]
    assert box.verdicts(vmapti(vpe_id=2)) == ["vpe_not_mapped"]
    assert box.verdicts(vmapti(virtual_intid=8191), vmapti(virtual_intid=65536)) == ["vintid_range"] * 2
    assert box.verdicts(vmapti(doorbell=1022), vmapti(doorbell=65536)) == ["doorbell_range"] * 2
    low = VMAPI(device_id=1, event_id=5, vpe_id=1, doorbell_intid=1023)
    assert box.verdicts(low) == ["vintid_range"]  # the EventID is the INTID


def test_moving(box: Box) -> None:
    """VMOVI and VMOVP name vPEs and targets that exist; a doorbell counts only if it changes."""

    def vmovi(vpe_id: int = 1, d: int = 0, doorbell: int = 0) -> VMOVI:
        return VMOVI(device_id=1, event_id=0, vpe_id=vpe_id, d=d, doorbell_intid=doorbell)

    def vmovp(vpe_id: int, rd_base: int) -> VMOVP:
        return VMOVP(sequence_number=0, its_list=0, vpe_id=vpe_id, rd_base=rd_base)

    box.verdicts(vmapti())
    assert box.verdicts(vmovi(), vmovi(d=1, doorbell=1023), vmovp(1, 3)) == ["executed"] * 3
    assert box.verdicts(vmovi(vpe_id=2), vmovi(d=1, doorbell=5)) == ["vpe_not_mapped", "doorbell_range"]
    assert box.verdicts(vmovp(2, 0), vmovp(1, 4)) == ["vpe_not_mapped", "rd_base_unknown"]


def test_the_rest_needs_a_vpe(box: Box) -> None:
    """VINVALL; VSYNC needs only a place in the table, since Linux waits for a vPE that it has just unmapped."""
    assert box.verdicts(VSYNC(vpe_id=1), VINVALL(vpe_id=1), VSYNC(vpe_id=2)) == ["executed"] * 3
    assert box.verdicts(VINVALL(vpe_id=2), VSYNC(vpe_id=8192)) == ["vpe_not_mapped", "l1_entry_invalid"]
    assert box.verdicts(INVDB(vpe_id=1)) == ["unknown_opcode"]


def test_a_vpe_lets_go_of_its_table(box: Box) -> None:
    """Unmapping one that is not mapped is nothing; one that is gives its pages back."""
    assert box.describe(box.page(3))[2] == 1
    assert box.verdicts(vmapp(box, valid=0), vmapp(box, valid=0)) == ["executed"] * 2
    assert box.describe(box.page(3)) == ("host", "OWNED", 0)
    assert box.verdicts(VINVALL(vpe_id=1)) == ["vpe_not_mapped"]


def test_an_its_list_must_name_existing_itss() -> None:
    """GICv4.0 with two ITSs: a list that names a third would wait for ever."""
    box = Box(session={"profile": "virt-gicv4-dual-its"})
    box.machine.apply(Drive("map_vpe", {"vpe_id": 1}))
    if "1" not in box.machine.state()["vpes"]:
        box.add_l2(0, box.page(2) | VALID, "vpe")
        assert box.verdicts(vmapp(box)) == ["executed"]
    bad = VMOVP(sequence_number=1, its_list=0b100, vpe_id=1, rd_base=0)

    assert box.verdicts(bad) == ["its_list_unknown"]


def test_gicv41_forms() -> None:
    """VMAPP holds both tables; its default doorbell, VMOVP's, VSGI and INVDB are checked."""
    box = Box(session=GICV41)
    box.add_l2(0, box.page(2) | VALID, "vpe")
    good = VMAPP_V41(
        alloc=1, ptz=0, vconf_addr=box.page(4), default_doorbell=1023, vpe_id=1, rd_base=0, valid=1, vpt_size=15,
        vpt_addr=box.page(3),
    )  # fmt: skip
    assert box.verdicts(good.replace(default_doorbell=5)) == ["doorbell_range"]
    assert box.verdicts(good.replace(vconf_addr=box.map.guest)) == ["vconf_not_host_owned"]
    assert box.describe(box.page(3)) == ("host", "OWNED", 0)
    assert box.verdicts(good) == ["executed"]
    assert box.describe(box.page(3)) == box.describe(box.page(4)) == ("host", "SHARED_OWNED", 1)

    def vmovp(doorbell: int) -> VMOVP_V41:
        return VMOVP_V41(sequence_number=0, its_list=0, vpe_id=1, rd_base=1, db=1, default_doorbell=doorbell)

    def vsgi(vpe_id: int) -> VSGI:
        return VSGI(enable=1, clear=0, group=1, priority=0xA0, virtual_intid=4, vpe_id=vpe_id)

    assert box.verdicts(vmovp(1023), vmovp(7)) == ["executed", "doorbell_range"]
    assert box.verdicts(vsgi(1), vsgi(2), INVDB(vpe_id=1), INVDB(vpe_id=2)) == [
        "executed", "vpe_not_mapped", "executed", "vpe_not_mapped"
    ]  # fmt: skip
    assert box.verdicts(good.replace(valid=0)) == ["executed"]
    assert box.describe(box.page(3)) == box.describe(box.page(4)) == ("host", "OWNED", 0)


def test_vpes_from_before_the_switch_over_are_known() -> None:
    """Strict finds them in the vPE table and holds theirs; a foreign one is refused at the take-over."""
    box = Box(session={**GICV4, "start": "host"})
    box.add_l2(0, box.page(2) | VALID, "vpe")
    assert box.verdicts(vmapp(box)) == ["executed"]
    box.machine.apply(Drive("deprivilege", {}))

    assert box.machine.phase == "deprivileged"
    assert box.describe(box.page(3)) == ("host", "SHARED_OWNED", 1)
    assert box.verdicts(VINVALL(vpe_id=1)) == ["executed"]

    bad = Box(session={**GICV4, "start": "host"})
    bad.add_l2(0, bad.page(2) | VALID, "vpe")
    bad.verdicts(VMAPP(vpe_id=1, rd_base=0, valid=1, vpt_size=15, vpt_addr=bad.map.hyp))
    outcome = bad.machine.apply(Drive("deprivilege", {}))
    assert getattr(outcome, "result", {})["its"][0]["error"] == "EPERM"
    assert [event["reason"] for event in bad.events("trap.hvc")][-5] == "vpe_unusable"


def test_an_honest_kernel_of_gicv4_is_not_disturbed() -> None:
    """vPEs and vLPIs from creation to destruction: nothing is refused, on GICv4.0, with two ITSs, and on GICv4.1."""
    life: list[tuple[str, dict[str, int]]] = [
        ("map_device", {"device_id": 1, "events": 4}),
        ("map_vpe", {"vpe_id": 0}),
        ("map_vpe", {"vpe_id": 1, "cpu": 1}),
        ("map_vlpi", {"device_id": 1, "event_id": 0, "vpe_id": 0, "virtual_intid": 8192}),
        ("map_vlpi", {"device_id": 1, "event_id": 1, "vpe_id": 1, "virtual_intid": 8193}),
        ("schedule_vpe", {"vpe_id": 0, "cpu": 2}),
        ("deschedule_vpe", {"vpe_id": 0}),
        ("move_vpe", {"vpe_id": 1, "cpu": 3}),
        ("invalidate_vpe", {"vpe_id": 1}),
        ("unmap_vlpi", {"device_id": 1, "event_id": 0}),
        ("unmap_device", {"device_id": 1}),
        ("unmap_vpe", {"vpe_id": 0}),
        ("unmap_vpe", {"vpe_id": 1}),
        ("suspend", {}),
        ("resume", {}),
    ]
    for profile in ("virt-gicv4", "virt-gicv4-dual-its", "virt-gicv4.1"):
        box = Box(session={"profile": profile, "oracle": "on"})
        for call, args in life:
            box.machine.take_events()
            outcome = box.machine.apply(Drive(call, args))
            assert getattr(outcome, "result", {}).get("error") is None, (profile, call, outcome)
            assert box.events("command.rejected") == [], (profile, call)
        assert box.machine.violations == []


@pytest.mark.parametrize("size", [16, 31])
def test_an_unmapping_that_hardware_would_refuse_lets_nothing_go(size: int) -> None:
    """QEMU's ITS looks at VPT_size with V=0 too: the vPE lives on, and its interrupts must not land in a guest's page."""
    box = Box(session={**GICV4, "oracle": "lockstep"})
    box.add_l2(0, box.page(2) | VALID, "vpe")
    box.verdicts(MAPD(device_id=1, size=3, itt_addr=box.page(0), valid=1), vmapp(box), vmapti())

    assert box.verdicts(vmapp(box, valid=0, size=size)) == ["vpt_size_range"]
    given = [box.errno("__pkvm_host_donate_guest", pfn_of(box.page(3)) + n, 0, 1) for n in range(16)]
    box.machine.apply(Msi(1, 0))

    assert given == ["EPERM"] * 16
    assert box.machine.violations == []
    assert box.verdicts(vmapp(box, valid=0, size=0)) == ["executed"]  # as Linux unmaps
    assert box.errno("__pkvm_host_donate_guest", pfn_of(box.page(3)), 0, 1) is None
