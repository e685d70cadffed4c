"""The frozen list of everything that ``arch`` declares: each register, command and table entry once.

What is made from the declarations (``catalogue``, ``reference_pages``, strategies and grammars) begins
here, so that a new register is in all of it as soon as it is in its frame's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from itsbox.arch import dist_registers, its_commands, its_registers, its_tables, redist_registers
from itsbox.arch.layout import Layout, Register
from itsbox.arch.lpi_tables import LPIConfig, VPEFlags, VSGIConfig

COMMANDS: Final[tuple[type[Layout], ...]] = tuple(
    sorted({*its_commands.COMMANDS.values(), *its_commands.COMMANDS_V41.values()}, key=lambda c: (c.MATCH, c.SINCE))
)
"""Every command layout by opcode, GICv4.0 before GICv4.1."""

TABLES: Final[tuple[type[Layout], ...]] = (
    its_tables.L1Entry,
    its_tables.L1Entry_QEMU,
    its_tables.DTE,
    its_tables.CTE,
    its_tables.CTE_PTA,
    its_tables.ITE,
    its_tables.VTE,
    its_tables.VTE_V41,
    LPIConfig,
    VSGIConfig,
    VPEFlags,
)
"""Every entry of a table in memory."""


def _unique(registers: Iterable[type[Register]]) -> tuple[type[Register], ...]:
    return tuple(sorted(set(registers), key=lambda r: (r.OFFSET + r.FIRST * r.STRIDE, r.SINCE)))


REGISTERS: Final[dict[str, tuple[type[Register], ...]]] = {
    "GITS": _unique(its_registers.REGISTERS.values()),
    "GICR": _unique([*redist_registers.REGISTERS_V4.values(), *redist_registers.REGISTERS_V41.values()]),
    "GICD": _unique(dist_registers.REGISTERS.values()),
}
"""Frame to its registers, by offset; arrays once."""


def bit_ranges(cls: type[Layout]) -> Iterator[tuple[int, int, int, str]]:
    """Yield (word, hi, lo, what) for every bit of a layout, each word from its top.

    ``what`` is a field's name, or RES0, RES1, OPCODE for bits that are no field's. RES1 is a constant bit of an entry.
    """
    for word, width in enumerate(cls.WIDTHS):
        owner = ["RES0"] * width
        if word == 0:
            constant = "OPCODE" if cls.MATCH_MASK == its_commands.OPCODE_MASK else "RES1"
            owner = [constant if cls.MATCH_MASK >> n & 1 else "RES0" for n in range(width)]
        for name, b in cls.FIELDS.items():
            if b.word == word:
                owner[b.lo : b.hi + 1] = [name] * (b.hi - b.lo + 1)
        hi = width - 1
        for n in range(width - 1, -1, -1):
            if n == 0 or owner[n - 1] != owner[n]:
                yield word, hi, n, owner[n]
                hi = n - 1
