"""The bounds of every field of a log: the last value that is taken, what is made of it, and the first that is refused.

The sentences with which values are refused are in ``tests/data/oracle/reports.json``.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.dma_table import TABLE
from itsbox.oracle.log_format import (
    Access,
    LogError,
    PageText,
    head_from_line,
    line_shapes,
    number,
    op_from_line,
    op_line,
    page_text,
)
from tests.oracle import judged
from tests.oracle.judged import ACCESS, HEAD, NODE, check_log, line_of

U32, U64, END = (1 << 32) - 1, (1 << 64) - 1, 1 << 52
RAM, RAM_PAGES = 0x1000_0000, 0x1_0000
STRUCTURE = 16 << 20
PAGE = {"addr": "0x40000000", "pages": 1, "to": "host OWNED"}
WORDS = [8, 5, 1 << 63, 0]
HOST = {**ACCESS, "initiator": "host", "why": "host"}
LPIS = [[False, 0, 0]] * 4


class Row(NamedTuple):
    """A kind of line, what its data is made of, and changes to it: those that are taken, and those that are refused."""

    kind: str
    data: dict[str, Any]
    taken: list[dict[str, Any]]
    refused: list[dict[str, Any]]


ROWS = [
    Row("page.state", PAGE, [{"addr": 0}, {"addr": END - 4096}, {"pages": RAM_PAGES}, {"addr": END - (RAM_PAGES << 12),
    "pages": RAM_PAGES}],
        [{"addr": -1}, {"addr": END}, {"pages": 0}, {"pages": RAM_PAGES + 1}, {"addr": END - 4096, "pages": 2}, {"to": 5},
         {"to": "host"}, {"to": "host FREE"}, {"to": ""}, {"to": "host OWNED pins=x"}, {"to": "x" * 4097}]),
    Row("dma", ACCESS,
        [{"addr": 0}, {"addr": END - 8}, {"length": 1}, {"length": STRUCTURE}, {"write": 0}, {"its": 0},
         {"phase": "deprivileging"},
         {"command": [65536, None, [0, 0, 0, U64]]}, {"command": [0, "x" * 64, [0, 0, 0, 0]]}, {"why": Why.RD_BASE},
         {"initiator": "gicr", "why": Why.CONFIG}, {"initiator": "device", "why": Why.ITE}, {**HOST, "length": RAM},
         {"initiator": "hyp", "why": "hyp"}, {"command": [1, "MAPD", [0, 24, 1 << 63, 0]]}, {"command": [1,
         "MAPD", [0, 31, 0, 0]]},
         {"command": [1, "MAPC", [0, 31, 1 << 63, 0]]}],
        [{"addr": END - 7}, {"length": STRUCTURE + 1}, {"length": 0}, {"write": 2}, {"its": 1}, {"phase": "x"}, {"why": "x"},
         {"command": [65537, None, [0, 0, 0, 0]]}, {"command": [-1, None, [0, 0, 0, 0]]}, {"command": [0,
         "x" * 65, [0, 0, 0, 0]]},
         {"command": [0, None, [0, 0, 0, U64 + 1]]}, {"command": [0, None, [0, 0, 0]]}, {"initiator": "nobody"},
         {"initiator": "hyp"}, {"initiator": "host"}, {"initiator": "hyp", "why": "host"}, {"initiator": "gicr", "why": "hyp"},
         {**HOST, "length": RAM + 1}, {**HOST, "length": (4 << 30) + 1}, {**HOST, "addr": END - 1, "length": 2},
         {"command": [1, "MAPD", [0, 25, 1 << 63, 0]]}]),
    Row("hardware", {"its": [NODE], "gicr": LPIS, "guards_redistributors": 0},
        [{"guards_redistributors": True}, {"gicr": [[1, U64, U64]] * 4},
         {"its": [{**NODE, "level_1": {"0": [[0, 1], [STRUCTURE // 8 - 1, U64]], "7": []}}]},
         {"its": [{**NODE, "overwritten": [[U32, END - 1, STRUCTURE], [0, 0, 0]]}]}],
        [{"guards_redistributors": 2}, {"gicr": LPIS[:3]}, {"gicr": [*LPIS, [0, 0, 0]]}, {"gicr": [[0, 0]] * 4},
         {"gicr": [[0, U64 + 1, 0]] * 4}, {"gicr": [[0, 0, U64 + 1]] * 4}, {"gicr": [[2, 0, 0]] * 4}, {"its": [NODE] * 2},
         {"its": [{**NODE, "enabled": 2}]}, {"its": [{**NODE, "cbaser": -1}]}, {"its": [{**NODE, "baser": [0] * 9}]},
         {"its": [{**NODE, "level_1": {"8": []}}]}, {"its": [{**NODE, "level_1": {"-1": []}}]}, {"its": [{**NODE,
         "level_1": []}]},
         {"its": [{**NODE, "level_1": {"0": [[STRUCTURE // 8, 1]]}}]}, {"its": [{**NODE, "overwritten": [[U32 + 1, 0, 0]]}]},
         {"its": [{**NODE, "overwritten": [[0, END, 0]]}]}, {"its": [{**NODE, "overwritten": [[0, 0, STRUCTURE + 1]]}]},
         {"its": [{**NODE, "overwritten": [[0, 0, 0]] * ((1 << 16) + 1)}]},
         *({"its": [{k: v for k, v in NODE.items() if k != field}]} for field in NODE)]),
    Row("end", {"phase": "trusted"}, [{"phase": "deprivileged"}], [{"phase": None}]),
    Row("shadow.table", {"table": "device", "index": 3, "new": 5},
        [{"table": None}, {"table": "x" * 64}, {"index": -1, "new": None}, {"index": 0}, {"index": STRUCTURE // 8 - 1},
         {"new": U64}],
        [{"table": "x" * 65}, {"index": -2}, {"index": STRUCTURE // 8}, {"new": None}, {"index": 0, "new": None},
         {"new": U64 + 1}]),
    Row("command.executed", {"slot": 3, "name": "SYNC", "words": WORDS},
        [{"slot": 0}, {"slot": 65536}, {"name": None}, {"name": "MAPD"}, {"name": "MAPD", "words": [8, 24, 1 << 63, 0]}],
        [{"slot": -1}, {"slot": 65537}, {"name": 5}, {"words": WORDS[:3]}, {"name": "MAPD", "words": [8, 25, 1 << 63, 0]}]),
    Row("command.rejected", {}, [{"slot": 3, "name": "MAPD", "words": [8, 31, 1 << 63, 0]}, {"name": None}, {"anything": 5}],
        [{"slot": 65537}, {"name": 5}, {"words": []}]),
    Row("command.error", {}, [{"slot": 65536, "name": "SYNC", "words": WORDS}], [{"slot": -1}, {"words": None}]),
    Row("session.restored", {}, [{"anything": 5}], []),
    Row("trap.hvc", {"function": "__pkvm_host_share_hyp", "errno": None},
        [{"function": None}, {"function": 0}, {"function": U32}, {"function": "x" * 64}, {"errno": "EPERM"}],
        [{"function": U32 + 1}, {"function": -1}, {"function": "x" * 65}, {"errno": 1}]),
    Row("violation", {"bucket": "itsb1-x"},
        [{"bucket": "x" * 64}, {"oracle": None}, {"oracle": "x" * 64}, {"sentence": "x" * 4096}, {"evidence": {"a": 1}},
         {"evidence": None}],
        [{"bucket": "x" * 65}, {"oracle": "x" * 65}, {"sentence": "x" * 4097}, {"evidence": []}]),
]  # fmt: skip
TAKEN = [(row.kind, {**row.data, **change}) for row in ROWS for change in ({}, *row.taken)]
REFUSED = [(row.kind, {**row.data, **change}) for row in ROWS for change in row.refused]
MISSING = [(row.kind, {k: v for k, v in row.data.items() if k != field}) for row in ROWS for field in row.data]


@pytest.mark.parametrize("kind, data", TAKEN, ids=range(len(TAKEN)))
def test_the_last_value_is_taken(kind: str, data: dict[str, Any]) -> None:
    """And made plain: what is made of it is in reports.json."""
    judged.SAID.append({"made": repr(line_shapes(head_from_line(HEAD))[kind](data))})


@pytest.mark.parametrize("kind, data", [*REFUSED, *MISSING], ids=range(len(REFUSED) + len(MISSING)))
def test_the_first_value_beyond_is_refused(kind: str, data: dict[str, Any]) -> None:
    """As is a line without one of its fields, with a sentence."""
    with pytest.raises(LogError):
        check_log([json.dumps(HEAD), line_of(kind, **data)])


def test_an_access_is_made_whole() -> None:
    """Its initiator a number, its command a tuple, its ITS the first if none is named."""
    shape = line_shapes(head_from_line({**HEAD, "its": 2}))["dma"]

    assert shape(ACCESS) == Access(Initiator.ITS, True, 0x4FF0_3000, 8, Why.DTE, 0, None, "trusted")
    assert shape({**ACCESS, "its": 1}).its == 1
    assert shape({**ACCESS, "command": [2, "SYNC", ["0x8", 5, 0, 0]]}).command == (2, "SYNC", (8, 5, 0, 0))


# ---------------------------------------------------------------- every line


EVERY: list[tuple[dict[str, Any], bool]] = [
    ({}, True), ({"step": 0}, True), ({"step": (1 << 53) - 1}, True), ({"step": 1 << 53}, False), ({"step": None}, False),
    ({"type": "x" * 64}, True), ({"type": "x" * 65}, False), ({"type": 5}, False), ({"seq": 1}, True), ({"seq": 0}, False),
    ({"seq": (1 << 53) - 1}, True), ({"seq": 1 << 53}, False), ({"seq": None}, False),
]  # fmt: skip


@pytest.mark.parametrize("change, taken", EVERY, ids=range(len(EVERY)))
def test_every_line_has_a_step_and_a_type(change: dict[str, Any], taken: bool) -> None:
    """And in a stream a number, which begins with 1."""
    lines = [json.dumps(HEAD), json.dumps({"step": 1, "type": "x", "data": {}, **change})]
    if taken:
        assert check_log(lines).events == 1
    else:
        with pytest.raises(LogError):
            check_log(lines)


# ---------------------------------------------------------------- the head


HEADS: list[tuple[dict[str, Any], bool]] = [
    ({"cpus": 64}, True), ({"cpus": 65}, False), ({"cpus": 0}, False), ({"its": 8}, True), ({"its": 9}, False),
    ({"its": 0}, False),
    ({"ite_bytes": 16}, True), ({"ite_bytes": 17}, False), ({"ite_bytes": 1}, True), ({"ite_bytes": 0}, False),
    ({"id_bits": 23}, True), ({"id_bits": 24}, False), ({"id_bits": 1}, True), ({"id_bits": 0}, False),
    ({"pta": 1}, True), ({"pta": 2}, False), ({"l1_as_qemu": 1}, True), ({"l1_as_qemu": 2}, False), ({"vmapp": True}, True),
    ({"vmapp": "x"}, False), ({"complete": None}, False),
    ({"format": None}, False), ({"map": None}, False),
]  # fmt: skip
MAPS: list[tuple[dict[str, Any], bool]] = [
    ({"ram_bytes": 4 << 30}, True), ({"ram_bytes": (4 << 30) + 1}, False), ({"hyp": 0x5000_0000 - 0x10_0000}, True),
    ({"hyp": 0x5000_0000 - 0x10_0000 + 1}, False), ({"guest": 0x4000_0000}, True), ({"guest": 0x4000_0000 - 1}, False),
    ({"guest_bytes": 4096}, True), ({"guest_bytes": 4095}, False), ({"gicr_stride": 4096}, True), ({"gicr_stride": 4095}, False),
    ({"gicr_stride": 1 << 32}, True), ({"gicr_stride": (1 << 32) + 1}, False), ({"gicd": END - 1}, True), ({"gicd": END}, False),
    ({"its_nodes": [0] * 8}, True), ({"its_nodes": [0] * 9}, False), ({"its_nodes": [END]}, False), ({"sgir": None}, True),
    ({"sgir": END - 1}, True), ({"sgir": END}, False), ({"ram": END - RAM, "hyp": END - RAM, "guest": END - RAM}, True),
    ({"ram": END - RAM + 1, "hyp": END - RAM + 1, "guest": END - RAM + 1}, False),
]  # fmt: skip
ALL_HEADS = [*HEADS, *(({"map": {**HEAD["map"], **change}}, taken) for change, taken in MAPS)]


@pytest.mark.parametrize("change, taken", ALL_HEADS, ids=range(len(ALL_HEADS)))
def test_a_head_has_bounds(change: dict[str, Any], taken: bool) -> None:
    """So that what is judged with it has."""
    head = {**HEAD, **change}
    if taken:
        judged.SAID.append({"made": repr(head_from_line(head))})
    else:
        with pytest.raises(LogError):
            check_log([json.dumps(head)])


def test_what_a_head_leaves_out_is_as_the_format_says() -> None:
    """One CPU, one ITS, a stream, plain GICv3."""
    made = head_from_line({"format": HEAD["format"], "map": HEAD["map"]})

    assert {k: v for k, v in made.items() if k != "map"} == {
        "complete": False, "cpus": 1, "its": 1, "pta": False, "vmapp": False, "l1_as_qemu": False, "ite_bytes": 12, "id_bits": 15,
    }  # fmt: skip
    assert (made["map"]["sgir"], made["map"]["its_nodes"]) == (None, ())


# ---------------------------------------------------------------- ops and words


LINES: list[tuple[Op, dict[str, Any]]] = [
    (MmioRead(0x808_0008, 8), {"op": "mmio_read", "addr": "0x8080008", "size": 8}),
    (MmioWrite(0x808_0088, 4, 32), {"op": "mmio_write", "addr": "0x8080088", "size": 4, "value": "0x20"}),
    (Load(U64, U64), {"op": "load", "addr": hex(U64), "length": U64}), (Store(16, b"\x00\xff"), {"op": "store",
    "addr": "0x10", "hex": "00ff"}),
    (Fill(0, 4096, 255), {"op": "fill", "addr": "0x0", "length": 4096, "byte": 255}), (Ack(63), {"op": "ack", "cpu": 63}),
    (Hvc("__pkvm_host_share_hyp", (1 << 63,)), {"op": "hvc", "function": "__pkvm_host_share_hyp",
    "args": ["0x8000000000000000"]}),
    (Hvc(U32, ()), {"op": "hvc", "function": U32, "args": []}), (Msi(U32, U32), {"op": "msi", "device_id": U32, "event_id": U32}),
    (Clean(0, 1), {"op": "clean", "addr": "0x0", "length": 1}),
    (Drive("x", {"device_id": 8}), {"op": "driver", "call": "x", "args": {"device_id": 8}}),
]  # fmt: skip


@pytest.mark.parametrize("op, line", LINES, ids=[type(op).__name__ for op, _ in LINES])
def test_an_op_in_its_wire_form(op: Op, line: dict[str, Any]) -> None:
    """As POST .../ops takes it, addresses and values in hexadecimal."""
    assert op_line(op) == line
    assert op_from_line(line) == op


NO_OPS: list[dict[str, Any]] = [
    {}, {"op": "fly"}, {"op": 5}, {"op": "mmio_read", "addr": 0, "size": 3}, {"op": "mmio_read", "addr": U64 + 1, "size": 4},
    {"op": "mmio_write", "addr": 0, "size": 16, "value": 0}, {"op": "mmio_write", "addr": 0, "size": 4, "value": U64 + 1},
    {"op": "load", "addr": 0, "length": 0}, {"op": "load", "addr": 0, "length": U64 + 1}, {"op": "store", "addr": 0},
    {"op": "store", "addr": 0, "hex": "0"}, {"op": "store", "addr": 0, "hex": None}, {"op": "fill", "addr": 0, "length": 1,
    "byte": 256},
    {"op": "hvc", "function": "x" * 65, "args": []}, {"op": "hvc", "function": U32 + 1, "args": []},
    {"op": "hvc", "function": -1, "args": []}, {"op": "hvc", "function": None, "args": []}, {"op": "hvc", "function": "x",
    "args": [0] * 7},
    {"op": "msi", "device_id": U32 + 1, "event_id": 0}, {"op": "msi", "device_id": 0, "event_id": U32 + 1}, {"op": "ack",
    "cpu": 64},
    {"op": "clean", "addr": 0, "length": 0}, {"op": "driver", "call": "x" * 65, "args": {}}, {"op": "driver", "call": "x",
    "args": []},
]  # fmt: skip


@pytest.mark.parametrize("line", NO_OPS, ids=range(len(NO_OPS)))
def test_what_is_no_op_is_refused(line: dict[str, Any]) -> None:
    """With its field and what it must be."""
    with pytest.raises(LogError):
        check_log([json.dumps(HEAD), line_of("op", **line)])


@pytest.mark.parametrize("text, made", [
    ("host OWNED", PageText("host", "OWNED", 0)), ("hyp SHARED_BORROWED pins=4294967295", PageText("hyp",
    "SHARED_BORROWED", U32)),
    ("guest NOPAGE x pins=1 pins=2", PageText("guest", "NOPAGE", 3)), (" host \t SHARED_OWNED ", PageText("host",
    "SHARED_OWNED", 0)),
])  # fmt: skip
def test_a_page_text_is_read_word_by_word(text: str, made: PageText) -> None:
    """Owner and state, then maybe pins; words that nobody knows are passed over."""
    assert page_text(text) == made
    assert page_text(text + " " * (4096 - len(text))) == made


@pytest.mark.parametrize(
    "text", ["", "host", "host OWNED pins=4294967296", "host OWNED pins=-1", "host OWNED pins=", "nobody OWNED"]
)
def test_what_is_no_page_text_is_refused(text: str) -> None:
    """In a sentence."""
    with pytest.raises(LogError):
        check_log([json.dumps(HEAD), line_of("page.state", **{**PAGE, "to": text})])


def test_numbers_have_bounds_too() -> None:
    """Whatever a field is, no number of a log is beyond 64 bits and their sign."""
    assert (number(1 << 64), number(-(1 << 64)), number("0x10")) == (1 << 64, -(1 << 64), 16)
    for value in ((1 << 64) + 1, -(1 << 64) - 1):
        with pytest.raises(
            ValueError, match="must be a whole number from -0x10000000000000000 to 0x10000000000000000, not"
        ):
            number(value)


def test_an_error_keeps_line_and_message_apart() -> None:
    """For a program that shows the line."""
    error = LogError(7, "is no JSON")

    assert (str(error), error.line, error.message) == ("line 7: is no JSON", 7, "is no JSON")


def test_every_reason_of_a_device_is_one_of_a_log() -> None:
    """The DMA table's, and messages."""
    shape = line_shapes(head_from_line(HEAD))["dma"]

    assert [shape({**ACCESS, "why": why}).why for why in (*TABLE, Why.RD_BASE)] == [*TABLE, Why.RD_BASE]
