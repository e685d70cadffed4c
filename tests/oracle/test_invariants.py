"""H1 to H16 together: all are listed, and one op may break several."""

from __future__ import annotations

from itsbox.oracle.invariants import INVARIANTS
from itsbox.oracle.rules import RULES
from tests.oracle.stage import HOST, QUEUE, Stage, pfn


def test_every_invariant_is_listed_in_order() -> None:
    """There are sixteen, and each has its rule."""
    assert [row.rule.oracle for row in INVARIANTS] == [f"H{n}" for n in range(1, 17)]
    assert {row.rule for row in INVARIANTS} <= set(RULES)


def test_one_op_may_break_several() -> None:
    """A device over the queue, a page with a pin too many, a race: each is told."""
    stage = Stage()
    stage.taken_over()
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=1")
    stage.op()
    stage.notes.pin_counts[pfn(HOST)] = 1
    stage.begin()
    stage.hyp(HOST + 8)
    stage.pages(HOST, 0x1000, "host SHARED_OWNED pins=2")
    stage.host(HOST + 8)
    stage.hyp(HOST + 8)
    stage.map_device(1, QUEUE)

    assert {violation.oracle for violation in stage.end()} >= {"H1", "H2", "H5", "H14"}
