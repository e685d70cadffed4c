"""Presets: whole sets of knobs, as data.

The RFC is told as its patches: ``_RFC`` holds the value of each knob as its code has it, ``_SERIES_OFF`` switches everything
off again that a patch switches on, and ``_PATCHES`` says which patch does that. ``rfc-v1@N`` is the sum of the first N; many a
knob of it has no effect yet. Patches 2 and 3 add mechanism that nothing uses before patch 4, so their presets equal ``rfc-v1@1``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["PATCH_TITLES", "PRESETS", "Preset"]


class Preset(NamedTuple):
    """A named set: ``knobs`` has a value for every knob."""

    name: str
    doc: str
    knobs: MappingProxyType[str, str]


PATCH_TITLES: Final = (
    "Donate MMIO to the hypervisor",
    "Track host-unmapped MMIO regions in a static array",
    "Support host MMIO trap handlers for unmapped devices",
    "Mediate host access to GIC/ITS MMIO via unmapping",
    "Prepare shadow structures for KVM host deprivilege",
    "Add infrastructure for ITS emulation setup",
    "Restrict host access to the ITS tables",
    "Trap & emulate the ITS MAPD command",
    "Trap & emulate the ITS VMAPP command",
    "Trap & emulate the ITS MAPC command",
    "Restrict host updates to GITS_CTLR",
    "Restrict host updates to GITS_CBASER",
    "Restrict host updates to GITS_BASER",
    "Implement HVC interface for ITS emulation setup",
)

_SERIES_OFF: Final = {
    "pkvm": "absent",
    "its_mmio": "mapped",
    "takeover_call": "internal",
    "queue_shadowing": "off",
    "mapd_check": "off",
    "vmapp_check": "off",
    "mapc_check": "off",
    "table_hiding": "off",
    "ctlr_guard": "off",
    "cbaser_guard": "off",
    "baser_guard": "off",
    "driver_handover": "none",
}

_PATCHES: Final[tuple[dict[str, str], ...]] = (
    {"pkvm": "present"},
    {},
    {},
    {"its_mmio": "forwarded"},
    {"driver_handover": "locks"},
    {"its_mmio": "emulated", "queue_shadowing": "on", "driver_handover": "switch"},
    {"table_hiding": "on"},
    {"mapd_check": "on"},
    {"vmapp_check": "on"},
    {"mapc_check": "on"},
    {"ctlr_guard": "on"},
    {"cbaser_guard": "on"},
    {"baser_guard": "on"},
    {"takeover_call": "hypercall"},
)

_RFC: Final = {
    # presence
    "trap_range": "whole",
    "dt_resource": "node_index",
    "region_scan": "all_slots",
    "forward_width": "word_double",
    "host_abort": "panic",
    # takeover
    "setup_lock": "leaks",
    "setup_undo": "broken",
    "setup_values": "trusted",
    "private_state": "one_page",
    "private_page": "kept",
    "takeover_window": "dropped",
    "start_offset": "zero",
    "preswitch_devices": "unknown",
    # queue
    "submission": "batch",
    "wrap_parsing": "buggy",
    "queue_bound": ">",
    "on_refusal": "wedge",
    "cache_maintenance": "none",
    "host_fetch": "twice",
    # commands
    "virtual_commands": "forwarded",
    "other_commands": "forwarded",
    "unknown_opcodes": "forwarded",
    "reserved_bits": "kept",
    "rd_base": "unchecked",
    # itt
    "itt_alignment": "inverted",
    "itt_size": "unchecked",
    "itt_pages": "slack",
    "itt_sharing": "exclusive",
    "itt_pinning": "none",
    "itt_release": "command",
    "release_time": "checking",
    "preswitch_unmap": "allowed",
    "tracking_slots": "fixed",
    "vpt_pages": "buggy",
    "rollback": "partial",
    # tables
    "collection_l2": "host",
    "l1_index": "device_id",
    "l1_mask": "shift",
    "l1_sync": "checked_commands",
    "l1_removal": "returned",
    "new_l2": "as_is",
    # registers
    "base_writes": "forced",
    "base_mask": "buggy",
    "cbaser_reset": "pointer",
    "ctlr_bits": "host",
    "register_width": "wide",
    "access_width": "any",
    "register_view": "hardware",
    "impdef_registers": "forwarded",
    "read_only_registers": "forwarded",
    "denied_read": "unchanged",
    # redistributors
    "redistributors": "open",
    "vlpi_frame": "refused",
    # driver
    "driver_itt_alignment": "256",
    "driver_table_free": "first_page",
}

_V2: Final = {
    "dt_resource": "first",
    "region_scan": "counted",
    "forward_width": "all",
    "host_abort": "inject",
    "setup_lock": "released",
    "setup_undo": "partial",
    "setup_values": "aligned",
    "private_state": "two_pages",
    "private_page": "zeroed",
    "start_offset": "creadr",
    "submission": "one_at_a_time",
    "wrap_parsing": "correct",
    "queue_bound": ">=",
    "cache_maintenance": "flush",
    "host_fetch": "once",
    "vmapp_check": "off",
    "itt_alignment": "none",
    "itt_size": "checked",
    "itt_sharing": "refcounted",
    "itt_pinning": "pinned",
    "itt_release": "device",
    "preswitch_unmap": "error",
    "vpt_pages": "correct",
    "collection_l2": "donated",
    "l1_index": "correct",
    "l1_mask": "correct",
    "base_mask": "correct",
    "cbaser_reset": "both",
    "register_width": "exact",
    "access_width": "bounded",
    "driver_table_free": "whole",
}

_ANDROID: Final = {
    "trap_range": "control_frame",
    "virtual_commands": "refused",
    "itt_alignment": "required",
    "redistributors": "emulated",
    "driver_itt_alignment": "page",
}

_STRICT: Final = {
    "setup_undo": "full",
    "setup_values": "verified",
    "private_state": "one_page",
    "takeover_window": "quiesced",
    "start_offset": "cwriter",
    "preswitch_devices": "walked",
    "trap_range": "control_frame",
    "submission": "runs",
    "on_refusal": "skip",
    "vmapp_check": "on",
    "virtual_commands": "checked",
    "other_commands": "checked",
    "unknown_opcodes": "refused",
    "reserved_bits": "cleared",
    "rd_base": "checked",
    "itt_alignment": "256",
    "itt_pages": "exact",
    "itt_release": "recorded",
    "release_time": "completion",
    "preswitch_unmap": "allowed",
    "tracking_slots": "unbounded",
    "rollback": "full",
    "l1_sync": "every_command",
    "l1_removal": "ignored",
    "new_l2": "zeroed",
    "base_writes": "exact",
    "ctlr_bits": "enabled_only",
    "access_width": "halves",
    "register_view": "host",
    "impdef_registers": "raz_wi",
    "read_only_registers": "refused",
    "denied_read": "zero",
    "redistributors": "emulated",
    "vlpi_frame": "checked",
}


def _rfc(patches: int) -> dict[str, str]:
    """The knobs after the first ``patches`` patches of the RFC."""
    knobs = {**_SERIES_OFF, **_RFC}
    for patch in _PATCHES[:patches]:
        knobs |= patch
    return knobs


def _all() -> dict[str, Preset]:
    rfc = _rfc(len(_PATCHES))
    v2 = rfc | _V2
    sets = {
        "off": ("No pKVM: the host stays in full control, as the attacks need it.", _rfc(0)),
        "forward": ("Patches 1 to 4: the ITS is unmapped, every access traps and is forwarded.", _rfc(4)),
        "rfc-v1": ("The RFC of 10 March 2026, bug for bug.", rfc),
    }
    for n, title in enumerate(PATCH_TITLES, 1):
        sets[f"rfc-v1@{n}"] = (f"The RFC up to and including patch {n}: {title}.", _rfc(n))
    sets["v2"] = ("The series of 7 August 2026.", v2)
    sets["android-6.12"] = ("The Android backport, with redistributor emulation.", v2 | _ANDROID)
    sets["strict"] = ("This project's own, with no known hole: the default.", v2 | _STRICT)
    return {name: Preset(name, doc, MappingProxyType(knobs)) for name, (doc, knobs) in sets.items()}


PRESETS: Final[dict[str, Preset]] = _all()
