"""What people look at: the host's side of queue, tables and registers, and the facts for a diagnosis. Pure reads.

Memory is read past ownership and past the oracle, as ``GET .../physical`` does: nobody acts on what is seen here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from itsbox.arch.its_commands import COMMAND_SIZE
from itsbox.arch.its_registers import (
    GITS_CREADR,
    GITS_CWRITER,
    TABLE_COLLECTIONS,
    TABLE_DEVICES,
    TABLE_VPES,
    register_at,
)
from itsbox.arch.layout import Access
from itsbox.arch.values import PAGE_SHIFT
from itsbox.hypervisor.diagnosis import Facts, report
from itsbox.hypervisor.policy import permitted
from itsbox.hypervisor.regions import REDISTRIBUTORS

if TYPE_CHECKING:
    from itsbox.hardware.its_lookup import Table
    from itsbox.hypervisor.hypervisor import Hypervisor
    from itsbox.hypervisor.its_emulation import ItsEmulation
    from itsbox.memory.interconnect import Interconnect

__all__ = ["diagnosis", "host_queue", "host_table", "register_policy"]

_KINDS = {"device": TABLE_DEVICES, "collection": TABLE_COLLECTIONS, "vpe": TABLE_VPES}


def host_queue(hyp: Hypervisor, number: int = 0) -> dict[str, Any] | None:
    """The queue that the host writes: base, size, creadr as the host reads it, cwriter as it last wrote it, consumed.

    None before the take-over, and where the hypervisor does not keep a queue of its own.
    """
    emulation = hyp.its(number)
    if emulation is None or hyp.el2.knobs["queue_shadowing"] == "off":
        return None
    state = emulation.state
    creadr = GITS_CREADR.decode(_shown(emulation, GITS_CREADR.OFFSET))
    return {
        "base": state.host_queue,
        "size": state.host_bytes,
        "creadr": creadr.offset,
        "cwriter": state.host_cwriter,
        "stalled": bool(creadr.stalled),
        "consumed": state.consumed,
    }


def _shown(emulation: ItsEmulation, offset: int) -> int:
    """What the host reads in a 64-bit register."""
    row = emulation.row(offset)
    return emulation.el2.bus.read(emulation.state.base + offset, 8) if row is None else row.read()


def host_table(hyp: Hypervisor, kind: str, number: int = 0) -> Table | None:
    """A two-level table as the host has it: the hardware's, with the host's copy as level 1. None if it has no copy."""
    emulation = hyp.its(number)
    if emulation is None:
        return None
    table = emulation.state.by_type.get(_KINDS[kind])
    if table is None or not table.host_l1:
        return None
    return replace(emulation.state.its.current_table(kind), base=table.host_l1)


def register_policy(hyp: Hypervisor, addr: int) -> str:
    """What the hypervisor does with the host's accesses to the register at an address.

    ``direct``: it does not see them; ``forwarded``, ``emulated``, ``refused``; ``read X, write Y`` where they differ.
    """
    region = hyp.pages.get(addr >> PAGE_SHIFT)
    if region is None or not hyp.el2.stage2.enabled:
        return "direct"
    if region.kind == REDISTRIBUTORS:
        return hyp.redistributors.policy(addr)
    if hyp.el2.knobs["its_mmio"] == "forwarded":
        return "forwarded"
    emulation = hyp.its(region.number)
    if emulation is None:
        return "refused"
    offset = addr - region.base
    read, write = (_its_policy(hyp, emulation, offset, write) for write in (False, True))
    place = register_at(offset)
    if read == write or (place is not None and place.register.ACCESS is Access.WO):
        return write
    return f"read {read}, write {write}"


def _its_policy(hyp: Hypervisor, emulation: ItsEmulation, offset: int, write: bool) -> str:
    row = emulation.row(offset)
    if row is not None:
        return "refused" if write and row.write is None else "emulated"
    place = register_at(offset)
    size = 4 if place is None else place.register.SIZE
    return "forwarded" if permitted(hyp.el2.knobs, offset, size, write=write) is None else "refused"


def diagnosis(hyp: Hypervisor, number: int = 0) -> dict[str, Any]:
    """Why the queue does not move: pointers on both sides, the last refused command, the judgement of each hypothesis."""
    bus, its = hyp.el2.bus, hyp.el2.bus.its[number]
    creadr = GITS_CREADR.decode(bus.read(its.base + GITS_CREADR.OFFSET, 8))
    cwriter = GITS_CWRITER.decode(bus.read(its.base + GITS_CWRITER.OFFSET, 8))
    base, _ = its.current_queue()
    at_read, below = _bytes(hyp, base + creadr.offset, COMMAND_SIZE), _bytes(hyp, base, creadr.offset)
    emulation = hyp.its(number)
    state = None if emulation is None else emulation.state
    return report(
        Facts(
            host_cwriter=None if emulation is None else _wanted_cwriter(emulation),
            shown_cwriter=None
            if emulation is None
            else GITS_CWRITER.decode(_shown(emulation, GITS_CWRITER.OFFSET)).offset,
            shown_creadr=None
            if emulation is None
            else GITS_CREADR.decode(_shown(emulation, GITS_CREADR.OFFSET)).offset,
            consumed=None if state is None else state.consumed,
            hw_cwriter=cwriter.offset,
            hw_creadr=creadr.offset,
            stalled=bool(creadr.stalled),
            hw_bytes=at_read,
            host_bytes=at_read if state is None else _bytes(hyp, state.host_queue + creadr.offset, COMMAND_SIZE),
            its_sees=_seen_by_its(hyp.el2.interconnect, base + creadr.offset, at_read),
            cleared=not any(below),
            refusal=hyp.last_refusal(number),
            dropped=None if emulation is None or emulation.dropped is None else emulation.dropped[0],
        )
    )


def _wanted_cwriter(emulation: ItsEmulation) -> int:
    """Where the host wants the queue to go, as far as its last write can be understood."""
    if emulation.dropped is not None:
        return GITS_CWRITER.decode(emulation.dropped[1]).offset
    return emulation.state.host_cwriter


def _bytes(hyp: Hypervisor, addr: int, length: int) -> bytes:
    """Memory as it is; zeros where there is none."""
    memory = hyp.el2.interconnect.mem
    return memory.load(addr, length) if memory.contains(addr, length) else bytes(length)


def _seen_by_its(interconnect: Interconnect, addr: int, now: bytes) -> bytes:
    """The same bytes at the point of coherency: a line that the CPUs hold dirty reads as it was."""
    for line, old in interconnect.state().items():
        if line <= addr < line + len(old):
            return old[addr - line : addr - line + len(now)]
    return now
