"""The tree diff that a mismatch prints."""

from __future__ import annotations

from types import MappingProxyType

from itsbox.oracle.diff import MAX_LINES, tree_diff


def test_equal_trees_have_no_difference() -> None:
    """Nothing to say about equal things."""
    assert tree_diff({"a": {"b": 1}}, {"a": {"b": 1}}) == []


def test_a_difference_has_its_path() -> None:
    """Changed, missing and additional leaves, each with the path to it, expected first."""
    expected = {"pages": {"0x1": "host", "0x2": "hyp"}, "phase": "trusted"}
    found = {"pages": {"0x1": "guest", "0x3": "host"}, "phase": "trusted"}

    assert tree_diff(expected, found) == [
        "/pages/0x1: host -> guest",
        "/pages/0x2: hyp -> nothing",
        "/pages/0x3: nothing -> host",
    ]


def test_leaves_of_another_kind_differ() -> None:
    """A subtree against a leaf, on either side, is one difference."""
    assert tree_diff({"a": {"b": 1}}, {"a": 2}) == ["/a: {'b': 1} -> 2"]
    assert tree_diff({"a": 2}, {"a": {"b": 1}}) == ["/a: 2 -> {'b': 1}"]
    assert tree_diff(1, 2) == ["/: 1 -> 2"]


def test_a_leaf_that_is_none_is_told_from_one_that_is_not_there() -> None:
    """None is a value; what is not there has a word of its own."""
    assert tree_diff({"a": None}, {}) == ["/a: None -> nothing"]
    assert tree_diff({}, {"a": None}) == ["/a: nothing -> None"]


def test_lines_come_in_the_order_of_their_keys() -> None:
    """Whatever order the two sides have them in, and keys of different kinds beside each other."""
    assert tree_diff({"b": 1, 10: 1, "a": 1}, {2: 5, "c": 6}) == [
        "/10: 1 -> nothing",
        "/2: nothing -> 5",
        "/a: 1 -> nothing",
        "/b: 1 -> nothing",
        "/c: nothing -> 6",
    ]


def test_any_mapping_is_a_subtree() -> None:
    """A view of a dictionary is walked like one."""
    assert tree_diff(MappingProxyType({"a": 1, "b": 2}), {"a": 1, "b": 3}) == ["/b: 2 -> 3"]


def test_long_differences_are_cut() -> None:
    """Thousands of pages gone wrong are told by the first of them, and how many more they are; forty are told whole."""
    whole = [f"/{n}: 0 -> nothing" for n in range(100, 600)]

    for count, last in ((40, []), (41, ["... and 1 more"]), (500, ["... and 460 more"])):
        trees = {str(n): 0 for n in range(100, 100 + count)}
        assert tree_diff(trees, {}) == [*whole[:MAX_LINES], *last]
    assert MAX_LINES == 40
