"""The its-trace/1 format: what is read, what is refused and where it says the fault is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from itsbox.replay.trace import (
    Acknowledge,
    Crash,
    End,
    Filled,
    Note,
    Read,
    RecordedCommand,
    Sent,
    Stored,
    TraceError,
    Write,
    read_traces,
    write_trace,
)

MAP = {"gicd": "0x8000000", "its": "0x8080000", "gicr": "0x80a0000", "gicr_stride": "0x20000", "ram": "0x40000000"}
HEAD: dict[str, Any] = {
    "k": "head", "format": "its-trace/1", "id": "t", "title": "T", "qemu": "7", "machine": {"gic": 3, "smp": 2, "ram_mb": 256},
    "map": MAP,
}  # fmt: skip
COMMAND = {"slot": 3, "op": 5, "name": "SYNC", "result": "ok"}
LINES: list[dict[str, Any]] = [
    {"k": "w", "a": "0x8080088", "s": 8, "v": "0x80", "cmds": [COMMAND]},
    {"k": "r", "a": "0x8080090", "s": 4, "v": "0x80"},
    {"k": "m", "a": "0x41000000", "hex": "0500"},
    {"k": "f", "a": "0x45000000", "n": 16, "b": 161},
    {"k": "msi", "dev": 8, "data": 1, "result": "translated"},
    {"k": "ack", "cpu": 1, "intid": 8193},
    {"k": "note", "text": "hello"},
    {"k": "end", "regs": {"GITS_CTLR": "0x1"}, "mem": [{"name": "itt0", "a": "0x47000000", "n": 32, "runs": [[16, "ff00"]]}],
     "state": {"devices": {}}},
]  # fmt: skip


def written(path: Path, *records: dict[str, Any]) -> Path:
    """A file of those records, one a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_every_kind_of_line_is_read(tmp_path: Path) -> None:
    """Addresses become numbers, commands keep slot, name and result, regions keep their runs."""
    (trace,) = read_traces(written(tmp_path / "t.jsonl", HEAD, *LINES))

    assert (trace.head.id, trace.head.gic, trace.head.cpus, trace.head.its) == ("t", 3, 2, 0x808_0000)
    assert trace.lines[:7] == (
        Write(2, 0x808_0088, 8, 0x80, (RecordedCommand(3, "SYNC", "ok"),)),
        Read(3, 0x808_0090, 4, 0x80),
        Stored(4, 0x4100_0000, b"\x05\0"),
        Filled(5, 0x4500_0000, 16, 161),
        Sent(6, 8, 1, translated=True),
        Acknowledge(7, 1, 8193),
        Note(8, "hello"),
    )
    end = trace.lines[7]
    assert isinstance(end, End)
    assert end.registers == {"GITS_CTLR": 1}
    assert end.memory["itt0"].runs == ((16, b"\xff\0"),)


def test_traces_follow_one_another_and_may_be_compressed(tmp_path: Path) -> None:
    """Each head begins a trace; .gz files are unpacked on the way."""
    path = tmp_path / "t.jsonl.gz"
    with gzip.open(path, "wt") as stream:
        for ident in "ab":
            stream.writelines(
                json.dumps(r) + "\n" for r in ({**HEAD, "id": ident}, LINES[0], {"k": "crash", "error": "boom"})
            )

    first, second = read_traces(path)

    assert [first.head.id, second.head.id] == ["a", "b"]
    assert second.lines[-1] == Crash(6, "boom")


@pytest.mark.parametrize(
    "written_as, mebibytes", [(256, 256), ("1024M", 1024), ("3G", 3072), ("512", 512), ("2g", 2048)]
)
def test_ram_is_a_number_or_in_qemus_notation(tmp_path: Path, written_as: int | str, mebibytes: int) -> None:
    """Client traces have text there."""
    head = {**HEAD, "machine": {"gic": 4, "smp": 1, "ram_mb": written_as}}

    (trace,) = read_traces(written(tmp_path / "t.jsonl", head))

    assert trace.head.ram_mib == mebibytes


def test_all_recordings_are_read(traces: Path) -> None:
    """163 traces, each with an end; the clients are marked."""
    found = [trace for path in sorted(traces.rglob("*.jsonl*")) for trace in read_traces(path)]

    assert len(found) == 41 + 60 + 60 + 2
    assert all(isinstance(trace.lines[-1], End) for trace in found)
    assert [t.head.id for t in found if t.head.client] == ["kvm-unit-tests-its-introspection", "linux-boot-gicv3"]


@pytest.mark.parametrize(
    "records, line, why",
    [
        ([], 0, "no trace"),
        ([LINES[0]], 1, "begins with a head"),
        ([{**HEAD, "format": "its-trace/2"}], 1, "format"),
        ([{k: v for k, v in HEAD.items() if k != "map"}], 1, "map"),
        ([{**HEAD, "machine": {"gic": 3, "smp": 1, "ram_mb": "many"}}], 1, "many"),
        ([HEAD, {"k": "what"}], 2, "what"),
        ([HEAD, {"k": "r", "a": "0x0", "s": 4}], 2, "'v'"),
        ([HEAD, {"k": "r", "a": 8, "s": 4, "v": "0x0"}], 2, "not a line"),
        ([HEAD, {"k": "w", "a": "0x0", "s": 4, "v": "zz"}], 2, "zz"),
        ([HEAD, {"k": "m", "a": "0x0", "hex": "123"}], 2, "not a line"),
        ([HEAD, {**LINES[0], "cmds": [{**COMMAND, "result": "fine"}]}], 2, "fine"),
        ([HEAD, LINES[1], {"a": 1}], 3, "'k'"),
        ([HEAD, {"k": "r", "a": "0x0", "s": 3, "v": "0x0"}], 2, "s is 3"),
        ([HEAD, {"k": "r", "a": "0x1ffffffffffffffff", "s": 4, "v": "0x0"}], 2, "a is"),
        ([HEAD, {"k": "w", "a": "0x0", "s": 4, "v": "0x100000000"}], 2, "v is"),
        ([HEAD, {"k": "w", "a": "-0x8", "s": 4, "v": "0x0"}], 2, "a is -8"),
        ([HEAD, {"k": "f", "a": "0x0", "n": 0, "b": 0}], 2, "n is 0"),
        ([HEAD, {"k": "f", "a": "0x0", "n": 4, "b": 256}], 2, "b is 256"),
        ([HEAD, {"k": "msi", "dev": "1", "data": 0, "result": "dropped"}], 2, "dev is '1'"),
        ([HEAD, {"k": "msi", "dev": 1, "data": 1 << 32, "result": "dropped"}], 2, "data is"),
        ([HEAD, {"k": "ack", "cpu": 64, "intid": 1023}], 2, "cpu is 64"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, records: list[dict[str, Any]], line: int, why: str) -> None:
    """A file that is no trace is refused, saying where and why."""
    path = written(tmp_path / "bad.jsonl", *records)

    with pytest.raises(TraceError) as caught:
        list(read_traces(path))

    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize("content", [b"{\n", b"[1]\n", b"\xff\xfe\n", b"null\n"])
def test_what_is_not_json_objects_is_refused(tmp_path: Path, content: bytes) -> None:
    """Broken JSON, JSON of another shape, bytes that are no text."""
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)

    with pytest.raises(TraceError, match=r"bad\.jsonl:1: "):
        list(read_traces(path))


@pytest.mark.parametrize(
    "content", [b"not gzip at all", gzip.compress(b'{"k": "head"}' * 999)[:-20]], ids=["none", "cut"]
)
def test_a_broken_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """A .gz that is none, and one that was cut."""
    path = tmp_path / "bad.jsonl.gz"
    path.write_bytes(content)

    with pytest.raises(TraceError):
        list(read_traces(path))


def test_what_is_written_is_read_back(tmp_path: Path, traces: Path) -> None:
    """Recordings survive a round trip, whatever they hold, except for where blank lines and remarks of theirs were."""
    for path in (traces / "scenarios" / "v4-vlpi-basic.jsonl", traces / "linux-boot-gicv3.jsonl.gz"):
        (trace,) = read_traces(path)
        copy = tmp_path / "copy.jsonl"
        write_trace(copy, trace)

        assert next(read_traces(copy)) == trace
