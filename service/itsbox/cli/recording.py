"""A scenario played on a machine that is recorded: its complete log, with the stores of racing CPUs that are no ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itsbox.cli.log_file import log_file

if TYPE_CHECKING:
    from itsbox.host.scenarios import MakeMachine
    from itsbox.machine import Machine
    from itsbox.ops import Op, Outcome

__all__ = ["RecordedBox", "play_recorded"]


class RecordedBox:
    """A machine as scenarios need it, every op of which goes through a recorder.

    It begins bare and boots by ops, with the steps that its own start would have made.
    Owned by: the scenario that is played on it.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        from itsbox.cli.session_log import boot_ops
        from itsbox.machine import Machine, MachineConfig
        from itsbox.oracle.recorder import Recorder

        self.machine: Machine = Machine(MachineConfig.make(**{**fields, "start": "bare"}))
        self.recorder = Recorder(self.machine)
        self.interconnect = self.machine.interconnect
        self.ownership = self.machine.ownership
        self.violations = self.machine.violations
        self.map = self.machine.map
        for op in boot_ops(fields.get("start", "bare")):
            self.apply(op)

    @property
    def driver(self) -> Any:
        """The built-in driver."""
        return self.machine.driver

    @property
    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""
        return self.machine.phase

    @property
    def step(self) -> int:
        """Ops carried out so far."""
        return self.machine.step

    def apply(self, op: Op) -> Outcome:
        """Carry an op out, and record it."""
        outcome = self.recorder.apply(op)
        self.machine.take_events()
        return outcome

    def physical(self, addr: int, length: int) -> bytes:
        """Bytes as they are in RAM, past stage 2."""
        return self.machine.physical(addr, length)


def play_recorded(play: Callable[[MakeMachine], dict[str, Any]], path: Path) -> dict[str, Any]:
    """Play, and write the log of the machine that was made last.

    A race has one machine for each turn, and answers with the violations of the last.
    """
    made: list[RecordedBox] = []

    def make(fields: Mapping[str, Any]) -> RecordedBox:
        made[:] = [RecordedBox(fields)]
        return made[0]

    with log_file(path) as write:
        played = play(make)
        for box in made:
            write(box.recorder.close())
    return played
