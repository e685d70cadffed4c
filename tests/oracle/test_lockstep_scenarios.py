"""Attacks and honest lives are what the specification says, access by access: it speaks about all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from itsbox.host.scenarios import SCENARIOS, run
from itsbox.machine import Machine
from tests.host.play import machine


def _in_lock_step(fields: Mapping[str, Any]) -> Machine:
    return machine({**fields, "oracle": "lockstep"})


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS.values() if scenario.kind != "historic"])
def test_a_scenario_in_lock_step(name: str) -> None:
    """No difference between machine and specification, whatever the attacker does behind ``strict``."""
    assert run(name, "strict", _in_lock_step).verdict == "isolated"
