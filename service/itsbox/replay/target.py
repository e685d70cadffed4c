"""What a trace can be played against: anything that takes ops and shows its decoded state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Acked, Bytes, Delivered, Done, Op, Outcome, Refused, Value
from itsbox.replay.compare import Answer, AnsweredCommand
from itsbox.replay.trace import Head

__all__ = ["InProcess", "MachineWish", "Target", "wish_for"]

MAX_RAM_MIB = 4096
CARVE_OUTS_MIB = 2  # map.hyp and map.guest, one MiB each, at the end of RAM


class MachineWish(NamedTuple):
    """The machine that a trace was recorded on, in the words of ``POST /v1/sessions``."""

    profile: str
    cpus: int
    ram_mib: int
    hardening: str = "off"
    start: str = "bare"
    error_policy: str = "ignore"


class Target(Protocol):
    """A machine somewhere."""

    def apply(self, ops: Sequence[Op]) -> list[Answer]:
        """Apply the ops in order; one answer for each."""
        ...

    def state(self) -> dict[str, Any]:
        """The decoded tables, as ``GET .../state`` has them."""
        ...


def wish_for(head: Head) -> MachineWish:
    """The machine that answers as the recorded one did.

    A client may use all of its RAM, and our carve-outs at the end of RAM hold a pattern where its machine had zeros, so a
    client's machine gets them on top. The recorder's own sequences stay far below; theirs keeps its size.
    """
    extra = CARVE_OUTS_MIB if head.client else 0
    return MachineWish(f"virt-gicv{head.gic}", head.cpus, min(head.ram_mib + extra, MAX_RAM_MIB))


class InProcess:
    """A machine in this process. ``events`` counts what it emitted so far."""

    def __init__(self, wish: MachineWish) -> None:
        self.machine = Machine(MachineConfig.make(**wish._asdict()))
        self.events = len(self.machine.take_events())

    def apply(self, ops: Sequence[Op]) -> list[Answer]:
        """Apply the ops in order."""
        answers = [_answer(self.machine.apply(op)) for op in ops]
        self.events += len(self.machine.take_events())
        return answers

    def state(self) -> dict[str, Any]:
        """The decoded tables."""
        return self.machine.state()


def _answer(outcome: Outcome) -> Answer:
    match outcome:
        case Value(value):
            return Answer("ok", value=value)
        case Done(commands):
            return Answer("ok", commands=tuple(AnsweredCommand(c[0], c[1], c[3]) for c in commands))
        case Bytes(data):
            return Answer("ok", data=data)
        case Delivered(delivered):
            return Answer("ok", delivered=delivered)
        case Acked(intid):
            return Answer("ok", intid=intid)
        case Refused(reason, value, commands):
            seen = tuple(AnsweredCommand(c[0], c[1], c[3]) for c in commands)
            return Answer(f"refused ({reason.name})", value=value, commands=seen)
        case _:
            return Answer(type(outcome).__name__.lower())
