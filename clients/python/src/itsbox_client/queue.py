"""Where commands go: the ring that GITS_CBASER describes, as plain arithmetic.

The ring has ``size`` bytes of 32-byte slots and is full when one slot is left (IHI 0069H.b, "The ITS command interface").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from itsbox_client.commands import SLOT_BYTES, AnyCommand, encode
from itsbox_client.problems import QueueError

__all__ = ["HostQueue", "Placement"]


class Placement(NamedTuple):
    """Where commands are to stand: stores as (address, bytes), the slot of each command, and GITS_CWRITER afterwards."""

    stores: tuple[tuple[int, bytes], ...]
    slots: tuple[int, ...]
    cwriter: int


class HostQueue(NamedTuple):
    """The queue that the host writes its commands to; ``cwriter`` and ``creadr`` are byte offsets."""

    base: int
    size: int
    cwriter: int
    creadr: int

    @classmethod
    def from_view(cls, queues: Mapping[str, Any]) -> HostQueue:
        """From ``GET .../queues`` (numbers as ints): the host's own queue after the switch-over, the hardware's before it.

        Raises QueueError if no queue has been set up.
        """
        found = queues["host"] or queues["hw"]
        size = found["size"]
        if not size:
            raise QueueError("no command queue: GITS_CBASER is not valid (start the session as host, or write it)")
        return cls(found["base"], size, found["cwriter"] % size, found["creadr"] % size)

    @property
    def free(self) -> int:
        """How many commands fit before the ring is full."""
        return (self.creadr - self.cwriter - SLOT_BYTES) % self.size // SLOT_BYTES

    def place(self, commands: Sequence[AnyCommand]) -> Placement:
        """Where the commands go, in at most two runs of bytes: a ring wraps. Raises QueueError if they do not fit."""
        if len(commands) > self.free:
            raise QueueError(f"{len(commands)} commands for a queue with room for {self.free}: it is not draining")
        payload = b"".join(encode(command) for command in commands)
        head = payload[: self.size - self.cwriter]
        tail = payload[len(head) :]
        stores = [(self.base + self.cwriter, head)] if head else []
        if tail:
            stores.append((self.base, tail))
        first = self.cwriter // SLOT_BYTES
        slots = tuple((first + n) % (self.size // SLOT_BYTES) for n in range(len(commands)))
        return Placement(tuple(stores), slots, (self.cwriter + len(payload)) % self.size)

    def after(self, placement: Placement) -> HostQueue:
        """The queue once these commands were written and none was consumed yet."""
        return self._replace(cwriter=placement.cwriter)
