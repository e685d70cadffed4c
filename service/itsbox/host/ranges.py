"""Free ranges of numbers, kept sorted and merged: the driver's LPIs, and the bytes of a page of the ITT pool.

A range is ``[first, count]``. Lists of lists, because they are part of the driver's plain state.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TypeAlias

__all__ = ["Ranges", "give", "take"]

Ranges: TypeAlias = "list[list[int]]"


def take(free: Ranges, count: int, *, best_fit: bool = False) -> int | None:
    """Take ``count`` numbers in a row: from the first range that has them, or from the tightest one. None: there is none."""
    found = None
    for place, (_, span) in enumerate(free):
        if span >= count and (found is None or span < free[found][1]):
            found = place
            if not best_fit:
                break
    if found is None:
        return None
    first, span = free[found]
    if span == count:
        del free[found]
    else:
        free[found] = [first + count, span - count]
    return first


def give(free: Ranges, first: int, count: int) -> None:
    """Give numbers back; neighbours merge."""
    place = bisect_left(free, [first, 0])
    if place < len(free) and first + count == free[place][0]:
        count += free[place][1]
        del free[place]
    if place and free[place - 1][0] + free[place - 1][1] == first:
        free[place - 1][1] += count
    else:
        free.insert(place, [first, count])
