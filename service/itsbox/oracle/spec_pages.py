"""Pages in the specification: the ways in which they change hands, and what hardware holds of them."""

from __future__ import annotations

from collections.abc import Iterable

from itsbox.arch.its_tables import itt_bytes
from itsbox.arch.lpi_tables import MIN_ID_BITS, config_table_bytes, pending_table_bytes
from itsbox.arch.redist_registers import GICR_PENDBASER, GICR_PROPBASER
from itsbox.arch.values import PAGE_SIZE, SIZE_64K, align_up, pages_of
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractPage, page_at
from itsbox.oracle.spec_call import Facts

__all__ = [
    "GUEST", "HOST_SHARED", "HYP", "WITH_GUEST", "hold", "itt", "let_go", "lpi_tables", "move", "vpe_tables", "why_not_held",
]  # fmt: skip

HOST_SHARED = AbstractPage("host", "hyp")
WITH_GUEST = AbstractPage("host", "guest")
GUEST = AbstractPage("guest")
HYP = AbstractPage("hyp")


def inside(facts: Facts, frames: range) -> bool:
    """Whether frames are all memory."""
    ram = facts.regions.ram
    return ram.start <= frames.start and frames.stop <= ram.stop


def move(state: Abstract, facts: Facts, frames: range, old: AbstractPage, new: AbstractPage) -> Abstract | None:
    """All pages from one state to another, or None: one of them is in another state, or no memory."""
    regions = facts.regions
    if not inside(facts, frames) or any(page_at(state, regions, pfn) != old for pfn in frames):
        return None
    return state.with_pages(dict.fromkeys(frames, new), regions)


# ---------------------------------------------------------------- what hardware uses


def why_not_held(state: Abstract, facts: Facts, frames: range, mine: Iterable[range] = ()) -> str | None:
    """Why hardware may not come to use pages, or None.

    mine: frames that are held already for objects of the same kind, which may share pages with this one.
    """
    ram, regions = facts.regions.ram, facts.regions
    kin: tuple[range, ...] | None = None
    for pfn in frames:
        page = page_at(state, regions, pfn)
        if pfn not in ram:
            return "where no memory is"
        if page.owner != "host" or page.shared_with == "guest":
            return f"in memory of the {page.shared_with or page.owner}"
        if not state.tracked.get(pfn):
            if page != HOST_ALONE:
                return "in a page that the host had shared itself"
        else:
            kin = tuple(mine) if kin is None else kin
            if not any(pfn in each for each in kin):
                return "in a page that hardware uses for something else"
    return None


def hold(state: Abstract, facts: Facts, frames: range) -> Abstract:
    """Pages come to be used by hardware: the host's, shared with the hypervisor, pinned once more, and written down."""
    changes = {pfn: AbstractPage("host", "hyp", page_at(state, facts.regions, pfn).pins + 1) for pfn in frames}
    return state.with_pages(changes, facts.regions).with_tracked(frames, 1)


def let_go(state: Abstract, facts: Facts, frames: range) -> Abstract:
    """The way back: one pin less, and the host's alone again after the last."""
    changes = {}
    for pfn in frames:
        page = page_at(state, facts.regions, pfn)
        changes[pfn] = HOST_ALONE if page.pins <= 1 else page._replace(pins=page.pins - 1)
    return state.with_pages(changes, facts.regions).with_tracked(frames, -1)


def itt(facts: Facts, itt_addr: int, size: int) -> range:
    """The pages of an interrupt translation table (IHI 0069H.b, MAPD)."""
    return pages_of(itt_addr, itt_bytes(size, facts.ite_bytes))


def vpe_tables(vpt_addr: int, vpt_size: int, vconf_addr: int) -> list[range]:
    """The pages of a vPE's tables: its pending table in units of 64 KB, and its configuration table if it names one."""
    pages = [pages_of(vpt_addr, align_up(pending_table_bytes(vpt_size), SIZE_64K))]
    if vconf_addr:
        pages.append(pages_of(vconf_addr, config_table_bytes(vpt_size)))
    return pages


def lpi_tables(facts: Facts, propbaser: int, pendbaser: int) -> tuple[range, range]:
    """The pages of a redistributor's configuration and pending table; IDbits counts within what the machine has."""
    prop, start = GICR_PROPBASER.decode(propbaser), GICR_PENDBASER.decode(pendbaser).physical_address
    id_bits = min(max(prop.id_bits, MIN_ID_BITS), facts.id_bits)
    config = pages_of(prop.physical_address, align_up(config_table_bytes(id_bits), PAGE_SIZE))
    return config, pages_of(start, align_up(pending_table_bytes(id_bits), SIZE_64K))
