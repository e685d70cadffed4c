"""The small checks of which the format is made: what they take, what they make of it, how they say no.

Each check is made anew in its test, so that what makes it is tested too.
"""

from __future__ import annotations

from collections.abc import Callable
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

Make = Callable[[], Check]


def _deep(levels: int) -> Any:
    made: Any = 5
    for _ in range(levels):
        made = [made]
    return made


def _nine() -> Check:
    return whole(0, 9)


@pytest.mark.parametrize("make, value, made", [
    (lambda: whole(0, 15), 15, 15), (lambda: whole(0, 15), 0, 0), (lambda: whole(0, 15), "0xf", 15),
    (lambda: whole(-1, 3), -1, -1), (lambda: whole(-1, 3), "-1", -1), (lambda: whole(0, 9), "0b11", 3),
    (lambda: whole(0, 10**9), "0" * 39 + "0", 0), (lambda: whole(0, 1), "0x" + "0" * 37 + "1", 1),
    (lambda: flag, True, True), (lambda: flag, 0, False), (lambda: flag, 1, True),
    (lambda: one_of("a", "b"), "a", "a"), (lambda: one_of(1, 2), 2, 2), (lambda: one_of("a", 2), 2, 2),
    (lambda: text(3), "h\u00e9y", "h\u00e9y"), (lambda: text(3), "", ""), (lambda: text(1), "\ue000", "\ue000"),
    (lambda: text(1), "\ud7ff", "\ud7ff"),
    (lambda: optional(text(3)), None, None), (lambda: optional(text(3)), "a", "a"),
    (lambda: listed(_nine(), 1, 2), [1, "2"], (1, 2)), (lambda: listed(_nine(), 1, 2), [1], (1,)),
    (lambda: listed(_nine(), 0, 0), [], ()),
    (lambda: tuple_of(_nine(), text(9)), [1, "x"], (1, "x")),
    (lambda: record(a=flag, b=Optional(flag)), {"a": 1, "z": 5}, {"a": True, "b": None}),
    (lambda: record(a=Optional(flag, 7)), {}, {"a": 7}), (lambda: record(a=Optional(flag, 7)), {"a": 0}, {"a": False}),
    (lambda: record(a=Optional(flag), b=_nine()), {"b": 3}, {"a": None, "b": 3}),
    (record, {"a": 1}, {}),
    (lambda: anything(dict), {"a": [{"b": 1.5}]}, {"a": [{"b": 1.5}]}), (lambda: anything(list), _deep(31), _deep(31)),
    (lambda: anything(str), "h\u00e9", "h\u00e9"), (lambda: anything(dict), {}, {}),
])  # fmt: skip
def test_what_is_well_formed_is_made_plain(make: Make, value: Any, made: Any) -> None:
    """Strings of numbers are ints, arrays are tuples, what was left out is there."""
    assert make()(value) == made
    assert type(make()(value)) is type(made)


_TO_15 = "must be 0 to 15, not "
_BIG = "must be a whole number from 0x0 to 0x10000, not "


@pytest.mark.parametrize("make, value, said", [
    (lambda: whole(0, 15), 16, _TO_15 + "0x10"), (lambda: whole(0, 15), -1, _TO_15 + "-0x1"),
    (lambda: whole(0, 15), "16", _TO_15 + "'16'"), (lambda: whole(0, 15), True, _TO_15 + "0x1"),
    (lambda: whole(0, 15), 1.0, _TO_15 + "1.0"), (lambda: whole(0, 15), float("inf"), _TO_15 + "inf"),
    (lambda: whole(0, 15), "0x", _TO_15 + "'0x'"), (lambda: whole(0, 15), "h\u00e9", _TO_15 + "'h\\xe9'"),
    (lambda: whole(0, 15), None, _TO_15 + "None"), (lambda: whole(0, 15), [], _TO_15 + "an array of 0"),
    (lambda: whole(0, 15), {}, _TO_15 + "an object"), (lambda: whole(0, 0xFFFF), -1, "must be 0 to 65535, not -0x1"),
    (lambda: whole(0, 0x10000), 0x10001, _BIG + "0x10001"), (lambda: whole(0, 0x10000), "0" * 41, f"{_BIG}'{'0' * 41}'"),
    (lambda: whole(0, 15), "9" * 5000, f"{_TO_15}'{'9' * 59}..."), (lambda: whole(0, 15), 1 << 400, f"{_TO_15}0x1{'0' * 57}..."),
    (lambda: whole(0, 15), "9" * 58, f"{_TO_15}'{'9' * 58}'"), (lambda: whole(0, 15), "9" * 59, f"{_TO_15}'{'9' * 59}..."),
    (lambda: flag, 2, "must be true or false, not 0x2"), (lambda: flag, 1.0, "must be true or false, not 1.0"),
    (lambda: flag, "true", "must be true or false, not 'true'"),
    (lambda: one_of("a", "b"), "c", "must be one of a, b, not 'c'"),
    (lambda: one_of("a"), ["a"], "must be one of a, not an array of 1"),
    (lambda: one_of(1), True, "must be one of 1, not 0x1"), (lambda: one_of(1), 1.0, "must be one of 1, not 1.0"),
    (lambda: one_of(1, 2), 3, "must be one of 1, 2, not 0x3"),
    (lambda: text(3), "four", "must be a text of at most 3 characters, not 'four'"),
    (lambda: text(3), "\ud800", "must be a text of at most 3 characters, not '\\ud800'"),
    (lambda: text(3), "\udfff", "must be a text of at most 3 characters, not '\\udfff'"),
    (lambda: text(3), 3, "must be a text of at most 3 characters, not 0x3"),
    (lambda: optional(flag), 2, "must be true or false, not 0x2"),
    (lambda: listed(flag, 1, 2), [], "must be an array of 1 to 2, not an array of 0"),
    (lambda: listed(flag, 1, 2), [1, 1, 1], "must be an array of 1 to 2, not an array of 3"),
    (lambda: listed(flag, 2, 2), {"a": 1}, "must be an array of 2, not an object"),
    (lambda: listed(flag, 1, 1), [5], "must be true or false, not 0x5"),
    (lambda: tuple_of(flag), [1, 1], "must be an array of 1, not an array of 2"),
    (lambda: tuple_of(flag), "x", "must be an array of 1, not 'x'"),
    (lambda: tuple_of(flag, _nine()), [1, 10], "must be 0 to 9, not 0xa"),
    (lambda: record(a=flag), {}, "a is missing"), (lambda: record(a=flag), [], "must be an object, not an array of 0"),
    (lambda: record(a=flag), {"a": 5}, "a must be true or false, not 0x5"),
    (lambda: record(a=record(b=flag)), {"a": {"b": 7}}, "a.b must be true or false, not 0x7"),
    (lambda: record(a=record(b=flag)), {"a": {}}, "a.b is missing"),
    (lambda: anything(dict), [], "must be an object, not an array of 0"),
    (lambda: anything(dict), {"a": _deep(31)}, "must not be nested deeper than 32"),
    (lambda: anything(list), _deep(32), "must not be nested deeper than 32"),
    (lambda: anything(dict), {"\ud800": 1}, "must be UTF-8"), (lambda: anything(dict), {"a": ["\udc00"]}, "must be UTF-8"),
])  # fmt: skip
def test_anything_else_is_told_in_a_sentence(make: Make, value: Any, said: str) -> None:
    """With where it stands, and never the whole of a value that has no end."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole sentence is compared
        make()(value)

    assert str(caught.value) == said
