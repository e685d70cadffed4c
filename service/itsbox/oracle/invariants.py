"""The invariants H1 to H16: what must hold between any two ops, one function each.

A function takes the ``Scene`` after an op and yields what is wrong; it looks at what the op touched and at nothing else, so an
op pays for what it did. H1 always applies: there is something to protect under every preset. The others bind a hypervisor,
so they apply once the host is deprivileged and to what the hypervisor has taken on: it cannot break its word about a queue,
a table or a redistributor that it never took. What such a hole leads to, the DMA check and H1 see when it is used.

Source: docs/explanation/dma-surface.md 7. Sentences are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from itsbox.arch.its_commands import COMMAND_SIZE
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, baser_address
from itsbox.arch.its_tables import L1_ENTRY_SIZE
from itsbox.arch.redist_registers import GICR_PROPBASER
from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE, is_aligned, pages_of
from itsbox.ops import Done, Drive, HvcReturn, Refused, Verdict
from itsbox.oracle.pages import PageUse, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.rules import H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11, H12, H13, H14, H15, H16
from itsbox.oracle.touched import Part
from itsbox.oracle.violations import Rule
from itsbox.oracle.world import Extent, Key, RecordedTable, Use

if TYPE_CHECKING:
    from itsbox.ops import Op, Outcome
    from itsbox.oracle.pages import PageState
    from itsbox.oracle.provenance import Provenance
    from itsbox.oracle.records import HostQueue, Records
    from itsbox.oracle.touched import Touched
    from itsbox.oracle.view import Command, View
    from itsbox.oracle.world import World

__all__ = ["INVARIANTS", "Broken", "Invariant", "Scene", "concerned"]


class Broken(NamedTuple):
    """An invariant does not hold.

    rule; detail: a sentence about this case; addr, length: the memory; table: what it is used as; command: the ITS command
    that brought it about, if one did.
    """

    rule: Rule
    detail: str
    addr: int
    length: int
    table: str
    command: Command | None = None


@dataclass(slots=True)
class Scene:
    """What an invariant may look at: the oracle's memory, the machine, the hypervisor's records, the op and its outcome.

    changed: (frame, state before, state now) of the pages that the op touched; half: it writes half of a 64-bit register;
    before, queues: the host's queues before and after it.
    Owned by: the oracle, which sets the scene anew for each op; the first five stay.
    """

    world: World
    view: View
    who: Provenance
    records: Records
    touched: Touched
    op: Op
    outcome: Outcome
    deprivileged: bool = False
    changed: Sequence[tuple[int, PageState, PageState]] = ()
    half: bool = False
    before: tuple[HostQueue, ...] = ()
    queues: tuple[HostQueue, ...] = ()

    def verdicts(self) -> tuple[int, int]:
        """(refused, executed) commands of the op; a refused access without commands counts as one refusal."""
        outcome = self.outcome
        if isinstance(outcome, HvcReturn):
            return int(outcome.reason is not None), 0
        if not isinstance(outcome, (Done, Refused)):
            return 0, 0
        refused = [record[3] for record in outcome.commands].count(Verdict.REFUSED)
        executed = len(outcome.commands) - refused
        return refused or int(isinstance(outcome, Refused)), executed


def _whole(pfn: int) -> tuple[int, int]:
    """Address and bytes of a page."""
    return pfn << PAGE_SHIFT, PAGE_SIZE


# ---------------------------------------------------------------- H1, H14: memory that hardware uses


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
    for pfn, key, extent in scene.world.users(tuple(given)):
        if extent.written and key not in scene.touched.extents and scene.who.use_of(pfn) != _own_use(scene, key):
            owner = Whose.NAMES[given[pfn]]
            yield Broken(H1, f"Memory that hardware may write as {_NOUN[key[0]]} was given to the {owner}.",
                         *_whole(pfn), key[0])  # fmt: skip


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
            yield Broken(H1, f"Hardware may now write {_NOUN[kind]} in memory of the {owner}.", low, high - low, kind,
                         scene.touched.extents[key])  # fmt: skip
            return
        first = scene.view.pages.foreign(first + 1, pages[-1]) if first < pages[-1] else None


def h14(scene: Scene) -> Iterator[Broken]:
    """A translation or virtual pending table that overlaps the ITS's own queue or tables."""
    for key in scene.touched.extents:
        extent = scene.world.extents.get(key)
        if extent is None:
            continue
        for pfn in extent.pages:
            use = scene.world.own.get(pfn)
            if use is not None and use != _PAGE_USE[key[0]]:
                yield Broken(H14, f"Memory that the hypervisor holds for the ITS ({use}) became {_NOUN[key[0]]} too.",
                             max(extent.addr, pfn << PAGE_SHIFT), 8, key[0], scene.touched.extents[key])  # fmt: skip
                break


# ---------------------------------------------------------------- H2, H8, H9, H10: the pump


def h2(scene: Scene) -> Iterator[Broken]:
    """The hypervisor read a host slot twice in one trap, and the host changed it in between."""
    if scene.deprivileged:
        for addr, length in scene.touched.swapped:
            yield Broken(H2, "The hypervisor read the same host memory twice and the host changed it in between.",
                         addr, length, "host")  # fmt: skip


def h8(scene: Scene) -> Iterator[Broken]:
    """The host's read pointer: not beyond its write pointer, not further than commands were looked at."""
    was = {queue.node: queue for queue in scene.before}
    looked_at = sum(scene.verdicts()) * COMMAND_SIZE
    for queue in scene.queues:
        before = was.get(queue.node)
        if before is None or before.addr != queue.addr or not queue.creadr + queue.cwriter:
            continue  # no queue yet, another one, or reset by a write to GITS_CBASER
        if queue.cwriter >= queue.length:
            continue  # an offset that points nowhere: the pointers cannot be compared
        if isinstance(scene.op, Drive) and queue.creadr < queue.length:
            continue  # a driver writes GITS_CWRITER many times in one op, so that its last value bounds nothing
        moved = (queue.creadr - before.creadr) % queue.length
        if queue.creadr >= queue.length or moved > (queue.cwriter - before.creadr) % queue.length:
            yield Broken(
                H8, "The host's GITS_CREADR is past its GITS_CWRITER.", queue.addr, queue.length, PageUse.QUEUE
            )
        elif moved > looked_at:
            yield Broken(H8, "The host's GITS_CREADR moved over commands that nobody looked at.",
                         queue.addr, queue.length, PageUse.QUEUE)  # fmt: skip


def h9(scene: Scene) -> Iterator[Broken]:
    """An op in which everything was refused must leave ownership and registers as they were."""
    refused, executed = scene.verdicts()
    if not scene.deprivileged or not refused or executed:
        return
    if any(queue.waiting for queue in (*scene.before, *scene.queues)):
        return  # such commands hold pages until the op settles them or takes them back
    for pfn, before, now in scene.changed:
        if now != before:
            yield Broken(H9, "A refused request left a page in another state.", *_whole(pfn), "page")
            return


def h10(scene: Scene) -> Iterator[Broken]:
    """Polling of hardware has a limit: one look for each command of the queue, and two more."""
    for queue in scene.queues:
        limit = queue.length // COMMAND_SIZE + 2
        if queue.polls > limit and queue not in scene.before:
            yield Broken(H10, f"The hypervisor polled hardware {queue.polls} times in one trap, of at most {limit}.",
                         queue.addr, queue.length, "its")  # fmt: skip


# ---------------------------------------------------------------- H3, H4, H7, H15, H16: queue and tables


def h3(scene: Scene) -> Iterator[Broken]:
    """Pages of the hardware's queue and tables that the host can reach (again)."""
    if not scene.deprivileged:
        return
    yield from _returned(scene, [pfn for pfn, _, now in scene.changed if now.whose <= Whose.SHARED])
    for slot in scene.touched.l1:
        page_addr = scene.world.l2.get(slot)
        table = scene.world.tables.get(slot[:2])
        if page_addr is None or table is None or table.use == PageUse.COLLECTION:
            continue
        for pfn in pages_of(page_addr, table.page_bytes):
            if scene.view.pages.page(pfn).whose <= Whose.SHARED:
                yield Broken(H3, f"The hardware's level 1 names a level-2 page of the {table.use} table that the host can write.",
                             *_whole(pfn), Use.L2)  # fmt: skip
                break


def _returned(scene: Scene, frames: Sequence[int]) -> Iterator[Broken]:
    """Of pages that are the host's, those that belong to a recorded queue or table."""
    objects = scene.who.live_objects(min(frames), max(frames)) if frames else ()
    for pfn in frames:
        key = next((key for key, pages in objects if pfn in pages), None)
        if key is not None and not _may_stay(scene, key):
            yield Broken(H3, f"The host got back a page of the hardware's {_NOUN[key[0]]}.", *_whole(pfn), key[0])


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
            if now.valid and (now.physical_address, now.size + 1 << PAGE_SHIFT) != (queue.addr, queue.length):
                yield Broken(rule, "GITS_CBASER names another queue than the one that the hypervisor took.",
                             now.physical_address, now.size + 1 << PAGE_SHIFT, PageUse.QUEUE)  # fmt: skip
        for n, value in enumerate(node.baser):
            table = scene.world.tables.get((number, n))
            if table is not None and _table_changed(table, value):
                register = GITS_BASER.decode(value)
                yield Broken(rule, f"GITS_BASER<n> names another {table.use} table than the one that the hypervisor took.",
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


# ---------------------------------------------------------------- H5, H6, H13: the hypervisor's records


def h5(scene: Scene) -> Iterator[Broken]:
    """Pins against records, on the pages whose state changed."""
    if not scene.deprivileged:
        return
    for pfn, _, now in scene.changed:
        expected = scene.records.pins(pfn)
        if expected is not None and now.pins != expected:
            yield Broken(H5, f"The page has {now.pins} pins and {expected} records.", *_whole(pfn), "page")


def h6(scene: Scene) -> Iterator[Broken]:
    """The recorded pages of a device against what the ITS computes from its MAPD."""
    if not scene.deprivileged:
        return
    for key in scene.touched.extents:
        if key[0] != Use.ITT or key not in scene.world.extents:
            continue
        extent = scene.world.extents[key]
        recorded = scene.records.itt(key[1], key[2], extent.pages)
        if recorded is not None and not recorded.issuperset(extent.pages):
            yield Broken(
                H6, "The recorded pages do not cover the translation table.", extent.addr, extent.length, Use.ITT
            )


def h13(scene: Scene) -> Iterator[Broken]:
    """A vPE in hardware without a record."""
    if not scene.deprivileged:
        return
    for key in scene.touched.extents:
        if key[0] == Use.VPT and key in scene.world.extents and scene.records.vpe(key[1], key[2]) is False:
            extent = scene.world.extents[key]
            yield Broken(
                H13, "Hardware has mapped a vPE that the hypervisor does not know.", extent.addr, extent.length, Use.VPT
            )


# ---------------------------------------------------------------- H11, H12: redistributors


def h11(scene: Scene) -> Iterator[Broken]:
    """The tables of redistributors with LPIs on."""
    if not scene.touched.redistributors:
        return
    guarded = scene.deprivileged and scene.view.guards_redistributors()
    for cpu in scene.touched.redistributors:
        for kind in (Use.CONFIG, Use.PENDING):
            extent = scene.world.ranged.get((kind, cpu, 0))
            if extent is None or not extent.pages:
                continue
            foreign = scene.view.pages.foreign(extent.pages[0], extent.pages[-1])
            if foreign is not None and scene.who.use_of(foreign) != _PAGE_USE[kind]:
                owner = "hypervisor" if scene.view.pages.page(foreign).whose == Whose.HYP else "guest"
                yield Broken(H11, f"LPIs are on with {_NOUN[kind]} in memory of the {owner}.",
                             max(extent.addr, foreign << PAGE_SHIFT), 8, kind)  # fmt: skip
            elif guarded and foreign is None and not all(scene.view.pages.page(pfn).pins for pfn in extent.pages):
                yield Broken(
                    H11, f"LPIs are on with {_NOUN[kind]} that is not pinned.", extent.addr, extent.length, kind
                )


def h12(scene: Scene) -> Iterator[Broken]:
    """One configuration table for all redistributors with LPIs on, where the hypervisor guards them."""
    if not scene.touched.redistributors or not (scene.deprivileged and scene.view.guards_redistributors()):
        return
    named = {}
    for gicr in scene.view.gicrs():
        if gicr.enable_lpis:
            register = GICR_PROPBASER.decode(gicr.propbaser)
            named[register.physical_address, register.id_bits] = register
    if len(named) > 1:
        addr = max(addr for addr, _ in named)
        yield Broken(H12, "Two redistributors with LPIs on name different configuration tables.", addr, 8, Use.CONFIG)


def _table_changed(table: RecordedTable, value: int) -> bool:
    """Whether GITS_BASER<n> names another table than the recorded one; a register that is not Valid names none."""
    now = table_of(value)
    return now is not None and now != table


def _own_use(scene: Scene, key: Key) -> str | None:
    """For which use the pages of an extent may be the ITS's own."""
    if key[0] == Use.TABLE:
        table = table_of(scene.view.nodes()[key[1]].baser[key[2]])
        return None if table is None else table.use
    return _PAGE_USE[key[0]]


_NOUN: Final = {
    Use.ITT: "a translation table",
    Use.VPT: "a virtual pending table",
    Use.VCONF: "a virtual configuration table",
    Use.QUEUE: "command queue",
    Use.TABLE: "a table",
    Use.L2: "level-2 page",
    Use.PENDING: "a pending table",
    Use.CONFIG: "a configuration table",
}
_PAGE_USE: Final = {
    Use.ITT: PageUse.ITT,
    Use.VPT: PageUse.VPT,
    Use.VCONF: PageUse.VCONF,
    Use.PENDING: PageUse.PENDING,
    Use.CONFIG: PageUse.CONFIG,
}


class Invariant(NamedTuple):
    """A rule, the function that finds what breaks it, and the parts of ``Touched`` without which nothing can (``Part``)."""

    rule: Rule
    broken: Callable[[Scene], Iterator[Broken]]
    parts: int


INVARIANTS: Final = (
    Invariant(H1, h1, Part.EXTENTS | Part.PAGES),
    Invariant(H2, h2, Part.SWAPPED),
    Invariant(H3, h3, Part.PAGES | Part.L1),
    Invariant(H4, h4, Part.NODES),
    Invariant(H5, h5, Part.PAGES),
    Invariant(H6, h6, Part.EXTENTS),
    Invariant(H7, h7, Part.L1),
    Invariant(H8, h8, Part.QUEUE),
    Invariant(H9, h9, Part.PAGES),
    Invariant(H10, h10, Part.QUEUE),
    Invariant(H11, h11, Part.REDISTRIBUTORS),
    Invariant(H12, h12, Part.REDISTRIBUTORS),
    Invariant(H13, h13, Part.EXTENTS),
    Invariant(H14, h14, Part.EXTENTS),
    Invariant(H15, h15, Part.NODES),
    Invariant(H16, h16, Part.WALKS),
)


@cache
def concerned(parts: int) -> tuple[Callable[[Scene], Iterator[Broken]], ...]:
    """The invariants that an op can break which touched these parts, in their order."""
    return tuple(row.broken for row in INVARIANTS if row.parts & parts)
