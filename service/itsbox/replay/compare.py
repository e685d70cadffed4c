"""What one step of a replay must answer: a recorded line against a machine's answer.

Values are equal or they differ. The words for commands differ by nature: the recorded model prints what it did, the machine
here names a verdict. ``VERDICTS`` is the whole translation. A ``silent`` command of the recording printed neither an error
nor an effect, so either verdict agrees with it; ``state`` and ``end`` then tell whether it had an effect.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from itsbox.ops import Ack, Fill, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.replay.trace import Acknowledge, Line, Read, RecordedCommand, Sent, Write

__all__ = ["Answer", "AnsweredCommand", "Difference", "Step", "compare_step", "describe"]

VERDICTS: Final[dict[str, frozenset[str]]] = {
    "ok": frozenset({"executed"}),
    "ignored": frozenset({"error"}),
    "silent": frozenset({"error", "executed"}),
    "unknown": frozenset({"error"}),
    "stalled": frozenset({"stalled"}),
}


class Step(NamedTuple):
    """An op to play and the recorded line that it must agree with (None: the recording says nothing of it)."""

    op: Op
    recorded: Line | None


class AnsweredCommand(NamedTuple):
    """A command as the machine reports it; ``name`` is None for an unknown opcode."""

    slot: int
    name: str | None
    verdict: str


class Answer(NamedTuple):
    """An outcome, the same whether it came from a machine in this process or over HTTP."""

    outcome: str
    value: int | None = None
    commands: tuple[AnsweredCommand, ...] = ()
    delivered: bool | None = None
    intid: int | None = None
    data: bytes = b""


class Difference(NamedTuple):
    """One disagreement. ``line`` is the line of the trace file, ``what`` the kind: read, command, msi, ack, outcome, ..."""

    trace: str
    line: int
    what: str
    where: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.trace}:{self.line}: {self.what} {self.where}: expected {self.expected}, got {self.got}"


def describe(op: Op) -> str:
    """An op in a few words, for a list of differences."""
    match op:
        case MmioRead(addr, size):
            return f"read {addr:#x} ({size} bytes)"
        case MmioWrite(addr, size, value):
            return f"write {addr:#x} ({size} bytes) = {value:#x}"
        case Store(addr, data):
            return f"store {len(data)} bytes at {addr:#x}"
        case Load(addr, length):
            return f"load {length} bytes at {addr:#x}"
        case Fill(addr, length, byte):
            return f"fill {length} bytes at {addr:#x} with {byte:#04x}"
        case Msi(device_id, event_id):
            return f"MSI device {device_id:#x} event {event_id}"
        case Ack(cpu):
            return f"acknowledge on CPU {cpu}"
        case _:
            return str(op)


def compare_step(trace: str, step: Step, answer: Answer) -> list[Difference]:
    """Every disagreement between an answer and what was recorded; none when they agree."""
    recorded = step.recorded
    line = recorded.line if recorded is not None else 0
    where = describe(step.op)
    if answer.outcome != "ok":
        return [Difference(trace, line, "outcome", where, "ok", answer.outcome)]
    match recorded:
        case Read(value=value) if value != answer.value:
            got = "nothing" if answer.value is None else hex(answer.value)
            return [Difference(trace, line, "read", where, hex(value), got)]
        case Sent(translated=translated) if translated != answer.delivered:
            words = {True: "translated", False: "dropped", None: "nothing"}
            return [Difference(trace, line, "msi", where, words[translated], words[answer.delivered])]
        case Acknowledge(intid=intid) if intid != answer.intid:
            return [Difference(trace, line, "ack", where, str(intid), str(answer.intid))]
        case Write(commands=commands):
            return _commands(trace, line, where, commands, answer.commands)
        case _:
            return []


def _commands(
    trace: str, line: int, where: str, recorded: tuple[RecordedCommand, ...], answered: tuple[AnsweredCommand, ...]
) -> list[Difference]:
    found = [
        Difference(trace, line, "command", where, f"{r.slot} {r.name} {r.result}", f"{a.slot} {a.name} {a.verdict}")
        for r, a in zip(recorded, answered, strict=False)
        if r.slot != a.slot or r.name != a.name or a.verdict not in VERDICTS[r.result]
    ]
    if len(recorded) != len(answered):
        found.append(
            Difference(trace, line, "command", where, f"{len(recorded)} commands", f"{len(answered)} commands")
        )
    return found
