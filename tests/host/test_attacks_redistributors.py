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


@pytest.mark.parametrize("name", ["A8", "A9", "A10", "resident-vpt"])
@pytest.mark.parametrize("preset", ["rfc-v1", "v2"])
def test_the_series_leaves_redistributors_open(name: str, preset: str) -> None:
    """The mail says so itself: no version before Android's stops these."""
    assert played(name, preset).verdict == "violated"


@pytest.mark.parametrize("name, reason", [
    ("A8", "pending_not_host_owned"), ("A9", "config_not_host_owned"), ("A10", "vpropbaser_changed"),
    ("resident-vpt", "vpendbaser_unknown"),
])  # fmt: skip
def test_strict_checks_their_tables(name: str, reason: str) -> None:
    """Behind ``strict`` the tables' pages must be the host's, and resident vPEs known."""
    what = played(name, "strict")

    assert what.verdict == "isolated"
    assert reason in what.refusals


def test_reading_secrets_is_a_violation_too() -> None:
    """A configuration table in a guest's page is only read, and a violation all the same: delivery tells its bits."""
    assert ("DMA", "foreign-read") in rules(played("A9", "off"))


@pytest.mark.parametrize("name, profile, why", [
    ("A11", "virt-gicv3", "PTA is 0"), ("A10", "virt-gicv4", "before GICv4.1"), ("resident-vpt", "virt-gicv4.1", "no address"),
    ("A10", "virt-gicv3", "no virtual LPIs"),
])  # fmt: skip
def test_what_a_machine_does_not_have_cannot_be_forged(name: str, profile: str, why: str) -> None:
    """Played on another machine they say that nothing was tried, under every preset, and never that it was stopped."""
    for preset in ("off", "strict"):
        what = played(name, preset, profile)
        assert what.verdict == "error"
        assert why in what.detail


def test_a11_sends_messages_to_the_hypervisor() -> None:
    """Where RDbase is an address, MAPC and SYNC write to any; ``strict`` knows the redistributors' frames."""
    found = played("A11", "off").violations
    addresses = {violation.wire()["addresses"][0]["owner"] for violation in found}

    assert {violation.rule.name for violation in found} == {"message"}
    assert "hyp" in addresses
    assert played("A11", "strict").refusals == ("rd_base_unknown",)
