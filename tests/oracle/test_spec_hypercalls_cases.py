"""Hypercalls, take-overs and stops in the specification, case by case: the whole answer, state, choices and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

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
from itsbox.oracle.abstract import HOST_ALONE, Abstract
from itsbox.oracle.spec import Claims, Expected, specify
from itsbox.oracle.spec_call import ANY
from itsbox.oracle.spec_hypercalls import host_share_hyp, host_unshare_hyp, hypercall
from itsbox.reasons import Reason
from tests.oracle.spec_cases import (
    CLAIMS,
    DEAD,
    EPERM,
    GONE,
    GUEST,
    HYP,
    ITS,
    LIVING,
    LPIS,
    OK,
    PINNED,
    SECOND,
    SERIES,
    SHARED,
    TAKEN,
    TWICE,
    WITH_GUEST,
    A,
    Args,
    Known,
    P,
    Pages,
    call_of,
    is_wrong,
    judge,
    state_with,
    trusted,
)

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
    return state_with(pages, **{"phase": "trusted" if function in EL2_ONLY else "deprivileged", **parts})


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

    assert judge(pre, Hvc(function, args), OK) == Expected(post)
    for refused in (EPERM, Aborted(Reason.HYP_MEMORY)):
        expected = is_wrong(pre, "the hypercall was refused although it is legal")
        assert judge(pre, Hvc(function, args), refused) == expected
    assert judge(pre, Hvc(function, args), GONE) == Expected(pre)


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

    assert judge(pre, Hvc(function, args), EPERM) == Expected(pre)
    assert judge(pre, Hvc(function, args), OK) == is_wrong(pre, "the hypercall succeeded although it is not")


@pytest.mark.parametrize("function, args", [
    (LEND, (P, 7, 0, 1)), (RETURN, (7, P, 0)), (GIVE, (P, 7, 0)), (DONATE, (P, 0)), (TAKE_BACK, (0x4_8010, 0)),
])  # fmt: skip
def test_no_pages_at_all(function: str, args: Args) -> None:
    """Nothing to refuse and nothing to do, even where a page could not be had."""
    pre = _before(function, {P: PINNED}, {"alive": {LIVING: (1, 2)}, "donated": {9: 5}})

    assert judge(pre, Hvc(function, args), OK) == judge(pre, Hvc(function, args), EPERM) == Expected(pre)


def test_a_new_guest() -> None:
    """Two pages become the hypervisor's and the handle is new; more registers than two addresses are not looked at."""
    pre = state_with(alive={LIVING: (1, 2)})
    op = Hvc(INIT_VM, (8, A, A + 0x5000, 1, 1, 1))

    post = state_with({P: HYP, P + 5: HYP}, alive={LIVING: (1, 2), DEAD: (P, P + 5)})
    assert judge(pre, op, HvcReturn(0, DEAD)) == Expected(post)
    assert judge(pre, op, EPERM) == Expected(pre)  # there is a limit to guests
    assert judge(pre, op, HvcReturn(0, LIVING)) == is_wrong(pre, "handle 0x1001 is another guest's")
    assert judge(pre, op, OK) == is_wrong(pre, "handle 0x0 is another guest's")


@pytest.mark.parametrize("function, args", [
    (SHARE, (0x4_0000,)), (LEND, (P, 7, 2, 1)), (GIVE, (P, 7, 2)), (DONATE, (P, 2)), (PIN, (A, A)),
])  # fmt: skip
def test_an_argument_less_than_a_call_needs(function: str, args: Args) -> None:
    """It may be refused for the register that was not set, and reads it as zero if it is not refused."""
    pre = _before(function, {}, {})

    assert judge(pre, Hvc(function, args[:-1]), EPERM) == Expected(pre)
    zero = (*args[:-1], 0)
    assert judge(pre, Hvc(function, args[:-1]), OK) == judge(pre, Hvc(function, zero), OK)


@pytest.mark.parametrize("function", [
    "__kvm_hyp_init", "__pkvm_init", "__pkvm_create_private_mapping", "__pkvm_cpu_set_vector", "__kvm_enable_ssbs",
    "__vgic_v3_init_lrs", "__vgic_v3_get_gic_config", "__pkvm_tlb_flush_vmid", "__pkvm_host_donate_hyp_mmio",
    "__pkvm_hyp_donate_host_mmio",
])  # fmt: skip
def test_calls_that_have_no_part_in_this_state(function: str) -> None:
    """They change nothing, whatever they return."""
    pre = state_with(phase="trusted", finalised=frozenset())

    for outcome in (OK, EPERM, GONE):
        assert judge(pre, Hvc(function, (P,)), outcome) == Expected(pre)


@pytest.mark.parametrize("function", ["nonsense", 0xC600_0063, 0, DONATE, "hyp_pin_shared_mem"])
@pytest.mark.parametrize("phase, claims", [("deprivileged", CLAIMS), ("trusted", CLAIMS._replace(pkvm=False))])
def test_a_hypercall_that_does_not_exist(function: str | int, phase: str, claims: Claims) -> None:
    """Only NOT_SUPPORTED is an answer to it; EL2's own exist for a host that is trusted anyway, where there is an EL2."""
    pre, op = state_with(phase=phase), Hvc(function, (P, 1))

    answered = is_wrong(pre, "a hypercall that does not exist answered")
    for outcome in (OK, EPERM):
        assert judge(pre, op, outcome, claims=claims) == answered
    for silent in (GONE, Aborted(Reason.HYP_MEMORY)):
        assert judge(pre, op, silent, claims=claims) == Expected(pre)


def test_a_number_that_is_no_name() -> None:
    """A trusted host reaches EL2's own by name alone."""
    pre = state_with(phase="trusted")

    for function in (0xC600_0063, "nonsense"):
        assert judge(pre, Hvc(function, (P, 1)), OK) == is_wrong(pre, "a hypercall that does not exist answered")


def test_without_pkvm_nothing_is_shared() -> None:
    """A hypercall that exists elsewhere does not."""
    claims = CLAIMS._replace(pkvm=False)

    answered = is_wrong(state_with(), "a hypercall that does not exist answered")
    assert judge(state_with(), Hvc(SHARE, (P,)), OK, claims=claims) == answered
    assert judge(state_with(), Hvc(SHARE, (P,)), GONE, claims=claims) == Expected(state_with())


@pytest.mark.parametrize("outcome", [HvcReturn(1, 0), HvcReturn(0, 0, "EPERM"), Done()])
def test_what_counts_as_success(outcome: Outcome) -> None:
    """x0 is zero and no errno; anything else is a refusal."""
    pre = state_with()
    call = call_of(Hvc(SHARE, (P,)), outcome, pre)

    assert host_share_hyp(pre, call, (P,)) == is_wrong(pre, "the hypercall was refused although it is legal")
    assert host_unshare_hyp(pre, call, (P,)) == Expected(pre)


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
    mine, foreign = state_with({at: SHARED}), state_with({at: GUEST})

    assert judge(mine, op, passed) == Expected(mine)
    for stop in (ABORTED, PANICKED):
        assert judge(mine, op, stop) == is_wrong(mine, STOPPED)
        assert judge(foreign, op, stop, claims=LENIENT) == Expected(foreign)
    assert judge(foreign, op, passed) == is_wrong(foreign, LET_THROUGH)
    assert judge(foreign, op, ABORTED) == Expected(foreign)
    assert judge(foreign, op, PANICKED) == is_wrong(foreign, NOT_INJECTED)
    early = replace(foreign, finalised=frozenset({0}))
    assert judge(early, op, passed) == Expected(early)
    assert judge(early, op, ABORTED) == is_wrong(early, STOPPED)


@pytest.mark.parametrize("op", [
    Load(0x5000_0000, 8), Load(0x4FFF_FFFC, 8), Load(0x3FFF_FFFC, 8), Load(A, 0), MmioRead(0x0900_0000, 4),
    MmioRead(ITS[0], 4), MmioRead(ITS[1] + 0x88, 8), MmioWrite(0x0900_0000, 4, 1), Msi(1, 2),
])  # fmt: skip
def test_what_is_no_access_to_memory(op: Op) -> None:
    """Devices, places without memory, no bytes: nothing changes, however it ends."""
    for outcome in (Done(), ABORTED):
        assert judge(state_with(), op, outcome) == Expected(state_with())


def test_writes_to_devices_are_their_own() -> None:
    """An ITS's and a redistributor's registers are judged by their own functions, at the right frame and offset."""
    pre = state_with(lpis={0: LPIS, 1: LPIS}, taken=frozenset({0, 1}), its={0: TAKEN, 1: TAKEN})
    frozen = judge(pre, MmioWrite(SECOND + 0x70, 8, 0), Done())
    assert frozen == is_wrong(pre, "GICR_PROPBASER was written while LPIs are on")

    early = trusted()
    loose = judge(early, MmioWrite(ITS[1] + 0x100, 8, 0), Done()).loose
    assert [(each.part, each.keys) for each in loose if each.keys != set()] == [("registers", {(1, "BASER0")})]
    (lpis,) = judge(early, MmioWrite(SECOND + 0x70, 8, 0), Done()).loose
    assert (lpis.part, lpis.keys) == ("lpis", {(1, "propbaser")})


@pytest.mark.parametrize("op", [Hvc(SHARE, (P,)), MmioWrite(ITS[0] + 0x88, 8, 0), MmioWrite(SECOND, 4, 0)])
@pytest.mark.parametrize("claims", [SERIES, LENIENT, Claims(True, False, False)])
def test_a_machine_that_stopped_half_way(op: Op, claims: Claims) -> None:
    """What it had done by then is open, but no page of a guest came or went."""
    judged = judge(state_with(), op, PANICKED, claims=claims)

    assert (judged.post, judged.wrong) == (state_with(), None)
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
    assert judge(state_with(), op, PANICKED) == is_wrong(state_with(), "the hypervisor stopped the machine")


def test_hypercall_is_what_specify_uses() -> None:
    """The entry of the hypercalls answers as the whole does."""
    pre, op = state_with(), Hvc(SHARE, (P,))

    assert hypercall(pre, call_of(op, OK, pre), op) == specify(pre, call_of(op, OK, pre))
