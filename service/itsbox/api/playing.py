"""Playing scenarios beside the event loop, a few at a time, and remembering verdicts, which never change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from itsbox.host import scenarios
from itsbox.host.scenarios import Played
from itsbox.machine import ConfigError, Machine, MachineConfig
from itsbox.sessions.errors import CapExceeded, InvalidField
from itsbox.sessions.host import SessionHost

__all__ = ["ScenarioStage"]

_log = structlog.get_logger("itsbox.api")


class ScenarioStage:
    """Where scenarios are played: each on a new machine, in a thread, which alone touches that machine.

    Invariant: ``_verdicts`` holds what playing again would give: a scenario is a pure function of its preset.
    """

    def __init__(self, host: SessionHost) -> None:
        self._host = host
        self._places = asyncio.Semaphore(host.limits.scenario_runs)
        self._waiting = 0
        self._verdicts: dict[tuple[str, str], str] = {}

    async def run(self, name: str, hardening: Any, profile: str | None) -> dict[str, Any]:
        """Play one; its machine becomes a session. Raises ``InvalidField``, ``CapExceeded`` (429)."""
        self._host.room_for(1)
        async with self._turn():
            played, machine = await asyncio.to_thread(_play, name, hardening, profile)
        session = self._host.adopt(machine)
        await session.record([step.op for step in played.steps if step.op is not None])
        return {**played.wire(), "session": session.id}

    async def matrix(self, names: list[str], presets: list[str]) -> dict[str, Any]:
        """Verdicts by scenario and preset; what was played before is not played again."""
        for name in names:
            for preset in presets:
                if (name, preset) not in self._verdicts:
                    await self._judge(name, preset)
        cells = {name: {preset: self._verdicts[name, preset] for preset in presets} for name in names}
        return {"scenarios": names, "presets": presets, "cells": cells}

    async def _judge(self, name: str, preset: str) -> None:
        """Fill one cell, unless somebody else has while this one waited."""
        async with self._turn():
            if (name, preset) not in self._verdicts:
                played, _ = await asyncio.to_thread(_play, name, preset, None)
                self._verdicts[name, preset] = played.verdict

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A place to play, first come, first served. Raises ``CapExceeded`` (429) if too many wait for one already."""
        limit = self._host.limits.scenarios_waiting
        if self._places.locked() and self._waiting >= limit:
            raise CapExceeded(
                "scenarios_waiting", limit, self._waiting, "as many scenarios wait to be played as may", status=429
            )
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()


def _play(name: str, hardening: Any, profile: str | None) -> tuple[Played, Machine]:
    made: list[Machine] = []

    def make_machine(fields: Mapping[str, Any]) -> Machine:
        try:
            made.append(Machine(MachineConfig.make(**fields)))
        except ConfigError as error:
            raise InvalidField(error.field, error.message) from error
        return made[-1]

    return scenarios.run(name, hardening, make_machine, profile), made[-1]
