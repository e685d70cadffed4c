"""The journal: what led here, whatever was restored meanwhile."""

from __future__ import annotations

from itsbox_client import ops
from itsbox_client.journal import Journal
from itsbox_client.models import Violation

A, B, C = (ops.ack(cpu).wire for cpu in (0, 1, 2))


def _violation(bucket: str) -> Violation:
    return Violation("DMA", "the ITS wrote into hypervisor memory", bucket, {})


def test_a_restore_forgets_what_came_after_the_snapshot() -> None:
    """To restore is to have done only what led to the snapshot."""
    journal = Journal()
    journal.record(A)
    journal.mark("s1")
    journal.record(B)

    assert journal.rewind("s1")
    journal.record(C)

    assert journal.ops == [A, C]


def test_a_state_from_elsewhere_begins_a_new_journal() -> None:
    """What led to a snapshot that was not taken here is not known."""
    journal = Journal()
    journal.record(A)

    assert not journal.rewind("foreign")
    assert journal.ops == []


def test_a_finding_holds_the_ops_up_to_the_one_that_provoked_it() -> None:
    """The program ends with the op that the oracle objected to, and survives a later restore."""
    journal = Journal()
    journal.mark("s0")
    journal.record(A)
    journal.record(B, [_violation("itsb1-x")])
    journal.record(C)
    journal.rewind("s0")

    assert journal.findings["itsb1-x"].program == (A, B)


def test_the_first_finding_of_a_bucket_is_kept() -> None:
    """The same defect met again is the same finding, with the shorter program."""
    journal = Journal()
    journal.record(A, [_violation("itsb1-x")])
    journal.record(B, [_violation("itsb1-x"), _violation("itsb1-y")])

    assert {bucket: finding.program for bucket, finding in journal.findings.items()} == {
        "itsb1-x": (A,),
        "itsb1-y": (A, B),
    }


def test_a_fork_goes_its_own_way() -> None:
    """The journal of a fork begins with what led there, and then they part."""
    journal = Journal()
    journal.record(A)
    journal.mark("s1")
    journal.record(B)
    now, then = journal.branch(), journal.branch("s1")
    journal.record(C)

    assert (now.ops, then.ops) == ([A, B], [A])
