"""Hypercalls: SMCCC results, bands, errors; and any sequence of them keeps ownership consistent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.hypercalls import BY_NAME, HYPERCALLS
from itsbox.arch.smccc import vendor_hypercall
from itsbox.arch.values import pfn_of
from itsbox.memory.ownership import Owner, PageState
from itsbox.ops import Hvc, HvcReturn, Panicked
from itsbox.reasons import Reason
from tests.hypervisor.box import Box

NOT_SUPPORTED = (1 << 64) - 1
MINUS_EPERM = (1 << 64) - 1


def test_success_and_failure_in_registers() -> None:
    """x0 is 0; x1 the result, a negative errno as an unsigned number; the errno by name, with its reason."""
    box = Box()
    pfn = pfn_of(box.page(0))

    assert box.hvc("__pkvm_host_share_hyp", pfn) == HvcReturn(0, 0)
    assert box.hvc("__pkvm_host_share_hyp", pfn) == HvcReturn(0, MINUS_EPERM, "EPERM", Reason.PAGE_SHARED)
    assert box.describe(box.page(0)) == ("host", "SHARED_OWNED", 0)


def test_numbers_are_names() -> None:
    """0xC6000000 + number reaches the same function."""
    box = Box()
    number = BY_NAME["__pkvm_host_share_hyp"].number
    assert number is not None

    assert box.hvc(vendor_hypercall(number), pfn_of(box.page(0))).x1 == 0
    assert box.describe(box.page(0))[1] == "SHARED_OWNED"


@pytest.mark.parametrize("function", ["__no_such_call", "", 0, 14, 0xC600_FFFF, (1 << 64) - 1, 0x8400_0000])
def test_what_does_not_exist_is_not_supported(function: str | int) -> None:
    """x0 is NOT_SUPPORTED, no errno."""
    answer = Box().hvc(function, 1, 2, 3)

    assert (answer.x0, answer.x1, answer.errno, answer.reason) == (NOT_SUPPORTED, 0, None, Reason.UNKNOWN_FUNCTION)


def test_calls_of_the_boot_are_closed_afterwards() -> None:
    """Once a CPU is finalised, calls below ``__pkvm_prot_finalize`` are NOT_SUPPORTED; that one itself is -EPERM."""
    before, after = Box(session={"start": "bare"}), Box()
    for call in HYPERCALLS:
        if call.early and call.name != "__pkvm_prot_finalize":
            assert before.hvc(call.name).x0 == 0
            assert after.hvc(call.name).reason is Reason.FUNCTION_CLOSED
    assert after.errno("__pkvm_prot_finalize") == "EPERM"


def test_el2s_own_calls_exist_while_the_host_is_trusted() -> None:
    """Donation, device pages and pins can be tried out before the switch-over; afterwards they do not exist."""
    box = Box(session={"start": "bare"})
    pfn, device = pfn_of(box.page(0)), pfn_of(box.map.gicd)
    assert box.errno("__pkvm_host_donate_hyp", pfn, 2) is None
    assert box.errno("__pkvm_host_donate_hyp", pfn, 2) == "EPERM"
    assert box.errno("__pkvm_host_donate_hyp", pfn_of(box.map.ram) - 1, 2) == "EINVAL"
    assert box.errno("__pkvm_hyp_donate_host", pfn, 2) is None
    assert box.errno("__pkvm_hyp_donate_host", pfn_of(box.map.hyp), 1) == "EPERM"
    assert box.errno("__pkvm_host_donate_hyp_mmio", device) is None
    assert box.errno("__pkvm_host_donate_hyp_mmio", device) == "EPERM"
    assert box.errno("__pkvm_host_donate_hyp_mmio", pfn) == "EINVAL"
    assert box.errno("__pkvm_hyp_donate_host_mmio", device) is None
    assert box.errno("__pkvm_hyp_donate_host_mmio", device) == "EPERM"
    assert box.errno("__pkvm_host_share_hyp", pfn) is None
    assert box.errno("hyp_pin_shared_mem", box.page(0), box.page(0) + 1) is None
    assert box.errno("__pkvm_host_unshare_hyp", pfn) == "EBUSY"
    assert box.errno("hyp_unpin_shared_mem", box.page(0), box.page(0) + 1) is None
    assert box.errno("hyp_unpin_shared_mem", box.page(0), box.page(0) + 1) == "EPERM"

    for name in ("__pkvm_host_donate_hyp", "__pkvm_hyp_donate_host_mmio", "hyp_pin_shared_mem"):
        assert Box().hvc(name, pfn, 1).reason is Reason.FUNCTION_CLOSED


def test_guests() -> None:
    """A guest is created, gets memory, goes, and its memory comes back wiped."""
    box = Box()
    answer = box.hvc("__pkvm_init_vm", 0, box.page(0), box.page(1))
    assert (answer.x0, answer.x1) == (0, 0x1000)
    assert box.errno("__pkvm_init_vcpu", 0x1000) is None
    assert box.errno("__pkvm_init_vcpu", 0x1001) == "EINVAL"
    pfn = pfn_of(box.page(2))
    box.machine.memory.store(box.page(2), b"secret")
    assert box.errno("__pkvm_host_donate_guest", pfn, 0, 1) is None
    assert box.describe(box.page(2))[0] == "guest"
    assert box.errno("__pkvm_host_reclaim_page", pfn) == "EPERM"
    assert box.errno("__pkvm_teardown_vm", 0x1000) is None
    assert box.errno("__pkvm_teardown_vm", 0x1000) == "EINVAL"
    assert box.errno("__pkvm_host_reclaim_page", pfn) is None
    assert box.describe(box.page(2)) == box.describe(box.page(0)) == ("host", "OWNED", 0)
    assert box.machine.physical(box.page(2), 6) == bytes(6)
    assert box.errno("__pkvm_host_reclaim_page", pfn_of(box.map.guest)) == "EPERM"
    assert box.errno("__pkvm_host_share_guest", pfn, pfn, 2, 0) is None
    assert box.errno("__pkvm_host_unshare_guest", 0, pfn, 2) is None
    assert box.errno("__pkvm_tlb_flush_vmid", 0) is None


def test_a_guest_needs_whole_pages_of_the_hosts() -> None:
    """-EINVAL for pointers that are not page aligned, -EPERM for pages that are not the host's."""
    box = Box()
    assert box.errno("__pkvm_init_vm", 0, box.page(0) + 8, box.page(1)) == "EINVAL"
    assert box.errno("__pkvm_init_vm", 0, box.page(0), box.map.hyp) == "EPERM"
    assert box.describe(box.page(0)) == ("host", "OWNED", 0)


def test_every_refusal_has_its_reason() -> None:
    """The reason beside the errno says what the errno cannot."""
    box, trusted = Box(), Box(session={"start": "bare"})
    page, pfn = box.page(0), pfn_of(box.page(0))
    assert box.hvc("__pkvm_prot_finalize", 1).reason is Reason.ALREADY_FINALISED
    assert trusted.hvc("__pkvm_prot_finalize", 64).reason is Reason.NO_SUCH_CPU
    assert box.hvc("__pkvm_init_its_emulation", page, page, page).reason is Reason.NO_SUCH_REGION
    assert box.hvc("__pkvm_init_its_emulation", box.its, page, page).reason is Reason.ALREADY_EMULATED
    assert box.hvc("__pkvm_teardown_vm", 1).reason is Reason.NO_SUCH_GUEST
    assert trusted.hvc("__pkvm_hyp_donate_host", pfn, 1).reason is Reason.PAGE_NOT_HYP_OWNED
    trusted.hvc("__pkvm_host_share_hyp", pfn)
    trusted.hvc("hyp_pin_shared_mem", page, page + 1)
    assert trusted.hvc("__pkvm_host_unshare_hyp", pfn).reason is Reason.PAGE_PINNED


def test_too_many_guests() -> None:
    """-ENOMEM at the 256th."""
    box = Box()
    first = box.page(0)
    answers = [box.hvc("__pkvm_init_vm", 0, first + 0x2000 * n, first + 0x2000 * n + 0x1000) for n in range(256)]

    assert {answer.errno for answer in answers[:255]} == {None}
    assert (answers[255].errno, answers[255].reason) == ("ENOMEM", Reason.GUESTS_FULL)


def test_each_call_leaves_an_event() -> None:
    """Function, arguments and registers, refused or not."""
    box = Box()
    box.machine.take_events()
    box.hvc("__pkvm_host_unshare_hyp", 0x48000)

    assert box.events("trap.hvc") == [
        {
            "function": "__pkvm_host_unshare_hyp", "args": ["0x48000"], "x0": "0x0", "x1": hex(MINUS_EPERM),
            "errno": "EPERM", "reason": "page_not_shared",
        }
    ]  # fmt: skip


def test_arguments_that_are_missing_read_as_zero() -> None:
    """And more than six, or wider than 64 bits, are cut off."""
    box = Box()
    assert box.errno("__pkvm_host_share_hyp") == "EPERM"
    assert box.errno("__pkvm_host_share_hyp", pfn_of(box.page(0)), *range(9)) is None
    assert box.errno("__pkvm_host_share_hyp", (1 << 64) + pfn_of(box.page(1))) is None


names = st.sampled_from([call.name for call in HYPERCALLS]) | st.integers(0, (1 << 64) - 1)
_BOX = Box()
words = st.sampled_from(
    [
        0, 1, 2, _BOX.its, _BOX.map.gicr, pfn_of(_BOX.its), pfn_of(_BOX.map.hyp), pfn_of(_BOX.map.guest), _BOX.map.hyp,
        *(pfn_of(_BOX.page(n)) for n in range(4)), *(_BOX.page(n) for n in range(4)), _BOX.page(0) + 8, 0x1000,
        (1 << 64) - 1, 1 << 40, pfn_of(_BOX.map.ram + _BOX.map.ram_bytes) - 1,
    ]
) | st.integers(0, (1 << 64) - 1)  # fmt: skip
calls = st.tuples(names, st.lists(words, max_size=6).map(tuple))
_STARTS = (
    ("strict", "deprivileged"),
    ("strict", "host"),
    ("v2", "deprivileged"),
    ("rfc-v1", "deprivileged"),
    ("v2", "bare"),
)


@settings(derandomize=True, max_examples=120, deadline=None)
@given(st.sampled_from(_STARTS), st.lists(calls, max_size=25))
def test_any_sequence_keeps_the_ownership_invariants(
    start: tuple[str, str], sequence: list[tuple[str | int, tuple[int, ...]]]
) -> None:
    """No call raises, leaves a half state or a lock: a refused one changes nothing, and the carve-outs stay."""
    box = Box(start[0], session={"start": start[1]})
    own = box.machine.ownership
    for function, args in sequence:
        before = own.state()
        answer = box.machine.apply(Hvc(function, args))
        if isinstance(answer, Panicked):
            assert start[0] != "strict"
            return
        assert isinstance(answer, HvcReturn)
        if answer.reason is not None and start[0] == "strict":
            assert own.state() == before
        assert own.owner(pfn_of(box.map.hyp)) == Owner.HYP
        assert own.owner(pfn_of(box.map.guest)) == Owner.GUEST
        for pfn in own._pins:
            assert own.states(pfn)[1] == PageState.SHARED_BORROWED
    assert not box.machine.hypervisor.setup_locked or start[0] == "rfc-v1"
