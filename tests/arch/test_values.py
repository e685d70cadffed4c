"""Pages, alignment and INTID ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.values import (
    FIRST_LPI,
    PAGE_SIZE,
    SIZE_64K,
    SPURIOUS_INTID,
    align_down,
    align_up,
    is_aligned,
    is_lpi,
    pa_of,
    pages_of,
    pfn_of,
)
from tests.arch.strategies import STEADY

addresses = st.integers(0, (1 << 52) - 1)
alignments = st.integers(0, 20).map(lambda n: 1 << n)


@STEADY
@given(pa=addresses)
def test_a_frame_holds_its_address(pa: int) -> None:
    """A frame's first byte is at or below the address, by less than a page."""
    assert 0 <= pa - pa_of(pfn_of(pa)) < PAGE_SIZE


@STEADY
@given(value=addresses, alignment=alignments)
def test_alignment_up_and_down_enclose_the_value(value: int, alignment: int) -> None:
    """Both results are aligned, and they are equal exactly for an aligned value."""
    down, up = align_down(value, alignment), align_up(value, alignment)

    assert down <= value <= up < value + alignment
    assert is_aligned(down, alignment)
    assert is_aligned(up, alignment)
    assert (down == up) == is_aligned(value, alignment)


def test_pages_of_a_range_include_both_ends() -> None:
    """Two bytes across a border touch two pages; nothing touches none."""
    assert list(pages_of(PAGE_SIZE - 1, 2)) == [0, 1]
    assert list(pages_of(0x4000_0000, SIZE_64K)) == list(range(0x40000, 0x40010))
    assert list(pages_of(0x4000_0000, 0)) == []


def test_lpis_begin_at_8192() -> None:
    """Neither the last INTID below nor 'no interrupt' is an LPI."""
    assert [is_lpi(i) for i in (SPURIOUS_INTID, FIRST_LPI - 1, FIRST_LPI)] == [False, False, True]
