"""The off-line judge: reads an event log and says what the oracle says, without a machine.

The same ``Oracle`` runs over a view that is rebuilt from the log. A complete log (``recorder``) is judged in full; from an event
stream alone, which has neither accesses nor registers, what can be judged is ownership: what the ITS was told to use (executed
commands) against who owns which page (``page.state``).

What was found on-line and cannot be seen in a log of its kind is believed: a verdict of ``isolated`` means that neither the
judge nor the log knows of a violation. Lines are taken one by one; nothing is kept of them but what a machine would keep.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from itsbox.arch.values import PAGE_SHIFT
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import CommandRecord, Done, Drive, HvcReturn, Op, Outcome, Verdict
from itsbox.oracle.log_format import LINE, Access, LogError, head_from_line, line_shapes
from itsbox.oracle.log_lines import lines_of
from itsbox.oracle.log_view import LogView
from itsbox.oracle.oracle import Oracle
from itsbox.oracle.records import NoRecords
from itsbox.oracle.violations import Violation
from itsbox.reasons import Reason

__all__ = ["Recorded", "Report", "check_file", "check_log"]

_SOME_REASON: Final = next(iter(Reason))  # that a hypercall was refused counts here, not why
_UNKNOWN_OP: Final = Drive("unknown", {})
_ENTRIES: Final = {"MAPD": Why.DTE, "VMAPP": Why.VTE}
#: Invariants that rest, in whole or in part, on the hypervisor's own records, which no log has.
_ON_RECORDS: Final = frozenset({"H2", "H5", "H6", "H8", "H9", "H10", "H13"})
#: Looks at what other CPUs stored during one trap; a machine of ours needs a handful.
_RACES_MAX: Final = 10_000_000
#: Commands of one op, which are kept until it has been judged; the longest queue holds 32,768.
_COMMANDS_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """A violation that the log itself reports: it was found on-line.

    step, bucket: which; data: the event's, as far as it was there.
    """

    step: int
    bucket: str
    data: dict[str, Any]

    def wire(self) -> dict[str, Any]:
        """The violation's JSON form, as it was on-line."""
        oracle, sentence = self.data["oracle"] or "unknown", self.data["sentence"] or "The log does not say more."
        evidence = self.data["evidence"] or {}
        return {**evidence, "oracle": oracle, "sentence": sentence, "bucket": self.bucket, "step": self.step}


@dataclass(slots=True)
class Report:
    """What the judge found.

    complete: the log has accesses and registers; steps, events, accesses: how much was judged; violations: found now;
    recorded: violations that the log itself reports, when it was written by a machine with its oracle on; missing: how many
    steps (of a complete log) or events (of a stream) are not there; broken_off: a complete log ends within a step;
    restored_at: the step at which a stream tells of a restored snapshot, behind which nobody can judge.
    """

    complete: bool = False
    steps: int = 0
    events: int = 0
    accesses: int = 0
    violations: list[Violation] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    missing: int = 0
    broken_off: bool = False
    restored_at: int | None = None

    @property
    def isolated(self) -> bool:
        """Whether memory isolation held, as far as judge and log know."""
        return not self.violations and not self.recorded

    def _found(self) -> Counter[tuple[int, str]]:
        """What names a violation here: its bucket, or in a stream, where a bucket's parts are not known, its rule's number."""
        return Counter((each.step, each.bucket if self.complete else each.oracle) for each in self.violations)

    def _told(self, each: Recorded) -> tuple[int, str]:
        """The same of one that the log reports."""
        return each.step, each.bucket if self.complete else str(each.data["oracle"])

    @property
    def on_line(self) -> list[Recorded]:
        """Recorded violations that a judge of this kind of log cannot see: those that rest on what is not in it."""
        found = self._found()
        unseen = [each for each in self.recorded if not _taken(found, self._told(each))]
        return [each for each in unseen if not self.complete or each.data["oracle"] in _ON_RECORDS]

    @property
    def agrees(self) -> bool:
        """Whether this judge found what the log says was found on-line. True for a log that reports nothing at all.

        In a log the judge sees a part only, so it may miss what is ``on_line``; it must find nothing that was not found on-line.
        """
        if not self.recorded:
            return True
        told = Counter(map(self._told, self.recorded))
        if not self.complete:
            return self._found().keys() <= told.keys()
        return self._found() + Counter(map(self._told, self.on_line)) == told

    def wire(self) -> dict[str, Any]:
        """The JSON form."""
        violations = [{**violation.wire(), "judged": True} for violation in self.violations]
        violations += [{**each.wire(), "judged": False} for each in self.on_line]
        return {
            "isolated": self.isolated,
            "complete": self.complete,
            "steps": self.steps,
            "events": self.events,
            "accesses": self.accesses,
            "violations": sorted(violations, key=lambda violation: violation["step"]),
            "recorded": [{"step": each.step, "bucket": each.bucket} for each in self.recorded],
            "agrees": self.agrees,
            "missing": self.missing,
            "broken_off": self.broken_off,
            "restored_at": self.restored_at,
        }


def _taken(counter: Counter[Any], key: Any) -> bool:
    """Take one of a kind away; whether there was one."""
    there = counter[key] > 0
    counter[key] -= there
    return there


class _Judge:
    """Goes through the lines of one log."""

    def __init__(self, head: dict[str, Any]) -> None:
        self.view = LogView(head)
        self.oracle = Oracle(self.view.map, self.view, NoRecords())
        self.watch = self.oracle.watch()
        self.report = Report(complete=head["complete"])
        self.shapes = line_shapes(head)
        self.step: int | None = None
        self.seq: int | None = None
        self.op: Op = _UNKNOWN_OP
        self.commands: list[CommandRecord] = []
        self.races = 0
        self.hvc_failed = False

    def line(self, line: dict[str, Any]) -> None:
        """Take one line. Raises ValueError for one that is not in the format."""
        top = LINE(line)
        kind, step = top["type"], top["step"]
        if "data" not in line:
            raise ValueError("data is missing")
        shape = self.shapes.get(kind)
        data = None
        if shape is not None:
            try:
                data = shape(line["data"])
            except ValueError as error:
                said = str(error)
                raise ValueError(f"{kind}: {'data ' if said.startswith('must') else ''}{said}") from None
        self._follow(step, top["seq"])
        take = _TAKE.get(kind)
        if take is not None and (self.report.restored_at is None or kind == "violation"):
            take(self, data)
        if kind not in _BESIDE:
            self.report.events += 1

    def _follow(self, step: int, seq: int | None) -> None:
        """Go on to the step of the next line."""
        if seq is not None:
            if seq <= (self.seq or 0):
                raise ValueError(f"seq must grow, and {seq} follows {self.seq}")
            self.report.missing += seq - (self.seq or 0) - 1
            self.seq = seq
        if step == self.step:
            return
        if step < (self.step or 0) and self.report.restored_at is None:
            raise ValueError(f"step must not go back, and {step} follows {self.step}")
        self.end()
        if self.report.complete:
            self.report.missing += step - (self.step or 0) - bool(step)
        self.begin(step)

    def begin(self, step: int) -> None:
        """A step begins."""
        self.step = step
        self.op = _UNKNOWN_OP
        self.commands = []
        self.races = 0
        self.hvc_failed = False
        self.report.broken_off = self.report.complete and step > 0
        self.oracle.begin(self.op, step)

    def end(self) -> None:
        """The lines of a step are over: judge it."""
        if self.step is None or self.report.restored_at is not None:
            return
        self.report.steps += 1
        self.report.violations += self.oracle.end(self.op, self._outcome())

    def _outcome(self) -> Outcome:
        """What came of the op, as far as events tell."""
        return HvcReturn(0, 0, None, _SOME_REASON) if self.hvc_failed else Done(self.commands)

    # ---------------------------------------------------------------- kinds of line

    def take_op(self, op: Op) -> None:
        """The op that the step carries out."""
        self.op = op
        self.oracle.begin(op, self.step or 0)

    def take_dma(self, access: Access) -> None:
        """An access to memory."""
        self.view.now = access.phase
        self.view.node = access.its
        self.view.command = access.command
        self.report.accesses += 1
        if access.initiator <= Initiator.HYP:
            self._count_races(access)
        if access.why == Why.RD_BASE:
            self.oracle.message(access.initiator, access.addr, access.why)
        else:
            self.watch(access.initiator, access.write, access.addr, access.length, access.why)

    def _count_races(self, access: Access) -> None:
        """The judge compares each store of another CPU with what the trap has read, and each read with those: bounded."""
        touched = self.oracle.touched
        self.races += len(touched.hyp_reads if access.initiator == Initiator.HOST else touched.raced)
        if self.races > _RACES_MAX:
            raise ValueError("more stores of other CPUs in one trap than can be")

    def take_page(self, data: dict[str, Any]) -> None:
        """Pages change hands."""
        first = data["addr"] >> PAGE_SHIFT
        for pfn in range(first, first + data["pages"]):
            self.oracle.page_changing(pfn)
            self.view.set_page(pfn, data["to"])

    def take_hardware(self, data: dict[str, Any]) -> None:
        """Registers of hardware."""
        self.view.set_hardware(data)

    def take_level_1(self, data: dict[str, Any]) -> None:
        """A level-1 entry was mirrored."""
        if data["index"] >= 0:
            self.view.mirror(self.oracle.world, data["table"], data["index"], data["new"])

    def _command(self, data: dict[str, Any], verdict: str) -> None:
        """A command that the ITS or the hypervisor looked at."""
        if len(self.commands) >= _COMMANDS_MAX:
            raise ValueError("more commands in one step than can be")
        self.commands.append((data["slot"], data["name"], data["words"], verdict, None, None))

    def take_executed(self, data: dict[str, Any]) -> None:
        """The ITS carried a command out."""
        self._command(data, Verdict.EXECUTED)
        why = _ENTRIES.get(data["name"])
        if why is not None and not self.report.complete:
            self.oracle.dma.entry_written(0, (data["slot"], data["name"], data["words"]), why)

    def take_error(self, data: dict[str, Any]) -> None:
        """The ITS found an error in a command."""
        self._command(data, Verdict.ERROR)

    def take_rejected(self, data: dict[str, Any]) -> None:
        """The hypervisor refused a command."""
        self._command(data, Verdict.REFUSED)

    def take_hvc(self, data: dict[str, Any]) -> None:
        """A hypercall was answered."""
        self.hvc_failed = data["errno"] is not None
        if data["function"] == "__pkvm_prot_finalize" and not self.report.complete and data["errno"] is None:
            self.view.now = "deprivileged"

    def take_violation(self, data: dict[str, Any]) -> None:
        """The on-line oracle objected."""
        self.report.recorded.append(Recorded(self.step or 0, data["bucket"], data))

    def take_end(self, data: dict[str, Any]) -> None:
        """The step's last line tells the phase."""
        self.view.now = data["phase"]
        self.report.broken_off = False

    def take_restored(self, data: dict[str, Any]) -> None:
        """The machine is another from here on, and the log does not say which: what went before is judged now."""
        self.end()
        self.report.restored_at = self.step


_TAKE: Final[dict[str, Callable[[_Judge, Any], None]]] = {
    "op": _Judge.take_op,
    "dma": _Judge.take_dma,
    "hardware": _Judge.take_hardware,
    "end": _Judge.take_end,
    "page.state": _Judge.take_page,
    "shadow.table": _Judge.take_level_1,
    "command.executed": _Judge.take_executed,
    "command.error": _Judge.take_error,
    "command.rejected": _Judge.take_rejected,
    "trap.hvc": _Judge.take_hvc,
    "session.restored": _Judge.take_restored,
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
        except (ValueError, RecursionError) as error:  # a number or a nesting that no reader takes
            raise LogError(at, f"is no JSON that can be read: {error}") from None
        if not isinstance(value, dict):
            raise LogError(at, "is no JSON object")
        yield at, value


def check_log(lines: Iterable[str]) -> Report:
    """Judge a log, line by line: it may be longer than memory.

    Raises:
        LogError: it is not in the format, with the number of the line.
    """
    judge: _Judge | None = None
    at = 1
    for at, value in _parsed(lines):
        try:
            if judge is None:
                judge = _Judge(head_from_line(value))
            else:
                judge.line(value)
        except ValueError as error:
            raise LogError(at, str(error)) from None
    if judge is None:
        raise LogError(1, "the log is empty")
    try:
        judge.end()
    except ValueError as error:
        raise LogError(at, str(error)) from None
    return judge.report


def check_file(path: str | Path) -> Report:
    """Judge a log file, gzipped or not.

    Raises:
        LogError: it is no log. OSError, EOFError, zlib.error: it cannot be read or unpacked.
    """
    with Path(path).open("rb") as file:
        return check_log(lines_of(file))
