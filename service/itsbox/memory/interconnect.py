"""The interconnect: the one function through which every access to memory goes.

Each access names its initiator, address, size and reason. That single place serves four readers: the bounds of RAM (a bus
error elsewhere), the oracle's judgement (``watch``, called before the access lands), the DMA log and the cache model.

Devices see missing memory as a failed transaction: ``None`` from a read, ``False`` from a write (decision record
"DMA to missing memory"). Whether a *host* access may happen at all is stage 2's question and is asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE
from itsbox.memory.physmem import CODECS, PhysMem

__all__ = ["Initiator", "Interconnect", "NonCoherentInterconnect", "Shape", "Watch", "Why"]

_IN_PAGE: Final = PAGE_SIZE - 1


class Initiator:
    """Who put the access on the bus. Plain ints: they are compared on the hot path."""

    HOST = 0
    HYP = 1
    ITS = 2
    GICR = 3
    DEVICE = 4
    NAMES = ("host", "hyp", "its", "gicr", "device")


class Why:
    """Why the ITS or a redistributor touches memory; one word per row of the DMA table (docs/explanation/dma-surface.md)."""

    COMMAND = "command"
    L1_ENTRY = "l1_entry"
    DTE = "dte"
    CTE = "cte"
    VTE = "vte"
    ITE = "ite"
    PENDING = "pending"
    CONFIG = "config"
    VPT = "vpt"
    VCONF = "vconf"
    RD_BASE = "rd_base"
    HOST = "host"
    HYP = "hyp"


class Shape(NamedTuple):
    """What a device reads as one thing: how its bytes unpack, and the sizes in bytes of the accesses that bring them in."""

    struct: Struct
    accesses: tuple[int, ...]


#: (initiator, is_write, address, length, why) -> None; called before the access lands.
Watch: TypeAlias = Callable[[int, bool, int, int, str], None]


class Interconnect:
    """Memory as the initiators see it, everything coherent.

    ``watch`` is the oracle's ear, or None. ``moves`` counts the writes to registers that say what memory hardware uses, so that
    nobody need compare the registers after each op.
    Invariant: no access reaches ``mem`` outside RAM. Every page that exists lies in RAM, so that an access inside one needs no
    other check; most are.
    """

    __slots__ = ("mem", "moves", "watch")

    def __init__(self, mem: PhysMem) -> None:
        self.mem = mem
        self.watch: Watch | None = None
        self.moves = 0

    def read(self, initiator: int, addr: int, size: int, why: str) -> int | None:
        """``size`` (1, 2, 4, 8) bytes little-endian, or None for a failed transaction."""
        watch = self.watch
        if watch is not None:
            watch(initiator, False, addr, size, why)
        mem, offset = self.mem, addr & _IN_PAGE
        page = mem.pages.get(addr >> PAGE_SHIFT)
        if page is not None and offset + size <= PAGE_SIZE:
            value: int = CODECS[size].unpack_from(page, offset)[0]
            return value
        return mem.read(addr, size) if mem.base <= addr <= mem.end - size else None

    def write(self, initiator: int, addr: int, size: int, value: int, why: str) -> bool:
        """Store ``size`` bytes little-endian; False for a failed transaction."""
        watch = self.watch
        if watch is not None:
            watch(initiator, True, addr, size, why)
        mem, offset = self.mem, addr & _IN_PAGE
        page = mem.writable.get(addr >> PAGE_SHIFT)
        if page is not None and offset + size <= PAGE_SIZE:
            CODECS[size].pack_into(page, offset, value)
            return True
        if not mem.base <= addr <= mem.end - size:
            return False
        mem.write(addr, size, value)
        return True

    def unpack(self, initiator: int, addr: int, shape: Shape, why: str) -> tuple[Any, ...] | None:
        """The values of a ``Shape``, or None if any of its bytes is not RAM."""
        struct, accesses = shape
        watch = self.watch
        if watch is not None:
            at = addr
            for size in accesses:
                watch(initiator, False, at, size, why)
                at += size
        mem, offset, length = self.mem, addr & _IN_PAGE, struct.size
        page = mem.pages.get(addr >> PAGE_SHIFT)
        if page is not None and offset + length <= PAGE_SIZE:
            return struct.unpack_from(page, offset)
        return struct.unpack(mem.load(addr, length)) if mem.base <= addr <= mem.end - length else None

    def load(self, initiator: int, addr: int, length: int, why: str) -> bytes | None:
        """``length`` bytes, or None if any of them is not RAM."""
        watch = self.watch
        if watch is not None:
            watch(initiator, False, addr, length, why)
        return self.mem.load(addr, length) if self.mem.contains(addr, length) else None

    def store(self, initiator: int, addr: int, data: bytes, why: str) -> bool:
        """Store bytes; False, and nothing stored, if any of the range is not RAM."""
        watch = self.watch
        if watch is not None:
            watch(initiator, True, addr, len(data), why)
        mem, offset, length = self.mem, addr & _IN_PAGE, len(data)
        page = mem.writable.get(addr >> PAGE_SHIFT)
        if page is not None and offset + length <= PAGE_SIZE:
            page[offset : offset + length] = data
            return True
        if not mem.base <= addr <= mem.end - length:
            return False
        mem.store(addr, data)
        return True

    def fill(self, initiator: int, addr: int, length: int, byte: int, why: str) -> bool:
        """Fill a range; False, and nothing stored, if any of the range is not RAM."""
        watch = self.watch
        if watch is not None:
            watch(initiator, True, addr, length, why)
        if not self.mem.contains(addr, length):
            return False
        self.mem.fill(addr, length, byte)
        return True

    def clean(self, addr: int, length: int) -> None:
        """Clean a range to the point of coherency: nothing to do, all agents are coherent."""

    def state(self) -> dict[int, bytes]:
        """Cache lines whose memory differs from what the CPUs see, for hashing and snapshots."""
        return {}

    def set_state(self, stale: dict[int, bytes]) -> None:
        """Take back what ``state`` gave."""
        if stale:
            msg = "a coherent interconnect holds no stale lines"
            raise ValueError(msg)


_LINE: Final = 64


class NonCoherentInterconnect(Interconnect):
    """The ITS and the redistributors see memory as of the last clean to the point of coherency.

    ``stale`` maps a 64-byte line address to its bytes at the point of coherency, for the lines that a CPU (host or
    hypervisor) has written since. A device write goes to both, as if the line had been invalidated by whoever reads it.
    """

    __slots__ = ("stale",)

    def __init__(self, mem: PhysMem) -> None:
        super().__init__(mem)
        self.stale: dict[int, bytes] = {}

    def _before_write(self, initiator: int, addr: int, data: bytes) -> None:
        for line in range(addr & -_LINE, addr + len(data), _LINE):
            if initiator <= Initiator.HYP:
                if line not in self.stale:
                    self.stale[line] = self.mem.load(line, _LINE)
            elif line in self.stale:
                old = bytearray(self.stale[line])
                low, high = max(line, addr), min(line + _LINE, addr + len(data))
                old[low - line : high - line] = data[low - addr : high - addr]
                self.stale[line] = bytes(old)

    def read(self, initiator: int, addr: int, size: int, why: str) -> int | None:
        """As the base class; devices read stale lines."""
        data = self.load(initiator, addr, size, why)
        return None if data is None else int.from_bytes(data, "little")

    def unpack(self, initiator: int, addr: int, shape: Shape, why: str) -> tuple[Any, ...] | None:
        """As the base class; devices read stale lines."""
        values = super().unpack(initiator, addr, shape, why)
        if values is None or initiator <= Initiator.HYP or not self.stale:
            return values
        return shape.struct.unpack(self._at_last_clean(addr, self.mem.load(addr, shape.struct.size)))

    def load(self, initiator: int, addr: int, length: int, why: str) -> bytes | None:
        """As the base class; devices read stale lines."""
        data = super().load(initiator, addr, length, why)
        if data is None or initiator <= Initiator.HYP or not self.stale:
            return data
        return self._at_last_clean(addr, data)

    def _at_last_clean(self, addr: int, data: bytes) -> bytes:
        """What a device sees where memory holds ``data``."""
        seen, end = bytearray(data), addr + len(data)
        for line in range(addr & -_LINE, end, _LINE):
            old = self.stale.get(line)
            if old is not None:
                low, high = max(line, addr), min(line + _LINE, end)
                seen[low - addr : high - addr] = old[low - line : high - line]
        return bytes(seen)

    def write(self, initiator: int, addr: int, size: int, value: int, why: str) -> bool:
        """As the base class; a CPU's write stays in its cache."""
        return self.store(initiator, addr, value.to_bytes(size, "little"), why)

    def store(self, initiator: int, addr: int, data: bytes, why: str) -> bool:
        """As the base class; a CPU's write stays in its cache."""
        if self.mem.contains(addr, len(data)):
            self._before_write(initiator, addr, data)
        return super().store(initiator, addr, data, why)

    def fill(self, initiator: int, addr: int, length: int, byte: int, why: str) -> bool:
        """As the base class; a fill by the CPU is taken as cleaned (it is how tables are zeroed and flushed)."""
        if self.mem.contains(addr, length):
            self.clean(addr, length)
        return super().fill(initiator, addr, length, byte, why)

    def clean(self, addr: int, length: int) -> None:
        """Clean a range to the point of coherency."""
        if length > len(self.stale) * _LINE:
            for line in [a for a in self.stale if addr - _LINE < a < addr + length]:
                del self.stale[line]
            return
        for line in range(addr & -_LINE, addr + length, _LINE):
            self.stale.pop(line, None)

    def state(self) -> dict[int, bytes]:
        """The stale lines."""
        return dict(self.stale)

    def set_state(self, stale: dict[int, bytes]) -> None:
        """Take back what ``state`` gave."""
        self.stale = dict(stale)
