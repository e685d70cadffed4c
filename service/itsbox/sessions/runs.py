"""What goes into a run of ops and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from itsbox.ops import Aborted, HvcReturn, Op, Outcome, Panicked, Refused
from itsbox.oracle.violations import Violation

__all__ = ["STOPS", "Part", "Result", "Run", "Stamp", "Totals", "stops_at"]

#: What a batch can be told to stop at: the outcome words beside ``ok``, and ``violation``.
STOPS: Final = ("refused", "abort", "panic", "violation")

#: An outcome and the violations that the oracle found in that op.
Result: TypeAlias = tuple[Outcome, Sequence[Violation]]

#: The id of the snapshot to restore first, or None to go on from here, and ops to execute.
Part: TypeAlias = tuple[str | None, Sequence[Op]]


class Run(NamedTuple):
    """What became of a batch: a result for each op that was executed, and where the session stands after it."""

    results: list[Result]
    seq: int
    step: int


@dataclass(slots=True)
class Totals:
    """What all sessions of a host have done together; for metrics."""

    ops: int = 0
    events: int = 0
    violations: int = 0
    crashes: int = 0


@dataclass(slots=True)
class Stamp:
    """When: seconds since 1970. ``used`` moves with each request; ``warned`` says that the end was announced."""

    created: float
    used: float
    warned: bool = False


def stops_at(outcome: Outcome, found: Sequence[Violation], stops: frozenset[str]) -> bool:
    """Whether a batch that is to stop at ``stops`` stops behind this op."""
    if found and "violation" in stops:
        return True
    if isinstance(outcome, Refused) or (isinstance(outcome, HvcReturn) and outcome.errno is not None):
        return "refused" in stops
    return (isinstance(outcome, Aborted) and "abort" in stops) or (isinstance(outcome, Panicked) and "panic" in stops)
