"""The specification of the switch-over, of traps, and of vPEs and level-2 pages, over abstract state alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.its_commands import INT, INVDB, MAPD, VMAPP, VMAPP_V41
from itsbox.arch.layout import Layout
from itsbox.ops import (
    Aborted,
    Bytes,
    Done,
    Fill,
    Hvc,
    HvcReturn,
    MmioRead,
    MmioWrite,
    Op,
    Outcome,
    Panicked,
    Refused,
    Store,
    Value,
    Verdict,
)
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractPage, Regions
from itsbox.oracle.spec import Call, Claims, Expected, Facts, NotChecked, specify
from itsbox.reasons import Reason

REGIONS = Regions(range(0x40000, 0x50000), range(0x4FF00, 0x50000), range(0x4FE00, 0x4FF00))
FACTS = Facts(REGIONS, (0x0808_0000, 0x080C_0000), 12, 15, False)
FACTS_V41 = FACTS._replace(vmapp_v41=True)
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
SERIES = CLAIMS._replace(commands=False)
OK, EPERM = HvcReturn(0, 0), HvcReturn(0, (1 << 64) - 1, "EPERM", Reason.PAGE_NOT_HOST_OWNED)
GONE = HvcReturn((1 << 64) - 1, 0)
SHARED, PINNED = AbstractPage("host", "hyp"), AbstractPage("host", "hyp", 1)
GUEST, HYP, WITH_GUEST = AbstractPage("guest"), AbstractPage("hyp"), AbstractPage("host", "guest")
CBASER, CTLR, CWRITER = 0x80, 0, 0x88


def _state(
    pages: dict[int, AbstractPage] | None = None, *, phase: str = "deprivileged", its: AbstractIts | None = None
) -> Abstract:
    return Abstract(phase, pages or {}, {0: its or AbstractIts(0x4100_0000, 0x1_0000, 0)}, {}, {})


def _judge(
    pre: Abstract,
    op: Op,
    outcome: Outcome,
    *,
    observed: Abstract | None = None,
    claims: Claims = CLAIMS,
    facts: Facts = FACTS,
) -> Expected:
    answer = specify(pre, Call(op, outcome, observed or pre, facts, claims))
    assert isinstance(answer, Expected)
    return answer


def _done(*commands: Layout, verdict: str = Verdict.EXECUTED) -> Done:
    return Done([(n, c.NAME, c.encode(), verdict, None, None) for n, c in enumerate(commands)])  # type: ignore[misc]


def _write(register: int = CWRITER, base: int = 0x0808_0000, size: int = 8) -> MmioWrite:
    return MmioWrite(base + register, size, 0x20)


# ---------------------------------------------------------------- hypercalls


@pytest.mark.parametrize("function, args, before, after", [
    ("__pkvm_host_share_guest", (0x48000, 0x48000, 2, 0), HOST_ALONE, WITH_GUEST),
    ("__pkvm_host_share_guest", (0x48000, 0x48000, 2, 0), SHARED, None),
    ("__pkvm_host_unshare_guest", (7, 0x48000, 2), WITH_GUEST, HOST_ALONE),
    ("__pkvm_host_unshare_guest", (7, 0x48000, 2), HOST_ALONE, None),
])  # fmt: skip
def test_sharing_with_a_guest(
    function: str, args: tuple[int, ...], before: AbstractPage, after: AbstractPage | None
) -> None:
    """Two pages go from the host alone to the guest's as well, and back; from any other state neither does."""
    pre = _state({pfn: before for pfn in (0x48000, 0x48001) if before != HOST_ALONE})
    right, wrong = (EPERM, OK) if after is None else (OK, EPERM)

    judged = _judge(pre, Hvc(function, args), right)

    assert judged.wrong is None
    expected = {} if after == HOST_ALONE else dict.fromkeys((0x48000, 0x48001), after)
    assert judged.post.pages == (pre.pages if after is None else expected)
    text = (
        "the hypercall succeeded although it is not"
        if after is None
        else "the hypercall was refused although it is legal"
    )
    assert _judge(pre, Hvc(function, args), wrong).wrong == text


def test_a_range_ends_inside_memory() -> None:
    """The last page of RAM may be named, the one behind it not."""
    regions = REGIONS._replace(hyp=range(0), guest=range(0))
    facts = FACTS._replace(regions=regions)
    donate = "__pkvm_host_donate_guest"

    assert _judge(_state(), Hvc(donate, (0x4FFFF, 0, 1)), OK, facts=facts).wrong is None
    assert _judge(_state(), Hvc(donate, (0x4FFFF, 0, 2)), OK, facts=facts).wrong is not None


def test_missing_arguments_read_as_zero_or_are_refused() -> None:
    """A register that the host does not set: a hypervisor may take it for zero, or refuse."""
    donate = Hvc("__pkvm_host_donate_guest", (0x48000,))

    assert _judge(_state(), donate, EPERM) == Expected(_state())
    assert _judge(_state(), donate, OK) == Expected(_state())
    assert _judge(_state(), Hvc("__pkvm_host_share_hyp", ()), OK).wrong is not None


@pytest.mark.parametrize("before, after, fine", [
    ("trusted", "deprivileging", True), ("deprivileging", "deprivileged", True), ("trusted", "trusted", True),
    ("deprivileged", "deprivileged", True), ("deprivileged", "deprivileging", False), ("deprivileging", "trusted", False),
])  # fmt: skip
def test_privilege_is_only_lost(before: str, after: str, fine: bool) -> None:
    """Finalising moves the phase forward or not at all; registers and LPI tables are open, pages are not."""
    judged = _judge(_state(phase=before), Hvc("__pkvm_prot_finalize", ()), OK, observed=_state(phase=after))

    assert judged.wrong == (None if fine else "the host became more privileged")
    assert judged.post.phase == (after if fine else before)
    assert judged.loose == (frozenset({"registers", "lpis"}) if fine else frozenset())


TAKE_OVER = "__pkvm_init_its_emulation"


@pytest.mark.parametrize("before, after, wrong", [
    (HOST_ALONE, HYP, None), (HOST_ALONE, PINNED, None), (SHARED, HYP, None), (PINNED, PINNED, None),
    (PINNED, HYP, "page 0x48000 was taken from the host"), (GUEST, HYP, "page 0x48000 was taken from the guest"),
    (WITH_GUEST, HYP, "page 0x48000 was taken from the host"), (HOST_ALONE, GUEST, "page 0x48000 went to a guest"),
])  # fmt: skip
def test_taking_over_takes_from_the_host(before: AbstractPage, after: AbstractPage, wrong: str | None) -> None:
    """Which pages change hands is a choice, but each was the host's, and none goes to a guest."""
    pre = _state({0x48000: before} if before != HOST_ALONE else {}, phase="trusted")
    then = _state({0x48000: after}, phase="deprivileging")

    judged = _judge(pre, Hvc(TAKE_OVER, (0, 0, 0)), OK, observed=then)

    assert judged == (Expected(then) if wrong is None else Expected(pre, wrong=wrong))


def test_a_refused_take_over_leaves_no_trace() -> None:
    """Nothing may change where the hardening promises so; the series leaves pages behind, which its own knobs describe."""
    pre = _state(phase="trusted")

    assert _judge(pre, Hvc(TAKE_OVER, ()), EPERM) == Expected(pre)
    series = _judge(pre, Hvc(TAKE_OVER, (0, 0, 0, 0, 0, 0)), EPERM, claims=SERIES)
    assert series.post == pre
    assert series.loose in (frozenset(), {"pages", "its", "phase"})


def test_calls_that_are_el2s_own() -> None:
    """Before the switch-over the host is trusted, and such a call is not specified; after it there is no such call."""
    op = Hvc("__pkvm_host_donate_hyp", (0x48000, 1))
    silent = specify(_state(phase="trusted"), Call(op, OK, _state(phase="trusted"), FACTS, CLAIMS))

    assert isinstance(silent, NotChecked)
    assert "__pkvm_host_donate_hyp" in silent.why
    assert _judge(_state(), op, OK).wrong == "a hypercall that does not exist answered"
    assert _judge(_state(), op, GONE) == Expected(_state())


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("op", [
    Store(0x48000FFC, bytes(8)), Fill(0x48000FFC, 8, 0), MmioRead(0x48000FFC, 8), MmioWrite(0x48000FFC, 8, 0),
])  # fmt: skip
def test_an_access_over_the_end_of_a_page(op: Op) -> None:
    """Stage 2 stops it if either page is not the host's; nothing changes either way."""
    outcome = Value(0) if isinstance(op, MmioRead) else Bytes(b"")
    abort = Aborted(Reason.HYP_MEMORY)
    foreign = _state({0x48001: GUEST})

    assert _judge(_state(), op, outcome) == Expected(_state())
    assert _judge(_state(), op, abort).wrong == "stage 2 stopped the host at its own page"
    assert _judge(foreign, op, abort) == Expected(foreign)
    assert _judge(foreign, op, outcome).wrong == "stage 2 let the host through"
    for phase in ("trusted", "deprivileging"):
        assert _judge(_state({0x48001: GUEST}, phase=phase), op, outcome).wrong is None


def test_an_access_outside_memory_is_not_stage_2s() -> None:
    """No memory, or a range that leaves it, or no bytes at all: nothing is said, and nothing changes."""
    for op in (Store(0x3000_0000, b"1"), Store(0x4FFF_FFFF, b"12"), Store(0x4FF0_0000, b"")):
        for outcome in (Done(), Aborted(Reason.HYP_MEMORY)):
            assert _judge(_state(), op, outcome) == Expected(_state())


# ---------------------------------------------------------------- registers


@pytest.mark.parametrize("phase, claims, refused, loose", [
    ("trusted", CLAIMS, False, {"registers", "lpis"}),
    ("deprivileging", CLAIMS, False, {"registers", "lpis", "its", "pages"}),
    ("deprivileged", SERIES, False, {"registers", "lpis", "its", "pages"}),
    ("deprivileged", CLAIMS, True, set()),
    ("deprivileged", CLAIMS, False, {"lpis", "pages", "its"}),
])  # fmt: skip
def test_what_a_register_write_leaves_open(phase: str, claims: Claims, refused: bool, loose: set[str]) -> None:
    """A refused write changes nothing; hardware's own registers stay what they are once they are guarded."""
    pre = _state(phase=phase)
    outcome = Refused(Reason.PAGE_NOT_HOST_OWNED) if refused else Done()

    judged = _judge(pre, _write(CBASER), outcome, claims=claims)

    assert judged == Expected(pre, frozenset(loose))


@pytest.mark.parametrize("register, size, node", [(CWRITER, 8, 0), (CWRITER + 4, 4, 0), (CTLR, 4, 0), (CWRITER, 8, 1)])
def test_writes_that_run_the_queue(register: int, size: int, node: int) -> None:
    """GITS_CWRITER, either half, and GITS_CTLR of any ITS: commands are judged, registers are open, the rest is not."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0)
    pre = replace(_state(), its={0: its, 1: its})
    then = replace(pre, its={**pre.its, node: replace(its, consumed=0x20)})
    op = _write(register, FACTS.its[node], size)
    mapped = MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1)

    judged = _judge(pre, op, _done(mapped), observed=then)

    assert judged.loose == {"registers"}
    assert judged.post.pages == {0x48000: PINNED}
    assert judged.post.its[node] == replace(its, consumed=0x20, devices={1: (0x4800_0000, 4)})
    assert judged.post.its[1 - node] == its


def test_where_commands_are_not_promised() -> None:
    """The series' presets, and an ITS that was not taken over: the queue may do what it likes with the pages."""
    loose = frozenset({"registers", "its", "pages"})
    wild = _done(INT(device_id=9, event_id=9))

    assert _judge(_state(), _write(), wild, claims=SERIES) == Expected(_state(), loose)
    assert _judge(_state(), _write(base=FACTS.its[1]), wild) == Expected(_state(), loose)


@pytest.mark.parametrize("before, after", [(True, False), (False, True)])
def test_commands_that_wait_are_not_specified(before: bool, after: bool) -> None:
    """They may be carried out or taken back at any time."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0)
    pre, then = (_state(its=replace(its, waiting=flag)) for flag in (before, after))

    assert isinstance(specify(pre, Call(_write(), Done(), then, FACTS, CLAIMS)), NotChecked)


def test_one_wrong_command_of_many() -> None:
    """Commands are taken in turn; the first that should not have got there is named."""
    commands = (MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1), INT(device_id=1, event_id=31))

    assert _judge(_state(), _write(), _done(*commands)).wrong is None
    wrong = _judge(_state(), _write(), _done(*commands, INT(device_id=1, event_id=32), INT(device_id=2, event_id=0)))
    assert wrong.wrong == "INT of an event beyond its device's table reached the hardware"


def test_an_opcode_that_no_command_has() -> None:
    """It is named."""
    outcome = Done([(0, "", (0x77, 0, 0, 0), Verdict.EXECUTED, None, None)])

    assert _judge(_state(), _write(), outcome).wrong == "opcode 0x77, which no command has, reached the hardware"


@pytest.mark.parametrize("page, whose", [(GUEST, "guest"), (HYP, "hyp"), (WITH_GUEST, "guest")])
def test_a_table_in_memory_of_others_is_named(page: AbstractPage, whose: str) -> None:
    """Whose memory it is stands in the error."""
    mapped = MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1)

    wrong = _judge(_state({0x48000: page}), _write(), _done(mapped)).wrong

    assert wrong == f"a translation table in memory of the {whose} reached the hardware"


# ---------------------------------------------------------------- vPEs


def _vmapp(vpe_id: int, addr: int, conf: int = 0, *, size: int = 13, valid: int = 1, v41: bool = False) -> Layout:
    if v41:
        return VMAPP_V41(
            alloc=1,
            ptz=0,
            vconf_addr=conf,
            default_doorbell=0,
            vpe_id=vpe_id,
            rd_base=0,
            valid=valid,
            vpt_size=size,
            vpt_addr=addr,
        )
    return VMAPP(vpe_id=vpe_id, rd_base=0, vpt_addr=addr, vpt_size=size, valid=valid)


def test_a_vpe_holds_its_pending_table() -> None:
    """In units of 64 KB from VMAPP with V = 1 to the next that maps it elsewhere or unmaps it."""
    first, second = range(0x48010, 0x48020), range(0x48020, 0x48040)
    op = _write()

    mapped = _judge(_state(), op, _done(_vmapp(3, 0x4801_0000))).post
    assert mapped.pages == dict.fromkeys(first, PINNED)
    assert mapped.its[0].vpes == {3: (0x4801_0000, 13, 0)}

    moved = _judge(mapped, op, _done(_vmapp(3, 0x4802_0000, size=19))).post
    assert moved.pages == dict.fromkeys(second, PINNED)
    assert moved.its[0].vpes == {3: (0x4802_0000, 19, 0)}

    gone = _judge(moved, op, _done(_vmapp(3, 0, valid=0))).post
    assert (gone.pages, gone.its[0].vpes) == ({}, {})
    assert _judge(gone, op, _done(_vmapp(3, 0, valid=0))).wrong is None  # twice is nothing


def test_a_vpe_of_gicv4_1_holds_its_configuration_table_too() -> None:
    """Bytes for 2 to the power of VPT_size + 1 virtual INTIDs, without the first 8192."""
    mapped = _judge(_state(), _write(), _done(_vmapp(3, 0x4801_0000, 0x4900_0000, v41=True)), facts=FACTS_V41).post
    assert {pfn for pfn in mapped.pages if pfn >= 0x49000} == {0x49000, 0x49001}
    assert mapped.its[0].vpes == {3: (0x4801_0000, 13, 0x4900_0000)}

    gone = _judge(mapped, _write(), _done(_vmapp(3, 0, valid=0, v41=True)), facts=FACTS_V41).post
    assert gone.pages == {}


@pytest.mark.parametrize("at, what", [
    (0x48010, "a virtual pending table"), (0x4801F, "a virtual pending table"), (0x49001, "a virtual configuration table"),
])  # fmt: skip
def test_a_vpes_tables_in_memory_of_others(at: int, what: str) -> None:
    """Each page counts, and the table is named."""
    mapped = _done(_vmapp(3, 0x4801_0000, 0x4900_0000, v41=True))

    wrong = _judge(_state({at: GUEST}), _write(), mapped, facts=FACTS_V41).wrong

    assert wrong == f"{what} in memory of the guest reached the hardware"


def test_the_layout_of_vmapp_is_the_machines() -> None:
    """On GICv4.0 the words that hold VCONF_addr on GICv4.1 are reserved, and no table is there."""
    command = _vmapp(3, 0x4801_0000, 0x4900_0000, v41=True)

    assert 0x49000 not in _judge(_state(), _write(), _done(command)).post.pages


def test_commands_for_a_vpe_need_it() -> None:
    """INVDB of one that is mapped is fine; of another it is not."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0, vpes={3: (0x4801_0000, 13, 0)})

    assert _judge(_state(its=its), _write(), _done(INVDB(vpe_id=3)), facts=FACTS_V41).wrong is None
    wrong = _judge(_state(its=its), _write(), _done(INVDB(vpe_id=4)), facts=FACTS_V41).wrong
    assert wrong == "INVDB of an unmapped vPE reached the hardware"


# ---------------------------------------------------------------- level 2


def test_level_2_pages_come_from_the_host_alone() -> None:
    """With a new level-1 entry, pages that the host owned alone may have become the hypervisor's; no others."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0, level_2=frozenset({(1, 0)}))
    pre = _state({0x48002: SHARED}, its=its)
    then = _state({0x48001: HYP, 0x48002: HYP, 0x48003: GUEST}, its=replace(its, level_2=frozenset({(1, 0), (1, 5)})))

    judged = _judge(pre, _write(), _done(), observed=then)

    assert judged.post.pages == {0x48001: HYP, 0x48002: SHARED}
    assert judged.post.its[0].level_2 == {(1, 0), (1, 5)}


def test_without_a_new_level_1_entry_no_page_is_taken() -> None:
    """The same pages then are a difference."""
    its = AbstractIts(0x4100_0000, 0x1_0000, 0, level_2=frozenset({(1, 0)}))
    pre, then = _state(its=its), _state({0x48001: HYP}, its=its)

    judged = _judge(pre, _write(), _done(), observed=then)

    assert judged.post == pre


def test_a_machine_that_stopped_is_not_compared() -> None:
    """Whatever the op was."""
    assert isinstance(
        specify(_state(), Call(_write(), Panicked(Reason.EL2_FAULT), _state(), FACTS, CLAIMS)), NotChecked
    )
