"""Commands in the specification, where the hardening promises all of it: one function per kind, state to state.

Each takes a command that hardware was given and answers the state after it, or why it should not have got there. What a
command may name is said in the policy of the ITS's commands (docs/explanation/dma-surface.md 6 and 7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from itsbox.arch.its_commands import (
    COMMANDS,
    COMMANDS_V41,
    MAPD,
    NO_DOORBELL,
    OPCODE_MASK,
    VMAPP,
    VMAPP_V41,
    VSYNC,
    decode_command,
)
from itsbox.arch.its_tables import event_count
from itsbox.arch.layout import Layout
from itsbox.arch.lpi_tables import intid_limit
from itsbox.arch.values import is_lpi
from itsbox.ops import Verdict
from itsbox.oracle.abstract import HOST_ALONE, Abstract
from itsbox.oracle.spec_call import Call
from itsbox.oracle.spec_pages import HYP, hold, itt, let_go, move, vpe_tables, why_not_held

__all__ = ["carried_out", "new_level_2"]

After: TypeAlias = "Abstract | str"
"""The state after a command, or what is wrong with it, to be followed by "reached the hardware"."""


def carried_out(state: Abstract, call: Call, number: int, words: tuple[int, int, int, int], verdict: str) -> After:
    """One command that hardware looked at: the state after it, or a sentence that says why it should not have got there."""
    command = decode_command(words, COMMANDS_V41 if call.facts.vmapp_v41 else COMMANDS)
    if command is None or (command.SINCE == "GICv4.1" and not call.facts.vmapp_v41):
        return f"opcode {words[0] & OPCODE_MASK:#x}, which no command has, reached the hardware"
    if tuple(command.encode()) != tuple(words):
        return f"{command.NAME} with reserved bits set reached the hardware"
    if isinstance(command, MAPD | VMAPP | VMAPP_V41) and verdict == Verdict.ERROR:
        return f"{command.NAME} passed the checks and failed in hardware: records and hardware differ"
    wrong = next((text for rule in _RULES if (text := rule(state, call, number, command))), None)
    if wrong is not None:
        return f"{command.NAME} {wrong} reached the hardware"
    if isinstance(command, MAPD):
        after = _mapd(state, call, number, command)
    elif isinstance(command, VMAPP | VMAPP_V41):
        after = _vmapp(state, call, number, command)
    else:
        return state
    return after if isinstance(after, Abstract) else f"{after} reached the hardware"


# ---------------------------------------------------------------- what a command may name


def _event(state: Abstract, call: Call, number: int, command: Layout) -> str | None:
    """A device that is mapped, and an event within its table."""
    device_id, event_id = getattr(command, "device_id", None), getattr(command, "event_id", None)
    if device_id is None or event_id is None:
        return None
    known = state.its[number].devices.get(device_id)
    if known is None:
        return "of an unmapped device"
    return "of an event beyond its device's table" if event_id >= event_count(known[1]) else None


def _vpe(state: Abstract, call: Call, number: int, command: Layout) -> str | None:
    """A vPE that is mapped; VMAPP maps it, and VSYNC of one that has just been unmapped writes nothing."""
    vpe_id = getattr(command, "vpe_id", None)
    if vpe_id is None or isinstance(command, VMAPP | VMAPP_V41 | VSYNC):
        return None
    return None if vpe_id in state.its[number].vpes else "of an unmapped vPE"


def _intid(state: Abstract, call: Call, number: int, command: Layout) -> str | None:
    """An LPI that the machine has; MAPI's is its EventID."""
    intid = getattr(command, "event_id", None) if command.NAME == "MAPI" else getattr(command, "intid", None)
    return None if intid is None or _usable(call, intid) else "of an INTID that is no LPI here"


def _doorbell(state: Abstract, call: Call, number: int, command: Layout) -> str | None:
    """An LPI that the machine has, or none; it counts where the command says that it replaces the one before."""
    for name, counts in (("doorbell_intid", "d"), ("default_doorbell", "db"), ("default_doorbell", "valid")):
        intid = getattr(command, name, NO_DOORBELL)
        if intid != NO_DOORBELL and getattr(command, counts, counts == "d") and not _usable(call, intid):
            return "of a doorbell that is no LPI here"
    return None


def _virtual_intid(state: Abstract, call: Call, number: int, command: Layout) -> str | None:
    """A virtual LPI within the vPE's tables; VMAPI's is its EventID, and VSGI's is an SGI, which no table holds."""
    if command.NAME == "VSGI":
        return None
    intid = getattr(command, "event_id", None) if command.NAME == "VMAPI" else getattr(command, "virtual_intid", None)
    if intid is None:
        return None
    limit = intid_limit(state.its[number].vpes[command.vpe_id][1])  # type: ignore[attr-defined]  # a virtual INTID has a vPE
    return None if is_lpi(intid) and intid < limit else "of a virtual INTID beyond its vPE's tables"


def _usable(call: Call, intid: int) -> bool:
    return is_lpi(intid) and intid < intid_limit(call.facts.id_bits)


def _target(state: Abstract, call: Call, number: int, command: Layout) -> str | None:
    """RDbase names a redistributor of the machine; where V = 0 it says nothing."""
    if not getattr(command, "valid", 1):
        return None
    for name in ("rd_base", "rd_base1", "rd_base2"):
        named = getattr(command, name, None)
        if named is not None and named not in call.facts.rd_bases:
            return "to what is no redistributor"
    return None


_RULES: Final[tuple[Callable[[Abstract, Call, int, Any], str | None], ...]] = (
    _event, _vpe, _intid, _doorbell, _virtual_intid, _target,
)  # fmt: skip


# ---------------------------------------------------------------- commands that change what is held


def _mapd(state: Abstract, call: Call, number: int, c: MAPD) -> After:
    """The new table is held before the old one is let go, and what is let go is what was recorded."""
    facts, devices = call.facts, dict(state.its[number].devices)
    old = devices.pop(c.device_id, None)
    if c.valid:
        if c.size > facts.event_id_bits:
            return "MAPD with too many EventID bits"
        frames = itt(facts, c.itt_addr, c.size)
        kin = (itt(facts, *known) for its in state.its.values() for known in its.devices.values())
        wrong = why_not_held(state, facts, frames, kin)
        if wrong is not None:
            return f"a translation table {wrong}"
        state = hold(state, facts, frames)
        devices[c.device_id] = (c.itt_addr, c.size)
    if old is not None:
        state = let_go(state, facts, itt(facts, *old))
    return state.with_its(number, devices=devices)


def _vmapp(state: Abstract, call: Call, number: int, c: VMAPP | VMAPP_V41) -> After:
    """A vPE's tables are held while it is mapped: its pending table in units of 64 KB, on GICv4.1 its configuration table."""
    facts, vpes = call.facts, dict(state.its[number].vpes)
    old = vpes.pop(c.vpe_id, None)
    if c.valid:
        place = (c.vpt_addr, c.vpt_size, c.vconf_addr if isinstance(c, VMAPP_V41) else 0)
        for n, (frames, what) in enumerate(
            zip(vpe_tables(*place), ("a virtual pending table", "a virtual configuration table"), strict=False)
        ):
            wrong = why_not_held(state, facts, frames, _kin_of_vpe(state, n))
            if wrong is not None:
                return f"{what} {wrong}"
            state = hold(state, facts, frames)
        vpes[c.vpe_id] = place
    for frames in vpe_tables(*old) if old is not None else ():
        state = let_go(state, facts, frames)
    return state.with_its(number, vpes=vpes)


def _kin_of_vpe(state: Abstract, which: int) -> list[range]:
    """The tables of other vPEs of the same kind: 0 pending, 1 configuration, which a resident vPE of GICv4.0 has too."""
    found = [tables[which] for its in state.its.values() for place in its.vpes.values()
             if len(tables := vpe_tables(*place)) > which]  # fmt: skip
    return [*found, *state.resident.values()] if which else found


def new_level_2(state: Abstract, call: Call, number: int) -> After:
    """Level-2 pages that were brought in. Which ones is the host's choice: it wrote their addresses into its copy of level 1.

    Each must have been the host's alone, and is the hypervisor's now. An entry that hardware has is never taken away.
    """
    seen = call.observed.its.get(number)
    known = state.its[number].level_2
    if seen is None or seen.level_2 == known:
        return state
    if any(seen.level_2.get(entry) != run for entry, run in known.items()):
        return "a level-1 entry that hardware uses was changed"
    for entry, (first, pages) in seen.level_2.items():
        if entry in known:
            continue
        after = move(state, call.facts, range(first, first + pages), HOST_ALONE, HYP)
        if after is None:
            return f"the level-2 page at {first:#x} was not the host's to give"
        state = after
    return state.with_its(number, level_2=seen.level_2)
