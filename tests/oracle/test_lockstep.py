"""Lock-step: the machine agrees with the specification, and a hypervisor that does not is caught."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from itsbox.arch.its_commands import VMAPP_V41, VSGI
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CTLR, TABLE_VPES
from itsbox.arch.values import SIZE_64K
from itsbox.host.attacks import HostileHost
from itsbox.host.scenarios import run
from itsbox.hypervisor.command_checks import PhysicalChecks
from itsbox.hypervisor.plan import Step
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.ownership import Ownership
from itsbox.memory.stage2 import Stage2
from itsbox.ops import Ack, Acked, Bytes, Done, Hvc, HvcReturn, Load, MmioWrite, Panicked
from itsbox.oracle.abstract import Abstract, AbstractPage, Regions
from itsbox.oracle.lockstep import Lockstep, SpecMismatch
from itsbox.oracle.spec import Claims, Facts
from itsbox.reasons import Reason


def _machine(**fields: Any) -> Machine:
    return Machine(MachineConfig.make(**{"start": "deprivileged", "oracle": "lockstep", **fields}))


def _play(name: str, preset: str) -> Machine:
    """Play a scenario in lock-step; the machine afterwards."""
    made: list[Machine] = []

    def make(fields: Any) -> Any:
        made.append(Machine(MachineConfig.make(**{**fields, "oracle": "lockstep"})))
        return made[-1]

    run(name, preset, make)
    return made[-1]


@pytest.mark.parametrize("preset", ["off", "forward", "rfc-v1", "rfc-v1@8", "v2", "android-6.12", "strict"])
@pytest.mark.parametrize("name", ["linux-boot", "A4", "A5", "A12", "foreign-release", "A6", "unshared-itt"])
def test_machine_and_specification_agree(name: str, preset: str) -> None:
    """Honest and hostile programs run in lock-step under every preset without a difference, each access of the driver too."""
    machine = _play(name, preset)

    assert machine.oracle is not None
    assert machine.oracle.lockstep is not None
    assert machine.oracle.lockstep.checked > 4 * machine.step


BROKEN: list[tuple[str, object, str, Callable[..., Any]]] = [
    ("A4", PhysicalChecks, "mapd", lambda self, c: None),
    ("foreign-release", PhysicalChecks, "_release_after", lambda self, old, edits: Step()),
    ("A4", Stage2, "denied", lambda self, addr, length: None),
]


@pytest.mark.parametrize("name, owner, method, broken", BROKEN)
def test_a_hypervisor_that_does_something_else_is_caught(
    name: str, owner: object, method: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a check taken out, a release forgotten or stage 2 open, the difference is an error that shows itself."""
    monkeypatch.setattr(owner, method, broken)

    def attempt() -> None:
        box = _play(name, "strict")
        box.apply(Load(box.map.hyp, 8))

    with pytest.raises(SpecMismatch) as caught:
        attempt()

    assert caught.value.lines or caught.value.wrong


def test_a_mismatch_prints_the_op_and_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the op, what came of it, and each part of the state with expected and found."""
    machine = _machine()
    monkeypatch.setattr(Ownership, "_set", lambda self, pfn, code: None)

    with pytest.raises(SpecMismatch, match="__pkvm_host_share_hyp") as caught:
        machine.apply(Hvc("__pkvm_host_share_hyp", (0x49000,)))

    assert caught.value.lines == ["/pages/0x49000: host shared with hyp -> nothing"]


def test_a_restored_machine_is_compared_with_itself() -> None:
    """After a restore the specification starts from the restored state."""
    machine = _machine()
    snapshot = machine.snapshot()
    machine.apply(Hvc("__pkvm_host_share_hyp", (0x49000,)))
    machine.restore(snapshot)

    machine.apply(Hvc("__pkvm_host_share_hyp", (0x49000,)))


@pytest.mark.parametrize("clear", [0, 1])
def test_a_virtual_sgi_of_a_mapped_vpe_is_right(clear: int) -> None:
    """GICv4.1: VSGI names an SGI, not an LPI, and is carried out behind ``strict`` with nothing to object to."""
    box = _machine(profile="virt-gicv4.1", hardening="strict")
    host = HostileHost(box)
    host.cover(TABLE_VPES, 3)
    table, config = host.pages(16, SIZE_64K), host.pages(16, SIZE_64K)
    vmapp = VMAPP_V41(
        vpe_id=3,
        rd_base=0,
        valid=1,
        vpt_size=13,
        vpt_addr=table,
        vconf_addr=config,
        alloc=1,
        ptz=0,
        default_doorbell=1023,
    )
    vsgi = VSGI(vpe_id=3, virtual_intid=5, enable=1, group=1, priority=0, clear=clear)
    verdicts = [host.post(command) for command in (vmapp, vsgi)]

    assert verdicts == [["executed"]] * 2
    assert not box.violations


# ---------------------------------------------------------------- alone, between a machine and a specification that a test knows

REGIONS = Regions(range(0x40000, 0x50000), range(0x4FF00, 0x50000), range(0x4FE00, 0x4FF00))
FACTS = Facts(REGIONS, (0x0808_0000,), 12, 15, False, cpus=2, knobs={"pkvm": "present"})
SHARED, HYP, GUEST = AbstractPage("host", "hyp"), AbstractPage("hyp"), AbstractPage("guest")
QUIET = Abstract(
    "deprivileged", {0x48000: SHARED}, {}, {(0, "CTLR"): 1, (0, "CBASER"): 2}, {}, finalised=frozenset({0, 1})
)
ACK, ACKED = Ack(0), Acked(1023)
STOPPED = Panicked(Reason.EL2_HANG)


class _Replayed:
    """A machine that is in the states that a test lists, one after the other: new objects each time."""

    def __init__(self, *states: Abstract) -> None:
        self._states = list(states)

    def __call__(self) -> Abstract:
        return deepcopy(self._states.pop(0))


def _lockstep(*states: Abstract, commands: bool = True) -> Lockstep:
    return Lockstep(_Replayed(*states), FACTS, Claims(pkvm=True, commands=commands, injects=True))


def test_a_machine_that_does_as_it_should_is_counted() -> None:
    """Equal states agree, whether or not they are the same objects."""
    lockstep = _lockstep(QUIET, QUIET, QUIET)
    assert lockstep.checked == 0

    lockstep.compare(ACK, ACKED)
    lockstep.compare(Load(0x4800_0000, 8), Bytes(bytes(8)))

    assert lockstep.checked == 2


def test_each_part_that_differs_is_shown_and_no_other() -> None:
    """Expected, then found; the error carries the op, its outcome, what is wrong with it, and the lines."""
    found = replace(QUIET, phase="trusted", pages={0x48000: SHARED, 0x48001: HYP}, registers={(0, "CTLR"): 1})
    lockstep = _lockstep(QUIET, found)

    with pytest.raises(SpecMismatch) as caught:
        lockstep.compare(ACK, ACKED)

    error = caught.value
    assert (error.op, error.outcome, error.wrong) == (ACK, ACKED, None)
    assert error.lines == [
        "/pages/0x48001: nothing -> hyp",
        "/phase: deprivileged -> trusted",
        "/registers/ITS 0 CBASER: 0x2 -> nothing",
    ]
    assert str(error) == "\n".join(["Ack(cpu=0) -> Acked(intid=1023)", *error.lines])
    assert lockstep.checked == 1


def test_an_outcome_that_is_wrong_is_said_before_the_difference() -> None:
    """Also where the state is as it should be, and then there are no lines."""
    through = Load(0x4FF0_0000, 2)
    with pytest.raises(SpecMismatch) as alone:
        _lockstep(QUIET, QUIET).compare(through, Bytes(b"ab"))
    with pytest.raises(SpecMismatch) as both:
        _lockstep(QUIET, replace(QUIET, pages={})).compare(through, Bytes(b"ab"))

    said = "Load(addr=1341128704, length=2) -> Bytes(data=b'ab')\nstage 2 let the host through"
    assert (alone.value.wrong, alone.value.lines, str(alone.value)) == ("stage 2 let the host through", [], said)
    assert both.value.lines == ["/pages/0x48000: host shared with hyp -> nothing"]
    assert str(both.value) == f"{said}\n/pages/0x48000: host shared with hyp -> nothing"


def test_what_is_left_open_is_no_difference() -> None:
    """A hypervisor that stopped half way may have taken a page, but not given it to a guest; and the phase is not open."""
    stop = Hvc("__pkvm_host_share_hyp", (0x48001,))
    half = replace(QUIET, pages={0x48001: HYP}, registers={})
    lockstep = _lockstep(QUIET, half, commands=False)

    lockstep.compare(stop, STOPPED)

    assert lockstep.checked == 1
    worse = replace(half, pages={**half.pages, 0x48002: GUEST}, phase="trusted")
    with pytest.raises(SpecMismatch) as caught:
        _lockstep(QUIET, worse, commands=False).compare(stop, STOPPED)
    assert caught.value.lines == ["/pages/0x48002: nothing -> guest", "/phase: deprivileged -> trusted"]


def test_the_hardening_is_held_to_what_it_claims() -> None:
    """One that promises never to stop is wrong when it does."""
    with pytest.raises(SpecMismatch, match="the hypervisor stopped the machine"):
        _lockstep(QUIET, QUIET).compare(Hvc("__pkvm_host_share_hyp", (0x48001,)), STOPPED)


def test_an_op_is_judged_from_where_the_one_before_left_the_machine() -> None:
    """A difference is told once: what follows starts from the state as it was found."""
    other = replace(QUIET, pages={0x48000: SHARED, 0x48001: SHARED})
    lockstep = _lockstep(QUIET, other, other, QUIET)
    with pytest.raises(SpecMismatch):
        lockstep.compare(ACK, ACKED)

    lockstep.compare(ACK, ACKED)
    with pytest.raises(SpecMismatch) as caught:
        lockstep.compare(ACK, ACKED)

    assert caught.value.lines == ["/pages/0x48001: host shared with hyp -> nothing"]
    assert lockstep.checked == 3


def test_a_hypercall_is_expected_to_change_what_it_names() -> None:
    """From the state before it: the page is shared afterwards, and was not before."""
    share, done = Hvc("__pkvm_host_share_hyp", (0x48001,)), HvcReturn(0, 0)
    after = replace(QUIET, pages={0x48000: SHARED, 0x48001: SHARED})
    _lockstep(QUIET, after).compare(share, done)

    with pytest.raises(SpecMismatch) as caught:
        _lockstep(QUIET, QUIET).compare(share, done)

    assert caught.value.lines == ["/pages/0x48001: host shared with hyp -> nothing"]


def test_what_was_restored_is_taken_as_it_is() -> None:
    """``resume`` forgets what was recorded and counts nothing."""
    other = replace(QUIET, phase="trusted")
    lockstep = _lockstep(QUIET, other, other)

    lockstep.resume()
    lockstep.compare(ACK, ACKED)

    assert lockstep.checked == 1


@pytest.mark.parametrize("profile", ["virt-gicv3", "virt-gicv4.1"])
@pytest.mark.parametrize("preset", ["off", "forward", "rfc-v1@6", "rfc-v1", "v2", "android-6.12", "strict"])
def test_misaligned_writes_that_touch_two_registers(preset: str, profile: str) -> None:
    """They arrive in pieces, where they arrive: in the register behind a reserved one, and in the next frame's first."""
    machine = _machine(hardening=preset, profile=profile)
    where, violations = machine.map, machine.violations
    machine.apply(MmioWrite(where.its + GITS_CTLR.OFFSET, 4, 0))
    for at in (where.its + GITS_CBASER.OFFSET, where.its, where.gicr, where.gicr + where.gicr_stride):
        for before, size in ((4, 8), (1, 2), (2, 4), (1, 8)):
            machine.apply(MmioWrite(at - before, size, 0))

    assert machine.oracle is not None
    assert machine.oracle.lockstep is not None
    assert machine.oracle.lockstep.checked > 16
    if preset in ("off", "strict"):
        assert violations == []


@pytest.mark.parametrize("preset", ["v2", "android-6.12"])
def test_a_base_register_that_a_misaligned_write_moved_goes_back(preset: str) -> None:
    """The next write that the guard sees forces the place of the take-over again."""
    machine = _machine(hardening=preset)
    its = machine.map.its
    machine.apply(MmioWrite(its + GITS_CTLR.OFFSET, 4, 0))
    for at in (its + GITS_CBASER.OFFSET, its + GITS_BASER.OFFSET):
        was = machine.its[0].read(at - its, 8)
        machine.apply(MmioWrite(at - 4, 8, machine.map.hyp << 32 & (1 << 64) - 1))
        assert machine.its[0].read(at - its, 8) != was

        machine.apply(MmioWrite(at, 8, was))

        assert machine.its[0].read(at - its, 8) == was
    assert {violation.oracle for violation in machine.violations} == {"H4", "H8"}


def test_a_write_across_frames_that_a_hypervisor_carries_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that looks at the first page alone disables the ITS behind its own back."""
    machine = _machine(hardening="strict")
    bus = machine.bus

    def first_page_only(hyp: Any, addr: int, size: int, value: int) -> Done:
        bus.write(addr, size, value)
        return Done()

    monkeypatch.setattr("itsbox.hypervisor.traps.mmio_write", first_page_only)
    with pytest.raises(SpecMismatch, match="a write into a guarded page began or ended in another"):
        machine.apply(MmioWrite(machine.map.its - 4, 8, 0))
