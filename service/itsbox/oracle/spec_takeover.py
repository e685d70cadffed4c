"""The switch-over in the specification: CPUs lose their privilege, ITSs and redistributors change hands.

What the host hands over is its choice, and it says so in memory, which this state does not have: addresses of its queue and of
its copies of level 1 are read from the record that the hypervisor made. Everything else follows from the registers, and each
page must have been the host's to give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR, baser_address, baser_bytes, cbaser_bytes
from itsbox.arch.values import pages_of, pfn_of
from itsbox.ops import Hvc, HvcReturn
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractPage
from itsbox.oracle.spec_call import ANY, Call, Expected, Facts, Loose, from_host
from itsbox.oracle.spec_pages import HYP, hold, itt, move, vpe_tables
from itsbox.oracle.spec_redist import hold_lpi_tables

__all__ = ["its_take_over", "prot_finalize", "redistributor_take_over"]

Args: TypeAlias = tuple[int, ...]
_QUEUE: Final = AbstractPage("host", "hyp", 1)
_PRIVATE_PAGES: Final = {"one_page": 1, "two_pages": 2}
"""Pages of private state, where the call does not say (RFC, patch 14; knob ``private_state``)."""


def _succeeded(call: Call) -> bool:
    outcome = call.outcome
    return isinstance(outcome, HvcReturn) and outcome.x0 == 0 and outcome.x1 == 0


# ---------------------------------------------------------------- CPUs


def prot_finalize(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_prot_finalize``: one CPU more has lost its privilege; the last of them closes the window."""
    facts, op = call.facts, call.op
    cpu = args[0] if isinstance(op, Hvc) and op.args else _next_cpu(pre, facts)
    if not _succeeded(call):
        return Expected(pre)
    if not 0 <= cpu < facts.cpus or cpu in pre.finalised:
        return Expected(pre, wrong="a CPU was finalised that is not there, or was so before")
    state = replace(pre, finalised=pre.finalised | {cpu}, phase="deprivileging")
    if len(state.finalised) < facts.cpus:
        return Expected(state)
    loose: tuple[Loose, ...] = ()
    if facts.knob("takeover_window", "quiesced") == "quiesced":
        state, loose = _quiesced(state, call)
    return Expected(_phase(state, facts), loose)


def _next_cpu(state: Abstract, facts: Facts) -> int:
    return next((cpu for cpu in range(facts.cpus) if cpu not in state.finalised), 0)


def _phase(state: Abstract, facts: Facts) -> Abstract:
    """Deprivileged once every CPU is finalised and no ITS is waited for."""
    if len(state.finalised) < facts.cpus:
        return state
    return replace(state, phase="deprivileging" if _awaited(state, facts) else "deprivileged")


def _awaited(state: Abstract, facts: Facts) -> list[int]:
    """The ITSs that will be emulated and have not been taken over."""
    if facts.knob("its_mmio", "emulated") != "emulated":
        return []
    return [number for number in range(len(facts.its)) if number not in state.its]


def _quiesced(state: Abstract, call: Call) -> tuple[Abstract, tuple[Loose, ...]]:
    """The window: LPI tables in use are held, or LPIs turned off; each ITS that is waited for is disabled."""
    facts = call.facts
    loose: tuple[Loose, ...] = ()
    if facts.knob("redistributors", "emulated") == "emulated":
        for cpu in range(facts.cpus):
            if state.lpis[cpu].enable_lpis and cpu not in state.held:
                held = hold_lpi_tables(state, facts, cpu)
                state = state.with_lpis(cpu, enable_lpis=False) if held is None else held
        loose = _evicted(range(facts.cpus))
    for number in _awaited(state, facts):
        word = state.registers[number, "CTLR"]
        seen = GITS_CTLR.decode(call.observed.registers[number, "CTLR"])
        off = GITS_CTLR.decode(word).replace(enabled=0, quiescent=seen.quiescent).word()
        state = replace(state.with_registers(number, CTLR=off), quiesced={**state.quiesced, number: word})
    return state, loose


def _evicted(cpus: range) -> tuple[Loose, ...]:
    why = "a vPE that is resident leaves: it would use tables that nobody holds; hardware says what it left pending"
    return (Loose("lpis", {(cpu, "vpendbaser") for cpu in cpus}, why),)


# ---------------------------------------------------------------- ITSs


def its_take_over(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_init_its_emulation``: refused without a trace, or queue, tables and what they name change hands."""
    facts = call.facts
    number = facts.its.index(args[0]) if args[0] in facts.its else None
    if not _succeeded(call):
        return _refused(pre, call)
    if number is None and facts.knob("region_scan", "counted") == "counted":
        return Expected(pre, wrong="something was taken over that is no ITS")
    if number is not None and (number in pre.its or number not in call.observed.its):
        return Expected(pre, wrong="an ITS was taken over twice, or leaves no record")
    if number is None or not call.claims.commands:
        return _believed(pre, call, number)
    state = _everything(pre, call, number, args)
    if isinstance(state, str):
        return Expected(pre, wrong=state)
    return Expected(_phase(_resumed(state, call, number), facts))


def _refused(pre: Abstract, call: Call) -> Expected:
    """Nothing changes, or where knob ``setup_undo`` gives back less than it took, pages of the host are lost."""
    if call.facts.knob("setup_undo", "full") == "full":
        return Expected(pre)
    why = "knob setup_undo: what a failed take-over took is not all given back"
    return Expected(pre, (Loose("pages", ANY, why, from_host),))


def _believed(pre: Abstract, call: Call, number: int | None) -> Expected:
    """Where the host is believed, which pages of queue and tables go is its choice; but they are its own, and free."""
    facts, observed = call.facts, call.observed
    why = "knobs setup_values, table_hiding, itt_pages and others: how many pages go is what the host says, or what they say"
    state = pre
    if number is not None:
        state = replace(state, its={**state.its, number: observed.its[number]})
        state = _resumed(state, call, number)
    loose = [Loose("pages", ANY, why, from_host)]
    if facts.knob("private_page", "zeroed") == "kept":
        loose.append(Loose("tracked", ANY, "knob private_page kept: the host wrote the hypervisor's first records"))
    if facts.knob("preswitch_devices", "walked") == "walked":
        loose.append(Loose("tracked", ANY, "the devices that were mapped before are held like any other"))
    return Expected(_phase(state, facts), tuple(loose))


def _resumed(state: Abstract, call: Call, number: int) -> Abstract:
    """The window ends: GITS_CTLR as it was before it."""
    before = state.quiesced.get(number)
    if before is None:
        return state
    seen = GITS_CTLR.decode(call.observed.registers[number, "CTLR"])
    word = GITS_CTLR.decode(before).replace(quiescent=seen.quiescent).word()
    quiesced = {each: value for each, value in state.quiesced.items() if each != number}
    return replace(state.with_registers(number, CTLR=word), quiesced=quiesced)


def _everything(pre: Abstract, call: Call, number: int, args: Args) -> Abstract | str:
    """The pages of a take-over in which nothing is believed: all follow from registers, arguments and the record."""
    facts, taken = call.facts, call.observed.its[number]
    given = len(call.op.args) if isinstance(call.op, Hvc) else 0
    pages = args[2] if given > 3 else _PRIVATE_PAGES[facts.knob("private_state", "one_page")]
    shadow = args[3] if given > 3 else args[2]
    wrong = _record(pre, number, taken)
    if wrong is not None:
        return wrong
    queue_pages = len(pages_of(taken.host_queue, taken.host_bytes))
    donated = [
        (pfn_of(args[1]), pages),
        (pfn_of(shadow), 1),
        (pfn_of(taken.hw_queue), queue_pages),
        *((table.first, table.pages) for table in taken.tables),
        *taken.level_2.values(),
    ]
    shared = [(pfn_of(taken.host_queue), queue_pages), *((t.copy, t.pages) for t in taken.tables if t.copy)]
    state = pre
    for runs, new in ((donated, HYP), (shared, _QUEUE)):
        for first, count in runs:
            moved = move(state, facts, range(first, first + count), HOST_ALONE, new)
            if moved is None:
                return f"{count} pages at {first:#x} were taken that are not the host's to give"
            state = moved
    return replace(_found_devices(state, facts, taken), its={**pre.its, number: taken})


def _record(pre: Abstract, number: int, taken: AbstractIts) -> str | None:
    """What is wrong with the record of an ITS: queue and tables are those that its registers name."""
    cbaser = GITS_CBASER.decode(pre.registers[number, "CBASER"])
    if (taken.hw_queue, taken.host_bytes) != (cbaser.physical_address, cbaser_bytes(cbaser)):
        return "the queue that was taken is not the one that GITS_CBASER names"
    named = []
    for n in range(8):
        register = GITS_BASER.decode(pre.registers[number, f"BASER{n}"])
        if register.valid:
            named.append((register.type, pfn_of(baser_address(register)), len(pages_of(0, baser_bytes(register)))))
    if named != [table[:3] for table in taken.tables]:
        return "the tables that were taken are not those that GITS_BASER<n> name"
    return None if taken.consumed == taken.host_cwriter else "commands in flight were forgotten or are done again"


def _found_devices(state: Abstract, facts: Facts, taken: AbstractIts) -> Abstract:
    """What devices and vPEs that were mapped before use is held like any other's. Which there are, the tables say."""
    for place in taken.devices.values():
        state = hold(state, facts, itt(facts, *place))
    for tables in taken.vpes.values():
        for frames in vpe_tables(*tables):
            state = hold(state, facts, frames)
    return state


# ---------------------------------------------------------------- redistributors


def redistributor_take_over(pre: Abstract, call: Call, args: Args) -> Expected:
    """``__pkvm_init_redist_emulation``: private pages go to the hypervisor, and LPI tables that are in use are held."""
    facts = call.facts
    cpu, rest = divmod(args[0] - facts.gicr, facts.stride)
    loose = _evicted(range(cpu, cpu + 1))
    if not _succeeded(call):
        return Expected(pre, loose if not rest and 0 <= cpu < facts.cpus else ())
    if rest or not 0 <= cpu < facts.cpus or cpu in pre.taken:
        return Expected(pre, wrong="something was taken over that is no redistributor, or was so before")
    given = len(call.op.args) if isinstance(call.op, Hvc) else 0
    first, pages = pfn_of(args[1]), args[2] if given > 2 else 1
    state = move(pre, facts, range(first, first + pages), HOST_ALONE, HYP)
    if state is None:
        return Expected(pre, wrong=f"{pages} pages at {first:#x} were taken that are not the host's to give")
    if state.lpis[cpu].enable_lpis and cpu not in state.held:
        state = hold_lpi_tables(state, facts, cpu)
    if state is None:
        return Expected(pre, wrong="a redistributor was taken over whose tables cannot be held")
    return Expected(replace(state, taken=state.taken | {cpu}), loose)
