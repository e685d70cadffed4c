"""What every test may use: where the recordings are, and the commands of other packages that some tests need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine and every day; a slow machine is no failure.
settings.register_profile("itsbox", derandomize=True, deadline=None, database=None)
settings.load_profile("itsbox")


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of recorded traces."""
    return Path(__file__).parent / "data" / "traces"


@pytest.fixture(scope="session")
def need() -> Callable[[str, str], str]:
    """``need(command, package)``: the command's path. Without it the test is skipped by name; in CI it fails."""

    def needed(command: str, package: str) -> str:
        found = shutil.which(command)
        if found is None:
            missing = f"{command} is not installed (Debian package {package})"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        return found

    return needed
