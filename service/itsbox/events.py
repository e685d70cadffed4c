"""Every event that a machine or a session can stream: declared once, emitted as plain tuples.

An emitted event is ``(type, step, value, value, ...)``, the values in the order of ``type.fields``. It stays a tuple until
somebody reads it; ``render`` then gives the wire form of the wire contract. ``seq`` is the session's business.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

__all__ = ["EVENT_TYPES", "Event", "EventLog", "EventType", "markdown", "render"]

# How a field's value is shown on the wire.
HEX: Final = "hex"  # unsigned 64-bit value or address: "0x..." string
INT: Final = "int"
BOOL: Final = "bool"
TEXT: Final = "text"  # str or None
WORDS: Final = "words"  # four 64-bit words
REASON: Final = "reason"  # Reason or None: its value
ERROR: Final = "error"  # CommandError or None: its name
CODE: Final = "code"  # the code of a CommandError: "0x" and six digits, as in results and in GET /v1/arch
DATA: Final = "data"  # JSON-like, shown as it is


class EventType(NamedTuple):
    """A kind of event: its stable name, its fields as (name, kind), when it is emitted."""

    name: str
    fields: tuple[tuple[str, str], ...]
    doc: str


EVENT_TYPES: dict[str, EventType] = {}


def _event(name: str, doc: str, /, **fields: str) -> EventType:
    kind = EventType(name, tuple(fields.items()), doc)
    EVENT_TYPES[name] = kind
    return kind


TRAP_MMIO = _event(
    "trap.mmio",
    "A host access to a protected frame trapped to the hypervisor.",
    addr=HEX, register=TEXT, size=INT, write=BOOL, value=HEX, action=TEXT, reason=REASON,
)  # fmt: skip
TRAP_HVC = _event(
    "trap.hvc",
    "The host issued a hypercall.",
    function=TEXT, args=DATA, x0=HEX, x1=HEX, errno=TEXT, reason=REASON,
)  # fmt: skip
TRAP_ABORT = _event(
    "trap.abort",
    "Stage 2 refused an access of the host.",
    addr=HEX, write=BOOL, owner=TEXT, reason=REASON,
)  # fmt: skip
COMMAND_EXECUTED = _event("command.executed", "The ITS carried a command out.", slot=INT, name=TEXT, words=WORDS)
COMMAND_REJECTED = _event(
    "command.rejected",
    "The hypervisor refused a command of the host's queue.",
    slot=INT, name=TEXT, words=WORDS, reason=REASON, rule=TEXT,
)  # fmt: skip
COMMAND_ERROR = _event(
    "command.error",
    "The ITS found an error in a command.",
    slot=INT, name=TEXT, words=WORDS, error=ERROR, code=CODE, stalled=BOOL,
)  # fmt: skip
SHADOW_QUEUE = _event(
    "shadow.queue",
    "Commands were copied from the host's queue to the hardware queue; byte offsets.",
    **{"from": INT, "to": INT, "count": INT},
)
SHADOW_TABLE = _event(
    "shadow.table",
    "A level-1 entry (or, with index -1, a whole table) was mirrored from the host's copy to the hardware's.",
    table=TEXT, index=INT, old=HEX, new=HEX,
)  # fmt: skip
PAGE_STATE = _event(
    "page.state",
    "Ownership, sharing or pin count of pages changed.",
    **{"addr": HEX, "pages": INT, "from": TEXT, "to": TEXT, "cause": TEXT},
)
LPI_PENDING = _event(
    "lpi.pending", "An LPI became pending at a redistributor, or a vLPI in a vPE's table.",
    intid=INT, cpu=DATA, vpe=DATA,
)  # fmt: skip
DRIVER_LOG = _event("driver.log", "The host driver printed a line.", line=TEXT)
VIOLATION = _event(
    "violation",
    "The oracle objects: memory isolation did not hold.",
    oracle=TEXT, sentence=TEXT, bucket=TEXT, evidence=DATA,
)  # fmt: skip
SESSION_CREATED = _event("session.created", "The session exists.", session=TEXT, profile=TEXT, hardening=TEXT)
SESSION_RESTORED = _event(
    "session.restored", "A snapshot was restored; the epoch grew.", snapshot=TEXT, epoch=INT, state_hash=TEXT
)
SESSION_FORKED = _event("session.forked", "Sessions were forked off this one.", sessions=DATA, snapshot=TEXT)
SESSION_EXPIRING = _event("session.expiring", "The session will end soon unless used.", expires_at=TEXT)
SESSION_CRASHED = _event("session.crashed", "A defect of the service ended this machine.", error=TEXT)
SESSION_CLOSED = _event("session.closed", "The session ended.", reason=TEXT)

Event: TypeAlias = tuple[Any, ...]


class EventLog:
    """Where the layers of one machine append events. ``step`` is the op that is running.

    Invariant: ``items`` holds what was emitted since the last ``take``.
    """

    __slots__ = ("items", "step")

    def __init__(self) -> None:
        self.items: list[Event] = []
        self.step = 0

    def emit(self, kind: EventType, *values: object) -> None:
        """Append an event; ``values`` in the order of ``kind.fields``."""
        self.items.append((kind, self.step, *values))

    def take(self) -> list[Event]:
        """The events since the last take."""
        taken, self.items = self.items, []
        return taken


def _show(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == HEX:
        return hex(value)
    if kind == CODE:
        return f"{value:#08x}"
    if kind == WORDS:
        return [hex(word) for word in value]
    if kind == REASON:
        return value.value
    if kind == ERROR:
        return value.name
    return value


def render(event: Event) -> dict[str, Any]:
    """The wire form of an event, without ``seq``: ``{"step", "type", "data"}``."""
    kind: EventType = event[0]
    data = {name: _show(shape, value) for (name, shape), value in zip(kind.fields, event[2:], strict=True)}
    return {"step": event[1], "type": kind.name, "data": data}


def markdown() -> str:
    """``docs/reference/events.md``: every event with its fields."""
    lines = [
        "# Events",
        "",
        "<!-- generated from service/itsbox/events.py -->",
        "",
        'An event is `{"seq", "step", "type", "data"}`. `seq` counts from 1 without holes, in the session; `step` is the op',
        "during which it happened. Kinds of value: `hex` is a `0x...` string, `words` four of them, `reason` and `error` the",
        "name of one, `code` an error's code as results have it (`0x` and six digits), `data` is what the event's own text says;",
        "every value may be null where there is none.",
        "",
    ]
    for kind in EVENT_TYPES.values():
        lines += [f"## `{kind.name}`", "", kind.doc, "", "| field | kind |", "| --- | --- |"]
        lines += [f"| `{name}` | {shape} |" for name, shape in kind.fields]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"
