"""Scenarios take turns: as many at once as the cap says, the others in line, and a line that is too long is refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from itsbox.api import playing
from itsbox.api.playing import ScenarioStage
from itsbox.sessions.errors import CapExceeded, InvalidField
from itsbox.sessions.host import SessionHost
from itsbox.sessions.limits import Limits

PLAY = playing._play  # what is held up below goes on here


class Curtain:
    """Stands before each scenario until it is lifted; counts who stood there and how many went on at once."""

    def __init__(self) -> None:
        self.lifted = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.asked: list[tuple[str, Any]] = []
        self.most = 0
        self._on_stage = 0
        self._lock = threading.Lock()

    def play(self, name: str, hardening: Any, profile: str | None) -> Any:
        """In place of the stage's own function, on a thread of its own."""
        with self._lock:
            self.asked.append((name, hardening))
            self._on_stage += 1
            self.most = max(self.most, self._on_stage)
        self.arrived.release()
        self.lifted.wait(30)
        try:
            return PLAY(name, hardening, profile)
        finally:
            with self._lock:
                self._on_stage -= 1


@pytest.fixture
def curtain(monkeypatch: pytest.MonkeyPatch) -> Curtain:
    """The stage, held up."""
    made = Curtain()
    monkeypatch.setattr(playing, "_play", made.play)
    return made


async def held(curtain: Curtain, count: int) -> None:
    """So many stand before the curtain, and everything else that can go on has gone on."""
    for _ in range(count):
        assert await asyncio.to_thread(curtain.arrived.acquire, timeout=30)


async def test_runs_beyond_the_cap_wait_for_their_turn(curtain: Curtain) -> None:
    """All are played in the end, never more than two at once."""
    stage = ScenarioStage(SessionHost(Limits(scenario_runs=2)))
    runs = [asyncio.create_task(stage.run("A1", "off", None)) for _ in range(5)]
    await held(curtain, 2)
    curtain.lifted.set()

    assert [(await run)["verdict"] for run in runs] == ["violated"] * 5
    assert (len(curtain.asked), curtain.most) == (5, 2)


async def test_a_line_that_is_too_long_is_refused_by_name(curtain: Curtain) -> None:
    """One is played, one waits, the third is told which cap it met; with the line gone there is room again."""
    stage = ScenarioStage(SessionHost(Limits(scenario_runs=1, scenarios_waiting=1)))
    first, second = (asyncio.create_task(stage.run("A1", "off", None)) for _ in range(2))
    await held(curtain, 1)

    with pytest.raises(CapExceeded, match="scenarios_waiting") as refused:
        await stage.run("A1", "off", None)
    assert refused.value.status == 429

    curtain.lifted.set()
    await asyncio.gather(first, second)
    assert (await stage.run("A1", "off", None))["verdict"] == "violated"


async def test_a_cell_that_somebody_filled_meanwhile_is_not_played_again(curtain: Curtain) -> None:
    """Two tables that are asked for at once cost one."""
    stage = ScenarioStage(SessionHost(Limits(scenario_runs=1)))
    tables = [asyncio.create_task(stage.matrix(["A1"], ["off", "strict"])) for _ in range(2)]
    await held(curtain, 1)
    curtain.lifted.set()

    for table in tables:
        assert (await table)["cells"] == {"A1": {"off": "violated", "strict": "isolated"}}
    assert sorted(curtain.asked) == [("A1", "off"), ("A1", "strict")]


async def test_a_scenario_that_cannot_be_gives_its_place_back() -> None:
    """A refusal does not narrow the stage."""
    stage = ScenarioStage(SessionHost(Limits(scenario_runs=1, scenarios_waiting=1)))
    for _ in range(3):
        with pytest.raises(InvalidField):
            await stage.run("A1", "nothing", None)

    assert (await stage.run("A1", "strict", None))["verdict"] == "isolated"
