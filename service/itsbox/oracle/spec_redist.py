"""The redistributors' registers in the specification: one function per trap (docs/explanation/dma-surface.md 9).

LPI tables are held exactly while EnableLPIs is set; both base registers are frozen meanwhile. With GICv4.0 the configuration
table of a resident vPE is held in the same way; with GICv4.1 tables come from the vPE table, which nobody may replace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.arch.its_registers import TABLE_VPES
from itsbox.arch.layout import Access, Register
from itsbox.arch.lpi_tables import MIN_ID_BITS, config_table_bytes
from itsbox.arch.redist_registers import (
    GICR_CLRLPIR,
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SETLPIR,
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER,
    GICR_VPROPBASER_V41,
    GICR_VSGIR,
    REGISTERS,
    REGISTERS_V4,
    REGISTERS_V41,
    SGI_FRAME,
    VLPI_FRAME,
    register_at,
)
from itsbox.arch.register_map import RegisterMap
from itsbox.arch.values import PAGE_SIZE, align_up, pages_of
from itsbox.arch.words import with_high_half, with_low_half
from itsbox.ops import MmioWrite, Refused
from itsbox.oracle.abstract import Abstract, AbstractLpis
from itsbox.oracle.spec_call import Call, Expected, Facts, Loose
from itsbox.oracle.spec_its import stage_2
from itsbox.oracle.spec_pages import hold, let_go, lpi_tables, why_not_held

__all__ = ["hold_lpi_tables", "locate_redistributor", "redistributor_write", "redistributors_guarded"]


class Trap(NamedTuple):
    """A write to a redistributor: CPU, offset in its frames, bytes, value."""

    cpu: int
    offset: int
    size: int
    value: int


Rule: TypeAlias = Callable[[Abstract, Call, Trap], Expected]

_REGISTERS: Final[dict[str, RegisterMap]] = {"": REGISTERS, "GICv4": REGISTERS_V4, "GICv4.1": REGISTERS_V41}
_FIELDS: Final[dict[type[Register], str]] = {
    GICR_CTLR: "enable_lpis", GICR_PROPBASER: "propbaser", GICR_PENDBASER: "pendbaser", GICR_VPROPBASER: "vpropbaser",
    GICR_VPROPBASER_V41: "vpropbaser", GICR_VPENDBASER: "vpendbaser", GICR_VPENDBASER_V41: "vpendbaser",
}  # fmt: skip
"""Register to its name in the abstract state."""


def locate_redistributor(facts: Facts, addr: int) -> tuple[int, int] | None:
    """(CPU, offset) of an address in the frames of a redistributor."""
    cpu, offset = divmod(addr - facts.gicr, facts.stride)
    return (cpu, offset) if 0 <= cpu < facts.cpus else None


def redistributors_guarded(pre: Abstract, call: Call) -> bool:
    """Whether the hypervisor answers for the redistributors' frames: knob ``redistributors``."""
    emulated = call.facts.knob("redistributors", "emulated") == "emulated"
    return emulated and stage_2(pre, call.facts) and call.claims.pkvm


def redistributor_write(pre: Abstract, call: Call, op: MmioWrite, cpu: int, offset: int) -> Expected:
    """Any write to a redistributor: hardware's own, refused before the take-over, then the register's function."""
    facts, trap = call.facts, Trap(cpu, offset, op.size, op.value)
    if not redistributors_guarded(pre, call):
        return bare(pre, call, trap)
    if SGI_FRAME <= offset < VLPI_FRAME:
        return sgi_frame(pre, call, trap)
    refused = isinstance(call.outcome, Refused)
    if cpu not in pre.taken:
        raised = not refused and register_at(offset, _REGISTERS[facts.vlpis]) is not None
        return Expected(
            pre, wrong="a write was carried out before the redistributor was taken over" if raised else None
        )
    if refused:
        return _why_refused(pre, call, trap)
    place = register_at(offset, _REGISTERS[facts.vlpis])
    if place is None:
        return reserved(pre, call, trap)
    if offset >= VLPI_FRAME and facts.knob("vlpi_frame", "checked") == "refused":
        return Expected(pre, wrong=f"{place.name} was written although the frame of virtual LPIs is closed")
    return _RULES.get(place.register, other_register)(pre, call, trap)


def bare(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """Hardware itself: the register that is written, or the two that the bytes touch; no other, no page, no record."""
    touched = (register_at(at, _REGISTERS[call.facts.vlpis]) for at in (trap.offset, trap.offset + trap.size - 1))
    fields = {_FIELDS[place.register] for place in touched if place is not None and place.register in _FIELDS}
    why = "the host writes hardware's register; which bits stick is hardware's business (IHI 0069H.b)"
    return Expected(pre, (Loose("lpis", {(trap.cpu, field) for field in fields}, why),) if fields else ())


def sgi_frame(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """SGIs and PPIs of the host: no address, nobody else's interrupts."""
    return Expected(pre)


def _why_refused(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """A refused write changes nothing; enabling LPIs may be refused only for a reason."""
    legal = (trap.offset, trap.size) == (GICR_CTLR.OFFSET, GICR_CTLR.SIZE)
    if legal and (
        not GICR_CTLR.decode(trap.value).enable_lpis or hold_lpi_tables(pre, call.facts, trap.cpu) is not None
    ):
        return Expected(pre, wrong="GICR_CTLR was refused although its tables can be held")
    return Expected(pre)


# ---------------------------------------------------------------- physical LPIs


def ctlr(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_CTLR: EnableLPIs goes with holding both tables, and their going back follows its clearing."""
    wanted = bool(GICR_CTLR.decode(trap.value).enable_lpis)
    state: Abstract | None = pre
    if wanted and not pre.lpis[trap.cpu].enable_lpis and trap.cpu not in pre.held:
        state = hold_lpi_tables(pre, call.facts, trap.cpu)
    if state is None:
        return Expected(pre, wrong="EnableLPIs was set with tables that cannot be held")
    state = state.with_lpis(trap.cpu, enable_lpis=wanted)
    if not wanted and trap.cpu in state.held:
        held = dict(state.held)
        for frames in held.pop(trap.cpu):
            state = let_go(state, call.facts, frames)
        state = replace(state, held=held)
    return Expected(state)


def hold_lpi_tables(state: Abstract, facts: Facts, cpu: int) -> Abstract | None:
    """The state with a redistributor's tables held, or None: one of them is not the host's to give, or is in use.

    Redistributors that share a configuration table must name the same (CommonLPIAff); a pending table is nobody else's.
    """
    named = state.lpis[cpu]
    config, pending = lpi_tables(facts, named.propbaser, named.pendbaser)
    if any(_disagree(facts, (cpu, named), (other, state.lpis[other])) for other in state.held):
        return None
    if why_not_held(state, facts, config, [frames for frames, _ in state.held.values()]) is not None:
        return None
    if any(pfn in config for pfn in pending) or why_not_held(state, facts, pending) is not None:
        return None
    for frames in (config, pending):
        state = hold(state, facts, frames)
    return replace(state, held={**state.held, cpu: (config, pending)})


def _disagree(facts: Facts, one: tuple[int, AbstractLpis], other: tuple[int, AbstractLpis]) -> bool:
    if facts.groups[one[0]] != facts.groups[other[0]]:
        return False
    ours, theirs = (GICR_PROPBASER.decode(lpis.propbaser) for _, lpis in (one, other))
    return (ours.physical_address, ours.id_bits) != (theirs.physical_address, theirs.id_bits)


def propbaser(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_PROPBASER: legal fields while LPIs are off; frozen while they are on."""
    return _base(pre, trap, GICR_PROPBASER)


def pendbaser(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_PENDBASER: as GICR_PROPBASER."""
    return _base(pre, trap, GICR_PENDBASER)


def _base(pre: Abstract, trap: Trap, register: type[Register]) -> Expected:
    field = _FIELDS[register]
    if pre.lpis[trap.cpu].enable_lpis:
        return Expected(pre, wrong=f"{register.NAME} was written while LPIs are on")
    return Expected(pre.with_lpis(trap.cpu, **{field: _written(pre, trap, register)}))


def _written(pre: Abstract, trap: Trap, register: type[Register]) -> int:
    """The legal fields of what is written, a half put together with the other half as it is."""
    value, now = trap.value, getattr(pre.lpis[trap.cpu], _FIELDS[register])
    if trap.size < register.SIZE:
        low = trap.offset == register.OFFSET
        value = with_low_half(now, value) if low else with_high_half(now, value)
    return register.decode(value).word()


def invalidate(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_INVLPIR and GICR_INVALLR: the host's own LPIs, never a vPE's. A half leaves the other half zero."""
    register: type[Register] = GICR_INVLPIR if trap.offset < GICR_INVALLR.OFFSET else GICR_INVALLR
    high = trap.offset != register.OFFSET
    decoded: Any = register.decode(with_high_half(0, trap.value) if high else trap.value)
    return Expected(pre, wrong=f"{register.NAME} went to a vPE" if decoded.v else None)


def direct(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_SETLPIR and GICR_CLRLPIR: not beside an ITS."""
    return Expected(pre, wrong="an LPI was set or cleared past the ITS")


def other_register(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """Registers that this state does not have: read-only ones are not written where that is guarded."""
    place = register_at(trap.offset, _REGISTERS[call.facts.vlpis])
    fixed = place is not None and place.register.ACCESS is Access.RO
    if fixed and call.facts.knob("read_only_registers", "refused") == "refused":
        return Expected(pre, wrong="a register that is read-only was written")
    return Expected(pre)


def reserved(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """Reserved and IMPLEMENTATION DEFINED offsets: RAZ/WI, or forwarded to where nothing answers."""
    closed = call.facts.knob("impdef_registers", "raz_wi") == "raz_wi"
    return Expected(pre, wrong="a reserved offset of a redistributor was written" if closed else None)


# ---------------------------------------------------------------- the frame of virtual LPIs


def vpropbaser(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_VPROPBASER of GICv4.0: legal fields while no vPE is resident."""
    if GICR_VPENDBASER.decode(pre.lpis[trap.cpu].vpendbaser).valid:
        return Expected(pre, wrong="GICR_VPROPBASER was written while a vPE is resident")
    return Expected(pre.with_lpis(trap.cpu, vpropbaser=_written(pre, trap, GICR_VPROPBASER)))


def vpendbaser(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_VPENDBASER of GICv4.0: a vPE comes, its pending table known from a VMAPP, its configuration table held; or it goes."""
    cpu, facts = trap.cpu, call.facts
    now = GICR_VPENDBASER.decode(pre.lpis[cpu].vpendbaser)
    wanted = GICR_VPENDBASER.decode(_written(pre, trap, GICR_VPENDBASER))
    if wanted.valid and now.valid:
        moved = wanted.physical_address != now.physical_address
        return Expected(pre, wrong="a resident vPE's pending table was replaced" if moved else None)
    state = pre
    if wanted.valid:
        if not any(wanted.physical_address == vpt for its in pre.its.values() for vpt, _, _ in its.vpes.values()):
            return Expected(pre, wrong="a vPE became resident whose pending table no VMAPP named")
        prop = GICR_VPROPBASER.decode(pre.lpis[cpu].vpropbaser)
        id_bits = min(max(prop.id_bits, MIN_ID_BITS), facts.id_bits)
        frames = pages_of(prop.physical_address, align_up(config_table_bytes(id_bits), PAGE_SIZE))
        wrong = why_not_held(pre, facts, frames, pre.resident.values())
        if wrong is not None:
            return Expected(pre, wrong=f"a vPE became resident with a configuration table {wrong}")
        state = replace(hold(pre, facts, frames), resident={**pre.resident, cpu: frames})
    elif cpu in pre.resident:
        resident = dict(pre.resident)
        state = replace(let_go(pre, facts, resident.pop(cpu)), resident=resident)
    return Expected(
        state.with_lpis(cpu, vpendbaser=wanted.word()), _residency(cpu, wanted.valid, wanted.physical_address)
    )


def _residency(cpu: int, valid: int, address: int) -> tuple[Loose, ...]:
    """Hardware says in GICR_VPENDBASER whether something is pending and still being written."""

    def allowed(expected: int, found: int) -> bool:
        seen = GICR_VPENDBASER.decode(found)
        return (seen.valid, seen.physical_address) == (valid, address)

    why = "Dirty and PendingLast are hardware's answer"
    return (Loose("lpis", {(cpu, "vpendbaser")}, why, allowed),)


def vpe_table(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_VPROPBASER of GICv4.1: the vPE table that the ITS uses, or none; never while a vPE is resident."""
    if GICR_VPENDBASER_V41.decode(pre.lpis[trap.cpu].vpendbaser).valid:
        return Expected(pre, wrong="GICR_VPROPBASER was written while a vPE is resident")
    places = {table.first * PAGE_SIZE for its in pre.its.values() for table in its.tables if table.type == TABLE_VPES}

    def allowed(expected: int, found: int) -> bool:
        seen = GICR_VPROPBASER_V41.decode(found)
        return not seen.valid or seen.physical_address in places

    why = (
        "the host names the table by its own copy of level 1, or none at all; Entry_Size and attributes are hardware's"
    )
    return Expected(pre, (Loose("lpis", {(trap.cpu, "vpropbaser")}, why, allowed),))


def resident_vpe(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_VPENDBASER of GICv4.1: a vPE comes, which must be mapped, or goes."""
    wanted = GICR_VPENDBASER_V41.decode(_written(pre, trap, GICR_VPENDBASER_V41))
    if wanted.valid and not any(wanted.vpe_id in its.vpes for its in pre.its.values()):
        return Expected(pre, wrong="a vPE became resident that is not mapped")

    def allowed(expected: int, found: int) -> bool:
        seen, was = GICR_VPENDBASER_V41.decode(found), GICR_VPENDBASER_V41.decode(expected)
        return not seen.valid or seen.vpe_id in (wanted.vpe_id, was.vpe_id)

    why = "Dirty and PendingLast are hardware's answer, and a vPE that hardware does not find stays out"
    return Expected(pre, (Loose("lpis", {(trap.cpu, "vpendbaser")}, why, allowed),))


def vsgir(pre: Abstract, call: Call, trap: Trap) -> Expected:
    """GICR_VSGIR: asks for a vPE's virtual SGIs; it must be mapped."""
    known = any(GICR_VSGIR.decode(trap.value).vpe_id in its.vpes for its in pre.its.values())
    return Expected(pre, wrong=None if known else "GICR_VSGIR asked for a vPE that is not mapped")


_RULES: Final[dict[type[Register], Rule]] = {
    GICR_CTLR: ctlr,
    GICR_PROPBASER: propbaser,
    GICR_PENDBASER: pendbaser,
    GICR_INVLPIR: invalidate,
    GICR_INVALLR: invalidate,
    GICR_SETLPIR: direct,
    GICR_CLRLPIR: direct,
    GICR_VPROPBASER: vpropbaser,
    GICR_VPENDBASER: vpendbaser,
    GICR_VPROPBASER_V41: vpe_table,
    GICR_VPENDBASER_V41: resident_vpe,
    GICR_VSGIR: vsgir,
}
"""Register to function; the rest is ``other_register`` or ``reserved``."""
