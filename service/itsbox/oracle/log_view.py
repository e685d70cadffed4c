"""``View`` and ``Pages`` over what a log has said so far: the oracle's eyes when there is no machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.its_tables import L1_ENTRY_SIZE, level_2_page
from itsbox.arch.values import PAGE_SHIFT, pages_of
from itsbox.hardware.profile import MemoryMap
from itsbox.oracle.pages import Pages, PageState, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.view import Command, Gicr, Node

if TYPE_CHECKING:
    from itsbox.oracle.log_format import PageText
    from itsbox.oracle.world import World

__all__ = ["LogView"]

_OWNERS: Final = {"host": Whose.HOST, "hyp": Whose.HYP, "guest": Whose.GUEST}


class LogView:
    """What a machine with this head looks like, after the lines taken so far.

    now: the phase; node, command: what is being carried out; guards: as the last ``hardware`` line says.

    Invariant: ``_words`` holds level-1 entries only, by address; ``_states`` pages in RAM only.
    Owned by: the judge of one log.
    """

    def __init__(self, head: dict[str, Any]) -> None:
        where = self.map = MemoryMap(**head["map"])
        self.pages: Pages = self
        self.pta: bool = head["pta"]
        self.vmapp_v41: bool = head["vmapp"]
        self.l1_as_qemu: bool = head["l1_as_qemu"]
        self.ite_bytes: int = head["ite_bytes"]
        self.id_bits: int = head["id_bits"]
        self.now = "trusted"
        self.command: Command | None = None
        self.node = 0
        self.guards = False
        self.moved = False
        self._cpus: int = head["cpus"]
        self._nodes = tuple(Node(False, 0, (0,) * 8) for _ in range(head["its"]))
        self._gicrs: tuple[Gicr, ...] = (Gicr(False, 0, 0),) * self._cpus
        self._words: dict[int, int] = {}
        self._overwritten: dict[tuple[int, int], range] = {}
        self._states: dict[int, PageState] = {}
        self._ram = pages_of(where.ram, where.ram_bytes)
        self._hyp = pages_of(where.hyp, where.hyp_bytes)
        self._guest = pages_of(where.guest, where.guest_bytes)
        self._devices = range(where.gicd >> PAGE_SHIFT, where.gicr + self._cpus * where.gicr_stride >> PAGE_SHIFT)

    # ---------------------------------------------------------------- Pages

    def page(self, pfn: int) -> PageState:
        """The page's class, state and pins now."""
        known = self._states.get(pfn)
        if known is not None:
            return known
        if pfn in self._hyp:
            return PageState(Whose.HYP, "OWNED", 0)
        if pfn in self._guest:
            return PageState(Whose.GUEST, "OWNED", 0)
        if pfn in self._ram:
            return PageState(Whose.HOST, "OWNED", 0)
        return PageState(Whose.DEVICE if pfn in self._devices else Whose.MISSING, "OWNED", 0)

    def foreign(self, first: int, last: int) -> int | None:
        """The first frame of [first, last] that is the hypervisor's or a guest's, or None."""
        low, high = max(first, self._ram.start), min(last, self._ram.stop - 1)
        return next((pfn for pfn in range(low, high + 1) if self.page(pfn).whose in (Whose.HYP, Whose.GUEST)), None)

    def set_page(self, pfn: int, text: PageText) -> None:
        """Take a page's new state from a ``page.state`` event. Frames of devices change hands too, and stay devices."""
        if pfn not in self._ram:
            return
        whose = _OWNERS[text.owner]
        shared = whose == Whose.HOST and text.state != "OWNED"
        self._states[pfn] = PageState(Whose.SHARED if shared else whose, text.state, text.pins)

    # ---------------------------------------------------------------- View

    def phase(self) -> str:
        """As the log's lines say."""
        return self.now

    def executing(self) -> tuple[int, Command | None]:
        """The command that the current line names."""
        return self.node, self.command

    def nodes(self) -> tuple[Node, ...]:
        """Every ITS."""
        return self._nodes

    def registers_moved(self) -> bool:
        """Whether a ``hardware`` line came since this was last asked."""
        moved, self.moved = self.moved, False
        return moved

    def gicrs(self) -> tuple[Gicr, ...]:
        """Every redistributor."""
        return self._gicrs

    def is_redistributor(self, addr: int) -> bool:
        """Whether an address is the RD frame of a redistributor."""
        place, rest = divmod(addr - self.map.gicr, self.map.gicr_stride)
        return rest == 0 and 0 <= place < self._cpus

    def guards_redistributors(self) -> bool:
        """As the last ``hardware`` line says."""
        return self.guards

    def maps_device(self, node: int, device_id: int, pfn: int) -> bool:
        """Whether a device's entry, as the log tells, gives it a table that touches a frame: as its command did, unless told."""
        pages = self._overwritten.get((node, device_id))
        return pages is None or pfn in pages

    def level_2(self, word: int, page_bytes: int) -> int | None:
        """The level-2 page of a level-1 entry, as the head says that hardware reads it."""
        return level_2_page(word, page_bytes, as_qemu=self.l1_as_qemu)

    def word(self, addr: int) -> int | None:
        """A level-1 entry, as far as the log has told."""
        return self._words.get(addr, 0)

    def words(self, addr: int, length: int) -> Iterator[tuple[int, int]]:
        """(index, doubleword) of the level-1 entries of a range, as far as the log has told."""
        for at, word in self._words.items():
            if addr <= at < addr + length and word:
                yield (at - addr) // L1_ENTRY_SIZE, word

    # ---------------------------------------------------------------- what lines tell

    def set_hardware(self, data: dict[str, Any]) -> None:
        """Take a ``hardware`` line. Raises ValueError for a level-1 entry outside its table."""
        self._nodes = tuple(Node(each["enabled"], each["cbaser"], each["baser"]) for each in data["its"])
        for node, each in zip(self._nodes, data["its"], strict=True):
            for n, entries in each["level_1"].items():
                self._set_level_1(node.baser[n], entries)
        self._overwritten = {
            (number, device_id): pages_of(addr, length)
            for number, each in enumerate(data["its"])
            for device_id, addr, length in each["overwritten"]
        }
        self._gicrs = tuple(Gicr(*each) for each in data["gicr"])
        self.guards = data["guards_redistributors"]
        self.moved = True

    def _set_level_1(self, baser: int, entries: tuple[tuple[int, int], ...]) -> None:
        table = table_of(baser)
        if table is None:
            raise ValueError("level_1 must be of a table that GITS_BASER<n> names")
        inside = range(table.addr, table.addr + table.length)
        for at in [at for at in self._words if at in inside]:
            del self._words[at]
        for index, word in entries:
            self._set_word(table.addr, table.length, index, word)

    def _set_word(self, addr: int, length: int, index: int, word: int) -> None:
        if index * L1_ENTRY_SIZE >= length:
            raise ValueError(f"index {index} lies outside its level-1 table")
        self._words[addr + index * L1_ENTRY_SIZE] = word

    def mirror(self, world: World, use: str | None, index: int, word: int) -> None:
        """Take a ``shadow.table`` event: the hypervisor mirrored an entry. Raises ValueError for one outside its table."""
        for table in world.tables.values():
            if table.use == use and table.indirect:
                self._set_word(table.addr, table.length, index, word)
