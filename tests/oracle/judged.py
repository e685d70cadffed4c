"""Logs judged in the open: what comes of a log in a test is held, whole, against what was committed (``conftest``)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from itsbox.oracle import checker
from itsbox.oracle.checker import Report
from itsbox.oracle.log_format import FORMAT, LogError

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


# ---------------------------------------------------------------- lines to begin with

HEAD: dict[str, Any] = {
    "k": "head", "format": FORMAT, "complete": True, "cpus": 4, "its": 1,
    "map": {
        "gicd": "0x8000000", "its": "0x8080000", "translater": "0x8090040", "gicr": "0x80a0000", "gicr_stride": "0x20000",
        "ram": "0x40000000", "ram_bytes": "0x10000000", "hyp": "0x4ff00000", "hyp_bytes": "0x100000", "guest": "0x4fe00000",
        "guest_bytes": "0x100000",
    },
}  # fmt: skip
ACCESS: dict[str, Any] = {
    "initiator": "its", "write": True, "addr": "0x4ff03000", "length": 8, "why": "dte", "command": None, "phase": "trusted",
}  # fmt: skip
NODE: dict[str, Any] = {"enabled": True, "cbaser": "0x0", "baser": ["0x0"] * 8, "level_1": {}}


def line_of(kind: str, **data: Any) -> str:
    """A line of step 1."""
    return json.dumps({"step": 1, "type": kind, "data": data})


def hardware_of(**node: Any) -> str:
    """A ``hardware`` line of one ITS and four redistributors."""
    return line_of("hardware", its=[{**NODE, **node}], gicr=[[False, "0x0", "0x0"]] * 4, guards_redistributors=False)
