"""Named scenarios: honest boots, attacks, historic defects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from itsbox_client import endpoints
from itsbox_client._async.connection import AsyncConnection
from itsbox_client.models import Hardening, ScenarioRun

__all__ = ["AsyncScenarios"]


class AsyncScenarios:
    """List and run scenarios."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(self, *, request_timeout: float | None = None) -> list[dict[str, Any]]:
        """The scenarios, each with its name and what it does."""
        return await self._connection.call(endpoints.list_scenarios(), request_timeout)

    async def run(
        self,
        name: str,
        *,
        hardening: Hardening | None = None,
        profile: str | None = None,
        request_timeout: float | None = None,
    ) -> ScenarioRun:
        """Run one to its end on a machine of its own, which is left for inspection."""
        return await self._connection.call(endpoints.run_scenario(name, hardening, profile), request_timeout)

    async def matrix(
        self,
        *,
        scenarios: Iterable[str] | None = None,
        presets: Iterable[str] | None = None,
        request_timeout: float | None = None,
    ) -> dict[str, dict[str, str]]:
        """The verdict of each scenario under each preset: ``cells[scenario][preset]``."""
        return await self._connection.call(endpoints.scenario_matrix(scenarios, presets), request_timeout)
