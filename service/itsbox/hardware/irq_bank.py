"""The per-interrupt registers that a distributor and a redistributor's SGI frame have in common.

SGIs, PPIs and SPIs are not what this machine is about: the bits are kept so that a booting Linux reads back what it wrote,
set and clear registers work on one state, and nothing is ever delivered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from itsbox.arch.dist_registers import (
    GICD_ICACTIVER,
    GICD_ICENABLER,
    GICD_ICFGR,
    GICD_ICPENDR,
    GICD_IGROUPR,
    GICD_IPRIORITYR,
    GICD_ISACTIVER,
    GICD_ISENABLER,
    GICD_ISPENDR,
)

__all__ = ["EDGE", "IrqBank"]

# first byte offset of a bitmap register array, the bitmap, and how a write acts on it
_BITMAPS: Final = (
    (GICD_IGROUPR.OFFSET, "group", "assign"),
    (GICD_ISENABLER.OFFSET, "enabled", "set"),
    (GICD_ICENABLER.OFFSET, "enabled", "clear"),
    (GICD_ISPENDR.OFFSET, "pending", "set"),
    (GICD_ICPENDR.OFFSET, "pending", "clear"),
    (GICD_ISACTIVER.OFFSET, "active", "set"),
    (GICD_ICACTIVER.OFFSET, "active", "clear"),
)


#: The bits of a configuration register that say edge-triggered; the others are RES0.
EDGE: Final = 0xAAAA_AAAA


@dataclass(slots=True)
class IrqBank:
    """State of 32 interrupts a word.

    words: how many; first: words below it are RAZ/WI (a distributor's first word is banked in the redistributors);
    fixed_config: as many configuration registers are read-only (that of the SGIs). There is one security state, so that the
    group modifiers are RAZ/WI.
    ``_kept`` is the last state given or taken, while nothing has been written since: a restore to it costs nothing.
    Invariant: each bitmap has ``words`` words, ``config`` twice and ``priority`` eight times as many.
    """

    words: int
    first: int = 0
    fixed_config: int = 0
    group: list[int] = field(default_factory=list)
    enabled: list[int] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    active: list[int] = field(default_factory=list)
    config: list[int] = field(default_factory=list)
    priority: bytearray = field(default_factory=bytearray)
    _kept: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("group", "enabled", "pending", "active"):
            if not getattr(self, name):
                setattr(self, name, [0] * self.words)
        self.config = self.config or [0] * (2 * self.words)
        self.priority = self.priority or bytearray(32 * self.words)

    def state(self) -> tuple[Any, ...]:
        """Everything, as plain data."""
        if self._kept is not None:
            return self._kept
        bitmaps = (self.group, self.enabled, self.pending, self.active, self.config)
        self._kept = (*(tuple(bitmap) for bitmap in bitmaps), bytes(self.priority))
        return self._kept

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Take back what ``state`` gave."""
        if state is self._kept:
            return
        *bitmaps, priority = state
        self.group, self.enabled, self.pending, self.active, self.config = (list(bitmap) for bitmap in bitmaps)
        self.priority = bytearray(priority)
        self._kept = state

    def read(self, offset: int, size: int) -> int | None:
        """Read, or None if no register of the bank lies at ``offset``."""
        place = self._bitmap(offset, size)
        if place is not None:
            name, _, n = place
            value: int = getattr(self, name)[n]
            return value
        half = self._config(offset, size)
        if half is not None:
            return self.config[half]
        byte = self._priority(offset, size)
        if byte is None:
            return None
        return int.from_bytes(self.priority[byte : byte + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write; ignored where no register of the bank lies."""
        self._kept = None
        place = self._bitmap(offset, size)
        n = self._config(offset, size)
        byte = self._priority(offset, size)
        if place is not None:
            name, act, word = place
            bitmap = getattr(self, name)
            if act == "set":
                bitmap[word] |= value
            elif act == "clear":
                bitmap[word] &= ~value
            else:
                bitmap[word] = value
        elif n is not None:
            if n >= self.fixed_config:
                self.config[n] = value & EDGE
        elif byte is not None:
            self.priority[byte : byte + size] = value.to_bytes(size, "little")

    def _bitmap(self, offset: int, size: int) -> tuple[str, str, int] | None:
        if size == 4 and offset % 4 == 0:
            for base, name, act in _BITMAPS:
                n = (offset - base) // 4
                if self.first <= n < self.words:
                    return name, act, n
        return None

    def _config(self, offset: int, size: int) -> int | None:
        n = (offset - GICD_ICFGR.OFFSET) // 4
        return n if size == 4 and offset % 4 == 0 and 2 * self.first <= n < 2 * self.words else None

    def _priority(self, offset: int, size: int) -> int | None:
        byte = offset - GICD_IPRIORITYR.OFFSET
        fits = 32 * self.first <= byte <= 32 * self.words - size
        return byte if fits and (size == 1 or (size == 4 and byte % 4 == 0)) else None
