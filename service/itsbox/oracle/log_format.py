"""The event log: one JSON object a line, from which a machine's life can be judged without the machine.

docs/event-log.md is the description; this module turns lines into values and back. A log begins with a ``head``; then come
events as they are streamed, and, in a complete log, three more kinds of line with which nothing has to be guessed: ``op``,
``dma`` and ``hardware``.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store

__all__ = ["FORMAT", "LogError", "number", "op_from_line", "op_line", "page_text"]

FORMAT: Final = "itsbox-log/1"


class LogError(ValueError):
    """A log is not what the format says; names the line, counted from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def number(value: Any) -> int:
    """An integer, or a string such as "0x10". Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - a malformed log is a ValueError throughout
    return int(value, 0) if isinstance(value, str) else value


def op_line(op: Op) -> dict[str, Any]:
    """An op in its wire form, whole."""
    match op:
        case Store(addr, data):
            return {"op": "store", "addr": hex(addr), "hex": data.hex()}
        case Hvc(function, args):
            return {"op": "hvc", "function": function, "args": [hex(arg) for arg in args]}
        case Drive(call, args):
            return {"op": "driver", "call": call, "args": dict(args)}
        case _:
            fields = {name: hex(v) if name in {"addr", "value"} else v for name, v in op._asdict().items()}
            return {"op": _NAMES[type(op)], **fields}


_NAMES: Final[dict[type, str]] = {
    MmioRead: "mmio_read",
    MmioWrite: "mmio_write",
    Load: "load",
    Fill: "fill",
    Msi: "msi",
    Ack: "ack",
    Clean: "clean",
}
_KINDS: Final[dict[str, type[Any]]] = {name: kind for kind, name in _NAMES.items()}


def op_from_line(data: dict[str, Any]) -> Op:
    """Undo ``op_line``. Raises ValueError, KeyError or TypeError for what is no op."""
    name = data["op"]
    if name == "store":
        return Store(number(data["addr"]), bytes.fromhex(data["hex"]))
    if name == "hvc":
        function = data["function"]
        return Hvc(function if isinstance(function, str) else number(function), tuple(map(number, data["args"])))
    if name == "driver":
        return Drive(str(data["call"]), dict(data["args"]))
    kind = _KINDS[name]
    op: Op = kind(*(number(data[field]) for field in kind._fields))
    return op


class PageText(NamedTuple):
    """A page's state as ``page.state`` events spell it."""

    owner: str
    state: str
    pins: int


def page_text(text: str) -> PageText:
    """Read "host SHARED_OWNED pins=2". Raises ValueError."""
    owner, state, *rest = text.split()
    pins = sum(int(word.removeprefix("pins=")) for word in rest if word.startswith("pins="))
    if owner not in {"host", "hyp", "guest"}:
        raise ValueError(f"{owner!r} owns no pages")
    return PageText(owner, state, pins)
