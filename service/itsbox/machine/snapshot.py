"""A whole machine at one moment: immutable, shareable between sessions, restored exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itsbox.machine.config import MachineConfig
    from itsbox.memory.physmem import Image

__all__ = ["Snapshot"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What ``Machine.restore`` needs.

    config: the machine was built from it; image: RAM, shared pages; parts: plain data of each component by name; step: the
    step counter; violations: what the oracle had said by then; oracle: what it remembers; looked: (ITS, commands) that the
    hypervisor had looked at and hardware had not come to the end of, on which verdicts depend.
    Invariant: nothing in here is ever changed, by the machine that made it or by one that took it.
    """

    config: MachineConfig
    image: Image
    parts: dict[str, Any]
    step: int
    violations: tuple[Any, ...]
    oracle: Any = None
    looked: tuple[tuple[int, tuple[Any, ...]], ...] = ()
