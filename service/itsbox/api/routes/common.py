"""What handlers are given: the service, and the session that the path names."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Depends, Path
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from starlette.requests import HTTPConnection

from itsbox.api.numbers import number_schema, parse_number
from itsbox.api.service import Service
from itsbox.sessions.session import Session

__all__ = ["InQuery", "ServiceDep", "SessionDep", "SessionId", "session_path"]

session_path: Final = "/v1/sessions/{session_id}"


async def the_service(request: HTTPConnection) -> Service:
    """The service of this application."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(the_service)]
SessionId = Annotated[str, Path(description="A session's id.", max_length=64)]


async def the_session(service: ServiceDep, session_id: SessionId) -> Session:
    """The session that the path names. Raises ``SessionNotFound``."""
    return service.sessions.find(session_id)


SessionDep = Annotated[Session, Depends(the_session)]


class InQuery:
    """Annotates an ``int`` in a query: decimal or hexadecimal digits, within low..high."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(self.high)):
            value = int(value)
        return parse_number(value, self.low, self.high)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return number_schema(self.low, self.high)
