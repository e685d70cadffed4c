"""The off-line judge: reads an event log and says what the oracle says, without a machine.

The same ``Oracle`` runs over a view that is rebuilt from the log. A complete log (``recorder``) is judged in full; from an event
stream alone, which has neither accesses nor registers, what can be judged is ownership: what the ITS was told to use (executed
commands) against who owns which page (``page.state``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from itsbox.arch.its_tables import L1_ENTRY_SIZE
from itsbox.arch.values import PAGE_SHIFT, pages_of
from itsbox.hardware.profile import MemoryMap
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Done, Drive, HvcReturn, Op, Outcome, Refused, Verdict
from itsbox.oracle.log_format import FORMAT, LogError, number, op_from_line, page_text
from itsbox.oracle.oracle import Oracle
from itsbox.oracle.pages import Pages, PageState, Whose
from itsbox.oracle.provenance import table_of
from itsbox.oracle.records import NoRecords
from itsbox.oracle.view import Command, Gicr, Node
from itsbox.oracle.violations import Violation
from itsbox.reasons import Reason

__all__ = ["Report", "check_file", "check_log"]

_OWNERS: Final = {"host": Whose.HOST, "hyp": Whose.HYP, "guest": Whose.GUEST}
_INITIATORS: Final = {name: number for number, name in enumerate(Initiator.NAMES)}
_SOME_REASON: Final = next(iter(Reason))  # that something was refused counts here, not why
_UNKNOWN_OP: Final = Drive("unknown", {})
_ENTRIES: Final = {"MAPD": Why.DTE, "VMAPP": Why.VTE}


@dataclass(slots=True)
class Report:
    """What the judge found.

    complete: the log has accesses and registers; steps, events, accesses: how much was judged; violations: found now;
    recorded: violations that the log itself reports (bucket and step), when it was written by a machine with its oracle on.
    """

    complete: bool = False
    steps: int = 0
    events: int = 0
    accesses: int = 0
    violations: list[Violation] = field(default_factory=list)
    recorded: list[tuple[int, str]] = field(default_factory=list)

    @property
    def isolated(self) -> bool:
        """Whether memory isolation held."""
        return not self.violations

    @property
    def agrees(self) -> bool:
        """Whether this judge found what the log says was found on-line. True for a log that reports nothing at all."""
        found = sorted((violation.step, violation.bucket) for violation in self.violations)
        return not self.recorded or found == sorted(self.recorded)

    def wire(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "isolated": self.isolated,
            "complete": self.complete,
            "steps": self.steps,
            "events": self.events,
            "accesses": self.accesses,
            "violations": [violation.wire() for violation in self.violations],
            "recorded": [{"step": step, "bucket": bucket} for step, bucket in self.recorded],
            "agrees": self.agrees,
        }


def _address(value: Any) -> Any:
    """An address of the head's map, several, or none."""
    if isinstance(value, list):
        return tuple(map(number, value))
    return None if value is None else number(value)


class LogView:
    """``View`` and ``Pages`` over what the log has said so far."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.map = MemoryMap(**{name: _address(head["map"].get(name)) for name in MemoryMap.__slots__})
        where = self.map
        self.pages: Pages = self
        self.pta = bool(head.get("pta", 0))
        self.vmapp_v41 = bool(head.get("vmapp", 0))
        self.ite_bytes = int(head.get("ite_bytes", 12))
        self.id_bits = int(head.get("id_bits", 15))
        self.now = "trusted"
        self.command: Command | None = None
        self.node = 0
        self.guards = False
        self.moved = False
        self._cpus = int(head.get("cpus", 1))
        self._nodes = tuple(Node(False, 0, (0,) * 8) for _ in range(int(head.get("its", 1))))
        self._gicrs: tuple[Gicr, ...] = (Gicr(False, 0, 0),) * self._cpus
        self._words: dict[int, int] = {}
        self._states: dict[int, PageState] = {}
        self._ram = pages_of(where.ram, where.ram_bytes)
        self._hyp = pages_of(where.hyp, where.hyp_bytes)
        self._guest = pages_of(where.guest, where.guest_bytes)
        self._devices = range(where.gicd >> PAGE_SHIFT, where.gicr + self._cpus * where.gicr_stride >> PAGE_SHIFT)

    # ---------------------------------------------------------------- Pages

    def page(self, pfn: int) -> PageState:
        """The page's class, state and pins now."""
        known = self._states.get(pfn)
        if known is not None:
            return known
        if pfn in self._hyp:
            return PageState(Whose.HYP, "OWNED", 0)
        if pfn in self._guest:
            return PageState(Whose.GUEST, "OWNED", 0)
        if pfn in self._ram:
            return PageState(Whose.HOST, "OWNED", 0)
        return PageState(Whose.DEVICE if pfn in self._devices else Whose.MISSING, "OWNED", 0)

    def foreign(self, first: int, last: int) -> int | None:
        """The first frame of [first, last] that is the hypervisor's or a guest's, or None."""
        low, high = max(first, self._ram.start), min(last, self._ram.stop - 1)
        return next((pfn for pfn in range(low, high + 1) if self.page(pfn).whose in (Whose.HYP, Whose.GUEST)), None)

    def set_page(self, pfn: int, text: str) -> None:
        """Take a page's new state from a ``page.state`` event."""
        owner, state, pins = page_text(text)
        if pfn not in self._ram:
            return
        whose = _OWNERS[owner]
        self._states[pfn] = PageState(Whose.SHARED if whose == Whose.HOST and state != "OWNED" else whose, state, pins)

    # ---------------------------------------------------------------- View

    def phase(self) -> str:
        """As the log's lines say."""
        return self.now

    def executing(self) -> tuple[int, Command | None]:
        """The command that the current line names."""
        return self.node, self.command

    def nodes(self) -> tuple[Node, ...]:
        """Every ITS."""
        return self._nodes

    def registers_moved(self) -> bool:
        """Whether a ``hardware`` line came since this was last asked."""
        moved, self.moved = self.moved, False
        return moved

    def gicrs(self) -> tuple[Gicr, ...]:
        """Every redistributor."""
        return self._gicrs

    def is_redistributor(self, addr: int) -> bool:
        """Whether an address is the RD frame of a redistributor."""
        place, rest = divmod(addr - self.map.gicr, self.map.gicr_stride)
        return rest == 0 and 0 <= place < self._cpus

    def guards_redistributors(self) -> bool:
        """As the last ``hardware`` line says."""
        return self.guards

    def maps_device(self, node: int, device_id: int, pfn: int) -> bool:
        """A log does not hold device tables: what the ITS once wrote counts."""
        return True

    def word(self, addr: int) -> int | None:
        """A level-1 entry, as far as the log has told."""
        return self._words.get(addr, 0)

    def words(self, addr: int, length: int) -> Iterator[tuple[int, int]]:
        """(index, doubleword) of the level-1 entries of a range, as far as the log has told."""
        for at, word in self._words.items():
            if addr <= at < addr + length and word:
                yield (at - addr) // L1_ENTRY_SIZE, word

    def set_hardware(self, data: dict[str, Any]) -> None:
        """Take a ``hardware`` line."""
        self._nodes = tuple(
            Node(bool(each["enabled"]), number(each["cbaser"]), tuple(map(number, each["baser"])))
            for each in data["its"]
        )
        for node, each in zip(self._nodes, data["its"], strict=True):
            for n, entries in each["level_1"].items():
                table = table_of(node.baser[int(n)])
                for index, word in entries if table is not None else ():
                    self._words[table.addr + index * L1_ENTRY_SIZE] = number(word)  # type: ignore[union-attr]
        self._gicrs = tuple(Gicr(bool(on), number(prop), number(pend)) for on, prop, pend in data["gicr"])
        self.guards = bool(data["guards_redistributors"])
        self.moved = True

    def set_level_1(self, oracle: Oracle, data: dict[str, Any]) -> None:
        """Take a ``shadow.table`` event: the hypervisor mirrored an entry."""
        for table in oracle.world.tables.values():
            if table.use == data["table"] and table.indirect and data["index"] >= 0:
                self._words[table.addr + data["index"] * L1_ENTRY_SIZE] = number(data["new"])


class _Judge:
    """Goes through the lines of one log."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.view = LogView(head)
        self.oracle = Oracle(self.view.map, self.view, NoRecords())
        self.watch = self.oracle.watch()
        self.report = Report(complete=bool(head.get("complete", False)))
        self.step: int | None = None
        self.op: Op = _UNKNOWN_OP
        self.refused = self.executed = 0
        self.hvc_failed = False

    def line(self, line: dict[str, Any]) -> None:
        """Take one line."""
        kind, step, data = str(line["type"]), int(line["step"]), line["data"]
        if step != self.step:
            self.end()
            self.begin(step)
        take = _TAKE.get(kind)
        if take is not None:
            take(self, data)
        if kind not in _BESIDE:
            self.report.events += 1

    def begin(self, step: int) -> None:
        """A step begins."""
        self.step = step
        self.op = _UNKNOWN_OP
        self.refused = self.executed = 0
        self.hvc_failed = False
        self.oracle.begin(self.op, step)

    def end(self) -> None:
        """The lines of a step are over: judge it."""
        if self.step is None:
            return
        self.view.command = None
        self.report.steps += 1
        self.report.violations += self.oracle.end(self.op, self._outcome())

    def _outcome(self) -> Outcome:
        """An outcome with as many refusals as the events tell."""
        if self.hvc_failed:
            return HvcReturn(0, 0, None, _SOME_REASON)
        words = (0, 0, 0, 0)
        records = [(0, None, words, Verdict.REFUSED, None, None)] * self.refused
        records += [(0, None, words, Verdict.EXECUTED, None, None)] * self.executed
        return Refused(_SOME_REASON, None, records) if self.refused and not self.executed else Done(records)

    # ---------------------------------------------------------------- kinds of line

    def take_op(self, data: dict[str, Any]) -> None:
        """The op that the step carries out."""
        self.op = op_from_line(data)
        self.oracle.begin(self.op, self.step or 0)

    def take_dma(self, data: dict[str, Any]) -> None:
        """An access to memory."""
        initiator, why = _INITIATORS[data["initiator"]], str(data["why"])
        self.take_phase(data)
        shown = data["command"]
        self.view.node = int(data.get("its", 0))
        self.view.command = None if shown is None else (int(shown[0]), shown[1], tuple(map(number, shown[2])))  # type: ignore[assignment]
        self.report.accesses += 1
        self.watch(initiator, bool(data["write"]), number(data["addr"]), int(data["length"]), why)

    def take_page(self, data: dict[str, Any]) -> None:
        """Pages change hands."""
        first = number(data["addr"]) >> PAGE_SHIFT
        for pfn in range(first, first + int(data["pages"])):
            self.oracle.page_changing(pfn)
            self.view.set_page(pfn, str(data["to"]))

    def take_hardware(self, data: dict[str, Any]) -> None:
        """Registers of hardware."""
        self.view.set_hardware(data)

    def take_level_1(self, data: dict[str, Any]) -> None:
        """A level-1 entry was mirrored."""
        self.view.set_level_1(self.oracle, data)

    def take_executed(self, data: dict[str, Any]) -> None:
        """The ITS carried a command out."""
        self.executed += 1
        why = _ENTRIES.get(str(data["name"]))
        if why is not None and not self.report.complete:
            words = tuple(map(number, data["words"]))
            self.oracle.dma.entry_written(0, (int(data["slot"]), data["name"], words), why)  # type: ignore[arg-type]

    def take_rejected(self, data: dict[str, Any]) -> None:
        """The hypervisor refused a command."""
        self.refused += 1

    def take_hvc(self, data: dict[str, Any]) -> None:
        """A hypercall was answered."""
        self.hvc_failed = data["errno"] is not None
        if data["function"] == "__pkvm_prot_finalize" and not self.report.complete and data["errno"] is None:
            self.view.now = "deprivileged"

    def take_violation(self, data: dict[str, Any]) -> None:
        """The on-line oracle objected."""
        self.report.recorded.append((self.step or 0, str(data["bucket"])))

    def take_phase(self, data: dict[str, Any]) -> None:
        """The machine's phase."""
        self.view.now = str(data["phase"])


_TAKE: Final = {
    "op": _Judge.take_op,
    "dma": _Judge.take_dma,
    "hardware": _Judge.take_hardware,
    "end": _Judge.take_phase,
    "page.state": _Judge.take_page,
    "shadow.table": _Judge.take_level_1,
    "command.executed": _Judge.take_executed,
    "command.rejected": _Judge.take_rejected,
    "trap.hvc": _Judge.take_hvc,
    "violation": _Judge.take_violation,
}
_BESIDE: Final = frozenset({"op", "dma", "hardware", "end"})


def _parsed(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a log with their line numbers; empty lines do not count."""
    for at, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise LogError(at, f"is no JSON: {error.msg}") from None
        if not isinstance(value, dict):
            raise LogError(at, "is no JSON object")
        yield at, value


def check_log(lines: Iterable[str]) -> Report:
    """Judge a log.

    Raises:
        LogError: it is not in the format, with the number of the line.
    """
    judge: _Judge | None = None
    for at, value in _parsed(lines):
        try:
            if judge is None:
                if value.get("format") != FORMAT:
                    raise LogError(at, f"a log begins with a head of format {FORMAT!r}")
                judge = _Judge(value)
            elif "type" in value:
                judge.line(value)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, LogError):
                raise
            raise LogError(at, f"{type(error).__name__}: {error}") from None
    if judge is None:
        raise LogError(1, "the log is empty")
    judge.end()
    return judge.report


def check_file(path: str | Path) -> Report:
    """Judge a log file. Raises LogError, or OSError if it cannot be read."""
    with Path(path).open(encoding="utf-8") as lines:
        return check_log(lines)
