"""pKVM's page states: the kernel's own selftest, ranges, device pages, plans, and an invariant under random calls."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.events import EventLog, render
from itsbox.memory.ownership import (
    DONATE,
    PIN,
    RECLAIM,
    SHARE,
    UNPIN,
    UNSHARE,
    Owner,
    Ownership,
    PageState,
    Transition,
    inverse,
)
from itsbox.reasons import Reason

RAM, HYP, GUEST = (0x4000_0000, 0x100_0000), (0x40F0_0000, 0x10_0000), (0x40E0_0000, 0x10_0000)
PAGE = 0x4_0010  # a page of the host
DEVICE = 0x8080  # a page of the ITS


def make() -> Ownership:
    """Ownership of 16 MiB with both carve-outs at the end."""
    return Ownership(RAM, HYP, GUEST, EventLog())


CALLS = {
    "share": lambda own, pfn: own.host_share_hyp(pfn, "test"),
    "unshare": lambda own, pfn: own.host_unshare_hyp(pfn, "test"),
    "donate": lambda own, pfn: own.host_donate_hyp(pfn, 1, "test"),
    "hyp_donate_host": lambda own, pfn: own.hyp_donate_host(pfn, 1, "test"),
    "pin": lambda own, pfn: own.pin(pfn, 1, "test"),
}


def errno(own: Ownership, call: str, pfn: int = PAGE) -> str | None:
    """Make a call; the errno's name, or None."""
    denied = CALLS[call](own, pfn)
    return None if denied is None else denied.errno


# ---------------------------------------------------------------- pkvm_ownership_selftest


@pytest.mark.parametrize("call", ["donate", "share", "unshare", "pin"])
def test_from_hyp_owned_everything_is_refused(call: str) -> None:
    """selftest, PKVM_PAGE_OWNED by the hypervisor: donate, share, unshare and pin are -EPERM."""
    own = make()
    assert errno(own, "donate") is None

    assert errno(own, call) == "EPERM"


@pytest.mark.parametrize("call", ["unshare", "hyp_donate_host", "pin"])
def test_from_host_owned_what_needs_sharing_is_refused(call: str) -> None:
    """selftest, PKVM_PAGE_OWNED by the host: unshare, hyp_donate_host and pin are -EPERM."""
    assert errno(make(), call) == "EPERM"


@pytest.mark.parametrize("call", ["share", "donate", "hyp_donate_host"])
def test_a_shared_page_is_not_given_away(call: str) -> None:
    """selftest, SHARED_OWNED: a second share, a donation and hyp_donate_host are -EPERM."""
    own = make()
    assert errno(own, "share") is None

    assert errno(own, call) == "EPERM"


def test_a_pinned_page_is_not_unshared() -> None:
    """selftest: -EBUSY until it is unpinned as often as it was pinned."""
    own = make()
    for call in ("share", "pin", "pin"):
        assert errno(own, call) is None

    assert errno(own, "unshare") == "EBUSY"
    assert own.unpin(PAGE, 1, "test") is None
    assert errno(own, "unshare") == "EBUSY"
    assert own.unpin(PAGE, 1, "test") is None
    assert errno(own, "unshare") is None
    assert own.describe(PAGE) == ("host", "OWNED", 0)


def test_donation_and_back() -> None:
    """Host OWNED -> hyp OWNED -> host OWNED; the host's mapping goes and comes."""
    own = make()

    assert errno(own, "donate") is None
    assert own.states(PAGE) == (PageState.NOPAGE, PageState.OWNED, PageState.NOPAGE)
    assert (own.owner(PAGE), own.host_may(PAGE), own.hyp_may(PAGE)) == (Owner.HYP, False, True)
    assert errno(own, "hyp_donate_host") is None
    assert own.states(PAGE) == (PageState.OWNED, PageState.NOPAGE, PageState.NOPAGE)


def test_sharing_keeps_both_mapped() -> None:
    """Host SHARED_OWNED, hyp SHARED_BORROWED."""
    own = make()
    errno(own, "share")

    assert own.states(PAGE) == (PageState.SHARED_OWNED, PageState.SHARED_BORROWED, PageState.NOPAGE)
    assert (own.owner(PAGE), own.host_may(PAGE), own.hyp_may(PAGE)) == (Owner.HOST, True, True)


# ---------------------------------------------------------------- ranges and carve-outs


@pytest.mark.parametrize(
    "pfn, pages, expected",
    [
        (0x3_FFFF, 2, Reason.RANGE_CROSSES_REGION),
        (0x4_0FFF, 2, Reason.RANGE_CROSSES_REGION),
        (0x3_FFFF, 0x2000, Reason.RANGE_CROSSES_REGION),
        (0x3_FFFF, 1, Reason.PAGE_NOT_MEMORY),
        (0x4_1000, 1, Reason.PAGE_NOT_MEMORY),
        (1 << 40, 1, Reason.RANGE_CROSSES_REGION),
        (0, 1 << 60, Reason.RANGE_CROSSES_REGION),
        (0x4_0F00, 1, Reason.PAGE_NOT_HOST_OWNED),
        (0x4_0E00, 1, Reason.PAGE_NOT_HOST_OWNED),
        (0x4_0DFF, 2, Reason.PAGE_NOT_HOST_OWNED),
    ],
)
def test_ranges_at_borders(pfn: int, pages: int, expected: Reason) -> None:
    """A range across the border of memory is -EINVAL, outside it -EPERM, with one foreign page -EPERM: and nothing moves."""
    own = make()

    assert own.host_donate_hyp(pfn, pages, "test") is expected
    assert own.state() == make().state()


def test_a_donation_of_no_pages_changes_nothing() -> None:
    """Zero pages are a range like any other."""
    own = make()

    assert own.host_donate_hyp(PAGE, 0, "test") is None
    assert own.state() == make().state()


def test_the_carve_out_never_goes_to_the_host() -> None:
    """What was the hypervisor's at boot stays so."""
    own = make()

    assert own.hyp_donate_host(0x4_0F00, 1, "test") is Reason.HYP_CARVEOUT
    assert own.owner(0x4_0F00) == Owner.HYP


# ---------------------------------------------------------------- device pages


def test_a_device_page_is_annotated_once() -> None:
    """``__pkvm_host_donate_hyp_mmio``: the second is -EPERM, memory is -EINVAL; the reverse needs the annotation."""
    own = make()

    assert own.host_donate_hyp_mmio(DEVICE, "test") is None
    assert not own.host_may(DEVICE)
    assert own.host_donate_hyp_mmio(DEVICE, "test") is Reason.MMIO_ANNOTATED
    assert own.host_donate_hyp_mmio(PAGE, "test") is Reason.PAGE_NOT_MMIO
    assert own.hyp_donate_host_mmio(DEVICE, "test") is None
    assert own.host_may(DEVICE)
    assert own.hyp_donate_host_mmio(DEVICE, "test") is Reason.MMIO_NOT_HYP
    assert own.hyp_donate_host_mmio(PAGE, "test") is Reason.PAGE_NOT_MMIO


def test_a_frame_beyond_the_address_space_is_no_device() -> None:
    """2^40 frames of 4 KB are all there are."""
    assert make().host_donate_hyp_mmio(1 << 40, "test") is Reason.PAGE_NOT_MMIO


# ---------------------------------------------------------------- guests


def test_a_guest_page_is_nobody_elses() -> None:
    """Donated to a guest: neither host nor hypervisor reaches it; the hypervisor may take it to wipe it."""
    own = make()
    assert own.host_donate_guest(PAGE, 1, "test") is None

    assert (own.owner(PAGE), own.host_may(PAGE), own.hyp_may(PAGE)) == (Owner.GUEST, False, False)
    assert errno(own, "share") == "EPERM"
    assert own.guest_donate_hyp(PAGE, "test") is None
    assert own.hyp_donate_host(PAGE, 1, "test") is None
    assert own.describe(PAGE) == ("host", "OWNED", 0)


def test_the_resident_guest_keeps_its_memory() -> None:
    """The carve-out of the protected guest cannot be taken."""
    assert make().guest_donate_hyp(0x4_0E00, "test") is Reason.PAGE_NOT_GUEST_OWNED


def test_a_page_shared_with_a_guest_stays_the_hosts() -> None:
    """SHARED_OWNED towards a guest: mapped for the host, not for the hypervisor."""
    own = make()
    assert own.host_share_guest(PAGE, 2, "test") is None

    assert (own.owner(PAGE), own.host_may(PAGE), own.hyp_may(PAGE)) == (Owner.HOST, True, False)
    assert errno(own, "donate") == "EPERM"
    assert own.host_unshare_guest(PAGE, 2, "test") is None
    assert own.host_unshare_guest(PAGE, 2, "test") is Reason.PAGE_NOT_SHARED


# ---------------------------------------------------------------- plans, events, views


def test_a_plan_is_all_or_nothing() -> None:
    """A transition that fails takes back those before it, and no event tells of them."""
    log = EventLog()
    own = Ownership(RAM, HYP, GUEST, log)
    plan = [Transition(SHARE, PAGE, 2), Transition(PIN, PAGE, 2), Transition(DONATE, 0x4_0F00)]

    assert own.commit(plan, "test") is Reason.PAGE_NOT_HOST_OWNED
    assert own.state() == make().state()
    assert log.items == []


def test_the_inverse_of_a_plan_undoes_it() -> None:
    """Backwards, verb by verb."""
    own = make()
    plan = [Transition(SHARE, PAGE, 2), Transition(PIN, PAGE), Transition(DONATE, PAGE + 8, 4)]
    assert own.commit(plan, "test") is None

    assert [step.verb for step in inverse(plan)] == [RECLAIM, UNPIN, UNSHARE]
    assert own.commit(inverse(plan), "test") is None
    assert own.state() == make().state()


def test_events_name_what_changed() -> None:
    """One event for each run of like pages."""
    log = EventLog()
    own = Ownership(RAM, HYP, GUEST, log)
    own.commit([Transition(SHARE, PAGE, 3), Transition(PIN, PAGE + 1)], "take-over")
    own.pin(PAGE, 3, "take-over")

    shown = [render(event)["data"] for event in log.take()]
    assert shown[0] == {
        "addr": "0x40010000", "pages": 3, "from": "host OWNED", "to": "host SHARED_OWNED", "cause": "take-over"
    }  # fmt: skip
    assert [(event["addr"], event["pages"], event["to"]) for event in shown[1:]] == [
        ("0x40011000", 1, "host SHARED_OWNED pins=1"),
        ("0x40010000", 1, "host SHARED_OWNED pins=1"),
        ("0x40011000", 1, "host SHARED_OWNED pins=2"),
        ("0x40012000", 1, "host SHARED_OWNED pins=1"),
    ]


def test_runs_describe_memory_shortly() -> None:
    """Like pages are one run; what differs from reset starts a new one."""
    own = make()
    own.host_share_hyp(PAGE, "test")
    own.host_donate_hyp(PAGE + 1, 2, "test")

    runs = [(run.pages, run.owner, run.state, run.memory) for run in own.runs(0x3_FFFF, 0x4_1001)]
    assert runs == [
        (1, "host", "OWNED", False),
        (16, "host", "OWNED", True),
        (1, "host", "SHARED_OWNED", True),
        (2, "hyp", "OWNED", True),
        (0xDED, "host", "OWNED", True),
        (0x100, "guest", "OWNED", True),
        (0x100, "hyp", "OWNED", True),
        (1, "host", "OWNED", False),
    ]


def test_state_is_saved_and_taken_back() -> None:
    """Equal states are equal data; a copy does not follow."""
    own, other = make(), make()
    own.host_share_hyp(PAGE, "test")
    own.pin(PAGE, 1, "test")
    saved = own.state()
    other.set_state(saved)

    assert other.state() == saved
    assert other.describe(PAGE) == ("host", "SHARED_OWNED", 1)
    own.unpin(PAGE, 1, "test")
    assert other.pins(PAGE) == 1


frames = st.sampled_from((PAGE, PAGE + 1, PAGE + 2, DEVICE, 0x4_0F00, 0x4_0E00, 0x3_FFFF, 0x4_0FFF)) | st.integers(
    0, 1 << 52
)
counts = st.integers(0, 3) | st.sampled_from((0x1000, 1 << 40))
VERBS = {
    "host_share_hyp": False, "host_unshare_hyp": False, "host_donate_hyp": True, "hyp_donate_host": True, "pin": True,
    "unpin": True, "host_donate_hyp_mmio": False, "hyp_donate_host_mmio": False, "host_share_guest": True,
    "host_unshare_guest": True, "host_donate_guest": True, "guest_donate_hyp": False,
}  # fmt: skip


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(VERBS)), frames, counts), max_size=30))
def test_any_calls_keep_the_states_consistent(calls: list[tuple[str, int, int]]) -> None:
    """Whatever is called: pins only on pages shared with the hypervisor, carve-outs stay, a refusal changes nothing."""
    own = make()
    for verb, pfn, pages in calls:
        before = own.state()
        denied = getattr(own, verb)(pfn, *((pages,) if VERBS[verb] else ()), "test")
        if denied is not None:
            assert own.state() == before
            assert denied.errno in {"EPERM", "EINVAL", "EBUSY"}
        for page in range(PAGE, PAGE + 8):
            host, hyp, guest = own.states(page)
            assert (own.pins(page) > 0) <= (hyp == PageState.SHARED_BORROWED)
            assert [host, hyp, guest].count(PageState.OWNED) <= 1
        assert own.owner(0x4_0F00) == Owner.HYP
        assert own.owner(0x4_0E00) == Owner.GUEST
