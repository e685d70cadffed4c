"""A batch while it is being written: ops in order, and a promise for each result.

ITS commands need a place in the queue, which is known only when the batch is sent; so a batch holds them as commands and
lays them out then, one after another from where the queue's write pointer stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from itsbox_client import ops
from itsbox_client.commands import AnyCommand
from itsbox_client.models import CommandRecord
from itsbox_client.ops import Op
from itsbox_client.problems import BatchError, QueueError
from itsbox_client.queue import HostQueue
from itsbox_client.registers import GITS_CBASER, GITS_CREADR, GITS_CWRITER
from itsbox_client.results import CommandResult, OpResult, WriteResult

__all__ = ["BatchPlan", "Pending", "SubmitOps", "submit_ops"]

T = TypeVar("T")
R = TypeVar("R", bound=OpResult)
N = TypeVar("N", bound=OpResult)


class Pending(Generic[T]):
    """The result of an op in a batch, there once the batch was sent."""

    def __init__(self) -> None:
        self._read: Callable[[], T] | None = None

    @property
    def done(self) -> bool:
        """Whether the batch has been sent."""
        return self._read is not None

    def result(self) -> T:
        """The result. Raises BatchError before the batch was sent, or if the batch stopped before this op."""
        if self._read is None:
            raise BatchError("the batch has not been sent: leave its with block first")
        return self._read()

    def settle(self, read: Callable[[], T]) -> None:
        """The batch was sent; ``read`` gives the result."""
        self._read = read


class SubmitOps:
    """The ops that put commands into the queue and ring its doorbell, and what the doorbell's answer says of each."""

    def __init__(self, ops_: list[Op[Any]], commands: Sequence[AnyCommand], slots: Sequence[int]) -> None:
        self.ops = ops_
        self.commands = commands
        self.slots = slots

    def read(self, results: Sequence[OpResult]) -> tuple[CommandResult, ...]:
        """One result per command. Raises UnexpectedOutcome if the host could not even write its queue."""
        *before, doorbell = results
        for result in before:
            result.expect()
        assert isinstance(doorbell, WriteResult)  # noqa: S101 - ``submit_ops`` put it there
        # A command that stalls is listed again at each retry: its last entry is the one that counts.
        seen: dict[int, CommandRecord] = {record.slot: record for record in doorbell.commands}
        return tuple(
            CommandResult(command, slot, seen.get(slot), doorbell)
            for command, slot in zip(self.commands, self.slots, strict=True)
        )


def submit_ops(queue: HostQueue, its_base: int, commands: Sequence[AnyCommand], *, clean: bool) -> SubmitOps:
    """Store the commands, clean them to the point of coherency where the ITS needs that, and write GITS_CWRITER.

    The write is 32 bits wide, as Linux's driver does it. Raises QueueError if the commands do not fit.
    """
    placement = queue.place(commands)
    found: list[Op[Any]] = [ops.store(addr, data) for addr, data in placement.stores]
    if clean:
        found += [ops.clean(addr, len(data)) for addr, data in placement.stores]
    found.append(ops.mmio_write(its_base + GITS_CWRITER.OFFSET, 4, placement.cwriter))
    return SubmitOps(found, commands, placement.slots)


class BatchPlan:
    """Ops and commands in the order they were added."""

    def __init__(self, its_base: int) -> None:
        self._its_base = its_base
        self._items: list[tuple[Op[Any] | AnyCommand, Pending[Any]]] = []
        self._moves_queue: str | None = None

    @property
    def has_commands(self) -> bool:
        """Whether the queue must be known to send this batch."""
        return any(not isinstance(item, Op) for item, _ in self._items)

    def add(self, op: Op[R]) -> Pending[R]:
        """An op."""
        if self._may_move_queue(op):
            self._moves_queue = op.name
        promise: Pending[R] = Pending()
        self._items.append((op, promise))
        return promise

    def command(self, command: AnyCommand) -> Pending[CommandResult]:
        """An ITS command, submitted on its own. Raises QueueError after an op that may move the queue's write pointer."""
        if self._moves_queue is not None:
            raise QueueError(
                f"a {self._moves_queue} earlier in this batch may move the command queue's write pointer: "
                "send that batch first"
            )
        promise: Pending[CommandResult] = Pending()
        self._items.append((command, promise))
        return promise

    def _may_move_queue(self, op: Op[Any]) -> bool:
        if op.name == "driver":
            return True
        if op.name != "mmio_write":
            return False
        offset = int(op.wire["addr"], 16) - self._its_base
        return GITS_CBASER.OFFSET <= offset < GITS_CREADR.OFFSET

    def lay_out(self, queue: HostQueue | None, *, clean: bool) -> list[Op[Any]]:
        """Every op to send, in order; ``queue`` is needed if there are commands. Raises QueueError if they do not fit."""
        self._spans: list[tuple[int, int, SubmitOps | None]] = []
        out: list[Op[Any]] = []
        for item, _ in self._items:
            start = len(out)
            submit: SubmitOps | None = None
            if isinstance(item, Op):
                out.append(item)
            else:
                if queue is None:
                    raise QueueError("commands in a batch need the queue")
                submit = submit_ops(queue, self._its_base, [item], clean=clean)
                queue = queue.after(queue.place([item]))
                out += submit.ops
            self._spans.append((start, len(out), submit))
        return out

    def settle(self, results: Sequence[OpResult]) -> None:
        """The batch was sent and gave these results; where it stopped early, the rest of the promises say so."""
        for (_, promise), (start, end, submit) in zip(self._items, self._spans, strict=True):
            promise.settle(_reader(results[start:end], end - start, submit))


def _reader(results: Sequence[OpResult], wanted: int, submit: SubmitOps | None) -> Callable[[], Any]:
    def read() -> Any:
        if len(results) < wanted:
            raise BatchError("the batch stopped before this op")
        return results[0] if submit is None else submit.read(results)[0]

    return read
