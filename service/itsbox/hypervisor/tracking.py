"""Which memory hardware uses on the host's behalf: records of (kind, ITS or redistributor, id, page), and plans over them.

The series keeps an array of page frames; a later version counts by device and page; ``strict`` records ranges. All three are
views of one table: how often each object holds each page. The knobs decide what a hold costs (``itt_sharing``, ``itt_pinning``,
``tracking_slots``); other kinds of object than interrupt translation tables are counted and pinned always.

A page is shared when the first object holds it and unshared when the last lets go; it is pinned once for each hold (H5 of
docs/explanation/dma-surface.md 7). Objects of different kinds never hold the same page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.memory.ownership import PIN, SHARE, UNPIN, UNSHARE, Ownership, Transition
from itsbox.reasons import Reason

__all__ = ["CONFIG", "ITT", "PENDING", "VCONF", "VPT", "Edit", "Hold", "Key", "Tracking"]

ITT: Final = "itt"
VPT: Final = "vpt"
VCONF: Final = "vconf"
CONFIG: Final = "config"
PENDING: Final = "pending"

Key: TypeAlias = tuple[str, int, int, int]
"""(kind, number of the ITS or redistributor, DeviceID or vPEID, page frame)."""
Edit: TypeAlias = tuple[Key, int]
"""A change of a count: +1 or -1."""

_FIXED_SLOTS: Final = {"one_page": 505, "two_pages": 508}


class Hold(NamedTuple):
    """What it takes to hold or let go of pages: ownership transitions, then edits of the records."""

    transitions: tuple[Transition, ...]
    edits: tuple[Edit, ...]


class Tracking:
    """The records.

    Invariant: ``users[pfn]`` is the sum of the counts of the page's keys; ``kinds[pfn]`` their one kind.
    Owned by: the hypervisor; shared by all its ITSs and redistributors.
    """

    __slots__ = ("_capacity", "_exclusive", "_ownership", "_pinned", "counts", "kinds", "users")

    def __init__(self, knobs: Mapping[str, str], ownership: Ownership) -> None:
        self._ownership = ownership
        self._exclusive = knobs["itt_sharing"] == "exclusive"
        self._pinned = knobs["itt_pinning"] == "pinned"
        self._capacity = _FIXED_SLOTS[knobs["private_state"]] if knobs["tracking_slots"] == "fixed" else None
        self.counts: dict[Key, int] = {}
        self.users: dict[int, int] = {}
        self.kinds: dict[int, str] = {}

    # ---------------------------------------------------------------- plans

    def hold(self, kind: str, node: int, ident: int, pages: range) -> Hold | Reason:
        """Plan to hold pages for an object; the reason if one of them cannot be."""
        exclusive, pinned = self._manner(kind)
        shared: list[int] = []
        for done, pfn in enumerate(pages):
            if self._capacity is not None and len(self.counts) + done >= self._capacity:
                return Reason.TRACKING_FULL
            if exclusive or pfn not in self.users:
                denied = self._ownership.why_not_share(pfn)
                if denied is not None:
                    return denied
                shared.append(pfn)
            elif self.kinds[pfn] != kind:
                return Reason.PAGE_SHARED
        steps = [Transition(SHARE, first, count) for first, count in _runs(shared)]
        if pinned and pages:
            steps.append(Transition(PIN, pages.start, len(pages)))
        return Hold(tuple(steps), tuple(((kind, node, ident, pfn), 1) for pfn in pages))

    def release(self, keys: Iterable[Key]) -> Hold:
        """Plan to let go, once, of each key; all of one kind."""
        pinned_pages: list[int] = []
        unshared: list[int] = []
        edits: list[Edit] = []
        for key in keys:
            exclusive, pinned = self._manner(key[0])
            pfn = key[3]
            edits.append((key, -1))
            if pinned:
                pinned_pages.append(pfn)
            if exclusive or self.users.get(pfn, 0) <= 1:
                unshared.append(pfn)
        steps = [Transition(UNPIN, first, count) for first, count in _runs(pinned_pages)]
        steps += [Transition(UNSHARE, first, count) for first, count in _runs(unshared)]
        return Hold(tuple(steps), tuple(edits))

    def _manner(self, kind: str) -> tuple[bool, bool]:
        """(exclusive, pinned): what the knobs say of pages of a kind."""
        return (self._exclusive, self._pinned) if kind in (ITT, VPT) else (False, True)

    def apply(self, edits: Iterable[Edit], sign: int = 1) -> None:
        """Carry out edits, or with sign -1 take them back."""
        for key, delta in edits:
            change = delta * sign
            pfn = key[3]
            _add(self.counts, key, change)
            if _add(self.users, pfn, change):
                self.kinds[pfn] = key[0]
            else:
                self.kinds.pop(pfn, None)

    # ---------------------------------------------------------------- questions

    def holders(self, pfn: int) -> list[Key]:
        """The keys of a page, in order."""
        return sorted(key for key in self.counts if key[3] == pfn)

    def keys_of(self, kind: str, node: int, ident: int, pages: range) -> list[Key]:
        """The keys that an object has among these pages."""
        return [key for pfn in pages if (key := (kind, node, ident, pfn)) in self.counts]

    def pins(self, pfn: int) -> int:
        """How many pins the records explain."""
        return self.users.get(pfn, 0) if pfn in self.users and self._manner(self.kinds[pfn])[1] else 0

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {"counts": dict(self.counts), "users": dict(self.users), "kinds": dict(self.kinds)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.counts, self.users, self.kinds = dict(state["counts"]), dict(state["users"]), dict(state["kinds"])


def _add(table: dict[Any, int], key: Any, change: int) -> int:
    """Add to a count; one that reaches zero is forgotten. Answers the new count."""
    count = table.get(key, 0) + change
    if count > 0:
        table[key] = count
        return count
    table.pop(key, None)
    return 0


def _runs(pages: list[int]) -> list[tuple[int, int]]:
    """Ascending frames as (first, count) of consecutive ones."""
    runs: list[tuple[int, int]] = []
    for pfn in pages:
        if runs and runs[-1][0] + runs[-1][1] == pfn:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((pfn, 1))
    return runs
