"""Wall time as the wire shows it."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["timestamp"]


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC with milliseconds: ``2026-11-22T19:37:36.123Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
