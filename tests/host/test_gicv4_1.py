"""GICv4.1: no proxy, default doorbells, vPE tables of the redistributors, virtual SGIs."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import VMAPP_V41, VSGI
from itsbox.arch.its_registers import GITS_TYPER, TABLE_VPES
from itsbox.arch.redist_registers import GICR_VPENDBASER_V41, GICR_VPROPBASER_V41
from itsbox.host.tables import table_of
from tests.host.machine_port import Host


@pytest.fixture
def host() -> Host:
    """A booted machine with a device and a vPE."""
    host = Host(profile="virt-gicv4.1")
    host.call("probe")
    host.call("map_device", device_id=8, events=1)
    host.names()
    return host


def gicr(host: Host, cpu: int) -> int:
    """A CPU's RD frame."""
    return host.machine.map.gicr + cpu * host.machine.map.gicr_stride


def vprops(host: Host) -> list[GICR_VPROPBASER_V41]:
    """What the driver wrote last to each GICR_VPROPBASER."""
    written = {addr: value for kind, addr, _, value in host.port.accesses if kind == "w"}
    return [GICR_VPROPBASER_V41.decode(written[gicr(host, cpu) + GICR_VPROPBASER_V41.OFFSET]) for cpu in range(4)]


def test_a_vpe_is_mapped_with_its_configuration_and_doorbell(host: Host) -> None:
    """VMAPP in its GICv4.1 form, Alloc on the first ITS, and the default doorbell made known by INVDB."""
    answer = host.call("map_vpe")
    executed = [event for event in host.machine.take_events() if event[0].name == "command.executed"]
    assert [event[3] for event in executed] == ["VMAPP", "VSYNC", "VINVALL", "VSYNC", "INVDB", "VSYNC"]
    vmapp = VMAPP_V41.decode(*executed[0][4])
    assert (vmapp.alloc, vmapp.ptz, vmapp.valid) == (1, 0, 1)
    assert vmapp.default_doorbell == answer["doorbell"]
    assert vmapp.vconf_addr == host.driver._state.virtual_property_table
    assert f"{vmapp.vpt_addr:#x}" == answer["vpt"]


def test_unmapping_a_vpe_needs_no_vsync(host: Host) -> None:
    """VMAPP with V=0 completes by itself, Alloc says that it was the last."""
    host.call("map_vpe")
    host.machine.take_events()
    host.call("unmap_vpe", vpe_id=0)
    executed = [event for event in host.machine.take_events() if event[0].name == "command.executed"]
    assert [event[3] for event in executed] == ["VMAPP"]
    assert VMAPP_V41.decode(*executed[0][4]).alloc == 1


def test_residency_names_a_vpe_and_sends_no_command(host: Host) -> None:
    """One register: the vPEID and Valid; leaving it asks for the doorbell, or promises not to want to know."""
    host.call("map_vpe", cpu=2)
    host.names()
    pend = gicr(host, 2) + GICR_VPENDBASER_V41.OFFSET
    host.call("schedule_vpe", vpe_id=0)
    value = GICR_VPENDBASER_V41.decode(host.machine.bus.read(pend, 8))
    assert (value.valid, value.vpe_id) == (1, 0)
    host.port.accesses.clear()
    host.call("deschedule_vpe", vpe_id=0)
    written = [GICR_VPENDBASER_V41.decode(value) for kind, _, _, value in host.port.accesses if kind == "w"]
    assert [(each.valid, each.doorbell, each.pending_last) for each in written] == [(0, 1, 0)]
    host.call("schedule_vpe", vpe_id=0)
    host.port.accesses.clear()
    assert host.call("deschedule_vpe", vpe_id=0, doorbell=0)["pending_last"] is True
    written = [GICR_VPENDBASER_V41.decode(value) for kind, _, _, value in host.port.accesses if kind == "w"]
    assert [(each.valid, each.pending_last) for each in written] == [(0, 1)]
    assert host.names() == []


def test_events_are_invalidated_at_the_redistributor(host: Host) -> None:
    """GICR_INVLPIR instead of INV, for physical LPIs and for virtual ones."""
    host.call("unmask", device_id=8, event_id=0)
    host.call("map_vpe", cpu=1)
    host.call("map_vlpi", device_id=8, event_id=0, vpe_id=0, virtual_intid=9000)
    host.names()
    host.call("unmask", device_id=8, event_id=0)
    assert host.names() == []
    writes = [(addr, value) for kind, addr, _, value in host.port.accesses if kind == "w"]
    assert writes[-1] == (gicr(host, 1) + 0xA0, 1 << 63 | 9000)


def test_virtual_sgis_are_configured_and_sent(host: Host) -> None:
    """VSGI and VSYNC; then one write of GITS_SGIR, where the device tree says that it is."""
    host.call("map_vpe")
    host.machine.take_events()
    host.call("configure_vsgi", vpe_id=0, virtual_intid=5, enable=1, priority=0xA0)
    executed = [event for event in host.machine.take_events() if event[0].name == "command.executed"]
    assert [event[3] for event in executed] == ["VSGI", "VSYNC"]
    vsgi = VSGI.decode(*executed[0][4])
    assert (vsgi.virtual_intid, vsgi.enable, vsgi.group, vsgi.priority) == (5, 1, 1, 0xA0)
    host.call("send_vsgi", vpe_id=0, virtual_intid=5)
    assert host.port.accesses[-1] == ("w", host.machine.map.sgir, 8, 5)


def test_redistributors_that_share_with_no_its_share_among_themselves() -> None:
    """SVPET = 0: the first CPU allocates a table, zero and of two levels; the others of its group take it over."""
    host = Host(profile="virt-gicv4.1")
    typer = host.machine.map.its + GITS_TYPER.OFFSET
    host.port.reads[typer] = lambda value: GITS_TYPER.decode(value).replace(svpet=0).word()
    host.call("probe")
    first, *others = vprops(host)
    table = table_of(host.driver._state.its[0], TABLE_VPES)
    assert table is not None
    assert first.physical_address != table.base
    assert (first.valid, first.z, first.indirect, first.page_size) == (1, 1, 1, 2)
    assert all(each == first.replace(z=0) for each in others)
    host.call("map_vpe", vpe_id=0x3000)
    for base in (first.physical_address, table.base):
        entry = 0x3000 // (0x1_0000 // 32)
        assert host.machine.physical(base + 8 * entry, 8) != bytes(8)


def test_a_stale_resident_vpe_is_dropped_before_the_table_is_named() -> None:
    """Valid left set by an earlier kernel: it is cleared with PendingLast, so that no doorbell is made up."""
    host = Host(profile="virt-gicv4.1")
    pend = gicr(host, 0) + GICR_VPENDBASER_V41.OFFSET
    host.port.reads[pend] = lambda _: GICR_VPENDBASER_V41.decode(0).replace(valid=1).word()
    host.call("probe")
    written = [
        GICR_VPENDBASER_V41.decode(value) for kind, addr, _, value in host.port.accesses if (kind, addr) == ("w", pend)
    ]
    assert [(each.valid, each.pending_last) for each in written] == [(0, 1)]


def test_vpes_that_the_tables_do_not_reach_are_an_honest_failure() -> None:
    """GICD_TYPER2 says how many vPEIDs there are."""
    host = Host(profile="virt-gicv4.1")
    host.port.reads[host.machine.map.gicd + 0xC] = lambda _: 0x87  # VIL, 8 bits
    host.call("probe")
    assert host.call("map_vpe", vpe_id=256)["error"] == "ENOSPC"
    assert "error" not in host.call("map_vpe", vpe_id=255)
