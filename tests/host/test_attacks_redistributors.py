"""Attacks through redistributors, which the series leaves open."""

from __future__ import annotations

import pytest

from itsbox.host import attacks_redistributors
from itsbox.host.attacks import HostileHost
from tests.host.play import machine, played, rules


def test_a8_sets_a_bit_in_the_hypervisors_page() -> None:
    """Under ``off`` the LPI's bit appears in the hypervisor's memory while it is pending."""
    host = HostileHost(machine({"hardening": "off", "start": "host"}))
    attacks_redistributors.pending_table_in_hyp(host)
    looks = [step.result for step in host.steps if step.op is None]

    assert len(looks) == 2
    assert looks[0] != looks[1]


@pytest.mark.parametrize("name", ["A8", "A9", "A10"])
@pytest.mark.parametrize("preset", ["rfc-v1", "v2"])
def test_the_series_leaves_redistributors_open(name: str, preset: str) -> None:
    """The mail says so itself: no version before Android's stops these."""
    assert played(name, preset).verdict == "violated"


@pytest.mark.parametrize("name, reason", [
    ("A8", "pending_not_host_owned"), ("A9", "config_not_host_owned"), ("A10", "vpendbaser_unknown"),
])  # fmt: skip
def test_strict_checks_their_tables(name: str, reason: str) -> None:
    """Behind ``strict`` the tables' pages must be the host's, and resident vPEs known."""
    what = played(name, "strict")

    assert what.verdict == "isolated"
    assert reason in what.refusals


def test_reading_secrets_is_a_violation_too() -> None:
    """A configuration table in a guest's page is only read, and a violation all the same: delivery tells its bits."""
    assert ("DMA", "foreign-read") in rules(played("A9", "off"))


@pytest.mark.parametrize("preset", ["off", "strict"])
def test_there_is_no_address_to_forge_without_pta(preset: str) -> None:
    """Where RDbase is a number, MAPC and SYNC with a wild one are errors or waits that end at once."""
    assert played("A11", preset).verdict == "isolated"
