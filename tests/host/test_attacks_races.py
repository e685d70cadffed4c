"""Races between check and use, before every read of host memory."""

from __future__ import annotations

import pytest

from itsbox.host.scenarios import SCENARIOS, play
from tests.host.play import machine, played, rules

TWICE = {"preset": "strict", "knobs": {"host_fetch": "twice"}}
SLOT_TWICE = {"preset": "strict", "knobs": {"host_fetch": "slot_twice"}}


@pytest.mark.parametrize("name", ["A13", "toctou", "double-fetch"])
def test_strict_loses_no_race(name: str) -> None:
    """Whatever another CPU stores, and whenever: what the hypervisor used is what it checked."""
    what = played(name, "strict")

    assert (what.verdict, what.violations) == ("isolated", ())
    assert "Tried before each of" in what.detail


def test_every_read_has_its_turn() -> None:
    """The race is played for each read of host memory that the switch-over, commands, level 1 and the restart bring."""
    scenario = SCENARIOS["toctou"]
    turns = []
    for turn in range(100):
        _, host = play(scenario, machine(scenario.session("strict")), "strict", turn)
        turns.append(host.reads)
        if host.reads < turn:
            break

    assert len(turns) > 8
    assert turns[-1] == len(turns) - 2


@pytest.mark.parametrize("hardening, rule", [(TWICE, ("H2", "one-snapshot")), (SLOT_TWICE, ("H1", "hardware-writes"))])
def test_a_word_that_is_read_twice_is_lost(hardening: dict[str, object], rule: tuple[str, str]) -> None:
    """One knob makes ``strict`` read a level-1 entry, or a slot, once to check it and once to use it."""
    what = played("double-fetch", hardening)

    assert what.verdict == "violated"
    assert rule in rules(what)
    assert what.detail.startswith("Won by a store before read 1 ")


def test_the_rfc_reads_no_slot_twice() -> None:
    """Commands are checked in the copy that runs; only level-1 entries are read again, behind two defects that hide it."""
    for preset in ("rfc-v1@7", "v2", "android-6.12", "strict"):
        assert played("double-fetch", preset).detail.endswith("Tried before each of 0 reads of host memory.")


def test_the_three_are_three_programs() -> None:
    """Each name stands for a race of its own."""
    assert len({SCENARIOS[name].program for name in ("A13", "toctou", "double-fetch")}) == 3


def test_where_nobody_checks_nobody_is_raced() -> None:
    """Under ``off`` the hostile command lands as it is."""
    for name in ("A13", "toctou", "double-fetch"):
        assert ("DMA", "foreign-write") in rules(played(name, "off"))
