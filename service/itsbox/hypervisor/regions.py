"""Protected regions: device frames that are unmapped from the host, in a static array of eight (RFC, patches 2 to 4).

The machine's device description (its device tree) says which frames an ITS has. At boot each ITS becomes a region;
at the switch-over the regions' pages are donated to the hypervisor, and an access to one of them finds its region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from itsbox.arch.its_registers import FRAME_SIZE, TRANSLATION_FRAME, VSGI_FRAME
from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE, align_down, is_aligned
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hardware.bus import Bus
    from itsbox.hardware.profile import MemoryMap
    from itsbox.hypervisor.its_emulation import ItsEmulation

__all__ = [
    "GHOST",
    "ITS",
    "PROTECTED_REGS_NUM",
    "REDISTRIBUTORS",
    "VSGI",
    "DeviceNode",
    "ProtectedRegions",
    "Region",
    "device_nodes",
]

PROTECTED_REGS_NUM: Final = 8
"""PKVM_PROTECTED_REGS_NUM."""

ITS: Final = "arm,gic-v3-its"
VSGI: Final = "its-vsgi"
GHOST: Final = "unused slot"
REDISTRIBUTORS: Final = "redistributors"


class DeviceNode(NamedTuple):
    """A node of the device tree: its compatible string and its ``reg`` entries (address, bytes)."""

    compatible: str
    reg: tuple[tuple[int, int], ...]


class Region:
    """struct pkvm_protected_reg.

    start_pfn, num_pages: the frames; kind: ``ITS``, ``VSGI`` or ``REDISTRIBUTORS``; number: which ITS; base: the address
    that offsets are relative to; emulation: what answers for it (``priv``), None while it has not been taken over.
    """

    __slots__ = ("base", "emulation", "kind", "num_pages", "number", "start_pfn")

    def __init__(self, kind: str, number: int, addr: int, length: int, base: int | None = None) -> None:
        self.kind = kind
        self.number = number
        self.start_pfn = addr >> PAGE_SHIFT
        self.num_pages = length >> PAGE_SHIFT
        self.base = addr if base is None else base
        self.emulation: ItsEmulation | None = None

    @property
    def frames(self) -> range:
        """Its page frames."""
        return range(self.start_pfn, self.start_pfn + self.num_pages)


class ProtectedRegions:
    """pkvm_protected_regs: the array. ``regions`` holds those in use, in the order of their registration."""

    __slots__ = ("_whole_array", "regions")

    def __init__(self, knobs: Mapping[str, str]) -> None:
        self.regions: list[Region] = []
        self._whole_array = knobs["region_scan"] == "all_slots"

    def register(self, region: Region, addr: int, length: int) -> Reason | None:
        """Add a region: -ENOMEM for a ninth one, -EINVAL unless its address and length are whole pages."""
        if len(self.regions) >= PROTECTED_REGS_NUM:
            return Reason.REGIONS_FULL
        if not is_aligned(addr, PAGE_SIZE) or not is_aligned(length, PAGE_SIZE):
            return Reason.REGION_UNALIGNED
        self.regions.append(region)
        return None

    def begins_at(self, pfn: int) -> Region | None:
        """The region that begins at a frame. An unused slot begins at frame 0, and the RFC looks at those too."""
        for region in self.regions:
            if region.start_pfn == pfn:
                return region
        if self._whole_array and pfn == 0 and len(self.regions) < PROTECTED_REGS_NUM:
            self.resize(len(self.regions) + 1)
            return self.regions[-1]
        return None

    def resize(self, count: int) -> None:
        """Use so many slots; one that nobody registered is an ITS without pages at frame 0."""
        while len(self.regions) < count:
            self.regions.append(Region(GHOST, 0, 0, 0))
        del self.regions[count:]

    def its(self, number: int) -> Region | None:
        """The region of an ITS's control frame."""
        return next((region for region in self.regions if region.kind == ITS and region.number == number), None)

    def by_page(self) -> dict[int, Region]:
        """Page frame to region."""
        return {pfn: region for region in self.regions for pfn in region.frames}


def device_nodes(where: MemoryMap, bus: Bus, cpus: int) -> tuple[DeviceNode, ...]:
    """The GIC's nodes of the machine's device tree.

    Control and translation frame of an ITS are one ``reg`` entry, as QEMU writes them; a frame for virtual SGIs has one of its
    own. All redistributors are one entry.
    """
    nodes = []
    for its in bus.its:
        reg = [(its.base, 2 * FRAME_SIZE)]
        if its.typer.vsgi:
            sgi_frame = (
                its.base + VSGI_FRAME if where.sgir is None or its.number else align_down(where.sgir, FRAME_SIZE)
            )
            reg.append((sgi_frame, FRAME_SIZE))
        nodes.append(DeviceNode(ITS, tuple(reg)))
    nodes.append(DeviceNode(REDISTRIBUTORS, ((where.gicr, where.gicr_stride * cpus),)))
    return tuple(nodes)


def register_protected_regions(
    protected: ProtectedRegions, knobs: Mapping[str, str], nodes: Sequence[DeviceNode]
) -> Reason | None:
    """Make regions of what the knobs guard. The first failure ends it, and with it pKVM's own set-up (RFC, patch 4).

    Which ``reg`` entry of an ITS is taken is knob ``dt_resource``, how much of it knob ``trap_range``.
    """
    if knobs["its_mmio"] != "mapped":
        for number, node in enumerate(node for node in nodes if node.compatible == ITS):
            denied = _register_its(protected, knobs, number, node)
            if denied is not None:
                return denied
    if knobs["redistributors"] == "emulated":
        for node in nodes:
            if node.compatible == REDISTRIBUTORS:
                denied = protected.register(Region(REDISTRIBUTORS, 0, *node.reg[0]), *node.reg[0])
                if denied is not None:
                    return denied
    return None


def _register_its(
    protected: ProtectedRegions, knobs: Mapping[str, str], number: int, node: DeviceNode
) -> Reason | None:
    entry = number if knobs["dt_resource"] == "node_index" else 0
    if entry >= len(node.reg):
        return Reason.REGION_UNALIGNED  # of_address_to_resource() fails with -EINVAL
    addr, length = node.reg[entry]
    if knobs["trap_range"] == "whole":
        return protected.register(Region(ITS, number, addr, length), addr, length)
    length = min(length, TRANSLATION_FRAME)
    denied = protected.register(Region(ITS, number, addr, length), addr, length)
    for addr, length in node.reg[1:]:
        denied = denied or protected.register(Region(VSGI, number, addr, length, addr - VSGI_FRAME), addr, length)
    return denied
