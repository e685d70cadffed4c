"""The known defects: what honest hosts meet, told once under the RFC and once under ``strict``."""

from __future__ import annotations

import pytest

from itsbox.host.scenarios import SCENARIOS
from tests.host.play import played

SHOWN = [
    scenario.name for scenario in SCENARIOS.values()
    if scenario.defect and scenario.name not in ("hang", "virtual-unchecked", "impdef-forwarded", "level-2-unchecked")
]  # fmt: skip
"""The last three have no effect in the RFC: docs/matrix.md says why."""
BREAKS_ISOLATION = ["base-mask", "wrap-parsing", "foreign-release", "collection-level-2"]


@pytest.mark.parametrize("name", SHOWN)
def test_a_defect_shows_under_the_rfc_and_not_under_strict(name: str) -> None:
    """Honest traffic stops, the machine does, or isolation breaks, under ``rfc-v1``; under ``strict`` none of these."""
    assert played(name, "rfc-v1").verdict in ("wedged", "violated")
    assert played(name, "strict").verdict == "isolated"


@pytest.mark.parametrize("name", BREAKS_ISOLATION)
def test_these_open_a_way_into_memory(name: str) -> None:
    """Not only availability is lost."""
    assert played(name, "rfc-v1").verdict == "violated"


def test_a_size_that_hardware_refuses_leaves_its_pages_held() -> None:
    """Under the RFC the driver cannot map the device as it should be after its mistake; v2 and ``strict`` look at Size first."""
    assert "itt_shared" in played("itt-size", "rfc-v1").refusals
    for preset in ("v2", "strict"):
        what = played("itt-size", preset)
        assert what.verdict == "isolated"
        assert "event_bits_range" in what.refusals


def test_android_and_v2_still_count_their_slots() -> None:
    """Tracking is bounded by the private state in every version of the series."""
    for preset in ("rfc-v1", "v2", "android-6.12"):
        assert "tracking_full" in played("tracking-full", preset).refusals
