"""Small checks from which the shape of a line is put together: each takes a JSON value and answers it, made plain.

A check raises ValueError with a sentence that says what the value must be; ``record`` and ``listed`` put before it where. No
check calls itself, so that no value is too deep for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

__all__ = [
    "Check",
    "Optional",
    "anything",
    "flag",
    "listed",
    "one_of",
    "optional",
    "record",
    "text",
    "tuple_of",
    "whole",
]

Check: TypeAlias = Callable[[Any], Any]

_NUMBER_CHARS: Final = 40
_SHOWN_CHARS: Final = 60
_DEPTH: Final = 32


class Optional(NamedTuple):
    """A field that may be left out, and what it is then."""

    check: Check
    default: Any = None


def _shown(value: Any) -> str:
    """A value for a sentence: a container by its kind, anything else cut short."""
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    said = ascii(value) if isinstance(value, str) else str(value) if not isinstance(value, int) else f"{value:#x}"
    return said if len(said) <= _SHOWN_CHARS else f"{said[:_SHOWN_CHARS]}..."


def whole(low: int, high: int) -> Callable[[Any], int]:
    """An integer in low..high, or a string of one such as "0x10"; neither a fraction nor a truth value."""
    must = f"must be a whole number from {low:#x} to {high:#x}" if high > 0xFFFF else f"must be {low} to {high}"

    def check(value: Any) -> int:
        made = value
        if type(value) is str and len(value) <= _NUMBER_CHARS:
            try:
                made = int(value, 0)
            except ValueError:
                raise ValueError(f"{must}, not {_shown(value)}") from None
        if type(made) is not int or not low <= made <= high:
            raise ValueError(f"{must}, not {_shown(value)}")
        return made

    return check


def flag(value: Any) -> bool:
    """A truth value, or 0 or 1."""
    if not isinstance(value, int) or value not in (0, 1):
        raise ValueError(f"must be true or false, not {_shown(value)}")
    return bool(value)


def one_of(*words: Any) -> Check:
    """One of some strings or numbers."""
    kinds = {type(word) for word in words}
    known = frozenset(words)

    def check(value: Any) -> Any:
        if type(value) not in kinds or value not in known:
            raise ValueError(f"must be one of {', '.join(map(str, words))}, not {_shown(value)}")
        return value

    return check


def text(most: int) -> Callable[[Any], str]:
    """At most so many characters that UTF-8 can hold."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most or not (value.isascii() or _encodes(value)):
            raise ValueError(f"must be a text of at most {most} characters, not {_shown(value)}")
        return value

    return check


def _encodes(value: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in value)


def optional(check: Check) -> Check:
    """Null, or what the check says."""
    return lambda value: None if value is None else check(value)


def listed(check: Check, least: int, most: int) -> Callable[[Any], tuple[Any, ...]]:
    """An array of so many values."""

    def check_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            many = f"{least}" if least == most else f"{least} to {most}"
            raise ValueError(f"must be an array of {many}, not {_shown(value)}")
        return tuple([check(each) for each in value])

    return check_all


def tuple_of(*checks: Check) -> Callable[[Any], tuple[Any, ...]]:
    """An array with one value for each check."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(checks):
            raise ValueError(f"must be an array of {len(checks)}, not {_shown(value)}")
        return tuple([one(each) for one, each in zip(checks, value, strict=True)])

    return check


def record(**fields: Check | Optional) -> Callable[[Any], dict[str, Any]]:
    """An object with these fields; others are passed over."""
    rows = [(n, *(f if isinstance(f, Optional) else (f, _REQUIRED))) for n, f in fields.items()]

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"must be an object, not {_shown(value)}")  # noqa: TRY004 - as everywhere in a log
        made = {}
        for name, one, default in rows:
            given = value.get(name, _ABSENT)
            if given is _ABSENT:
                if default is _REQUIRED:
                    raise ValueError(f"{name} is missing")
                made[name] = default
                continue
            try:
                made[name] = one(given)
            except ValueError as error:
                said = str(error)
                raise ValueError(f"{name}{' ' if said.startswith('must') else '.'}{said}") from None
        return made

    return check


_ABSENT: Final = object()
_REQUIRED: Final = object()


def anything(kind: type) -> Check:
    """Any value of a kind that is not nested deeper than anything that is meant to be read, all its text UTF-8."""

    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError(f"must be an object, not {_shown(value)}")  # noqa: TRY004 - as everywhere in a log
        level = [value]
        for _ in range(_DEPTH):
            level = [part for each in level for part in _parts(each)]
            if not level:
                return value
        raise ValueError(f"must not be nested deeper than {_DEPTH}")

    return check


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, list):
        return value
    if isinstance(value, str) and not value.isascii() and not _encodes(value):
        raise ValueError("must be UTF-8")
    return []
