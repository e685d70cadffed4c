"""Schemathesis against the OpenAPI document and a real server: no 5xx, no undocumented status, answers as documented.

Deterministic and bounded: the same cases at every run. By hand, more of them:
``ITSBOX_SCHEMATHESIS_EXAMPLES=500 pytest tests/contract/test_schemathesis.py``.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.specs.openapi.checks import ensure_resource_availability, positive_data_acceptance, use_after_free

from itsbox.api import openapi
from itsbox.api.server import BackgroundServer
from itsbox.api.settings import Settings

EXAMPLES = int(os.environ.get("ITSBOX_SCHEMATHESIS_EXAMPLES", "8"))
SLOW = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]
BOUNDED = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=SLOW)
#: Without end (a stream), or too long for one test (every scenario under every preset).
LEFT_OUT = r"/events:stream$|/scenarios/matrix$"
#: Requests that only the machine can judge: a schema cannot say which CPUs, widths or driver calls there are.
JUDGED_BY_MACHINE = {"mmio_write", "memory_load", "ack", "drive", "run_ops", "create_session", "run_scenario"}
SESSION_REQUEST = {"hardening": "off", "ram_mib": 64, "metadata": {"job": "schemathesis"}}


def load(mode: str) -> Any:
    """The document without what is left out, and how to make cases of it: positive, negative or all.

    Without Idempotency-Key, too: keys of generated cases collide, and reuse is 422 by design. And without packed frames,
    whose form no schema can say (``tests/api/test_frames.py`` makes those).
    """
    document = copy.deepcopy(openapi.document())
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["parameters"] = [p for p in operation.get("parameters", []) if p["name"] != "Idempotency-Key"]
            operation.get("requestBody", {}).get("content", {}).pop("application/octet-stream", None)
    config = SchemathesisConfig.from_dict(
        {"generation": {"mode": mode, "deterministic": True, "max-examples": EXAMPLES, "database": "none"}}
    )
    return schemathesis.openapi.from_dict(document, config=config).exclude(path_regex=LEFT_OUT)


VALID = load("positive")
#: What takes neither parameters nor a body cannot be asked wrongly.
INVALID = load("negative").exclude(
    path_regex=r"^/(healthz|readyz|version|metrics)$|^/v1/(arch|hardening|profiles|limits|scenarios)$"
)


class Target:
    """A server and a session on it that is replaced when a case has ended it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=60)
        self.session = ""

    def aim(self, case: Any) -> None:
        """Send a case that is about some session to one that exists."""
        if "session_id" not in (case.path_parameters or {}):
            return
        if not self.session or self.http.get(f"/v1/sessions/{self.session}").status_code != 200:
            self.session = self.http.post("/v1/sessions", json=SESSION_REQUEST).json()["id"]
        case.path_parameters["session_id"] = self.session

    def clear(self) -> None:
        """End what the cases have made."""
        for session in self.http.get("/v1/sessions", params={"limit": 200}).json()["sessions"]:
            self.http.delete(f"/v1/sessions/{session['id']}")


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """The service on loopback."""
    with BackgroundServer(Settings(port=0)) as server:
        found = Target(server.url)
        yield found
        found.http.close()


@VALID.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_valid_requests_are_answered_as_documented(case: Any, target: Target) -> None:
    """Requests that fit the document, to a session that exists."""
    target.aim(case)
    judged = case.operation.definition.raw["operationId"] in JUDGED_BY_MACHINE
    case.call_and_validate(base_url=target.url, excluded_checks=[positive_data_acceptance] if judged else [])
    if case.operation.label in ("POST /v1/sessions", "POST /v1/sessions/{session_id}/fork"):
        target.clear()


@INVALID.parametrize()  # type: ignore[untyped-decorator]
@BOUNDED
def test_invalid_requests_are_refused_as_documented(case: Any, target: Target) -> None:
    """Requests that do not fit the document: body, parameters, path, method or content type."""
    if not _of_path(case):
        target.aim(case)
    case.call_and_validate(base_url=target.url, excluded_checks=[positive_data_acceptance])


def _of_path(case: Any) -> bool:
    """Whether it is the path that is invalid."""
    component = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    return component is not None and component.mode is not GenerationMode.POSITIVE


def test_links_are_followed_without_surprise(target: Target) -> None:
    """The stateful phase: what one answer gives to the next request, as the document's links say."""
    machine = VALID.as_state_machine()
    target.clear()

    class Bounded(machine):  # type: ignore[misc,valid-type]
        """Calls this server and ends its sessions."""

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            """Where to send a case."""
            return {"base_url": target.url}

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            """As above."""
            name = case.operation.definition.raw["operationId"]
            more.pop("additional_checks", None)
            excluded: list[Any] = [positive_data_acceptance] if name in JUDGED_BY_MACHINE else []
            if name in ("fork_session", "restore_session"):  # 404 may mean the snapshot that the body names
                excluded.append(ensure_resource_availability)
            if name == "list_snapshots":  # a list whose members were deleted is an empty list, not a missing one
                excluded.append(use_after_free)
            case.validate_response(response, excluded_checks=excluded, recorder=self.recorder)

        def teardown(self) -> None:
            """Leave nothing behind."""
            target.clear()

    run_state_machine_as_test(
        Bounded,
        settings=settings(BOUNDED, max_examples=max(EXAMPLES // 2, 1), stateful_step_count=8),
    )
