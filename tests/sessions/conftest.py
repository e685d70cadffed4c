"""A host of sessions whose clock the tests turn, and machines that are small and quick to make."""

from __future__ import annotations

from typing import Any

import pytest

from itsbox.machine import MachineConfig
from itsbox.sessions.host import SessionHost
from itsbox.sessions.limits import Limits
from itsbox.sessions.session import Session


class Clock:
    """Seconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Rig:
    """A SessionHost with the test's own caps."""

    def __init__(self, **caps: int) -> None:
        self.clock = Clock()
        self.host = SessionHost(Limits(**caps), clock=self.clock)

    def session(self, **fields: Any) -> Session:
        """A new session, with ``off`` hardening unless told otherwise."""
        own = {name: fields.pop(name) for name in ("metadata", "idle_timeout_s") if name in fields}
        return self.host.create(MachineConfig.make(**{"hardening": "off", **fields}), **own)


@pytest.fixture
def rig() -> Rig:
    """Default caps."""
    return Rig()
