"""The static array of protected regions, and how the device tree fills it."""

from __future__ import annotations

import pytest

from itsbox.hypervisor.knobs import resolve
from itsbox.hypervisor.regions import (
    ITS,
    PROTECTED_REGS_NUM,
    DeviceNode,
    ProtectedRegions,
    Region,
    register_protected_regions,
)
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, MmioWrite, Refused
from itsbox.reasons import Reason
from tests.hypervisor.box import Box


def regions(preset: str, *nodes: DeviceNode) -> tuple[ProtectedRegions, Reason | None]:
    """Register nodes as a preset does."""
    knobs = resolve(preset).knobs
    protected = ProtectedRegions(knobs)
    return protected, register_protected_regions(protected, knobs, nodes)


def node(n: int, length: int = 0x2_0000, entries: int = 1) -> DeviceNode:
    """An ITS node with some ``reg`` entries."""
    return DeviceNode(ITS, tuple((0x900_0000 + 0x10_0000 * n + 0x4_0000 * entry, length) for entry in range(entries)))


def test_eight_regions_and_no_more() -> None:
    """The ninth is -ENOMEM."""
    protected, denied = regions("v2", *(node(n) for n in range(9)))

    assert denied is Reason.REGIONS_FULL
    assert denied.errno == "ENOMEM"
    assert len(protected.regions) == PROTECTED_REGS_NUM == 8


@pytest.mark.parametrize("entry", [(0x900_0800, 0x2_0000), (0x900_0000, 0x1_0800)])
def test_regions_are_whole_pages(entry: tuple[int, int]) -> None:
    """A start or a length inside a page is -EINVAL."""
    _, denied = regions("v2", DeviceNode(ITS, (entry,)))

    assert denied is Reason.REGION_UNALIGNED
    assert denied.errno == "EINVAL"


def test_other_nodes_are_left_alone() -> None:
    """Only ``arm,gic-v3-its`` counts, also for the number of the ITS."""
    protected, denied = regions("v2", DeviceNode("arm,gic-v3", ((0x800_0000, 0x1_0000),)), node(0))

    assert denied is None
    assert [(region.kind, region.number) for region in protected.regions] == [(ITS, 0)]


def test_the_rfc_takes_the_nodes_number_for_the_entrys() -> None:
    """Right for the first node; the second must have a second entry, which is then the wrong one."""
    assert regions("rfc-v1", node(0), node(1))[1] is Reason.REGION_UNALIGNED
    protected, denied = regions("rfc-v1", node(0, entries=2), node(1, entries=2))
    assert denied is None
    assert [region.start_pfn for region in protected.regions] == [0x9000, 0x9140]


def test_how_much_is_trapped() -> None:
    """All of the entry, or its first 64 KB."""
    assert len(regions("v2", node(0))[0].by_page()) == 32
    assert len(regions("strict", node(0))[0].by_page()) == 16


def test_an_unused_slot_only_matches_where_all_are_searched() -> None:
    """RFC: address 0 finds one; a region's own address finds it; anything else nothing."""
    for preset, found in (("rfc-v1", True), ("v2", False)):
        protected, _ = regions(preset, node(0))
        assert (protected.begins_at(0) is not None) is found
        assert protected.begins_at(0x9000) is protected.regions[0]
        assert protected.begins_at(0x9001) is None


def test_a_region_knows_its_frames() -> None:
    """First frame and count."""
    assert Region(ITS, 0, 0x808_0000, 0x2_0000).frames == range(0x8080, 0x80A0)


def test_virtual_sgis_are_trapped_with_their_its() -> None:
    """Strict guards the frame of GITS_SGIR, wherever it lies."""
    box = Box(session={"profile": "virt-gicv4.1"})
    sgir = box.map.sgir
    assert sgir is not None

    assert box.machine.apply(MmioWrite(sgir, 8, 0)) == Refused(Reason.SGI_WRITE)
    assert box.machine.apply(MmioWrite(sgir, 8, 77 << 32)) == Refused(Reason.SGI_WRITE)
    alias = box.machine.apply(MmioWrite(box.its + 0x2_0020, 8, 0))
    assert isinstance(alias, Refused)


def test_an_honest_kernel_sends_virtual_sgis_behind_strict() -> None:
    """GITS_SGIR for a vPE that VMAPP put on record goes through, and the vPE gets its SGI as on bare hardware."""
    pending = []
    for hardening in ("off", "strict"):
        start = "host" if hardening == "off" else "deprivileged"
        machine = Machine(MachineConfig.make(profile="virt-gicv4.1", hardening=hardening, start=start))
        for call, args in (
            ("map_vpe", {}),
            ("configure_vsgi", {"vpe_id": 0, "virtual_intid": 5, "enable": 1, "priority": 0xA0}),
            ("send_vsgi", {"vpe_id": 0, "virtual_intid": 5}),
        ):
            machine.apply(Drive(call, args))
        pending.append(list(machine.state()["vpending"].values()))
        assert machine.violations == []

    assert pending == [[[5]], [[5]]]
