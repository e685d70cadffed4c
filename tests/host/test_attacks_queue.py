"""Attacks on the command queue."""

from __future__ import annotations

import pytest

from tests.host.play import played, rules


def test_a7_makes_the_its_read_secrets_as_commands() -> None:
    """Under ``off`` the ITS takes the hypervisor's memory for commands; the words that it read are in the evidence."""
    what = played("A7", "off")

    assert rules(what) == {("DMA", "foreign-command")}
    assert any("unknown error" in step.result or "unknown" in step.result for step in what.steps)


@pytest.mark.parametrize("preset", ["rfc-v1", "v2", "android-6.12", "strict"])
def test_a_race_for_the_queue_is_lost(preset: str) -> None:
    """From patch 8 on what is checked is a copy: exchanging the slot at any read changes nothing."""
    what = played("A13", preset)

    assert what.verdict == "isolated"
    assert what.refusals


def test_a_race_for_level_1_is_won_where_it_is_read_twice() -> None:
    """With the one knob ``host_fetch`` on ``twice`` the exchanged entry is used: H2 sees it, and the DMA check its effect."""
    broken = rules(played("A13", {"preset": "strict", "knobs": {"host_fetch": "twice"}}))

    assert {("H2", "one-snapshot"), ("DMA", "foreign-write"), ("H7", "level-1")} <= broken


def test_commands_behind_the_wrap_are_unchecked_in_the_rfc() -> None:
    """The MAPD in the first slot of a wrapped batch reaches hardware under ``rfc-v1`` and is refused under ``strict``."""
    assert ("H1", "hardware-writes") in rules(played("A15", "rfc-v1"))
    assert "itt_not_host_owned" in played("A15", "strict").refusals


def test_old_commands_do_not_run_again_behind_strict() -> None:
    """GITS_CBASER and GITS_CREADR written back: commands whose pages were given away stay past."""
    assert played("A14", "strict").verdict == "isolated"
    assert ("DMA", "foreign-write") in rules(played("A14", "v2"))


@pytest.mark.parametrize("name", ["A17", "A18"])
def test_strict_stays_available(name: str) -> None:
    """Errors at which the ITS stalls, and commands that wait for what does not exist, stop nobody for good."""
    assert played(name, "strict").verdict == "isolated"


def test_the_rfc_is_stopped_by_one_erroneous_command() -> None:
    """On an ITS that stalls, one bad command ends honest traffic under the RFC."""
    assert played("A17", "rfc-v1").verdict == "wedged"
