from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.events import DRIVER_LOG, Event
from itsbox.sessions.ring import EventRing


def lines(first: int, count: int) -> list[Event]:
    """Events whose line is their number."""
    return [(DRIVER_LOG, 0, str(n)) for n in range(first, first + count)]


def test_the_first_event_has_number_one() -> None:
    """Numbers start at 1; before the first event the head is 0 and nothing is missing."""
    ring = EventRing(10)

    assert (ring.head, ring.first) == (0, 1)

    ring.extend(lines(1, 1))

    assert (ring.head, ring.first) == (1, 1)


def test_exactly_the_kept_number_is_readable() -> None:
    """One event more than is kept makes the oldest unreadable, whether or not the list was trimmed yet."""
    ring = EventRing(10)
    ring.extend(lines(1, 11))

    assert ring.first == 2
    assert [event[2] for _, event in ring.slice(1, 11)] == [str(n) for n in range(2, 12)]


@settings(derandomize=True, max_examples=200)
@given(kept=st.integers(1, 40), sizes=st.lists(st.integers(0, 30), max_size=30))
def test_an_event_keeps_its_number_for_ever(kept: int, sizes: list[int]) -> None:
    """However events arrive, number n is the nth event, and the last ``kept`` of them are readable."""
    ring = EventRing(kept)
    total = 0
    for size in sizes:
        ring.extend(lines(total + 1, size))
        total += size

        assert ring.head == total
        assert ring.first == max(1, total - kept + 1)
        assert [(seq, event[2]) for seq, event in ring.slice(ring.first - 1, total)] == [
            (n, str(n)) for n in range(ring.first, total + 1)
        ]


def test_memory_is_bounded() -> None:
    """A long-lived ring holds little more than it keeps."""
    ring = EventRing(100)
    for n in range(1000):
        ring.extend(lines(n + 1, 1))

    assert len(ring._items) <= 113
