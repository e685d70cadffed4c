"""Logs judged in the open: what comes of a log in a test is held, whole, against what was committed (``conftest``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from itsbox.oracle import checker
from itsbox.oracle.checker import Report
from itsbox.oracle.log_format import LogError

SAID: list[dict[str, Any]] = []
"""Reports and errors of the running test, in order."""


def check_log(lines: Iterable[str]) -> Report:
    """As ``checker.check_log``."""
    try:
        report = checker.check_log(lines)
    except LogError as error:
        SAID.append({"line": error.line, "message": error.message})
        raise
    SAID.append(report.wire())
    return report
