from __future__ import annotations

from typing import Any

import pytest

from itsbox.ops import Aborted, Bytes, Done, HvcReturn, Outcome, Panicked, Refused
from itsbox.reasons import Reason
from itsbox.sessions.runs import STOPS, stops_at

WHY = next(iter(Reason))
FOUND: Any = ("a violation",)


@pytest.mark.parametrize(
    "outcome, found, word",
    [
        (Refused(WHY), (), "refused"),
        (HvcReturn(0, 1, "EPERM", WHY), (), "refused"),
        (Aborted(WHY), (), "abort"),
        (Panicked(WHY), (), "panic"),
        (Done(), FOUND, "violation"),
        (Bytes(b""), (), None),
        (HvcReturn(0, 0), (), None),
        (HvcReturn((1 << 64) - 1, 0, None, WHY), (), None),  # NOT_SUPPORTED has the outcome ok
    ],
)
def test_a_batch_stops_at_its_words_only(outcome: Outcome, found: Any, word: str | None) -> None:
    """Each kind of outcome has one word that stops there, and no other does."""
    assert [stop for stop in STOPS if stops_at(outcome, found, frozenset({stop}))] == ([] if word is None else [word])


def test_a_violation_stops_whatever_the_outcome() -> None:
    """A refusal that came too late is a refusal and a violation."""
    assert stops_at(Refused(WHY), FOUND, frozenset({"violation"}))
    assert stops_at(Refused(WHY), FOUND, frozenset({"refused"}))
    assert not stops_at(Refused(WHY), FOUND, frozenset({"abort"}))
