"""Level 1 of two-level tables: the host edits its copy, hardware reads the hypervisor's.

``sync`` looks at the one entry that a command is about to make the ITS walk through, and plans its mirroring: a page that the
host adds becomes the hypervisor's before hardware hears of it. Which entry that is, how its address is read, how often, and
what a cleared entry means are knobs; most of their weak values are slips of the RFC's patch 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry, l2_address
from itsbox.arch.values import PAGE_SHIFT, is_aligned, pfn_of
from itsbox.hypervisor.its_state import ItsState, TableRecord
from itsbox.hypervisor.plan import L2, L1Write, Plan, Step
from itsbox.memory.ownership import DONATE, RECLAIM, Transition
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2

__all__ = ["OUT_OF_RANGE", "l1_address", "new_l2_step", "sync"]

OUT_OF_RANGE: Final = {
    "device": Reason.DEVICE_ID_RANGE,
    "collection": Reason.ICID_RANGE,
    "vpe": Reason.VPE_ID_RANGE,
}

# PHYS_MASK_SHIFT, the number that the RFC takes for the mask PHYS_MASK.
_PHYS_MASK_SHIFT: Final = 48


def _index_of_id(table: TableRecord, ident: int) -> int | None:
    """The RFC: the id itself, wherever that leads."""
    return ident


def _index_in_table(table: TableRecord, ident: int) -> int | None:
    """The id's level-1 index, None beyond the table."""
    index = ident // table.per_page
    return index if (index + 1) * L1_ENTRY_SIZE <= table.length else None


_INDEX: Final[dict[str, Callable[[TableRecord, int], int | None]]] = {
    "device_id": _index_of_id,
    "correct": _index_in_table,
}

_ADDRESS: Final[dict[str, Callable[[TableRecord, int], int]]] = {
    "shift": lambda table, word: word & _PHYS_MASK_SHIFT,
    "correct": lambda table, word: L1Entry.decode(word).address,
}


def l1_address(base: int, index: int) -> int:
    """Where a level-1 entry lies."""
    return base + index * L1_ENTRY_SIZE


def sync(el2: El2, state: ItsState, table: TableRecord, ident: int) -> Plan | Reason | None:
    """Plan the mirroring of the level-1 entry for an id.

    Answers None if there is nothing to do, or the reason why the id has no usable level-2 page. A flat table needs none.
    """
    knobs = el2.knobs
    if not table.indirect:
        return None
    index = _INDEX[knobs["l1_index"]](table, ident)
    if index is None:
        return Reason.L1_INDEX_RANGE
    keeps = knobs["l1_removal"] == "ignored"
    if keeps and index in state.present.get(table.n, ()):
        return None
    source, target = l1_address(table.host_l1, index), l1_address(table.base, index)
    host, hardware = el2.read(source), el2.read(target)
    was_valid, is_valid = L1Entry.decode(hardware).valid, L1Entry.decode(host).valid
    if was_valid == is_valid or (was_valid and keeps):
        missing = not was_valid and knobs["l1_sync"] == "every_command"
        return Reason.L1_ENTRY_INVALID if missing else None
    reread = source if knobs["host_fetch"] == "twice" else 0
    if not is_valid:
        gone = _pages(table, _ADDRESS[knobs["l1_mask"]](table, hardware))
        entry = L1Write(table.n, index, target, hardware, host, reread)
        return Plan(L2, f"level 1 of the {table.name} table", Step(gone_transitions(gone), entries=(entry,)))
    step = new_l2_step(el2, table, index, host, hardware, reread=reread)
    return step if isinstance(step, Reason) else Plan(L2, f"level 1 of the {table.name} table", step)


def gone_transitions(pages: tuple[int, int]) -> tuple[Transition, ...]:
    """A level-2 page goes back to the host."""
    return (Transition(RECLAIM, *pages),)


def _pages(table: TableRecord, addr: int) -> tuple[int, int]:
    """(first frame, frames) of a level-2 page."""
    return pfn_of(addr), table.page_bytes >> PAGE_SHIFT


def new_l2_step(
    el2: El2, table: TableRecord, index: int, host: int, hardware: int, *, reread: int = 0
) -> Step | Reason:
    """The changes that bring a new level-2 page in: donated, wiped, then named in the hardware's level 1."""
    knobs = el2.knobs
    addr = _ADDRESS[knobs["l1_mask"]](table, host)
    word = host
    if knobs["reserved_bits"] == "cleared":
        if not is_aligned(addr, table.page_bytes):
            return Reason.L2_NOT_HOST_OWNED
        word = L1Entry(address=l2_address(L1Entry.decode(host), table.page_bytes), valid=1).encode()[0]
    zeroed = ((addr, table.page_bytes),) if knobs["new_l2"] == "zeroed" else ()
    return Step(
        transitions=(Transition(DONATE, *_pages(table, addr)),),
        entries=(L1Write(table.n, index, l1_address(table.base, index), hardware, word, reread),),
        zeroed=zeroed,
    )
