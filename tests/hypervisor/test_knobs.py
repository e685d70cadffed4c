"""Knobs and presets: complete, consistent, documented; every one of them is shown by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from itsbox.hypervisor.knob_table import DEFECTS, GROUPS, KNOBS
from itsbox.hypervisor.knobs import PRESETS, HardeningError, hardening_catalogue, markdown, resolve
from itsbox.hypervisor.presets import PATCH_TITLES
from itsbox.reasons import Reason
from itsbox.reasons import markdown as reasons_markdown

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "reference"


def sources() -> str:
    """The text of every test of the core."""
    tests = HERE.parent
    return "".join(
        path.read_text()
        for folder in ("hypervisor", "memory", "host", "machine")
        for path in (tests / folder).glob("*.py")
    )


def test_every_preset_has_a_value_for_every_knob() -> None:
    """And no other."""
    for preset in PRESETS.values():
        assert set(preset.knobs) == set(KNOBS), preset.name
        for name, value in preset.knobs.items():
            assert value in KNOBS[name].values, (preset.name, name)


def test_the_presets_of_the_design() -> None:
    """off, forward, rfc-v1 and its 14 patches, v2, android-6.12, strict."""
    patches = [f"rfc-v1@{n}" for n in range(1, 15)]

    assert set(PRESETS) == {"off", "forward", "rfc-v1", *patches, "v2", "android-6.12", "strict"}
    assert len(PATCH_TITLES) == 14
    assert PRESETS["rfc-v1@14"].knobs == PRESETS["rfc-v1"].knobs
    assert PRESETS["rfc-v1@4"].knobs == PRESETS["forward"].knobs


def test_every_value_is_chosen_by_a_preset_or_a_named_variant() -> None:
    """A value that no preset takes is a way to build a fault on purpose; these are all there are."""
    unused = {
        (knob.name, value)
        for knob in KNOBS.values()
        for value in knob.values
        if all(preset.knobs[knob.name] != value for preset in PRESETS.values())
    }

    assert unused == {("cache_maintenance", "dsb"), ("host_fetch", "slot_twice")}


def test_single_knobs_are_changed() -> None:
    """The rest stays the preset's."""
    hardening = resolve("strict", {"itt_alignment": "inverted"})

    assert hardening.changed == {"itt_alignment": "inverted"}
    assert hardening.as_json()["knobs"]["on_refusal"] == "skip"
    assert resolve().preset == "strict"


@pytest.mark.parametrize(
    "preset, knobs, field",
    [
        ("lenient", {}, "hardening.preset"),
        ("strict", {"itt_aligned": "no"}, "hardening.knobs.itt_aligned"),
        ("strict", {"itt_alignment": "odd"}, "hardening.knobs.itt_alignment"),
    ],
)
def test_what_does_not_exist_is_named(preset: str, knobs: dict[str, str], field: str) -> None:
    """The error has the path of the culprit and the message what there is."""
    with pytest.raises(HardeningError) as error:
        resolve(preset, knobs)

    assert error.value.field == field
    assert isinstance(error.value, ValueError)


def test_each_knob_is_documented() -> None:
    """Group, sentence, source, consequence, and a meaning for each value."""
    for knob in KNOBS.values():
        assert knob.group in GROUPS
        assert all((knob.doc, knob.source, knob.consequence, *knob.values.values())), knob.name
        assert len(knob.values) >= 2, knob.name


def test_each_defect_is_a_knob() -> None:
    """1 to 22, each the value of some knob that rfc-v1 chooses and strict does not."""
    assert set(DEFECTS) == set(range(1, 23))
    for number in DEFECTS:
        owners = [knob.name for knob in KNOBS.values() if number in knob.defects]
        assert owners, number
        for name in owners:
            assert PRESETS["rfc-v1"].knobs[name] != PRESETS["strict"].knobs[name]


def test_each_knob_and_each_defect_is_shown_by_a_test() -> None:
    """``@shows("knob", 1, 2)`` stands above a test for every knob and every defect."""
    marks = re.findall(r'^@shows\("(\w+)"((?:, \d+)*)\)$', sources(), re.MULTILINE)
    numbers = {int(number) for _, rest in marks for number in re.findall(r"\d+", rest)}

    assert {name for name, _ in marks} == set(KNOBS)
    assert numbers == set(DEFECTS)


def test_each_reason_is_met_by_a_test() -> None:
    """By its name or by its word."""
    text = sources()

    missing = [r.name for r in Reason if f"Reason.{r.name}" not in text and f'"{r.value}"' not in text]
    assert missing == []


def test_each_reason_says_why() -> None:
    """A sentence, a citation, and an errno that the kernel has."""
    for reason in Reason:
        assert reason.sentence.endswith(".")
        assert reason.citation
        assert reason.value == reason.name.lower()


def test_the_catalogue_is_what_there_is() -> None:
    """GET /v1/hardening: presets, knobs with values and who sets them, defects."""
    catalogue = hardening_catalogue()

    assert catalogue["default"] == "strict"
    assert [preset["name"] for preset in catalogue["presets"]] == list(PRESETS)
    (alignment,) = (knob for knob in catalogue["knobs"] if knob["name"] == "itt_alignment")
    assert {row["value"]: row["presets"] for row in alignment["values"]}["required"] == ["android-6.12"]


@pytest.mark.parametrize("page, text", [("hardening.md", markdown()), ("reasons.md", reasons_markdown())])
def test_the_reference_pages_are_up_to_date(page: str, text: str) -> None:
    """Generated, committed, equal."""
    assert (DOCS / page).read_text() == text
