"""What every part of the hypervisor works with: knobs, the way to devices and memory, ownership, the event log.

EL2 reaches memory through its own stage 1, which maps what the hypervisor owns and what is shared with it, and nothing else.
An access elsewhere is a fault at EL2, and a fault at EL2 stops the machine: ``El2Stop``, which only the two entries (traps and
hypercalls) catch and turn into the outcome ``Panicked``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itsbox.arch.values import PAGE_SHIFT
from itsbox.memory.interconnect import Initiator, Why
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.events import EventLog
    from itsbox.hardware.bus import Bus
    from itsbox.hardware.profile import MemoryMap, Profile
    from itsbox.hypervisor.tracking import Tracking
    from itsbox.memory.interconnect import Interconnect
    from itsbox.memory.ownership import Ownership
    from itsbox.memory.stage2 import Stage2

__all__ = ["El2", "El2Stop"]


class El2Stop(Exception):
    """The modelled hypervisor would have stopped the machine, or would never return."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.sentence)
        self.reason = reason


@dataclass(slots=True)
class El2:
    """Services of the hypervisor's parts.

    knobs: a value for every knob. bus: the hypervisor's mapping of the devices. cpus: how many there are.
    """

    knobs: Mapping[str, str]
    bus: Bus
    interconnect: Interconnect
    ownership: Ownership
    stage2: Stage2
    tracking: Tracking
    log: EventLog
    where: MemoryMap
    profile: Profile
    cpus: int

    def load(self, addr: int, length: int) -> bytes:
        """Read memory that is mapped at EL2. Raises El2Stop."""
        self._mapped(addr, length)
        data = self.interconnect.load(Initiator.HYP, addr, length, Why.HYP)
        if data is None:
            raise El2Stop(Reason.EL2_FAULT)
        return data

    def read(self, addr: int) -> int:
        """Read an aligned doubleword that is mapped at EL2. Raises El2Stop."""
        self._mapped(addr, 8)
        value = self.interconnect.read(Initiator.HYP, addr, 8, Why.HYP)
        if value is None:
            raise El2Stop(Reason.EL2_FAULT)
        return value

    def write(self, addr: int, value: int) -> None:
        """Write a doubleword that is mapped at EL2. Raises El2Stop."""
        self._mapped(addr, 8)
        if not self.interconnect.write(Initiator.HYP, addr, 8, value, Why.HYP):
            raise El2Stop(Reason.EL2_FAULT)

    def zero(self, addr: int, length: int) -> None:
        """Fill memory that is mapped at EL2 with zeros and clean it. Raises El2Stop."""
        self._mapped(addr, length)
        if not self.interconnect.fill(Initiator.HYP, addr, length, 0, Why.HYP):
            raise El2Stop(Reason.EL2_FAULT)
        self.interconnect.clean(addr, length)

    def _mapped(self, addr: int, length: int) -> None:
        may = self.ownership.hyp_may
        for pfn in range(addr >> PAGE_SHIFT, (addr + length - 1 >> PAGE_SHIFT) + 1):
            if not may(pfn):
                raise El2Stop(Reason.EL2_FAULT)
