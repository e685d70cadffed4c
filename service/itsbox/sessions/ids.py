"""Opaque identifiers that sort by the time they were made."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

__all__ = ["IdSource"]

# Crockford's alphabet, lower case: no i, l, o, u, so an id survives being read aloud.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS: Final = 9  # 45 bits of milliseconds: enough until the year 3084
_RANDOM_DIGITS: Final = 11  # 55 bits


def _base32(value: int, digits: int) -> str:
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(5 * (digits - 1), -1, -5))


class IdSource:
    """Makes ids of 20 characters; each sorts behind the one before, even within a millisecond or if the clock steps back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> str:
        """A new id."""
        self._last = max(int(self._clock() * 1000), self._last + 1)
        return _base32(self._last, _TIME_DIGITS) + _base32(secrets.randbits(5 * _RANDOM_DIGITS), _RANDOM_DIGITS)
