"""When a request is tried again."""

from __future__ import annotations

import datetime as dt

import pytest

from itsbox_client.problems import ProtocolError, RequestTimeout, TransportError, problem_from
from itsbox_client.retry import NO_RETRIES, RetryPolicy, retry_after

NOW = dt.datetime(2026, 11, 22, 12, 0, 0, tzinfo=dt.UTC)
POLICY = RetryPolicy(attempts=4, first_wait=0.5, longest_wait=8.0)


@pytest.mark.parametrize("failure", [TransportError("refused"), RequestTimeout("slow")])
def test_a_lost_connection_is_tried_again_with_growing_waits(failure: TransportError) -> None:
    """Waits double, and after the last attempt the failure is raised."""
    assert [POLICY.wait(attempt, failure) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, None]


def test_waits_are_bounded() -> None:
    """However many attempts, no wait is longer than the policy's longest."""
    assert RetryPolicy(attempts=100, longest_wait=3.0).wait(60, TransportError("refused")) == 3.0


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_not_now_is_tried_again(status: int) -> None:
    """The service is busy, not wrong."""
    assert POLICY.wait(1, problem_from(status, {})) == 0.5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_what_will_not_change_is_not_tried_again(status: int) -> None:
    """The same request would fail the same way; a defect of the service is reported, not hammered."""
    assert POLICY.wait(1, problem_from(status, {})) is None


def test_the_services_own_wish_is_honoured() -> None:
    """Retry-After is waited for, even where the own wait would be shorter."""
    assert POLICY.wait(1, problem_from(429, {}, retry_after=7.0)) == 7.0
    assert POLICY.wait(1, problem_from(503, {}, retry_after=0.0)) == 0.0


def test_more_patience_than_the_policy_has_is_left_to_the_caller() -> None:
    """A Retry-After beyond the longest wait is raised at once rather than shortened."""
    assert POLICY.wait(1, problem_from(429, {}, retry_after=9.0)) is None


def test_a_conflict_that_names_a_time_is_tried_again() -> None:
    """The first attempt of the same Idempotency-Key is still under way: its answer will be there."""
    assert POLICY.wait(1, problem_from(409, {}, retry_after=1.0)) == 1.0


def test_an_answer_that_nobody_understands_is_not_tried_again() -> None:
    """Another server will not become this one."""
    assert POLICY.wait(1, ProtocolError("HTML")) is None


def test_without_retries_the_first_failure_counts() -> None:
    """``NO_RETRIES`` is one attempt."""
    assert NO_RETRIES.wait(1, TransportError("refused")) is None


@pytest.mark.parametrize(
    "header, seconds",
    [
        ("3", 3.0),
        ("0", 0.0),
        ("Sun, 22 Nov 2026 12:00:05 GMT", 5.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    """Both forms of RFC 9110 are read; a date that is past means now; what is neither is no wish."""
    assert retry_after({"retry-after": header}, NOW) == seconds
