"""Scenarios: the registry, what playing answers, and what the matrix must show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from itsbox.host.scenarios import (
    KINDS,
    SCENARIOS,
    VERDICTS,
    Played,
    UnknownScenarioError,
    matrix,
)
from itsbox.host.scenarios_matrix import COLUMNS, NOTES, contradictions, markdown, play_all, svg, verdicts
from itsbox.hypervisor.knob_table import DEFECTS
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine import ConfigError
from itsbox.ops import Drive
from tests.host.play import machine, played

DOCS = Path(__file__).parents[2] / "docs"
HARMLESS_WITHOUT_PTA = {"A11", "collection-level-2"}
"""Attacks on addresses in RDbase: no machine here has GITS_TYPER.PTA = 1."""
NEEDS_A_HYPERVISOR = {"own-tables"}
"""Attacks on memory that only a hypervisor takes for the ITS."""
TURNS_AT = {"A2": 7, "A3": 7, "A4": 8, "A5": 8, "A6": 9, "A16": 13, "forged-dte": 7, "forged-vte": 7, "own-tables": 8}
"""Attacks that the RFC stops at the patch that claims it."""


@pytest.fixture(scope="module")
def cells() -> dict[str, dict[str, Played]]:
    """Everything under everything, played once for this file."""
    return play_all(machine)


# ---------------------------------------------------------------- the registry


def test_every_attack_and_every_defect_has_a_scenario() -> None:
    """A1 to A18, the boot, the hang, both attacks of the mail, the race, and each known defect of the RFC are there."""
    assert {f"A{n}" for n in range(1, 19)} <= SCENARIOS.keys()
    assert {"linux-boot", "hang", "forged-dte", "forged-vte", "toctou"} <= SCENARIOS.keys()
    assert {scenario.defect for scenario in SCENARIOS.values()} - {None} == DEFECTS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_explains_itself(name: str) -> None:
    """Each has a title, a story and a source, a known kind, and fields that make a machine."""
    scenario = SCENARIOS[name]
    shown = scenario.catalogue()

    assert shown["name"] == name
    assert scenario.title
    assert scenario.story.endswith(".")
    assert scenario.source
    assert scenario.kind in KINDS
    assert json.loads(json.dumps(shown)) == shown


def test_playing_answers_a_verdict_with_its_steps() -> None:
    """The wire form has name, hardening, verdict, refusals, violations, and each step with its explanation."""
    shown = json.loads(json.dumps(played("A3", "off").wire()))

    assert (shown["name"], shown["hardening"], shown["verdict"]) == ("A3", "off", "violated")
    assert shown["verdict"] in VERDICTS
    assert shown["refusals"] == []
    assert {violation["oracle"] for violation in shown["violations"]} == {"DMA"}
    assert all(step["text"] and step["op"] and step["result"] for step in shown["steps"])


def test_the_steps_are_a_journal() -> None:
    """The ops of the steps alone, on a fresh machine, bring about the same violations."""
    first = played("A4", "off")
    again = machine(SCENARIOS["A4"].session("off"))
    for step in first.steps:
        if step.op is not None:
            again.apply(step.op)

    assert [violation.bucket for violation in again.violations] == [violation.bucket for violation in first.violations]


def test_a_hardening_with_knobs_is_named_by_its_preset() -> None:
    """Knobs may be changed for a run; the answer names the preset."""
    what = played("A4", {"preset": "strict", "knobs": {"mapd_check": "off"}})

    assert (what.hardening, what.verdict) == ("strict", "violated")


def test_another_profile_may_be_asked_for() -> None:
    """The same program runs on another machine."""
    assert played("A4", "strict", "virt-gicv4").verdict == "isolated"


def test_unknown_names_and_bad_configurations_are_the_callers() -> None:
    """A scenario that does not exist, and a preset that does not, raise what names them."""
    with pytest.raises(UnknownScenarioError):
        played("A99", "strict")
    with pytest.raises(ConfigError, match="hardening"):
        played("A1", "none-such")


def test_a_small_matrix() -> None:
    """``matrix`` plays what it is asked for and nothing else."""
    found = matrix(["A4", "hang"], ["off", "strict"], machine)

    assert {name: {preset: cell.verdict for preset, cell in row.items()} for name, row in found.items()} == {
        "A4": {"off": "violated", "strict": "isolated"},
        "hang": {"off": "isolated", "strict": "isolated"},
    }


# ---------------------------------------------------------------- what the matrix must show


def test_under_off_every_memory_attack_lands(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Without a hypervisor each attack on memory is violated; that is what makes the other columns mean something."""
    attacks = {name for name, scenario in SCENARIOS.items() if scenario.kind == "attack"}
    landed = {name for name in attacks if cells[name]["off"].verdict == "violated"}

    assert attacks - landed == HARMLESS_WITHOUT_PTA | NEEDS_A_HYPERVISOR


def test_under_strict_everything_is_isolated(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Behind ``strict`` no scenario on right hardware violates isolation, and none of them stops honest traffic."""
    right = {name: row["strict"].verdict for name, row in cells.items() if SCENARIOS[name].kind != "historic"}
    assert {name: verdict for name, verdict in right.items() if verdict != "isolated"} == {}


def test_under_strict_nothing_honest_is_refused(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """An honest kernel's life, the mail's boot, suspend and resume: no refusal at all."""
    for name in ("linux-boot", "hang", "inverted-alignment", "level-1-index", "level-1-mask", "base-mask", "vpt-pages"):
        assert cells[name]["strict"].refusals == (), name


@pytest.mark.parametrize("name, patch", TURNS_AT.items())
def test_an_attack_turns_at_its_patch(name: str, patch: int, cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Violated before the patch that claims to stop it, isolated from it on, to the end of the RFC."""
    assert SCENARIOS[name].claimed == patch
    for preset in COLUMNS[2 : COLUMNS.index("v2")]:
        number = 14 if preset == "rfc-v1" else int(preset.removeprefix("rfc-v1@"))
        expected = "violated" if number < patch else "isolated"
        assert cells[name][preset].verdict == expected, preset


def test_contradictions_are_documented_and_nothing_else_is(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Each scenario that the RFC does not stop where it claims to has its reason written down, and no other."""
    assert {scenario.name for scenario in contradictions(verdicts(cells))} == NOTES.keys()


def test_the_defects_show_under_the_rfc(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Each known defect is violated or wedged under ``rfc-v1``, save those that the notes explain."""
    hidden = {
        scenario.defect
        for scenario in SCENARIOS.values()
        if scenario.defect and cells[scenario.name]["rfc-v1"].verdict == "isolated"
    }

    assert hidden == {10, 14, 15, 20, 21, 22}


def test_the_hang_prints_the_mails_log() -> None:
    """On the machine of the mail the RFC's driver prints the mail's lines, and the queue stays where it was."""
    box = machine({"profile": "snapdragon", "hardening": "rfc-v1", "start": "deprivileged"})
    outcome = box.apply(Drive("map_device", {"device_id": 0x10, "events": 3}))
    lines = [line for line in outcome.log if line.startswith("ITS")]  # type: ignore[union-attr]

    assert lines == [
        line
        for target, command in ((1056, "mapd"), (1120, "mapti"), (1184, "mapti"), (1248, "mapti"))
        for line in (f"ITS queue timeout ({target} 1024)", f"ITS cmd its_build_{command}_cmd failed")
    ]


def test_the_page_and_the_picture_are_up_to_date(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """docs/matrix.md and docs/matrix.svg are what the generator draws now."""
    now = verdicts(cells)

    assert markdown(now) == (DOCS / "matrix.md").read_text()
    assert svg(now) == (DOCS / "matrix.svg").read_text()


def test_every_column_is_a_preset() -> None:
    """The matrix shows presets that exist, ``off`` first and ``strict`` last."""
    assert set(COLUMNS) <= PRESETS.keys()
    assert (COLUMNS[0], COLUMNS[-1]) == ("off", "strict")
