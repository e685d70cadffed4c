"""What a client may ask for, and what it is told when it may not."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.hardware.profile import PROFILES
from itsbox.machine import ConfigError, MachineConfig


def test_defaults_are_the_profiles_and_strict() -> None:
    """Without fields there is a virt-gicv3 with the profile's CPUs and RAM, hardened strictly."""
    config = MachineConfig.make()

    assert (
        config.profile.name,
        config.cpus,
        config.ram_mib,
        config.hardening.preset,
    ) == ("virt-gicv3", 4, 256, "strict")
    assert MachineConfig.make(profile="snapdragon").cpus == 8


@pytest.mark.parametrize(
    "field, value",
    [
        ("profile", "toaster"),
        ("cpus", 0),
        ("cpus", 65),
        ("ram_mib", 63),
        ("ram_mib", 4097),
        ("start", "warm"),
        ("error_policy", "panic"),
        ("oracle", "maybe"),
        ("hardening", "soft"),
        ("hardening", {"preset": "strict", "colour": "red"}),
        ("hardening", {"knobs": {"nonsense": "x"}}),
        ("quirks", {"nonsense": 1}),
        ("quirks", {"coherent": 1}),
        ("quirks", {"queue_fault": "explode"}),
        ("quirks", {"mapd_keeps_dte": "true"}),
        ("quirks", {"driver_ite_mask": 1}),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    """What cannot be is refused with the field's name."""
    with pytest.raises(ConfigError) as caught:
        MachineConfig.make(**{field: value})

    assert caught.value.field.startswith(field)


def test_a_quirk_overrides_its_profile() -> None:
    """Quirks change the one field of the profile and are part of the machine's identity."""
    plain, odd = MachineConfig.make(), MachineConfig.make(quirks={"coherent": False})

    assert (plain.profile.coherent, odd.profile.coherent) == (True, False)
    assert plain.identity() != odd.identity()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("ram_mib", [64, 4096])
def test_the_carve_outs_lie_at_the_end_of_ram(profile: str, ram_mib: int) -> None:
    """map.hyp is the last MiB of RAM and map.guest the one below, both 64 KiB aligned."""
    where = MachineConfig.make(profile=profile, ram_mib=ram_mib).map

    assert where.hyp + where.hyp_bytes == where.ram + where.ram_bytes
    assert where.guest + where.guest_bytes == where.hyp
    assert where.hyp % 0x1_0000 == where.guest % 0x1_0000 == 0


def test_a_defect_is_off_unless_named_and_set() -> None:
    """Naming one as false changes nothing but the identity; the profile knows none of them."""
    seeded = MachineConfig.make(quirks={"mapd_keeps_dte": True, "driver_ite_mask": True, "coherent": False})

    assert MachineConfig.make(quirks={"mapd_keeps_dte": False}).defects == ()
    assert seeded.defects == ("driver_ite_mask", "mapd_keeps_dte")
    assert seeded.profile == MachineConfig.make(quirks={"coherent": False}).profile


def test_lockstep_needs_a_right_its() -> None:
    """The specification knows no ITS with defects: both together are refused. A driver may have them."""
    with pytest.raises(ConfigError, match="stale_tables") as caught:
        MachineConfig.make(oracle="lockstep", quirks={"stale_tables": True})

    assert caught.value.field == "oracle"
    assert MachineConfig.make(oracle="lockstep", quirks={"stale_tables": False, "driver_ite_mask": True}).defects
