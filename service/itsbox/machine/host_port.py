"""The host driver's way into the machine: the same accesses as a client's, without being ops of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from itsbox.events import DRIVER_LOG
from itsbox.hardware.ports import HostAbort
from itsbox.ops import (
    Aborted,
    Bytes,
    Clean,
    Fill,
    Hvc,
    HvcReturn,
    Load,
    MmioRead,
    MmioWrite,
    Panicked,
    Refused,
    Store,
    Value,
)

if TYPE_CHECKING:
    from itsbox.machine.machine import Machine
    from itsbox.ops import Op, Outcome

__all__ = ["MachinePort"]


class MachinePort:
    """``HostPort`` over a machine.

    lines: what the driver printed since the machine last took them; spent: rounds of polling that simulated time skipped.
    Owned by: the machine.
    """

    __slots__ = ("_machine", "lines", "spent")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.lines: list[str] = []
        self.spent = 0

    def _access(self, op: Op) -> Outcome:
        outcome = self._machine.access(op)
        if isinstance(outcome, Aborted | Panicked):
            raise HostAbort(outcome)
        return outcome

    def mmio_read(self, addr: int, size: int) -> int:
        """Read a device register; a refused read is RAZ."""
        outcome = self._access(MmioRead(addr, size))
        return outcome.value or 0 if isinstance(outcome, Value | Refused) else 0

    def mmio_write(self, addr: int, size: int, value: int) -> None:
        """Write a device register; a refused write is WI."""
        self._access(MmioWrite(addr, size, value))

    def load(self, addr: int, length: int) -> bytes:
        """Load from memory."""
        return cast("Bytes", self._access(Load(addr, length))).data

    def store(self, addr: int, data: bytes) -> None:
        """Store to memory."""
        self._access(Store(addr, data))

    def fill(self, addr: int, length: int, byte: int) -> None:
        """Fill memory with one byte."""
        self._access(Fill(addr, length, byte))

    def clean(self, addr: int, length: int) -> None:
        """Clean a range to the point of coherency."""
        self._access(Clean(addr, length))

    def hvc(self, function: str | int, args: tuple[int, ...]) -> HvcReturn:
        """Call the hypervisor."""
        return cast("HvcReturn", self._access(Hvc(function, args)))

    def print(self, line: str) -> None:
        """Print a line of the kernel's log: an event, and part of the op's answer."""
        self.lines.append(line)
        self._machine.log.emit(DRIVER_LOG, line)

    def spend(self, steps: int) -> None:
        """Let polling rounds pass that are known to see nothing new."""
        self.spent += steps

    def take_lines(self) -> tuple[str, ...]:
        """What was printed since the last take."""
        taken, self.lines = tuple(self.lines), []
        return taken
