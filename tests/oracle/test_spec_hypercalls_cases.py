"""Hypercalls, take-overs and stops in the specification, case by case: the whole answer, state, choices and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import pytest

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR
from itsbox.arch.redist_registers import GICR_PENDBASER, GICR_PROPBASER
from itsbox.ops import (
    Aborted,
    Bytes,
    Done,
    Fill,
    Hvc,
    HvcReturn,
    Load,
    MmioRead,
    MmioWrite,
    Msi,
    Op,
    Outcome,
    Panicked,
    Store,
    Value,
)
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractLpis, AbstractPage, AbstractTable, Regions
from itsbox.oracle.spec import Call, Claims, Expected, Facts, Loose, specify
from itsbox.oracle.spec_call import ANY, from_host
from itsbox.oracle.spec_hypercalls import host_share_hyp, host_unshare_hyp, hypercall
from itsbox.oracle.spec_takeover import its_take_over, prot_finalize, redistributor_take_over
from itsbox.reasons import Reason

CARVE_OUT = range(0x4_8010, 0x4_8020)
REGIONS = Regions(range(0x4_0000, 0x5_0000), CARVE_OUT, range(0x4_FE00, 0x4_FF00))
GICR, STRIDE = 0x0810_0000, 0x2_0000
ITS = (0x0808_0000, 0x080C_0000)
FACTS = Facts(REGIONS, ITS, 12, 15, False, gicr=GICR, stride=STRIDE, cpus=2, groups=(0, 0))
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
SERIES = CLAIMS._replace(commands=False)
SHARED, WITH_GUEST = AbstractPage("host", "hyp"), AbstractPage("host", "guest")
PINNED, TWICE = AbstractPage("host", "hyp", 1), AbstractPage("host", "hyp", 2)
GUEST, HYP = AbstractPage("guest"), AbstractPage("hyp")
OK, EPERM = HvcReturn(0, 0), HvcReturn(0, (1 << 64) - 1, "EPERM", Reason.PAGE_NOT_HOST_OWNED)
GONE = HvcReturn((1 << 64) - 1, 0)
ON, OFF = (GITS_CTLR.decode(0).replace(enabled=on, quiescent=1).word() for on in (1, 0))
P, OTHER = 0x4_8000, 0x4_7000
A = P << 12
LIVING, DEAD = 0x1001, 0x1000
Pages: TypeAlias = dict[int, AbstractPage]
Args: TypeAlias = tuple[int, ...]
Known: TypeAlias = tuple[Pages, dict[str, Any]]
"""Pages, and other parts of the state."""


def _state(pages: Pages | None = None, **parts: Any) -> Abstract:
    """A machine whose CPUs are all deprivileged; one page is shared that no case is about."""
    known = {pfn: page for pfn, page in {OTHER: SHARED, **(pages or {})}.items() if page != HOST_ALONE}
    parts = {"phase": "deprivileged", "finalised": frozenset({0, 1}), **parts}
    return Abstract(pages=known, **{"its": {}, "registers": {(0, "CTLR"): ON, (1, "CTLR"): ON}, "lpis": {}, **parts})


def _call(
    op: Op, outcome: Outcome, observed: Abstract, *, claims: Claims = CLAIMS, facts: Facts = FACTS
) -> Call:  # fmt: skip
    return Call(op, outcome, observed, facts, claims)


def _judge(pre: Abstract, op: Op, outcome: Outcome, observed: Abstract | None = None, **terms: Any) -> Expected:
    return specify(pre, _call(op, outcome, pre if observed is None else observed, **terms))


def _wrong(pre: Abstract, text: str) -> Expected:
    return Expected(pre, (), text)


# ---------------------------------------------------------------- hypercalls

SHARE, UNSHARE = "__pkvm_host_share_hyp", "__pkvm_host_unshare_hyp"
LEND, RETURN = "__pkvm_host_share_guest", "__pkvm_host_unshare_guest"
GIVE, RECLAIM = "__pkvm_host_donate_guest", "__pkvm_host_reclaim_page"
INIT_VM, INIT_VCPU, TEARDOWN = "__pkvm_init_vm", "__pkvm_init_vcpu", "__pkvm_teardown_vm"
DONATE, TAKE_BACK = "__pkvm_host_donate_hyp", "__pkvm_hyp_donate_host"
PIN, UNPIN = "hyp_pin_shared_mem", "hyp_unpin_shared_mem"
EL2_ONLY = {DONATE, TAKE_BACK, PIN, UNPIN}
BOTH = (P, P + 1)


def _before(function: str, pages: Pages, parts: Mapping[str, Any]) -> Abstract:
    return _state(pages, **{"phase": "trusted" if function in EL2_ONLY else "deprivileged", **parts})


@pytest.mark.parametrize("function, args, before, after", [
    (SHARE, (P,), ({}, {}), ({P: SHARED}, {})),
    (SHARE, (P, 3, 3, 3, 3, 3), ({}, {}), ({P: SHARED}, {})),
    (UNSHARE, (P,), ({P: SHARED, P + 1: SHARED}, {}), ({P + 1: SHARED}, {})),
    (LEND, (P, 7, 2, 1), ({P + 2: SHARED}, {}), ({P: WITH_GUEST, P + 1: WITH_GUEST, P + 2: SHARED}, {})),
    (RETURN, (7, P, 2), (dict.fromkeys((*BOTH, P + 2), WITH_GUEST), {}), ({P + 2: WITH_GUEST}, {})),
    (GIVE, (P, 7, 2), ({}, {"alive": {DEAD: (1, 2), LIVING: (3, 4)}, "donated": {9: 5}}),
     (dict.fromkeys(BOTH, GUEST), {"donated": {9: 5, P: LIVING, P + 1: LIVING}})),
    (GIVE, (P, 7, 1), ({}, {}), ({P: GUEST}, {"donated": {P: 0}})),
    (RECLAIM, (P,), ({P: GUEST, P + 1: GUEST}, {"donated": {P: DEAD, P + 1: DEAD}, "alive": {LIVING: (1, 2)}}),
     ({P + 1: GUEST}, {"donated": {P + 1: DEAD}})),
    (INIT_VCPU, (LIVING,), ({}, {"alive": {LIVING: (1, 2)}}), ({}, {})),
    (TEARDOWN, (LIVING,), (dict.fromkeys((*BOTH, P + 2), HYP), {"alive": {LIVING: BOTH, DEAD: (P + 2, 9)}}),
     ({P + 2: HYP}, {"alive": {DEAD: (P + 2, 9)}})),
    (DONATE, (P, 2), ({}, {}), (dict.fromkeys(BOTH, HYP), {})),
    (TAKE_BACK, (P, 2), (dict.fromkeys((*BOTH, P + 2), HYP), {}), ({P + 2: HYP}, {})),
    (TAKE_BACK, (0x4_800E, 2), (dict.fromkeys((0x4_800E, 0x4_800F), HYP), {}), ({}, {})),
    (TAKE_BACK, (0x4_8020, 1), ({0x4_8020: HYP}, {}), ({}, {})),
    (PIN, (A, A + 0x1000), ({P: SHARED, P + 1: SHARED}, {}), ({P: PINNED, P + 1: SHARED}, {})),
    (PIN, (A, A + 0x1001), ({P: SHARED, P + 1: PINNED}, {}), ({P: PINNED, P + 1: TWICE}, {})),
    (PIN, (A + 0xFFF, A + 0x1000), ({P: SHARED}, {}), ({P: PINNED}, {})),
    (PIN, (A, A + 1), ({P: SHARED}, {}), ({P: PINNED}, {})),
    (PIN, (A, A), ({}, {}), ({}, {})),
    (PIN, (A, A - 0x8000), ({}, {}), ({}, {})),
    (PIN, (0, 0), ({}, {}), ({}, {})),
    (PIN, (0x5000_0000 - 0x1000, 0x5000_0000), ({0x4_FFFF: SHARED}, {}), ({0x4_FFFF: PINNED}, {})),
    (UNPIN, (A, A + 0x2000), ({P: PINNED, P + 1: TWICE}, {}), ({P: SHARED, P + 1: PINNED}, {})),
])  # fmt: skip
def test_a_legal_hypercall(function: str, args: Args, before: Known, after: Known) -> None:
    """Success leads to exactly one state; a refusal is a difference, whether it is an errno or no answer at all."""
    pre = _before(function, *before)
    post = _before(function, after[0], {**before[1], **after[1]})

    assert _judge(pre, Hvc(function, args), OK) == Expected(post)
    for refused in (EPERM, Aborted(Reason.HYP_MEMORY)):
        expected = _wrong(pre, "the hypercall was refused although it is legal")
        assert _judge(pre, Hvc(function, args), refused) == expected
    assert _judge(pre, Hvc(function, args), GONE) == Expected(pre)


@pytest.mark.parametrize("function, args, pages, parts", [
    *((SHARE, (P,), {P: page}, {}) for page in (SHARED, PINNED, WITH_GUEST, HYP, GUEST)),
    *((UNSHARE, (P,), {P: page}, {}) for page in (HOST_ALONE, PINNED, WITH_GUEST, HYP, GUEST)),
    *((LEND, (P, 7, 2, 1), {P + 1: page}, {}) for page in (SHARED, WITH_GUEST, HYP, GUEST)),
    (RETURN, (7, P, 2), {P: WITH_GUEST}, {}), (RETURN, (P, 7, 2), dict.fromkeys(BOTH, WITH_GUEST), {}),
    *((GIVE, (P, 7, 2), {P + 1: page}, {"alive": {LIVING: (1, 2)}}) for page in (SHARED, WITH_GUEST, HYP, GUEST)),
    (RECLAIM, (P,), {P: GUEST}, {}),
    (RECLAIM, (P,), {P: GUEST}, {"donated": {P: 0}}),
    (RECLAIM, (P,), {P: GUEST}, {"donated": {P: LIVING}, "alive": {LIVING: (1, 2)}}),
    (RECLAIM, (P,), {P: GUEST}, {"donated": {P + 1: DEAD}}),
    (RECLAIM, (P,), {P: HYP}, {"donated": {P: DEAD}}),
    (RECLAIM, (0x4_FE00,), {}, {"donated": {0x4_FE00: DEAD}}),
    (INIT_VM, (8, A + 0x800, A + 0x1000), {}, {}), (INIT_VM, (8, A, A + 0x1001), {}, {}),
    (INIT_VM, (8, A, A), {}, {}), (INIT_VM, (8, A, A + 0x1000), {P: SHARED}, {"alive": {0: (1, 2)}}),
    (INIT_VM, (8, A, A + 0x1000), {P + 1: GUEST}, {}),
    (INIT_VCPU, (LIVING,), {}, {"alive": {DEAD: (1, 2)}}),
    (TEARDOWN, (LIVING,), {P: HYP, P + 1: HYP}, {"alive": {DEAD: BOTH}}),
    (TEARDOWN, (LIVING,), {P: HYP}, {"alive": {LIVING: BOTH}}),
    (TEARDOWN, (LIVING,), {P + 1: HYP}, {"alive": {LIVING: BOTH}}),
    (DONATE, (P, 2), {P + 1: SHARED}, {}), (DONATE, (0x4_FFFF, 2), {}, {}),
    (TAKE_BACK, (P, 2), {P: HYP}, {}),
    (TAKE_BACK, (0x4_8010, 1), {}, {}), (TAKE_BACK, (0x4_801F, 1), {}, {}),
    (TAKE_BACK, (0x4_800F, 2), {0x4_800F: HYP}, {}), (TAKE_BACK, (0x4_801F, 2), {0x4_8020: HYP}, {}),
    *((call, (A, A + 0x2000), {P: PINNED, P + 1: page}, {})
      for page in (HOST_ALONE, WITH_GUEST, GUEST, HYP) for call in (PIN, UNPIN)),
    (UNPIN, (A, A + 0x2000), {P: PINNED, P + 1: SHARED}, {}),
    (PIN, (0x5000_0000, 0x5000_1000), {0x5_0000: SHARED}, {}),
    (PIN, (0x3FFF_F000, 0x4000_1000), {0x3_FFFF: SHARED, 0x4_0000: SHARED}, {}),
])  # fmt: skip
def test_an_illegal_hypercall(function: str, args: Args, pages: Pages, parts: dict[str, Any]) -> None:
    """A refusal changes nothing, and success is a difference."""
    pre = _before(function, pages, parts)

    assert _judge(pre, Hvc(function, args), EPERM) == Expected(pre)
    assert _judge(pre, Hvc(function, args), OK) == _wrong(pre, "the hypercall succeeded although it is not")


@pytest.mark.parametrize("function, args", [
    (LEND, (P, 7, 0, 1)), (RETURN, (7, P, 0)), (GIVE, (P, 7, 0)), (DONATE, (P, 0)), (TAKE_BACK, (0x4_8010, 0)),
])  # fmt: skip
def test_no_pages_at_all(function: str, args: Args) -> None:
    """Nothing to refuse and nothing to do, even where a page could not be had."""
    pre = _before(function, {P: PINNED}, {"alive": {LIVING: (1, 2)}, "donated": {9: 5}})

    assert _judge(pre, Hvc(function, args), OK) == _judge(pre, Hvc(function, args), EPERM) == Expected(pre)


def test_a_new_guest() -> None:
    """Two pages become the hypervisor's and the handle is new; more registers than two addresses are not looked at."""
    pre = _state(alive={LIVING: (1, 2)})
    op = Hvc(INIT_VM, (8, A, A + 0x5000, 1, 1, 1))

    post = _state({P: HYP, P + 5: HYP}, alive={LIVING: (1, 2), DEAD: (P, P + 5)})
    assert _judge(pre, op, HvcReturn(0, DEAD)) == Expected(post)
    assert _judge(pre, op, EPERM) == Expected(pre)  # there is a limit to guests
    assert _judge(pre, op, HvcReturn(0, LIVING)) == _wrong(pre, "handle 0x1001 is another guest's")
    assert _judge(pre, op, OK) == _wrong(pre, "handle 0x0 is another guest's")


@pytest.mark.parametrize("function, args", [
    (SHARE, (0x4_0000,)), (LEND, (P, 7, 2, 1)), (GIVE, (P, 7, 2)), (DONATE, (P, 2)), (PIN, (A, A)),
])  # fmt: skip
def test_an_argument_less_than_a_call_needs(function: str, args: Args) -> None:
    """It may be refused for the register that was not set, and reads it as zero if it is not refused."""
    pre = _before(function, {}, {})

    assert _judge(pre, Hvc(function, args[:-1]), EPERM) == Expected(pre)
    zero = (*args[:-1], 0)
    assert _judge(pre, Hvc(function, args[:-1]), OK) == _judge(pre, Hvc(function, zero), OK)


@pytest.mark.parametrize("function", [
    "__kvm_hyp_init", "__pkvm_init", "__pkvm_create_private_mapping", "__pkvm_cpu_set_vector", "__kvm_enable_ssbs",
    "__vgic_v3_init_lrs", "__vgic_v3_get_gic_config", "__pkvm_tlb_flush_vmid", "__pkvm_host_donate_hyp_mmio",
    "__pkvm_hyp_donate_host_mmio",
])  # fmt: skip
def test_calls_that_have_no_part_in_this_state(function: str) -> None:
    """They change nothing, whatever they return."""
    pre = _state(phase="trusted", finalised=frozenset())

    for outcome in (OK, EPERM, GONE):
        assert _judge(pre, Hvc(function, (P,)), outcome) == Expected(pre)


@pytest.mark.parametrize("function", ["nonsense", 0xC600_0063, 0, DONATE, "hyp_pin_shared_mem"])
@pytest.mark.parametrize("phase, claims", [("deprivileged", CLAIMS), ("trusted", CLAIMS._replace(pkvm=False))])
def test_a_hypercall_that_does_not_exist(function: str | int, phase: str, claims: Claims) -> None:
    """Only NOT_SUPPORTED is an answer to it; EL2's own exist for a host that is trusted anyway, where there is an EL2."""
    pre, op = _state(phase=phase), Hvc(function, (P, 1))

    answered = _wrong(pre, "a hypercall that does not exist answered")
    for outcome in (OK, EPERM):
        assert _judge(pre, op, outcome, claims=claims) == answered
    for silent in (GONE, Aborted(Reason.HYP_MEMORY)):
        assert _judge(pre, op, silent, claims=claims) == Expected(pre)


def test_a_number_that_is_no_name() -> None:
    """A trusted host reaches EL2's own by name alone."""
    pre = _state(phase="trusted")

    for function in (0xC600_0063, "nonsense"):
        assert _judge(pre, Hvc(function, (P, 1)), OK) == _wrong(pre, "a hypercall that does not exist answered")


def test_without_pkvm_nothing_is_shared() -> None:
    """A hypercall that exists elsewhere does not."""
    claims = CLAIMS._replace(pkvm=False)

    answered = _wrong(_state(), "a hypercall that does not exist answered")
    assert _judge(_state(), Hvc(SHARE, (P,)), OK, claims=claims) == answered
    assert _judge(_state(), Hvc(SHARE, (P,)), GONE, claims=claims) == Expected(_state())


@pytest.mark.parametrize("outcome", [HvcReturn(1, 0), HvcReturn(0, 0, "EPERM"), Done()])
def test_what_counts_as_success(outcome: Outcome) -> None:
    """x0 is zero and no errno; anything else is a refusal."""
    pre = _state()
    call = _call(Hvc(SHARE, (P,)), outcome, pre)

    assert host_share_hyp(pre, call, (P,)) == _wrong(pre, "the hypercall was refused although it is legal")
    assert host_unshare_hyp(pre, call, (P,)) == Expected(pre)


# ---------------------------------------------------------------- CPUs lose their privilege

FINALIZE = "__pkvm_prot_finalize"
EVICTED = "a vPE that is resident leaves: it would use tables that nobody holds; hardware says what it left pending"
CONFIG, PENDING = 0x4_9000, 0x4_9010
LPIS = AbstractLpis(
    True,
    GICR_PROPBASER.decode(0).replace(id_bits=15, physical_address=CONFIG << 12).word(),
    GICR_PENDBASER.decode(0).replace(physical_address=PENDING << 12).word(),
)
LPI_RANGES = (range(CONFIG, CONFIG + 14), range(PENDING, PENDING + 16))
LPI_FRAMES = tuple(pfn for frames in LPI_RANGES for pfn in frames)
QUIET = LPIS._replace(enable_lpis=False)


def _evicted(*cpus: int) -> tuple[Loose, ...]:
    return (Loose("lpis", {(cpu, "vpendbaser") for cpu in cpus}, EVICTED),)


def _trusted(pages: Pages | None = None, *done: int, **parts: Any) -> Abstract:
    phase = "deprivileging" if done else "trusted"
    return _state(pages, **{"phase": phase, "finalised": frozenset(done), "lpis": {0: QUIET, 1: QUIET}, **parts})


@pytest.mark.parametrize("done, args, cpu", [((), (), 0), ((), (1,), 1), ((), (0,), 0)])
def test_the_first_cpu(done: Args, args: Args, cpu: int) -> None:
    """The one that is named, or the next; the rest of the state waits for the last."""
    pre = _trusted(None, *done)

    post = replace(pre, phase="deprivileging", finalised=frozenset({cpu}))
    assert _judge(pre, Hvc(FINALIZE, args), OK) == Expected(post)
    for failed in (EPERM, HvcReturn(0, 5), GONE, Aborted(Reason.HYP_MEMORY)):
        assert _judge(pre, Hvc(FINALIZE, args), failed) == Expected(pre)
        assert prot_finalize(pre, _call(Hvc(FINALIZE, args), failed, pre), args or (0,)) == Expected(pre)


@pytest.mark.parametrize("done, args", [((0,), (0,)), ((), (2,)), ((), (-1,)), ((0, 1), ())])
def test_a_cpu_that_cannot_be_finalised(done: Args, args: Args) -> None:
    """One that is not there, and one that was before."""
    pre = _trusted(None, *done)

    text = "a CPU was finalised that is not there, or was so before"
    assert _judge(pre, Hvc(FINALIZE, args), OK) == _wrong(pre, text)


def test_the_last_cpu_closes_the_window() -> None:
    """Tables of LPIs in use are held; where they cannot be, LPIs are off; ITSs not taken over yet are disabled."""
    taken = AbstractIts(A, 0x1000, 0)
    pre = _trusted(None, 0, lpis={0: LPIS, 1: LPIS}, its={1: taken}, quiesced={1: 7})
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
    assert _judge(pre, Hvc(FINALIZE, ()), OK, seen) == Expected(held, _evicted(0, 1))


def test_what_is_held_or_off_stays_so() -> None:
    """A redistributor whose tables are held, and one without LPIs, are as before."""
    pre = _trusted(
        dict.fromkeys(LPI_FRAMES, PINNED), 0, lpis={0: LPIS, 1: QUIET}, held={0: LPI_RANGES}, its={0: 0, 1: 0}
    )

    post = replace(pre, phase="deprivileged", finalised=frozenset({0, 1}))
    assert _judge(pre, Hvc(FINALIZE, (1,)), OK) == Expected(post, _evicted(0, 1))


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
    pre = _trusted(None, 1)
    off = dict.fromkeys(pre.registers, OFF)
    registers = off if quiesced else pre.registers

    judged = _judge(pre, Hvc(FINALIZE, ()), OK, replace(pre, registers=off), facts=replace(FACTS, knobs=knobs))

    done = frozenset({0, 1})
    assert judged == Expected(
        replace(pre, phase=phase, finalised=done, quiesced=quiesced, registers=registers), loose
    )  # fmt: skip


def test_open_redistributors_keep_their_lpis() -> None:
    """Where nobody guards them they are not looked at."""
    pre = _trusted(None, 0, lpis={0: LPIS, 1: LPIS}, its={0: 0, 1: 0})

    judged = _judge(pre, Hvc(FINALIZE, ()), OK, facts=replace(FACTS, knobs={"redistributors": "open"}))
    assert judged == Expected(replace(pre, phase="deprivileged", finalised=frozenset({0, 1})))


# ---------------------------------------------------------------- ITSs

TAKE_OVER = "__pkvm_init_its_emulation"
QUEUE, HOST_QUEUE, L1, COPY, FLAT = 0x4_A000, 0x4_A010, 0x4_A020, 0x4_A030, 0x4_A040
L2, SHADOW, PRIVATE, ITT, VPT, VCONF = 0x4_A050, 0x4_A060, 0x4_A061, 0x4_B000, 0x4_B010, 0x4_B020
OP = Hvc(TAKE_OVER, (ITS[0], PRIVATE << 12, SHADOW << 12))
MANY = (
    "knobs setup_values, table_hiding, itt_pages and others: how many pages go is what the host says, or what they say"
)
TAKEN = AbstractIts(
    HOST_QUEUE << 12, 0x2000, 0x40, {1: (ITT << 12, 9)}, {2: (VPT << 12, 13, VCONF << 12)}, {(1, 0): (L2, 2)},
    host_cwriter=0x40, hw_queue=QUEUE << 12, tables=(AbstractTable(1, L1, 2, COPY), AbstractTable(4, FLAT, 4, 0)),
)  # fmt: skip


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
    return _trusted(None, 0, 1, **{"registers": registers, "quiesced": {0: ON, 1: 9}, **parts})


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

    assert _judge(pre, OP, OK, post) == Expected(post)
    running = post.with_registers(0, CTLR=ON & ~(1 << 31))
    assert _judge(pre, OP, OK, running) == Expected(running)
    last = _unowned(its={1: TAKEN})
    assert _judge(last, OP, OK, _owned(last)) == Expected(replace(_owned(last), phase="deprivileged"))


def test_a_take_over_before_the_switch_over() -> None:
    """No window, so GITS_CTLR stays; the phase is the CPUs'."""
    pre = _unowned(phase="trusted", finalised=frozenset({0}), its={1: TAKEN}, quiesced={})

    post = replace(_owned(pre), registers=pre.registers, quiesced={})
    assert _judge(pre, OP, OK, post) == Expected(post)


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

    judged = _judge(pre, Hvc(TAKE_OVER, moved), OK, post, facts=replace(FACTS, knobs=knobs))
    assert judged == Expected(replace(post, pages=pages))


def test_a_call_without_registers() -> None:
    """Only a hypercall has arguments that were given; any other op has three."""
    pre = _unowned()
    call = _call(Msi(1, 2), OK, _owned(pre))

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

    assert _judge(pre, OP, OK, _owned(pre)) == _wrong(pre, f"{text} were taken that are not the host's to give")


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

    assert _judge(pre, OP, OK, _owned(pre, replace(TAKEN, **changes))) == _wrong(pre, text)


def test_take_overs_of_nothing() -> None:
    """No ITS, one that was taken over before, one that leaves no record: each is named."""
    pre = _unowned()
    nowhere = Hvc(TAKE_OVER, (ITS[0] + 4, *OP.args[1:]))

    assert _judge(pre, nowhere, OK) == _wrong(pre, "something was taken over that is no ITS")
    twice = "an ITS was taken over twice, or leaves no record"
    assert _judge(pre, OP, OK) == _wrong(pre, twice)
    assert _judge(_owned(pre), OP, OK) == _wrong(_owned(pre), twice)


UNDO = "knob setup_undo: what a failed take-over took is not all given back"


@pytest.mark.parametrize("knobs, loose", [
    ({}, ()), ({"setup_undo": "full"}, ()), ({"setup_undo": "partial"}, (Loose("pages", ANY, UNDO, from_host),)),
])  # fmt: skip
@pytest.mark.parametrize("failed", [EPERM, HvcReturn(0, 5), Done()])
def test_a_refused_take_over(knobs: dict[str, str], loose: tuple[Loose, ...], failed: Outcome) -> None:
    """Nothing changes; where less is given back than was taken, pages of the host may be gone."""
    pre = _unowned()

    assert _judge(pre, OP, failed, facts=replace(FACTS, knobs=knobs)) == Expected(pre, loose)
    call = _call(OP, HvcReturn(1, 0), pre, facts=replace(FACTS, knobs=knobs))
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

    judged = _judge(pre, OP, OK, _owned(pre, wild), claims=SERIES, facts=replace(FACTS, knobs=knobs))

    post = replace(_owned(pre, wild), phase="deprivileged", pages=pre.pages, tracked={})
    assert judged == Expected(post, (Loose("pages", ANY, MANY, from_host), *more))


@pytest.mark.parametrize("claims", [CLAIMS, SERIES])
def test_a_take_over_of_what_is_no_its(claims: Claims) -> None:
    """Where regions are not counted the host may name anything: pages are open, no record is made."""
    pre = _unowned()
    op = Hvc(TAKE_OVER, (0x1000, *OP.args[1:]))

    judged = _judge(pre, op, OK, claims=claims, facts=replace(FACTS, knobs={"region_scan": "off_by_one"}))

    assert judged == Expected(pre, (Loose("pages", ANY, MANY, from_host), WALKED))


# ---------------------------------------------------------------- redistributors

REDIST = "__pkvm_init_redist_emulation"
SECOND = GICR + STRIDE


@pytest.mark.parametrize("addr, cpu", [(GICR, 0), (SECOND, 1)])
@pytest.mark.parametrize("more, count", [((), 1), ((3,), 3), ((2, 9, 9, 9), 2)])
def test_a_redistributor_changes_hands(addr: int, cpu: int, more: Args, count: int) -> None:
    """Private pages go, the CPU is written down, and tables of LPIs that are off stay the host's."""
    pre = _trusted(None, 0, 1, taken=frozenset({1 - cpu}))
    op = Hvc(REDIST, (addr, A + 0x10, *more))

    pages = {OTHER: SHARED, **dict.fromkeys(range(P, P + count), HYP)}
    post = replace(pre, pages=pages, taken=frozenset({0, 1}))
    assert _judge(pre, op, OK) == Expected(post, _evicted(cpu))
    assert _judge(pre, op, EPERM) == Expected(pre, _evicted(cpu))
    text = f"{count} pages at 0x48000 were taken that are not the host's to give"
    lent = replace(pre, pages={P + count - 1: SHARED})
    assert _judge(lent, op, OK) == _wrong(lent, text)


def test_a_redistributor_whose_lpis_are_on() -> None:
    """Its tables are held, or are so already; where they cannot be, it may not be taken over."""
    op = Hvc(REDIST, (SECOND, A))
    pre = _trusted(None, 0, 1, lpis={0: QUIET, 1: LPIS})
    held = dict.fromkeys(LPI_FRAMES, PINNED)

    post = replace(
        pre, pages={OTHER: SHARED, P: HYP, **held}, taken=frozenset({1}), held={1: LPI_RANGES},
        tracked=dict.fromkeys(LPI_FRAMES, 1),
    )  # fmt: skip
    assert _judge(pre, op, OK) == Expected(post, _evicted(1))
    already = replace(post, pages={OTHER: SHARED, **held}, taken=frozenset())
    assert _judge(already, op, OK) == Expected(post, _evicted(1))
    secret = replace(pre, pages={CONFIG: GUEST})
    assert _judge(secret, op, OK) == _wrong(secret, "a redistributor was taken over whose tables cannot be held")


@pytest.mark.parametrize("addr", [GICR + 4, GICR - STRIDE, GICR + 2 * STRIDE])
def test_what_is_no_redistributor(addr: int) -> None:
    """A refusal leaves nothing open, and success is a difference."""
    pre, op = _trusted(None, 0, 1), Hvc(REDIST, (addr, A))

    assert _judge(pre, op, EPERM) == Expected(pre)
    assert _judge(pre, op, OK) == _wrong(
        pre, "something was taken over that is no redistributor, or was so before"
    )  # fmt: skip


def test_a_redistributor_is_taken_over_once() -> None:
    """Twice is a difference; and only a hypercall says how many pages it gives."""
    pre = _trusted(None, 0, 1, taken=frozenset({1}))
    text = "something was taken over that is no redistributor, or was so before"

    assert _judge(pre, Hvc(REDIST, (SECOND, A)), OK) == _wrong(pre, text)
    post = replace(pre, pages={OTHER: SHARED, P: HYP}, taken=frozenset({0, 1}))
    judged = redistributor_take_over(pre, _call(Msi(1, 2), OK, pre), (GICR, A, 5))
    assert judged == Expected(post, _evicted(0))


# ---------------------------------------------------------------- memory, and machines that stop

LET_THROUGH, STOPPED = "stage 2 let the host through", "stage 2 stopped the host at its own page"
NOT_INJECTED = "the hypervisor stopped the machine where it should inject an abort"
ABORTED, PANICKED = Aborted(Reason.HYP_MEMORY), Panicked(Reason.EL2_FAULT)
LENIENT = CLAIMS._replace(injects=False)
ACCESSES: list[tuple[Op, Outcome]] = [
    (Load(A + 0xFFF, 2), Bytes(b"ab")), (Fill(A + 0xFFF, 2, 0), Done()), (Store(A + 0xFFF, b"ab"), Done()),
    (MmioRead(A + 0xFFC, 8), Value(0)), (MmioWrite(A + 0xFFC, 8, 0), Done()),
]  # fmt: skip


@pytest.mark.parametrize("op, passed", ACCESSES)
@pytest.mark.parametrize("at", BOTH)
def test_both_pages_of_an_access_count(op: Op, passed: Outcome, at: int) -> None:
    """It passes where both are the host's, and ends in an abort, or where none is injected in a stop, where one is not."""
    mine, foreign = _state({at: SHARED}), _state({at: GUEST})

    assert _judge(mine, op, passed) == Expected(mine)
    for stop in (ABORTED, PANICKED):
        assert _judge(mine, op, stop) == _wrong(mine, STOPPED)
        assert _judge(foreign, op, stop, claims=LENIENT) == Expected(foreign)
    assert _judge(foreign, op, passed) == _wrong(foreign, LET_THROUGH)
    assert _judge(foreign, op, ABORTED) == Expected(foreign)
    assert _judge(foreign, op, PANICKED) == _wrong(foreign, NOT_INJECTED)
    early = replace(foreign, finalised=frozenset({0}))
    assert _judge(early, op, passed) == Expected(early)
    assert _judge(early, op, ABORTED) == _wrong(early, STOPPED)


@pytest.mark.parametrize("op", [
    Load(0x5000_0000, 8), Load(0x4FFF_FFFC, 8), Load(0x3FFF_FFFC, 8), Load(A, 0), MmioRead(0x0900_0000, 4),
    MmioRead(ITS[0], 4), MmioRead(ITS[1] + 0x88, 8), MmioWrite(0x0900_0000, 4, 1), Msi(1, 2),
])  # fmt: skip
def test_what_is_no_access_to_memory(op: Op) -> None:
    """Devices, places without memory, no bytes: nothing changes, however it ends."""
    for outcome in (Done(), ABORTED):
        assert _judge(_state(), op, outcome) == Expected(_state())


def test_writes_to_devices_are_their_own() -> None:
    """An ITS's and a redistributor's registers are judged by their own functions, at the right frame and offset."""
    pre = _state(lpis={0: LPIS, 1: LPIS}, taken=frozenset({0, 1}), its={0: TAKEN, 1: TAKEN})
    frozen = _judge(pre, MmioWrite(SECOND + 0x70, 8, 0), Done())
    assert frozen == _wrong(pre, "GICR_PROPBASER was written while LPIs are on")

    early = _trusted()
    loose = _judge(early, MmioWrite(ITS[1] + 0x100, 8, 0), Done()).loose
    assert [(each.part, each.keys) for each in loose if each.keys != set()] == [("registers", {(1, "BASER0")})]
    (lpis,) = _judge(early, MmioWrite(SECOND + 0x70, 8, 0), Done()).loose
    assert (lpis.part, lpis.keys) == ("lpis", {(1, "propbaser")})


@pytest.mark.parametrize("op", [Hvc(SHARE, (P,)), MmioWrite(ITS[0] + 0x88, 8, 0), MmioWrite(SECOND, 4, 0)])
@pytest.mark.parametrize("claims", [SERIES, LENIENT, Claims(True, False, False)])
def test_a_machine_that_stopped_half_way(op: Op, claims: Claims) -> None:
    """What it had done by then is open, but no page of a guest came or went."""
    judged = _judge(_state(), op, PANICKED, claims=claims)

    assert (judged.post, judged.wrong) == (_state(), None)
    assert [each.part for each in judged.loose] == ["pages", "its", "tracked", "registers"]
    assert all(each.keys is ANY and each.why == "the hypervisor stopped half way" for each in judged.loose)
    pages, *rest = judged.loose
    assert [each for each in rest if not each.allowed(GUEST, HYP)] == []
    for before, after, fine in (
        (HOST_ALONE, HYP, True), (HYP, HOST_ALONE, True), (SHARED, HYP, True), (PINNED, HYP, False),
        (GUEST, HOST_ALONE, False), (HOST_ALONE, GUEST, False), (HYP, GUEST, False), (HYP, HYP, False),
    ):  # fmt: skip
        assert (pages.allowed(before, after), (before, after)) == (fine, (before, after))


@pytest.mark.parametrize("op", [Hvc(SHARE, (P,)), MmioWrite(ITS[0] + 0x88, 8, 0), MmioWrite(SECOND, 4, 0)])
def test_a_machine_that_may_not_stop(op: Op) -> None:
    """The hardening promises that it never does."""
    assert _judge(_state(), op, PANICKED) == _wrong(_state(), "the hypervisor stopped the machine")


def test_hypercall_is_what_specify_uses() -> None:
    """The entry of the hypercalls answers as the whole does."""
    pre, op = _state(), Hvc(SHARE, (P,))

    assert hypercall(pre, _call(op, OK, pre), op) == specify(pre, _call(op, OK, pre))
