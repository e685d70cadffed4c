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
TURNS_AT = {"A2": 7, "A3": 7, "A4": 8, "A5": 8, "A6": 9, "A16": 13, "forged-dte": 7, "forged-vte": 7, "own-tables": 8}
"""Attacks that are violated until the patch that claims to stop them, and not any more from it on."""
STOPPED = {"A4", "A5", "A6", "own-tables"}
"""Those of them that end isolated; the others end with the machine, as the notes say."""
HIDDEN = {15: "virtual-unchecked", 21: "impdef-forwarded", 22: "level-2-unchecked"}
"""Defects that have no effect in the RFC, by scenario; each has a note that says why."""


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


@pytest.mark.parametrize("knobs, named", [
    ({"mapd_check": "off"}, {"preset": "strict", "knobs": {"mapd_check": "off"}}),
    ({"mapd_check": "on"}, "strict"), ({}, "strict"),
])  # fmt: skip
def test_a_hardening_is_named_with_what_was_changed_in_it(knobs: dict[str, str], named: object) -> None:
    """The answer names the preset, and the knobs that differ from it, so that a weak knob is not laid at the preset's door."""
    what = played("A4", {"preset": "strict", "knobs": knobs})

    assert what.wire()["hardening"] == named
    assert what.verdict == ("violated" if isinstance(named, dict) else "isolated")


def test_a_violations_step_is_one_of_the_steps() -> None:
    """Each step has the machine's step number, and a violation names one of those."""
    shown = played("A3", "off").wire()
    numbers = [step["step"] for step in shown["steps"]]

    assert numbers == sorted(numbers)
    for violation in shown["violations"]:
        assert any(step["step"] == violation["step"] and step["op"] != "look" for step in shown["steps"])


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

    assert attacks == landed


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
    """Violated before the patch that claims to stop it, and not from it on, to the end of the RFC."""
    assert SCENARIOS[name].claimed == patch
    after = set()
    for preset in COLUMNS[2 : COLUMNS.index("v2")]:
        number = 14 if preset == "rfc-v1" else int(preset.removeprefix("rfc-v1@"))
        if number < patch:
            assert cells[name][preset].verdict == "violated", preset
        else:
            after.add(cells[name][preset].verdict)
    assert after <= ({"isolated"} if name in STOPPED else {"isolated", "wedged"})


def test_nothing_is_called_isolated_that_was_not_tried(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Where the hypervisor panicked the verdict is wedged or violated; and each scenario's own machine can express it."""
    for name, row in cells.items():
        for preset, what in row.items():
            assert what.verdict != "error", (name, preset, what.detail)
            if {"el2_fault", "el2_hang"} & {*what.refusals} or any(
                step.result.startswith("panic") for step in what.steps
            ):
                assert what.verdict in ("wedged", "violated"), (name, preset)


def test_contradictions_are_documented_and_nothing_else_is(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Each scenario that the RFC does not stop where it claims to has its reason written down, and no other."""
    assert {scenario.name for scenario in contradictions(verdicts(cells))} == NOTES.keys()


def test_the_defects_show_under_the_rfc(cells: Mapping[str, Mapping[str, Played]]) -> None:
    """Each known defect is violated or wedged under ``rfc-v1``, save those that the notes explain."""
    hidden = {
        scenario.defect: scenario.name
        for scenario in SCENARIOS.values()
        if scenario.defect and cells[scenario.name]["rfc-v1"].verdict == "isolated"
    }

    assert hidden == HIDDEN
    notes = markdown(verdicts(cells)).partition("## What else to know")[2].partition("## The scenarios")[0]
    assert all(f"* {name}: Defect {number}" in notes for number, name in HIDDEN.items())


def test_each_defect_has_a_program_of_its_own() -> None:
    """No two defects, and no defect and attack, are one program under two names."""
    programs = [scenario.program for scenario in SCENARIOS.values() if scenario.defect and scenario.name != "hang"]
    attacks = {scenario.program for scenario in SCENARIOS.values() if not scenario.defect}

    assert len(programs) == len({*programs}) == len(DEFECTS)
    assert not attacks & {*programs}


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
