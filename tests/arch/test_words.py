"""Halves of 64-bit registers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from itsbox.arch.words import high_half, low_half, with_high_half, with_low_half
from tests.arch.strategies import STEADY

doublewords = st.integers(0, (1 << 64) - 1)
words = st.integers(0, (1 << 32) - 1)


@STEADY
@given(value=doublewords)
def test_the_halves_make_the_whole(value: int) -> None:
    """Low and high half together lose nothing."""
    assert high_half(value) << 32 | low_half(value) == value


@STEADY
@given(value=doublewords, half=words)
def test_writing_one_half_leaves_the_other(value: int, half: int) -> None:
    """A 32-bit write changes its half only."""
    low, high = with_low_half(value, half), with_high_half(value, half)

    assert (low_half(low), high_half(low)) == (half, high_half(value))
    assert (low_half(high), high_half(high)) == (low_half(value), half)


@STEADY
@given(value=doublewords, wide=doublewords)
def test_a_half_takes_32_bits_only(value: int, wide: int) -> None:
    """What does not fit the half is cut off."""
    assert with_low_half(value, wide) == with_low_half(value, wide & 0xFFFF_FFFF)
    assert with_high_half(value, wide) == with_high_half(value, wide & 0xFFFF_FFFF)
