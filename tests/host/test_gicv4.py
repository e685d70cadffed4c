"""GICv4: what changes at boot."""

from __future__ import annotations

from itsbox.arch.its_registers import GITS_CTLR, GITS_TYPER
from itsbox.arch.redist_registers import GICR_VPENDBASER, GICR_VPROPBASER, GICR_VPROPBASER_V41
from tests.host.machine_port import Host


def test_the_proxy_device_is_mapped_before_anything_else() -> None:
    """The last DeviceID, one event per CPU, in the first and page-aligned slot of the ITT pool: MAPD is command 0."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    assert host.names()[:3] == ["MAPD", "MAPC", "SYNC"]
    devices = host.machine.state()["devices"]
    assert list(devices) == ["65535"]
    assert devices["65535"]["size"] == 1
    assert int(devices["65535"]["itt"], 16) % 4096 == 0
    lines = host.log()
    assert f"ITS@{host.machine.map.its:#018x}: Single VMOVP capable" in lines
    assert "ITS: Allocated DevID ffff as GICv4 proxy device (4 slots)" in lines
    assert "ITS: Enabling GICv4 support" in lines


def test_the_next_itt_is_not_page_aligned() -> None:
    """Which is why the mail's series boots on QEMU and hangs on a GICv3: the aligned slot is gone."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    assert int(host.call("map_device", device_id=1, events=3)["itt"], 16) % 4096 == 256


def test_the_proxy_device_cannot_be_used() -> None:
    """A device with the proxy's DeviceID is bad luck, says the kernel; and it is not there to be unmapped."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    host.log()
    assert host.call("map_device", device_id=0xFFFF, events=1)["error"] == "EINVAL"
    assert host.log() == ["DevId ffff clashes with GICv4 VPE proxy device"]
    assert host.call("unmap_device", device_id=0xFFFF)["error"] == "ENODEV"


def test_virtual_lpi_frames_are_left_harmless() -> None:
    """Every CPU: IDbits known, no vPE resident, and nothing of an earlier kernel's."""
    host = Host(profile="virt-gicv4")
    stride, gicr = host.machine.map.gicr_stride, host.machine.map.gicr
    stale = GICR_VPENDBASER.decode(0).replace(valid=1, physical_address=0x4300_0000).word()
    host.machine.bus.write(gicr + GICR_VPENDBASER.OFFSET, 8, stale)
    host.call("probe")
    for cpu in range(4):
        base = gicr + cpu * stride
        assert GICR_VPROPBASER.decode(host.machine.bus.read(base + GICR_VPROPBASER.OFFSET, 8)).id_bits == 15
        assert not GICR_VPENDBASER.decode(host.machine.bus.read(base + GICR_VPENDBASER.OFFSET, 8)).valid


def test_without_memory_for_the_proxy_gicv4_is_off() -> None:
    """A DeviceID that the table does not reach: the kernel goes on without GICv4."""
    host = Host(profile="virt-gicv4")
    its = host.machine.map.its
    # Its hardware says 17 DeviceID bits, and its flat table is cut at 256 pages of 4 KB.
    host.port.reads[its + GITS_TYPER.OFFSET] = lambda value: GITS_TYPER.decode(value).replace(devbits=31).word()
    host.port.reads[its + 0x100] = lambda value: value & ~(1 << 62)
    answer = host.call("probe")
    assert not answer["gicv4"]
    assert "ITS: Can't allocate GICv4 proxy device" in host.log()
    assert host.call("map_vpe")["error"] == "EOPNOTSUPP"


def test_an_its_without_single_vmovp_gets_a_number() -> None:
    """VMOVP = 0: ITS number 0 is written to GITS_CTLR, or what the hardware insists on is taken."""
    host = Host(profile="virt-gicv4")
    its = host.machine.map.its
    host.port.reads[its + GITS_TYPER.OFFSET] = lambda value: GITS_TYPER.decode(value).replace(vmovp=0).word()
    host.port.reads[its] = lambda value: GITS_CTLR.decode(value).replace(its_number=5).word()
    host.call("probe")
    assert f"ITS@{its:#018x}: Using ITS number 5" in host.log()
    assert host.driver._state.its[0].its_number == 5


def test_gicv4_1_has_no_proxy_and_one_vpe_table() -> None:
    """Redistributors of the ITS's group use the ITS's vPE table: the same address in their own register's format."""
    host = Host(profile="virt-gicv4.1")
    host.call("probe")
    assert "ITS: Using DirectLPI for VPE invalidation" in host.log()
    assert host.machine.state()["devices"] == {}
    table = host.driver._state.its[0].basers[2].base
    programmed = [
        GICR_VPROPBASER_V41.decode(value)
        for kind, addr, _, value in host.port.accesses
        if kind == "w" and (addr - host.machine.map.gicr) % host.machine.map.gicr_stride == GICR_VPROPBASER_V41.OFFSET
    ]
    assert [value.physical_address for value in programmed] == [table] * 4
    assert all(value.valid and value.indirect for value in programmed)
