"""The driver on a real machine, through its ops, as the machine itself will run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from itsbox.events import render
from itsbox.hardware.ports import HostAbort
from itsbox.host.driver import Driver
from itsbox.host.kernel import Platform
from itsbox.host.versions import DriverVersion
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import (
    Aborted,
    Bytes,
    Clean,
    Fill,
    HvcReturn,
    Load,
    MmioRead,
    MmioWrite,
    Op,
    Outcome,
    Panicked,
    Store,
    Value,
)
from itsbox.reasons import Reason

NOT_SUPPORTED = (1 << 64) - 1


class MachinePort:
    """Turns the driver's accesses into ops of ``machine``, and keeps what it printed and how long it waited.

    accesses: register accesses as (kind, address, size, value); cleaned: (address, length); calls: hypercalls made.
    reads: addresses that answer what the function makes of the true answer; deaf: addresses that ignore writes.
    hvcs: answers to hypercalls by name, the last one for ever after.
    aborts_at: the access, counted from 0, at which stage 2 says no.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.lines: list[str] = []
        self.spent = 0
        self.accesses: list[tuple[str, int, int, int]] = []
        self.cleaned: list[tuple[int, int]] = []
        self.calls: list[tuple[str | int, tuple[int, ...]]] = []
        self.reads: dict[int, Callable[[int], int]] = {}
        self.deaf: set[int] = set()
        self.hvcs: dict[str, list[HvcReturn]] = {}
        self.count = 0
        self.aborts_at: int | None = None

    def _apply(self, op: Op) -> Outcome:
        self.count += 1
        if self.count - 1 == self.aborts_at:
            raise HostAbort(Aborted(next(iter(Reason))))
        outcome = self.machine.apply(op)
        if isinstance(outcome, (Aborted, Panicked)):
            raise HostAbort(outcome)
        return outcome

    def mmio_read(self, addr: int, size: int) -> int:
        """Read a register."""
        outcome = self._apply(MmioRead(addr, size))
        value = outcome.value if isinstance(outcome, Value) else 0
        if addr in self.reads:
            value = self.reads[addr](value)
        self.accesses.append(("r", addr, size, value))
        return value

    def mmio_write(self, addr: int, size: int, value: int) -> None:
        """Write a register."""
        self.accesses.append(("w", addr, size, value))
        if addr not in self.deaf:
            self._apply(MmioWrite(addr, size, value))

    def load(self, addr: int, length: int) -> bytes:
        """Load."""
        outcome = self._apply(Load(addr, length))
        assert isinstance(outcome, Bytes)
        return outcome.data

    def store(self, addr: int, data: bytes) -> None:
        """Store."""
        self._apply(Store(addr, data))

    def fill(self, addr: int, length: int, byte: int) -> None:
        """Fill."""
        self._apply(Fill(addr, length, byte))

    def clean(self, addr: int, length: int) -> None:
        """Clean."""
        self.cleaned.append((addr, length))
        self._apply(Clean(addr, length))

    def hvc(self, function: str | int, args: tuple[int, ...]) -> HvcReturn:
        """Answer from ``hvcs``; there is no hypervisor in this machine."""
        self.calls.append((function, args))
        answers = self.hvcs.get(str(function), [HvcReturn(NOT_SUPPORTED, 0)])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def print(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)

    def spend(self, steps: int) -> None:
        """Keep count."""
        self.spent += steps


class Host:
    """A machine and a driver on it; ``call`` answers what the driver answers."""

    def __init__(self, version: DriverVersion | None = None, **config: Any) -> None:
        self.machine = Machine(MachineConfig.make(**{"hardening": "off", "oracle": "off", **config}))
        self.port = MachinePort(self.machine)
        made = self.machine.config
        platform = Platform(
            where=self.machine.map,
            its=tuple(node.base for node in self.machine.its),
            cpus=made.cpus,
            coherent=made.profile.coherent,
        )
        self.driver = Driver(self.port, platform, version or DriverVersion(pkvm=False))

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        """Call the driver."""
        return self.driver.call(name, args)

    def names(self) -> list[str]:
        """Names of the commands that the ITS executed since the last time."""
        events = map(render, self.machine.take_events())
        return [event["data"]["name"] for event in events if event["type"].startswith("command.")]

    def log(self) -> list[str]:
        """What the driver printed since the last time."""
        lines, self.port.lines = self.port.lines, []
        return lines
