"""The switch-over by hand: hostile tables, and take-overs that fail."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import MAPTI, SYNC
from itsbox.arch.its_registers import TABLE_COLLECTIONS
from itsbox.host.attacks import HostileHost
from itsbox.host.attacks_takeover import finalise, hand_over, two_level_collections
from tests.host.play import machine, played, rules

PTA = "virt-gicv3-pta"


@pytest.mark.parametrize("preset, profile", [
    ("rfc-v1@8", "virt-gicv3"), ("v2", "virt-gicv3"), ("v2", PTA), ("strict", "virt-gicv3"), ("strict", PTA),
])  # fmt: skip
def test_a_hand_over_by_hand_works_like_the_drivers(preset: str, profile: str) -> None:
    """With collections in two levels too: the ITS is taken over, and a device's interrupt arrives."""
    host = HostileHost(machine({"hardening": preset, "profile": profile, "start": "host"}))
    two_level_collections(host)
    finalise(host)

    assert hand_over(host) == 0
    assert host.box.phase == "deprivileged"
    host.needs_own(0x40)
    host.post(MAPTI(device_id=0x40, event_id=0, intid=8300, icid=1), SYNC(rd_base=host.rd_base(1)))
    assert host.msi(0x40, 0)
    assert not host.box.violations


def test_without_a_hypervisor_there_is_nothing_to_hand_over_to() -> None:
    """The call does not exist, and the tables stay as they are."""
    host = HostileHost(machine({"hardening": "off", "start": "host"}))
    finalise(host)

    assert hand_over(host) is None
    assert host.table_entry(TABLE_COLLECTIONS, 1) is not None


def test_a_collection_entry_of_the_hosts_sends_messages_anywhere() -> None:
    """The RFC leaves the second level of collections to the host; where RDbase is an address that is a write to any."""
    for preset in ("off", "rfc-v1@7", "rfc-v1"):
        assert ("DMA", "message") in rules(played("collection-level-2", preset)), preset
    for preset in ("v2", "strict"):
        assert played("collection-level-2", preset).verdict == "isolated"


def test_a_leaked_lock_hangs_the_second_call() -> None:
    """Under the RFC a refused take-over keeps its lock, and the right one never returns."""
    assert "el2_hang" in played("leaked-lock", "rfc-v1").refusals
    assert played("leaked-lock", "v2").verdict == "isolated"


def test_a_take_over_that_fails_at_its_tables_faults_while_it_unwinds() -> None:
    """The RFC's unwinding walks a wild pointer; later versions give everything back, and the second try succeeds."""
    assert "el2_fault" in played("setup-unwinding", "rfc-v1").refusals
    for preset in ("v2", "strict"):
        assert played("setup-unwinding", preset).verdict == "isolated"
