"""Hypercalls in the specification: one function per call, from arguments and state to the state after it.

A call succeeds exactly when it is legal, and one that does not succeed changes nothing, where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from itsbox.arch.hypercalls import BY_NAME, find_hypercall
from itsbox.arch.values import PAGE_SIZE, is_aligned, pages_of, pfn_of
from itsbox.ops import Hvc, HvcReturn
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractPage, page_at
from itsbox.oracle.spec_call import Call, Expected
from itsbox.oracle.spec_pages import GUEST, HOST_SHARED, HYP, WITH_GUEST, inside, move
from itsbox.oracle.spec_takeover import its_take_over, prot_finalize, redistributor_take_over

__all__ = ["hypercall"]

Args: TypeAlias = tuple[int, ...]
"""x1 and on; those that were not given read as zero."""
Rule: TypeAlias = Callable[[Abstract, Call, Args], Expected]

_RESIDENT: Final = 0
"""The guest of the memory map, which lives for ever."""


def _value(call: Call) -> int | None:
    """What the call returned in x1, or None if it failed."""
    outcome = call.outcome
    good = isinstance(outcome, HvcReturn) and outcome.x0 == 0 and outcome.errno is None
    return outcome.x1 if good and isinstance(outcome, HvcReturn) else None


def _result(pre: Abstract, call: Call, post: Abstract | None) -> Expected:
    """Success exactly when it is legal (``post`` says how); else nothing changes."""
    if (_value(call) is not None) == (post is not None):
        return Expected(pre if post is None else post)
    text = "was refused although it is legal" if post is not None else "succeeded although it is not"
    return Expected(pre, wrong=f"the hypercall {text}")


def _move(pre: Abstract, call: Call, place: tuple[int, int], old: AbstractPage, new: AbstractPage) -> Expected:
    """A transition of ``place`` (frame, count) from one page state to another: all pages, or none."""
    first, count = place
    if not count:
        return Expected(pre)  # no pages: nothing to refuse and nothing to do
    return _result(pre, call, move(pre, call.facts, range(first, first + count), old, new))


# ---------------------------------------------------------------- sharing and giving


def host_share_hyp(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_share_hyp``: from owned alone to shared; sharing twice is refused."""
    return _move(pre, call, (args[0], 1), HOST_ALONE, HOST_SHARED)


def host_unshare_hyp(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_unshare_hyp``: the way back, unless pinned."""
    return _move(pre, call, (args[0], 1), HOST_SHARED, HOST_ALONE)


def host_share_guest(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_share_guest``: for a guest that is not protected."""
    return _move(pre, call, (args[0], args[2]), HOST_ALONE, WITH_GUEST)


def host_unshare_guest(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_unshare_guest``: guests are mapped flat, the guest's frame is the page's."""
    return _move(pre, call, (args[1], args[2]), WITH_GUEST, HOST_ALONE)


def host_donate_guest(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_donate_guest``: pages that the host owns alone become the youngest protected guest's."""
    answer = _move(pre, call, (args[0], args[2]), HOST_ALONE, GUEST)
    if answer.wrong or _value(call) is None:
        return answer
    owner = max(pre.alive, default=_RESIDENT)
    given = dict.fromkeys(range(args[0], args[0] + args[2]), owner)
    return Expected(replace(answer.post, donated={**pre.donated, **given}))


def host_reclaim_page(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_reclaim_page``: a page of a guest that was torn down comes back; the carve-out never does."""
    owner = pre.donated.get(args[0], _RESIDENT)
    if owner == _RESIDENT or owner in pre.alive or args[0] in call.facts.regions.guest:
        return _result(pre, call, None)
    post = move(pre, call.facts, range(args[0], args[0] + 1), GUEST, HOST_ALONE)
    if post is not None:
        post = replace(post, donated={pfn: handle for pfn, handle in pre.donated.items() if pfn != args[0]})
    return _result(pre, call, post)


# ---------------------------------------------------------------- guests


def init_vm(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_init_vm``: two pages hold the guest's state and its page table. The handle is the hypervisor's choice."""
    handle = _value(call)
    if not all(is_aligned(addr, PAGE_SIZE) for addr in args[1:3]):
        return _result(pre, call, None)
    state: Abstract | None = pre
    for addr in args[1:3]:
        state = None if state is None else move(state, call.facts, pages_of(addr, 1), HOST_ALONE, HYP)
    if handle is None:
        return Expected(pre)  # there is a limit to guests, which is the hypervisor's
    if state is not None and (handle in pre.alive or handle == _RESIDENT):
        return Expected(pre, wrong=f"handle {handle:#x} is another guest's")
    frames = (pfn_of(args[1]), pfn_of(args[2]))
    return _result(pre, call, None if state is None else replace(state, alive={**pre.alive, handle: frames}))


def init_vcpu(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_init_vcpu``: nothing that this state has; the guest must exist."""
    return _result(pre, call, pre if args[0] in pre.alive else None)


def teardown_vm(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_teardown_vm``: the two pages go back to the host; what was given to the guest can be reclaimed."""
    frames = pre.alive.get(args[0])
    if frames is None:
        return _result(pre, call, None)
    alive = {handle: pages for handle, pages in pre.alive.items() if handle != args[0]}
    state: Abstract | None = replace(pre, alive=alive)
    for pfn in frames:
        state = None if state is None else move(state, call.facts, range(pfn, pfn + 1), HYP, HOST_ALONE)
    return _result(pre, call, state)


def nothing(pre: Abstract, call: Call, args: Args) -> Expected:
    """Set-up that a machine has behind it at reset, caches that it does not have, device pages: no part of this state."""
    return Expected(pre)


# ---------------------------------------------------------------- EL2's own, for a host that is trusted anyway


def host_donate_hyp(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_host_donate_hyp``: pages that the host owns alone become the hypervisor's."""
    return _move(pre, call, (args[0], args[1]), HOST_ALONE, HYP)


def hyp_donate_host(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_hyp_donate_host``: the way back; never the carve-out."""
    carve_out = call.facts.regions.hyp
    if args[1] and (args[0] in carve_out or args[0] + args[1] - 1 in carve_out):
        return _result(pre, call, None)
    return _move(pre, call, (args[0], args[1]), HYP, HOST_ALONE)


def pin_shared_mem(pre: Abstract, call: Call, args: Args) -> Expected:
    """``hyp_pin_shared_mem``: each page of [from, to) is shared with the hypervisor, and pinned once more."""
    return _count(pre, call, args, 1)


def unpin_shared_mem(pre: Abstract, call: Call, args: Args) -> Expected:
    """``hyp_unpin_shared_mem``: each page of [from, to) is pinned once less."""
    return _count(pre, call, args, -1)


def _count(pre: Abstract, call: Call, args: Args, change: int) -> Expected:
    start, end = args[0], args[1]
    frames = range(pfn_of(start), pfn_of(end + PAGE_SIZE - 1))
    regions = call.facts.regions
    if not inside(call.facts, frames) and frames:
        return _result(pre, call, None)
    pages = {pfn: page_at(pre, regions, pfn) for pfn in frames}
    legal = all(page._replace(pins=0) == HOST_SHARED and page.pins + change >= 0 for page in pages.values())
    changed = {pfn: page._replace(pins=page.pins + change) for pfn, page in pages.items()}
    return _result(pre, call, pre.with_pages(changed, regions) if legal else None)


_EARLY: Final = (
    "__kvm_hyp_init", "__pkvm_init", "__pkvm_create_private_mapping", "__pkvm_cpu_set_vector", "__kvm_enable_ssbs",
    "__vgic_v3_init_lrs", "__vgic_v3_get_gic_config", "__pkvm_tlb_flush_vmid", "__pkvm_host_donate_hyp_mmio",
    "__pkvm_hyp_donate_host_mmio",
)  # fmt: skip
_RULES: Final[dict[str, tuple[int, Rule]]] = {
    **dict.fromkeys(_EARLY, (0, nothing)),
    "__pkvm_prot_finalize": (0, prot_finalize),
    "__pkvm_host_share_hyp": (1, host_share_hyp),
    "__pkvm_host_unshare_hyp": (1, host_unshare_hyp),
    "__pkvm_host_share_guest": (4, host_share_guest),
    "__pkvm_host_unshare_guest": (3, host_unshare_guest),
    "__pkvm_host_donate_guest": (3, host_donate_guest),
    "__pkvm_host_reclaim_page": (1, host_reclaim_page),
    "__pkvm_init_vm": (3, init_vm),
    "__pkvm_init_vcpu": (1, init_vcpu),
    "__pkvm_teardown_vm": (1, teardown_vm),
    "__pkvm_init_its_emulation": (0, its_take_over),
    "__pkvm_init_redist_emulation": (0, redistributor_take_over),
    "__pkvm_host_donate_hyp": (2, host_donate_hyp),
    "__pkvm_hyp_donate_host": (2, hyp_donate_host),
    "hyp_pin_shared_mem": (2, pin_shared_mem),
    "hyp_unpin_shared_mem": (2, unpin_shared_mem),
}
"""Name to (arguments it needs, function)."""
_REGISTERS: Final = 6


def hypercall(pre: Abstract, call: Call, op: Hvc) -> Expected:
    """Any hypercall: one that does not exist is NOT_SUPPORTED and changes nothing."""
    found = find_hypercall(op.function)
    if found is None and pre.phase == "trusted" and isinstance(op.function, str):
        found = BY_NAME.get(op.function)  # EL2's own, for a host that is trusted anyway (decision record 0102)
    outcome = call.outcome
    if found is None or not call.claims.pkvm:
        supported = isinstance(outcome, HvcReturn) and outcome.x0 == 0
        return Expected(pre, wrong="a hypercall that does not exist answered" if supported else None)
    if isinstance(outcome, HvcReturn) and outcome.x0:
        return Expected(pre)  # closed by now, or not part of the preset: then it did nothing
    needs, rule = _RULES[found.name]
    # A register that the host does not set holds something; this machine clears it. A hypervisor may also refuse.
    if len(op.args) < needs and _value(call) is None:
        return Expected(pre)
    return rule(pre, call, (*op.args, *(0,) * _REGISTERS)[:_REGISTERS])
