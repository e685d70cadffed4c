"""H1, H11, H12, H14: the memory that hardware uses, and whose it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from itsbox.arch.redist_registers import GICR_PROPBASER
from itsbox.arch.values import PAGE_SHIFT
from itsbox.oracle.pages import PageUse, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.rules import H1, H11, H12, H14
from itsbox.oracle.scene import NOUN, PAGE_USE, Broken, Scene, whole
from itsbox.oracle.world import Extent, Use

if TYPE_CHECKING:
    from itsbox.oracle.world import Key

__all__ = ["h1", "h11", "h12", "h14"]


def h1(scene: Scene) -> Iterator[Broken]:
    """New extents must be writable for hardware; pages that change hands must not be in use by it."""
    for key in scene.touched.extents:
        extent = scene.world.extents.get(key) or scene.world.ranged.get(key)
        if extent is not None and extent.written:
            yield from _foreign(scene, key, extent)
    given = {
        pfn: now.whose
        for pfn, before, now in scene.changed
        if now.whose != before.whose and now.whose in (Whose.HYP, Whose.GUEST)
    }
    if not given:
        return
    for pfn, key, extent in (*scene.world.users(tuple(given)), *_loose_level_2(scene, given)):
        if key[0] == Use.ITT and (_asleep(scene, key[1]) or not scene.view.maps_device(key[1], key[2], pfn)):
            continue  # nobody can wake the ITS, or the host's own hand took the device out of the table
        if extent.written and key not in scene.touched.extents and scene.who.use_of(pfn) != _own_use(scene, key):
            owner = Whose.NAMES[given[pfn]]
            yield Broken(H1, f"Memory that hardware may write as {NOUN[key[0]]} was given to the {owner}.",
                         *whole(pfn), key[0])  # fmt: skip


def _asleep(scene: Scene, number: int) -> bool:
    """Whether an ITS is disabled between the switch-over and its take-over, when the host cannot enable it.

    A take-over that enables it without a look at its tables is seen when the ITS uses them.
    """
    return scene.view.phase() == "deprivileging" and not scene.view.nodes()[number].enabled


def _loose_level_2(scene: Scene, given: Collection[int]) -> Iterator[tuple[int, Key, Extent]]:
    """(frame, key, extent) of the pages that are level-2 pages of a table that the hypervisor did not take."""
    for number, node in enumerate(scene.view.nodes()):
        for n, value in enumerate(node.baser):
            table = table_of(value)
            if table is None or not table.indirect or not node.enabled or (number, n) in scene.world.tables:
                continue
            for _, word in scene.view.words(table.addr, table.length):
                page = scene.view.level_2(word, table.page_bytes)
                if page is not None:
                    extent = Extent(page, table.page_bytes, True)
                    for pfn in set(extent.pages).intersection(given):
                        yield pfn, (Use.L2, number, n), extent


def _foreign(scene: Scene, key: Key, extent: Extent) -> Iterator[Broken]:
    """The first page of an extent that hardware must not write."""
    kind, allowed, pages = key[0], _own_use(scene, key), extent.pages
    if not pages:  # an extent without a byte, as of a pending table with too few IDbits
        return
    first = scene.view.pages.foreign(pages[0], pages[-1])
    while first is not None:
        page = scene.view.pages.page(first)
        use = scene.who.use_of(first) if page.whose == Whose.HYP else None
        if use is None or use != allowed:
            low = max(extent.addr, first << PAGE_SHIFT)
            high = min(extent.addr + extent.length, first + 1 << PAGE_SHIFT)
            owner = "hypervisor" if page.whose == Whose.HYP else "guest"
            yield Broken(H1, f"Hardware may now write {NOUN[kind]} in memory of the {owner}.", low, high - low, kind,
                         scene.touched.extents[key])  # fmt: skip
            return
        first = scene.view.pages.foreign(first + 1, pages[-1]) if first < pages[-1] else None


def _own_use(scene: Scene, key: Key) -> str | None:
    """For which use the pages of an extent may be the ITS's own."""
    if key[0] in (Use.TABLE, Use.L2):
        table = table_of(scene.view.nodes()[key[1]].baser[key[2]])
        return None if table is None else table.use
    return PAGE_USE[key[0]]


def h14(scene: Scene) -> Iterator[Broken]:
    """A translation or virtual pending table that overlaps the ITS's own queue or tables."""
    for key in scene.touched.extents:
        extent = scene.world.extents.get(key)
        if extent is None:
            continue
        if scene.world.own.keys().isdisjoint(extent.pages):
            continue
        for pfn in extent.pages:
            use = scene.world.own.get(pfn)
            if use is not None and use != PAGE_USE[key[0]]:
                yield Broken(H14, f"Memory that the hypervisor holds for the ITS ({use}) became {NOUN[key[0]]} too.",
                             max(extent.addr, pfn << PAGE_SHIFT), 8, key[0], scene.touched.extents[key])  # fmt: skip
                break


def h11(scene: Scene) -> Iterator[Broken]:
    """The tables of redistributors with LPIs on."""
    given = [pfn for pfn, was, now in scene.changed if now.whose in (Whose.HYP, Whose.GUEST) and now.whose != was.whose]
    for pfn, key, _ in scene.world.users(given):
        if key[0] == Use.CONFIG and scene.who.use_of(pfn) != PageUse.CONFIG:
            yield Broken(H11, f"LPIs are on and {NOUN[key[0]]} was given away.", *whole(pfn), key[0])
    guarded = scene.deprivileged and scene.view.guards_redistributors()
    for cpu in scene.touched.redistributors:
        for kind in (Use.CONFIG, Use.PENDING):
            extent = scene.world.ranged.get((kind, cpu, 0))
            if extent is None or not extent.pages:
                continue
            foreign = scene.view.pages.foreign(extent.pages[0], extent.pages[-1])
            if foreign is not None and scene.who.use_of(foreign) != PAGE_USE[kind]:
                owner = "hypervisor" if scene.view.pages.page(foreign).whose == Whose.HYP else "guest"
                yield Broken(H11, f"LPIs are on with {NOUN[kind]} in memory of the {owner}.",
                             max(extent.addr, foreign << PAGE_SHIFT), 8, kind)  # fmt: skip
            elif guarded and foreign is None and not all(scene.view.pages.page(pfn).pins for pfn in extent.pages):
                yield Broken(
                    H11, f"LPIs are on with {NOUN[kind]} that is not pinned.", extent.addr, extent.length, kind
                )


def h12(scene: Scene) -> Iterator[Broken]:
    """One configuration table for all redistributors with LPIs on, where the hypervisor guards them."""
    if not scene.touched.redistributors or not (scene.deprivileged and scene.view.guards_redistributors()):
        return
    registers = [GICR_PROPBASER.decode(gicr.propbaser) for gicr in scene.view.gicrs() if gicr.enable_lpis]
    if len({(register.physical_address, register.id_bits) for register in registers}) > 1:
        addr = max(register.physical_address for register in registers)
        yield Broken(H12, "Two redistributors with LPIs on name different configuration tables.", addr, 8, Use.CONFIG)
