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
