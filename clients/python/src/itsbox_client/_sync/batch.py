# Generated from _async/batch.py by tools/generate_sync.py: edit that one.
"""A batch: many ops in one request, their results there when the block ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from itsbox_client import ops
from itsbox_client.faces import DriverCalls, Hypercalls, ItsCommands
from itsbox_client.ops import Op
from itsbox_client.plan import BatchPlan, Pending
from itsbox_client.problems import BatchError
from itsbox_client.results import (
    AckResult,
    BatchResult,
    CommandResult,
    DriverResult,
    HvcResult,
    LoadResult,
    MsiResult,
    OpResult,
    ReadResult,
    WriteResult,
)

if TYPE_CHECKING:
    from itsbox_client._sync.session import Session

__all__ = ["Batch"]

R = TypeVar("R", bound=OpResult)


class Batch:
    """Collects ops and sends them when its block ends; a block that ends with an exception sends nothing.

    Each method gives a ``Pending``, whose ``result()`` is there after the block.
    """

    def __init__(self, session: Session, stop_on: Iterable[str], request_timeout: float | None, *, hash: bool) -> None:
        self._session = session
        self._plan = BatchPlan(session.map.its)
        self._stop_on = tuple(stop_on)
        self._request_timeout = request_timeout
        self._hash = hash
        self._outcome: BatchResult | None = None
        self.its: ItsCommands[Pending[CommandResult]] = ItsCommands(self._plan.command)
        self.hvc: Hypercalls[Pending[HvcResult]] = Hypercalls(self._hvc)
        self.driver: DriverCalls[Pending[DriverResult]] = DriverCalls(self._driver)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._send()

    @property
    def outcome(self) -> BatchResult:
        """The batch as a whole: results, violations, how many ops ran. Raises BatchError before it was sent."""
        if self._outcome is None:
            raise BatchError("the batch has not been sent: leave its with block first")
        return self._outcome

    def add(self, op: Op[R]) -> Pending[R]:
        """Any op of ``itsbox_client.ops``."""
        return self._plan.add(op)

    def mmio_read(self, addr: int, size: int) -> Pending[ReadResult]:
        """The host reads a device register."""
        return self.add(ops.mmio_read(addr, size))

    def mmio_write(self, addr: int, size: int, value: int) -> Pending[WriteResult]:
        """The host writes a device register."""
        return self.add(ops.mmio_write(addr, size, value))

    def load(self, addr: int, length: int) -> Pending[LoadResult]:
        """The host loads memory."""
        return self.add(ops.load(addr, length))

    def store(self, addr: int, data: bytes) -> Pending[OpResult]:
        """The host stores to memory."""
        return self.add(ops.store(addr, data))

    def fill(self, addr: int, length: int, byte: int = 0) -> Pending[OpResult]:
        """The host fills memory with one byte."""
        return self.add(ops.fill(addr, length, byte))

    def msi(self, device_id: int, event_id: int) -> Pending[MsiResult]:
        """A device signals an event."""
        return self.add(ops.msi(device_id, event_id))

    def ack(self, cpu: int) -> Pending[AckResult]:
        """A CPU acknowledges its highest-priority pending LPI."""
        return self.add(ops.ack(cpu))

    def clean(self, addr: int, length: int) -> Pending[OpResult]:
        """The host cleans memory to the point of coherency."""
        return self.add(ops.clean(addr, length))

    def _hvc(self, function: str | int, args: tuple[int, ...]) -> Pending[HvcResult]:
        return self.add(ops.hvc(function, *args))

    def _driver(self, call: str, args: Mapping[str, Any]) -> Pending[DriverResult]:
        return self.add(ops.driver(call, args))

    def _send(self) -> None:
        queue, clean = None, False
        if self._plan.has_commands:
            queue = self._session.its.queue()
            clean = self._session.its.needs_cleaning(queue)
        laid_out = self._plan.lay_out(queue, clean=clean)
        self._outcome = self._session.run(
            laid_out, stop_on=self._stop_on, hash=self._hash, request_timeout=self._request_timeout
        )
        self._plan.settle(self._outcome.results)
