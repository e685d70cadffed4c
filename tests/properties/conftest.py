"""An option for people: how long to go on with fresh seeds."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--fuzz-minutes N``."""
    parser.addoption("--fuzz-minutes", type=float, default=0, help="go on with fresh hostile programs for so long")
