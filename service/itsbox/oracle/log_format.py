"""The event log: one JSON object a line, from which a machine's life can be judged without the machine.

docs/event-log.md is the description; this module turns lines into values and back. A log begins with a ``head``; then come
events as they are streamed, and, in a complete log, three more kinds of line with which nothing has to be guessed: ``op``,
``dma`` and ``hardware``.

A log is anybody's text. What a line may hold, field by field with its bounds, stands here once: in ``HEAD``, ``OPS`` and
``line_shapes``. Behind this door all numbers are ints that a machine of this kind can have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from itsbox.arch.its_commands import MAPD
from itsbox.arch.its_registers import GITS_BASER
from itsbox.arch.values import ADDRESS_BITS, PAGE_SHIFT, PAGE_SIZE, WORD_MASK
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.log_shapes import (
    Check,
    Optional,
    anything,
    flag,
    listed,
    one_of,
    optional,
    record,
    text,
    tuple_of,
    whole,
)  # fmt: skip

__all__ = [
    "CPUS_MAX",
    "FORMAT",
    "ITS_MAX",
    "MAPD_SIZE_MAX",
    "RAM_MAX",
    "Access",
    "LogError",
    "PageText",
    "head_from_line",
    "line_shapes",
    "number",
    "op_from_line",
    "op_line",
    "page_text",
]

FORMAT: Final = "itsbox-log/1"

# What no machine has more of (``machine.config`` has the first two, which lie above this layer).
RAM_MAX: Final = 4 << 30
CPUS_MAX: Final = 64
ITS_MAX: Final = 8
STRUCTURE_MAX: Final = 16 << 20  # GITS_BASER<n>: 256 pages of 64 KB
MAPD_SIZE_MAX: Final = 24  # 16 bits of EventID are less; an ITS with a seeded defect takes any Size
_U32: Final = (1 << 32) - 1
_STEPS: Final = (1 << 53) - 1
_NAME_CHARS: Final = 64
_SENTENCE_CHARS: Final = 4096


class LogError(ValueError):
    """A log is not what the format says; names the line, counted from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


def number(value: Any) -> int:
    """An integer, or a string such as "0x10". Raises ValueError for anything else."""
    return whole(-(1 << 64), 1 << 64)(value)


# ---------------------------------------------------------------- ops


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

_U64: Final = whole(0, WORD_MASK)
_LENGTH: Final = whole(1, WORD_MASK)
_SIZE: Final = one_of(1, 2, 4, 8)
_NAME: Final = text(_NAME_CHARS)


def _function(value: Any) -> str | int:
    """A hypercall: its name, or its number."""
    return _NAME(value) if isinstance(value, str) else whole(0, _U32)(value)


def _bytes(value: Any) -> bytes:
    """Pairs of hexadecimal digits."""
    if not isinstance(value, str):
        raise ValueError("must be pairs of hexadecimal digits")  # noqa: TRY004 - a malformed log is a ValueError throughout
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError("must be pairs of hexadecimal digits") from None


OPS: Final[dict[str, Check]] = {
    "mmio_read": record(addr=_U64, size=_SIZE),
    "mmio_write": record(addr=_U64, size=_SIZE, value=_U64),
    "load": record(addr=_U64, length=_LENGTH),
    "store": record(addr=_U64, hex=_bytes),
    "fill": record(addr=_U64, length=_LENGTH, byte=whole(0, 0xFF)),
    "hvc": record(function=_function, args=listed(_U64, 0, 6)),
    "msi": record(device_id=whole(0, _U32), event_id=whole(0, _U32)),
    "ack": record(cpu=whole(0, CPUS_MAX - 1)),
    "clean": record(addr=_U64, length=_LENGTH),
    "driver": record(call=_NAME, args=anything(dict)),
}
"""Fields of each op, as ``POST .../ops`` takes them."""
_OP: Final = one_of(*OPS)


def op_from_line(data: Any) -> Op:
    """Undo ``op_line``. Raises ValueError for what is no op."""
    name = record(op=_OP)(data)["op"]
    fields = OPS[name](data)
    if name == "store":
        return Store(fields["addr"], fields["hex"])
    if name == "hvc":
        return Hvc(fields["function"], fields["args"])
    if name == "driver":
        return Drive(fields["call"], fields["args"])
    op: Op = _KINDS[name](**fields)
    return op


# ---------------------------------------------------------------- the head

_ADDRESS: Final = whole(0, (1 << ADDRESS_BITS) - 1)
_RAM_BYTES: Final = whole(PAGE_SIZE, RAM_MAX)
_MAP: Final = record(
    gicd=_ADDRESS, its=_ADDRESS, translater=_ADDRESS, gicr=_ADDRESS, gicr_stride=whole(PAGE_SIZE, 1 << 32),
    ram=_ADDRESS, ram_bytes=_RAM_BYTES, hyp=_ADDRESS, hyp_bytes=_RAM_BYTES, guest=_ADDRESS, guest_bytes=_RAM_BYTES,
    sgir=Optional(optional(_ADDRESS)), its_nodes=Optional(listed(_ADDRESS, 0, ITS_MAX), ()),
)  # fmt: skip
_HEAD: Final = record(
    map=_MAP, complete=Optional(flag, False), cpus=Optional(whole(1, CPUS_MAX), 1), its=Optional(whole(1, ITS_MAX), 1),
    pta=Optional(flag, False), vmapp=Optional(flag, False), l1_as_qemu=Optional(flag, False),
    ite_bytes=Optional(whole(1, 16), 12), id_bits=Optional(whole(1, 23), 15),
)  # fmt: skip


def head_from_line(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a head, those left out with the values that the format gives them. Raises ValueError."""
    if value.get("format") != FORMAT:
        raise ValueError(f"a log begins with a head of format {FORMAT!r}")
    head: dict[str, Any] = _HEAD(value)
    where = head["map"]
    end = where["ram"] + where["ram_bytes"]
    for part in ("hyp", "guest"):
        if where[part] < where["ram"] or where[part] + where[f"{part}_bytes"] > end:
            raise ValueError(f"map.{part} must lie in RAM")
    if end > 1 << ADDRESS_BITS:
        raise ValueError("map.ram must end below 2^52")
    return head


# ---------------------------------------------------------------- lines

_PHASE: Final = one_of("trusted", "deprivileging", "deprivileged")
_WORDS: Final = listed(_U64, 4, 4)
_COMMAND: Final = optional(tuple_of(whole(0, 1 << 16), optional(_NAME), _WORDS))
_DEVICE_WHYS: Final = frozenset({*TABLE, Why.RD_BASE})
_WHYS: Final = {Initiator.HOST: frozenset({Why.HOST}), Initiator.HYP: frozenset({Why.HYP})}
_INITIATORS: Final = {name: n for n, name in enumerate(Initiator.NAMES)}
_DMA: Final[dict[str, Check]] = {
    "initiator": one_of(*Initiator.NAMES),
    "write": flag,
    "addr": _ADDRESS,
    "length": whole(1, RAM_MAX),
    "why": one_of(*TABLE, Why.RD_BASE, Why.HOST, Why.HYP),
    "command": _COMMAND,
    "phase": _PHASE,
}
_LEVEL_1: Final = listed(tuple_of(whole(0, STRUCTURE_MAX // 8 - 1), _U64), 0, STRUCTURE_MAX // 8)
_OVERWRITTEN: Final = tuple_of(whole(0, _U32), _ADDRESS, whole(0, STRUCTURE_MAX))


class Access(NamedTuple):
    """A ``dma`` line: the fields of ``Watch``, then the ITS and its command, and the phase."""

    initiator: int
    write: bool
    addr: int
    length: int
    why: str
    its: int
    command: tuple[int, str | None, tuple[int, int, int, int]] | None
    phase: str


class PageText(NamedTuple):
    """A page's state as ``page.state`` events spell it."""

    owner: str
    state: str
    pins: int


_OWNERS: Final = one_of("host", "hyp", "guest")
_STATES: Final = one_of("OWNED", "SHARED_OWNED", "SHARED_BORROWED", "NOPAGE")


def page_text(value: Any) -> PageText:
    """Read "host SHARED_OWNED pins=2". Raises ValueError."""
    owner, state, *rest = (*text(_SENTENCE_CHARS)(value).split(), "", "")
    pins = [whole(0, _U32)(word.removeprefix("pins=")) for word in rest if word.startswith("pins=")]
    return PageText(_OWNERS(owner), _STATES(state), sum(pins))


def line_shapes(head: dict[str, Any]) -> dict[str, Callable[[Any], Any]]:
    """What the ``data`` of each kind of line that counts must be in a log with this head.

    Each function answers the data with every number an int, or raises ValueError with the field and what it must be.
    """
    where = head["map"]
    pages = where["ram_bytes"] >> PAGE_SHIFT
    dma = record(**_DMA, its=Optional(whole(0, head["its"] - 1), 0))
    page_state = record(addr=_ADDRESS, pages=whole(1, pages), to=page_text)
    node = record(enabled=flag, cbaser=_U64, baser=listed(_U64, GITS_BASER.COUNT, GITS_BASER.COUNT), level_1=_level_1,
                  overwritten=Optional(listed(_OVERWRITTEN, 0, 1 << 16), ()))  # fmt: skip

    def access(value: Any) -> Access:
        data = dma(value)
        initiator = _INITIATORS[data["initiator"]]
        if data["why"] not in _WHYS.get(initiator, _DEVICE_WHYS):
            raise ValueError(f"why must be a reason of the initiator {data['initiator']}, not {data['why']!r}")
        most = where["ram_bytes"] if initiator == Initiator.HOST else STRUCTURE_MAX
        if data["length"] > most or data["addr"] + data["length"] > 1 << ADDRESS_BITS:
            raise ValueError(f"length must be at most {most}, and the access must end below 2^{ADDRESS_BITS}")
        _check_command(data["command"])
        return Access(**{**data, "initiator": initiator})

    def changed_pages(value: Any) -> dict[str, Any]:
        data: dict[str, Any] = page_state(value)
        if data["addr"] + (data["pages"] << PAGE_SHIFT) > 1 << ADDRESS_BITS:
            raise ValueError(f"pages must end below 2^{ADDRESS_BITS}")
        return data

    return {
        "op": op_from_line,
        "dma": access,
        "hardware": record(
            its=listed(node, head["its"], head["its"]),
            gicr=listed(tuple_of(flag, _U64, _U64), head["cpus"], head["cpus"]),
            guards_redistributors=flag,
        ),
        "end": record(phase=_PHASE),
        "page.state": changed_pages,
        "shadow.table": _shadow,
        "command.executed": _executed,
        "command.error": _COMMAND_LOOKED_AT,
        "command.rejected": _COMMAND_LOOKED_AT,
        "trap.hvc": record(function=optional(_function), errno=optional(_NAME)),
        "session.restored": record(),
        "violation": record(
            bucket=text(_NAME_CHARS),
            oracle=Optional(optional(text(_NAME_CHARS))),
            sentence=Optional(optional(text(_SENTENCE_CHARS))),
            evidence=Optional(optional(anything(dict))),
        ),
    }


LINE: Final = record(step=whole(0, _STEPS), type=text(_NAME_CHARS), seq=Optional(whole(1, _STEPS)))
"""What every line but the head has; ``data`` is the kind's own. Only streams have ``seq``."""


def _level_1(value: Any) -> dict[int, tuple[tuple[int, int], ...]]:
    """{n: [[index, word], ...]}, the key a string as JSON has it."""
    return {whole(0, GITS_BASER.COUNT - 1)(n): _LEVEL_1(entries) for n, entries in anything(dict)(value).items()}


def _shadow(value: Any) -> dict[str, Any]:
    """An entry that was mirrored, or (index -1) a whole table."""
    data: dict[str, Any] = _SHADOW(value)
    if data["index"] >= 0 and data["new"] is None:
        raise ValueError("new must be the entry's value")
    return data


_SHADOW: Final = record(table=optional(_NAME), index=whole(-1, STRUCTURE_MAX // 8 - 1), new=optional(_U64))
_COMMAND_LOOKED_AT: Final = record(
    slot=Optional(whole(0, 1 << 16), 0), name=Optional(optional(_NAME)), words=Optional(_WORDS, (0, 0, 0, 0))
)
_EXECUTED: Final = record(slot=whole(0, 1 << 16), name=optional(_NAME), words=_WORDS)


def _executed(value: Any) -> dict[str, Any]:
    """A command that the ITS carried out."""
    data: dict[str, Any] = _EXECUTED(value)
    _check_command((data["slot"], data["name"], data["words"]))
    return data


def _check_command(command: Any) -> None:
    """A translation table costs as much as it claims to be long; one of 2^(Size+1) entries may be larger than all memory."""
    if command is not None and command[1] == "MAPD":
        mapd = MAPD.decode(*command[2])
        if mapd.valid and mapd.size > MAPD_SIZE_MAX:
            raise ValueError(
                f"command: a MAPD of Size {mapd.size} names more than any memory holds; {MAPD_SIZE_MAX} is the most"
            )
