"""Between the wire and Python: 64-bit values are ``"0x..."`` strings there and plain ints here.

The wire's rule exists for readers that lose bits above 2**53; Python does not, so every answer is turned into ints
once, here, and every 64-bit field of a request into a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from itsbox_client.layout import WORD_MASK
from itsbox_client.problems import ProtocolError

__all__ = ["FREE_TEXT", "dumps", "hex64", "loads", "numbers", "query"]

_HEX = re.compile(r"0x[0-9a-fA-F]+")

#: Members whose value is somebody's own text (or bytes), never a number of the machine, whatever it looks like.
FREE_TEXT = frozenset({"metadata", "line", "log", "hex", "id", "detail", "session", "snapshot"})


def hex64(value: int) -> str:
    """The wire form of an address or 64-bit value. Raises ValueError if it is none."""
    if not 0 <= value <= WORD_MASK:
        raise ValueError(f"{value:#x} is not an unsigned 64-bit value")
    return hex(value)


def numbers(value: Any) -> Any:
    """``value`` with each ``"0x..."`` string as an int, except under the members that ``FREE_TEXT`` names."""
    if isinstance(value, str):
        return int(value, 16) if _HEX.fullmatch(value) else value
    if isinstance(value, list):
        return [numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: item if key in FREE_TEXT else numbers(item) for key, item in value.items()}
    return value


def dumps(body: object) -> bytes:
    """A request body as JSON."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def loads(body: bytes | str) -> Any:
    """An answer's JSON. Raises ProtocolError if it is none (a proxy's page, a cut body)."""
    try:
        return json.loads(body)
    except ValueError as error:
        start = body[:80] if isinstance(body, str) else body[:80].decode(errors="replace")
        raise ProtocolError(f"the answer is not JSON: {start!r}") from error


def query(pairs: Mapping[str, str | int | Iterable[str] | None]) -> dict[str, str]:
    """Query parameters: what is None is left out, an iterable becomes a comma-separated list."""
    out: dict[str, str] = {}
    for name, value in pairs.items():
        if value is None:
            continue
        out[name] = str(value) if isinstance(value, str | int) else ",".join(value)
    return out
