"""How things are measured: variants in turn, the order rotating, medians of the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, NamedTuple

__all__ = ["Plan", "Result", "rate", "rounds"]


class Plan(NamedTuple):
    """How much to measure: rounds, and seconds for each variant in each round."""

    rounds: int
    seconds: float

    @property
    def quick(self) -> bool:
        """Whether this is a look at the harness rather than a measurement."""
        return self.rounds < 3

    def few(self, count: int) -> int:
        """A count, or a tenth of it in a quick look."""
        return max(1, count // 10) if self.quick else count


class Result(NamedTuple):
    """One row: what was measured, against what, and the goal for the ratio (or, without a peer, for the value).

    ``at_most`` turns the goal round: the ratio should be no more than it.
    """

    group: str
    figure: str
    unit: str
    value: float
    peer: str | None
    peer_value: float | None
    goal: float | None
    at_most: bool = False

    @property
    def ratio(self) -> float | None:
        """The value in terms of the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None when there is none."""
        if self.goal is None:
            return None
        reached = self.value if self.ratio is None else self.ratio
        return reached <= self.goal if self.at_most else reached >= self.goal

    def as_json(self) -> dict[str, Any]:
        """As it stands in results.json."""
        return {**self._asdict(), "ratio": self.ratio, "met": self.met}


def rounds(plan: Plan, variants: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median of each variant; every variant runs once a round, and the first one changes with the round."""
    names = list(variants)
    measured: dict[str, list[float]] = {name: [] for name in names}
    for n in range(plan.rounds):
        shift = n % len(names)
        for name in names[shift:] + names[:shift]:
            measured[name].append(variants[name]())
    return {name: median(values) for name, values in measured.items()}


def rate(plan: Plan, work: Callable[[], int]) -> Callable[[], float]:
    """A variant that repeats ``work`` for the plan's seconds; units (what work answers) per second."""

    def measure() -> float:
        done = 0
        started = time.perf_counter()
        while True:
            done += work()
            elapsed = time.perf_counter() - started
            if elapsed >= plan.seconds:
                return done / elapsed

    return measure
