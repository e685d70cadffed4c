"""The specification alone: pure functions over abstract state, with pKVM's own ownership assertions as vectors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.its_commands import INT, MAPD, MAPTI, VINVALL, VSYNC
from itsbox.arch.its_registers import GITS_CTLR
from itsbox.arch.layout import Layout
from itsbox.ops import (
    Aborted,
    Bytes,
    Done,
    Drive,
    Drove,
    Hvc,
    HvcReturn,
    Load,
    MmioWrite,
    Msi,
    Outcome,
    Verdict,
)
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractIts, AbstractPage, Regions, page_at
from itsbox.oracle.spec import Call, Claims, Expected, Facts, specify
from itsbox.oracle.spec_queue import Frames
from itsbox.reasons import Reason

REGIONS = Regions(range(0x40000, 0x50000), range(0x4FF00, 0x50000), range(0x4FE00, 0x4FF00))
FACTS = Facts(REGIONS, (0x0808_0000,), 12, 15, False, cpus=1)
CLAIMS = Claims(pkvm=True, commands=True, injects=True)
PFN = 0x48000
OK = HvcReturn(0, 0)
EPERM = HvcReturn(0, (1 << 64) - 1, "EPERM", Reason.PAGE_NOT_HOST_OWNED)
SHARED, PINNED = AbstractPage("host", "hyp"), AbstractPage("host", "hyp", 1)
GUEST, HYP = AbstractPage("guest"), AbstractPage("hyp")
CTLR_ON = GITS_CTLR.decode(0).replace(enabled=1, quiescent=1).word()


def _state(*, phase: str = "deprivileged", its: AbstractIts | None = None, **pages: AbstractPage) -> Abstract:
    known = {int(name[1:], 16): page for name, page in pages.items()}
    done = frozenset({0} if phase != "trusted" else ())
    tracked = {pfn: page.pins for pfn, page in known.items() if page.pins}
    registers = {(0, "CTLR"): CTLR_ON}
    return Abstract(phase, known, {} if its is None else {0: its}, registers, {}, finalised=done, tracked=tracked)


def _judge(
    pre: Abstract, op: object, outcome: Outcome, observed: Abstract | None = None, claims: Claims = CLAIMS
) -> Expected:
    return specify(pre, Call(op, outcome, observed or pre, FACTS, claims))  # type: ignore[arg-type]


SHARE, UNSHARE = "__pkvm_host_share_hyp", "__pkvm_host_unshare_hyp"
DONATE, RECLAIM = "__pkvm_host_donate_guest", "__pkvm_host_reclaim_page"


@pytest.mark.parametrize("function, before, after", [
    (SHARE, HOST_ALONE, SHARED), (SHARE, SHARED, None), (SHARE, HYP, None), (SHARE, GUEST, None), (SHARE, PINNED, None),
    (UNSHARE, SHARED, HOST_ALONE), (UNSHARE, HOST_ALONE, None), (UNSHARE, PINNED, None), (UNSHARE, HYP, None),
    (DONATE, HOST_ALONE, GUEST), (DONATE, SHARED, None), (DONATE, PINNED, None), (DONATE, GUEST, None),
    (RECLAIM, GUEST, HOST_ALONE), (RECLAIM, HOST_ALONE, None), (RECLAIM, HYP, None),
])  # fmt: skip
def test_page_transitions(function: str, before: AbstractPage, after: AbstractPage | None) -> None:
    """Each hypercall from each state: the one state it leads to, or a refusal that changes nothing (None)."""
    pre = _state(x48000=before) if before != HOST_ALONE else _state()
    if before == GUEST:
        pre = replace(pre, donated={PFN: 0x1000})  # to a guest that has been torn down since
    op = Hvc(function, (PFN, PFN, 1))
    right, wrong = (OK, EPERM) if after is not None else (EPERM, OK)

    answer = _judge(pre, op, right)
    assert answer.wrong is None
    assert page_at(answer.post, REGIONS, PFN) == (after or before)
    assert _judge(pre, op, wrong).wrong is not None


@pytest.mark.parametrize("pfn", [0, 0x3FFFF, 0x50000, 1 << 52])
def test_what_is_no_memory_cannot_be_shared(pfn: int) -> None:
    """Frames outside RAM are refused."""
    assert _judge(_state(), Hvc(SHARE, (pfn,)), EPERM).wrong is None
    assert _judge(_state(), Hvc(SHARE, (pfn,)), OK).wrong is not None


def test_a_range_is_all_or_nothing() -> None:
    """Donating three pages of which one is shared is refused as a whole; nothing at all is done for no pages."""
    pre = _state(x48001=SHARED)

    assert _judge(pre, Hvc(DONATE, (PFN, PFN, 3)), EPERM).post == pre
    assert len(_judge(_state(), Hvc(DONATE, (PFN, PFN, 3)), OK).post.pages) == 3
    assert _judge(pre, Hvc(DONATE, (PFN, PFN, 0)), OK).post == pre


def test_the_guest_of_the_memory_map_is_never_reclaimed() -> None:
    """Its pages stay a guest's for ever."""
    assert _judge(_state(), Hvc(RECLAIM, (0x4FE00,)), OK).wrong is not None


@pytest.mark.parametrize("function", ["nonsense", 0xC600_0063, 0, "__pkvm_host_donate_hyp"])
def test_hypercalls_that_do_not_exist(function: str | int) -> None:
    """They are NOT_SUPPORTED and change nothing; one that answers is wrong."""
    assert _judge(_state(), Hvc(function, (PFN,)), HvcReturn((1 << 64) - 1, 0)).wrong is None
    assert _judge(_state(), Hvc(function, (PFN,)), OK).wrong is not None


def test_without_pkvm_no_hypercall_exists() -> None:
    """Under ``off`` sharing a page is NOT_SUPPORTED too."""
    claims = CLAIMS._replace(pkvm=False)

    assert _judge(_state(), Hvc(SHARE, (PFN,)), OK, claims=claims).wrong is not None


@pytest.mark.parametrize("page, allowed", [(HOST_ALONE, True), (SHARED, True), (GUEST, False), (HYP, False)])
def test_stage_2_lets_the_host_to_its_own(page: AbstractPage, allowed: bool) -> None:
    """A load passes exactly where the page is the host's, once it is deprivileged; before that everywhere."""
    pre = _state(x48000=page)
    load, data, abort = Load(PFN << 12, 8), Bytes(bytes(8)), Aborted(Reason.HYP_MEMORY)

    assert (_judge(pre, load, data).wrong is None) == allowed
    assert (_judge(pre, load, abort).wrong is None) != allowed
    assert _judge(_state(phase="trusted", x48000=page), load, data).wrong is None


def _pump(command: Layout, pre: Abstract, verdict: str = Verdict.EXECUTED) -> Expected:
    words = command.encode()
    start = pre.its[0].consumed
    outcome = Done([(start // 32, command.NAME, words, verdict, None, None)])  # type: ignore[list-item]
    return _judge(pre, MmioWrite(0x0808_0088, 8, start + 32), outcome)


def _its(**devices: tuple[int, int]) -> AbstractIts:
    return AbstractIts(0x4100_0000, 0x1_0000, 0, {int(name[1:]): place for name, place in devices.items()})


def test_mapd_holds_its_pages_and_lets_the_old_ones_go() -> None:
    """A device is mapped, mapped anew elsewhere, unmapped: pages are shared and pinned while in use, and no longer."""
    first = _pump(MAPD(device_id=1, size=4, itt_addr=0x4800_0F00, valid=1), _state(its=_its())).post
    assert first.pages == {0x48000: PINNED, 0x48001: PINNED}

    second = _pump(MAPD(device_id=1, size=4, itt_addr=0x4800_1000, valid=1), first).post
    assert second.pages == {0x48001: PINNED}

    third = _pump(MAPD(device_id=1, size=0, itt_addr=0, valid=0), second).post
    assert third.pages == {}
    assert third.its[0].devices == {}


def test_two_devices_share_a_page_with_two_pins() -> None:
    """Each device pins the page once."""
    state = _pump(MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1), _state(its=_its())).post
    state = _pump(MAPD(device_id=2, size=4, itt_addr=0x4800_0800, valid=1), state).post

    assert state.pages == {0x48000: AbstractPage("host", "hyp", 2)}


@pytest.mark.parametrize("command, pre", [
    (MAPD(device_id=1, size=4, itt_addr=0x4FF0_0000, valid=1), _state(its=_its())),
    (MAPD(device_id=1, size=4, itt_addr=0x4FE0_0000, valid=1), _state(its=_its())),
    (MAPD(device_id=1, size=15, itt_addr=0x4FDF_0000, valid=1), _state(its=_its())),
    (MAPD(device_id=1, size=16, itt_addr=0x4800_0000, valid=1), _state(its=_its())),
    (MAPD(device_id=1, size=4, itt_addr=0x4800_0000, valid=1), _state(its=_its(), x48000=SHARED)),
    (MAPTI(device_id=3, event_id=0, intid=8192, icid=0), _state(its=_its())),
    (INT(device_id=1, event_id=32), _state(its=_its(d1=(0x4800_0000, 4)), x48000=PINNED)),
    (VINVALL(vpe_id=1), _state(its=_its())),
])  # fmt: skip
def test_commands_that_may_not_reach_hardware(command: Layout, pre: Abstract) -> None:
    """Carried out they are wrong; refused they are fine and change nothing."""
    assert _pump(command, pre).wrong is not None

    refused = _pump(command, pre, Verdict.REFUSED)
    assert (refused.wrong, refused.post.pages, refused.post.its[0].devices) == (None, pre.pages, pre.its[0].devices)


def test_waiting_for_an_unmapped_vpe_is_fine() -> None:
    """Linux on GICv4.0 posts VSYNC for a vPE that it has just unmapped; nothing is written for it."""
    pre = _state(its=_its())
    judged = _pump(VSYNC(vpe_id=1), pre)
    assert (judged.wrong, judged.post.pages, judged.post.its[0].vpes) == (None, pre.pages, {})


def test_the_driver_changes_nothing_of_its_own() -> None:
    """Its accesses are judged one by one; what is left of the call is nothing."""
    assert _judge(_state(), Drive("probe", {}), Drove((), {})) == Expected(_state())


def test_a_message_changes_no_page() -> None:
    """Whatever a device sends, ownership, records and registers stay."""
    assert _judge(_state(), Msi(1, 2), Done()).post == _state()


def test_a_path_is_in_no_set_of_frames() -> None:
    """A range would compare a tuple with each of its numbers, of which one MAPD can name a million."""
    asked: list[object] = []

    class Named:
        def __contains__(self, key: object) -> bool:
            asked.append(key)
            return True

    frames = Frames(lambda: iter((Named(),)))

    assert () not in frames
    assert (0, "devices") not in frames
    assert 7 in frames
    assert asked == [7]
