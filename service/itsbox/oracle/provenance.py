"""How each page came to be the hypervisor's: which of its pages are the ITS's own, and for what.

See ``world`` for the rule. Pages that became the hypervisor's in the running step are *fresh*: they are the ITS's own if the
structure that covers them is established in the same step. What is still unexplained when the step ends is private for good,
since from then on it is fresh no more.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    TABLE_COLLECTIONS,
    TABLE_DEVICES,
    TABLE_VPES,
    baser_address,
    baser_bytes,
    baser_page_size,
    cbaser_bytes,
)
from itsbox.arch.its_tables import L1_ENTRY_SIZE, entries_per_page
from itsbox.arch.values import pages_of
from itsbox.oracle.pages import PageUse, Whose
from itsbox.oracle.world import Extent, RecordedTable, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from itsbox.oracle.pages import PageState
    from itsbox.oracle.touched import Touched
    from itsbox.oracle.view import View
    from itsbox.oracle.world import Key, World

__all__ = ["LAST_LEVEL", "Provenance", "table_of"]

LAST_LEVEL: Final = {
    TABLE_DEVICES: PageUse.DEVICE,
    TABLE_VPES: PageUse.VPE,
    TABLE_COLLECTIONS: PageUse.COLLECTION,
}
"""GITS_BASER<n>.Type to the use of the pages that hold its entries."""
_EXTENT_USE: Final = {Use.ITT: PageUse.ITT, Use.VPT: PageUse.VPT, Use.VCONF: PageUse.VCONF}
_RANGED_USE: Final = {Use.PENDING: PageUse.PENDING, Use.CONFIG: PageUse.CONFIG}


@lru_cache(maxsize=256)  # asked for every register each time that pages arrive
def table_of(value: int) -> RecordedTable | None:
    """The table that a value of GITS_BASER<n> describes, or None if there is none."""
    register = GITS_BASER.decode(value)
    use = LAST_LEVEL.get(register.type)
    if use is None or not register.valid:
        return None
    page, entry = baser_page_size(register), register.entry_size + 1
    return RecordedTable(
        addr=baser_address(register),
        length=baser_bytes(register),
        use=use,
        indirect=bool(register.indirect),
        page_bytes=page,
        per_page=entries_per_page(page, entry),
    )


@lru_cache(maxsize=64)
def queue_of(value: int) -> Extent | None:
    """The queue that a value of GITS_CBASER describes, or None if it is not Valid."""
    register = GITS_CBASER.decode(value)
    if not register.valid:
        return None
    return Extent(register.physical_address, cbaser_bytes(register), False)


class Provenance:
    """Decides and remembers which pages of the hypervisor are the ITS's own.

    before: called before pages are explained, so that what the step established is known.
    """

    __slots__ = ("_fresh", "before", "touched", "view", "world")

    def __init__(self, view: View, world: World, touched: Touched) -> None:
        self.view = view
        self.world = world
        self.touched = touched
        self._fresh: set[int] = set()
        self.before: Callable[[], None] | None = None

    def use_of(self, pfn: int) -> str | None:
        """What a page of the hypervisor is the ITS's own for, or None if it is not."""
        use = self.world.own.get(pfn)
        if use is None and pfn in self.touched.pages:
            self.explain()
            use = self.world.own.get(pfn)
        return use

    def settle(self, changed: Sequence[tuple[int, PageState, PageState]]) -> None:
        """The step ends: explain what can be explained, and forget pages that the hypervisor gave back.

        ``changed``: frame, state before the step, state now.
        """
        arrived = bool(self.touched.l1)
        for pfn, before, now in changed:
            if now.whose == Whose.HYP:
                arrived |= before.whose != Whose.HYP
            elif pfn in self.world.own:
                self.world.give(pfn, None)
        if arrived:
            self.explain()

    def explain(self) -> None:
        """Match fresh pages with the structures that this step established."""
        if self.before is not None:
            self.before()
        page, own = self.view.pages.page, self.world.own
        self._fresh = {
            pfn
            for pfn, before in self.touched.pages.items()
            if before.whose != Whose.HYP and pfn not in own and page(pfn).whose == Whose.HYP
        }
        for number, node in enumerate(self.view.nodes()):
            self._take_queue(number, queue_of(node.cbaser))
            for n, value in enumerate(node.baser):
                self._take_table(number, n, table_of(value))
        for slot in self.touched.l1:
            self._take_l2(slot)
        for key in self.touched.extents:
            extent = self.world.extents.get(key)
            if extent is not None and key[0] in _EXTENT_USE:
                self._give(extent.pages, _EXTENT_USE[key[0]])
        for key, extent in self.world.ranged.items():
            if key[0] in _RANGED_USE and key in self.touched.extents:
                self._give(extent.pages, _RANGED_USE[key[0]])

    def _give(self, pages: range, use: str) -> None:
        for pfn in self._fresh.intersection(pages):
            self.world.give(pfn, use)
            self._fresh.discard(pfn)

    def _taken_now(self, pages: range) -> bool:
        """Whether this step took a structure: all of its pages are the hypervisor's, and all became so just now."""
        return pages[0] in self._fresh and self._fresh.issuperset(pages)

    def _take_queue(self, number: int, queue: Extent | None) -> None:
        if queue is not None and number not in self.world.queues and self._taken_now(queue.pages):
            self.world.record_queue(number, queue)
            self._give(queue.pages, PageUse.QUEUE)

    def _take_table(self, number: int, n: int, table: RecordedTable | None) -> None:
        if table is None or (number, n) in self.world.tables:
            return
        pages = pages_of(table.addr, table.length)
        if not self._taken_now(pages):
            return
        self.world.record_table(number, n, table)
        if not table.indirect:
            self._give(pages, table.use)
            return
        self._give(pages, PageUse.L1)
        for slot, word in self.view.words(table.addr, table.length):
            if self.view.level_2(word, table.page_bytes) is not None:
                self._take_l2((number, n, slot))

    def _take_l2(self, slot: tuple[int, int, int]) -> None:
        """A level-1 entry of the hardware's table was written: its fresh level-2 page is the table's."""
        node, n, index = slot
        table = self.world.tables.get((node, n))
        if table is None:
            return
        word = self.view.word(table.addr + index * L1_ENTRY_SIZE)
        page = self.view.level_2(word or 0, table.page_bytes)
        self.world.set_l2(slot, page)
        if page is not None:
            self._give(pages_of(page, table.page_bytes), table.use)

    def live_objects(self, first: int, last: int) -> list[tuple[Key, range]]:
        """The recorded structures, with their pages, that touch the frames [first, last], whoever owns them now."""
        found: list[tuple[Key, range]] = []
        for number, queue in self.world.queues.items():
            found.append(((Use.QUEUE, number, 0), queue.pages))
        for (number, n), table in self.world.tables.items():
            found.append(((Use.TABLE, number, n), pages_of(table.addr, table.length)))
        for (number, n, index), page in self.world.l2.items():
            found.append(((Use.L2, number, index), pages_of(page, self.world.tables[number, n].page_bytes)))
        return [(key, pages) for key, pages in found if pages[0] <= last and first <= pages[-1]]
