"""What came of ops: one class per kind of op, thin views of the answer as it stood on the wire.

``outcome`` is ``ok``, ``refused`` (the hypervisor said no), ``abort`` (stage 2 said no and the host took an exception) or
``panic``. An accessor such as ``ReadResult.value`` raises UnexpectedOutcome where the outcome has no such thing, so that nobody
computes with a value that the machine never gave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from itsbox_client.commands import AnyCommand
from itsbox_client.models import CommandRecord, Violation
from itsbox_client.problems import UnexpectedOutcome
from itsbox_client.wire import numbers

__all__ = [
    "AckResult",
    "BatchResult",
    "CommandResult",
    "DriverResult",
    "HvcResult",
    "LoadResult",
    "MsiResult",
    "OpResult",
    "ReadResult",
    "WriteResult",
]


@dataclass(frozen=True)
class OpResult:
    """What came of one op: ``op`` as it was asked, ``answer`` as it was given."""

    op: Mapping[str, Any]
    answer: Mapping[str, Any]

    @property
    def outcome(self) -> str:
        """``ok``, ``refused``, ``abort`` or ``panic``."""
        return str(self.answer.get("outcome", "ok"))

    @property
    def ok(self) -> bool:
        """Whether the outcome is ``ok``."""
        return self.outcome == "ok"

    @property
    def reason(self) -> str | None:
        """Why the hypervisor refused, from its closed list of reasons (``GET /v1/arch``)."""
        return self.answer.get("reason")

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What the oracle objects to in this op."""
        return tuple(Violation.from_wire(item) for item in self.answer.get("violations", ()))

    @property
    def seq(self) -> int | None:
        """Number of the last event of the session; None for an op of a batch."""
        return self.answer.get("seq")

    @property
    def step(self) -> int | None:
        """The machine's step counter; None for an op of a batch."""
        return self.answer.get("step")

    def expect(self, outcome: str = "ok", *, reason: str | None = None) -> Self:
        """This result, or UnexpectedOutcome if the outcome (or the reason, where one is given) is another."""
        if self.outcome != outcome or (reason is not None and self.reason != reason):
            wanted = outcome + (f" ({reason})" if reason else "")
            raise UnexpectedOutcome(f"{self._told()}, expected {wanted}", self)
        return self

    def _member(self, name: str) -> Any:
        if self.answer.get(name) is None:
            raise UnexpectedOutcome(f"{self._told()}, which has no {name}", self)
        return self.answer[name]

    def _told(self) -> str:
        return f"{self.op.get('op', 'op')} ended as {self.outcome}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class ReadResult(OpResult):
    """A register read."""

    @property
    def value(self) -> int:
        """The value that the host saw."""
        return int(numbers(self._member("value")))


@dataclass(frozen=True)
class WriteResult(OpResult):
    """A register write."""

    @property
    def commands(self) -> tuple[CommandRecord, ...]:
        """The commands that the ITS or the hypervisor looked at because of this write, in order."""
        return tuple(CommandRecord.from_wire(item) for item in self.answer.get("commands") or ())


@dataclass(frozen=True)
class LoadResult(OpResult):
    """A load from memory."""

    @property
    def data(self) -> bytes:
        """The bytes."""
        return bytes.fromhex(self._member("hex"))


@dataclass(frozen=True)
class HvcResult(OpResult):
    """A hypercall's return: x0 is the SMCCC code, x1 the function's own value."""

    @property
    def x0(self) -> int:
        """The SMCCC return code as an unsigned 64-bit value: 0 is SUCCESS."""
        return int(numbers(self._member("x0")))

    @property
    def x1(self) -> int:
        """The function's return value as an unsigned 64-bit value."""
        return int(numbers(self._member("x1")))

    @property
    def errno(self) -> str | None:
        """The name of a negative return value, such as ``EPERM``."""
        return self.answer.get("errno")

    @property
    def succeeded(self) -> bool:
        """Whether the call exists and returned no error."""
        return self.ok and self.x0 == 0 and self.errno is None


@dataclass(frozen=True)
class MsiResult(OpResult):
    """An MSI write by a device."""

    @property
    def delivered(self) -> bool:
        """Whether the translation ended at an existing redistributor."""
        return bool(self._member("delivered"))


@dataclass(frozen=True)
class AckResult(OpResult):
    """An acknowledge by a CPU."""

    @property
    def intid(self) -> int:
        """The LPI that was pending with the highest priority, or 1023."""
        return int(self._member("intid"))


@dataclass(frozen=True)
class DriverResult(OpResult):
    """A call of the built-in driver."""

    @property
    def log(self) -> list[str]:
        """The lines that the driver printed."""
        return list(self.answer.get("log") or ())

    @property
    def result(self) -> Any:
        """What the call returned; addresses are ints."""
        return numbers(self.answer.get("result"))

    @property
    def error(self) -> str | None:
        """The errno's name where the kernel failed, such as ``ENOSPC``."""
        result = self.answer.get("result")
        return result.get("error") if isinstance(result, Mapping) else None

    @property
    def timeouts(self) -> int:
        """How many commands the driver gave up waiting for."""
        result = self.answer.get("result")
        return int(result.get("timeouts", 0)) if isinstance(result, Mapping) else 0


@dataclass(frozen=True)
class CommandResult:
    """What became of one ITS command that was put into the queue.

    ``verdict`` is ``executed``, ``error`` (the ITS found an error), ``stalled`` (and stopped there), ``refused`` (the hypervisor
    said no), or ``pending``: nobody has looked at it (the ITS is off, or an earlier command holds up the queue).
    """

    command: AnyCommand
    slot: int
    record: CommandRecord | None
    #: The write to GITS_CWRITER that submitted it.
    write: WriteResult = field(repr=False)

    @property
    def verdict(self) -> str:
        """``executed``, ``error``, ``stalled``, ``refused`` or ``pending``."""
        return self.record.verdict if self.record else "pending"

    @property
    def executed(self) -> bool:
        """Whether the ITS carried it out."""
        return self.verdict == "executed"

    @property
    def error(self) -> str | None:
        """The ITS's own error, such as ``MAPD_DEVICE_OOR``."""
        return self.record.error if self.record else None

    @property
    def code(self) -> int | None:
        """The number of that error, such as 0x010801."""
        return self.record.code if self.record else None

    @property
    def reason(self) -> str | None:
        """Why the hypervisor refused."""
        return self.record.reason if self.record else None

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What the oracle objects to in the submitting write (in all its commands together)."""
        return self.write.violations

    def expect(self, verdict: str = "executed", *, reason: str | None = None, error: str | None = None) -> Self:
        """This result, or UnexpectedOutcome if the verdict (or reason, or error, where given) is another."""
        wrong_why = (reason is not None and self.reason != reason) or (error is not None and self.error != error)
        if self.verdict != verdict or wrong_why:
            why = self.reason or self.error
            told = f"{type(self.command).__name__} in slot {self.slot} was {self.verdict} ({why or 'no reason'})"
            raise UnexpectedOutcome(f"{told}, expected {verdict}", self.write)
        return self


@dataclass(frozen=True)
class BatchResult:
    """What came of a batch: one result per op that ran."""

    results: Sequence[OpResult]
    executed: int
    violations: tuple[Violation, ...]
    seq: int
    step: int
    state_hash: str | None = None
