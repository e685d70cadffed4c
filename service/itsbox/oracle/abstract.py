"""The abstract state that the specification speaks about: finite maps, nothing else.

What is in a map is known; what is not in it is as at reset. ``None`` for a part says that the machine has no such part (no
ITS has been handed over yet). Equality is meaningful: two machines agree exactly when their abstract states are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["HOST_ALONE", "Abstract", "AbstractIts", "AbstractPage", "Regions", "as_tree", "page_at"]


class AbstractPage(NamedTuple):
    """A page: owner ("host", "hyp", "guest"), the owner's state ("OWNED", "SHARED_OWNED"), with whom it is shared, pins."""

    owner: str
    shared_with: str | None = None
    pins: int = 0


HOST_ALONE: Final = AbstractPage("host")


class Regions(NamedTuple):
    """Where a page belongs at reset: frames of RAM, of the hypervisor's carve-out, of the guest's."""

    ram: range
    hyp: range
    guest: range

    def at_reset(self, pfn: int) -> AbstractPage:
        """What a page is before anything happened."""
        if pfn in self.hyp:
            return AbstractPage("hyp")
        return AbstractPage("guest") if pfn in self.guest else HOST_ALONE


@dataclass(frozen=True, slots=True)
class AbstractIts:
    """An ITS that the hypervisor took over.

    host_queue, host_bytes: the queue that the host writes; consumed: how far it was looked at; devices: DeviceID ->
    (ITT_addr, Size); vpes: vPEID -> (VPT_addr, VPT_size, VCONF_addr or 0); level_2: (table type, level-1 index) of the
    entries that hardware has; waiting: hardware has been given commands that it has not carried out.
    """

    host_queue: int
    host_bytes: int
    consumed: int
    devices: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    vpes: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    level_2: frozenset[tuple[int, int]] = frozenset()
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Abstract:
    """A machine, as far as the specification cares.

    phase; pages: frame -> page, where it differs from reset; its: ITS number -> what was taken over; registers: (ITS, name)
    -> value, of the registers that say what memory hardware uses; lpis: CPU -> (EnableLPIs, PROPBASER, PENDBASER).
    """

    phase: str
    pages: Mapping[int, AbstractPage]
    its: Mapping[int, AbstractIts]
    registers: Mapping[tuple[int, str], int]
    lpis: Mapping[int, tuple[bool, int, int]]

    def with_pages(self, changes: Mapping[int, AbstractPage], regions: Regions) -> Abstract:
        """The same with some pages changed; a page that is as at reset is not kept."""
        pages = dict(self.pages)
        for pfn, page in changes.items():
            if page == regions.at_reset(pfn):
                pages.pop(pfn, None)
            else:
                pages[pfn] = page
        return replace(self, pages=pages)


def page_at(state: Abstract, regions: Regions, pfn: int) -> AbstractPage:
    """What a page is now."""
    page = state.pages.get(pfn)
    return regions.at_reset(pfn) if page is None else page


def as_tree(value: Any) -> Any:
    """Nested dictionaries with text keys, for ``diff``; frames and addresses as hexadecimal."""
    if isinstance(value, Abstract):
        return {
            "phase": value.phase,
            "pages": {hex(pfn): _page_text(page) for pfn, page in value.pages.items()},
            "its": {str(number): as_tree(its) for number, its in value.its.items()},
            "registers": {f"ITS {number} {name}": hex(word) for (number, name), word in value.registers.items()},
            "lpis": {f"CPU {cpu}": f"{on} {prop:#x} {pend:#x}" for cpu, (on, prop, pend) in value.lpis.items()},
        }
    if isinstance(value, AbstractIts):
        return {
            "host queue": f"{value.host_queue:#x} {value.host_bytes:#x}",
            "consumed": value.consumed,
            "devices": {hex(ident): f"{addr:#x} size {size}" for ident, (addr, size) in value.devices.items()},
            "vpes": {hex(ident): f"{vpt:#x} size {size} {conf:#x}" for ident, (vpt, size, conf) in value.vpes.items()},
            "waiting": value.waiting,
            "level 2": {f"type {kind} entry {index}": "valid" for kind, index in value.level_2},
        }
    return value


def _page_text(page: AbstractPage) -> str:
    shared = f" shared with {page.shared_with}" if page.shared_with else ""
    pins = f" pins={page.pins}" if page.pins else ""
    return f"{page.owner}{shared}{pins}"
