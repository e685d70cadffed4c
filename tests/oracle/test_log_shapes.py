"""The small checks of which the format is made: what they take, what they make of it, how they say no."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.oracle.log_shapes import (
    Check,
    Optional,
    anything,
    flag,
    listed,
    one_of,
    optional,
    record,
    text,
    tuple_of,
    whole,
)

DEEP: Any = []
for _ in range(40):
    DEEP = [DEEP]


@pytest.mark.parametrize("check, value, made", [
    (whole(0, 15), 15, 15), (whole(0, 15), "0xf", 15), (whole(-1, 3), -1, -1),
    (flag, True, True), (flag, 0, False),
    (one_of("a", "b"), "a", "a"), (one_of(1, 2), 2, 2),
    (text(3), "h\u00e9y", "h\u00e9y"), (optional(text(3)), None, None),
    (listed(whole(0, 9), 1, 2), [1, "2"], (1, 2)), (tuple_of(whole(0, 9), text(9)), [1, "x"], (1, "x")),
    (record(a=flag, b=Optional(flag, None)), {"a": 1, "z": 5}, {"a": True, "b": None}),
    (anything(dict), {"a": [{"b": 1.5}]}, {"a": [{"b": 1.5}]}),
])  # fmt: skip
def test_what_is_well_formed_is_made_plain(check: Check, value: Any, made: Any) -> None:
    """Strings of numbers are ints, arrays are tuples, what was left out is there."""
    assert check(value) == made
    assert type(check(value)) is type(made)


@pytest.mark.parametrize("check, value, said", [
    (whole(0, 15), 16, "0 to 15"), (whole(0, 15), -1, "0 to 15"), (whole(0, 15), True, "0 to 15"),
    (whole(0, 15), 1.0, "0 to 15"), (whole(0, 15), float("inf"), "not inf"), (whole(0, 15), "0x", "not '0x'"),
    (whole(0, 15), "9" * 5000, r"\.\.\.$"), (whole(0, 15), 10**4000, r"\.\.\.$"), (whole(0, 15), [], "an array"),
    (flag, 2, "true or false"), (flag, 1.0, "true or false"), (flag, "true", "true or false"),
    (one_of("a"), "b", "one of a"), (one_of("a"), ["a"], "an array"), (one_of(1), True, "one of 1"), (one_of(1), 1.0, "one of"),
    (text(3), "four", "at most 3"), (text(3), "\ud800", "text"), (text(3), 3, "text"),
    (listed(flag, 1, 2), [], "1 to 2"), (listed(flag, 1, 1), [5], "true or false"), (listed(flag, 1, 1), {"a": 1}, "an object"),
    (tuple_of(flag), [1, 1], "array of 1"), (tuple_of(flag), "x", "array of 1"),
    (record(a=flag), {}, "a is missing"), (record(a=flag), [], "an object"),
    (record(a=record(b=flag)), {"a": {"b": 7}}, r"a\.b must be true"),
    (anything(dict), [], "an object"), (anything(dict), {"a": DEEP}, "deeper"), (anything(dict), {"\ud800": 1}, "UTF-8"),
])  # fmt: skip
def test_anything_else_is_told_in_a_sentence(check: Check, value: Any, said: str) -> None:
    """With where it stands, and never the whole of a value that has no end."""
    with pytest.raises(ValueError, match=said) as caught:
        check(value)

    assert len(str(caught.value)) < 200
