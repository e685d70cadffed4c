"""Whose a page is, in the oracle's own words.

Six classes, plain ints because the judge compares them. The oracle learns of ownership through the small port ``Pages``: on-line
it is the machine's ownership map (``abstraction``), off-line it is rebuilt from ``page.state`` events (``checker``).
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

__all__ = ["PageState", "PageUse", "Pages", "Whose"]


class Whose:
    """Ownership class of a page."""

    HOST: Final = 0  # the host's alone
    SHARED: Final = 1  # the host's, shared with the hypervisor: it cannot be given to anyone else
    HYP: Final = 2
    GUEST: Final = 3
    DEVICE: Final = 4  # MMIO
    MISSING: Final = 5  # nothing answers there
    NAMES: Final = ("host", "shared", "hyp", "guest", "mmio", "unmapped")


class PageUse:
    """What a hypervisor-owned page that the host gave up for the ITS is used as: the ITS's own memory."""

    QUEUE: Final = "queue"
    L1: Final = "l1"
    DEVICE: Final = "device"
    COLLECTION: Final = "collection"
    VPE: Final = "vpe"
    ITT: Final = "itt"
    PENDING: Final = "pending"
    CONFIG: Final = "config"
    VPT: Final = "vpt"
    VCONF: Final = "vconf"


class PageState(NamedTuple):
    """A page: class of ``Whose``, the name of its state on the owner's side, its pin count."""

    whose: int
    state: str
    pins: int


class Pages(Protocol):
    """Ownership, page by page."""

    def page(self, pfn: int) -> PageState:
        """The page's class, state and pins now."""

    def foreign(self, first: int, last: int) -> int | None:
        """The first frame of [first, last] that is the hypervisor's or a guest's, or None."""
