"""Hypothesis strategies for anything declared with ``@layout``: made from the declarations, so they never lag."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from itsbox.arch.layout import Layout

L = TypeVar("L", bound=Layout)

STEADY = settings(derandomize=True, deadline=None)
"""The same examples on every machine, however slow it is."""

ROUND_TRIP = settings(STEADY, max_examples=25)
"""For tests that run once per layout: straight-line code has few ways to be wrong."""


def words_of(cls: type[Layout]) -> st.SearchStrategy[tuple[int, ...]]:
    """Any words at all, as wide as the layout's: opcode and RES0 bits are as random as the fields."""
    return st.tuples(*(st.integers(0, (1 << width) - 1) for width in cls.WIDTHS))


def values_of(cls: type[L]) -> st.SearchStrategy[L]:
    """Any value of the layout whose fields hold what they can hold."""
    fields = {
        name: st.integers(0, bits.mask).map(lambda n, shift=bits.shift: n << shift)  # type: ignore[misc]
        for name, bits in cls.FIELDS.items()
    }
    return st.builds(cls, **fields)
