"""The known defects: what honest hosts meet, told once under the RFC and once under ``strict``."""

from __future__ import annotations

import pytest

from itsbox.host.scenarios import SCENARIOS
from tests.host.play import played

WEDGED = [
    "inverted-alignment", "level-1-index", "level-1-mask", "queue-bound", "vpt-pages", "shared-itt-page", "leaked-lock",
    "tracking-full", "setup-unwinding", "no-cache-maintenance", "start-offset",
]  # fmt: skip
VIOLATED = ["base-mask", "wrap-parsing", "foreign-release", "batch-before-check", "half-registers"]


@pytest.mark.parametrize("name", WEDGED + VIOLATED)
def test_a_defect_shows_under_the_rfc_and_not_under_strict(name: str) -> None:
    """Honest traffic stops, or isolation breaks, under ``rfc-v1``; under ``strict`` neither."""
    assert played(name, "rfc-v1").verdict == ("wedged" if name in WEDGED else "violated")
    assert played(name, "strict").verdict == "isolated"


def test_the_defects_name_their_numbers() -> None:
    """Each of these scenarios carries the number of its defect."""
    assert all(SCENARIOS[name].defect for name in WEDGED + VIOLATED)


def test_a_leaked_lock_hangs_the_second_call() -> None:
    """Under the RFC a refused take-over keeps its lock, and the next one never returns."""
    assert "el2_hang" in played("leaked-lock", "rfc-v1").refusals


def test_android_and_v2_still_count_their_slots() -> None:
    """Tracking is bounded by the private state in every version of the series."""
    for preset in ("rfc-v1", "v2", "android-6.12"):
        assert "tracking_full" in played("tracking-full", preset).refusals
