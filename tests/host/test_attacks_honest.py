"""An honest kernel's life, behind everything that does not stop it."""

from __future__ import annotations

import pytest

from tests.host.play import played


@pytest.mark.parametrize("preset", ["off", "strict", "v2", "android-6.12"])
@pytest.mark.parametrize(
    "profile", ["virt-gicv3", "virt-gicv3-pta", "virt-gicv4", "virt-gicv4.1", "virt-gicv4-dual-its", "snapdragon"]
)
def test_an_honest_life_is_not_disturbed(preset: str, profile: str) -> None:
    """Nothing is refused, nothing times out, no violation: hardening is invisible to an honest host."""
    what = played("linux-boot", preset, profile)

    assert (what.verdict, what.refusals, what.detail) == ("isolated", (), "")


def test_the_rfc_stops_it() -> None:
    """Under the RFC the first device cannot be mapped."""
    assert played("linux-boot", "rfc-v1").verdict == "wedged"
