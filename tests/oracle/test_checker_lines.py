"""The off-line judge, line by line: small logs written by hand, one thing in each."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest

from itsbox.arch.its_commands import MAPD, MAPTI, SYNC, VMAPP
from itsbox.arch.its_registers import GITS_BASER, TABLE_DEVICES, baser_stored_address
from itsbox.arch.its_tables import L1Entry
from itsbox.arch.layout import Layout
from itsbox.ops import Op, Outcome
from itsbox.oracle import checker
from itsbox.oracle.checker import Report
from itsbox.oracle.log_format import LogError
from itsbox.oracle.oracle import Oracle
from tests.oracle.judged import ACCESS, HEAD, NODE, check_log
from tests.oracle.stage import FLAT, GUEST, HOST, HYP, L1, L2, PAGE64

Line = tuple[str, dict[str, Any]]

CWRITER: Line = ("op", {"op": "mmio_write", "addr": "0x8080088", "size": 4, "value": 32})
DONATE: Line = ("op", {"op": "hvc", "function": "__pkvm_host_donate_guest", "args": [0, 0, 1]})
FOREIGN: Line = ("dma", {**ACCESS, "addr": hex(HYP), "why": "cte", "write": False})
END: Line = ("end", {"phase": "deprivileged"})


def _log(*steps: list[Line], complete: bool = True, **head: Any) -> list[str]:
    """A log whose steps begin with 1."""
    lines = [json.dumps({**HEAD, "complete": complete, **head})]
    for step, each in enumerate(steps, 1):
        lines += [json.dumps({"step": step, "type": kind, "data": data}) for kind, data in each]
    return lines


def _judged(*steps: list[Line], **head: Any) -> Report:
    return check_log(_log(*steps, **head))


def _found(report: Report) -> list[tuple[int, str, str]]:
    return [(violation.step, violation.oracle, violation.rule.name) for violation in report.violations]


def _page(addr: int, to: str, pages: int = 1) -> Line:
    return "page.state", {"addr": hex(addr), "pages": pages, "to": to}


def _command(kind: str, command: Layout, slot: int = 0) -> Line:
    return f"command.{kind}", {"slot": slot, "name": command.NAME, "words": [hex(word) for word in command.encode()]}


def _told(bucket: str, oracle: str | None = None, **data: Any) -> Line:
    return "violation", {"bucket": bucket, "oracle": oracle, **data}


DEPRIVILEGED: list[Line] = [CWRITER, END]
SYNC0 = SYNC(rd_base=0)
MAPD5 = MAPD(device_id=5, size=3, itt_addr=HOST, valid=1)


# ---------------------------------------------------------------- what was refused


@pytest.mark.parametrize("lines, found", [
    ([_command("rejected", SYNC0)], ["H9"]), ([_command("rejected", SYNC0)] * 2, ["H9"]),
    ([_command("rejected", SYNC0), _command("executed", SYNC0)], []),
    ([_command("rejected", SYNC0), _command("error", SYNC0)], []),
    ([_command("executed", SYNC0)], []), ([], []),
])  # fmt: skip
def test_what_was_refused_leaves_no_page_behind(lines: list[Line], found: list[str]) -> None:
    """Where other commands were looked at by the ITS, the page may be on their account."""
    report = _judged(DEPRIVILEGED, [CWRITER, _page(HOST, "host SHARED_OWNED"), *lines, END])

    assert [oracle for _, oracle, _ in _found(report)] == found
    assert report.events == 1 + len(lines)


@pytest.mark.parametrize("errno, found", [("EPERM", ["H9"]), (None, [])])
def test_a_hypercall_that_failed_leaves_no_page_behind(errno: str | None, found: list[str]) -> None:
    """Its errno says that it failed; the next hypercall is another one."""
    answer: Line = ("trap.hvc", {"function": "__pkvm_host_donate_guest", "errno": errno})
    report = _judged(DEPRIVILEGED, [DONATE, _page(HOST, "host SHARED_OWNED"), answer, END],
                     [DONATE, _page(HOST, "host OWNED"), END])  # fmt: skip

    assert [oracle for _, oracle, _ in _found(report)] == found


def test_a_driver_is_many_traps() -> None:
    """What one of them was refused, another may have been granted."""
    drive: Line = ("op", {"op": "driver", "call": "map_device", "args": {}})
    lines = [_page(HOST, "host SHARED_OWNED"), _command("rejected", SYNC0), END]

    assert _found(_judged(DEPRIVILEGED, [drive, *lines])) == []
    assert [oracle for _, oracle, _ in _found(_judged(DEPRIVILEGED, [drive, END], [CWRITER, *lines]))] == ["H9"]


def test_stores_of_other_cpus_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each against what the trap has read, each read against those; no machine has so many in one trap."""
    monkeypatch.setattr(checker, "_RACES_MAX", 6)
    cpu = {**ACCESS, "addr": hex(HOST), "phase": "deprivileged"}
    read: Line = ("dma", {**cpu, "initiator": "hyp", "why": "hyp", "write": False})
    store: Line = ("dma", {**cpu, "initiator": "host", "why": "host"})
    shared = _page(HOST, "host SHARED_OWNED")

    assert (
        _judged(DEPRIVILEGED, [CWRITER, shared, *[read] * 3, *[store] * 2, END], [CWRITER, read, store, END]).steps == 3
    )
    for lines, line in (([*[read] * 3, *[store] * 3], 11), ([read, *[store] * 3, read, read], 11)):
        with pytest.raises(LogError) as caught:
            check_log(_log(DEPRIVILEGED, [CWRITER, shared, *lines, END]))
        assert (caught.value.line, caught.value.message) == (line, "more stores of other CPUs in one trap than can be")


def _two_levels(entries: list[tuple[int, int]]) -> Line:
    """Registers with a two-level device table."""
    baser = GITS_BASER.decode(0).replace(
        type=TABLE_DEVICES,
        page_size=2,
        entry_size=7,
        valid=1,
        indirect=1,
        physical_address=baser_stored_address(L1, PAGE64),
    )
    node = {**NODE, "baser": [hex(baser.word()), *["0x0"] * 7], "level_1": {"0": entries}}
    return "hardware", {"its": [node], "gicr": [[False, "0x0", "0x0"]] * 4, "guards_redistributors": False}


def _entry(page: int) -> int:
    word: int = L1Entry(address=page, valid=1).encode()[0]
    return word


@pytest.mark.parametrize("executed, index, found", [(4, 0, []), (40000, 0, ["H9"]), (40000, 4, [])])
def test_a_level_2_page_of_a_refused_device_is_left_in_no_table(executed: int, index: int, found: list[str]) -> None:
    """Device 5 was refused, another one carried out: the mirrored entry must be needed by one that was."""
    mirrored: list[Line] = [
        ("dma", {**ACCESS, "initiator": "hyp", "why": "hyp", "addr": hex(L1 + 8 * index)}), _page(L2, "hyp OWNED", 16),
        ("shadow.table", {"table": "device", "index": index, "new": hex(_entry(L2))}),
    ]  # fmt: skip
    other = _command("executed", MAPTI(device_id=executed, event_id=0, intid=8192, icid=0))
    report = _judged(
        [CWRITER, _two_levels([]), END], [CWRITER, _page(L1, "hyp OWNED", 16), END],
        [CWRITER, *mirrored, _command("rejected", MAPD5), other, END],
    )  # fmt: skip

    assert [oracle for step, oracle, _ in _found(report) if step == 3] == found


def test_a_step_of_endless_commands_is_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept until the step has been judged."""
    monkeypatch.setattr(checker, "_COMMANDS_MAX", 3)

    assert (
        check_log(
            _log([CWRITER, *[_command("executed", SYNC0)] * 3, END], [CWRITER, _command("rejected", SYNC0), END])
        ).steps
        == 2
    )
    with pytest.raises(LogError) as caught:
        check_log(_log([CWRITER, *[_command("error", SYNC0)] * 4, END]))
    assert caught.value.line == 6


# ---------------------------------------------------------------- what was told


def test_of_a_violation_a_log_may_tell_its_bucket_alone() -> None:
    """The report says that it does not know more."""
    shown = _judged([CWRITER, _told("itsb1-seen"), END], complete=False).wire()

    assert shown["violations"] == [{
        "oracle": "unknown", "sentence": "The log does not say more.", "bucket": "itsb1-seen", "step": 1, "judged": False,
    }]  # fmt: skip
    assert shown["recorded"] == [{"step": 1, "bucket": "itsb1-seen"}]


def test_a_violation_is_told_as_it_was_seen() -> None:
    """Evidence does not hide what it is about."""
    (shown,) = _judged([
        _told("itsb1-seen", "H5", sentence="It was seen.", evidence={"owner": "hyp", "step": 99, "bucket": "x"}),
    ], complete=False).wire()["violations"]  # fmt: skip

    assert shown == {
        "owner": "hyp",
        "oracle": "H5",
        "sentence": "It was seen.",
        "bucket": "itsb1-seen",
        "step": 1,
        "judged": False,
    }


@pytest.mark.parametrize("times, agrees, unseen", [(0, True, 0), (1, True, 0), (2, True, 1), (3, True, 2)])
def test_what_is_found_answers_one_that_is_told(times: int, agrees: bool, unseen: int) -> None:
    """A second one of the same kind and step was seen on-line only."""
    bucket = _judged([CWRITER, FOREIGN, END]).violations[0].bucket
    report = _judged([CWRITER, FOREIGN, *[_told(bucket, "H5")] * times, END])

    assert (len(report.violations), report.agrees, len(report.on_line)) == (1, agrees, unseen)
    assert [shown["judged"] for shown in report.wire()["violations"]] == [True, *[False] * unseen]


@pytest.mark.parametrize("told, agrees, unseen", [
    ([], True, 0), (["DMA"], False, 0), (["H5"], False, 1), (["H2", "H6", "H8", "H9", "H10", "H13"], False, 6),
    (["H1"], False, 0),
])  # fmt: skip
def test_what_a_complete_log_cannot_show_is_believed(told: list[str], agrees: bool, unseen: int) -> None:
    """Rules that rest on records: a log that tells of others, or not of what is found, is contradicted."""
    report = _judged([CWRITER, FOREIGN, *[_told("itsb1-other", oracle) for oracle in told], END])

    assert (report.agrees, len(report.on_line), report.isolated) == (agrees, unseen, False)


@pytest.mark.parametrize(
    "told, agrees, unseen", [([], True, 0), (["H1"], True, 0), (["H1", "DMA"], True, 1), (["DMA"], False, 1)]
)
def test_in_a_stream_a_rule_answers_a_rule(told: list[str], agrees: bool, unseen: int) -> None:
    """Its op is not known, so that a bucket cannot be: step and rule name a violation there."""
    mapped = [_command("executed", MAPD(device_id=5, size=3, itt_addr=GUEST, valid=1))]
    report = _judged([*mapped, *[_told("itsb1-any", oracle) for oracle in told]], complete=False)

    assert _found(report)[0][1] == "H1"
    assert (report.agrees, len(report.on_line)) == (agrees, unseen)


# ---------------------------------------------------------------- streams


@pytest.mark.parametrize("complete", [False, True])
def test_in_a_stream_commands_say_what_is_used(complete: bool) -> None:
    """MAPD and VMAPP; a complete log has the accesses by which the entries were written instead."""
    vmapp = VMAPP(vpe_id=3, rd_base=0, valid=1, vpt_size=12, vpt_addr=HYP)
    report = _judged([_command("executed", MAPD(device_id=5, size=3, itt_addr=GUEST, valid=1)), _command("executed", vmapp),
                      _command("executed", MAPTI(device_id=5, event_id=0, intid=8192, icid=0))], complete=complete)  # fmt: skip

    assert {violation.kind.table for violation in report.violations} == (set() if complete else {"itt", "vpt"})
    assert (report.complete, report.broken_off) == (complete, complete)


@pytest.mark.parametrize("function, errno, phase", [
    ("__pkvm_prot_finalize", None, "deprivileged"), ("__pkvm_prot_finalize", "EPERM", "trusted"),
    ("__pkvm_host_share_hyp", None, "trusted"), (None, None, "trusted"),
])  # fmt: skip
@pytest.mark.parametrize("complete", [False, True])
def test_in_a_stream_a_hypercall_ends_the_hosts_trust(
    function: str | None, errno: str | None, phase: str, complete: bool
) -> None:
    """A complete log says it itself, in the last line of a step."""
    lines: list[Line] = [("trap.hvc", {"function": function, "errno": errno})]
    bad: list[Line] = [_command("executed", MAPD(device_id=5, size=3, itt_addr=GUEST, valid=1))]
    report = _judged(lines, bad, complete=complete)

    assert {violation.kind.phase for violation in report.violations} == (set() if complete else {phase})


# ---------------------------------------------------------------- steps


def test_a_step_is_judged_when_the_next_begins() -> None:
    """Or the log ends; the first may have any number, and in a complete log those before it are missing."""
    late = [
        json.dumps(HEAD),
        *(json.dumps({"step": step, "type": "end", "data": {"phase": "trusted"}}) for step in (0, 4, 4, 6)),
    ]

    report = check_log(late)
    assert (report.steps, report.missing, report.events) == (3, 3 + 1, 0)
    assert check_log([json.dumps({**HEAD, "complete": False}), *late[1:]]).missing == 0
    assert check_log(late[:1]).steps == 0


def test_a_phase_holds_until_another_is_told() -> None:
    """An entry of the device table in host memory is good while the host is trusted, and until the end of that step."""
    entry: Line = ("dma", {**ACCESS, "addr": hex(FLAT)})

    assert _found(_judged([CWRITER, entry, END], [CWRITER, entry, END])) == [(2, "DMA", "host-entry")]
    assert _judged([CWRITER, entry, ("end", {"phase": "trusted"})], [CWRITER, entry, END]).isolated


def test_a_phase_is_told_by_accesses_too() -> None:
    """A step that has no end, as in a log that breaks off, is in the phase of its last access."""
    entry: Line = ("dma", {**ACCESS, "addr": hex(FLAT)})
    late: Line = ("dma", {**entry[1], "phase": "deprivileged"})

    assert _found(_judged([CWRITER, late], [CWRITER, entry])) == [(2, "DMA", "host-entry")]


def test_what_a_machine_is_at_reset_is_no_step_that_breaks_off() -> None:
    """Step 0 has the first ``hardware`` line and no end; every other step of a complete log has one."""
    hardware = json.dumps({"step": 0, "type": "hardware", "data": _two_levels([])[1]})
    op = json.dumps({"step": 1, "type": "op", "data": CWRITER[1]})

    assert [check_log([json.dumps(HEAD), *lines]).broken_off for lines in ([hardware], [hardware, op])] == [False, True]


def test_a_log_may_begin_with_step_0() -> None:
    """What is found or told there is of that step."""
    lines = [json.dumps(HEAD), *(json.dumps({"step": 0, "type": kind, "data": data}) for kind, data in (
        CWRITER, FOREIGN, _told("itsb1-x", "H5"), END,
    ))]  # fmt: skip
    report = check_log(lines)

    assert [violation.step for violation in report.violations] == [0]
    assert [told.step for told in report.recorded] == [0]


def test_a_command_on_record_is_that_of_its_access() -> None:
    """Evidence names it; the next step has none until told."""
    words = [hex(word) for word in MAPD5.encode()]
    bad: Line = ("dma", {**FOREIGN[1], "command": [3, "MAPD", words]})
    first, second = _judged([CWRITER, bad, END], [CWRITER, FOREIGN, END]).violations

    assert (first.command, second.command) == ((3, "MAPD", MAPD5.encode()), None)


def test_messages_go_to_redistributors() -> None:
    """They are no accesses to memory, and count as what the ITS did."""
    to: Line = ("dma", {**ACCESS, "why": "rd_base", "length": 4, "addr": "0x80a0000"})
    report = _judged([CWRITER, to, ("dma", {**to[1], "addr": hex(HYP)}), END])

    assert (_found(report), report.accesses) == ([(1, "DMA", "message")], 2)


@pytest.mark.parametrize("new", [None, 5])
def test_a_table_that_was_mirrored_whole_is_no_entry(new: int | None) -> None:
    """Its index is -1: whose pages its entries name is told elsewhere."""
    whole: Line = ("shadow.table", {"table": "device", "index": -1, "new": new})
    report = _judged([CWRITER, _two_levels([]), END], [CWRITER, _page(L1, "hyp OWNED", 16), whole, END])

    assert report.isolated


@pytest.mark.parametrize("text, said", [
    ("[1]", "is no JSON object"), ("5", "is no JSON object"), ("nul", "is no JSON: Expecting value"),
    ("[" * 100_000, "is no JSON that can be read: "), ('{"step": 1, "type": "x"}', "data is missing"),
    ('{"step": 1, "type": "op", "data": 5}', "op: data must be an object, not 0x5"),
    ('{"step": 1, "type": "op", "data": {"op": "ack"}}', "op: cpu is missing"),
])  # fmt: skip
def test_a_bad_line_is_told_by_kind_and_field(text: str, said: str) -> None:
    """Empty lines count where lines are counted."""
    with pytest.raises(LogError) as caught:
        checker.check_log([json.dumps(HEAD), "", "  ", text])

    assert caught.value.line == 4
    assert caught.value.message.startswith(said)
    assert said.endswith(": ") or caught.value.message == said


def test_a_step_that_cannot_be_judged_is_told_by_the_line_that_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next step's first, or the last of the log."""

    def end(oracle: Oracle, op: Op, outcome: Outcome) -> NoReturn:
        raise ValueError("cannot be judged")

    monkeypatch.setattr(Oracle, "end", end)
    for steps in ([[CWRITER, END], [CWRITER]], [[CWRITER, END, END]]):
        with pytest.raises(LogError, match=r"^line 4: cannot be judged$"):
            check_log(_log(*steps))


def test_an_empty_log_is_an_error_of_its_first_line() -> None:
    """So is one of empty lines."""
    for lines in ([], ["", " "]):
        with pytest.raises(LogError) as caught:
            check_log(lines)
        assert (caught.value.line, caught.value.message) == (1, "the log is empty")
