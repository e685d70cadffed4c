"""The records of what hardware uses: shared with the first hold, unshared with the last, pinned once for each."""

from __future__ import annotations

import pytest

from itsbox.events import EventLog
from itsbox.hypervisor.knobs import resolve
from itsbox.hypervisor.tracking import CONFIG, ITT, PENDING, Hold, Tracking
from itsbox.memory.ownership import PIN, SHARE, UNPIN, UNSHARE, Ownership, Transition
from itsbox.reasons import Reason

PAGES = range(0x4_0010, 0x4_0013)


def make(preset: str = "strict") -> tuple[Tracking, Ownership]:
    """Tracking over 16 MiB of memory."""
    own = Ownership((0x4000_0000, 0x100_0000), (0x40F0_0000, 0x10_0000), (0x40E0_0000, 0x10_0000), EventLog())
    return Tracking(resolve(preset).knobs, own), own


def carry_out(tracking: Tracking, own: Ownership, hold: Hold | Reason) -> None:
    """Commit a plan."""
    assert isinstance(hold, Hold), hold
    assert own.commit(hold.transitions, "test") is None
    tracking.apply(hold.edits)


def test_the_first_hold_shares_and_each_pins() -> None:
    """And a release undoes exactly that."""
    tracking, own = make()
    first = tracking.hold(ITT, 0, 1, PAGES)
    assert isinstance(first, Hold)
    assert first.transitions == (Transition(SHARE, PAGES[0], 3), Transition(PIN, PAGES[0], 3))
    carry_out(tracking, own, first)
    second = tracking.hold(ITT, 0, 2, PAGES[:1])
    assert isinstance(second, Hold)
    assert second.transitions == (Transition(PIN, PAGES[0], 1),)
    carry_out(tracking, own, second)
    assert [tracking.pins(pfn) for pfn in PAGES] == [own.pins(pfn) for pfn in PAGES] == [2, 1, 1]

    gone = tracking.release(tracking.keys_of(ITT, 0, 1, PAGES))
    assert gone.transitions == (Transition(UNPIN, PAGES[0], 3), Transition(UNSHARE, PAGES[1], 2))
    carry_out(tracking, own, gone)
    carry_out(tracking, own, tracking.release(tracking.keys_of(ITT, 0, 2, PAGES)))
    assert own.state() == make()[1].state()
    assert tracking.state() == make()[0].state()


@pytest.mark.parametrize("kind", [CONFIG, PENDING])
def test_objects_of_different_kinds_never_meet(kind: str) -> None:
    """A page of a translation table is not also a redistributor's table."""
    tracking, own = make()
    carry_out(tracking, own, tracking.hold(ITT, 0, 1, PAGES))

    assert tracking.hold(kind, 0, 0, PAGES) is Reason.PAGE_SHARED


def test_a_page_that_is_not_the_hosts_alone_is_not_held() -> None:
    """The hypervisor's, a guest's, shared by the host itself, or no memory."""
    tracking, own = make()
    own.host_share_hyp(PAGES[1], "the host itself")

    assert tracking.hold(ITT, 0, 1, PAGES) is Reason.PAGE_SHARED
    assert tracking.hold(ITT, 0, 1, range(0x4_0F00, 0x4_0F01)) is Reason.PAGE_NOT_HOST_OWNED
    assert tracking.hold(ITT, 0, 1, range(0x8080, 0x8081)) is Reason.PAGE_NOT_MEMORY


def test_the_array_of_the_rfc() -> None:
    """505 pages, exclusive, unpinned."""
    tracking, own = make("rfc-v1")
    carry_out(tracking, own, tracking.hold(ITT, 0, 1, range(0x4_0100, 0x4_0100 + 505)))

    assert tracking.hold(ITT, 0, 2, PAGES) is Reason.TRACKING_FULL
    assert tracking.pins(0x4_0100) == own.pins(0x4_0100) == 0
    assert tracking.holders(0x4_0100) == [(ITT, 0, 1, 0x4_0100)]


def test_state_is_a_copy() -> None:
    """What was saved does not follow."""
    tracking, own = make()
    saved = tracking.state()
    carry_out(tracking, own, tracking.hold(ITT, 0, 1, PAGES))
    assert tracking.state() != saved
    tracking.set_state(saved)

    assert tracking.users == {}
