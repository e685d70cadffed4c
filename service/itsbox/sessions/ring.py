"""The event history of one session: numbered without holes, bounded, never renumbered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from itsbox.events import Event

__all__ = ["EventRing"]

# Trimming moves the whole list, so it waits until this share of the bound is over it.
_SLACK: Final = 8


class EventRing:
    """The last ``kept`` events of a session.

    ``head`` is the number of the newest event, 0 before the first; numbers start at 1.
    Invariant: event ``n`` is readable exactly when ``first <= n <= head``.
    """

    __slots__ = ("_base", "_items", "kept")

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self._items: list[Event] = []
        self._base = 0  # the number of the event before _items[0]

    @property
    def head(self) -> int:
        """The number of the newest event; 0 if there was none."""
        return self._base + len(self._items)

    @property
    def first(self) -> int:
        """The number of the oldest event that can still be read."""
        return max(self._base, self.head - self.kept) + 1

    def extend(self, events: list[Event]) -> None:
        """Number and keep events, in order."""
        items = self._items
        items.extend(events)
        surplus = len(items) - self.kept
        if surplus > self.kept // _SLACK:
            del items[:surplus]
            self._base += surplus

    def slice(self, after: int, upto: int) -> Iterator[tuple[int, Event]]:
        """(number, event) for the numbers ``after + 1`` to ``upto``; the caller keeps to first..head."""
        start = after - self._base
        return zip(range(after + 1, upto + 1), self._items[start : upto - self._base], strict=True)
