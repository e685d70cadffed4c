from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from itsbox.api import openapi
from itsbox.api.app import create_app
from itsbox.api.describe import ERROR_STATUSES
from itsbox.api.problems import PROBLEMS
from itsbox.api.settings import Settings
from itsbox.sessions import errors
from itsbox.sessions.errors import SessionError

COMMITTED = Path(__file__).parents[2] / "openapi" / "openapi.json"
DOCUMENT = openapi.document()
OPERATIONS = {
    operation["operationId"]: (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_the_committed_document_is_the_generated_one() -> None:
    """A change of the contract is seen in review: ``make generate`` and commit."""
    assert COMMITTED.read_text() == openapi.text()


def test_the_document_is_valid() -> None:
    """It is an OpenAPI 3.1 document."""
    assert DOCUMENT["openapi"].startswith("3.1")
    validate(DOCUMENT)


def test_the_service_serves_the_same_document() -> None:
    """What a client is given is what the repository keeps, whatever the settings."""
    app: Any = create_app(Settings(limits={"ops_per_request": 5})).app  # type: ignore[arg-type]

    assert app.openapi() == json.loads(COMMITTED.read_text())


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_documented(name: str) -> None:
    """A sentence, a tag, an example of its answer and of its body, and every status that it may answer."""
    _, method, operation = OPERATIONS[name]

    assert operation["description"].strip().endswith((".", "`"))
    assert operation["tags"]
    for status in ERROR_STATUSES:
        assert operation["responses"][str(status)] == {"$ref": f"#/components/responses/Problem{status}"}
    good = [status for status in operation["responses"] if status.startswith("2")]
    assert len(good) == 1
    if good != ["204"]:
        contents = operation["responses"][good[0]]["content"]
        assert any("example" in content for content in contents.values())
    if "requestBody" in operation:
        assert operation["requestBody"]["content"]["application/json"]["example"] is not None
    if method == "post":
        assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}


def test_operation_ids_are_stable() -> None:
    """Generated clients are named after these: a new one may be added, none may vanish or change its route."""
    assert {name: f"{method.upper()} {path}" for name, (path, method, _) in OPERATIONS.items()} == ROUTES


S = "/v1/sessions/{session_id}"
ROUTES = {
    "create_session": "POST /v1/sessions",
    "list_sessions": "GET /v1/sessions",
    "get_session": f"GET {S}",
    "patch_session": f"PATCH {S}",
    "delete_session": f"DELETE {S}",
    "mmio_read": f"POST {S}/mmio/read",
    "mmio_write": f"POST {S}/mmio/write",
    "memory_load": f"POST {S}/memory/load",
    "memory_store": f"POST {S}/memory/store",
    "memory_fill": f"POST {S}/memory/fill",
    "hvc": f"POST {S}/hvc",
    "msi": f"POST {S}/msi",
    "ack": f"POST {S}/ack",
    "clean": f"POST {S}/clean",
    "drive": f"POST {S}/driver/{{call}}",
    "run_ops": f"POST {S}/ops",
    "get_state": f"GET {S}/state",
    "get_registers": f"GET {S}/registers",
    "get_queues": f"GET {S}/queues",
    "get_diagnosis": f"GET {S}/diagnosis",
    "get_table": f"GET {S}/tables/{{kind}}",
    "get_pages": f"GET {S}/pages",
    "get_physical": f"GET {S}/physical",
    "list_violations": f"GET {S}/violations",
    "get_journal": f"GET {S}/journal",
    "list_events": f"GET {S}/events",
    "stream_events": f"GET {S}/events:stream",
    "create_snapshot": f"POST {S}/snapshots",
    "list_snapshots": f"GET {S}/snapshots",
    "delete_snapshots": f"DELETE {S}/snapshots",
    "get_snapshot": f"GET {S}/snapshots/{{snapshot_id}}",
    "delete_snapshot": f"DELETE {S}/snapshots/{{snapshot_id}}",
    "restore_session": f"POST {S}/restore",
    "fork_session": f"POST {S}/fork",
    "list_scenarios": "GET /v1/scenarios",
    "get_matrix": "GET /v1/scenarios/matrix",
    "run_scenario": "POST /v1/scenarios/{name}/run",
    "get_arch": "GET /v1/arch",
    "get_hardening": "GET /v1/hardening",
    "list_profiles": "GET /v1/profiles",
    "get_limits": "GET /v1/limits",
    "healthz": "GET /healthz",
    "readyz": "GET /readyz",
    "get_version": "GET /version",
    "get_metrics": "GET /metrics",
}


def test_links_lead_to_operations_and_their_parameters() -> None:
    """Every link names an operation that exists and parameters that it has."""
    seen = 0
    for _, _, operation in OPERATIONS.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                _, _, target = OPERATIONS[link["operationId"]]
                names = {parameter["name"] for parameter in target.get("parameters", [])}
                assert set(link.get("parameters", {})) <= names
                seen += 1

    assert seen > 20


def test_every_object_that_a_client_sends_is_closed() -> None:
    """Unknown fields are refused, and the document says so."""
    for name in ("CreateSession", "PatchSession", "Batch", "MmioReadBody", "MmioReadOp", "ForkRequest", "RunScenario"):
        assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False


def test_bounds_of_64_bits_are_integers() -> None:
    """A bound that was printed as a float would be wrong by up to 1,024."""
    text = COMMITTED.read_text()

    assert '"maximum": 18446744073709551615' in text
    assert "e+" not in text
    assert ".0\n" not in text.replace('"3.1.0"', "")


def _kinds(of: type[SessionError]) -> set[str]:
    return {of.kind} | {kind for child in of.__subclasses__() for kind in _kinds(child)}


def test_every_kind_of_problem_is_in_the_table() -> None:
    """The errors of the layers below have a row with their title and status."""
    for name in errors.__all__:
        error: Any = getattr(errors, name)
        if error in (SessionError, errors.CapExceeded):
            continue
        assert PROBLEMS[error.kind].title == error.title
        assert error.status in PROBLEMS[error.kind].statuses
    assert _kinds(SessionError) <= set(PROBLEMS)


def test_every_status_has_a_kind_of_problem() -> None:
    """No operation documents a status that nothing answers."""
    assert {status for row in PROBLEMS.values() for status in row.statuses} == set(ERROR_STATUSES)
