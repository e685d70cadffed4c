"""What was done to a machine, as a program that can be run again.

A journal holds the ops since the session began, and follows the machine through snapshots and restores: to restore is to
have done only what led to the snapshot. So at any moment the journal, run on a new session, leads to the machine as it is; and
what it was when a violation came is the violation's reproducer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from itsbox_client.models import Violation

__all__ = ["Finding", "Journal", "Program"]

#: Ops as JSON objects, in order.
Program: TypeAlias = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Finding:
    """A violation and the ops that led to it, the last of which provoked it."""

    violation: Violation
    program: Program


@dataclass
class Journal:
    """The ops that led to the present state, and the first violation of each bucket on the way.

    Invariant: running ``ops`` on a machine in the state at which the journal began gives the machine as it is, as long as only
    the session that keeps this journal drives it.
    """

    ops: list[Mapping[str, Any]] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)
    _marks: dict[str, Program] = field(default_factory=dict)

    def record(self, op: Mapping[str, Any], violations: Sequence[Violation] = ()) -> None:
        """An op ran, and the oracle said this."""
        self.ops.append(op)
        for violation in violations:
            if violation.bucket not in self.findings:
                self.findings[violation.bucket] = Finding(violation, tuple(self.ops))

    def mark(self, snapshot: str) -> None:
        """The present state was kept under this id."""
        self._marks[snapshot] = tuple(self.ops)

    def rewind(self, snapshot: str) -> bool:
        """The state with this id was restored. False if it was not marked here: the journal then begins anew at that state."""
        led_there = self._marks.get(snapshot)
        self.ops[:] = led_there or ()
        return led_there is not None

    def branch(self, snapshot: str | None = None) -> Journal:
        """The journal of a session forked off the present state, or off a marked one; its findings are this one's, too."""
        return Journal(list(self.ops if snapshot is None else self._marks.get(snapshot, ())), self.findings)
