"""From offsets to registers: a frame's registers as one table, arrays spread out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from itsbox.arch.layout import LayoutError, Register

RegisterMap: TypeAlias = dict[int, type[Register]]
"""Byte offset in the frame to register; each element of an array has its own row."""


class Place(NamedTuple):
    """One byte of a frame: the register there, which element of an array, which byte of it."""

    register: type[Register]
    n: int
    byte: int

    @property
    def name(self) -> str:
        """Arm's name of the element, ``GITS_BASER2``."""
        return self.register.element_name(self.n)


def register_map(*registers: type[Register]) -> RegisterMap:
    """Spread out registers and arrays by offset.

    Raises:
        LayoutError: two registers want the same byte.
    """
    table: RegisterMap = {}
    owner: dict[int, type[Register]] = {}
    for register in registers:
        for n, offset in register.elements():
            table[offset] = register
            # Every register is aligned to its width and made of 32-bit halves.
            for half in range(offset, offset + register.SIZE, 4):
                if half in owner:
                    raise LayoutError(f"{register.element_name(n)} overlaps {owner[half].NAME} at {half:#x}")
                owner[half] = register
    return dict(sorted(table.items()))


def find_register(registers: Mapping[int, type[Register]], offset: int) -> Place | None:
    """Find the register that holds the byte at ``offset``; None in a reserved place."""
    for start in (offset & ~3, offset & ~7):
        register = registers.get(start)
        if register is not None and offset - start < register.SIZE:
            return Place(register, (start - register.OFFSET) // register.STRIDE, offset - start)
    return None
