"""What the hypervisor has written down, as plain data: the invariants compare it with what hardware does.

Every answer may be None: "this hypervisor keeps no such record". The presets differ in that, and an invariant about records
does not bind a hypervisor that keeps none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

__all__ = ["HostQueue", "NoRecords", "Records"]


class HostQueue(NamedTuple):
    """The queue that the host writes for an ITS, and what became of it in hardware.

    node: which ITS; addr, length: where it is, in bytes; creadr, cwriter: the two offsets as the host reads them; waiting:
    accepted commands wait in the hardware queue, their pages held although nothing was carried out; polls: looks at hardware
    in the last trap.
    """

    node: int
    addr: int
    length: int
    creadr: int
    cwriter: int
    waiting: bool = False
    polls: int = 0


class Records(Protocol):
    """The hypervisor's bookkeeping, read without changing it."""

    def pins(self, pfn: int) -> int | None:
        """How many records say that the page is pinned."""

    def itt(self, node: int, device_id: int, pages: range) -> frozenset[int] | None:
        """Those of ``pages`` that are recorded for a device's translation table; None if the device is not recorded."""

    def vpe(self, node: int, vpe_id: int) -> bool | None:
        """Whether a vPE is recorded."""

    def queues(self) -> tuple[HostQueue, ...]:
        """The host's queue of every ITS that the hypervisor stands before."""

    def looked(self) -> Collection[tuple[int, int, int, int]] | None:
        """The commands that the hypervisor has looked at and hardware may come to, as words.

        None if it stands before no queue, or if that is not known.
        """


class NoRecords:
    """No hypervisor, or one that keeps no records."""

    def pins(self, pfn: int) -> int | None:
        """Unknown."""
        return None

    def itt(self, node: int, device_id: int, pages: range) -> frozenset[int] | None:
        """Unknown."""
        return None

    def vpe(self, node: int, vpe_id: int) -> bool | None:
        """Unknown."""
        return None

    def queues(self) -> tuple[HostQueue, ...]:
        """None."""
        return ()

    def looked(self) -> Collection[tuple[int, int, int, int]] | None:
        """Unknown."""
        return None
