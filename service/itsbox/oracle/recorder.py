"""Writes the event log of a machine, complete: ops, events, accesses to memory and registers in the order they happened.

The recorder listens where the oracle listens and passes everything on to it. It costs a few microseconds an access, so it is
attached on request only.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from itsbox.arch.its_commands import MAPD
from itsbox.arch.its_tables import L1Entry, itt_bytes
from itsbox.arch.values import PAGE_SHIFT, pages_of
from itsbox.events import PAGE_STATE, render
from itsbox.memory.interconnect import Initiator, Why
from itsbox.oracle.device_table import translation_table, words_at
from itsbox.oracle.log_format import FORMAT, op_line
from itsbox.oracle.provenance import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from itsbox.events import Event, EventLog
    from itsbox.hardware.its import Its
    from itsbox.hardware.profile import MemoryMap
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.memory.interconnect import Interconnect
    from itsbox.ops import Op, Outcome
    from itsbox.oracle.view import Command

__all__ = ["Recorded", "Recorder", "head_line"]


class Guard(Protocol):
    """The hypervisor, as far as the recorder needs it."""

    def guards(self, addr: int) -> bool:
        """Whether stage 2 sends the host's accesses to an address to the hypervisor."""


class Recorded(Protocol):
    """A machine, as far as the recorder needs it."""

    map: MemoryMap
    its: list[Its]
    redistributors: list[Redistributor]
    interconnect: Interconnect
    log: EventLog
    config: Any

    @property
    def hypervisor(self) -> Guard:
        """What stands between the host and the frames."""

    @property
    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""

    def apply(self, op: Op) -> Outcome:
        """Carry an op out."""


def head_line(machine: Recorded) -> dict[str, Any]:
    """The first line of a log."""
    where = machine.map
    its = machine.its[0]
    return {
        "k": "head",
        "format": FORMAT,
        "profile": machine.config.profile.name,
        "hardening": machine.config.hardening.as_json(),
        "complete": True,
        "cpus": len(machine.redistributors),
        "its": len(machine.its),
        "pta": int(its.typer.pta),
        "vmapp": int(its.typer.vmapp),
        "l1_as_qemu": int(its.profile.l1_as_qemu),
        "ite_bytes": its.ite_bytes,
        "id_bits": machine.config.profile.gicr_idbits,
        "map": {name: _shown(getattr(where, name)) for name in where.__slots__},
    }


def _shown(value: Any) -> Any:
    """An address, several or none."""
    if isinstance(value, tuple):
        return [hex(each) for each in value]
    return None if value is None else hex(value)


class Recorder:
    """Applies ops to a machine and keeps the log's lines, from reset on: what happened before cannot be judged.

    Raises ValueError for a machine that has been used: make it with ``start`` ``bare`` and let ops boot it.

    lines: those since the last ``take``.
    Invariant: between ops ``_marks`` is empty, and the last ``hardware`` line says what hardware is.
    Owned by: whoever records; one at a time on a machine.
    """

    __slots__ = (
        "_devices", "_ears", "_hardware", "_level_1", "_marks", "_overwritten", "_passed_on", "_stale", "_stamp", "_users",
        "lines", "machine",
    )  # fmt: skip

    def __init__(self, machine: Recorded) -> None:
        if machine.log.step:
            msg = "a complete log begins at reset"
            raise ValueError(msg)
        self.machine = machine
        self.lines: list[dict[str, Any]] = [head_line(machine)]
        self._passed_on = machine.interconnect.watch
        self._ears = [node.on_message for node in machine.its]
        self._marks: list[tuple[int, dict[str, Any]]] = []
        self._hardware: dict[str, Any] = {}
        self._stamp: list[object] = []
        self._level_1: list[tuple[int, int]] = []  # (first byte, byte behind) of the level-1 tables in use
        self._stale = True  # whether one of them was written since they were read
        self._devices: dict[tuple[int, int], range] = {}  # frames of the table that each device's MAPD named
        self._users: dict[
            int | None, set[tuple[int, int]]
        ] = {}  # frame -> those devices; None -> those of very long ones
        self._overwritten: list[list[list[Any]]] = [[] for _ in machine.its]
        machine.interconnect.watch = self._access
        for node, passed_on in zip(machine.its, self._ears, strict=True):
            node.on_message = self._message_to(passed_on)
        self._note_hardware(machine.log.step)

    # ---------------------------------------------------------------- the ears

    def _access(self, initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
        self._mark(initiator, is_write, addr, length, why)
        if is_write:
            if any(addr < end and first < addr + length for first, end in self._level_1):
                self._stale = True
            if why == Why.DTE:
                self._note_device()
        if self._passed_on is not None:
            self._passed_on(initiator, is_write, addr, length, why)

    def _message_to(self, passed_on: Callable[[int, int, str], None] | None) -> Callable[[int, int, str], None]:
        """An ear for messages of one ITS, which are no accesses to memory."""

        def message(initiator: int, addr: int, why: str) -> None:
            self._mark(initiator, True, addr, _MESSAGE_BYTES, why)
            if passed_on is not None:
                passed_on(initiator, addr, why)

        return message

    def _mark(self, initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
        """Note an access, and behind how many events of the op it came."""
        node, command = self._executing()
        data = {
            "initiator": Initiator.NAMES[initiator],
            "write": is_write,
            "addr": hex(addr),
            "length": length,
            "why": why,
            "command": None if command is None else [command[0], command[1], [hex(word) for word in command[2]]],
            "its": node,
            "phase": self.machine.phase,
        }
        self._marks.append((len(self.machine.log.items), {"type": "dma", "data": data}))

    def _executing(self) -> tuple[int, Command | None]:
        return next(((n, its.command) for n, its in enumerate(self.machine.its) if its.command is not None), (0, None))

    def _note_device(self) -> None:
        """An ITS writes a device table entry: remember what its command says."""
        node, command = self._executing()
        if command is None or command[1] != "MAPD":
            return
        mapd = MAPD.decode(*command[2])
        key = (node, mapd.device_id)
        for block in _blocks(self._devices.pop(key, range(0))):
            self._users[block].discard(key)
        if mapd.valid:
            pages = self._devices[key] = pages_of(mapd.itt_addr, itt_bytes(mapd.size, self.machine.its[node].ite_bytes))
            for block in _blocks(pages):
                self._users.setdefault(block, set()).add(key)

    # ---------------------------------------------------------------- ops

    def apply(self, op: Op, result: dict[str, Any] | None = None) -> Outcome:
        """Carry an op out and write its lines. ``result``: its wire form, filled by the caller afterwards if wanted.

        What the machine raises passes through; the op's lines are then not written.
        """
        log = self.machine.log
        first = len(log.items)
        self._marks.clear()
        outcome = self.machine.apply(op)
        step = log.step
        self.lines.append({"step": step, "type": "op", "data": op_line(op)})
        events = log.items[first:]
        marks = iter([(at - first, line) for at, line in self._marks])
        self._marks.clear()
        at, line = next(marks, _NO_MARK)
        for n, event in enumerate(events):
            while at <= n:
                self.lines.append({"step": step, **line})
                at, line = next(marks, _NO_MARK)
            self.lines.append(render(event))
        while line:
            self.lines.append({"step": step, **line})
            at, line = next(marks, _NO_MARK)
        self._look_at_devices(events)
        self._note_hardware(step)
        self.lines.append({"step": step, "type": "end", "data": {"phase": self.machine.phase, **(result or {})}})
        return outcome

    def take(self) -> list[dict[str, Any]]:
        """The lines since the last ``take``, for a log that is written while it grows."""
        taken, self.lines = self.lines, []
        return taken

    def close(self) -> list[dict[str, Any]]:
        """Stop listening; the lines that were not taken."""
        self.machine.interconnect.watch = self._passed_on
        for node, passed_on in zip(self.machine.its, self._ears, strict=True):
            node.on_message = passed_on
        return self.lines

    # ---------------------------------------------------------------- what hardware is

    def _note_hardware(self, step: int) -> None:
        """A line when registers or tables that say what memory hardware uses have changed."""
        machine = self.machine
        guards = machine.hypervisor.guards(machine.map.gicr)
        stamp: list[object] = [guards, machine.interconnect.moves, *self._overwritten]
        if stamp == self._stamp and not self._stale:
            return
        self._stamp, self._stale = stamp, False
        tables = [table for node in machine.its for table in map(table_of, node.baser) if table and table.indirect]
        self._level_1 = [(table.addr, table.addr + table.length) for table in tables]
        now = {
            "its": [self._node(n) for n in range(len(machine.its))],
            "gicr": [[gicr.enable_lpis, hex(gicr.propbaser), hex(gicr.pendbaser)] for gicr in machine.redistributors],
            "guards_redistributors": guards,
        }
        if now != self._hardware:
            self._hardware = now
            self.lines.append({"step": step, "type": "hardware", "data": now})

    def _node(self, number: int) -> dict[str, Any]:
        node = self.machine.its[number]
        return {
            "enabled": node.enabled,
            "cbaser": hex(node.cbaser),
            "baser": [hex(value) for value in node.baser],
            "level_1": {str(n): self._entries(value) for n, value in enumerate(node.baser) if _indirect(value)},
            "overwritten": self._overwritten[number],
        }

    def _entries(self, value: int) -> list[list[Any]]:
        """The valid entries of a level-1 table: [index, word]."""
        table = table_of(value)
        words = () if table is None else words_at(self.machine.interconnect.mem, table.addr, table.length)
        return [[index, hex(word)] for index, word in words if L1Entry.decode(word).valid]

    def _look_at_devices(self, events: list[Event]) -> None:
        """Pages changed hands: note the devices using them whose entry in memory is not what their command wrote."""
        pages = {pfn for event in events if event[0] is PAGE_STATE for pfn in _frames(event)}
        if not pages:
            return
        found: list[list[list[Any]]] = [[] for _ in self.machine.its]
        near = {key for pfn in {*pages, None} & self._users.keys() for key in self._users[pfn]}
        for node, device_id in sorted(key for key in near if not pages.isdisjoint(self._devices[key])):
            addr, length = translation_table(self.machine.its[node], self.machine.interconnect.mem, device_id)
            if pages_of(addr, length) != self._devices[node, device_id]:
                found[node].append([device_id, hex(addr), length])
        self._overwritten = found


def _blocks(pages: range) -> Iterable[int | None]:
    """Where the devices that use some frames are listed."""
    return pages if len(pages) <= _PAGES_LISTED else (None,)


def _frames(event: Event) -> range:
    """The frames of a ``page.state`` event."""
    return range(event[2] >> PAGE_SHIFT, (event[2] >> PAGE_SHIFT) + event[3])


def _indirect(value: int) -> bool:
    table = table_of(value)
    return table is not None and table.indirect


_MESSAGE_BYTES: Final = 4
_PAGES_LISTED: Final = 1024  # a table of 16 bits of EventID has less; an ITS with a seeded defect takes 2^20 times that
_NO_MARK: Final[tuple[float, dict[str, Any]]] = (inf, {})
