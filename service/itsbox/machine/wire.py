"""Outcomes as the wire shows them: plain JSON-like dicts (the wire contract, "Ops"). Validation of input is the API's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from itsbox.ops import (
    Aborted,
    Acked,
    Bytes,
    Delivered,
    Done,
    Drove,
    HvcReturn,
    Panicked,
    Refused,
    Value,
)

if TYPE_CHECKING:
    from itsbox.ops import CommandRecord, Outcome

__all__ = ["command_json", "outcome_json"]


def command_json(record: CommandRecord) -> dict[str, Any]:
    """One command that was looked at."""
    slot, name, words, verdict, error, reason = record
    shown: dict[str, Any] = {
        "slot": slot,
        "name": name,
        "words": [hex(word) for word in words],
        "verdict": verdict,
    }
    if error is not None:
        shown["error"] = error.name
        shown["code"] = f"{error.code:#08x}"
    if reason is not None:
        shown["reason"] = reason.value
    return shown


def _commands(records: Any) -> dict[str, Any]:
    return {"commands": [command_json(record) for record in records]} if records else {}


def _refused(outcome: Refused) -> dict[str, Any]:
    shown: dict[str, Any] = {"outcome": "refused", "reason": outcome.reason.value}
    if outcome.value is not None:
        shown["value"] = hex(outcome.value)
    return shown | _commands(outcome.commands)


def _hvc(outcome: HvcReturn) -> dict[str, Any]:
    shown: dict[str, Any] = {
        # NOT_SUPPORTED is an SMCCC code like another, what a caller of an unknown function gets; an errno is a refusal.
        "outcome": "ok" if outcome.errno is None else "refused",
        "x0": hex(outcome.x0),
        "x1": hex(outcome.x1),
        "errno": outcome.errno,
    }
    if outcome.reason is not None:
        shown["reason"] = outcome.reason.value
    return shown


_SHOW: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    Value: lambda o: {"outcome": "ok", "value": hex(o.value)},
    Done: lambda o: {"outcome": "ok", **_commands(o.commands)},
    Bytes: lambda o: {"outcome": "ok", "hex": o.data.hex()},
    HvcReturn: _hvc,
    Delivered: lambda o: {"outcome": "ok", "delivered": o.delivered},
    Acked: lambda o: {"outcome": "ok", "intid": o.intid},
    Drove: lambda o: {"outcome": "ok", "log": list(o.log), "result": o.result},
    Refused: _refused,
    Aborted: lambda o: {"outcome": "abort", "reason": o.reason.value, **({"log": list(o.log)} if o.log else {})},
    Panicked: lambda o: {"outcome": "panic", "reason": o.reason.value},
}


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """The wire form of an outcome, without ``violations``, ``seq`` and ``step``."""
    return _SHOW[type(outcome)](outcome)
