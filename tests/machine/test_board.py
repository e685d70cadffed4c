"""The parts of a machine: which there are, and who listens to them."""

from __future__ import annotations

import pytest

from itsbox.events import EventLog
from itsbox.hardware.profile import PROFILES
from itsbox.machine import Machine
from itsbox.machine.board import build, watch
from itsbox.machine.config import MachineConfig
from itsbox.memory.interconnect import NonCoherentInterconnect
from itsbox.ops import Drive


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_board_has_what_its_profile_says(profile: str) -> None:
    """One redistributor a CPU, one ITS for each node of the map, and a cache model only where caches are not coherent."""
    config = MachineConfig.make(profile=profile, cpus=3)
    board = build(config, config.map, EventLog())

    assert [gicr.cpu for gicr in board.redistributors] == [0, 1, 2]
    assert [node.base for node in board.its] == list(config.map.its_nodes)
    assert isinstance(board.interconnect, NonCoherentInterconnect) is not config.profile.coherent


def test_every_part_with_state_has_a_name_of_its_own() -> None:
    """Two ITSs, two CPUs: nothing that a snapshot must hold is left out."""
    config = MachineConfig.make(profile="virt-gicv4-dual-its", cpus=2)
    board = build(config, config.map, EventLog())
    named = board.stateful()

    assert set(named) == {"cache", "owners", "hypervisor", "gicd", "gicr0", "gicr1", "its0", "its1"}
    assert len({id(part) for part in named.values()}) == len(named)


@pytest.mark.parametrize("kind, ears", [("off", False), ("on", True), ("lockstep", True)])
def test_the_oracle_listens_where_it_was_asked_for(kind: str, ears: bool) -> None:
    """Off, nobody hears the interconnect, the ownership map or the ITSs; otherwise all of them are heard."""
    config = MachineConfig.make(oracle=kind)
    board = build(config, config.map, EventLog())
    oracle = watch(board, config.map, config.oracle)

    assert (oracle is not None) is ears
    heard = [board.interconnect.watch, board.ownership.watch, *(node.on_message for node in board.its)]
    assert [ear is not None for ear in heard] == [ears] * len(heard)
    assert oracle is None or (oracle.lockstep is not None) is (kind == "lockstep")


@pytest.mark.parametrize("enters", [False, True])
def test_a_restore_takes_back_what_the_hypervisor_did_since_the_last_one(enters: bool) -> None:
    """Whether or not it ran between two restores, and for each way into it."""
    machine = Machine(MachineConfig.make(start="deprivileged"))
    machine.apply(Drive("map_device", {"device_id": 8, "events": 4}))
    ready, expected = machine.snapshot(), machine.state_hash()
    machine.apply(Drive("map_device", {"device_id": 9, "events": 4}))
    changed = machine.state_hash()
    for _ in range(3):
        machine.restore(ready)
        assert machine.state_hash() == expected
        if enters:
            machine.apply(Drive("map_device", {"device_id": 9, "events": 4}))
            assert machine.state_hash() == changed
