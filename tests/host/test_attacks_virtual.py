"""Attacks through virtual LPIs: the mail's one-bit write."""

from __future__ import annotations

import pytest

from itsbox.host import attacks_virtual
from itsbox.host.attacks import HostileHost
from tests.host.play import machine, played


def test_a_forged_vpe_entry_sets_exactly_one_bit() -> None:
    """Under ``off`` raising one virtual interrupt changes one bit of the hypervisor's memory, and nothing else."""
    box = machine({"hardening": "off", "start": "host", "profile": "virt-gicv4"})
    where = box.map
    before = box.physical(where.hyp, where.hyp_bytes)
    attacks_virtual.forged_vte(HostileHost(box))
    after = box.physical(where.hyp, where.hyp_bytes)
    changed = [(at, old ^ new) for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]

    assert len(changed) == 1
    assert changed[0][1].bit_count() == 1


@pytest.mark.parametrize("name", ["A6", "forged-vte"])
@pytest.mark.parametrize("profile", ["virt-gicv4", "virt-gicv4.1"])
def test_strict_and_android_stop_them(name: str, profile: str) -> None:
    """``strict`` by checking each virtual command, Android by refusing all of them, on both versions of GICv4."""
    for preset in ("strict", "android-6.12"):
        assert played(name, preset, profile).verdict == "isolated"


def test_v2_is_open_again() -> None:
    """The VMAPP patch was dropped in v2, and virtual commands pass: the one-bit write works."""
    assert played("A6", "v2").verdict == "violated"


@pytest.mark.parametrize("preset, verdict", [
    ("off", "violated"), ("rfc-v1", "isolated"), ("v2", "violated"), ("android-6.12", "isolated"), ("strict", "isolated"),
])  # fmt: skip
def test_virtual_commands_that_nobody_looks_at(preset: str, verdict: str) -> None:
    """The RFC refuses every VMAPP, which hides that it forwards the rest; v2 forwards VMAPP as well."""
    assert played("virtual-unchecked", preset).verdict == verdict


def test_a_vmovp_that_nobody_looks_at_waits_for_ever() -> None:
    """Where each ITS must be told, ``strict`` without its checks of virtual commands forwards a VMOVP for absent ITSs."""
    weak = {"preset": "strict", "knobs": {"virtual_commands": "forwarded"}}

    assert played("virtual-unchecked", weak, "virt-gicv4-dual-its").verdict == "wedged"
    assert played("virtual-unchecked", "strict", "virt-gicv4-dual-its").verdict == "isolated"


def test_without_virtual_lpis_nothing_is_tried() -> None:
    """On a GICv3 these say so."""
    for name in ("A6", "forged-vte", "virtual-unchecked", "vpt-pages"):
        assert played(name, "off", "virt-gicv3").verdict == "error"
