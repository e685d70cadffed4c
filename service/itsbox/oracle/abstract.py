"""The abstract state that the specification speaks about: finite maps, nothing else.

What is in a map is known; what is not in it is as at reset. An ITS that is missing in ``its`` has not been handed over yet.
Equality is meaningful: two machines agree exactly when their abstract states are equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HOST_ALONE", "PARTS", "Abstract", "AbstractIts", "AbstractLpis", "AbstractPage", "AbstractTable", "Regions", "as_tree",
    "page_at", "part_tree",
]  # fmt: skip


class AbstractPage(NamedTuple):
    """A page: its owner ("host", "hyp", "guest"), with whom the owner shares it, how often it is pinned."""

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


class AbstractTable(NamedTuple):
    """A table that was taken over: its type, its (first frame, pages) or level 1's, and the first frame of the host's copy.

    copy: 0 for a flat table, which has none; it is as long as level 1.
    """

    type: int
    first: int
    pages: int
    copy: int


class AbstractLpis(NamedTuple):
    """What a redistributor uses memory for: EnableLPIs and the two tables, and the same of virtual LPIs (0 without them)."""

    enable_lpis: bool
    propbaser: int
    pendbaser: int
    vpropbaser: int = 0
    vpendbaser: int = 0


@dataclass(frozen=True, slots=True)
class AbstractIts:
    """An ITS that the hypervisor took over.

    host_queue, host_bytes: the queue that the host writes; consumed: how far it was looked at; devices: DeviceID ->
    (ITT_addr, Size); vpes: vPEID -> (VPT_addr, VPT_size, VCONF_addr or 0); level_2: (table type, level-1 index) of each entry
    that hardware has -> (first frame, pages) that it names; waiting: hardware has been given commands that it has not carried
    out; stopped: the pages of the one that it stopped at; host_cwriter: what the host wrote to GITS_CWRITER last;
    hw_queue: the queue that hardware reads, as long as the host's; tables: as taken over; enabled: GITS_CTLR.Enabled as the
    hypervisor has it in mind.
    """

    host_queue: int
    host_bytes: int
    consumed: int
    devices: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    vpes: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    level_2: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    waiting: bool = False
    stopped: frozenset[int] = frozenset()
    host_cwriter: int = 0
    hw_queue: int = 0
    tables: tuple[AbstractTable, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Abstract:
    """A machine, as far as the specification cares.

    phase; pages: frame -> page, where it differs from reset; its: ITS number -> what was taken over; registers: (ITS, name)
    -> value, of the registers that say what memory hardware uses and how far it is; lpis: CPU -> its redistributor's.

    finalised: CPUs that lost their privilege; quiesced: ITS -> GITS_CTLR as it was before the window disabled it; taken: CPUs
    whose redistributor was handed over; held: CPU -> the frames of its configuration and its pending table while they are
    held; resident: CPU -> the frames of the configuration table that is held for a resident vPE (GICv4.0); alive: handle of a
    guest -> the two frames that hold its state; donated: frame -> handle of the guest that it was given to; tracked: frame ->
    how many objects (tables of devices, vPEs, redistributors) the hypervisor has written down for it.
    """

    phase: str
    pages: Mapping[int, AbstractPage]
    its: Mapping[int, AbstractIts]
    registers: Mapping[tuple[int, str], int]
    lpis: Mapping[int, AbstractLpis]
    finalised: frozenset[int] = frozenset()
    quiesced: Mapping[int, int] = field(default_factory=dict)
    taken: frozenset[int] = frozenset()
    held: Mapping[int, tuple[range, range]] = field(default_factory=dict)
    resident: Mapping[int, range] = field(default_factory=dict)
    alive: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    donated: Mapping[int, int] = field(default_factory=dict)
    tracked: Mapping[int, int] = field(default_factory=dict)

    def with_pages(self, changes: Mapping[int, AbstractPage], regions: Regions) -> Abstract:
        """The same with some pages changed; a page that is as at reset is not kept."""
        pages = dict(self.pages)
        for pfn, page in changes.items():
            if page == regions.at_reset(pfn):
                pages.pop(pfn, None)
            else:
                pages[pfn] = page
        return replace(self, pages=pages)

    def with_tracked(self, frames: range, change: int) -> Abstract:
        """The same with one object more (or with -1 less) written down for each of the frames."""
        tracked = dict(self.tracked)
        for pfn in frames:
            count = tracked.pop(pfn, 0) + change
            if count > 0:
                tracked[pfn] = count
        return replace(self, tracked=tracked)

    def with_its(self, number: int, **changes: Any) -> Abstract:
        """The same with some of an ITS's record changed."""
        return replace(self, its={**self.its, number: replace(self.its[number], **changes)})

    def with_registers(self, number: int, **words: int) -> Abstract:
        """The same with some registers of an ITS changed."""
        return replace(self, registers={**self.registers, **{(number, name): word for name, word in words.items()}})

    def with_lpis(self, cpu: int, **changes: Any) -> Abstract:
        """The same with some of a redistributor's registers changed."""
        return replace(self, lpis={**self.lpis, cpu: self.lpis[cpu]._replace(**changes)})


PARTS: Final = tuple(part.name for part in fields(Abstract))
"""The names of the parts of the state."""


def page_at(state: Abstract, regions: Regions, pfn: int) -> AbstractPage:
    """What a page is now."""
    page = state.pages.get(pfn)
    return regions.at_reset(pfn) if page is None else page


# ---------------------------------------------------------------- for people


def as_tree(value: Any) -> Any:
    """Nested dictionaries with text keys, for ``diff``; frames and addresses as hexadecimal."""
    if isinstance(value, Abstract):
        return {name: part_tree(name, getattr(value, name)) for name in PARTS}
    if isinstance(value, AbstractIts):
        return {
            "host queue": f"{value.host_queue:#x} {value.host_bytes:#x}",
            "hardware queue": hex(value.hw_queue),
            "consumed": value.consumed,
            "host cwriter": value.host_cwriter,
            "enabled": value.enabled,
            "devices": {hex(ident): f"{addr:#x} size {size}" for ident, (addr, size) in value.devices.items()},
            "vpes": {hex(ident): f"{vpt:#x} size {size} {conf:#x}" for ident, (vpt, size, conf) in value.vpes.items()},
            "waiting": value.waiting,
            "stopped": {hex(pfn): "held" for pfn in value.stopped},
            "level 2": {f"type {t} entry {index}": _run_text(*run) for (t, index), run in value.level_2.items()},
            "tables": {f"type {t.type}": f"{_run_text(t.first, t.pages)} copy {t.copy:#x}" for t in value.tables},
        }
    return value


def part_tree(name: str, part: Any) -> Any:
    """One part of the state as a tree."""
    shown = _SHOWN.get(name)
    return part if shown is None else shown(part)


def _page_text(page: AbstractPage) -> str:
    shared = f" shared with {page.shared_with}" if page.shared_with else ""
    pins = f" pins={page.pins}" if page.pins else ""
    return f"{page.owner}{shared}{pins}"


def _run_text(first: int, pages: int) -> str:
    return f"{pages} pages at {first:#x}"


def _frames_text(frames: range) -> str:
    return _run_text(frames.start, len(frames))


def _lpis_tree(lpis: AbstractLpis) -> dict[str, Any]:
    return {name: value if name == "enable_lpis" else hex(value) for name, value in lpis._asdict().items()}


_SHOWN: Final[dict[str, Any]] = {
    "pages": lambda part: {hex(pfn): _page_text(page) for pfn, page in part.items()},
    "its": lambda part: {str(number): as_tree(its) for number, its in part.items()},
    "registers": lambda part: {f"ITS {number} {name}": hex(word) for (number, name), word in part.items()},
    "lpis": lambda part: {f"CPU {cpu}": _lpis_tree(lpis) for cpu, lpis in part.items()},
    "finalised": lambda part: {f"CPU {cpu}": True for cpu in part},
    "quiesced": lambda part: {f"ITS {number}": hex(word) for number, word in part.items()},
    "taken": lambda part: {f"CPU {cpu}": True for cpu in part},
    "held": lambda part: {
        f"CPU {cpu}": {"configuration": _frames_text(config), "pending": _frames_text(pending)}
        for cpu, (config, pending) in part.items()
    },
    "resident": lambda part: {f"CPU {cpu}": _frames_text(frames) for cpu, frames in part.items()},
    "alive": lambda part: {hex(handle): [hex(pfn) for pfn in frames] for handle, frames in part.items()},
    "donated": lambda part: {hex(pfn): hex(handle) for pfn, handle in part.items()},
    "tracked": lambda part: {hex(pfn): count for pfn, count in part.items()},
}
"""Part to its tree; others are shown as they are."""
