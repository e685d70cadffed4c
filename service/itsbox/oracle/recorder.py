"""Writes the event log of a machine, complete: ops, events, accesses to memory and registers in the order they happened.

The recorder listens where the oracle listens and passes everything on to it. It costs a few microseconds an access, so it is
attached on request only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from itsbox.arch.its_tables import L1Entry
from itsbox.events import render
from itsbox.memory.interconnect import Initiator
from itsbox.oracle.log_format import FORMAT, op_line
from itsbox.oracle.provenance import table_of

if TYPE_CHECKING:
    from itsbox.events import EventLog
    from itsbox.hardware.its import Its
    from itsbox.hardware.profile import MemoryMap
    from itsbox.hardware.redistributor import Redistributor
    from itsbox.memory.interconnect import Interconnect
    from itsbox.ops import Op, Outcome

__all__ = ["Recorder", "head_line"]


class Recorded(Protocol):
    """A machine, as far as the recorder needs it."""

    map: MemoryMap
    its: list[Its]
    redistributors: list[Redistributor]
    interconnect: Interconnect
    log: EventLog
    config: Any

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

    Owned by: whoever records; one at a time on a machine.
    """

    __slots__ = ("_hardware", "_marks", "_passed_on", "lines", "machine")

    def __init__(self, machine: Recorded) -> None:
        if machine.log.step:
            msg = "a complete log begins at reset"
            raise ValueError(msg)
        self.machine = machine
        self.lines: list[dict[str, Any]] = [head_line(machine)]
        self._passed_on = machine.interconnect.watch
        self._marks: list[tuple[int, dict[str, Any]]] = []
        self._hardware: dict[str, Any] = {}
        machine.interconnect.watch = self._access
        self._note_hardware(machine.log.step)

    def _access(self, initiator: int, is_write: bool, addr: int, length: int, why: str) -> None:
        nodes = self.machine.its
        node, command = next(((n, its.command) for n, its in enumerate(nodes) if its.command is not None), (0, None))
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
        if self._passed_on is not None:
            self._passed_on(initiator, is_write, addr, length, why)

    def apply(self, op: Op, result: dict[str, Any] | None = None) -> Outcome:
        """Carry an op out and write its lines. ``result``: its wire form, filled by the caller afterwards if wanted."""
        log = self.machine.log
        first = len(log.items)
        outcome = self.machine.apply(op)
        step = log.step
        self.lines.append({"step": step, "type": "op", "data": op_line(op)})
        events = log.items[first:]
        marks = [(at - first, line) for at, line in self._marks]
        self._marks.clear()
        for n, event in enumerate(events):
            while marks and marks[0][0] <= n:
                self.lines.append({"step": step, **marks.pop(0)[1]})
            self.lines.append(render(event))
        self.lines += [{"step": step, **line} for _, line in marks]
        self._note_hardware(step)
        self.lines.append({"step": step, "type": "end", "data": {"phase": self.machine.phase, **(result or {})}})
        return outcome

    def close(self) -> list[dict[str, Any]]:
        """Stop listening; the lines."""
        self.machine.interconnect.watch = self._passed_on
        return self.lines

    def _note_hardware(self, step: int) -> None:
        """A line when registers that say what memory hardware uses have changed."""
        machine = self.machine
        now = {
            "its": [
                {
                    "enabled": node.enabled,
                    "cbaser": hex(node.cbaser),
                    "baser": [hex(value) for value in node.baser],
                    "level_1": {str(n): self._level_1(value) for n, value in enumerate(node.baser) if _indirect(value)},
                }
                for node in machine.its
            ],
            "gicr": [[gicr.enable_lpis, hex(gicr.propbaser), hex(gicr.pendbaser)] for gicr in machine.redistributors],
            "guards_redistributors": self._guards(),
        }
        if now != self._hardware:
            self._hardware = now
            self.lines.append({"step": step, "type": "hardware", "data": now})

    def _guards(self) -> bool:
        oracle = getattr(self.machine, "oracle", None)
        return bool(oracle is not None and oracle.view.guards_redistributors())

    def _level_1(self, value: int) -> list[list[Any]]:
        """The valid entries of a level-1 table: [index, word]."""
        table = table_of(value)
        memory = self.machine.interconnect.mem
        if table is None or not memory.contains(table.addr, table.length):
            return []
        words = memoryview(memory.load(table.addr, table.length)).cast("Q")
        return [[index, hex(word)] for index, word in enumerate(words) if word and L1Entry.decode(word).valid]


def _indirect(value: int) -> bool:
    table = table_of(value)
    return table is not None and table.indirect
