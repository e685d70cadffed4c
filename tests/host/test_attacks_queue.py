"""Attacks on the command queue."""

from __future__ import annotations

import pytest

from tests.host.play import played, rules


def test_a7_makes_the_its_read_secrets_as_commands() -> None:
    """Under ``off`` the ITS takes the hypervisor's memory for commands; the words that it read are in the evidence."""
    what = played("A7", "off")

    assert rules(what) == {("DMA", "foreign-command")}
    assert any("unknown error" in step.result or "unknown" in step.result for step in what.steps)


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
    assert played("A17", "rfc-v1@7").verdict == "wedged"


@pytest.mark.parametrize("preset", ["rfc-v1", "v2", "android-6.12"])
def test_a_command_that_was_announced_while_the_its_is_off_runs_later(preset: str) -> None:
    """Whatever became of it when it was announced, it runs when the ITS is enabled, with a page that is a guest's by then."""
    assert ("H1", "hardware-writes") in rules(played("announced-while-off", preset))
    assert played("announced-while-off", "strict").verdict == "isolated"


def test_a_vmovp_for_an_absent_its_stalls_for_good() -> None:
    """Without a guard the queue stands at the VMOVP, nobody's traffic passes; ``strict`` looks at its ITSList."""
    assert played("A18", "off").verdict == "wedged"
    assert {"rd_base_unknown", "its_list_unknown"} <= {*played("A18", "strict").refusals}


def test_where_one_its_moves_for_all_there_is_nothing_to_wait_for() -> None:
    """With GITS_TYPER.VMOVP = 1, or no vPEs at all, A18 says that it was not tried, and which machine it needs."""
    for profile, why in (("virt-gicv4", "VMOVP is 1"), ("virt-gicv3", "no virtual LPIs")):
        what = played("A18", "off", profile)
        assert what.verdict == "error"
        assert why in what.detail
