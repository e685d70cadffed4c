"""The difference of two trees, as lines that a person reads: what the specification says, and what the machine has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["MAX_LINES", "tree_diff"]

MAX_LINES: Final = 40
"""A mismatch shows itself in its first lines; a takeover gone wrong could print thousands of pages."""


def tree_diff(expected: Any, found: Any) -> list[str]:
    """Lines ``path: expected -> found``, in order of the paths; the last one counts what is left out."""
    lines = list(_walk("", expected, found))
    if len(lines) > MAX_LINES:
        left = len(lines) - MAX_LINES
        lines = [*lines[:MAX_LINES], f"... and {left} more"]
    return lines


def _walk(path: str, expected: Any, found: Any) -> Iterator[str]:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in sorted(expected.keys() | found.keys(), key=str):
            yield from _walk(f"{path}/{key}", expected.get(key, _ABSENT), found.get(key, _ABSENT))
    elif expected != found:
        yield f"{path or '/'}: {expected} -> {found}"


class _Absent:
    """Stands for a key that one side does not have."""

    def __repr__(self) -> str:
        return "nothing"


_ABSENT: Final = _Absent()
