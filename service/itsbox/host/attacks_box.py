"""What attacks are played on, what becomes of their steps, and how they end early."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from itsbox.ops import (
    Aborted,
    Acked,
    Bytes,
    Delivered,
    Done,
    HvcReturn,
    Panicked,
    Refused,
    Value,
)

if TYPE_CHECKING:
    from itsbox.hardware.profile import MemoryMap
    from itsbox.memory.interconnect import Interconnect
    from itsbox.memory.ownership import Ownership
    from itsbox.ops import Op, Outcome

__all__ = ["AttackEnds", "Box", "CannotBePlayed", "Driven", "SetUpFails", "Step", "Tamper", "told"]


class Driven(Protocol):
    """The machine's built-in driver, as far as the attacker asks what it knew."""

    def state(self) -> Any:
        """The driver's memory, plain data of ``host.state.DriverState``."""


class Box(Protocol):
    """A machine, as scenarios need it."""

    interconnect: Interconnect
    ownership: Ownership
    violations: list[Any]
    map: MemoryMap

    @property
    def driver(self) -> Driven:
        """The built-in driver."""

    @property
    def phase(self) -> str:
        """trusted, deprivileging or deprivileged."""

    @property
    def step(self) -> int:
        """Ops carried out so far."""

    def apply(self, op: Op) -> Outcome:
        """Carry an op out."""

    def physical(self, addr: int, length: int) -> bytes | None:
        """Bytes as they are in RAM, past stage 2."""


class AttackEnds(Exception):
    """The machine took the attacker's CPU away for good: the modelled hypervisor panicked."""


class CannotBePlayed(Exception):
    """The machine lacks what the scenario aims at, so that nothing was tried."""


class SetUpFails(Exception):
    """Something honest that the attack stands on was not let through, so that the attack itself was not tried."""


class Step(NamedTuple):
    """One thing that the attacker did: why, the op (None for a look past stage 2), what came of it.

    step: the machine's, then, as violations name it.
    """

    text: str
    op: Op | None
    result: str
    step: int


Tamper: TypeAlias = Callable[[int, bytes], bytes]
"""What another CPU makes of bytes at an address that the hypervisor is about to read."""


def told(outcome: Outcome) -> str:
    """What came of an op, in a word or two."""
    match outcome:
        case Refused(reason=reason):
            return f"refused: {reason.value}"
        case Aborted(reason=reason):
            return f"abort: {reason.value}"
        case Panicked(reason=reason):
            return f"panic: {reason.value}"
        case Value(value):
            return hex(value)
        case Bytes(data):
            return data[:32].hex(" ", 4)
        case HvcReturn(x0=x0, errno=errno):
            return "not supported" if x0 else errno or "ok"
        case Delivered(delivered):
            return "delivered" if delivered else "dropped"
        case Acked(intid):
            return f"INTID {intid}"
        case Done(commands) if commands:
            return ", ".join(f"{record[1] or 'unknown'} {record[3]}" for record in commands[-4:])
        case _:
            return "ok"
