"""Finding a register by any of its bytes."""

from __future__ import annotations

import pytest

from itsbox.arch.layout import Access, LayoutError, Register, register
from itsbox.arch.register_map import find_register, register_map


@register(offset=0x0, width=32, access=Access.RW, spec="a test")
class WORD(Register):
    """A 32-bit register."""


@register(offset=0x10, width=64, access=Access.RW, count=3, stride=16, spec="a test")
class PAIRS(Register):
    """An array with gaps."""


def test_every_element_has_its_row() -> None:
    """Arrays are spread out, in the order of offsets."""
    assert register_map(PAIRS, WORD) == {0x0: WORD, 0x10: PAIRS, 0x20: PAIRS, 0x30: PAIRS}


@pytest.mark.parametrize(
    "offset, name, byte",
    [(0x0, "WORD", 0), (0x3, "WORD", 3), (0x10, "PAIRS0", 0), (0x14, "PAIRS0", 4), (0x37, "PAIRS2", 7)],
)
def test_any_byte_finds_its_register(offset: int, name: str, byte: int) -> None:
    """High halves and single bytes belong to the element that begins before them."""
    place = find_register(register_map(WORD, PAIRS), offset)

    assert place is not None
    assert (place.name, place.byte) == (name, byte)


@pytest.mark.parametrize("offset", [0x4, 0x7, 0x18, 0x1F, 0x40, -4])
def test_a_reserved_place_is_nobody_s(offset: int) -> None:
    """After a 32-bit register, in the gaps of an array, outside the frame."""
    assert find_register(register_map(WORD, PAIRS), offset) is None


def test_registers_may_not_overlap() -> None:
    """Two registers over one another cannot be put into one frame."""

    @register(offset=0x14, width=32, access=Access.RW, spec="a test")
    class OVER(Register):
        """Lies in the upper half of PAIRS0."""

    with pytest.raises(LayoutError, match="PAIRS0 overlaps OVER at 0x14"):
        register_map(OVER, PAIRS)
