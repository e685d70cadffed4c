"""The ITSs of one machine, and how a VMOVP keeps them in step where each must be told (GITS_TYPER.VMOVP = 0).

Such a command names ITSs by ITS_Number and carries a sequence number. An ITS that comes to one may have to wait (profile
``vmovp_waits``): the queue stands at the command, not Stalled, and what lets it go on is another ITS. Nobody polls and nothing
is bounded by time: an ITS whose list names one that never comes waits for ever, and ``Its.waiting`` says for whom.

Two rules keep this simple. An ITS that waits does nothing else, so it leaves the meeting only by software's hand (it is
disabled, or its queue is set up anew). And an ITS that another one frees goes on only after that one's queue has come to
rest, so queues never run inside each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from itsbox.hardware.its import Its

__all__ = ["ItsList"]


class ItsList:
    """nodes: every ITS of the machine; ready: those whose VMOVP may have been freed and whose queues must be looked at.

    Invariant: between two ops ``ready`` is empty and no ITS is ``released``.
    Owned by: the ITSs, together.
    """

    __slots__ = ("nodes", "ready")

    def __init__(self) -> None:
        self.nodes: list[Its] = []
        self.ready: list[Its] = []

    def may_move(self, its: Its, sequence_number: int, its_list: int) -> bool:
        """Whether an ITS may carry out the VMOVP that it has come to; if not it waits from now on.

        its_list: one bit per ITS_Number. The ITS itself is there, listed or not.
        """
        if its.released:
            its.released = False
            return True
        meets = its.profile.vmovp_waits == "all"
        here = self._here(its, sequence_number) if meets else self._enabled()
        if its_list & ~here:
            its.waiting = (sequence_number, its_list)
            return False
        if meets:
            self._release(sequence_number, here)
        return True

    def _enabled(self) -> int:
        return sum({1 << node.its_number for node in self.nodes if node.enabled})

    def _here(self, its: Its, sequence_number: int) -> int:
        """The ITS numbers that have come to a sequence number."""
        waiting = [node for node in self.nodes if node.waiting is not None and node.waiting[0] == sequence_number]
        return sum({1 << node.its_number for node in (its, *waiting)})

    def _release(self, sequence_number: int, here: int) -> None:
        for node in self.nodes:
            if node.waiting is not None and node.waiting[0] == sequence_number and not node.waiting[1] & ~here:
                node.released = True
                self.ready.append(node)

    def look_again(self) -> None:
        """An ITS was enabled or disabled, or has another number: whoever waits looks at its command again."""
        self.ready += [node for node in self.nodes if node.waiting is not None]

    def settle(self) -> None:
        """Let the ITSs that were freed go on, one after the other, until all are at rest.

        Ends: a queue is looked at again only when a VMOVP of another one was carried out, and queues are finite.
        """
        while self.ready:
            node = self.ready.pop(0)
            node.run_queue()
            node.released = False
