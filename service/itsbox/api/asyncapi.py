"""The AsyncAPI document of the WebSockets, from the declarations of ``events``. Committed as ``openapi/asyncapi.yaml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import itsbox
from itsbox import events
from itsbox.events import EVENT_TYPES, EventType

__all__ = ["as_data", "document"]

_HEX: Final = {"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"}
_SHAPES: Final[dict[str, dict[str, Any]]] = {
    events.HEX: {"oneOf": [_HEX, {"type": "null"}]},
    events.INT: {"type": ["integer", "null"]},
    events.BOOL: {"type": ["boolean", "null"]},
    events.TEXT: {"type": ["string", "null"]},
    events.WORDS: {"type": "array", "items": _HEX, "minItems": 4, "maxItems": 4},
    events.REASON: {"type": ["string", "null"], "description": "A reason of GET /v1/arch."},
    events.ERROR: {"type": ["string", "null"], "description": "An ITS command error of GET /v1/arch."},
    events.CODE: {"type": ["string", "null"], "pattern": "^0x[0-9a-f]{6}$", "description": "The error's code."},
    events.DATA: {"description": "Any JSON value."},
}
_SESSION: Final = {"session_id": {"description": "A session's id."}}


def _event(kind: EventType) -> dict[str, Any]:
    return {
        "description": kind.doc,
        "type": "object",
        "required": ["seq", "step", "type", "data"],
        "properties": {
            "seq": {"type": "integer", "minimum": 1, "description": "The event's number; there are no holes."},
            "step": {"type": "integer", "minimum": 0, "description": "The op during which it happened."},
            "type": {"const": kind.name},
            "data": {
                "type": "object",
                "required": [name for name, _ in kind.fields],
                "properties": {name: _SHAPES[shape] for name, shape in kind.fields},
            },
        },
    }


def _schema_name(kind: EventType) -> str:
    return kind.name.replace(".", "_")


def as_data() -> dict[str, Any]:
    """The document as plain data."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "itsbox streams",
            "version": itsbox.__version__,
            "description": (
                "Events of a session as they happen, and ops in packed frames. The opening request of a WebSocket is"
                " answered with a problem (RFC 9457) where it cannot be served. Where the service has API keys, send one"
                " as a bearer token, or, from a browser, as a second subprotocol: `itsbox, bearer.KEY`."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:8321", "protocol": "ws", "description": "itsbox serve"}},
        "channels": {"stream": _stream_channel(), "lane": _lane_channel()},
        "operations": {
            "receiveEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "summary": "The service sends frames; a message from the client ends the stream (close code 1003).",
            },
            "runOps": {
                "action": "receive",
                "channel": {"$ref": "#/channels/lane"},
                "messages": [{"$ref": "#/channels/lane/messages/request"}],
                "reply": {
                    "channel": {"$ref": "#/channels/lane"},
                    "messages": [{"$ref": "#/channels/lane/messages/answer"}],
                },
                "summary": "One answer for each request, in order; several may be in flight.",
            },
        },
        "components": {
            "schemas": {_schema_name(kind): _event(kind) for kind in EVENT_TYPES.values()},
        },
    }


def _stream_channel() -> dict[str, Any]:
    return {
        "address": "/v1/sessions/{session_id}/stream",
        "description": (
            "History behind `after`, then live, in order and without holes; at most 50 ms or 200 events to a frame. What"
            " is gone from history is told by a gap. Closed with 1000 when the session has ended, 1001 when the service"
            " stops."
        ),
        "parameters": _SESSION,
        "bindings": {
            "ws": {
                "query": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "after": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "Number of the last event already seen.",
                        },
                        "types": {
                            "type": "string",
                            "description": "Event types, separated by commas; `trap.*` means a family.",
                        },
                    },
                }
            }
        },
        "messages": {
            "events": {
                "summary": "Events.",
                "payload": {
                    "type": "object",
                    "required": ["epoch", "events"],
                    "additionalProperties": False,
                    "properties": {
                        "epoch": {"type": "integer", "minimum": 1, "description": "Grows at each restore."},
                        "events": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 200,
                            "items": {
                                "oneOf": [
                                    {"$ref": f"#/components/schemas/{_schema_name(kind)}"}
                                    for kind in EVENT_TYPES.values()
                                ]
                            },
                        },
                    },
                },
            },
            "gap": {
                "summary": "Events that are no longer kept.",
                "payload": {
                    "type": "object",
                    "required": ["gap"],
                    "additionalProperties": False,
                    "properties": {
                        "gap": {
                            "type": "object",
                            "required": ["from", "to"],
                            "properties": {
                                "from": {"type": "integer", "minimum": 1},
                                "to": {"type": "integer", "minimum": 1},
                            },
                        }
                    },
                },
            },
        },
    }


def _lane_channel() -> dict[str, Any]:
    packed = {"type": "string", "format": "binary"}
    return {
        "address": "/v1/sessions/{session_id}/lane",
        "description": "Packed frames, byte by byte in docs/wire.md; the same as `POST .../ops` takes.",
        "parameters": _SESSION,
        "messages": {
            "request": {
                "summary": "Ops to execute.",
                "contentType": "application/octet-stream",
                "payload": packed,
            },
            "answer": {
                "summary": "Their results, or a problem.",
                "contentType": "application/octet-stream",
                "payload": packed,
            },
        },
    }


# ------------------------------------------------------------------------------------------------------------ YAML

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_ ./{}-]*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.strip() == value and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)  # JSON's scalars are YAML's


def _lines(value: Any, indent: str) -> Iterator[str]:
    """YAML's block style, as far as mappings, lists and JSON's scalars need it."""
    items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in items:
        head = f"{indent}- " if key is None else f"{indent}{_scalar(key)}:"
        if isinstance(item, dict | list) and item:
            nested = list(_lines(item, indent + "  "))
            if key is None:
                yield head + nested[0].strip()
                yield from nested[1:]
            else:
                yield head
                yield from nested
        else:
            shown = _scalar(item) if not isinstance(item, dict | list) else ("{}" if isinstance(item, dict) else "[]")
            yield head + shown if key is None else f"{head} {shown}"


def document() -> str:
    """The document as YAML."""
    return "\n".join(("# generated from service/itsbox/events.py: make generate", *_lines(as_data(), ""))) + "\n"
