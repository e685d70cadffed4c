"""H3, H4, H7, H15, H16: the hardware's queue and tables, and the registers that name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, baser_address
from itsbox.arch.its_tables import L1_ENTRY_SIZE
from itsbox.arch.values import PAGE_SHIFT, is_aligned, pages_of
from itsbox.oracle.pages import PageUse, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.rules import H3, H4, H7, H15, H16
from itsbox.oracle.scene import NOUN, Broken, Scene, whole
from itsbox.oracle.world import RecordedTable, Use

if TYPE_CHECKING:
    from itsbox.oracle.violations import Rule

__all__ = ["h3", "h4", "h7", "h15", "h16"]


def h3(scene: Scene) -> Iterator[Broken]:
    """Pages of the hardware's queue and tables that the host can reach (again)."""
    if not scene.deprivileged:
        return
    yield from _returned(scene, [pfn for pfn, was, now in scene.changed if now.whose <= Whose.SHARED < was.whose])
    for slot in scene.touched.l1:
        page_addr = scene.world.l2.get(slot)
        table = scene.world.tables.get(slot[:2])
        if page_addr is None or table is None or table.use == PageUse.COLLECTION:
            continue
        for pfn in pages_of(page_addr, table.page_bytes):
            if scene.view.pages.page(pfn).whose <= Whose.SHARED:
                yield Broken(H3, f"The hardware's level 1 names a level-2 page of the {table.use} table that the host can write.",
                             *whole(pfn), Use.L2)  # fmt: skip
                break


def _returned(scene: Scene, frames: Sequence[int]) -> Iterator[Broken]:
    """Of pages that are the host's, those that belong to a recorded queue or table."""
    objects = scene.who.live_objects(min(frames), max(frames)) if frames else ()
    for pfn in frames:
        key = next((key for key, pages in objects if pfn in pages), None)
        if key is not None and not _may_stay(scene, key):
            yield Broken(H3, f"The host got back a page of the hardware's {NOUN[key[0]]}.", *whole(pfn), key[0])


def _may_stay(scene: Scene, key: tuple[str, int, int]) -> bool:
    """Collection level-2 pages hold numbers only, unless PTA is 1."""
    if key[0] != Use.L2 or scene.view.pta:
        return False
    return any(
        t.use == PageUse.COLLECTION for (node, _), t in scene.world.tables.items() if node == key[1] and t.indirect
    )


def h4(scene: Scene) -> Iterator[Broken]:
    """Address, size and shape of the hardware's queue and tables are those of the switch-over."""
    if scene.deprivileged and not scene.half:
        yield from _moved(scene, H4)


def h15(scene: Scene) -> Iterator[Broken]:
    """The same after a write to half of a register."""
    if scene.deprivileged and scene.half:
        yield from _moved(scene, H15)


def _moved(scene: Scene, rule: Rule) -> Iterator[Broken]:
    nodes = scene.view.nodes()
    for number in scene.touched.nodes:
        node = nodes[number]
        queue = scene.world.queues.get(number)
        if queue is not None:
            now = GITS_CBASER.decode(node.cbaser)
            named = (now.physical_address, now.size + 1 << PAGE_SHIFT)
            if not now.valid or named != (queue.addr, queue.length):
                yield Broken(rule, "GITS_CBASER does not name the queue that the hypervisor took.",
                             now.physical_address, now.size + 1 << PAGE_SHIFT, PageUse.QUEUE)  # fmt: skip
        for n, value in enumerate(node.baser):
            table = scene.world.tables.get((number, n))
            if table is not None and _table_changed(table, value):
                register = GITS_BASER.decode(value)
                yield Broken(rule, f"GITS_BASER<n> does not name the {table.use} table that the hypervisor took.",
                             baser_address(register), table.length, table.use)  # fmt: skip


def h7(scene: Scene) -> Iterator[Broken]:
    """Level-1 entries that the hypervisor wrote: inside the table, aligned, each page named once."""
    if not scene.deprivileged:
        return
    for slot in scene.touched.l1:
        node, n, index = slot
        page = scene.world.l2.get(slot)
        table = scene.world.tables.get((node, n))
        if page is None or table is None:
            continue
        addr = table.addr + index * L1_ENTRY_SIZE
        if not is_aligned(page, table.page_bytes):
            yield Broken(H7, "A level-1 entry names a page that is not aligned.", addr, L1_ENTRY_SIZE, PageUse.L1)
        elif any(other == page and key != slot for key, other in scene.world.l2.items()):
            yield Broken(H7, "Two level-1 entries name the same page.", addr, L1_ENTRY_SIZE, PageUse.L1)


def h16(scene: Scene) -> Iterator[Broken]:
    """A device's write was translated with entries that the host can edit."""
    for addr in dict.fromkeys(scene.touched.host_walks):
        yield Broken(
            H16, "A device's write was translated with an entry in memory that the host can write.", addr, 8, "walk"
        )


def _table_changed(table: RecordedTable, value: int) -> bool:
    """Whether GITS_BASER<n> names another table than the recorded one, or none."""
    return table_of(value) != table
