"""One knob at a time: behind ``strict`` with a single weak value, the scenario of that weakness shows it.

So that a defect which the RFC hides behind another one is seen alone, and so that ``strict`` is safe because of its knobs.
"""

from __future__ import annotations

import pytest

from tests.host.play import played, rules

CASES = [
    # scenario, the knobs that are weak, verdict, a rule that must be among the broken ones (oracle, name)
    ("inverted-alignment", {"itt_alignment": "inverted"}, "wedged", None),
    ("level-1-index", {"l1_index": "device_id"}, "wedged", None),
    ("level-1-index", {"l1_mask": "shift"}, "wedged", None),
    ("base-mask", {"base_mask": "buggy", "base_writes": "forced"}, "violated", ("H4", "registers-kept")),
    ("A7", {"base_mask": "buggy", "base_writes": "forced"}, "violated", ("H4", "registers-kept")),
    ("queue-bound", {"queue_bound": ">"}, "wedged", None),
    ("wrap-parsing", {"submission": "batch", "wrap_parsing": "buggy"}, "violated", ("DMA", "foreign-write")),
    ("vpt-pages", {"virtual_commands": "forwarded", "vpt_pages": "buggy"}, "wedged", None),
    ("foreign-release", {"itt_release": "command"}, "violated", ("DMA", "foreign-write")),
    ("shared-itt-page", {"itt_sharing": "exclusive"}, "wedged", None),
    ("batch-before-check", {"submission": "batch", "on_refusal": "wedge"}, "violated", ("H9", "nothing-left")),
    ("leaked-lock", {"setup_lock": "leaks"}, "wedged", None),
    ("half-registers", {"access_width": "any"}, "wedged", None),
    ("half-registers", {"access_width": "bounded"}, "wedged", None),
    ("A6", {"virtual_commands": "forwarded", "vmapp_check": "off"}, "violated", ("DMA", "foreign-write")),
    ("tracking-full", {"tracking_slots": "fixed"}, "wedged", None),
    ("no-cache-maintenance", {"cache_maintenance": "none"}, "violated", ("H2", "one-snapshot")),
    ("double-fetch", {"host_fetch": "twice"}, "violated", ("H2", "one-snapshot")),
    ("double-fetch", {"host_fetch": "slot_twice"}, "violated", ("H1", "hardware-writes")),
    ("double-fetch", {"host_fetch": "slot_twice", "submission": "one_at_a_time"}, "violated", ("H1", "hardware-writes")),
    ("double-fetch", {"host_fetch": "slot_twice", "submission": "batch"}, "violated", ("H1", "hardware-writes")),
    ("A13", {"host_fetch": "slot_twice"}, "violated", ("H1", "hardware-writes")),
    ("toctou", {"host_fetch": "twice"}, "violated", ("H2", "one-snapshot")),
    ("toctou", {"host_fetch": "slot_twice"}, "violated", ("H1", "hardware-writes")),
    ("A11", {"rd_base": "unchecked"}, "violated", ("DMA", "message")),
    ("collection-level-2", {"collection_l2": "host"}, "violated", ("DMA", "message")),
    ("virtual-unchecked", {"virtual_commands": "forwarded", "vmapp_check": "off"}, "violated", ("DMA", "foreign-write")),
    ("A18", {"virtual_commands": "forwarded"}, "wedged", None),
    ("setup-unwinding", {"setup_undo": "broken"}, "wedged", None),
    ("own-tables", {"mapd_check": "off"}, "violated", ("H14", "one-use")),
    ("unshared-itt", {"itt_pinning": "none"}, "violated", ("H1", "hardware-writes")),
    ("preswitch-itt", {"preswitch_devices": "unknown"}, "violated", ("H1", "hardware-writes")),
    ("zephyr-itt-size", {"itt_pages": "slack"}, "violated", ("H6", "range-recorded")),
    ("A8", {"redistributors": "open"}, "violated", ("H11", "lpi-tables")),
    ("A9", {"redistributors": "open"}, "violated", ("DMA", "foreign-read")),
    ("A10", {"redistributors": "open"}, "violated", ("DMA", "foreign-write")),
    ("resident-vpt", {"redistributors": "open"}, "violated", ("DMA", "foreign-read")),
    ("A4", {"mapd_check": "off"}, "violated", ("H1", "hardware-writes")),
    ("A5", {"mapd_check": "off"}, "violated", ("DMA", "foreign-write")),
    ("A3", {"table_hiding": "off"}, "violated", ("H16", "translation-ends")),
    ("A1", {"baser_guard": "off"}, "violated", ("DMA", "foreign-write")),
    ("A7", {"cbaser_guard": "off"}, "violated", ("DMA", "foreign-command")),
    ("A16", {"baser_guard": "off", "ctlr_guard": "off"}, "violated", ("H15", "half-writes")),
]  # fmt: skip


@pytest.mark.parametrize("name, knobs, verdict, rule", CASES, ids=str)
def test_a_weak_knob_shows(name: str, knobs: dict[str, str], verdict: str, rule: tuple[str, str] | None) -> None:
    """``strict`` but for this knob: the scenario is no longer isolated, and says why."""
    what = played(name, {"preset": "strict", "knobs": knobs})

    assert what.verdict == verdict
    assert rule is None or rule in rules(what)
