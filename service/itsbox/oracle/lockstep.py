"""Specification and machine side by side, op by op; a difference is a defect of ours.

The driver's accesses are compared one by one as it makes them, like a client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from itsbox.oracle.abstract import PARTS, Abstract, part_tree
from itsbox.oracle.diff import tree_diff
from itsbox.oracle.spec import Call, Claims, Facts, settled, specify

if TYPE_CHECKING:
    from collections.abc import Callable

    from itsbox.ops import Op, Outcome

__all__ = ["Lockstep", "SpecMismatch"]


class SpecMismatch(Exception):
    """The machine did something else than the specification says.

    op, outcome: the call; wrong: what is wrong with the outcome, or None; lines: expected -> found, one per difference.
    """

    def __init__(self, op: Op, outcome: Outcome, wrong: str | None, lines: list[str]) -> None:
        text = [f"{op!r} -> {outcome!r}", *([wrong] if wrong else []), *lines]
        super().__init__("\n".join(text))
        self.op = op
        self.outcome = outcome
        self.wrong = wrong
        self.lines = lines


class Lockstep:
    """Compares after each op. ``checked`` counts ops, those of the driver included, so that a test sees that it tested.

    abstract: reads the machine's abstract state.
    Owned by: the oracle.
    """

    __slots__ = ("_abstract", "_claims", "_facts", "_recorded", "checked")

    def __init__(self, abstract: Callable[[], Abstract], facts: Facts, claims: Claims) -> None:
        self._abstract = abstract
        self._facts = facts
        self._claims = claims
        self._recorded = abstract()
        self.checked = 0

    def resume(self) -> None:
        """The machine was restored: take its state as it is."""
        self._recorded = self._abstract()

    def compare(self, op: Op, outcome: Outcome) -> None:
        """Judge one op.

        Raises:
            SpecMismatch: the machine and the specification disagree.
        """
        pre, observed = self._recorded, self._abstract()
        self._recorded = observed
        answer = specify(pre, Call(op, outcome, observed, self._facts, self._claims))
        self.checked += 1
        if answer.wrong is None and not _different(answer.post, observed):
            return
        expected = settled(answer, observed, self._facts.regions)
        wrong = _different(expected, observed)
        if wrong or answer.wrong:
            raise SpecMismatch(op, outcome, answer.wrong, tree_diff(_parts(expected, wrong), _parts(observed, wrong)))


def _different(expected: Abstract, found: Abstract) -> list[str]:
    """The parts in which two states differ; most parts are the same object."""
    if expected is found:
        return []
    pairs = ((name, getattr(expected, name), getattr(found, name)) for name in PARTS)
    return [name for name, one, other in pairs if one is not other and one != other]


def _parts(state: Abstract, names: list[str]) -> dict[str, Any]:
    return {name: part_tree(name, getattr(state, name)) for name in names}
