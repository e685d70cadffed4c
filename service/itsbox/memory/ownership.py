"""Who owns which page: pKVM's page states and the only functions that change them.

A page is known to three components: host, hypervisor, guest. Each sees it in one of four states (``PageState``): it owns
the page alone, owns it and shares it, borrows it, or has nothing to do with it. Only six combinations exist; a page's
*code* names one of them, and the transitions below are the only ways from one code to another.

    share    host OWNED, hyp NOPAGE                 -> host SHARED_OWNED, hyp SHARED_BORROWED
    unshare  the way back; -EBUSY while pinned
    donate   host OWNED, hyp NOPAGE                 -> host NOPAGE, hyp OWNED
    reclaim  the way back (``__pkvm_hyp_donate_host``)
    pin      host SHARED_OWNED, hyp SHARED_BORROWED -> the same with one pin more

Device pages have no such state: the host's stage 2 either maps one or holds an invalid entry that names the hypervisor
as owner (an annotation), which nothing but ``hyp_donate_host_mmio`` removes.

A ``Plan`` is a list of transitions; ``commit`` carries all of them out or none, ``inverse`` is the plan that takes them
back. Each function answers None, or the reason why not; its ``errno`` is what the kernel returns.
Source: Linux, arch/arm64/kvm/hyp/nvhe/mem_protect.c and include/nvhe/memory.h; pkvm_ownership_selftest.

Nothing here is proportional to the size of memory: a page appears in a dictionary once it differs from what its region
was at reset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.arch.values import ADDRESS_BITS, PAGE_SHIFT, pages_of
from itsbox.events import PAGE_STATE, EventLog
from itsbox.reasons import Reason

__all__ = [
    "DONATE",
    "MMIO_DONATE",
    "MMIO_RECLAIM",
    "PIN",
    "RECLAIM",
    "SHARE",
    "UNPIN",
    "UNSHARE",
    "Owner",
    "Ownership",
    "PageRun",
    "PageState",
    "Plan",
    "Transition",
    "inverse",
]


class Owner:
    """Who owns a page. Plain ints: the oracle compares them for each access."""

    HOST = 0
    HYP = 1
    GUEST = 2
    NAMES = ("host", "hyp", "guest")


class PageState:
    """How one component sees a page (``enum pkvm_page_state``)."""

    OWNED = 0
    SHARED_OWNED = 1
    SHARED_BORROWED = 2
    NOPAGE = 3
    NAMES = ("OWNED", "SHARED_OWNED", "SHARED_BORROWED", "NOPAGE")


# The codes: what a page is to host, hypervisor and guest together.
_HOST, _HYP, _GUEST, _HOST_TO_HYP, _HOST_TO_GUEST = range(5)
_OWNER_OF: Final = (Owner.HOST, Owner.HYP, Owner.GUEST, Owner.HOST, Owner.HOST)
_STATES: Final = {
    _HOST: (PageState.OWNED, PageState.NOPAGE, PageState.NOPAGE),
    _HYP: (PageState.NOPAGE, PageState.OWNED, PageState.NOPAGE),
    _GUEST: (PageState.NOPAGE, PageState.NOPAGE, PageState.OWNED),
    _HOST_TO_HYP: (PageState.SHARED_OWNED, PageState.SHARED_BORROWED, PageState.NOPAGE),
    _HOST_TO_GUEST: (PageState.SHARED_OWNED, PageState.NOPAGE, PageState.SHARED_BORROWED),
}
_HOST_MAPS: Final = frozenset({_HOST, _HOST_TO_HYP, _HOST_TO_GUEST})
_HYP_MAPS: Final = frozenset({_HYP, _HOST_TO_HYP})

# Verbs of a plan.
SHARE: Final = "share"
UNSHARE: Final = "unshare"
DONATE: Final = "donate"
RECLAIM: Final = "reclaim"
PIN: Final = "pin"
UNPIN: Final = "unpin"
MMIO_DONATE: Final = "mmio_donate"
MMIO_RECLAIM: Final = "mmio_reclaim"
_INVERSE: Final = {
    SHARE: UNSHARE, UNSHARE: SHARE, DONATE: RECLAIM, RECLAIM: DONATE, PIN: UNPIN, UNPIN: PIN,
    MMIO_DONATE: MMIO_RECLAIM, MMIO_RECLAIM: MMIO_DONATE,
}  # fmt: skip


class Transition(NamedTuple):
    """One verb applied to ``pages`` pages from frame ``pfn`` on."""

    verb: str
    pfn: int
    pages: int = 1


Plan: TypeAlias = Sequence[Transition]


class PageRun(NamedTuple):
    """A run of like pages, for views: first frame, count, owner and state by name, pins, whether it is memory."""

    pfn: int
    pages: int
    owner: str
    state: str
    pins: int
    memory: bool


def inverse(plan: Plan) -> list[Transition]:
    """The plan that undoes ``plan``."""
    return [Transition(_INVERSE[step.verb], step.pfn, step.pages) for step in reversed(plan)]


class Ownership:
    """The page states of one machine.

    ram, hyp, guest: (base, bytes) of RAM, of the hypervisor's carve-out and of the protected guest, page aligned.
    watch: the oracle's ear, or None; called with each frame whose state or pins are about to change.

    Invariant: a page has pins only while the host shares it with the hypervisor; a code that equals the region's own is not
    stored, so equal machines have equal ``state()``.
    Owned by: the machine; only the hypervisor changes it.
    """

    __slots__ = ("_codes", "_log", "_pins", "guest", "hyp", "ram", "watch")

    def __init__(self, ram: tuple[int, int], hyp: tuple[int, int], guest: tuple[int, int], log: EventLog) -> None:
        self.ram = pages_of(*ram)
        self.hyp = pages_of(*hyp)
        self.guest = pages_of(*guest)
        self._log = log
        self._codes: dict[int, int] = {}
        self._pins: dict[int, int] = {}
        self.watch: Callable[[int], None] | None = None

    # ---------------------------------------------------------------- questions

    def _at_reset(self, pfn: int) -> int:
        if pfn in self.hyp:
            return _HYP
        return _GUEST if pfn in self.guest else _HOST

    def _code(self, pfn: int) -> int:
        code = self._codes.get(pfn)
        return self._at_reset(pfn) if code is None else code

    def owner(self, pfn: int) -> int:
        """The owner of a page, memory or device: an ``Owner``."""
        return _OWNER_OF[self._code(pfn)]

    def host_may(self, pfn: int) -> bool:
        """Whether the host's stage 2 maps the page."""
        return self._code(pfn) in _HOST_MAPS

    def hyp_may(self, pfn: int) -> bool:
        """Whether the hypervisor's own stage 1 maps the page."""
        return self._code(pfn) in _HYP_MAPS

    def pins(self, pfn: int) -> int:
        """How often the page is pinned."""
        return self._pins.get(pfn, 0)

    def is_memory(self, pfn: int) -> bool:
        """Whether the frame lies in RAM."""
        return pfn in self.ram

    def states(self, pfn: int) -> tuple[int, int, int]:
        """The page's state as seen by host, hypervisor, guest: three ``PageState``."""
        return _STATES[self._code(pfn)]

    def why_not_share(self, pfn: int) -> Reason | None:
        """Why a page cannot be shared or donated by the host, or None if it can."""
        return self._memory_range(pfn, 1) or self._all_are(pfn, 1, _HOST)

    def foreign(self, first: int, last: int) -> int | None:
        """The first frame of memory in [first, last] that the host does not own, or None."""
        ram, hyp, guest = self.ram, self.hyp, self.guest
        start, stop = max(first, ram.start), min(last + 1, ram.stop)
        frames = range(start, stop)
        apart = (stop <= hyp.start or hyp.stop <= start) and (stop <= guest.start or guest.stop <= start)
        if apart and self._codes.keys().isdisjoint(frames):
            return None
        return next((pfn for pfn in frames if self.owner(pfn) != Owner.HOST), None)

    def describe(self, pfn: int) -> tuple[str, str, int]:
        """(owner, the owner's state, pins), for people."""
        code = self._code(pfn)
        owner = _OWNER_OF[code]
        return Owner.NAMES[owner], PageState.NAMES[_STATES[code][owner]], self.pins(pfn)

    def runs(self, first: int, end: int) -> Iterator[PageRun]:
        """The pages [first, end) as runs of like ones; costs what differs from reset, not what there is."""
        cuts = {first, end}
        for region in (self.ram, self.hyp, self.guest):
            cuts |= {region.start, region.stop}
        for pfn in self._codes.keys() | self._pins.keys():
            cuts |= {pfn, pfn + 1}
        inside = sorted(cut for cut in cuts if first <= cut <= end)
        run: PageRun | None = None
        for low, high in pairwise(inside):
            here = PageRun(low, high - low, *self.describe(low), self.is_memory(low))
            if run is not None and run[2:] == here[2:]:
                run = run._replace(pages=run.pages + here.pages)
                continue
            if run is not None:
                yield run
            run = here
        if run is not None:
            yield run

    # ---------------------------------------------------------------- transitions

    def host_share_hyp(self, pfn: int, cause: str) -> Reason | None:
        """``__pkvm_host_share_hyp``: let the hypervisor in, and keep the host from giving the page away."""
        return self.commit((Transition(SHARE, pfn),), cause)

    def host_unshare_hyp(self, pfn: int, cause: str) -> Reason | None:
        """``__pkvm_host_unshare_hyp``; -EBUSY while pinned."""
        return self.commit((Transition(UNSHARE, pfn),), cause)

    def host_donate_hyp(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``__pkvm_host_donate_hyp``: the pages become the hypervisor's alone."""
        return self.commit((Transition(DONATE, pfn, pages),), cause)

    def hyp_donate_host(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``__pkvm_hyp_donate_host``: the pages become the host's alone. Never the carve-out."""
        return self.commit((Transition(RECLAIM, pfn, pages),), cause)

    def pin(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``hyp_pin_shared_mem``: the host cannot unshare the pages until they are unpinned as often."""
        return self.commit((Transition(PIN, pfn, pages),), cause)

    def unpin(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``hyp_unpin_shared_mem``."""
        return self.commit((Transition(UNPIN, pfn, pages),), cause)

    def host_donate_hyp_mmio(self, pfn: int, cause: str) -> Reason | None:
        """``__pkvm_host_donate_hyp_mmio``: annotate a device page's invalid host entry with the hypervisor as owner."""
        return self.commit((Transition(MMIO_DONATE, pfn),), cause)

    def hyp_donate_host_mmio(self, pfn: int, cause: str) -> Reason | None:
        """``__pkvm_hyp_donate_host_mmio``: remove the annotation."""
        return self.commit((Transition(MMIO_RECLAIM, pfn),), cause)

    def host_share_guest(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``__pkvm_host_share_guest``: a guest that is not protected may use pages that stay the host's."""
        return self._move(pfn, pages, _HOST, _HOST_TO_GUEST, cause)

    def host_unshare_guest(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``__pkvm_host_unshare_guest``."""
        return self._move(pfn, pages, _HOST_TO_GUEST, _HOST, cause)

    def host_donate_guest(self, pfn: int, pages: int, cause: str) -> Reason | None:
        """``__pkvm_host_donate_guest``: the pages become a protected guest's alone."""
        return self._move(pfn, pages, _HOST, _GUEST, cause)

    def guest_donate_hyp(self, pfn: int, cause: str) -> Reason | None:
        """First half of ``__pkvm_host_reclaim_page``: the hypervisor takes a dying guest's page, to wipe it.

        The protected guest of the memory map lives for ever: its carve-out cannot be taken.
        """
        if pfn in self.guest:
            return Reason.PAGE_NOT_GUEST_OWNED
        return self._move(pfn, 1, _GUEST, _HYP, cause)

    def commit(self, plan: Plan, cause: str) -> Reason | None:
        """Carry out a plan, all of it or nothing. ``cause`` is the word that its events carry."""
        before = len(self._log.items)
        for done, step in enumerate(plan):
            denied = self._apply(step, cause)
            if denied is not None:
                for undo in inverse(plan[:done]):
                    self._apply(undo, cause)
                del self._log.items[before:]
                return denied
        return None

    def _apply(self, step: Transition, cause: str) -> Reason | None:
        verb, pfn, pages = step
        if verb in (PIN, UNPIN):
            return self._count(pfn, pages, 1 if verb == PIN else -1, cause)
        if verb == SHARE:
            return self._move(pfn, pages, _HOST, _HOST_TO_HYP, cause)
        if verb == UNSHARE:
            return self._move(pfn, pages, _HOST_TO_HYP, _HOST, cause)
        if verb == DONATE:
            return self._move(pfn, pages, _HOST, _HYP, cause)
        if verb == RECLAIM:
            if pages > 0 and (pfn in self.hyp or pfn + pages - 1 in self.hyp):
                return Reason.HYP_CARVEOUT
            return self._move(pfn, pages, _HYP, _HOST, cause)
        return self._annotate(pfn, pages, verb == MMIO_DONATE, cause)

    def _move(self, pfn: int, pages: int, old: int, new: int, cause: str) -> Reason | None:
        """Check every page of the range, then give all of them the code ``new``."""
        denied = self._memory_range(pfn, pages) or self._all_are(pfn, pages, old)
        if denied is not None:
            return denied
        for n in range(pfn, pfn + pages):
            self._set(n, new)
        if pages:
            self._emit(pfn, pages, self._text(old, 0), self._text(new, 0), cause)
        return None

    def _memory_range(self, pfn: int, pages: int) -> Reason | None:
        """check_range_allowed_memory: all inside RAM, or all outside (-EPERM), but not both (-EINVAL)."""
        end = pfn + pages
        if pfn < 0 or pages < 0 or end > 1 << ADDRESS_BITS - PAGE_SHIFT:
            return Reason.RANGE_CROSSES_REGION
        if pfn >= self.ram.start and end <= self.ram.stop:
            return None
        overlaps = pages > 0 and pfn < self.ram.stop and end > self.ram.start
        return Reason.RANGE_CROSSES_REGION if overlaps else Reason.PAGE_NOT_MEMORY

    def _all_are(self, pfn: int, pages: int, code: int) -> Reason | None:
        for n in range(pfn, pfn + pages):
            found = self._code(n)
            if found != code:
                return _why_not(found, code)
            if n in self._pins:
                return Reason.PAGE_PINNED
        return None

    def _set(self, pfn: int, code: int) -> None:
        if self.watch is not None:
            self.watch(pfn)
        if code == self._at_reset(pfn):
            self._codes.pop(pfn, None)
        else:
            self._codes[pfn] = code

    def _count(self, pfn: int, pages: int, change: int, cause: str) -> Reason | None:
        for n in range(pfn, pfn + pages):
            if self._code(n) != _HOST_TO_HYP or self.pins(n) + change < 0:
                return Reason.PAGE_NOT_SHARED
        for old, like in groupby(range(pfn, pfn + pages), self.pins):
            run = list(like)
            for n in run:
                if self.watch is not None:
                    self.watch(n)
                if old + change:
                    self._pins[n] = old + change
                else:
                    del self._pins[n]
            before, after = self._text(_HOST_TO_HYP, old), self._text(_HOST_TO_HYP, old + change)
            self._emit(run[0], len(run), before, after, cause)
        return None

    def _annotate(self, pfn: int, pages: int, donate: bool, cause: str) -> Reason | None:
        old, new = (_HOST, _HYP) if donate else (_HYP, _HOST)
        for n in range(pfn, pfn + pages):
            if not 0 <= n < 1 << ADDRESS_BITS - PAGE_SHIFT or n in self.ram:
                return Reason.PAGE_NOT_MMIO
            if self._code(n) != old:
                return Reason.MMIO_ANNOTATED if donate else Reason.MMIO_NOT_HYP
        for n in range(pfn, pfn + pages):
            self._set(n, new)
        self._emit(pfn, pages, self._text(old, 0), self._text(new, 0), cause)
        return None

    # ---------------------------------------------------------------- for others

    def _text(self, code: int, pins: int) -> str:
        owner = _OWNER_OF[code]
        text = f"{Owner.NAMES[owner]} {PageState.NAMES[_STATES[code][owner]]}"
        if code == _HOST_TO_GUEST:
            text += " with guest"
        return f"{text} pins={pins}" if pins else text

    def _emit(self, pfn: int, pages: int, old: str, new: str, cause: str) -> None:
        self._log.emit(PAGE_STATE, pfn << PAGE_SHIFT, pages, old, new, cause)

    def state(self) -> dict[str, Any]:
        """Everything that decides future behaviour, as plain data."""
        return {"codes": dict(self._codes), "pins": dict(self._pins)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self._codes = dict(state["codes"])
        self._pins = dict(state["pins"])


def _why_not(found: int, wanted: int) -> Reason:
    """The reason why a page with code ``found`` cannot take a transition that starts at ``wanted``."""
    if wanted == _HOST:
        return Reason.PAGE_NOT_HOST_OWNED if found in (_HYP, _GUEST) else Reason.PAGE_SHARED
    if wanted == _HYP:
        return Reason.PAGE_NOT_HYP_OWNED
    return Reason.PAGE_NOT_GUEST_OWNED if wanted == _GUEST else Reason.PAGE_NOT_SHARED
