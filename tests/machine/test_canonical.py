"""Canonical bytes: equal exactly for equal plain data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itsbox.machine.canonical import canonical

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5)
plain = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def typed(value: Any) -> Any:
    """Tell apart what Python calls equal: True and 1."""
    if isinstance(value, tuple):
        return tuple(map(typed, value))
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return type(value).__name__, value


@given(plain, plain)
def test_equal_bytes_mean_equal_values(one: Any, other: Any) -> None:
    """Two values have the same bytes exactly when they are the same, types included."""
    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


def test_order_of_insertion_does_not_show() -> None:
    """Dicts and sets are ordered by content."""
    assert canonical({"a": 1, "b": 2}) == canonical({"b": 2, "a": 1})
    assert canonical({3, 1, 2}) == canonical({2, 3, 1})


def test_an_object_is_not_plain_data() -> None:
    """State that is not plain data is a defect, named at once."""
    with pytest.raises(TypeError, match="not plain data: object"):
        canonical(object())
