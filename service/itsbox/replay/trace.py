"""The ``its-trace/1`` file format: JSON lines, plain or gzipped, one or many traces in a file.

A file is a sequence of traces and each begins with a ``head`` line. Addresses and values are hexadecimal strings, counts and
identifiers numbers. ``docs`` of the format: ``tests/data/README.md``. Reading is strict: a line that is not of the format is a
``TraceError`` that names the file and the line, since a comparison against a misread recording is worth nothing.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

__all__ = [
    "Acknowledge",
    "Crash",
    "End",
    "Filled",
    "Head",
    "Line",
    "Note",
    "Read",
    "RecordedCommand",
    "Region",
    "Sent",
    "Stored",
    "Trace",
    "TraceError",
    "Write",
    "read_traces",
    "write_trace",
]

FORMAT = "its-trace/1"
_U32 = (1 << 32) - 1
_U64 = (1 << 64) - 1
_SIZES = (1, 2, 4, 8)
ANSWERED = "translated"  # the lookup of an MSI ended at a redistributor; the other word is "dropped"
RESULTS = frozenset({"ok", "ignored", "silent", "unknown", "stalled"})


class TraceError(ValueError):
    """A file that is not an ``its-trace/1`` file; says where."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        super().__init__(f"{path}:{line}: {why}")


class Head(NamedTuple):
    """What was recorded: the machine and its address map. ``client`` marks a recorded operating system."""

    id: str
    title: str
    qemu: str
    client: bool
    gic: int
    cpus: int
    ram_mib: int
    gicd: int
    its: int
    gicr: int
    gicr_stride: int
    ram: int
    seed: int | None


class RecordedCommand(NamedTuple):
    """One ITS command as the recorded model saw it; ``result`` is one of ``RESULTS``."""

    slot: int
    name: str | None
    result: str


class Write(NamedTuple):
    """A register write and the commands that it made the ITS look at."""

    line: int
    addr: int
    size: int
    value: int
    commands: tuple[RecordedCommand, ...]


class Read(NamedTuple):
    """A register read and its answer."""

    line: int
    addr: int
    size: int
    value: int


class Stored(NamedTuple):
    """Bytes written to memory."""

    line: int
    addr: int
    data: bytes


class Filled(NamedTuple):
    """Memory filled with one byte."""

    line: int
    addr: int
    length: int
    byte: int


class Sent(NamedTuple):
    """An MSI, and whether its translation ended at a redistributor."""

    line: int
    device_id: int
    event_id: int
    translated: bool


class Acknowledge(NamedTuple):
    """A client's CPU acknowledged an LPI."""

    line: int
    cpu: int
    intid: int


class Note(NamedTuple):
    """A remark, or a line of the client's console."""

    line: int
    text: str


class Crash(NamedTuple):
    """The recorded model died here."""

    line: int
    error: str


class Region(NamedTuple):
    """A dumped piece of memory; ``runs`` are its rows that are not zero, as (offset, bytes)."""

    name: str
    addr: int
    length: int
    runs: tuple[tuple[int, bytes], ...]


class End(NamedTuple):
    """The final state: registers by name (none for clients), dumped memory by name, and the decoded tables."""

    line: int
    registers: dict[str, int]
    memory: dict[str, Region]
    state: dict[str, Any]


Line: TypeAlias = Write | Read | Stored | Filled | Sent | Acknowledge | Note | Crash | End


class Trace(NamedTuple):
    """One recorded sequence; its last line is an ``End`` or a ``Crash``, unless it was cut off."""

    head: Head
    lines: tuple[Line, ...]


def read_traces(path: Path) -> Iterator[Trace]:
    """Each trace of a file, in order.

    Raises TraceError when the file is no trace, OSError when it cannot be read.
    """
    head: Head | None = None
    lines: list[Line] = []
    number = 0
    for number, record in _records(path):
        try:
            if record["k"] == "head":
                if head is not None:
                    yield Trace(head, tuple(lines))
                head, lines = _head(record), []
            elif head is None:
                raise TraceError(path, number, "a trace begins with a head line")
            else:
                lines.append(_LINES[record["k"]](number, record))
                _check_cpu(lines[-1], head)
        except KeyError as error:
            raise TraceError(path, number, f"unknown kind or missing field {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, TraceError):
                raise
            raise TraceError(path, number, f"not a line of {FORMAT}: {error}") from error
    if head is None:
        raise TraceError(path, number, f"no trace in it (expected {FORMAT} lines)")
    yield Trace(head, tuple(lines))


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    with _open(path) as stream:
        try:
            for number, text in enumerate(stream, start=1):
                if text.strip():
                    yield number, _object(path, number, text)
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise TraceError(path, number + 1, f"not text: {error}") from error


def _object(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise TraceError(path, number, f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise TraceError(path, number, "a line is a JSON object")
    return record


def _open(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def _hex(text: str) -> int:
    return int(text, 16)


def _within(what: str, value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{what} is {value!r}, not a number from {low:#x} to {high:#x}")
    return value


def _addr(record: dict[str, Any]) -> int:
    return _within("a", _hex(record["a"]), 0, _U64)


def _size(record: dict[str, Any]) -> int:
    size: int = record["s"]
    if size not in _SIZES:
        raise ValueError(f"s is {size!r}, not 1, 2, 4 or 8")
    return size


def _value(record: dict[str, Any]) -> int:
    return _within("v", _hex(record["v"]), 0, (1 << 8 * _size(record)) - 1)


def _check_cpu(line: Line, head: Head) -> None:
    if isinstance(line, Acknowledge):
        _within("cpu", line.cpu, 0, head.cpus - 1)


def _head(record: dict[str, Any]) -> Head:
    if record.get("format") != FORMAT:
        raise ValueError(f"format is {record.get('format')!r}")
    machine, where = record["machine"], record["map"]
    return Head(
        id=record["id"],
        title=record["title"],
        qemu=record["qemu"],
        client=record.get("client", False),
        gic=machine["gic"],
        cpus=machine["smp"],
        ram_mib=_mebibytes(machine["ram_mb"]),
        gicd=_hex(where["gicd"]),
        its=_hex(where["its"]),
        gicr=_hex(where["gicr"]),
        gicr_stride=_hex(where["gicr_stride"]),
        ram=_hex(where["ram"]),
        seed=record.get("seed"),
    )


def _mebibytes(size: int | str) -> int:
    """RAM in MiB: a number, or QEMU's notation in client traces ("1024M", "3G")."""
    if isinstance(size, int):
        return size
    unit = size[-1:].upper()
    return {"G": 1024, "M": 1}[unit] * int(size[:-1]) if unit in {"G", "M"} else int(size)


def _command(record: dict[str, Any]) -> RecordedCommand:
    if record["result"] not in RESULTS:
        raise ValueError(f"command result {record['result']!r}")
    return RecordedCommand(record["slot"], record["name"], record["result"])


def _region(record: dict[str, Any]) -> Region:
    runs = tuple((offset, bytes.fromhex(data)) for offset, data in record["runs"])
    return Region(record["name"], _hex(record["a"]), record["n"], runs)


def _end(line: int, record: dict[str, Any]) -> End:
    registers = {name: _hex(value) for name, value in record.get("regs", {}).items()}
    return End(line, registers, {r["name"]: _region(r) for r in record["mem"]}, record["state"])


_LINES: dict[str, Any] = {
    "w": lambda n, r: Write(n, _addr(r), _size(r), _value(r), tuple(_command(c) for c in r.get("cmds", ()))),
    "r": lambda n, r: Read(n, _addr(r), _size(r), _value(r)),
    "m": lambda n, r: Stored(n, _addr(r), bytes.fromhex(r["hex"])),
    "f": lambda n, r: Filled(n, _addr(r), _within("n", r["n"], 1, _U64), _within("b", r["b"], 0, 0xFF)),
    "msi": lambda n, r: Sent(
        n, _within("dev", r["dev"], 0, _U32), _within("data", r["data"], 0, _U32), r["result"] == ANSWERED
    ),
    "ack": lambda n, r: Acknowledge(n, r["cpu"], r["intid"]),
    "note": lambda n, r: Note(n, r["text"]),
    "crash": lambda n, r: Crash(n, r["error"]),
    "end": _end,
}


# ---------------------------------------------------------------- writing


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace as JSON lines; ``read_traces`` gives it back (without line numbers of its own)."""
    with path.open("w", encoding="utf-8") as stream:
        for record in (_head_record(trace.head), *map(_record, trace.lines)):
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")


def _head_record(head: Head) -> dict[str, Any]:
    where = {n: hex(getattr(head, n)) for n in ("gicd", "its", "gicr", "gicr_stride", "ram")}
    record: dict[str, Any] = {"k": "head", "format": FORMAT, "id": head.id, "title": head.title, "qemu": head.qemu}
    if head.seed is not None:
        record["seed"] = head.seed
    if head.client:
        record["client"] = True
    return record | {"machine": {"gic": head.gic, "smp": head.cpus, "ram_mb": head.ram_mib}, "map": where}


def _record(line: Line) -> dict[str, Any]:
    match line:
        case Write(_, addr, size, value, commands):
            record: dict[str, Any] = {"k": "w", "a": hex(addr), "s": size, "v": hex(value)}
            return record | ({"cmds": [command._asdict() for command in commands]} if commands else {})
        case Read(_, addr, size, value):
            return {"k": "r", "a": hex(addr), "s": size, "v": hex(value)}
        case Stored(_, addr, data):
            return {"k": "m", "a": hex(addr), "hex": data.hex()}
        case Filled(_, addr, length, byte):
            return {"k": "f", "a": hex(addr), "n": length, "b": byte}
        case Sent(_, device_id, event_id, translated):
            return {"k": "msi", "dev": device_id, "data": event_id, "result": ANSWERED if translated else "dropped"}
        case Acknowledge(_, cpu, intid):
            return {"k": "ack", "cpu": cpu, "intid": intid}
        case Note(_, text):
            return {"k": "note", "text": text}
        case Crash(_, error):
            return {"k": "crash", "error": error}
        case End(_, registers, memory, state):
            regions = [
                {"name": r.name, "a": hex(r.addr), "n": r.length, "runs": [[at, run.hex()] for at, run in r.runs]}
                for r in memory.values()
            ]
            return {"k": "end", "regs": {n: hex(v) for n, v in registers.items()}, "mem": regions, "state": state}
