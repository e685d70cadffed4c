"""Register rows: which accesses a frame answers, written down as a table (IHI 0069H.b, register accesses).

A 32-bit register answers 4-byte accesses at its offset. A 64-bit one answers 8-byte accesses, and 4-byte accesses to
either half; a write to a half goes through the register's own rule with the other half as it reads. Everything else in the
frame is RAZ/WI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from itsbox.arch.words import high_half, low_half, with_high_half, with_low_half

__all__ = ["Rows"]

D = TypeVar("D")


class Rows(Generic[D]):
    """The rows of one frame of a device ``D``, by (offset, access size in bytes)."""

    __slots__ = ("reads", "writes")

    def __init__(self) -> None:
        self.reads: dict[tuple[int, int], Callable[[D], int]] = {}
        self.writes: dict[tuple[int, int], Callable[[D, int], None]] = {}

    def row32(self, offset: int, get: Callable[[D], int], put: Callable[[D, int], None] | None = None) -> None:
        """Declare a 32-bit register; read-only without ``put``."""
        self.reads[offset, 4] = get
        if put is not None:
            self.writes[offset, 4] = put

    def row64(self, offset: int, get: Callable[[D], int], put: Callable[[D, int], None] | None = None) -> None:
        """Declare a 64-bit register; read-only without ``put``."""
        self.reads[offset, 8] = get
        self.reads[offset, 4] = lambda device: low_half(get(device))
        self.reads[offset + 4, 4] = lambda device: high_half(get(device))
        if put is not None:
            self.writes[offset, 8] = put
            self.writes[offset, 4] = lambda device, half: put(device, with_low_half(get(device), half))
            self.writes[offset + 4, 4] = lambda device, half: put(device, with_high_half(get(device), half))

    def read(self, device: D, offset: int, size: int) -> int:
        """Read a register of ``device``; 0 where no row answers."""
        row = self.reads.get((offset, size))
        return 0 if row is None else row(device)

    def write(self, device: D, offset: int, size: int, value: int) -> None:
        """Write a register of ``device``; ignored where no row answers."""
        row = self.writes.get((offset, size))
        if row is not None:
            row(device, value)
