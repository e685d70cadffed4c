"""Hypercalls: from a name or a number to its function, and from its result to SMCCC registers.

Which calls there are is declared in ``arch.hypercalls``; here is what each does. A call that the kernel keeps for itself (it has
no number) can be asked for by name as long as the host is trusted, so that page ownership can be tried out before the
switch-over; afterwards it does not exist (decision record 0102).

Arguments that were not given read as zero, as registers may hold anything; more than a call takes are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from itsbox.arch.hypercalls import BY_NAME, PROT_FINALIZE, Hypercall, find_hypercall
from itsbox.arch.smccc import Errno, Smccc, to_register
from itsbox.arch.values import PAGE_SIZE, pfn_of
from itsbox.events import TRAP_HVC
from itsbox.hypervisor.el2 import El2Stop
from itsbox.hypervisor.phases import Phase
from itsbox.ops import HvcReturn, Panicked
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.hypervisor import Hypervisor

__all__ = ["call"]

Answer: TypeAlias = "int | Reason | None"
"""What a handler returns: a result (None is 0), or why not; the reason's errno is the negative result."""

_CAUSE: Final = "hypercall"
_REGISTERS: Final = 6


def call(hyp: Hypervisor, function: str | int, args: tuple[int, ...]) -> HvcReturn | Panicked:
    """Carry out a hypercall of the host."""
    known = _find(hyp, function)
    name = known.name if isinstance(known, Hypercall) else str(function)
    shown = [hex(arg) for arg in args]
    if isinstance(known, Reason):
        x0 = to_register(Smccc.NOT_SUPPORTED)
        hyp.el2.log.emit(TRAP_HVC, name, shown, x0, 0, None, known)
        return HvcReturn(x0, 0, None, known)
    given = tuple(arg & _X for arg in (*args, *(0,) * _REGISTERS)[:_REGISTERS])
    try:
        answer = _HANDLERS[known.name](hyp, given, len(args))
    except El2Stop as stop:
        hyp.el2.log.emit(TRAP_HVC, name, shown, 0, 0, None, stop.reason)
        return Panicked(stop.reason)
    if isinstance(answer, Reason):
        errno = Errno[answer.errno or "EINVAL"]
        result = HvcReturn(0, to_register(-errno), errno.name, answer)
    else:
        result = HvcReturn(0, to_register(answer or 0))
    hyp.el2.log.emit(TRAP_HVC, name, shown, *result)
    return result


_X: Final = to_register(-1)


def _find(hyp: Hypervisor, function: str | int) -> Hypercall | Reason:
    """The call, or why the answer is NOT_SUPPORTED."""
    if not hyp.present:
        return Reason.UNKNOWN_FUNCTION
    found = find_hypercall(function)
    trusted = hyp.phase == Phase.TRUSTED
    if found is None:
        internal = BY_NAME.get(function) if isinstance(function, str) else None
        if internal is None or internal.name not in _HANDLERS:
            return Reason.UNKNOWN_FUNCTION
        return internal if trusted else Reason.FUNCTION_CLOSED
    if found.early and found.number != PROT_FINALIZE and not trusted:
        return Reason.FUNCTION_CLOSED
    if not hyp.offers(found.name):
        return Reason.UNKNOWN_FUNCTION
    return found


# ---------------------------------------------------------------- handlers: (hypervisor, x1..x6, how many were given)


def _done_at_reset(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    """Set-up that this machine has behind it when it starts, or caches that it does not have."""
    return None


def _finalise(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    """The kernel's call has no argument: it is about the CPU it runs on. An op has no CPU, so one may be named."""
    return hyp.finalise(x[0] if given else None)


def _share_hyp(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.host_share_hyp(x[0], _CAUSE)


def _unshare_hyp(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.host_unshare_hyp(x[0], _CAUSE)


def _share_guest(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.host_share_guest(x[0], x[2], _CAUSE)


def _unshare_guest(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    """Guests are mapped flat: the guest's frame number is the page's."""
    return hyp.el2.ownership.host_unshare_guest(x[1], x[2], _CAUSE)


def _donate_guest(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.guests.donate(x[0], x[2])


def _reclaim_page(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.guests.reclaim(x[0])


def _init_vm(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.guests.create(x[1], x[2])


def _init_vcpu(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return None if hyp.guests.exists(x[0]) else Reason.NO_SUCH_GUEST


def _teardown_vm(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.guests.destroy(x[0])


def _init_its(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    """(dev_addr, priv_state, shadow), or with a number of pages before the last; the RFC has one page."""
    if given > 3:
        return hyp.init_its_emulation(x[0], x[1], x[2], x[3])
    return hyp.init_its_emulation(x[0], x[1], None, x[2])


def _init_redist(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.init_redist_emulation(x[0], x[1], x[2] if given > 2 else 1)


def _donate_hyp(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.host_donate_hyp(x[0], x[1], _CAUSE)


def _hyp_donate_host(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.hyp_donate_host(x[0], x[1], _CAUSE)


def _donate_hyp_mmio(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.host_donate_hyp_mmio(x[0], _CAUSE)


def _hyp_donate_host_mmio(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.hyp_donate_host_mmio(x[0], _CAUSE)


def _pin(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.pin(*_range(x[0], x[1]), _CAUSE)


def _unpin(hyp: Hypervisor, x: tuple[int, ...], given: int) -> Answer:
    return hyp.el2.ownership.unpin(*_range(x[0], x[1]), _CAUSE)


def _range(start: int, end: int) -> tuple[int, int]:
    """(first frame, frames) of the pages that [start, end) touches."""
    first = pfn_of(start)
    return first, max(0, pfn_of(end + PAGE_SIZE - 1) - first)


_HANDLERS: Final[dict[str, Callable[[Hypervisor, tuple[int, ...], int], Answer]]] = {
    **dict.fromkeys(
        (
            "__kvm_hyp_init", "__pkvm_init", "__pkvm_create_private_mapping", "__pkvm_cpu_set_vector", "__kvm_enable_ssbs",
            "__vgic_v3_init_lrs", "__vgic_v3_get_gic_config", "__pkvm_tlb_flush_vmid",
        ),
        _done_at_reset,
    ),
    "__pkvm_prot_finalize": _finalise,
    "__pkvm_host_share_hyp": _share_hyp,
    "__pkvm_host_unshare_hyp": _unshare_hyp,
    "__pkvm_host_share_guest": _share_guest,
    "__pkvm_host_unshare_guest": _unshare_guest,
    "__pkvm_host_donate_guest": _donate_guest,
    "__pkvm_host_reclaim_page": _reclaim_page,
    "__pkvm_init_vm": _init_vm,
    "__pkvm_init_vcpu": _init_vcpu,
    "__pkvm_teardown_vm": _teardown_vm,
    "__pkvm_init_its_emulation": _init_its,
    "__pkvm_init_redist_emulation": _init_redist,
    "__pkvm_host_donate_hyp": _donate_hyp,
    "__pkvm_hyp_donate_host": _hyp_donate_host,
    "__pkvm_host_donate_hyp_mmio": _donate_hyp_mmio,
    "__pkvm_hyp_donate_host_mmio": _hyp_donate_host_mmio,
    "hyp_pin_shared_mem": _pin,
    "hyp_unpin_shared_mem": _unpin,
}  # fmt: skip
