"""Plans: what accepting a command changes besides the hardware queue, so that it can be carried out at once and taken back.

A check is pure and answers plans. ``commit`` carries out what must hold before the ITS sees the command (pages shared and
pinned, level-1 entries mirrored), ``complete`` what may only follow once the ITS has carried it out (pages let go), ``undo``
takes back a commit whose command never was. There is no half state: each step is all or nothing
(docs/explanation/dma-surface.md 7, H9).

Plans are plain data: a stalled command's are kept in the state of its ITS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from itsbox.arch.its_tables import L1_ENTRY_SIZE, L1Entry
from itsbox.events import SHADOW_TABLE
from itsbox.hypervisor.tracking import CONFIG, ITT, PENDING, VCONF, VPT, Edit
from itsbox.memory.ownership import Transition, inverse
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2
    from itsbox.hypervisor.its_state import ItsState

__all__ = [
    "L2",
    "NOTHING",
    "L1Write",
    "Plan",
    "RecordChange",
    "Step",
    "blame",
    "commit",
    "complete",
    "refused_late",
    "undo",
]

L2: Final = "l2"
"""Kind of a plan that mirrors a level-1 entry; the others have the kinds of ``tracking``."""

_OWNERSHIP: Final = (
    Reason.PAGE_NOT_HOST_OWNED,
    Reason.PAGE_NOT_MEMORY,
    Reason.RANGE_CROSSES_REGION,
    Reason.PAGE_PINNED,
    Reason.PAGE_NOT_HYP_OWNED,
    Reason.HYP_CARVEOUT,
)
_BLAME: Final = {
    L2: dict.fromkeys((*_OWNERSHIP, Reason.PAGE_SHARED), Reason.L2_NOT_HOST_OWNED),
    ITT: {
        **dict.fromkeys(_OWNERSHIP, Reason.ITT_NOT_HOST_OWNED),
        Reason.PAGE_SHARED: Reason.ITT_SHARED,
        Reason.PAGE_NOT_SHARED: Reason.ITT_NOT_TRACKED,
    },
    VPT: dict.fromkeys((*_OWNERSHIP, Reason.PAGE_SHARED, Reason.PAGE_NOT_SHARED), Reason.VPT_NOT_HOST_OWNED),
    VCONF: dict.fromkeys((*_OWNERSHIP, Reason.PAGE_SHARED), Reason.VCONF_NOT_HOST_OWNED),
    CONFIG: dict.fromkeys((*_OWNERSHIP, Reason.PAGE_SHARED), Reason.CONFIG_NOT_HOST_OWNED),
    PENDING: dict.fromkeys((*_OWNERSHIP, Reason.PAGE_SHARED), Reason.PENDING_NOT_HOST_OWNED),
}


def blame(kind: str, denied: Reason) -> Reason:
    """Say what was refused in the words of the command rather than of the page."""
    return _BLAME[kind].get(denied, denied)


class L1Write(NamedTuple):
    """A level-1 entry of the hardware's table changes.

    table: n of GITS_BASER<n>; slot: its index; addr: of the entry; old, new: its words. reread: an address in host memory where
    the word is fetched again, instead of ``new`` (knob ``host_fetch`` ``twice``), or 0.
    """

    table: int
    slot: int
    addr: int
    old: int
    new: int
    reread: int = 0


class RecordChange(NamedTuple):
    """An entry of ``ItsState.devices`` or ``.vpes`` changes; None is no entry."""

    where: str
    key: int
    old: Any
    new: Any


class Step(NamedTuple):
    """Changes that belong together. zeroed: (address, bytes) wiped once the transitions are done."""

    transitions: tuple[Transition, ...] = ()
    edits: tuple[Edit, ...] = ()
    entries: tuple[L1Write, ...] = ()
    zeroed: tuple[tuple[int, int], ...] = ()
    records: tuple[RecordChange, ...] = ()


NOTHING: Final = Step()


class Plan(NamedTuple):
    """One consequence of a command: its kind (for blame), what comes before the ITS sees it, what comes after.

    refuses: the command is refused at this point, when plans before it have been carried out already.
    """

    kind: str
    cause: str
    now: Step = NOTHING
    later: Step = NOTHING
    refuses: Reason | None = None


def refused_late(el2: El2, kind: str, walked: Plan | None, reason: Reason) -> Reason | tuple[Plan, ...]:
    """A command is refused after its level-1 entry was looked at: with knob ``rollback`` ``partial`` that is mirrored first."""
    if walked is None or el2.knobs["rollback"] == "full":
        return reason
    return (walked, Plan(kind, walked.cause, refuses=reason))


def commit(el2: El2, state: ItsState, plans: tuple[Plan, ...]) -> Reason | None:
    """Carry out what must come first, for all plans or, as far as knob ``rollback`` goes, for none."""
    for done, plan in enumerate(plans):
        denied = plan.refuses or _apply(el2, state, plan.now, plan.cause)
        if denied is not None:
            undo(el2, state, plans[:done])
            return blame(plan.kind, denied)
    return None


def complete(el2: El2, state: ItsState, plans: tuple[Plan, ...]) -> None:
    """Carry out what had to wait for the ITS."""
    for plan in plans:
        _apply(el2, state, plan.later, plan.cause)


def undo(el2: El2, state: ItsState, plans: tuple[Plan, ...]) -> None:
    """Take back a commit; with knob ``rollback`` ``partial``, level-2 pages stay where they are."""
    keeps_l2 = el2.knobs["rollback"] == "partial"
    for plan in reversed(plans):
        if not (keeps_l2 and plan.kind == L2):
            _apply(el2, state, _reversed(plan.now), plan.cause)


def _reversed(step: Step) -> Step:
    return Step(
        transitions=tuple(inverse(step.transitions)),
        edits=tuple((key, -delta) for key, delta in step.edits),
        entries=tuple(entry._replace(old=entry.new, new=entry.old, reread=0) for entry in step.entries),
        records=tuple(change._replace(old=change.new, new=change.old) for change in step.records),
    )


def _apply(el2: El2, state: ItsState, step: Step, cause: str) -> Reason | None:
    if step is NOTHING:
        return None
    denied = el2.ownership.commit(step.transitions, cause)
    if denied is not None:
        return denied
    for addr, length in step.zeroed:
        el2.zero(addr, length)
    for entry in step.entries:
        _write_entry(el2, state, entry)
    el2.tracking.apply(step.edits)
    for change in step.records:
        table: dict[int, Any] = getattr(state, change.where)
        if change.new is None:
            table.pop(change.key, None)
        else:
            table[change.key] = change.new
    return None


def _write_entry(el2: El2, state: ItsState, entry: L1Write) -> None:
    """Write the hardware's entry, and make the ITS see it."""
    word = el2.read(entry.reread) if entry.reread else entry.new
    el2.write(entry.addr, word)
    if el2.knobs["cache_maintenance"] == "flush":
        el2.interconnect.clean(entry.addr, L1_ENTRY_SIZE)
    present = state.present.setdefault(entry.table, set())
    if L1Entry.decode(word).valid:
        present.add(entry.slot)
    else:
        present.discard(entry.slot)
    table = state.table(entry.table)
    el2.log.emit(SHADOW_TABLE, table.name if table else "", entry.slot, entry.old, word)
