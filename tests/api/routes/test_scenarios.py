from __future__ import annotations

from typing import Any

import pytest

from itsbox.host.scenarios import SCENARIOS
from tests.api.conftest import Service


def test_every_scenario_is_listed(service: Service) -> None:
    """With what it is, what it needs and where it comes from."""
    listed = service.get("/v1/scenarios")["scenarios"]

    assert [row["name"] for row in listed] == list(SCENARIOS)
    assert {"linux-boot", "A1", "A18"} <= {row["name"] for row in listed}
    assert all(row["title"] and row["story"] for row in listed)


def test_an_attack_is_played_and_leaves_its_session(service: Service) -> None:
    """Violated without a hypervisor, isolated behind the strict one; the session can be looked at afterwards."""
    verdicts = {}
    for preset in ("off", "strict"):
        answer = service.post("/v1/scenarios/A1/run", {"hardening": preset})
        body = answer.json()
        assert answer.status_code == 200
        assert {"name", "hardening", "verdict", "refusals", "violations", "session"} <= set(body)
        verdicts[preset] = body["verdict"]
        session = service.get(f"/v1/sessions/{body['session']}")
        assert session["hardening"]["preset"] == preset
        assert service.get(f"/v1/sessions/{body['session']}/violations") == body["violations"]
        assert service.get(f"/v1/sessions/{body['session']}/journal")["head"] > 0

    assert verdicts == {"off": "violated", "strict": "isolated"}


def test_without_a_body_the_default_preset_is_attacked(service: Service) -> None:
    """Strict, and the scenario's own profile."""
    body = service.post("/v1/scenarios/A6/run").json()
    session = service.get(f"/v1/sessions/{body['session']}")

    assert (body["hardening"], session["profile"]) == ("strict", "virt-gicv4")


def test_a_scenario_with_knobs(service: Service) -> None:
    """A preset with a knob set otherwise is played as it is asked for."""
    asked = {"hardening": {"preset": "strict", "knobs": {"mapd_check": "off"}}}
    body = service.post("/v1/scenarios/A4/run", asked).json()

    assert service.get(f"/v1/sessions/{body['session']}")["hardening"]["knobs"]["mapd_check"] == "off"


def test_a_historic_defect_is_seeded_for_its_scenario(service: Service) -> None:
    """The session has the quirk, whatever the hardening; the answer's steps say what is right and that it was not so."""
    for hardening in ("strict", {"preset": "v2", "knobs": {"itt_pages": "exact"}}):
        body = service.post("/v1/scenarios/mapd-keeps-dte/run", {"hardening": hardening}).json()
        findings = [step["result"] for step in body["steps"] if step["text"].startswith("Right is: ")]

        assert (body["verdict"], findings) == ("violated", ["it is not so"])
        assert service.get(f"/v1/sessions/{body['session']}")["quirks"] == {"mapd_keeps_dte": True}


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("nothing", {}, 404),
        ("A1", {"hardening": "strictest"}, 422),
        ("A1", {"profile": "pdp-11"}, 422),
        ("A1", {"hardening": {"knobs": {"nothing": "x"}}}, 422),
        ("A1", {"preset": "off"}, 422),
    ],
)
def test_a_scenario_that_cannot_be_is_a_problem(service: Service, path: str, body: Any, status: int) -> None:
    """Unknown names and machines that cannot be; no session is left behind."""
    before = len(service.get("/v1/sessions", limit=200)["sessions"])
    answer = service.post(f"/v1/scenarios/{path}/run", body)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert len(service.get("/v1/sessions", limit=200)["sessions"]) == before


def test_the_matrix_has_a_cell_for_each_pair(service: Service) -> None:
    """The verdicts of the runs; no sessions are left behind."""
    before = len(service.get("/v1/sessions", limit=200)["sessions"])
    matrix = service.get("/v1/scenarios/matrix", scenarios="A1,A4", presets="off,strict")

    assert (matrix["scenarios"], matrix["presets"]) == (["A1", "A4"], ["off", "strict"])
    assert matrix["cells"] == {name: {"off": "violated", "strict": "isolated"} for name in ("A1", "A4")}
    assert service.get("/v1/scenarios/matrix", scenarios="A1,A4", presets="off,strict") == matrix
    assert len(service.get("/v1/sessions", limit=200)["sessions"]) == before


@pytest.mark.parametrize("query", [{"scenarios": "A1,nothing"}, {"presets": "nothing"}, {"preset": "off"}])
def test_a_matrix_of_unknown_names_is_refused(service: Service, query: dict[str, str]) -> None:
    """422, before anything is played."""
    assert service.http.get("/v1/scenarios/matrix", params=query).status_code == 422


def test_a_run_needs_room_for_its_session(make_service: Any) -> None:
    """The cap on sessions holds for scenarios, and is asked before the scenario is played."""
    service = make_service(limits={"sessions": 1})
    service.session()
    answer = service.post("/v1/scenarios/A1/run")

    assert (answer.status_code, answer.json()["cap"]) == (429, "sessions")
