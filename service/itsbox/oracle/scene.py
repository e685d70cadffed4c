"""What an invariant looks at, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from itsbox.arch.values import PAGE_SHIFT, PAGE_SIZE
from itsbox.ops import Done, HvcReturn, MmioWrite, Refused, Verdict
from itsbox.oracle.pages import PageUse
from itsbox.oracle.violations import Rule
from itsbox.oracle.world import Use

if TYPE_CHECKING:
    from itsbox.arch.layout import Register
    from itsbox.arch.register_map import Place
    from itsbox.ops import Op, Outcome
    from itsbox.oracle.pages import PageState
    from itsbox.oracle.provenance import Provenance
    from itsbox.oracle.records import HostQueue, Records
    from itsbox.oracle.touched import Touched
    from itsbox.oracle.view import Command, View
    from itsbox.oracle.world import World

__all__ = ["NOUN", "PAGE_USE", "Broken", "Scene", "whole"]


class Broken(NamedTuple):
    """An invariant does not hold.

    rule; detail: a sentence about this case; addr, length: the memory; table: what it is used as; command: the ITS command
    that brought it about, if one did.
    """

    rule: Rule
    detail: str
    addr: int
    length: int
    table: str
    command: Command | None = None


@dataclass(slots=True)
class Scene:
    """What an invariant may look at: the oracle's memory, the machine, the hypervisor's records, the op and its outcome.

    place: finds the register of the GIC at an address; changed: (frame, state before, state now) of the pages that the op
    touched; half: it writes half of a 64-bit register; before, queues: the host's queues before and after it.
    Owned by: the oracle, which sets the scene anew for each op; the first six stay.
    """

    world: World
    view: View
    who: Provenance
    records: Records
    touched: Touched
    place: Callable[[int], Place | None]
    op: Op
    outcome: Outcome
    deprivileged: bool = False
    changed: Sequence[tuple[int, PageState, PageState]] = ()
    half: bool = False
    before: tuple[HostQueue, ...] = ()
    queues: tuple[HostQueue, ...] = ()

    def was(self, node: int) -> HostQueue | None:
        """The host's queue of an ITS when the op began."""
        for queue in self.before:
            if queue.node == node:
                return queue
        return None

    def waiting(self) -> bool:
        """Whether accepted commands wait in a hardware queue, or did when the op began."""
        for queue in self.queues:
            if queue.waiting:
                return True
        return any(queue.waiting for queue in self.before)

    def writes(self, register: type[Register]) -> bool:
        """Whether the op writes a register, or half of it."""
        place = self.place(self.op.addr) if isinstance(self.op, MmioWrite) else None
        return place is not None and place.register is register

    def verdicts(self) -> tuple[int, int]:
        """(refused, executed) commands of the op; a refused access without commands counts as one refusal."""
        outcome = self.outcome
        if isinstance(outcome, HvcReturn):
            return int(outcome.reason is not None), 0
        if not isinstance(outcome, (Done, Refused)):
            return 0, 0
        refused = 0
        for record in outcome.commands:
            if record[3] == Verdict.REFUSED:
                refused += 1
        return refused or int(isinstance(outcome, Refused)), len(outcome.commands) - refused


def whole(pfn: int) -> tuple[int, int]:
    """Address and bytes of a page."""
    return pfn << PAGE_SHIFT, PAGE_SIZE


NOUN: Final = {
    Use.ITT: "a translation table",
    Use.VPT: "a virtual pending table",
    Use.VCONF: "a virtual configuration table",
    Use.QUEUE: "command queue",
    Use.TABLE: "a table",
    Use.L2: "level-2 page",
    Use.PENDING: "a pending table",
    Use.CONFIG: "a configuration table",
}
"""Use of an extent, for sentences."""
PAGE_USE: Final = {
    Use.ITT: PageUse.ITT,
    Use.VPT: PageUse.VPT,
    Use.VCONF: PageUse.VCONF,
    Use.PENDING: PageUse.PENDING,
    Use.CONFIG: PageUse.CONFIG,
}
"""Use of an extent to the use that a page must have to be the ITS's own for it."""
