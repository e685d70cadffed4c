"""Whole answers of the specification: CPUs lose their privilege, ITSs and redistributors change hands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER
from itsbox.ops import (
    Aborted,
    Done,
    Hvc,
    HvcReturn,
    Msi,
    Outcome,
)
from itsbox.oracle.abstract import Abstract, AbstractIts
from itsbox.oracle.spec import Claims, Expected, Loose
from itsbox.oracle.spec_call import ANY, from_host
from itsbox.oracle.spec_takeover import its_take_over, prot_finalize, redistributor_take_over
from itsbox.reasons import Reason
from tests.oracle.spec_cases import (
    CLAIMS,
    CONFIG,
    COPY,
    EPERM,
    FACTS,
    FLAT,
    GICR,
    GONE,
    GUEST,
    HOST_QUEUE,
    HYP,
    ITS,
    ITT,
    L1,
    L2,
    LPIS,
    OFF,
    OK,
    ON,
    OTHER,
    PENDING,
    PINNED,
    PRIVATE,
    QUEUE,
    QUIET,
    SECOND,
    SERIES,
    SHADOW,
    SHARED,
    STRIDE,
    TAKEN,
    VCONF,
    VPT,
    A,
    Args,
    P,
    call_of,
    is_wrong,
    judge,
    trusted,
)

# ---------------------------------------------------------------- CPUs lose their privilege

FINALIZE = "__pkvm_prot_finalize"
EVICTED = "a vPE that is resident leaves: it would use tables that nobody holds; hardware says what it left pending"
LPI_RANGES = (range(CONFIG, CONFIG + 14), range(PENDING, PENDING + 16))
LPI_FRAMES = tuple(pfn for frames in LPI_RANGES for pfn in frames)


def _evicted(*cpus: int) -> tuple[Loose, ...]:
    return (Loose("lpis", {(cpu, "vpendbaser") for cpu in cpus}, EVICTED),)


@pytest.mark.parametrize("done, args, cpu", [((), (), 0), ((), (1,), 1), ((), (0,), 0)])
def test_the_first_cpu(done: Args, args: Args, cpu: int) -> None:
    """The one that is named, or the next; the rest of the state waits for the last."""
    pre = trusted(None, *done)

    post = replace(pre, phase="deprivileging", finalised=frozenset({cpu}))
    assert judge(pre, Hvc(FINALIZE, args), OK) == Expected(post)
    for failed in (EPERM, HvcReturn(0, 5), GONE, Aborted(Reason.HYP_MEMORY)):
        assert judge(pre, Hvc(FINALIZE, args), failed) == Expected(pre)
        assert prot_finalize(pre, call_of(Hvc(FINALIZE, args), failed, pre), args or (0,)) == Expected(pre)


@pytest.mark.parametrize("done, args", [((0,), (0,)), ((), (2,)), ((), (-1,)), ((0, 1), ())])
def test_a_cpu_that_cannot_be_finalised(done: Args, args: Args) -> None:
    """One that is not there, and one that was before."""
    pre = trusted(None, *done)

    text = "a CPU was finalised that is not there, or was so before"
    assert judge(pre, Hvc(FINALIZE, args), OK) == is_wrong(pre, text)


def test_the_last_cpu_closes_the_window() -> None:
    """Tables of LPIs in use are held; where they cannot be, LPIs are off; ITSs not taken over yet are disabled."""
    taken = AbstractIts(A, 0x1000, 0)
    pre = trusted(None, 0, lpis={0: LPIS, 1: LPIS}, its={1: taken}, quiesced={1: 7})
    seen = replace(pre, registers={(0, "CTLR"): OFF & ~(1 << 31), (1, "CTLR"): ON})

    held = replace(
        pre,
        phase="deprivileging",
        finalised=frozenset({0, 1}),
        pages={OTHER: SHARED, **dict.fromkeys(LPI_FRAMES, PINNED)},
        held={0: LPI_RANGES},
        tracked=dict.fromkeys(LPI_FRAMES, 1),
        lpis={0: LPIS, 1: QUIET},
        registers={(0, "CTLR"): 0, (1, "CTLR"): ON},
        quiesced={0: ON, 1: 7},
    )
    assert judge(pre, Hvc(FINALIZE, ()), OK, seen) == Expected(held, _evicted(0, 1))


def test_what_is_held_or_off_stays_so() -> None:
    """A redistributor whose tables are held, and one without LPIs, are as before."""
    pre = trusted(
        dict.fromkeys(LPI_FRAMES, PINNED), 0, lpis={0: LPIS, 1: QUIET}, held={0: LPI_RANGES}, its={0: 0, 1: 0}
    )

    post = replace(pre, phase="deprivileged", finalised=frozenset({0, 1}))
    assert judge(pre, Hvc(FINALIZE, (1,)), OK) == Expected(post, _evicted(0, 1))


@pytest.mark.parametrize("knobs, phase, loose, quiesced", [
    ({}, "deprivileging", _evicted(0, 1), {0: ON, 1: ON}),
    ({"takeover_window": "open"}, "deprivileging", (), {}),
    ({"redistributors": "open"}, "deprivileging", (), {0: ON, 1: ON}),
    ({"its_mmio": "forwarded"}, "deprivileged", _evicted(0, 1), {}),
    ({"its_mmio": "mapped", "takeover_window": "open"}, "deprivileged", (), {}),
])  # fmt: skip
def test_knobs_of_the_window(
    knobs: dict[str, str], phase: str, loose: tuple[Loose, ...], quiesced: dict[int, int]
) -> None:
    """Whether the window is quiesced, whether redistributors are guarded, whether ITSs are emulated at all."""
    pre = trusted(None, 1)
    off = dict.fromkeys(pre.registers, OFF)
    registers = off if quiesced else pre.registers

    judged = judge(pre, Hvc(FINALIZE, ()), OK, replace(pre, registers=off), facts=replace(FACTS, knobs=knobs))

    done = frozenset({0, 1})
    assert judged == Expected(
        replace(pre, phase=phase, finalised=done, quiesced=quiesced, registers=registers), loose
    )  # fmt: skip


def test_open_redistributors_keep_their_lpis() -> None:
    """Where nobody guards them they are not looked at."""
    pre = trusted(None, 0, lpis={0: LPIS, 1: LPIS}, its={0: 0, 1: 0})

    judged = judge(pre, Hvc(FINALIZE, ()), OK, facts=replace(FACTS, knobs={"redistributors": "open"}))
    assert judged == Expected(replace(pre, phase="deprivileged", finalised=frozenset({0, 1})))


# ---------------------------------------------------------------- ITSs

TAKE_OVER = "__pkvm_init_its_emulation"
OP = Hvc(TAKE_OVER, (ITS[0], PRIVATE << 12, SHADOW << 12))
MANY = (
    "knobs setup_values, table_hiding, itt_pages and others: how many pages go is what the host says, or what they say"
)


def _unowned(**parts: Any) -> Abstract:
    """All CPUs deprivileged, ITS 0 disabled by the window: a queue, a two-level table of devices, a flat one behind."""
    bases = {
        "CBASER": GITS_CBASER.decode(0).replace(valid=1, physical_address=QUEUE << 12, size=1).word(),
        **dict.fromkeys((f"BASER{n}" for n in range(8)), GITS_BASER.decode(0).replace(type=2, size=5).word()),
        "BASER0": GITS_BASER.decode(0).replace(type=1, valid=1, indirect=1, size=1, physical_address=L1 << 12).word(),
        "BASER7": GITS_BASER.decode(0).replace(type=4, valid=1, size=3, physical_address=FLAT << 12).word(),
        "CTLR": OFF,
    }
    registers = {(0, name): word for name, word in bases.items()} | {(1, "CTLR"): OFF}
    return trusted(None, 0, 1, **{"registers": registers, "quiesced": {0: ON, 1: 9}, **parts})


def _owned(pre: Abstract, taken: AbstractIts = TAKEN, private: int = 1) -> Abstract:
    """The same after the take-over, and GITS_CTLR as before the window."""
    runs = ((PRIVATE, private), (SHADOW, 1), (QUEUE, 2), (L1, 2), (FLAT, 4), (L2, 2))
    donated = dict.fromkeys((pfn for first, count in runs for pfn in range(first, first + count)), HYP)
    found = (*range(ITT, ITT + 3), *range(VPT, VPT + 16), VCONF, VCONF + 1)
    pinned = dict.fromkeys((HOST_QUEUE, HOST_QUEUE + 1, COPY, COPY + 1, *found), PINNED)
    return replace(
        pre, pages={OTHER: SHARED, **donated, **pinned}, its={**pre.its, 0: taken}, tracked=dict.fromkeys(found, 1),
        registers={**pre.registers, (0, "CTLR"): ON}, quiesced={1: 9},
    )  # fmt: skip


FACTS_ITT = replace(FACTS, ite_bytes=12)


def test_a_take_over_takes_what_the_registers_name() -> None:
    """Pages, record, tables that were found, the phase and GITS_CTLR: all that follows, and nothing is left open."""
    pre = _unowned()
    post = _owned(pre)

    assert judge(pre, OP, OK, post) == Expected(post)
    running = post.with_registers(0, CTLR=ON & ~(1 << 31))
    assert judge(pre, OP, OK, running) == Expected(running)
    last = _unowned(its={1: TAKEN})
    assert judge(last, OP, OK, _owned(last)) == Expected(replace(_owned(last), phase="deprivileged"))


def test_a_take_over_before_the_switch_over() -> None:
    """No window, so GITS_CTLR stays; the phase is the CPUs'."""
    pre = _unowned(phase="trusted", finalised=frozenset({0}), its={1: TAKEN}, quiesced={})

    post = replace(_owned(pre), registers=pre.registers, quiesced={})
    assert judge(pre, OP, OK, post) == Expected(post)


@pytest.mark.parametrize("args, knobs, private", [
    ((ITS[0], PRIVATE << 12, 3, SHADOW << 12), {}, 3),
    ((ITS[0], PRIVATE << 12, 3, SHADOW << 12), {"private_state": "two_pages"}, 3),
    ((ITS[0], PRIVATE << 12, SHADOW << 12), {"private_state": "two_pages"}, 2),
    ((ITS[0], PRIVATE << 12, SHADOW << 12), {"private_state": "one_page"}, 1),
])  # fmt: skip
def test_how_many_private_pages_go(args: Args, knobs: dict[str, str], private: int) -> None:
    """With four arguments the call says, with three the knob."""
    pre = _unowned()
    post = _owned(pre, private=private)
    shadow = {SHADOW + 0x100: HYP}  # the shadow lies behind the private pages in these cases
    moved = tuple(each if each != SHADOW << 12 else (SHADOW + 0x100) << 12 for each in args)
    pages = {pfn: page for pfn, page in post.pages.items() if pfn != SHADOW} | shadow

    judged = judge(pre, Hvc(TAKE_OVER, moved), OK, post, facts=replace(FACTS, knobs=knobs))
    assert judged == Expected(replace(post, pages=pages))


def test_a_call_without_registers() -> None:
    """Only a hypercall has arguments that were given; any other op has three."""
    pre = _unowned()
    call = call_of(Msi(1, 2), OK, _owned(pre))

    assert its_take_over(pre, call, (*OP.args, 0, 0, 0)) == Expected(_owned(pre))


@pytest.mark.parametrize("pfn, text", [
    (PRIVATE, "1 pages at 0x4a061"), (SHADOW, "1 pages at 0x4a060"), (QUEUE + 1, "2 pages at 0x4a000"),
    (L1 + 1, "2 pages at 0x4a020"), (FLAT + 3, "4 pages at 0x4a040"), (L2 + 1, "2 pages at 0x4a050"),
    (HOST_QUEUE + 1, "2 pages at 0x4a010"), (COPY + 1, "2 pages at 0x4a030"),
])  # fmt: skip
def test_a_page_of_a_take_over_that_is_not_the_hosts(pfn: int, text: str) -> None:
    """Each page that changes hands counts, and its run is named."""
    pre = _unowned()
    pre = replace(pre, pages={**pre.pages, pfn: SHARED})

    assert judge(pre, OP, OK, _owned(pre)) == is_wrong(pre, f"{text} were taken that are not the host's to give")


@pytest.mark.parametrize("changes, text", [
    ({"hw_queue": L2 << 12}, "the queue that was taken is not the one that GITS_CBASER names"),
    ({"host_bytes": 0x1000}, "the queue that was taken is not the one that GITS_CBASER names"),
    ({"tables": TAKEN.tables[:1]}, "the tables that were taken are not those that GITS_BASER<n> name"),
    ({"tables": TAKEN.tables[::-1]}, "the tables that were taken are not those that GITS_BASER<n> name"),
    ({"consumed": 0x20}, "commands in flight were forgotten or are done again"),
])  # fmt: skip
def test_a_record_that_differs_from_the_registers(changes: dict[str, Any], text: str) -> None:
    """Queue, tables, and how far the commands are."""
    pre = _unowned()

    assert judge(pre, OP, OK, _owned(pre, replace(TAKEN, **changes))) == is_wrong(pre, text)


def test_take_overs_of_nothing() -> None:
    """No ITS, one that was taken over before, one that leaves no record: each is named."""
    pre = _unowned()
    nowhere = Hvc(TAKE_OVER, (ITS[0] + 4, *OP.args[1:]))

    assert judge(pre, nowhere, OK) == is_wrong(pre, "something was taken over that is no ITS")
    twice = "an ITS was taken over twice, or leaves no record"
    assert judge(pre, OP, OK) == is_wrong(pre, twice)
    assert judge(_owned(pre), OP, OK) == is_wrong(_owned(pre), twice)


UNDO = "knob setup_undo: what a failed take-over took is not all given back"


@pytest.mark.parametrize("knobs, loose", [
    ({}, ()), ({"setup_undo": "full"}, ()), ({"setup_undo": "partial"}, (Loose("pages", ANY, UNDO, from_host),)),
])  # fmt: skip
@pytest.mark.parametrize("failed", [EPERM, HvcReturn(0, 5), Done()])
def test_a_refused_take_over(knobs: dict[str, str], loose: tuple[Loose, ...], failed: Outcome) -> None:
    """Nothing changes; where less is given back than was taken, pages of the host may be gone."""
    pre = _unowned()

    assert judge(pre, OP, failed, facts=replace(FACTS, knobs=knobs)) == Expected(pre, loose)
    call = call_of(OP, HvcReturn(1, 0), pre, facts=replace(FACTS, knobs=knobs))
    assert its_take_over(pre, call, OP.args) == Expected(pre, loose)


KEPT = Loose("tracked", ANY, "knob private_page kept: the host wrote the hypervisor's first records")
WALKED = Loose("tracked", ANY, "the devices that were mapped before are held like any other")


@pytest.mark.parametrize("knobs, more", [
    ({}, (WALKED,)), ({"preswitch_devices": "walked", "private_page": "zeroed"}, (WALKED,)),
    ({"private_page": "kept"}, (KEPT, WALKED)), ({"preswitch_devices": "lost"}, ()),
    ({"private_page": "kept", "preswitch_devices": "lost"}, (KEPT,)),
])  # fmt: skip
def test_a_take_over_that_believes_the_host(knobs: dict[str, str], more: tuple[Loose, ...]) -> None:
    """The record is as observed, GITS_CTLR comes back, pages are open, and the knobs say what else is."""
    pre = _unowned(its={1: TAKEN})
    wild = replace(TAKEN, hw_queue=1, consumed=0x80)

    judged = judge(pre, OP, OK, _owned(pre, wild), claims=SERIES, facts=replace(FACTS, knobs=knobs))

    post = replace(_owned(pre, wild), phase="deprivileged", pages=pre.pages, tracked={})
    assert judged == Expected(post, (Loose("pages", ANY, MANY, from_host), *more))


@pytest.mark.parametrize("claims", [CLAIMS, SERIES])
def test_a_take_over_of_what_is_no_its(claims: Claims) -> None:
    """Where regions are not counted the host may name anything: pages are open, no record is made."""
    pre = _unowned()
    op = Hvc(TAKE_OVER, (0x1000, *OP.args[1:]))

    judged = judge(pre, op, OK, claims=claims, facts=replace(FACTS, knobs={"region_scan": "off_by_one"}))

    assert judged == Expected(pre, (Loose("pages", ANY, MANY, from_host), WALKED))


# ---------------------------------------------------------------- redistributors

REDIST = "__pkvm_init_redist_emulation"


@pytest.mark.parametrize("addr, cpu", [(GICR, 0), (SECOND, 1)])
@pytest.mark.parametrize("more, count", [((), 1), ((3,), 3), ((2, 9, 9, 9), 2)])
def test_a_redistributor_changes_hands(addr: int, cpu: int, more: Args, count: int) -> None:
    """Private pages go, the CPU is written down, and tables of LPIs that are off stay the host's."""
    pre = trusted(None, 0, 1, taken=frozenset({1 - cpu}))
    op = Hvc(REDIST, (addr, A + 0x10, *more))

    pages = {OTHER: SHARED, **dict.fromkeys(range(P, P + count), HYP)}
    post = replace(pre, pages=pages, taken=frozenset({0, 1}))
    assert judge(pre, op, OK) == Expected(post, _evicted(cpu))
    assert judge(pre, op, EPERM) == Expected(pre, _evicted(cpu))
    text = f"{count} pages at 0x48000 were taken that are not the host's to give"
    lent = replace(pre, pages={P + count - 1: SHARED})
    assert judge(lent, op, OK) == is_wrong(lent, text)


def test_a_redistributor_whose_lpis_are_on() -> None:
    """Its tables are held, or are so already; where they cannot be, it may not be taken over."""
    op = Hvc(REDIST, (SECOND, A))
    pre = trusted(None, 0, 1, lpis={0: QUIET, 1: LPIS})
    held = dict.fromkeys(LPI_FRAMES, PINNED)

    post = replace(
        pre, pages={OTHER: SHARED, P: HYP, **held}, taken=frozenset({1}), held={1: LPI_RANGES},
        tracked=dict.fromkeys(LPI_FRAMES, 1),
    )  # fmt: skip
    assert judge(pre, op, OK) == Expected(post, _evicted(1))
    already = replace(post, pages={OTHER: SHARED, **held}, taken=frozenset())
    assert judge(already, op, OK) == Expected(post, _evicted(1))
    secret = replace(pre, pages={CONFIG: GUEST})
    assert judge(secret, op, OK) == is_wrong(secret, "a redistributor was taken over whose tables cannot be held")


@pytest.mark.parametrize("addr", [GICR + 4, GICR - STRIDE, GICR + 2 * STRIDE])
def test_what_is_no_redistributor(addr: int) -> None:
    """A refusal leaves nothing open, and success is a difference."""
    pre, op = trusted(None, 0, 1), Hvc(REDIST, (addr, A))

    assert judge(pre, op, EPERM) == Expected(pre)
    assert judge(pre, op, OK) == is_wrong(
        pre, "something was taken over that is no redistributor, or was so before"
    )  # fmt: skip


def test_a_redistributor_is_taken_over_once() -> None:
    """Twice is a difference; and only a hypercall says how many pages it gives."""
    pre = trusted(None, 0, 1, taken=frozenset({1}))
    text = "something was taken over that is no redistributor, or was so before"

    assert judge(pre, Hvc(REDIST, (SECOND, A)), OK) == is_wrong(pre, text)
    post = replace(pre, pages={OTHER: SHARED, P: HYP}, taken=frozenset({0, 1}))
    judged = redistributor_take_over(pre, call_of(Msi(1, 2), OK, pre), (GICR, A, 5))
    assert judged == Expected(post, _evicted(0))
