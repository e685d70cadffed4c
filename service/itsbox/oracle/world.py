"""What the oracle itself remembers: which memory the hardware uses for what, and how each page came to be the hypervisor's.

Nothing in here is taken from the hypervisor's records. Devices and vPEs are learned from the entries that the ITS writes,
queue and tables from the hardware's registers, ownership from the pages' own transitions.

**The ITS's own memory.** A page of the hypervisor is the ITS's own, for one use, only if the host gave it up *for that use*: it
became the hypervisor's in the same step in which the structure that covers it was established (the whole queue or table at
takeover, a level-2 page with its level-1 entry, a translation table with its MAPD). Every other page of the hypervisor is
private: its carve-out, its state, a page that the host gave away for some other purpose and then names in a command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.arch.values import ADDRESS_BITS, PAGE_SHIFT, pages_of

__all__ = ["Extent", "Key", "RecordedTable", "Use", "World"]

#: What an extent is: kind, the ITS's or redistributor's number, and an id (DeviceID, vPEID, level-1 slot, table number).
Key: TypeAlias = tuple[str, int, int]


_BLOCK_SHIFT: Final = 16  # a table is seldom larger, so that it is in few blocks, and few others with it


class Use:
    """Kinds of structure that hardware uses memory for; first part of a ``Key``."""

    ITT: Final = "itt"
    VPT: Final = "vpt"
    VCONF: Final = "vconf"
    QUEUE: Final = "queue"
    TABLE: Final = "table"
    L2: Final = "l2"
    PENDING: Final = "pending"
    CONFIG: Final = "config"


class Extent(NamedTuple):
    """A range of memory: physical address and bytes; ``written``: hardware may write it."""

    addr: int
    length: int
    written: bool

    @property
    def pages(self) -> range:
        """The frames that it touches."""
        return pages_of(self.addr, self.length)

    @property
    def blocks(self) -> range:
        """The blocks of frames that it touches (``World.in_block``)."""
        return range(self.addr >> _BLOCK_SHIFT, (self.addr + self.length - 1 >> _BLOCK_SHIFT) + 1)

    def covers(self, pfn: int) -> bool:
        """Whether any byte of the frame belongs to it."""
        return self.addr >> PAGE_SHIFT <= pfn <= (self.addr + self.length - 1) >> PAGE_SHIFT


class RecordedTable(NamedTuple):
    """A table as it was when the hypervisor took it; what GITS_BASER<n> must go on naming (H4).

    addr, length: level 1, or the whole flat table; use: of its last level (``PageUse``); indirect; page_bytes: bytes of a
    level-2 page; per_page: entries in one.
    """

    addr: int
    length: int
    use: str
    indirect: bool
    page_bytes: int
    per_page: int


@dataclass(slots=True)
class World:
    """The oracle's memory; plain data.

    own: frame -> the use for which it is the ITS's own; extents: translation and virtual tables that hardware uses, by key;
    in_block: 64 KB block -> keys of ``extents``, which are cut off at ``end``, where memory ends; ranged: the few large extents
    (flat tables, pending and configuration tables), found by looking at each; queues, tables: what was recorded at takeover,
    by ITS and by (ITS, n); l2: (ITS, n, level-1 slot) -> address of the level-2 page that the hardware's entry names; resting:
    (kind, ITS, table) -> the extents of a table that the ITS does not use at present; level_1: frames of the recorded level-1
    tables.

    Invariant: ``in_block`` lists exactly the blocks of ``extents``. While ``shared``, the dictionaries also belong to a snapshot
    and are copied before the first change.
    Owned by: the oracle.
    """

    own: dict[int, str] = field(default_factory=dict)
    extents: dict[Key, Extent] = field(default_factory=dict)
    in_block: dict[int, tuple[Key, ...]] = field(default_factory=dict)
    ranged: dict[Key, Extent] = field(default_factory=dict)
    queues: dict[int, Extent] = field(default_factory=dict)
    tables: dict[tuple[int, int], RecordedTable] = field(default_factory=dict)
    l2: dict[tuple[int, int, int], int] = field(default_factory=dict)
    resting: dict[tuple[str, int, int], dict[Key, Extent]] = field(default_factory=dict)
    level_1: set[int] = field(default_factory=set)
    shared: bool = False
    end: int = 1 << ADDRESS_BITS

    # ---------------------------------------------------------------- changes

    def _unshare(self) -> None:
        if self.shared:
            for name in _PARTS:
                setattr(self, name, dict(getattr(self, name)))
            self.shared = False

    def put(self, key: Key, extent: Extent | None) -> None:
        """Set or forget an ITT, VPT or VCONF."""
        if extent is not None and extent.addr + extent.length > self.end:
            extent = extent._replace(length=max(1, self.end - extent.addr))  # nothing is to be harmed beyond
        if self.extents.get(key) == extent:
            return
        self._unshare()
        old = self.extents.pop(key, None)
        if old is not None:
            for block in old.blocks:
                left = tuple(k for k in self.in_block[block] if k != key)
                if left:
                    self.in_block[block] = left
                else:
                    del self.in_block[block]
        if extent is not None:
            self.extents[key] = extent
            for block in extent.blocks:
                self.in_block[block] = (*self.in_block.get(block, ()), key)

    def put_ranged(self, key: Key, extent: Extent | None) -> None:
        """Set or forget a queue, table, pending or configuration table."""
        if self.ranged.get(key) != extent:
            self._unshare()
            if extent is None:
                del self.ranged[key]
            else:
                self.ranged[key] = extent

    def rest(self, kind: str, node: int, table: int) -> None:
        """An ITS uses a table no more, given by its address: hardware finds nothing of what its entries made."""
        gone = {key: extent for key, extent in self.extents.items() if key[0] == kind and key[1] == node}
        self._unshare()
        for key in gone:
            self.put(key, None)
        self.resting[kind, node, table] = gone

    def wake(self, kind: str, node: int, table: int) -> None:
        """An ITS uses a table (again): hardware finds what its entries made when it used it before."""
        if (kind, node, table) in self.resting:
            self._unshare()
            for key, extent in self.resting.pop((kind, node, table)).items():
                self.put(key, extent)

    def give(self, pfn: int, use: str | None) -> None:
        """Note that a page of the hypervisor is the ITS's own for a use, or no longer."""
        if self.own.get(pfn) != use:
            self._unshare()
            if use is None:
                del self.own[pfn]
            else:
                self.own[pfn] = use

    def record_queue(self, node: int, extent: Extent) -> None:
        """Note the queue that the hypervisor took."""
        self._unshare()
        self.queues[node] = extent

    def record_table(self, node: int, n: int, table: RecordedTable) -> None:
        """Note a table that the hypervisor took."""
        self._unshare()
        self.tables[node, n] = table
        self._note_level_1()

    def _note_level_1(self) -> None:
        self.level_1 = {
            pfn for table in self.tables.values() if table.indirect for pfn in pages_of(table.addr, table.length)
        }

    def set_l2(self, slot: tuple[int, int, int], addr: int | None) -> None:
        """Note what a level-1 entry of the hardware's table names."""
        if self.l2.get(slot) != addr:
            self._unshare()
            if addr is None:
                del self.l2[slot]
            else:
                self.l2[slot] = addr

    # ---------------------------------------------------------------- questions

    def mapped(self, pfn: int) -> Iterator[tuple[Key, Extent]]:
        """The translation and virtual tables that touch a frame."""
        for key in self.in_block.get(pfn >> _BLOCK_SHIFT - PAGE_SHIFT, ()):
            extent = self.extents[key]
            if extent.covers(pfn):
                yield key, extent

    def users(self, frames: Sequence[int]) -> Iterator[tuple[int, Key, Extent]]:
        """(frame, key, extent) of the extents that touch each of some frames."""
        if not frames:
            return
        low, high = min(frames) << PAGE_SHIFT, max(frames) + 1 << PAGE_SHIFT
        near = [
            (key, extent)
            for key, extent in self.ranged.items()
            if extent.addr < high and low < extent.addr + extent.length
        ]
        for pfn in frames:
            for key, extent in self.mapped(pfn):
                yield pfn, key, extent
            for key, extent in near:
                if extent.covers(pfn):
                    yield pfn, key, extent

    def table_at(self, addr: int) -> tuple[tuple[int, int], RecordedTable] | None:
        """The recorded two-level table whose level 1 holds an address."""
        for key, table in self.tables.items():
            if table.indirect and table.addr <= addr < table.addr + table.length:
                return key, table
        return None

    # ---------------------------------------------------------------- snapshots

    def state(self) -> tuple[dict[Any, Any], ...]:
        """Plain data for snapshots; not to be changed."""
        self.shared = True
        return tuple(getattr(self, name) for name in _PARTS)

    def set_state(self, state: tuple[dict[Any, Any], ...]) -> None:
        """Take back what ``state`` gave."""
        tables = self.tables
        for name, part in zip(_PARTS, state, strict=True):
            setattr(self, name, part)
        self.shared = True
        if self.tables is not tables:
            self._note_level_1()


_PARTS: Final = ("own", "extents", "in_block", "ranged", "queues", "tables", "l2", "resting")
