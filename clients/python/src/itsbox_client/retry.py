"""When to try a request again: a pure decision, taken between attempts.

A try is repeated only where that cannot do a thing twice: the connection was refused, the service said "not now" (429, 503),
or the request carries an Idempotency-Key, under which the service gives the first answer again instead of doing the work
again. Every POST of this client carries one, the same for all tries of a call, so a lost answer is safe to ask for again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from itsbox_client.problems import ItsboxError, Problem, TransportError

__all__ = ["NO_RETRIES", "RetryPolicy", "retry_after"]

_RETRIED_STATUS = frozenset({425, 429, 502, 503, 504})


class RetryPolicy(NamedTuple):
    """How often and how long. The waits grow from ``first_wait`` by doubling, and none is longer than ``longest_wait``."""

    attempts: int = 4
    first_wait: float = 0.1
    longest_wait: float = 20.0

    def wait(self, attempt: int, failure: ItsboxError) -> float | None:
        """Seconds to wait after failed attempt ``attempt`` (counted from 1), or None to give up and raise ``failure``.

        A service that asks for more patience than ``longest_wait`` is not asked again: the caller decides.
        """
        if attempt >= self.attempts:
            return None
        own = min(self.first_wait * 2.0 ** (attempt - 1), self.longest_wait)
        if isinstance(failure, TransportError):
            return own
        if not isinstance(failure, Problem) or not _worth_another_try(failure):
            return None
        asked = failure.retry_after
        if asked is None:
            return own
        return asked if asked <= self.longest_wait else None


NO_RETRIES = RetryPolicy(attempts=1)


def _worth_another_try(problem: Problem) -> bool:
    """Whether the same request may fare better later; a 409 does only where the service names a time to come back."""
    return problem.status in _RETRIED_STATUS or (problem.status == 409 and problem.retry_after is not None)


def retry_after(headers: Mapping[str, str], now: dt.datetime) -> float | None:
    """The Retry-After of an answer in seconds (RFC 9110, 10.2.3: seconds or a date), or None without a readable one."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return max(0.0, (when - now).total_seconds())
