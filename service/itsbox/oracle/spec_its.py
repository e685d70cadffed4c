"""The registers of an ITS in the specification: one function per trap (docs/explanation/dma-surface.md 5).

Who answers an access depends on what is guarded. Before stage 2 is on, and where the hardening leaves a register to forwarding,
it is hardware (``bare``); between the switch-over and the take-over nobody does; afterwards the functions below, by register.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from itsbox.arch.its_registers import (
    GITS_BASER,
    GITS_CBASER,
    GITS_CREADR,
    GITS_CTLR,
    GITS_CWRITER,
    GITS_SGIR,
    GITS_TRANSLATER,
    TRANSLATION_FRAME,
    VSGI_FRAME,
    baser_address,
    baser_bytes,
    cbaser_bytes,
    register_at,
)
from itsbox.arch.layout import Access, Register
from itsbox.arch.values import pages_of
from itsbox.arch.words import with_high_half, with_low_half
from itsbox.ops import MmioWrite, Refused
from itsbox.oracle.abstract import Abstract, AbstractIts
from itsbox.oracle.spec_call import Call, Expected, Facts, Loose
from itsbox.oracle.spec_queue import records_of, run, run_bare, run_series

__all__ = ["its_guarded", "its_read", "its_write", "locate_its", "stage_2"]


class Trap(NamedTuple):
    """A write to the frames of an ITS: which one, offset from its base, bytes, value."""

    number: int
    offset: int
    size: int
    value: int


Rule: TypeAlias = Callable[[Abstract, Call, Trap], Expected]

_EFFECTS: Final[dict[type[Register], set[str]]] = {GITS_CBASER: {"CREADR", "CWRITER"}}
"""What a write changes besides its own register: GITS_CBASER starts the queue anew."""


def stage_2(state: Abstract, facts: Facts) -> bool:
    """Whether every CPU of the host has lost its privilege: from then on stage 2 stands between it and what is not its own."""
    return bool(state.finalised) and len(state.finalised) == facts.cpus


def locate_its(facts: Facts, addr: int) -> tuple[int, int] | None:
    """(ITS, offset from its base) of an address in one of its frames; the frame of virtual SGIs may lie elsewhere."""
    for number, base in enumerate(facts.its):
        if base <= addr < base + VSGI_FRAME:
            return number, addr - base
    for number, base in enumerate(facts.vsgi):
        if base and base <= addr < base + TRANSLATION_FRAME:
            return number, addr - base + VSGI_FRAME
    return None


def its_guarded(state: Abstract, call: Call, offset: int) -> bool:
    """Whether the hypervisor answers for a frame of an ITS: knobs ``its_mmio`` and ``trap_range``."""
    facts = call.facts
    if not call.claims.pkvm or not stage_2(state, facts) or facts.knob("its_mmio", "emulated") == "mapped":
        return False
    if facts.knob("trap_range", "control_frame") == "whole":
        return offset < VSGI_FRAME
    return offset < TRANSLATION_FRAME or offset >= VSGI_FRAME


def its_read(pre: Abstract, call: Call) -> Expected:
    """Any read of an ITS's frames: nothing changes."""
    return Expected(pre)


def its_write(pre: Abstract, call: Call, op: MmioWrite, number: int, offset: int) -> Expected:
    """Any write to an ITS's frames: who answers it, then the register's function."""
    trap = Trap(number, offset, op.size, op.value)
    if not its_guarded(pre, call, offset):
        return bare(pre, trap)
    if call.facts.knob("its_mmio", "emulated") == "forwarded":
        return forwarded(pre, call, trap)
    if number not in pre.its:
        return before_take_over(pre, call, trap)
    register = _row(call.facts, trap)
    return _RULES.get(register, other_register)(pre, call, trap) if register is not None else reserved(pre, call, trap)


def _row(facts: Facts, trap: Trap) -> type[Register] | None:
    """The register that an access is taken for; knob ``register_width`` ``wide`` takes GITS_IIDR for GITS_CTLR."""
    place = register_at(trap.offset)
    if facts.knob("register_width", "exact") == "wide" and trap.offset - trap.offset % 4 == GITS_CTLR.SIZE:
        return GITS_CTLR
    return None if place is None else place.register


def _name(trap: Trap) -> str:
    """The name of the register in the abstract state: CTLR, BASER2."""
    place = register_at(trap.offset)
    return "" if place is None else place.name.removeprefix("GITS_")


def _exact(call: Call, knob: str, value: str) -> bool:
    """Whether a knob has ``strict``'s value."""
    return call.facts.knob(knob, value) == value


# ---------------------------------------------------------------- who answers


def bare(pre: Abstract, trap: Trap) -> Expected:
    """Hardware itself: the register that is written (or two that the bytes touch), and the queue. No page, record or LPI."""
    names: set[str] = set()
    for place in (register_at(trap.offset), register_at(trap.offset + trap.size - 1)):
        if place is not None:
            names |= {place.name.removeprefix("GITS_"), *_EFFECTS.get(place.register, ())}
    return run_bare(pre, trap.number, names)


def forwarded(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """The hypervisor does on its mapping what the host wanted: as hardware, or nothing where it refuses."""
    return Expected(pre) if isinstance(call.outcome, Refused) else bare(pre, trap)


def before_take_over(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """Between the switch-over and the take-over every access is refused."""
    return _refused(pre, call, "a write was carried out before the ITS was taken over")


def _refused(pre: Abstract, call: Call, otherwise: str) -> Expected:
    """Nothing changes, and the host is told so."""
    return Expected(pre, wrong=None if isinstance(call.outcome, Refused) else otherwise)


# ---------------------------------------------------------------- by register


def ctlr(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_CTLR: Enabled and nothing else; enabling waits for Quiescent, and works off what was written meanwhile.

    Quiescent after the write is hardware's to say.
    """
    if not _exact(call, "ctlr_guard", "on"):
        return _left_to_hardware(pre, call, trap)
    if isinstance(call.outcome, Refused) and not records_of(call.outcome) and not call.claims.commands:
        return Expected(pre)
    if not call.claims.commands:
        answer = run_series(pre, call, trap.number)
        why = "which bits the host may write is knob ctlr_bits, how wide they are knob access_width"
        own = (
            Loose("registers", {(trap.number, "CTLR")}, why),
            Loose("its", {(trap.number, "enabled")}, why),
        )
        return answer._replace(loose=(*answer.loose, *own))
    now = GITS_CTLR.decode(pre.registers.get((trap.number, "CTLR"), 0))
    wanted = GITS_CTLR.decode(trap.value)
    fits = (trap.offset, trap.size) == (GITS_CTLR.OFFSET, GITS_CTLR.SIZE)
    if not fits or (wanted.enabled and not now.enabled and not now.quiescent):
        return _refused(pre, call, "GITS_CTLR was written although it may not be now")
    seen = GITS_CTLR.decode(call.observed.registers.get((trap.number, "CTLR"), 0))
    word = now.replace(enabled=wanted.enabled, quiescent=seen.quiescent).word()
    post = pre.with_registers(trap.number, CTLR=word).with_its(trap.number, enabled=bool(wanted.enabled))
    return run(post, call, trap.number) if wanted.enabled else _nothing_runs(post, call, trap.number)


def _nothing_runs(post: Abstract, call: Call, number: int) -> Expected:
    """No command is looked at; disabling an ITS ends its waiting for others."""
    if any(its.waiting for its in post.its.values()):
        return run(post, call, number)
    wrong = "commands were looked at although the ITS is disabled" if records_of(call.outcome) else None
    return Expected(post, wrong=wrong)


def cwriter(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_CWRITER: the command pump; an offset outside the queue, or with reserved bits, is refused as a whole."""
    if not _exact(call, "queue_shadowing", "on"):
        return _left_to_hardware(pre, call, trap)
    if not call.claims.commands:
        return run_series(pre, call, trap.number)
    its = pre.its[trap.number]
    value = _whole(trap, GITS_CWRITER, its.host_cwriter)
    written = None if value is None else GITS_CWRITER.decode(value)
    if written is None or written.word() != value or written.offset >= its.host_bytes:
        return _refused(pre, call, "GITS_CWRITER took a value that names no slot of the queue")
    post = pre.with_its(trap.number, host_cwriter=written.offset)
    if not GITS_CTLR.decode(pre.registers.get((trap.number, "CTLR"), 0)).enabled:
        return _nothing_runs(post, call, trap.number)
    return run(post, call, trap.number)


def _whole(trap: Trap, register: type[Register], now: int) -> int | None:
    """The value that a whole write or an aligned half gives a 64-bit register; None for any other access."""
    at = trap.offset - register.OFFSET
    if (at, trap.size) == (0, register.SIZE):
        return trap.value
    if trap.size == 4 and at in (0, 4):
        return with_low_half(now, trap.value) if at == 0 else with_high_half(now, trap.value)
    return None


def cbaser(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_CBASER: disabled and quiescent, the queue stays where it is, and starts anew on both sides."""
    number = trap.number
    if not _exact(call, "cbaser_guard", "on"):
        return _left_to_hardware(pre, call, trap)
    if isinstance(call.outcome, Refused):
        return Expected(pre)
    if not _changeable(pre, number):
        return Expected(pre, wrong="GITS_CBASER was written although the ITS is not disabled and quiescent")
    restarted = pre.with_its(number, consumed=0, waiting=False, stopped=frozenset()).with_registers(number, CREADR=0)
    if _exact(call, "cbaser_reset", "both"):
        restarted = restarted.with_its(number, host_cwriter=0).with_registers(number, CWRITER=0)
    return Expected(restarted, (*_kept_place(pre, call, trap), *_taken_back(pre, number)))


def baser(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_BASER<n>: disabled and quiescent, and what it says is so already."""
    if not _exact(call, "baser_guard", "on"):
        return _left_to_hardware(pre, call, trap)
    if isinstance(call.outcome, Refused):
        return Expected(pre)
    if not _changeable(pre, trap.number):
        return Expected(pre, wrong="GITS_BASER<n> was written although the ITS is not disabled and quiescent")
    return Expected(pre, _kept_place(pre, call, trap))


def _changeable(pre: Abstract, number: int) -> bool:
    now = GITS_CTLR.decode(pre.registers.get((number, "CTLR"), 0))
    return bool(not now.enabled and now.quiescent)


_PLACE: Final[dict[type[Register], tuple[str, ...]]] = {
    GITS_CBASER: ("size", "physical_address"),
    GITS_BASER: ("size", "page_size", "physical_address", "type", "entry_size"),
}
"""The fields that say where the memory is; the others are its attributes, Valid and Indirect."""


def _kept_place(pre: Abstract, call: Call, trap: Trap) -> tuple[Loose, ...]:
    """What knobs ``base_writes`` and ``base_mask`` leave of a base register: attributes and Valid, or all of it.

    The place is that of the take-over again, also where a misaligned write had put another one there.
    """
    if _exact(call, "base_writes", "exact"):
        return ()
    place = register_at(trap.offset)
    register = GITS_CBASER if place is None else place.register
    why = "knob base_writes forced: attributes and Valid are the host's, the place is replaced"

    def allowed(expected: int, found: int) -> bool:
        before, after = register.decode(expected), register.decode(found)
        kept = all(getattr(before, name) == getattr(after, name) for name in _PLACE[register])
        return kept or not _exact(call, "base_mask", "correct") or _as_taken(pre.its[trap.number], after)

    return (Loose("registers", {(trap.number, _name(trap))}, why, allowed),)


def _as_taken(its: AbstractIts, value: Register) -> bool:
    """Whether a base register names the queue, or a table, that was taken over."""
    if isinstance(value, GITS_BASER):
        frames = pages_of(baser_address(value), baser_bytes(value))
        names = (value.type, frames[0], len(frames))
        return any((table.type, table.first, table.pages) == names for table in its.tables)
    queue = isinstance(value, GITS_CBASER) and (value.physical_address, cbaser_bytes(value))
    return queue == (its.hw_queue, its.host_bytes)


def _taken_back(pre: Abstract, number: int) -> tuple[Loose, ...]:
    """A command that hardware had stopped at is taken back when the queue starts anew, with the pages that it held."""
    stopped = pre.its[number].stopped
    if not pre.its[number].waiting:
        return ()
    why = "the command that hardware had stopped at is taken back, with what it held"
    return (
        Loose("pages", stopped, why, lambda expected, found: found.owner == "host"),
        Loose("tracked", stopped, why),
        Loose("its", {(number, name) for name in ("devices", "vpes", "level_2")}, why),
    )


def creadr(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_CREADR: read-only. Where the series forwards the write, hardware that takes it goes back in its queue."""
    if call.claims.commands:
        return _refused(pre, call, "GITS_CREADR was written")
    return _left_to_hardware(pre, call, trap)


def sgir(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_SGIR: a virtual SGI for a vPE that is mapped, in one write; it changes nothing but bits in that vPE's table."""
    if not call.claims.commands or isinstance(call.outcome, Refused):
        return Expected(pre)
    vpe_id = GITS_SGIR.decode(trap.value).vpe_id
    legal = trap.size == GITS_SGIR.SIZE and vpe_id in pre.its[trap.number].vpes
    return Expected(pre, wrong=None if legal else "GITS_SGIR went to a vPE that is not mapped")


def translater(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_TRANSLATER: the host's own message, with DeviceID 0; whom it reaches is the tables' business."""
    return Expected(pre)


def other_register(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GITS_STATUSR is software's; any other register that this state does not have is read-only, or not the host's."""
    place = register_at(trap.offset)
    if call.claims.commands and place is not None and place.register.ACCESS is Access.RO:
        return _refused(pre, call, f"{place.name}, which is read-only, was written")
    return Expected(pre)


def reserved(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """A reserved or IMPLEMENTATION DEFINED offset: RAZ/WI.

    Where the series forwards it, this hardware has nothing there; but a misaligned write may end in the register behind.
    """
    if call.claims.commands and trap.offset < TRANSLATION_FRAME:
        return _refused(pre, call, "a reserved or IMPLEMENTATION DEFINED offset was written")
    if register_at(trap.offset + trap.size - 1) is not None:
        return _left_to_hardware(pre, call, trap)
    return Expected(pre)


def _left_to_hardware(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """A guard that is off: the write is forwarded, or refused for its width."""
    return Expected(pre) if isinstance(call.outcome, Refused) else bare(pre, trap)


_RULES: Final[dict[type[Register], Rule]] = {
    GITS_CTLR: ctlr,
    GITS_CBASER: cbaser,
    GITS_CWRITER: cwriter,
    GITS_CREADR: creadr,
    GITS_BASER: baser,
    GITS_SGIR: sgir,
    GITS_TRANSLATER: translater,
}
"""Register to function; the rest is ``other_register`` or ``reserved``."""
