"""The command queue in the specification: what a write that runs it does.

Three readings of one trap. ``run`` is what the hardening promises: every command from the host's last position on is looked at
once and in turn, refused without a trace or carried out with its pages held, and the queue is empty afterwards. ``run_series``
bounds what the presets of the series may do, which differ from each other and from what they meant to do: they reach the pages
that commands name, and no others. ``run_bare`` is hardware that reads the host's own queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from itsbox.arch.its_commands import COMMAND_SIZE, COMMANDS, COMMANDS_V41, MAPD, VMAPP, VMAPP_V41, decode_command
from itsbox.arch.its_registers import GITS_CREADR
from itsbox.arch.values import pfn_of
from itsbox.ops import CommandRecord, Outcome, Verdict
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractPage
from itsbox.oracle.spec_call import Call, Expected, Facts, Loose, still_host
from itsbox.oracle.spec_commands import carried_out, new_level_2
from itsbox.oracle.spec_pages import HYP, itt, vpe_tables

__all__ = ["Frames", "progress", "run", "run_bare", "run_series"]

_BUGGY_VPT_PAGES: Final = 65536
"""What the RFC rounds the number of pages of a virtual pending table up to (docs/explanation/series.md, patch 9)."""


class Frames:
    """A set of frames that is only worked out when something differs."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make
        self._made: tuple[Any, ...] | None = None

    def __contains__(self, pfn: object) -> bool:
        if not isinstance(pfn, int):
            return False  # a path to more than a frame; a range would compare it with each of its numbers
        if self._made is None:
            self._made = tuple(self._make())
        return any(pfn in each for each in self._made)


def records_of(outcome: Outcome) -> list[CommandRecord]:
    """The commands that were looked at meanwhile."""
    return list(getattr(outcome, "commands", ()))


def progress(pre: Abstract) -> tuple[Loose, ...]:
    """How far hardware is in the queues; a VMOVP lets the other ITSs go on that waited for it (IHI 0069H.b, VMOVP)."""
    keys = {(n, "CREADR") for n, name in pre.registers if name == "CREADR"}
    return (Loose("registers", keys, "how far hardware gets with its queue is hardware's business"),)


# ---------------------------------------------------------------- all of it


def run(state: Abstract, call: Call, number: int) -> Expected:
    """The host's position moves to where it wrote GITS_CWRITER; ``state`` has that already."""
    if any(its.waiting for its in (*state.its.values(), *call.observed.its.values())):
        return _stopped(state, call, number)
    its, records = state.its[number], records_of(call.outcome)
    slots = _slots(its.consumed, its.host_cwriter, its.host_bytes)
    if [record[0] for record in records] != slots:
        seen = [record[0] for record in records]
        return Expected(state, wrong=f"commands in slots {seen} were looked at, the host wrote those in {slots}")
    given = 0
    for _, _, words, verdict, _, _ in records:
        if verdict == Verdict.REFUSED:
            continue
        after = carried_out(state, call, number, words, verdict)
        if isinstance(after, str):
            return Expected(state, wrong=after)
        state, given = after, given + 1
    after = new_level_2(state, call, number)
    if isinstance(after, str):
        return Expected(state, wrong=after)
    state = after.with_its(number, consumed=its.host_cwriter)
    if given:
        state = _hardware_moved(state, number, given)
    return Expected(state)


def _slots(start: int, end: int, length: int) -> list[int]:
    """The slots of a queue of ``length`` bytes from one offset to another, around its end if need be."""
    count = (end - start) % length // COMMAND_SIZE
    return [(start // COMMAND_SIZE + n) % (length // COMMAND_SIZE) for n in range(count)]


def _hardware_moved(state: Abstract, number: int, commands: int) -> Abstract:
    """Hardware was given so many commands more, and has carried them out."""
    word = state.registers.get((number, "CREADR"), 0)
    before = GITS_CREADR.decode(word).offset
    target = (before + commands * COMMAND_SIZE) % state.its[number].host_bytes
    return state.with_registers(number, CWRITER=target, CREADR=word + target - before)


def _stopped(state: Abstract, call: Call, number: int) -> Expected:
    """Hardware stopped at a command, or had stopped at one: what that one holds, and what the others name, is open."""
    why = "hardware stopped at a command, which may be carried out or taken back at any time"
    fields = ("consumed", "devices", "vpes", "level_2", "waiting", "stopped")
    stopped = [its.stopped for each in (state, call.observed) for its in each.its.values()]
    used = Frames(lambda: iter((*stopped, *_named(call), *_pages_of_records(state, call, number))))
    return Expected(
        state,
        (
            Loose("its", {(number, name) for name in fields}, why),
            Loose("pages", used, why, still_host),
            Loose("pages", _level_2_pages(state, call, number), why, _given_or_returned),
            Loose("tracked", used, why),
            Loose("registers", {(number, "CWRITER")}, why),
            *progress(state),
        ),
    )


# ---------------------------------------------------------------- the series


def run_series(pre: Abstract, call: Call, number: int) -> Expected:
    """What any preset that copies commands may change: this ITS's record, and the pages that its commands name.

    A batch that is refused leaves no record of the commands before the refused one although their pages are shared by then,
    so that what the hypervisor has written down afterwards counts as named.
    """
    why = "the presets of the series differ in which commands they look at, when, and which pages they then let go"
    fields = ("consumed", "host_cwriter", "waiting", "stopped", "devices", "vpes", "level_2")
    batch = call.facts.knob("submission", "runs") == "batch"
    written = (pre.tracked, call.observed.tracked) if batch else (pre.tracked,)
    used = Frames(lambda: iter((*written, *_named(call), *_pages_of_records(pre, call, number))))
    return Expected(
        pre,
        (
            Loose("its", {(number, name) for name in fields}, why),
            Loose("pages", used, f"pages of tables that commands name: {why}", still_host),
            Loose("pages", _level_2_pages(pre, call, number), f"level-2 pages: {why}", _given_or_returned),
            Loose("tracked", used, why),
            Loose("registers", {(number, "CWRITER")}, "the copy's position is the hypervisor's choice"),
            *progress(pre),
        ),
    )


def _named(call: Call) -> Iterator[range]:
    """The pages that the commands of this op name, as widely as any knob reads them."""
    for _, _, words, _, _, _ in records_of(call.outcome):
        command = decode_command(words, COMMANDS_V41 if call.facts.vmapp_v41 else COMMANDS)
        if isinstance(command, MAPD):
            yield _wide_itt(call.facts, command.itt_addr, command.size)
        elif isinstance(command, VMAPP | VMAPP_V41):
            place = (command.vpt_addr, command.vpt_size, command.vconf_addr if isinstance(command, VMAPP_V41) else 0)
            yield from _wide_vpe(call.facts, place)


def _pages_of_records(pre: Abstract, call: Call, number: int) -> Iterator[range]:
    """The pages of the devices and vPEs of an ITS, before and after."""
    for state in (pre, call.observed):
        its = state.its.get(number)
        if its is not None:
            for place in its.devices.values():
                yield _wide_itt(call.facts, *place)
            for tables in its.vpes.values():
                yield from _wide_vpe(call.facts, tables)


def _wide_itt(facts: Facts, itt_addr: int, size: int) -> range:
    """A translation table's pages, and the one behind them that knob ``itt_pages`` ``slack`` counts too."""
    exact = itt(facts, itt_addr, size)
    return range(exact.start, exact.stop + (facts.knob("itt_pages", "exact") == "slack"))


def _wide_vpe(facts: Facts, place: tuple[int, int, int]) -> Iterator[range]:
    """A vPE's pages, and with knob ``vpt_pages`` ``buggy`` the many that the RFC counts."""
    yield from vpe_tables(*place)
    if facts.knob("vpt_pages", "correct") == "buggy":
        yield range(pfn_of(place[0]), pfn_of(place[0]) + _BUGGY_VPT_PAGES)


def _level_2_pages(pre: Abstract, call: Call, number: int) -> Frames:
    """The pages of level-1 entries that came, went or changed."""

    def changed() -> Iterator[range]:
        before, after = (state.its[number].level_2 if number in state.its else {} for state in (pre, call.observed))
        for entry in before.keys() | after.keys():
            if before.get(entry) != after.get(entry):
                for first, pages in (run for run in (before.get(entry), after.get(entry)) if run is not None):
                    yield range(first, first + pages)

    return Frames(changed)


def _given_or_returned(expected: AbstractPage, found: AbstractPage) -> bool:
    """A page that goes from the host alone to the hypervisor alone, or back."""
    return (expected, found) in ((HOST_ALONE, HYP), (HYP, HOST_ALONE))


# ---------------------------------------------------------------- hardware alone


def run_bare(pre: Abstract, number: int, names: set[str]) -> Expected:
    """The host writes registers of an ITS that nobody guards: they change, and hardware goes on with its queue."""
    why = "the host writes hardware's register; which bits stick is hardware's business (IHI 0069H.b)"
    return Expected(pre, (Loose("registers", {(number, name) for name in names}, why), *progress(pre)))
