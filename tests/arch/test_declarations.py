"""The list of everything declared: complete, and every bit of it accounted for."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest

from itsbox.arch import dist_registers, its_commands, its_registers, its_tables, lpi_tables, redist_registers
from itsbox.arch.declarations import COMMANDS, REGISTERS, TABLES, bit_ranges
from itsbox.arch.layout import Layout, Register

EVERYTHING: list[type[Layout]] = [*COMMANDS, *TABLES, *(r for group in REGISTERS.values() for r in group)]


@pytest.mark.parametrize(
    "module, listed",
    [
        (its_commands, COMMANDS),
        (its_tables, TABLES),
        (lpi_tables, TABLES),
        (its_registers, REGISTERS["GITS"]),
        (redist_registers, REGISTERS["GICR"]),
        (dist_registers, REGISTERS["GICD"]),
    ],
    ids=["commands", "tables", "LPI tables", "GITS", "GICR", "GICD"],
)
def test_whatever_a_module_declares_is_listed(module: object, listed: tuple[type[Layout], ...]) -> None:
    """A layout that is left out of the list would be missing from the reference, the API and the fuzz grammar."""
    declared = {
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, Layout) and cls.__module__ == module.__name__  # type: ignore[attr-defined]
    }

    assert declared
    assert declared <= set(listed)


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda c: c.__name__)
def test_the_ranges_of_a_layout_cover_each_bit_once(cls: type[Layout]) -> None:
    """From the top bit to bit 0 of every word, without gap or overlap, and RES0 where RES0 says."""
    for word, width in enumerate(cls.WIDTHS):
        ranges = [(hi, lo, what) for w, hi, lo, what in bit_ranges(cls) if w == word]
        reserved = sum(((1 << hi - lo + 1) - 1) << lo for hi, lo, what in ranges if what == "RES0")

        assert ranges[0][0] == width - 1
        assert ranges[-1][1] == 0
        assert all(lo == next_hi + 1 for (_, lo, _), (next_hi, _, _) in pairwise(ranges))
        assert reserved == cls.RES0[word]


def test_the_opcode_and_res1_are_named() -> None:
    """Constant bits of a command are its opcode; those of a table entry are RES1."""
    assert [r[3] for r in bit_ranges(its_commands.MAPD) if r[0] == 0] == ["device_id", "RES0", "OPCODE"]
    assert list(bit_ranges(lpi_tables.LPIConfig)) == [(0, 7, 2, "priority"), (0, 1, 1, "RES1"), (0, 0, 0, "enable")]


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda c: c.__name__)
def test_every_declaration_says_what_it_is(cls: type[Layout]) -> None:
    """A sentence, a source, and Arm's name for each field."""
    assert cls.SUMMARY.endswith(".")
    assert cls.SPEC
    assert cls.SINCE in {"GICv3", "GICv3.1", "GICv4", "GICv4.1"}
    assert all(b.arm for b in cls.FIELDS.values())


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda c: c.__name__)
def test_named_values_fit_their_fields(cls: type[Layout]) -> None:
    """An enumeration names no value that its field cannot hold."""
    for b in cls.FIELDS.values():
        assert all(0 <= value <= b.mask for value in b.values)


@pytest.mark.parametrize("frame", REGISTERS)
def test_registers_of_a_frame_carry_its_prefix(frame: str) -> None:
    """The list by frame holds what it says."""
    registers: tuple[type[Register], ...] = REGISTERS[frame]

    assert all(r.NAME.startswith(f"{frame}_") for r in registers)
    assert len({r.__name__ for r in registers}) == len(registers)


def test_a_reset_value_fits_and_leaves_reserved_bits_zero() -> None:
    """For every register that has one."""
    for registers in REGISTERS.values():
        for r in registers:
            assert r.RESET is None or r.RESET & ~(((1 << r.WIDTH) - 1) & ~r.RES0[0]) == 0, r.NAME
