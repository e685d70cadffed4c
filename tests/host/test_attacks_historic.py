"""Defects of other software: a driver's mistake must end no worse than an attack, and what is seeded must show."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from itsbox.host.findings import NOT_SO, SO
from itsbox.host.historic import HISTORIC
from itsbox.host.scenarios import SCENARIOS, Played, run
from itsbox.hypervisor.knob_table import KNOBS
from itsbox.machine import Machine
from itsbox.machine.config import CHOICES, QUIRKS
from tests.host.play import machine, played, rules

NAMES = [row.name for row in HISTORIC]
PRESETS = ("off", "rfc-v1", "v2", "android-6.12", "strict")
REACHES_PAST_STRICT = {
    "entry-size-wrong": {("DMA", "foreign-write")},
    "mapd-keeps-dte": {("DMA", "foreign-read"), ("H1", "hardware-writes")},
    "queue-never-wraps": {
        ("DMA", "foreign-command"), ("DMA", "host-entry"), ("DMA", "wrong-use"), ("H2", "one-snapshot"),
    },
}  # fmt: skip
"""Defects of an ITS against which no check of commands helps, with the rules that are broken."""
WEDGES_UNDER_STRICT = {
    "baser-without-type",
    "driver-assumes-vpe-table", "driver-itt-too-short", "driver-queue-never-wraps", "driver-queue-not-cleaned",
    "driver-queue-too-long",
    "driver-vsync-after-unmap", "ite-overlap", "mapi-as-mapti",
}  # fmt: skip
"""Defects that stop honest traffic, or the take-over."""
CORRUPTS_UNDER_OFF = {
    "device-id-unbounded", "entry-size-wrong", "event-id-unbounded", "queue-never-wraps", "size-unbounded",
    "table-bound-off-by-one",
}  # fmt: skip
"""Defects that reach the guest's memory where there is no hypervisor and nobody but the ITS bounds anything."""
CAUGHT_BY_STRICT = {
    "device-id-unbounded": "device_id_range",
    "event-id-unbounded": "event_id_range",
    "size-unbounded": "event_bits_range",
    "table-bound-off-by-one": "device_id_range",
    "intid-unbounded": "intid_range",
    "rd-base-off-by-one": "rd_base_unknown",
    "missing-itt-accepted": "itt_not_host_owned",
    "stale-tables": "baser_changed",
    "stale-parameters": "baser_changed",
    "stale-command": "cbaser_changed",
    "driver-queue-too-long": "not_taken_over",
}
"""Defects that cannot show behind ``strict``, which checks for itself, and the refusal."""


@cache
def seen(name: str, preset: str) -> Played:
    """A scenario under a preset, played once for this file."""
    return played(name, preset)


def right(fields: Mapping[str, Any]) -> Machine:
    """The machine that a scenario asks for, without its defect."""
    return machine({**fields, "quirks": {}})


def judged(what: Played) -> list[str]:
    """What the program found."""
    return [step.result for step in what.steps if step.text.startswith("Right is: ")]


def test_a_queue_one_page_too_long_runs_the_neighbours_memory() -> None:
    """Under ``off`` the ITS takes the guest's first page for commands; behind ``strict`` the size stays what it was."""
    assert rules(played("zephyr-queue-size", "off")) == {("DMA", "foreign-command")}
    assert "cbaser_changed" in played("zephyr-queue-size", "strict").refusals


@pytest.mark.parametrize("preset", ["rfc-v1", "v2"])
def test_a_table_across_a_page_border_is_held_by_half(preset: str) -> None:
    """The series counts pages from the table's bytes and forgets where in its page the table begins."""
    assert ("H6", "range-recorded") in rules(played("zephyr-itt-size", preset))


def test_strict_counts_the_pages_that_are_touched() -> None:
    """``strict`` sees the guest's page at the end of the table."""
    assert "itt_not_host_owned" in played("zephyr-itt-size", "strict").refusals


def test_every_defect_that_can_be_seeded_has_its_scenario() -> None:
    """One each, in the registry under its own name, and seeded by its own quirk."""
    assert sorted(row.quirk for row in HISTORIC) == sorted(QUIRKS.keys() - CHOICES.keys())
    assert [name for name, scenario in SCENARIOS.items() if scenario.kind == "historic"] == NAMES
    for row in HISTORIC:
        assert SCENARIOS[row.name].session()["quirks"] == {row.quirk: True}


@pytest.mark.parametrize("name", NAMES)
def test_a_seeded_defect_shows(name: str) -> None:
    """Where nothing stands between host and hardware, the program finds that what is right is not so."""
    assert judged(seen(name, "off")) == [NOT_SO]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["off", "strict"])
def test_a_right_machine_does_what_is_right(name: str, preset: str) -> None:
    """The same program without the defect: what is right is so, nothing is violated and honest traffic passes."""
    what = run(name, preset, right)

    assert set(judged(what)) <= {SO}
    assert (what.verdict, what.violations) == ("isolated", ())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_program_plays_under_every_preset(name: str, preset: str) -> None:
    """With a verdict, each step explained."""
    what = seen(name, preset)

    assert what.verdict in ("isolated", "violated", "wedged")
    assert all(step.text and step.result for step in what.steps)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_defect_breaks_without_a_hypervisor(name: str) -> None:
    """The guest's memory, for those defects whose lost check was the only one."""
    assert (seen(name, "off").verdict == "violated") == (name in CORRUPTS_UNDER_OFF)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_defect_breaks_behind_strict(name: str) -> None:
    """Isolation, only where the ITS does not do what a checked command says; traffic, where it or the driver cannot work."""
    what = seen(name, "strict")

    assert rules(what) == REACHES_PAST_STRICT.get(name, set())
    assert (what.verdict == "wedged") == (name in WEDGES_UNDER_STRICT)


@pytest.mark.parametrize("name, reason", CAUGHT_BY_STRICT.items())
def test_strict_does_not_rely_on_the_hardwares_checks(name: str, reason: str) -> None:
    """What a careless ITS would let pass the hypervisor refuses itself."""
    what = seen(name, "strict")

    assert reason in what.refusals
    assert what.violations == ()


def test_a_queue_longer_than_the_drivers_is_believed_by_the_series() -> None:
    """v2 and Android leave GITS_CBASER.Size as the driver had it: behind its copy of the queue the ITS runs other memory."""
    for preset in ("v2", "android-6.12"):
        assert ("DMA", "foreign-write") in rules(seen("driver-queue-too-long", preset))


def _rows() -> list[list[str]]:
    """The cells of every row of the list: who, what, here, quirk, scenario."""
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "historic-defects.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    return [row for row in rows if row[0] not in ("who, when", "---")]


def test_the_list_names_every_defect_with_its_scenario() -> None:
    """docs/explanation/historic-defects.md: what is declared is there, what is there is declared, side by side."""
    named = {(quirk.strip("`"), scenario.strip("`")) for *_, quirk, scenario in _rows() if quirk}

    assert named == {(row.quirk, row.name) for row in HISTORIC}


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[1])
def test_a_row_without_a_quirk_says_why(row: list[str]) -> None:
    """Each row of the list is answered: it can be and is seeded, it can be and is not, or it cannot be."""
    _who, what, here, quirk, scenario = row

    assert what
    assert bool(quirk) == bool(scenario)
    assert quirk or here.startswith(("no: ", "can exist", "yes, and it is the default"))
    assert all(name in SCENARIOS for name in re.findall(r"scenario `([\w-]+)`", here))
    assert all(name in KNOBS for name in re.findall(r"knob `(\w+)`", here))
