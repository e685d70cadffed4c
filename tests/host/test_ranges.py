"""Free ranges: what is taken comes from what was free, and everything given back is one range again."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.host.ranges import Ranges, give, take

_SIZE = 64


@settings(derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), max_size=60))
def test_nothing_is_given_out_twice_and_nothing_is_lost(steps: list[tuple[int, bool, bool]]) -> None:
    """Random takes and gives keep free and taken numbers apart, sorted and merged; in the end all are one range."""
    free: Ranges = [[0, _SIZE]]
    taken: list[tuple[int, int]] = []
    for count, best_fit, giving in steps:
        if giving and taken:
            give(free, *taken.pop(count % len(taken)))
        else:
            first = take(free, count, best_fit=best_fit)
            if first is not None:
                taken.append((first, count))
        used = [n for first, span in [*taken, *map(tuple, free)] for n in range(first, first + span)]
        assert sorted(used) == list(range(_SIZE))
        assert all(a[0] + a[1] < b[0] for a, b in itertools.pairwise(free)), "sorted, and no two neighbours"
    for first, count in taken:
        give(free, first, count)
    assert free == [[0, _SIZE]]


def test_the_first_range_that_fits_is_used_unless_the_tightest_is_asked_for() -> None:
    """First fit takes from the front; best fit from the range that is least larger."""
    free = [[0, 10], [20, 3], [30, 4]]
    assert take([list(each) for each in free], 3) == 0
    assert take([list(each) for each in free], 3, best_fit=True) == 20
    assert take([list(each) for each in free], 11) is None
