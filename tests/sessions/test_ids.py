from __future__ import annotations

from itsbox.sessions.ids import IdSource


def test_ids_sort_by_the_order_in_which_they_were_made() -> None:
    """Within one millisecond and when the clock steps back, too."""
    times = iter([5.0, 5.0, 5.0, 4.0, 6.0])
    source = IdSource(lambda: next(times))

    ids = [source.next() for _ in range(5)]

    assert ids == sorted(ids)
    assert len(set(ids)) == 5


def test_ids_are_opaque_and_safe_in_a_path() -> None:
    """Twenty characters of one alphabet, different for different sources at the same moment."""
    one, other = IdSource(lambda: 1.0).next(), IdSource(lambda: 1.0).next()

    assert len(one) == 20
    assert one.isalnum()
    assert one == one.lower()
    assert one != other
