from __future__ import annotations

import pytest

from itsbox.events import render
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, MmioRead, Op
from itsbox.sessions.boots import Boots


@pytest.mark.parametrize("start", ["bare", "host", "deprivileged"])
@pytest.mark.parametrize("oracle", ["on", "lockstep"])
def test_a_machine_from_memory_is_as_one_that_booted(start: str, oracle: str) -> None:
    """State, step, events and all that follows are those of a machine that was built for the purpose."""
    config = MachineConfig.make(start=start, oracle=oracle)
    boots = Boots()
    booted = Machine(config)
    expected = [render(event) for event in booted.take_events()]
    ops: list[Op] = [
        MmioRead(0x0808_0000, 4),
        *([] if start == "bare" else [Drive("map_device", {"device_id": 8, "events": 3})]),
    ]
    results = [(booted.apply(op), booted.step) for op in ops]
    then = [render(event) for event in booted.take_events()]
    for _ in range(3):
        machine, history = boots.machine(config)
        assert [render(event) for event in history] == expected
        assert [(machine.apply(op), machine.step) for op in ops] == results
        assert [render(event) for event in machine.take_events()] == then
        assert machine.state_hash() == booted.state_hash()
        assert machine.config == config


def test_machines_of_other_kinds_are_not_mixed_up() -> None:
    """Whatever differs in the configuration makes another boot."""
    boots = Boots()
    configs = [
        MachineConfig.make(start="host"),
        MachineConfig.make(start="deprivileged"),
        MachineConfig.make(start="host", cpus=2),
        MachineConfig.make(start="host", hardening={"preset": "strict", "knobs": {"on_refusal": "wedge"}}),
        MachineConfig.make(start="host", oracle="off"),
        MachineConfig.make(start="host", quirks={"coherent": False}),
    ]
    for _ in range(2):
        for config in configs:
            assert boots.machine(config)[0].config == config


def test_the_memory_of_boots_is_bounded() -> None:
    """Old kinds of machine are forgotten."""
    boots = Boots()
    for ram_mib in range(64, 104):
        boots.machine(MachineConfig.make(start="host", ram_mib=ram_mib, cpus=1))

    assert len(boots._kept) == 32
