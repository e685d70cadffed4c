from __future__ import annotations

from itsbox.events import EVENT_TYPES
from itsbox.hardware.profile import PROFILES
from itsbox.hypervisor.presets import PRESETS
from itsbox.machine.config import CHOICES, QUIRKS
from itsbox.reasons import Reason
from tests.api.conftest import Service


def test_the_declarations_are_answered(service: Service) -> None:
    """Registers, commands, reasons and events, all of them; a reason's code is its place from 1."""
    arch = service.get("/v1/arch")

    assert {"registers", "commands", "reasons", "events"} <= set(arch)
    assert {"GITS_CTLR", "GICR_CTLR"} <= {row["name"] for row in arch["registers"]}
    assert len({row["name"] for row in arch["commands"]}) >= 21
    assert [row["reason"] for row in arch["reasons"]] == [reason.value for reason in Reason]
    assert [row["code"] for row in arch["reasons"]] == list(range(1, len(Reason) + 1))
    assert [row["type"] for row in arch["events"]] == list(EVENT_TYPES)


def test_presets_and_profiles_are_answered(service: Service) -> None:
    """Every name that a session may ask for."""
    hardening = service.get("/v1/hardening")

    assert [row["name"] for row in hardening["presets"]] == list(PRESETS)
    assert all(knob["doc"] and knob["values"] for knob in hardening["knobs"])
    profiles = service.get("/v1/profiles")["profiles"]
    assert [row["name"] for row in profiles] == list(PROFILES)
    assert profiles[0]["its_typer"].startswith("0x")


def test_the_defects_that_can_be_seeded_are_answered(service: Service) -> None:
    """Each is a quirk that a session may set, with what it does wrongly and who had it."""
    defects = service.get("/v1/profiles")["defects"]

    assert {row["quirk"] for row in defects} == QUIRKS.keys() - CHOICES.keys()
    assert all(row["of"] in ("its", "driver") and row["origin"] and row["doc"].endswith(".") for row in defects)


def test_the_caps_are_answered(service: Service) -> None:
    """As the settings have them."""
    assert service.get("/v1/limits") == service.server.settings.limits.as_json()
