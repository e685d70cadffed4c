"""Playing scenarios in tests: machines of this project, and the ways to look at what was played."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itsbox.host.scenarios import Played, run
from itsbox.machine import Machine, MachineConfig

__all__ = ["machine", "played", "rules"]


def machine(fields: Mapping[str, Any]) -> Machine:
    """A machine from a session's fields."""
    return Machine(MachineConfig.make(**fields))


def played(name: str, hardening: Any, profile: str | None = None) -> Played:
    """A scenario on a machine of its own."""
    return run(name, hardening, machine, profile)


def rules(what: Played) -> set[tuple[str, str]]:
    """(oracle, rule) of each violation."""
    return {(violation.oracle, violation.rule.name) for violation in what.violations}
