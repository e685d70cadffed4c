"""The executable specification: what each trap and hypercall does, as pure functions ``post = f(pre, call)``.

It is written against the documentation of pKVM and of the ITS, not against the hypervisor beside it, which it may not import;
running both in lock-step therefore compares two readings. State is abstract (``abstract``): finite maps of who owns what.

There is one function for each kind of trap and each hypercall: ``spec_its`` (registers of an ITS), ``spec_queue`` and
``spec_commands`` (what GITS_CWRITER sets going), ``spec_redist`` (registers of a redistributor), ``spec_hypercalls``,
``spec_takeover`` (the switch-over), and here the host's accesses to memory and the ops that change nothing.

**Looseness is explicit.** Where an implementation may choose, the function reads the choice from the observed call and checks
that it is one of those allowed: which level-2 pages were brought in, what hardware says in a status bit. ``Expected.loose``
names what is left open, each with its reason. Under ``strict`` that is little; the presets of the series differ from each
other, and from what they meant to do, in ways that their own knobs describe, and there a trap may reach the pages that it
names and no others.
"""

from __future__ import annotations

from itsbox.arch.values import PAGE_SHIFT, pages_of
from itsbox.ops import Aborted, Fill, Hvc, Load, MmioRead, MmioWrite, Panicked, Refused, Store
from itsbox.oracle.abstract import Abstract, page_at
from itsbox.oracle.spec_call import ANY, Call, Claims, Expected, Facts, Loose, from_host, settled
from itsbox.oracle.spec_hypercalls import hypercall
from itsbox.oracle.spec_its import its_guarded, its_read, its_write, locate_its, stage_2
from itsbox.oracle.spec_redist import locate_redistributor, redistributor_write, redistributors_guarded

__all__ = ["Call", "Claims", "Expected", "Facts", "Loose", "memory_access", "settled", "specify"]


def memory_access(pre: Abstract, call: Call, addr: int, length: int) -> Expected:
    """A load or store: nothing that the specification knows changes, and stage 2 lets it through exactly where it may."""
    facts = call.facts
    frames = pages_of(addr, length)
    if not length or frames[0] not in facts.regions.ram or frames[-1] not in facts.regions.ram:
        return Expected(pre)
    allowed = not stage_2(pre, facts) or all(page_at(pre, facts.regions, pfn).owner == "host" for pfn in frames)
    stopped = isinstance(call.outcome, Aborted | Panicked)
    if allowed == stopped:
        text = "stage 2 stopped the host at its own page" if allowed else "stage 2 let the host through"
        return Expected(pre, wrong=text)
    if isinstance(call.outcome, Panicked) and call.claims.injects:
        return Expected(pre, wrong="the hypervisor stopped the machine where it should inject an abort")
    return Expected(pre)


def mmio_read(pre: Abstract, call: Call, op: MmioRead) -> Expected:
    """A read of memory or of a device: nothing changes."""
    if locate_its(call.facts, op.addr) is not None:
        return its_read(pre, call)
    return memory_access(pre, call, op.addr, op.size)


def mmio_write(pre: Abstract, call: Call, op: MmioWrite) -> Expected:
    """A write by the host. One across two pages is one to each; where a page is guarded, nobody may carry either out."""
    edge = pages_of(op.addr, op.size)[-1] << PAGE_SHIFT
    if edge <= op.addr or _in_memory(call, op.addr) or _in_memory(call, edge):
        return _write(pre, call, op)
    if _guarded(pre, call, op.addr) or _guarded(pre, call, edge):
        refused = isinstance(call.outcome, Refused)
        return Expected(pre, wrong=None if refused else "a write into a guarded page began or ended in another")
    low = edge - op.addr  # what bare registers make of a value is read from them
    first = _write(pre, call, MmioWrite(op.addr, low, 0))
    second = _write(first.post, call, MmioWrite(edge, op.size - low, 0))
    return second._replace(loose=(*first.loose, *second.loose))


def _guarded(pre: Abstract, call: Call, addr: int) -> bool:
    """Whether the hypervisor answers for an address."""
    its = locate_its(call.facts, addr)
    if its is not None:
        return its_guarded(pre, call, its[1])
    return locate_redistributor(call.facts, addr) is not None and redistributors_guarded(pre, call)


def _write(pre: Abstract, call: Call, op: MmioWrite) -> Expected:
    """A write to memory, to an ITS, to a redistributor; any other device has no part in this state."""
    place = locate_its(call.facts, op.addr)
    if place is not None:
        return its_write(pre, call, op, *place)
    place = locate_redistributor(call.facts, op.addr)
    if place is not None:
        return redistributor_write(pre, call, op, *place)
    return memory_access(pre, call, op.addr, op.size)


def machine_stopped(pre: Abstract, call: Call) -> Expected:
    """The modelled hypervisor stopped the machine in a trap or a hypercall; the hardening promises that it never does.

    Elsewhere it stopped half way: what it had done of the op by then is open, but no secret page has moved.
    """
    if call.claims.commands and call.claims.injects:
        return Expected(pre, wrong="the hypervisor stopped the machine")
    why = "the hypervisor stopped half way"
    parts = ("its", "tracked", "registers")
    return Expected(pre, (Loose("pages", ANY, why, _not_secret), *(Loose(part, ANY, why) for part in parts)))


def _not_secret(expected: object, found: object) -> bool:
    return from_host(expected, found) or from_host(found, expected)  # type: ignore[arg-type]  # values of part "pages"


def specify(pre: Abstract, call: Call) -> Expected:
    """What must be the case after an op. A call of the driver changes nothing of its own: each of its accesses is judged."""
    op = call.op
    match op:
        case Load(addr, length) | Fill(addr, length, _):
            return memory_access(pre, call, addr, length)
        case Store(addr, data):
            return memory_access(pre, call, addr, len(data))
        case MmioRead():
            return mmio_read(pre, call, op)
        case MmioWrite():
            inside = _in_memory(call, op.addr)
            halted = isinstance(call.outcome, Panicked) and not inside
            return machine_stopped(pre, call) if halted else mmio_write(pre, call, op)
        case Hvc():
            halted = isinstance(call.outcome, Panicked)
            return machine_stopped(pre, call) if halted else hypercall(pre, call, op)
        case _:
            return Expected(pre)


def _in_memory(call: Call, addr: int) -> bool:
    return pages_of(addr, 1)[0] in call.facts.regions.ram
