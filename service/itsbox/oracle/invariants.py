"""The invariants H1 to H16: what must hold between any two ops, one function each.

A function takes the ``Scene`` after an op and yields what is wrong; it looks at what the op touched and at nothing else, so an
op pays for what it did. H1 always applies: there is something to protect under every preset. The others bind a hypervisor,
so they apply once the host is deprivileged and to what the hypervisor has taken on: it cannot break its word about a queue,
a table or a redistributor that it never took. What such a hole leads to, the DMA check and H1 see when it is used.

Source: docs/explanation/dma-surface.md 7. Sentences are this project's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from itsbox.arch.its_commands import COMMAND_SIZE, COMMANDS, OPCODE_MASK
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, baser_address
from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry, l2_address
from itsbox.arch.redist_registers import GICR_PROPBASER
from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE, is_aligned, pages_of
from itsbox.ops import Done, Drive, HvcReturn, MmioWrite, Refused, Verdict
from itsbox.oracle.pages import PageUse, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.rules import H1, H2, H3, H4, H5, H6, H7, H8, H9, H10, H11, H12, H13, H14, H15, H16
from itsbox.oracle.touched import Part
from itsbox.oracle.violations import Rule
from itsbox.oracle.world import Extent, Key, RecordedTable, Use

if TYPE_CHECKING:
    from itsbox.arch.layout import Register
    from itsbox.arch.register_map import Place
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

    place: finds the register of the GIC at an address; changed: (frame, state before, state now) of the pages that the op
    touched; half: it writes half of a 64-bit register; before, queues: the host's queues before and after it.
    Owned by: the oracle, which sets the scene anew for each op; the first six stay.
    """

    world: World
    view: View
    who: Provenance
    records: Records
    touched: Touched
    place: Callable[[int], Place | None]
    op: Op
    outcome: Outcome
    deprivileged: bool = False
    changed: Sequence[tuple[int, PageState, PageState]] = ()
    half: bool = False
    before: tuple[HostQueue, ...] = ()
    queues: tuple[HostQueue, ...] = ()

    def waiting(self) -> bool:
        """Whether accepted commands wait in a hardware queue, or did when the op began."""
        return any(queue.waiting for queue in (*self.before, *self.queues))

    def writes(self, register: type[Register]) -> bool:
        """Whether the op writes a register, or half of it."""
        place = self.place(self.op.addr) if isinstance(self.op, MmioWrite) else None
        return place is not None and place.register is register

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
    for pfn, key, extent in (*scene.world.users(tuple(given)), *_loose_level_2(scene, given)):
        if key[0] == Use.ITT and not scene.view.maps_device(key[1], key[2], pfn):
            continue  # the host's own hand took it out of the table
        if extent.written and key not in scene.touched.extents and scene.who.use_of(pfn) != _own_use(scene, key):
            owner = Whose.NAMES[given[pfn]]
            yield Broken(H1, f"Memory that hardware may write as {_NOUN[key[0]]} was given to the {owner}.",
                         *_whole(pfn), key[0])  # fmt: skip


def _loose_level_2(scene: Scene, given: Collection[int]) -> Iterator[tuple[int, Key, Extent]]:
    """(frame, key, extent) of the pages that are level-2 pages of a table that the hypervisor did not take."""
    if not given:
        return
    for number, node in enumerate(scene.view.nodes()):
        for n, value in enumerate(node.baser):
            table = table_of(value)
            if table is None or not table.indirect or not node.enabled or (number, n) in scene.world.tables:
                continue
            for _, word in scene.view.words(table.addr, table.length):
                entry = L1Entry.decode(word)
                extent = Extent(l2_address(entry, table.page_bytes), table.page_bytes, True)
                if entry.valid:
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
        if scene.world.own.keys().isdisjoint(extent.pages):
            continue
        for pfn in extent.pages:
            use = scene.world.own.get(pfn)
            if use is not None and use != _PAGE_USE[key[0]]:
                yield Broken(H14, f"Memory that the hypervisor holds for the ITS ({use}) became {_NOUN[key[0]]} too.",
                             max(extent.addr, pfn << PAGE_SHIFT), 8, key[0], scene.touched.extents[key])  # fmt: skip
                break


# ---------------------------------------------------------------- H2, H8, H9, H10: the pump


def h2(scene: Scene) -> Iterator[Broken]:
    """What the hypervisor looked at is what reaches the hardware: nothing changes in between, nothing comes unseen."""
    if not scene.deprivileged:
        return
    for addr, length in scene.touched.swapped:
        yield Broken(H2, "The hypervisor read the same host memory twice and the host changed it in between.",
                     addr, length, "host")  # fmt: skip
    # A driver's op is many traps, and what waited was looked at in an earlier one.
    if isinstance(scene.op, Drive) or not isinstance(scene.outcome, (Done, Refused)) or scene.waiting():
        return
    looked = scene.records.looked()
    if looked is None:
        return
    for slot, name, words, verdict, *_ in scene.outcome.commands:
        if verdict != Verdict.REFUSED and words not in looked:
            addr = scene.queues[0].addr + slot * COMMAND_SIZE if scene.queues else 0
            yield Broken(H2, "A command reached the hardware that the hypervisor did not look at.",
                         addr, COMMAND_SIZE, PageUse.QUEUE, (slot, name, words))  # fmt: skip
            return


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
        if not queue.creadr and scene.writes(GITS_CBASER):
            continue  # a write of GITS_CBASER sets GITS_CREADR to 0, whatever GITS_CWRITER is (IHI 0069H.b, GITS_CBASER)
        moved = (queue.creadr - before.creadr) % queue.length
        if queue.creadr >= queue.length or moved > (queue.cwriter - before.creadr) % queue.length:
            yield Broken(
                H8, "The host's GITS_CREADR is past its GITS_CWRITER.", queue.addr, queue.length, PageUse.QUEUE
            )
        elif moved > looked_at:
            yield Broken(H8, "The host's GITS_CREADR moved over commands that nobody looked at.",
                         queue.addr, queue.length, PageUse.QUEUE)  # fmt: skip


def h9(scene: Scene) -> Iterator[Broken]:
    """What was refused must leave no page behind. Where other commands were carried out, pages may change on their account."""
    refused, executed = scene.verdicts()
    if not scene.deprivileged or not refused or isinstance(scene.op, Drive):
        return
    if scene.waiting():
        return  # such commands hold pages until the op settles them or takes them back
    for pfn, before, now in scene.changed:
        if now != before and (not executed or _unaccounted(scene, pfn, now)):
            yield Broken(H9, "A refused request left a page in another state.", *_whole(pfn), "page")
            return
    if executed:
        yield from _level_2_of_refused(scene)


def _unaccounted(scene: Scene, pfn: int, now: PageState) -> bool:
    """Whether nothing that was carried out explains that the host gave or shared a page."""
    if now.whose == Whose.HYP:
        return scene.who.use_of(pfn) is None
    return now.whose == Whose.SHARED and not now.pins and scene.records.pins(pfn) == 0


def _level_2_of_refused(scene: Scene) -> Iterator[Broken]:
    """Level-2 pages of devices that only a refused command needed."""
    if not isinstance(scene.outcome, (Done, Refused)):
        return
    needed: set[int] = set()
    asked: set[int] = set()
    for _, _, words, verdict, *_ in scene.outcome.commands:
        layout = COMMANDS.get(words[0] & OPCODE_MASK)
        if layout is not None and "device_id" in layout.FIELDS:
            device_id = layout.decode(*words).device_id  # type: ignore[attr-defined]
            (asked if verdict == Verdict.REFUSED else needed).add(device_id)
    for node, n, slot in scene.touched.l1:
        table, page = scene.world.tables.get((node, n)), scene.world.l2.get((node, n, slot))
        if (
            table is None
            or page is None
            or table.use != PageUse.DEVICE
            or page >> PAGE_SHIFT not in scene.touched.pages
        ):
            continue
        ids = range(slot * table.per_page, (slot + 1) * table.per_page)
        if any(i in ids for i in asked) and not any(i in ids for i in needed):
            yield Broken(
                H9, "A refused request left a level-2 page in the hardware's table.", page, table.page_bytes, Use.L2
            )
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
    yield from _returned(scene, [pfn for pfn, was, now in scene.changed if now.whose <= Whose.SHARED < was.whose])
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
    given = [pfn for pfn, was, now in scene.changed if now.whose in (Whose.HYP, Whose.GUEST) and now.whose != was.whose]
    for pfn, key, _ in scene.world.users(given):
        if key[0] == Use.CONFIG and scene.who.use_of(pfn) != PageUse.CONFIG:
            yield Broken(H11, f"LPIs are on and {_NOUN[key[0]]} was given away.", *_whole(pfn), key[0])
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
    """Whether GITS_BASER<n> names another table than the recorded one, or none."""
    return table_of(value) != table


def _own_use(scene: Scene, key: Key) -> str | None:
    """For which use the pages of an extent may be the ITS's own."""
    if key[0] in (Use.TABLE, Use.L2):
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
    Invariant(H2, h2, Part.SWAPPED | Part.QUEUE),
    Invariant(H3, h3, Part.PAGES | Part.L1),
    Invariant(H4, h4, Part.NODES),
    Invariant(H5, h5, Part.PAGES),
    Invariant(H6, h6, Part.EXTENTS),
    Invariant(H7, h7, Part.L1),
    Invariant(H8, h8, Part.QUEUE),
    Invariant(H9, h9, Part.PAGES),
    Invariant(H10, h10, Part.QUEUE),
    Invariant(H11, h11, Part.REDISTRIBUTORS | Part.PAGES),
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
