"""Host accesses that stage 2 sent to EL2: find the region, then forward, emulate, refuse, inject or panic.

The series' chain is ``handle_host_mem_abort`` -> ``handle_host_mmio_trap`` -> the region's handler, which gets the offset, the
access size, the direction and the device's private data (RFC, patch 3). Only data accesses to non-memory addresses get that far;
memory that is not the host's, and a device page with no region, end in an abort.

Every answer leaves an event: ``trap.mmio`` with what was done, or ``trap.abort``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from itsbox.arch.its_registers import GITS_SGIR, is_drained, register_at
from itsbox.arch.values import PAGE_SHIFT
from itsbox.events import TRAP_ABORT, TRAP_MMIO
from itsbox.hypervisor.el2 import El2Stop
from itsbox.hypervisor.policy import forward_width, permitted
from itsbox.hypervisor.regions import REDISTRIBUTORS, VSGI, Region
from itsbox.memory.ownership import Owner
from itsbox.ops import Aborted, Done, Panicked, Refused, Value
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.hypervisor import Hypervisor
    from itsbox.hypervisor.its_emulation import ItsEmulation
    from itsbox.ops import Outcome

__all__ = ["EMULATED", "FORWARDED", "REFUSED", "Access", "abort", "mmio_read", "mmio_write"]

# What was done, as the event says.
FORWARDED: Final = "forwarded"
EMULATED: Final = "emulated"
REFUSED: Final = "refused"
_DONE: Final = Done()


class Access(NamedTuple):
    """What EL2 learns from the syndrome: address, bytes, and the value if it is a write."""

    addr: int
    size: int
    value: int | None


Answer: TypeAlias = "tuple[int | Reason, str]"
"""A value (0 for a write) or why not, and what was done."""


def mmio_read(hyp: Hypervisor, addr: int, size: int) -> Outcome:
    """A host read of ``size`` bytes."""
    region, fault = _place(hyp, addr, size)
    if region is None:
        return abort(hyp, fault, write=False) if hyp.guards(fault) else Value(hyp.el2.bus.read(addr, size))
    return _handle(hyp, region, Access(addr, size, None))


def mmio_write(hyp: Hypervisor, addr: int, size: int, value: int) -> Outcome:
    """A host write of ``size`` bytes."""
    region, fault = _place(hyp, addr, size)
    if region is None:
        if hyp.guards(fault):
            return abort(hyp, fault, write=True)
        hyp.el2.bus.write(addr, size, value)
        return _DONE
    return _handle(hyp, region, Access(addr, size, value))


def _place(hyp: Hypervisor, addr: int, size: int) -> tuple[Region | None, int]:
    """The region that an access traps to, if any, and the first address at which stage 2 may object.

    A misaligned access across two pages is translated page by page (Arm ARM DDI 0487, alignment): the second one objects if the
    first does not.
    """
    region = hyp.pages.get(addr >> PAGE_SHIFT)
    if region is None and _crosses(addr, size) and not hyp.guards(addr):
        last = addr + size - 1
        return hyp.pages.get(last >> PAGE_SHIFT), last >> PAGE_SHIFT << PAGE_SHIFT
    return region, addr


def _crosses(addr: int, size: int) -> bool:
    return addr >> PAGE_SHIFT != addr + size - 1 >> PAGE_SHIFT


def _handle(hyp: Hypervisor, region: Region, access: Access) -> Outcome:
    """Ask the region's handler; the outcome, and its event."""
    addr, size, value = access
    is_write = value is not None
    name = _register_name(hyp, region, addr)
    result: int | Reason
    try:
        if _crosses(addr, size):
            # Its other half lies in a page that another handler, or nobody, answers for: no handler may carry it out.
            result, action = Reason.ACCESS_WIDTH, REFUSED
        elif region.kind == REDISTRIBUTORS:
            result, action = hyp.redistributors.access(access)
        else:
            result, action = _ITS_MMIO[hyp.el2.knobs["its_mmio"]](hyp, region, access)
    except El2Stop as stop:
        hyp.el2.log.emit(TRAP_MMIO, addr, name, size, is_write, value, REFUSED, stop.reason)
        return Panicked(stop.reason)
    if isinstance(result, Reason):
        hyp.el2.log.emit(TRAP_MMIO, addr, name, size, is_write, value, REFUSED, result)
        keeps = is_write or hyp.el2.knobs["denied_read"] == "unchanged"
        return Refused(result, None if keeps else 0)
    log = hyp.el2.log
    log.items.append((TRAP_MMIO, log.step, addr, name, size, is_write, value if is_write else result, action, None))
    return _DONE if is_write else Value(result)


def _register_name(hyp: Hypervisor, region: Region, addr: int) -> str | None:
    if region.kind == REDISTRIBUTORS:
        return hyp.redistributors.register_name(addr)
    return _its_register_name(addr - region.base)


@lru_cache(maxsize=1024)
def _its_register_name(offset: int) -> str | None:
    place = register_at(offset)
    return None if place is None else place.name


def _carry_out(hyp: Hypervisor, access: Access) -> int:
    """Do on the hypervisor's mapping what the host wanted to do."""
    addr, size, value = access
    if value is None:
        return hyp.el2.bus.read(addr, size)
    hyp.el2.bus.write(addr, size, value)
    return 0


def _forward(hyp: Hypervisor, region: Region, access: Access) -> Answer:
    """``pkvm_handle_forward_req``."""
    denied = forward_width(hyp.el2.knobs, access.size)
    return (_carry_out(hyp, access) if denied is None else denied), FORWARDED


def _emulate(hyp: Hypervisor, region: Region, access: Access) -> Answer:
    """``pkvm_handle_gic_emulation``: nothing works before the take-over; then the registers' rows, then the policy."""
    # The frame of virtual SGIs goes with its ITS's control frame.
    emulation = hyp.its(region.number) if region.kind == VSGI else region.emulation
    if emulation is None:
        return Reason.NOT_TAKEN_OVER, REFUSED
    addr, size, value = access
    offset = addr - region.base
    state = emulation.state
    state.polls = 0
    if state.looked != [] and is_drained(state.its.creadr, state.its.cwriter):
        state.looked = []
    answer = emulation.read(offset, size) if value is None else emulation.write(offset, size, value)
    if answer is not None:
        return answer, EMULATED
    denied = permitted(hyp.el2.knobs, offset, size, write=value is not None)
    if denied is Reason.SGI_WRITE and _sends_to_known_vpe(emulation, access):
        denied = None
    return (_carry_out(hyp, access) if denied is None else denied), FORWARDED


def _sends_to_known_vpe(emulation: ItsEmulation, access: Access) -> bool:
    """Whether a whole write of GITS_SGIR names a vPE that VMAPP put on record: the walk then ends in pinned memory."""
    if (
        access.value is None
        or access.size != GITS_SGIR.SIZE
        or emulation.queue.el2.knobs["virtual_commands"] != "checked"
    ):
        return False
    return GITS_SGIR.decode(access.value).vpe_id in emulation.state.vpes


_ITS_MMIO: Final[dict[str, Callable[[Hypervisor, Region, Access], Answer]]] = {
    "forwarded": _forward,
    "emulated": _emulate,
}


def abort(hyp: Hypervisor, addr: int, *, write: bool) -> Aborted | Panicked:
    """Stage 2 said no and nothing stands for the address: knob ``host_abort``."""
    pfn = addr >> PAGE_SHIFT
    reason = hyp.el2.stage2.reason(pfn)
    owner = Owner.NAMES[hyp.el2.ownership.owner(pfn)]
    hyp.el2.log.emit(TRAP_ABORT, addr, write, owner, reason)
    return Panicked(reason) if hyp.el2.knobs["host_abort"] == "panic" else Aborted(reason)
