"""The executable specification: what each trap and hypercall does, as pure functions ``post = f(pre, call)``.

It is written against the documentation of pKVM and of the ITS, not against the hypervisor beside it, which it may not import;
running both in lock-step therefore compares two readings. State is abstract (``abstract``): finite maps of who owns what.

**Looseness is explicit.** Where an implementation may choose, the function reads the choice from the observed call and checks
that it is one of those allowed: how many commands the hardware took, which level-2 pages were brought in. A function answers
``NotChecked`` where it does not speak, and ``Expected.loose`` names the parts of the state that it leaves open.

Hypercalls and the host's accesses to memory are specified for every preset. What a trap of GITS_CWRITER does is specified where
the hardening promises all of it (``Claims.commands``): the presets of the series differ from each other, and from what they
meant to do, in ways that their own knobs describe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from itsbox.arch.hypercalls import BY_NAME, find_hypercall
from itsbox.arch.its_commands import COMMANDS, COMMANDS_V41, MAPD, OPCODE_MASK, VMAPP, VMAPP_V41, VSYNC, decode_command
from itsbox.arch.its_registers import GITS_CTLR, GITS_CWRITER
from itsbox.arch.its_tables import event_count, itt_bytes
from itsbox.arch.lpi_tables import config_table_bytes, pending_table_bytes
from itsbox.arch.values import PAGE_SHIFT, SIZE_64K, align_up, pages_of
from itsbox.ops import (
    Aborted,
    Drive,
    Fill,
    Hvc,
    HvcReturn,
    Load,
    MmioRead,
    MmioWrite,
    Op,
    Outcome,
    Panicked,
    Refused,
    Store,
    Verdict,
)
from itsbox.oracle.abstract import HOST_ALONE, Abstract, AbstractPage, Regions, page_at

__all__ = ["Call", "Claims", "Expected", "Facts", "NotChecked", "specify"]


class Facts(NamedTuple):
    """What does not change.

    regions: of memory; its: address of each ITS's control frame; ite_bytes, event_id_bits (minus one): as hardware has them;
    vmapp_v41: VMAPP has its GICv4.1 layout.
    """

    regions: Regions
    its: tuple[int, ...]
    ite_bytes: int
    event_id_bits: int
    vmapp_v41: bool


class Claims(NamedTuple):
    """What the hardening promises.

    pkvm: there is a hypervisor; commands: it checks every command, skips what it refuses and takes back what fails; injects:
    a forbidden access of the host is an abort rather than the end of the machine.
    """

    pkvm: bool
    commands: bool
    injects: bool


class Call(NamedTuple):
    """An op with what came of it; ``observed`` is the state afterwards, from which choices are read."""

    op: Op
    outcome: Outcome
    observed: Abstract
    facts: Facts
    claims: Claims


class Expected(NamedTuple):
    """What must be the case after the call.

    post: the state; loose: parts of it that are not compared; wrong: what is wrong with the outcome itself, or None.
    """

    post: Abstract
    loose: frozenset[str] = frozenset()
    wrong: str | None = None


class NotChecked(NamedTuple):
    """The specification does not speak about this call; ``why`` says so for people."""

    why: str


Answer: TypeAlias = Expected | NotChecked

HOST_SHARED: Final = AbstractPage("host", "hyp")
_WITH_GUEST: Final = AbstractPage("host", "guest")
_GUEST: Final = AbstractPage("guest")
_HYP: Final = AbstractPage("hyp")


# ---------------------------------------------------------------- hypercalls


def _succeeded(call: Call) -> bool:
    outcome = call.outcome
    return isinstance(outcome, HvcReturn) and outcome.x0 == 0 and outcome.x1 == 0


def _result(pre: Abstract, call: Call, legal: bool, post: Abstract) -> Expected:
    """Success exactly when it is legal; then ``post``, else nothing changes."""
    if _succeeded(call) == legal:
        return Expected(post if legal else pre)
    text = "was refused although it is legal" if legal else "succeeded although it is not"
    return Expected(pre, wrong=f"the hypercall {text}")


def _pages(call: Call, first: int, count: int = 1) -> range | None:
    """The frames an argument names, or None if they are not all memory."""
    ram = call.facts.regions.ram
    return range(first, first + count) if first in ram and count >= 0 and first + count <= ram.stop else None


def _move(pre: Abstract, call: Call, place: tuple[int, int], old: AbstractPage, new: AbstractPage) -> Expected:
    """A transition of ``place`` (frame, count) from one page state to another: all pages, or none."""
    if not place[1]:
        return Expected(pre)  # no pages: nothing to refuse and nothing to do
    frames = _pages(call, *place)
    regions = call.facts.regions
    legal = frames is not None and all(page_at(pre, regions, pfn) == old for pfn in frames)
    post = pre.with_pages(dict.fromkeys(frames or (), new), regions) if legal else pre
    return _result(pre, call, legal, post)


def host_share_hyp(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_host_share_hyp``: from owned alone to shared; sharing twice is refused."""
    return _move(pre, call, (args[0], 1), HOST_ALONE, HOST_SHARED)


def host_unshare_hyp(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_host_unshare_hyp``: the way back, unless pinned."""
    return _move(pre, call, (args[0], 1), HOST_SHARED, HOST_ALONE)


def host_share_guest(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_host_share_guest``: for a guest that is not protected."""
    return _move(pre, call, (args[0], args[2]), HOST_ALONE, _WITH_GUEST)


def host_unshare_guest(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_host_unshare_guest``: guests are mapped flat, the guest's frame is the page's."""
    return _move(pre, call, (args[1], args[2]), _WITH_GUEST, HOST_ALONE)


def host_donate_guest(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_host_donate_guest``: pages that the host owns alone become a protected guest's."""
    return _move(pre, call, (args[0], args[2]), HOST_ALONE, _GUEST)


def host_reclaim_page(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_host_reclaim_page``: a page of a guest that is being torn down comes back; the carve-out never does.

    Which guest a page belongs to, and whether that one is dying, is not part of this state: a refusal is always allowed.
    """
    if args[0] in call.facts.regions.guest:
        return _result(pre, call, False, pre)
    return _move(pre, call, (args[0], 1), _GUEST, HOST_ALONE) if _succeeded(call) else Expected(pre)


def prot_finalize(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_prot_finalize``: the phase goes forward or stays; device frames are not pages of this state."""
    order = ("trusted", "deprivileging", "deprivileged")
    now = call.observed.phase
    if order.index(now) < order.index(pre.phase):
        return Expected(pre, wrong="the host became more privileged")
    return Expected(replace(pre, phase=now), frozenset({"registers", "lpis"}))


def take_over(pre: Abstract, call: Call, args: tuple[int, ...]) -> Answer:
    """``__pkvm_init_its_emulation`` and its sibling: refused without a trace, or pages that were the host's change hands.

    Which pages is the host's choice and the hypervisor's: they are read from the outcome, but each must come from the host.
    """
    if not _succeeded(call):
        return Expected(pre, frozenset() if call.claims.commands else frozenset({"pages", "its", "phase"}))
    regions = call.facts.regions
    for pfn, page in call.observed.pages.items():
        before = page_at(pre, regions, pfn)
        if page != before and before not in (HOST_ALONE, HOST_SHARED):
            return Expected(pre, wrong=f"page {pfn:#x} was taken from the {before.owner}")
        if page != before and page.owner == "guest":
            return Expected(pre, wrong=f"page {pfn:#x} went to a guest")
    return Expected(call.observed)


_HYPERCALLS: Final[dict[str, tuple[int, Callable[[Abstract, Call, tuple[int, ...]], Answer]]]] = {
    "__pkvm_host_share_hyp": (1, host_share_hyp),
    "__pkvm_host_unshare_hyp": (1, host_unshare_hyp),
    "__pkvm_host_share_guest": (4, host_share_guest),
    "__pkvm_host_unshare_guest": (3, host_unshare_guest),
    "__pkvm_host_donate_guest": (3, host_donate_guest),
    "__pkvm_host_reclaim_page": (1, host_reclaim_page),
    "__pkvm_prot_finalize": (0, prot_finalize),
    "__pkvm_init_its_emulation": (0, take_over),
    "__pkvm_init_redist_emulation": (0, take_over),
}
"""Name to (arguments it needs, function)."""


def hypercall(pre: Abstract, call: Call, op: Hvc) -> Answer:
    """Any hypercall: one that does not exist is NOT_SUPPORTED and changes nothing."""
    found = find_hypercall(op.function)
    if found is None and call.claims.pkvm and pre.phase == "trusted" and op.function in BY_NAME:
        return NotChecked(f"{op.function} is EL2's own, for a host that is trusted anyway (decision record 0102)")
    if found is None or not call.claims.pkvm:
        supported = isinstance(call.outcome, HvcReturn) and call.outcome.x0 == 0
        return Expected(pre, wrong="a hypercall that does not exist answered" if supported else None)
    row = _HYPERCALLS.get(found.name)
    if isinstance(call.outcome, HvcReturn) and call.outcome.x0:
        return Expected(pre)  # closed by now, or not part of the preset: then it did nothing
    if row is None:
        return NotChecked(f"{found.name} is not specified")
    needs, function = row
    # A register that the host does not set holds something; this machine clears it. A hypervisor may also refuse.
    if len(op.args) < needs and not _succeeded(call):
        return Expected(pre)
    return function(pre, call, (*op.args, *(0,) * needs))


# ---------------------------------------------------------------- the host's memory accesses


def memory_access(pre: Abstract, call: Call, addr: int, length: int) -> Answer:
    """A load or store: nothing that the specification knows changes, and stage 2 lets it through exactly where it may."""
    regions = call.facts.regions
    frames = pages_of(addr, length)
    if not length or frames[0] not in regions.ram or frames[-1] not in regions.ram:
        return Expected(pre)
    allowed = pre.phase == "trusted" or all(page_at(pre, regions, pfn).owner == "host" for pfn in frames)
    stopped = isinstance(call.outcome, Aborted | Panicked)
    if pre.phase != "deprivileging" and allowed == stopped:
        return Expected(
            pre, wrong="stage 2 stopped the host at its own page" if allowed else "stage 2 let the host through"
        )
    return Expected(pre)


# ---------------------------------------------------------------- traps


def register_write(pre: Abstract, call: Call, op: MmioWrite) -> Answer:
    """A write to a device: the command pump has its own function, the rest changes no page."""
    if pre.phase == "deprivileged":
        for number, base in enumerate(call.facts.its):
            if op.addr - base in (GITS_CWRITER.OFFSET, GITS_CWRITER.OFFSET + 4, GITS_CTLR.OFFSET):
                return command_pump(pre, call, number)
    if pre.phase != "deprivileged" or not call.claims.commands:
        return Expected(
            pre, frozenset({"registers", "lpis", "its", "pages"} if pre.phase != "trusted" else {"registers", "lpis"})
        )
    if isinstance(call.outcome, Refused):
        return Expected(pre)
    return Expected(pre, frozenset({"lpis", "pages", "its"}))


def command_pump(pre: Abstract, call: Call, number: int) -> Answer:
    """GITS_CWRITER of an ITS: commands in turn, each refused without a trace or carried out with its pages held."""
    records = getattr(call.outcome, "commands", ())
    if not call.claims.commands or number not in pre.its:
        return Expected(pre, frozenset({"registers", "its", "pages"}))
    if any(its.waiting for its in (*pre.its.values(), *call.observed.its.values())):
        return NotChecked("hardware stopped at a command: it may be carried out, or taken back, at any time")
    state = pre
    for _, _, words, verdict, _, _ in records:
        if verdict in (Verdict.ERROR, Verdict.STALLED):
            return NotChecked("the hardware did not carry a command out")
        answer = state if verdict == Verdict.REFUSED else _command(state, call, number, words)
        if isinstance(answer, str):
            return Expected(state, wrong=answer)
        state = answer
    state = _new_level_2(state, call, number)
    consumed = {n: its.consumed for n, its in call.observed.its.items()}
    its = {n: replace(each, consumed=consumed.get(n, each.consumed)) for n, each in state.its.items()}
    return Expected(replace(state, its=its), frozenset({"registers"}))


def _command(state: Abstract, call: Call, number: int, words: tuple[int, int, int, int]) -> Abstract | str:
    """One command that hardware carried out: the state after it, or why it should not have got there."""
    command = decode_command(words, COMMANDS_V41 if call.facts.vmapp_v41 else COMMANDS)
    if command is None:
        return f"opcode {words[0] & OPCODE_MASK:#x}, which no command has, reached the hardware"
    its = state.its[number]
    if isinstance(command, MAPD):
        return _mapd(state, call, number, command)
    if isinstance(command, VMAPP | VMAPP_V41):
        return _vmapp(state, call, number, command)
    device_id, event_id = getattr(command, "device_id", None), getattr(command, "event_id", None)
    if device_id is not None and event_id is not None:
        known = its.devices.get(device_id)
        if known is None:
            return f"{command.NAME} of an unmapped device reached the hardware"
        if event_id >= event_count(known[1]):
            return f"{command.NAME} of an event beyond its device's table reached the hardware"
    vpe_id = getattr(command, "vpe_id", None)
    if vpe_id is not None and vpe_id not in its.vpes and not isinstance(command, VSYNC):  # which changes nothing
        return f"{command.NAME} of an unmapped vPE reached the hardware"
    return state


def _hold(state: Abstract, call: Call, frames: range, what: str) -> Abstract | str:
    """Pages come to be used by hardware: the host's, shared and pinned once more."""
    regions = call.facts.regions
    changes = {}
    for pfn in frames:
        page = page_at(state, regions, pfn)
        if page.owner != "host" or page.shared_with == "guest":
            return f"{what} in memory of the {page.shared_with or page.owner} reached the hardware"
        if page == HOST_SHARED:
            return f"{what} in a page that the host had shared itself reached the hardware"
        changes[pfn] = AbstractPage("host", "hyp", page.pins + 1)
    return state.with_pages(changes, regions)


def _let_go(state: Abstract, call: Call, frames: range) -> Abstract:
    """The way back: one pin less, and the host's alone again after the last."""
    regions = call.facts.regions
    changes = {}
    for pfn in frames:
        page = page_at(state, regions, pfn)
        changes[pfn] = HOST_ALONE if page.pins <= 1 else page._replace(pins=page.pins - 1)
    return state.with_pages(changes, regions)


def _with_its(state: Abstract, number: int, **changes: Any) -> Abstract:
    return replace(state, its={**state.its, number: replace(state.its[number], **changes)})


def _itt(call: Call, place: tuple[int, int]) -> range:
    return pages_of(place[0], itt_bytes(place[1], call.facts.ite_bytes))


def _mapd(state: Abstract, call: Call, number: int, c: MAPD) -> Abstract | str:
    """The new table is held before the old one is let go."""
    devices = dict(state.its[number].devices)
    old = devices.pop(c.device_id, None)
    if c.valid:
        if c.size > call.facts.event_id_bits:
            return "MAPD with too many EventID bits reached the hardware"
        held = _hold(state, call, _itt(call, (c.itt_addr, c.size)), "a translation table")
        if isinstance(held, str):
            return held
        state = held
        devices[c.device_id] = (c.itt_addr, c.size)
    if old is not None:
        state = _let_go(state, call, _itt(call, old))
    return _with_its(state, number, devices=devices)


def _vmapp(state: Abstract, call: Call, number: int, c: VMAPP | VMAPP_V41) -> Abstract | str:
    """A vPE's tables are held while it is mapped: its pending table in units of 64 KB, on GICv4.1 its configuration table."""
    vpes = dict(state.its[number].vpes)
    old = vpes.pop(c.vpe_id, None)
    if c.valid:
        place = (c.vpt_addr, c.vpt_size, c.vconf_addr if isinstance(c, VMAPP_V41) else 0)
        for frames, what in zip(
            _vpe(place), ("a virtual pending table", "a virtual configuration table"), strict=False
        ):
            held = _hold(state, call, frames, what)
            if isinstance(held, str):
                return held
            state = held
        vpes[c.vpe_id] = place
    for frames in _vpe(old) if old is not None else ():
        state = _let_go(state, call, frames)
    return _with_its(state, number, vpes=vpes)


def _vpe(place: tuple[int, int, int]) -> list[range]:
    """The pages of a vPE's tables: (VPT_addr, VPT_size, VCONF_addr or 0)."""
    vpt_addr, vpt_size, vconf_addr = place
    pages = [pages_of(vpt_addr, align_up(pending_table_bytes(vpt_size), SIZE_64K))]
    if vconf_addr:
        pages.append(pages_of(vconf_addr, config_table_bytes(vpt_size)))
    return pages


def _new_level_2(state: Abstract, call: Call, number: int) -> Abstract:
    """Level-2 pages that were brought in: the choice is the host's; each page must have been the host's alone."""
    regions, seen = call.facts.regions, call.observed.its.get(number)
    if seen is None or seen.level_2 <= state.its[number].level_2:
        return state
    taken = {
        pfn: _HYP
        for pfn, page in call.observed.pages.items()
        if page == _HYP and page_at(state, regions, pfn) == HOST_ALONE
    }
    return _with_its(state.with_pages(taken, regions), number, level_2=seen.level_2)


# ---------------------------------------------------------------- any op


def specify(pre: Abstract, call: Call) -> Answer:
    """What must be the case after an op."""
    op = call.op
    if isinstance(call.outcome, Panicked):
        return NotChecked("the modelled hypervisor stopped the machine")
    match op:
        case Hvc():
            return hypercall(pre, call, op)
        case Load(addr, length) | Fill(addr, length, _) | MmioRead(addr, length):
            return memory_access(pre, call, addr, length)
        case Store(addr, data):
            return memory_access(pre, call, addr, len(data))
        case MmioWrite(addr, size, _):
            inside = addr >> PAGE_SHIFT in call.facts.regions.ram
            return memory_access(pre, call, addr, size) if inside else register_write(pre, call, op)
        case Drive():
            return NotChecked("the driver does many things")
        case _:
            return Expected(pre)
