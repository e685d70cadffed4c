"""vPEs, their doorbells and the events that are forwarded to them."""

from __future__ import annotations

import pytest

from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.ops import Ack, Acked
from tests.host.machine_port import Host


@pytest.fixture
def host() -> Host:
    """A booted GICv4 machine with a device of two events and a vPE on CPU 1."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    host.call("map_device", device_id=8, events=2)
    host.call("map_vpe", cpu=1)
    host.names()
    return host


def vpendbaser(host: Host, cpu: int) -> GICR_VPENDBASER:
    """A CPU's GICR_VPENDBASER."""
    addr = host.machine.map.gicr + cpu * host.machine.map.gicr_stride + GICR_VPENDBASER.OFFSET
    return GICR_VPENDBASER.decode(host.machine.bus.read(addr, 8))


def test_a_vpe_is_mapped_at_once_everywhere(host: Host) -> None:
    """VMAPP, VSYNC, VINVALL, VSYNC; the table knows its pending table, 16 bits, and its redistributor."""
    answer = host.call("map_vpe", cpu=2)
    assert host.names() == ["VMAPP", "VSYNC", "VINVALL", "VSYNC"]
    assert answer["vpe_id"] == 1
    assert host.machine.state()["vpes"]["1"] == {"rd": 2, "vptsize": 15, "vpt": answer["vpt"]}


def test_scheduling_in_programs_the_frame_and_clears_the_doorbell(host: Host) -> None:
    """The guest's configuration table, the vPE's pending table, Valid; then CLEAR through the proxy device."""
    vpe = host.driver._state.vpes[0]
    assert host.call("schedule_vpe", vpe_id=0)["resident"]
    assert host.names() == ["MAPTI", "SYNC", "CLEAR", "SYNC"]
    assert vpendbaser(host, 1).physical_address == vpe.vpt
    assert vpendbaser(host, 1).valid
    addr = host.machine.map.gicr + host.machine.map.gicr_stride + GICR_VPROPBASER.OFFSET
    prop = GICR_VPROPBASER.decode(host.machine.bus.read(addr, 8))
    assert prop.physical_address == host.driver._state.virtual_property_table
    assert prop.id_bits == 15


def test_scheduling_out_and_in_again_is_inv_and_inv_and_clear(host: Host) -> None:
    """Out: the doorbell is unmasked (INV). In: it is masked (INV) and cleared (CLEAR): half of all commands of a run."""
    host.call("schedule_vpe", vpe_id=0)
    host.names()
    answer = host.call("deschedule_vpe", vpe_id=0)
    assert not answer["resident"]
    assert host.names() == ["INV", "SYNC"]
    host.call("schedule_vpe", vpe_id=0)
    assert host.names() == ["INV", "SYNC", "CLEAR", "SYNC"]
    assert host.call("deschedule_vpe", vpe_id=0, doorbell=0)["resident"] is False
    assert host.names() == []


def test_a_vpe_that_moves_takes_its_doorbell_along(host: Host) -> None:
    """VMOVP and VSYNC, MOVI and SYNC on the proxy; its doorbell then rings on the new CPU."""
    host.call("schedule_vpe", vpe_id=0)
    host.call("deschedule_vpe", vpe_id=0)
    host.names()
    assert host.call("move_vpe", vpe_id=0, cpu=3)["moved"]
    assert host.names() == ["VMOVP", "VSYNC", "MOVI", "SYNC"]
    assert not host.call("move_vpe", vpe_id=0, cpu=3)["moved"]
    host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000)
    host.call("unmask", device_id=8, event_id=0)
    host.call("retrigger", device_id=8, event_id=0)
    assert host.machine.apply(Ack(3)) == Acked(host.driver._state.vpes[0].doorbell)


def test_a_forwarded_event_becomes_a_virtual_lpi(host: Host) -> None:
    """DISCARD, SYNC, VMAPTI, VSYNC; its INT and INV then wait with VSYNC; moving it elsewhere is the vPE's business."""
    answer = host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000)
    assert host.names() == ["DISCARD", "SYNC", "VMAPTI", "VSYNC"]
    assert (answer["vpe_id"], answer["virtual_intid"]) == (0, 9000)
    doorbell = host.driver._state.vpes[0].doorbell
    assert host.machine.state()["events"]["8"]["0"] == {"vintid": 9000, "vpe": 0, "doorbell": doorbell}
    host.call("unmask", device_id=8, event_id=0)
    host.call("retrigger", device_id=8, event_id=0)
    assert host.names() == ["INV", "VSYNC", "INT", "VSYNC"]
    assert host.machine.state()["vpending"] == {f"{host.driver._state.vpes[0].vpt:#x}": [9000]}
    assert host.call("move_event", device_id=8, event_id=0, cpu=0)["error"] == "EINVAL"


def test_forwarding_to_another_vpe_is_a_vmovi(host: Host) -> None:
    """VMOVI, VSYNC with the new vPE's doorbell; the virtual INTID stays."""
    host.call("map_vpe", cpu=2)
    host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000)
    host.names()
    answer = host.call("map_vlpi", device_id=8, event_id=0, vpe_id=1, virtual_intid=9001)
    assert host.names() == ["VMOVI", "VSYNC"]
    assert (answer["vpe_id"], answer["virtual_intid"]) == (1, 9000)
    doorbell = host.driver._state.vpes[1].doorbell
    assert host.machine.state()["events"]["8"]["0"] == {"vintid": 9000, "vpe": 1, "doorbell": doorbell}


def test_an_event_taken_back_is_the_hosts_and_enabled(host: Host) -> None:
    """DISCARD, MAPTI and INV with SYNC; its LPI arrives where it did before."""
    host.call("map_vlpi", device_id=8, event_id=1, vpe_id=0, virtual_intid=9000)
    host.names()
    answer = host.call("unmap_vlpi", device_id=8, event_id=1)
    assert host.names() == ["DISCARD", "SYNC", "MAPTI", "SYNC", "INV", "SYNC"]
    host.call("retrigger", device_id=8, event_id=1)
    assert host.machine.apply(Ack(answer["cpu"])) == Acked(answer["lpi"])


def test_a_vpe_in_use_cannot_be_freed(host: Host) -> None:
    """Not while it is resident, not while events go to it; then VMAPP with V=0 and nothing is left."""
    host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000)
    assert host.call("unmap_vpe", vpe_id=0)["error"] == "EBUSY"
    host.call("unmap_vlpi", device_id=8, event_id=0)
    host.call("schedule_vpe", vpe_id=0)
    assert host.call("unmap_vpe", vpe_id=0)["error"] == "EBUSY"
    assert host.call("move_vpe", vpe_id=0, cpu=0)["error"] == "EBUSY"
    host.call("deschedule_vpe", vpe_id=0)
    host.names()
    host.call("unmap_vpe", vpe_id=0)
    assert host.names() == ["VMAPP", "VSYNC", "DISCARD", "SYNC"]
    assert host.machine.state()["vpes"] == {}
    assert host.call("deschedule_vpe", vpe_id=0)["error"] == "ENODEV"


def test_what_a_vpe_had_comes_back(host: Host) -> None:
    """Mapping and freeing a vPE leaves LPIs and pages as they were, but for level-2 pages and the guest's table."""
    state = host.driver._state
    before = ([list(free) for free in state.pages], [list(free) for free in state.lpis])
    host.call("map_vpe")
    host.call("unmap_vpe", vpe_id=1)
    assert (state.pages, state.lpis) == before


def test_the_fifth_doorbell_takes_the_place_of_the_first(host: Host) -> None:
    """Four slots for four CPUs: the fifth vPE evicts the one whose turn it is, DISCARD before MAPTI."""
    for vpe_id in range(1, 5):
        host.call("map_vpe", vpe_id=vpe_id, cpu=vpe_id % 4)
    for vpe_id in range(4):
        host.call("schedule_vpe", vpe_id=vpe_id)
        host.call("deschedule_vpe", vpe_id=vpe_id)
    host.names()
    host.call("schedule_vpe", vpe_id=4)
    assert host.names() == ["DISCARD", "SYNC", "MAPTI", "SYNC", "CLEAR", "SYNC"]
    slots = {vpe.vpe_id: vpe.proxy_slot for vpe in host.driver._state.vpes.values()}
    assert slots == {0: None, 1: 1, 2: 2, 3: 3, 4: 0}


def test_one_cpu_has_one_vpe_resident(host: Host) -> None:
    """A second one is refused; a resident one that is scheduled elsewhere leaves first."""
    host.call("map_vpe", cpu=1)
    host.call("schedule_vpe", vpe_id=0)
    assert host.call("schedule_vpe", vpe_id=1)["error"] == "EBUSY"
    host.call("schedule_vpe", vpe_id=0, cpu=2)
    assert not vpendbaser(host, 1).valid
    assert vpendbaser(host, 2).valid


def test_vpes_leave_a_cpu_that_goes_offline(host: Host) -> None:
    """A resident one is descheduled, and moved like the others."""
    host.call("schedule_vpe", vpe_id=0)
    host.call("offline", cpu=1)
    assert not vpendbaser(host, 1).valid
    assert host.driver._state.vpes[0].cpu != 1
    assert host.machine.state()["vpes"]["0"]["rd"] == host.driver._state.vpes[0].cpu


def test_a_device_with_forwarded_events_is_freed_whole(host: Host) -> None:
    """Its events are taken back first; the vPE can be freed afterwards."""
    host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000)
    assert "error" not in host.call("unmap_device", device_id=8)
    assert "error" not in host.call("unmap_vpe", vpe_id=0)


@pytest.mark.parametrize("call", ["configure_vsgi", "send_vsgi"])
def test_virtual_sgis_need_gicv4_1(host: Host, call: str) -> None:
    """GICv4.0 has none."""
    args = {"vpe_id": 0, "virtual_intid": 3, **({"enable": 1} if call == "configure_vsgi" else {})}
    assert host.call(call, **args)["error"] == "EOPNOTSUPP"
    assert host.names() == []
