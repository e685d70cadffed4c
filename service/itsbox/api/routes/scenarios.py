"""Scenarios: an honest boot, attacks, historic defects; each played on a machine of its own, which stays as a session."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from itsbox.api import answers, examples
from itsbox.api.body import read_json
from itsbox.api.describe import describe, link
from itsbox.api.problems import InvalidRequest, Unacceptable, field_error
from itsbox.api.render import json_response
from itsbox.api.requests import HardeningChoice, RunScenario
from itsbox.api.routes.common import ServiceDep
from itsbox.host.scenarios import SCENARIOS
from itsbox.hypervisor.presets import PRESETS

__all__ = ["router"]

router = APIRouter(tags=["scenarios"])

_NAMES = "Names, separated by commas."


@router.get("/v1/scenarios", response_model=answers.ScenarioList, **describe(example=examples.SCENARIOS))
async def list_scenarios() -> Response:
    """What can be played."""
    return json_response({"scenarios": [scenario.catalogue() for scenario in SCENARIOS.values()]})


@router.get("/v1/scenarios/matrix", response_model=answers.MatrixAnswer, **describe(example=examples.MATRIX))
async def get_matrix(
    service: ServiceDep,
    scenarios: Annotated[str | None, Query(description=f"{_NAMES} All if left out.", max_length=4096)] = None,
    presets: Annotated[
        str | None, Query(description=f"{_NAMES} All whole presets if left out.", max_length=1024)
    ] = None,
) -> Response:
    """Every scenario under every preset. A cell is the verdict that `POST .../run` gives; it is played once."""
    rows = _names("scenarios", scenarios, SCENARIOS, list(SCENARIOS))
    columns = _names("presets", presets, PRESETS, [name for name in PRESETS if "@" not in name])
    return json_response(await service.scenarios.matrix(rows, columns))


@router.post(
    "/v1/scenarios/{name}/run",
    response_model=answers.ScenarioRun,
    **describe(
        example=examples.SCENARIO_RUN,
        form=RunScenario,
        body={"hardening": "off"},
        optional=True,
        doc="The verdict; the session is left as the scenario left it.",
        links={"get_session": link("get_session", session_id="$response.body#/session")},
    ),
)
async def run_scenario(
    request: Request,
    service: ServiceDep,
    name: Annotated[
        str,
        Path(description="A name from `GET /v1/scenarios`.", max_length=64, json_schema_extra={"enum": [*SCENARIOS]}),
    ],
) -> Response:
    """Play a scenario to its end and say whether isolation held."""
    asked = read_json(request, RunScenario, optional=True)
    if name not in SCENARIOS:
        raise Unacceptable("not-found", f"there is no scenario {name}; GET /v1/scenarios lists those there are")
    hardening: Any = asked.hardening
    if isinstance(hardening, HardeningChoice):
        hardening = hardening.model_dump()
    return json_response(await service.scenarios.run(name, hardening, asked.profile))


def _names(field: str, asked: str | None, known: Any, all_of_them: list[str]) -> list[str]:
    if not asked:
        return all_of_them
    names = list(dict.fromkeys(asked.split(",")))
    for name in names:
        if name not in known:
            raise InvalidRequest([field_error((field,), f"{name!r} is not one of them")])
    return names
