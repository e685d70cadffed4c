"""ITS commands of a session: written to the host's queue and submitted, as an honest driver does it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from itsbox_client.commands import AnyCommand
from itsbox_client.faces import ItsCommands
from itsbox_client.plan import submit_ops
from itsbox_client.queue import HostQueue
from itsbox_client.registers import GITS_CBASER
from itsbox_client.results import CommandResult

if TYPE_CHECKING:
    from itsbox_client._async.session import AsyncSession

__all__ = ["AsyncIts"]


class AsyncIts(ItsCommands[Awaitable[CommandResult]]):
    """The 21 commands, each submitted on its own; ``submit`` sends many with one write of GITS_CWRITER.

    A command goes to the slot at the queue's write pointer; then GITS_CWRITER is written. All of it is done as the host: the
    hypervisor may refuse any part.
    """

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(self._submit_one)
        self._session = session
        self._cleaned: dict[int, bool] = {}

    async def queue(self) -> HostQueue:
        """The queue that the host writes to: its own after the switch-over, the hardware's before it.

        Raises QueueError if none has been set up.
        """
        return HostQueue.from_view(await self._session.queues())

    async def needs_cleaning(self, queue: HostQueue) -> bool:
        """Whether commands must be cleaned to the point of coherency before the ITS sees them.

        Linux's driver learns it in two ways: the device tree says ``dma-noncoherent`` (here: the quirk), or the ITS does not
        snoop and GITS_CBASER.Shareability reads as non-shareable. Asked once a queue.
        """
        if self._session.info.quirks.get("coherent") is False:
            return True
        if queue.base not in self._cleaned:
            registers = await self._session.registers()
            cbaser = GITS_CBASER.from_value(registers["GITS_CBASER"]["value"])
            self._cleaned[queue.base] = cbaser.shareability == 0
        return self._cleaned[queue.base]

    async def submit(self, *commands: AnyCommand, request_timeout: float | None = None) -> tuple[CommandResult, ...]:
        """Write the commands to the queue, ring the doorbell once, and say what became of each.

        Raises QueueError if they do not fit, ValueError if a field does not, UnexpectedOutcome if the host may not write
        its own queue. What the ITS or the hypervisor objects to is in the results.
        """
        queue = await self.queue()
        plan = submit_ops(queue, self._session.map.its, commands, clean=await self.needs_cleaning(queue))
        # Ringing the doorbell for a slot that could not be written would submit whatever stands there.
        batch = await self._session.run(plan.ops, stop_on=("abort", "panic"), request_timeout=request_timeout)
        return plan.read(batch.results)

    async def _submit_one(self, command: AnyCommand) -> CommandResult:
        (result,) = await self.submit(command)
        return result
