"""How a route says what it is to the OpenAPI document: request body, example, links, the statuses that every route has."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from itsbox.api.body import JSON, PACKED

__all__ = ["ERROR_STATUSES", "REQUEST_FORMS", "describe", "link"]

#: Every operation may answer these, each as a problem; ``openapi.document`` adds them.
ERROR_STATUSES: Final = (400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503)
#: Request models that some route names, by the name of their schema; filled as routes are declared.
REQUEST_FORMS: Final[dict[str, type[BaseModel]]] = {}


def link(operation: str, **parameters: str) -> dict[str, Any]:
    """An OpenAPI link: what the answer of one operation gives to another."""
    return {"operationId": operation, "parameters": parameters}


def describe(
    *,
    example: Any = None,
    status: int = 200,
    doc: str = "Done.",
    form: type[BaseModel] | None = None,
    body: Any = None,
    optional: bool = False,
    packed: bool = False,
    media_type: str = JSON,
    links: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Keyword arguments for a route's decorator.

    example: of the answer; form, body: the request's model and an example of it; optional: it may be left out; packed: it may
    be a packed frame instead, and so may the answer.
    """
    answer: dict[str, Any] = {"description": doc}
    if status != 204:
        content: dict[str, Any] = {} if example is None else {"example": example}
        answer["content"] = {media_type: content}
        if packed:
            answer["content"][PACKED] = {"schema": {"type": "string", "format": "binary"}}
    if links:
        answer["links"] = links
    described: dict[str, Any] = {"status_code": status, "responses": {status: answer}}
    if form is not None:
        REQUEST_FORMS[form.__name__] = form
        accepted: dict[str, Any] = {
            JSON: {"schema": {"$ref": f"#/components/schemas/{form.__name__}"}, "example": body}
        }
        if packed:
            accepted[PACKED] = {"schema": {"type": "string", "format": "binary"}}
        described["openapi_extra"] = {"requestBody": {"required": not optional, "content": accepted}}
    return described
