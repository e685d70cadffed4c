"""What the hypervisor has written down, as plain data: the invariants compare it with what hardware does.

Every answer may be None: "this hypervisor keeps no such record". The presets differ in that, and an invariant about records
does not bind a hypervisor that keeps none.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["HostQueue", "NoRecords", "Records", "Waited"]


class HostQueue(NamedTuple):
    """The queue that the host writes: address, bytes, and the two offsets as the host reads them, in bytes."""

    addr: int
    length: int
    creadr: int
    cwriter: int


class Waited(NamedTuple):
    """Polls of hardware in the last trap, and how many there may be."""

    rounds: int
    limit: int


class Records(Protocol):
    """The hypervisor's bookkeeping, read without changing it."""

    def pins(self, pfn: int) -> int | None:
        """How many records say that the page is pinned."""

    def itt(self, node: int, device_id: int, pages: range) -> frozenset[int] | None:
        """Those of ``pages`` that are recorded for a device's translation table; None if the device is not recorded."""

    def vpe(self, node: int, vpe_id: int) -> bool | None:
        """Whether a vPE is recorded."""

    def host_queue(self, node: int) -> HostQueue | None:
        """The host's queue of an ITS."""

    def waited(self) -> Waited | None:
        """How long the last trap waited for hardware."""

    def waiting(self) -> bool:
        """Whether accepted commands wait in a hardware queue: their pages are held although nothing was carried out."""


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

    def host_queue(self, node: int) -> HostQueue | None:
        """None."""
        return None

    def waited(self) -> Waited | None:
        """Unknown."""
        return None

    def waiting(self) -> bool:
        """No."""
        return False
