"""Hardening: a preset and the knobs that a session changes in it, resolved to one value for each knob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from itsbox.hypervisor import knob_rows_control, knob_rows_memory
from itsbox.hypervisor.knob_table import DEFECTS, GROUPS, KNOBS
from itsbox.hypervisor.presets import PRESETS

__all__ = [
    "DEFAULT_PRESET",
    "KNOBS",
    "PRESETS",
    "Hardening",
    "HardeningError",
    "hardening_catalogue",
    "markdown",
    "resolve",
]

# The rows declare themselves when their modules are imported.
_ROWS = (knob_rows_control, knob_rows_memory)

DEFAULT_PRESET = "strict"


class HardeningError(ValueError):
    """No such preset, knob or value. ``field`` is the path of the culprit: ``hardening.knobs.itt_alignment``."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Hardening:
    """What the hypervisor does.

    preset: the name it began with. knobs: a value for every knob. changed: those that differ from the preset's.
    """

    preset: str
    knobs: Mapping[str, str]

    @property
    def changed(self) -> dict[str, str]:
        """The knobs that were set beside the preset."""
        base = PRESETS[self.preset].knobs
        return {name: value for name, value in self.knobs.items() if value != base[name]}

    def as_json(self) -> dict[str, Any]:
        """The wire form: ``{"preset", "knobs"}`` with every knob."""
        return {"preset": self.preset, "knobs": dict(self.knobs)}


def resolve(preset: str = DEFAULT_PRESET, overrides: Mapping[str, str] | None = None) -> Hardening:
    """A preset with single knobs changed.

    Raises:
        HardeningError: no such preset, knob or value; the message lists what there is.
    """
    base = PRESETS.get(preset)
    if base is None:
        raise HardeningError("hardening.preset", f"no preset {preset!r}; there are {', '.join(PRESETS)}")
    knobs = dict(base.knobs)
    for name, value in (overrides or {}).items():
        known = KNOBS.get(name)
        if known is None:
            raise HardeningError(f"hardening.knobs.{name}", f"no knob {name!r}; GET /v1/hardening lists them")
        if value not in known.values:
            allowed = ", ".join(known.values)
            raise HardeningError(f"hardening.knobs.{name}", f"no value {value!r}; there are {allowed}")
        knobs[name] = value
    return Hardening(preset, MappingProxyType(knobs))


def _set_by(name: str) -> dict[str, list[str]]:
    """Which presets choose each value of a knob."""
    return {
        value: [preset.name for preset in PRESETS.values() if preset.knobs[name] == value]
        for value in KNOBS[name].values
    }


def hardening_catalogue() -> dict[str, Any]:
    """What ``GET /v1/hardening`` answers: presets, knobs with documentation, and the defects they stand for."""
    return {
        "default": DEFAULT_PRESET,
        "presets": [
            {"name": preset.name, "doc": preset.doc, "knobs": dict(preset.knobs)} for preset in PRESETS.values()
        ],
        "knobs": [
            {
                "name": knob.name,
                "group": knob.group,
                "doc": knob.doc,
                "values": [
                    {"value": value, "doc": meaning, "presets": presets}
                    for (value, meaning), presets in zip(knob.values.items(), _set_by(knob.name).values(), strict=True)
                ],
                "source": knob.source,
                "consequence": knob.consequence,
                "defects": list(knob.defects),
                "driver": knob.driver,
            }
            for knob in KNOBS.values()
        ],
        "defects": [{"number": number, "doc": doc} for number, doc in DEFECTS.items()],
    }


_COLUMNS = ("off", "forward", "rfc-v1", "v2", "android-6.12", "strict")


def markdown() -> str:
    """``docs/reference/hardening.md``: presets, knobs by group with their values, and the list of defects."""
    lines = [
        "# Hardening: presets and knobs",
        "",
        "<!-- generated from service/itsbox/hypervisor/knob_rows_*.py and presets.py -->",
        "",
        "A preset names a value for every knob; a session may change single ones:",
        "",
        "```json",
        '{"hardening": {"preset": "strict", "knobs": {"itt_alignment": "inverted"}}}',
        "```",
        "",
        "## Presets",
        "",
        "| preset | what it is |",
        "| --- | --- |",
        *(f"| `{preset.name}` | {preset.doc} |" for preset in PRESETS.values()),
        "",
        "What honest traffic meets behind `v2` and `android-6.12`, and not behind `strict`: a device that was mapped",
        "before the switch-over cannot be unmapped (`preswitch_unmap`). Besides, Android wants page-aligned interrupt",
        "translation tables (`itt_alignment`), which its own driver allocates (`driver_itt_alignment`), and lets no virtual",
        "command or register through (`virtual_commands`, `vlpi_frame`).",
        "",
    ]
    for group, title in GROUPS.items():
        lines += [f"## {title}", ""]
        for knob in KNOBS.values():
            if knob.group == group:
                lines += _knob_section(knob.name)
    lines += ["## Known defects of the RFC", "", "| # | defect | knobs |", "| --- | --- | --- |"]
    for number, doc in DEFECTS.items():
        owners = ", ".join(f"`{knob.name}`" for knob in KNOBS.values() if number in knob.defects)
        lines.append(f"| {number} | {doc} | {owners} |")
    return "\n".join(lines) + "\n"


def _knob_section(name: str) -> list[str]:
    knob = KNOBS[name]
    lines = [f"### `{name}`", "", knob.doc, "", "| value | what it does | presets |", "| --- | --- | --- |"]
    for value, meaning in knob.values.items():
        chosen = ", ".join(preset for preset in _COLUMNS if PRESETS[preset].knobs[name] == value)
        lines.append(f"| `{value}` | {meaning} | {chosen} |")
    defects = f" Defects: {', '.join(map(str, knob.defects))}." if knob.defects else ""
    return [*lines, "", f"{knob.consequence}{defects} Source: {knob.source}.", ""]
