"""The tree diff that a mismatch prints."""

from __future__ import annotations

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
    """A subtree against a leaf is one difference."""
    assert tree_diff({"a": {"b": 1}}, {"a": 2}) == ["/a: {'b': 1} -> 2"]
    assert tree_diff(1, 2) == ["/: 1 -> 2"]


def test_long_differences_are_cut() -> None:
    """Thousands of pages gone wrong are told by the first of them."""
    lines = tree_diff({str(n): 0 for n in range(500)}, {})

    assert len(lines) == MAX_LINES + 1
    assert lines[-1] == f"... and {500 - MAX_LINES} more"
