"""What the routes of one application work on, put together once."""

from __future__ import annotations

import asyncio
from typing import Final

from itsbox.api.access import Access
from itsbox.api.fastpath import FastPath
from itsbox.api.idempotency import IdempotencyStore
from itsbox.api.metrics import Metrics
from itsbox.api.op_bodies import batch_adapter
from itsbox.api.playing import ScenarioStage
from itsbox.api.settings import Settings
from itsbox.sessions.host import SessionHost

__all__ = ["Service"]

#: A second in all: a reader that has stopped is not waited for.
_DRAIN_TRIES: Final = 50
_DRAIN_STEP_S: Final = 0.02


class Service:
    """settings, the sessions, and the parts of the gate. ``stopping`` is set when the process is asked to end."""

    def __init__(self, settings: Settings, sessions: SessionHost | None = None) -> None:
        self.settings = settings
        self.sessions = sessions or SessionHost(settings.limits)
        self.access = Access(settings)
        self.idempotency = IdempotencyStore(settings.limits)
        self.metrics = Metrics(self.sessions)
        self.fast = FastPath(self.sessions, self.access, self.metrics) if settings.fast_path else None
        self.batch = batch_adapter(settings.limits.ops_per_request)
        self.scenarios = ScenarioStage(self.sessions)
        self.sweeper: asyncio.Task[None] | None = None
        self.stopping = False

    async def drain(self) -> None:
        """End every session and give the streams a moment to tell their readers; called twice, it does nothing more."""
        self.stopping = True
        watched = [session for session in self.sessions if session.feed.subscribers]
        await self.sessions.close_all("the service is stopping")
        for _ in range(_DRAIN_TRIES):
            if not any(session.feed.subscribers for session in watched):
                return
            await asyncio.sleep(_DRAIN_STEP_S)
