"""Batches with ITS commands in them."""

from __future__ import annotations

import pytest

from itsbox_client import commands as its
from itsbox_client import ops
from itsbox_client.plan import BatchPlan
from itsbox_client.problems import BatchError, QueueError, UnexpectedOutcome
from itsbox_client.queue import HostQueue
from itsbox_client.results import OpResult

ITS = 0x808_0000
QUEUE = HostQueue(base=0x4100_0000, size=0x1_0000, cwriter=0x1_0000 - 32, creadr=0x1_0000 - 32)


def _record(slot: int, verdict: str, **more: str) -> dict[str, object]:
    return {"slot": slot, "name": "SYNC", "words": ["0x5", "0x0", "0x0", "0x0"], "verdict": verdict, **more}


def _results(plan_ops: list[ops.Op[OpResult]], answers: list[dict[str, object]]) -> list[OpResult]:
    return [op.read(answer) for op, answer in zip(plan_ops, answers, strict=False)]


def test_each_command_is_stored_and_submitted_in_turn_across_the_wrap() -> None:
    """Two commands at the end of the ring: the second goes to slot 0."""
    plan = BatchPlan(ITS)
    plan.command(its.SYNC(rd_base=1))
    plan.command(its.SYNC(rd_base=2))

    sent = [dict(op.wire) for op in plan.lay_out(QUEUE, clean=False)]

    assert [(op["op"], op["addr"], op.get("value")) for op in sent] == [
        ("store", "0x4100ffe0", None),
        ("mmio_write", "0x8080088", "0x0"),
        ("store", "0x41000000", None),
        ("mmio_write", "0x8080088", "0x20"),
    ]


def test_a_queue_that_is_not_coherent_is_cleaned_before_the_doorbell() -> None:
    """Store, clean to the point of coherency, then GITS_CWRITER: in that order."""
    plan = BatchPlan(ITS)
    plan.command(its.SYNC(rd_base=1))

    assert [op.name for op in plan.lay_out(QUEUE, clean=True)] == ["store", "clean", "mmio_write"]


def test_results_find_their_way_back() -> None:
    """An op's promise gives its result, a command's the record of its slot."""
    plan = BatchPlan(ITS)
    read = plan.add(ops.mmio_read(ITS, 4))
    refused = plan.command(its.SYNC(rd_base=1))
    unseen = plan.command(its.SYNC(rd_base=2))
    laid_out = plan.lay_out(QUEUE, clean=False)

    plan.settle(
        _results(
            laid_out,
            [
                {"outcome": "ok", "value": "0x80000000"},
                {"outcome": "ok"},
                {"outcome": "ok", "commands": [_record(2047, "refused", reason="unknown_target")]},
                {"outcome": "ok"},
                {"outcome": "ok", "commands": [_record(2047, "refused", reason="unknown_target")]},
            ],
        )
    )

    assert read.result().value == 0x8000_0000
    assert (refused.result().verdict, refused.result().reason) == ("refused", "unknown_target")
    assert (unseen.result().slot, unseen.result().verdict) == (0, "pending")


def test_a_stalled_command_that_is_retried_is_judged_by_its_last_entry() -> None:
    """The list names a stalled command again at each retry."""
    plan = BatchPlan(ITS)
    promise = plan.command(its.SYNC(rd_base=1))
    laid_out = plan.lay_out(QUEUE, clean=False)
    commands = [_record(2047, "stalled", error="SYNC_X", code="0x010502"), _record(2047, "executed")]
    plan.settle(_results(laid_out, [{"outcome": "ok"}, {"outcome": "ok", "commands": commands}]))

    assert promise.result().executed


def test_a_result_before_its_time_is_a_plain_error() -> None:
    """Within the block there is nothing yet."""
    promise = BatchPlan(ITS).add(ops.ack(0))

    with pytest.raises(BatchError, match="leave its with block first"):
        promise.result()


def test_what_a_stopped_batch_did_not_reach_says_so() -> None:
    """With ``stop_on`` the rest has no results, and no made-up ones."""
    plan = BatchPlan(ITS)
    first, second = plan.add(ops.ack(0)), plan.add(ops.ack(1))
    plan.settle(_results(plan.lay_out(None, clean=False), [{"outcome": "ok", "intid": 8192}]))

    assert first.result().intid == 8192
    with pytest.raises(BatchError, match="stopped before"):
        second.result()


@pytest.mark.parametrize(
    "op",
    [ops.driver("map_device", {"device_id": 1}), ops.mmio_write(ITS + 0x88, 4, 0), ops.mmio_write(ITS + 0x80, 8, 0)],
    ids=["driver", "GITS_CWRITER", "GITS_CBASER"],
)
def test_a_command_behind_what_may_move_the_queue_is_refused(op: ops.Op[OpResult]) -> None:
    """Where the write pointer will be is not known then; guessing would overwrite somebody's commands."""
    plan = BatchPlan(ITS)
    plan.add(op)

    with pytest.raises(QueueError, match="send that batch first"):
        plan.command(its.SYNC(rd_base=0))


def test_a_host_that_lost_its_queue_is_told_so() -> None:
    """If the store aborts, the doorbell must not be read as if the command had been there."""
    plan = BatchPlan(ITS)
    promise = plan.command(its.SYNC(rd_base=1))
    laid_out = plan.lay_out(QUEUE, clean=False)
    plan.settle(_results(laid_out, [{"outcome": "abort", "reason": "not_host_owned"}, {"outcome": "ok"}]))

    with pytest.raises(UnexpectedOutcome, match="store ended as abort"):
        promise.result()
