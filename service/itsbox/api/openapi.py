"""The OpenAPI document: the framework's, completed by what it cannot know. Committed as ``openapi/openapi.json``."""

from __future__ import annotations

import copy
import json
import re
from functools import lru_cache
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

import itsbox
from itsbox.api.answers import Problem
from itsbox.api.describe import ERROR_STATUSES, REQUEST_FORMS
from itsbox.api.problems import MEDIA_TYPE, PROBLEMS, TYPE_PREFIX

__all__ = ["document", "methods_at", "text"]

_DESCRIPTION: Final = """\
Simulated Arm machines, one per session, whose GIC ITS is guarded by an emulation of pKVM's ITS hardening.

Addresses and 64-bit values are `"0x..."` strings in answers; requests take such a string or an integer. Unknown fields and
parameters are refused. What simulated hardware does, and what its hypervisor refuses, is a result and status 200; what a
client does wrong is a problem (RFC 9457).

Streams are described in `openapi/asyncapi.yaml`, packed frames in `docs/wire.md`.
"""
_TAGS: Final = {
    "sessions": "Machines with an identity and an end.",
    "ops": "What the host, or a device, does.",
    "looking": "What a session is; looking changes nothing.",
    "events": "What happened.",
    "snapshots": "Going back, and branching.",
    "scenarios": "Named programs: an honest boot, attacks, historic defects.",
    "catalogue": "What there is.",
    "service": "The service itself.",
}
_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a retry safe: the same key with the same request is answered again, not carried out again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_METADATA: Final = {
    "name": "metadata.KEY",
    "in": "query",
    "required": False,
    "description": "Only sessions whose metadata has this value under KEY; any key, more than once.",
    "schema": {"type": "string", "maxLength": 512},
}


@lru_cache(maxsize=1)
def _built() -> dict[str, Any]:
    from itsbox.api.app import create_app  # noqa: PLC0415 - the app serves this document
    from itsbox.api.settings import Settings  # noqa: PLC0415

    app = create_app(Settings.model_construct()).app
    if not isinstance(app, FastAPI):
        raise TypeError("the gate is around something else than the framework")
    built = get_openapi(
        title=app.title,
        version=itsbox.__version__,
        summary=app.summary,
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": doc} for name, doc in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "http://127.0.0.1:8321", "description": "`itsbox serve`"}],
    )
    _add_forms(built)
    _add_problems(built)
    built["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "Needed only where the service has API keys."}
    }
    built["security"] = [{}, {"key": []}]
    for path, operations in built["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return built


def _add_forms(built: dict[str, Any]) -> None:
    """Schemas of request bodies: the handlers read them themselves, so the framework has not seen them."""
    forms = [(form, "validation") for _, form in sorted(REQUEST_FORMS.items())]
    _, schemas = models_json_schema(forms, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    components = built.setdefault("components", {}).setdefault("schemas", {})
    components.update(schemas["$defs"])
    # The framework's own errors are never answered.
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)
    built["components"]["schemas"] = dict(sorted(components.items()))


def _add_problems(built: dict[str, Any]) -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    built["components"]["schemas"].update(schema.pop("$defs", {}))
    built["components"]["schemas"]["Problem"] = schema
    responses = built["components"]["responses"] = {}
    for status in ERROR_STATUSES:
        kinds = [row for row in PROBLEMS.values() if status in row.statuses]
        responses[f"Problem{status}"] = {
            "description": " ".join(f"`{row.kind}`: {row.doc}" for row in kinds),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": {
                        "type": TYPE_PREFIX + kinds[0].kind,
                        "title": kinds[0].title,
                        "status": status,
                        "detail": kinds[0].doc,
                        "instance": "/v1/sessions",
                    },
                }
            },
        }


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Every status that any route can answer, and the headers and parameters that the gate and the handlers take."""
    for status in ERROR_STATUSES:
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    if method == "post":
        operation.setdefault("parameters", []).append(copy.deepcopy(_IDEMPOTENCY))
    if operation["operationId"] == "list_sessions":
        operation["parameters"].append(copy.deepcopy(_METADATA))
    if not path.startswith("/v1/") and path != "/metrics":
        operation["security"] = []


def document() -> dict[str, Any]:
    """The document, the same at every call."""
    return _built()


@lru_cache(maxsize=1)
def _methods() -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(path))), ", ".join(sorted(map(str.upper, operations))))
        for path, operations in document()["paths"].items()
    ]


def methods_at(path: str) -> str:
    """The methods that a path has, as ``Allow`` lists them; GET and HEAD for what the document does not have (the page)."""
    return next((methods for pattern, methods in _methods() if pattern.fullmatch(path)), "GET, HEAD")


def text() -> str:
    """The document as the repository keeps it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
