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


@pytest.mark.parametrize("name", ["A6", "forged-vte", "virtual-unchecked"])
@pytest.mark.parametrize("profile", ["virt-gicv4", "virt-gicv4.1"])
def test_strict_and_android_stop_them(name: str, profile: str) -> None:
    """``strict`` by checking each virtual command, Android by refusing all of them, on both versions of GICv4."""
    for preset in ("strict", "android-6.12"):
        assert played(name, preset, profile).verdict == "isolated"


def test_v2_is_open_again() -> None:
    """The VMAPP patch was dropped in v2, and virtual commands pass: the one-bit write works."""
    assert played("A6", "v2").verdict == "violated"
