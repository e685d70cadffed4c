"""A fault seeded into each trap and hypercall: the hypervisor also does something that it must not, and lock-step says what.

Each story wraps one entry of the hypervisor so that, besides what it should do, it changes a page, a register or a record that
has nothing to do with the op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from itsbox.arch.its_commands import INT, INV, MAPD
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER, GITS_STATUSR
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER, GICR_VPENDBASER, GICR_WAKER
from itsbox.host.attacks import HostileHost
from itsbox.hypervisor.hypervisor import Hypervisor
from itsbox.hypervisor.its_emulation import ItsEmulation
from itsbox.hypervisor.redist_emulation import RedistEmulation
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.ownership import DONATE, PIN, SHARE, Transition
from itsbox.ops import Drive, Hvc, MmioRead, MmioWrite, Msi, Op, Store
from itsbox.oracle.lockstep import SpecMismatch

PFN = 0x49000
"""A page of the host that nothing uses."""
Fault = Callable[[Machine], None]


def _machine(**fields: Any) -> Machine:
    return Machine(
        MachineConfig.make(**{"start": "deprivileged", "oracle": "lockstep", "profile": "virt-gicv4", **fields})
    )


# ---------------------------------------------------------------- faults


def _pins(machine: Machine) -> None:
    """An unrelated page is shared and pinned."""
    machine.ownership.commit((Transition(SHARE, PFN), Transition(PIN, PFN)), "seeded")


def _donates(machine: Machine) -> None:
    """An unrelated page becomes the hypervisor's."""
    machine.ownership.commit((Transition(DONATE, PFN),), "seeded")


def _gives_away(machine: Machine) -> None:
    """An unrelated page becomes a guest's."""
    machine.ownership.host_donate_guest(PFN, 1, "seeded")


def _moves_table(machine: Machine) -> None:
    """Hardware's GITS_BASER0 changes."""
    machine.its[0].baser[0] += 0x1000


def _moves_queue(machine: Machine) -> None:
    """Hardware's GITS_CBASER changes."""
    machine.its[0].cbaser += 0x1000


def _turns_lpis_off(machine: Machine) -> None:
    """EnableLPIs of another CPU is cleared, its tables still held."""
    machine.redistributors[2].enable_lpis = False


def _moves_pending_table(machine: Machine) -> None:
    """GICR_PENDBASER of another CPU changes."""
    machine.redistributors[3].set_pendbaser(PFN << 12)


def _loses_record(machine: Machine) -> None:
    """A device is forgotten."""
    emulation = machine.hypervisor.its()
    assert emulation is not None
    emulation.state.devices.pop(0x40, None)


def _loses_page_record(machine: Machine) -> None:
    """What holds a page is forgotten."""
    users = machine.hypervisor.el2.tracking.users
    users.pop(next(iter(users)))


def _invents_record(machine: Machine) -> None:
    """A device is written down that nobody mapped."""
    emulation = machine.hypervisor.its()
    assert emulation is not None
    emulation.state.devices[0x1234] = (PFN << 12, 0)


def _skips_commands(machine: Machine) -> None:
    """The host's position moves."""
    emulation = machine.hypervisor.its()
    assert emulation is not None
    emulation.state.consumed = (emulation.state.consumed + 0x20) % emulation.state.host_bytes


FAULTS: dict[Fault, str] = {
    _pins: "/pages/0x49000: nothing -> host shared with hyp pins=1",
    _donates: "/pages/0x49000: nothing -> hyp",
    _gives_away: "/pages/0x49000: nothing -> guest",
    _moves_table: "/registers/ITS 0 BASER0: ",
    _moves_queue: "/registers/ITS 0 CBASER: ",
    _turns_lpis_off: "/lpis/CPU 2/enable_lpis: True -> False",
    _moves_pending_table: "/lpis/CPU 3/pendbaser: ",
    _loses_record: "/its/0/devices/0x40: ",
    _loses_page_record: "/tracked/",
    _invents_record: "/its/0/devices/0x1234: nothing -> 0x49000000 size 0",
    _skips_commands: "/its/0/consumed: ",
}
"""Fault to the line of the tree diff that it must show."""


# ---------------------------------------------------------------- traps


def _its(register: Any, size: int, value: int = 0) -> Callable[[Machine], Op]:
    return lambda machine: MmioWrite(machine.map.its + register.OFFSET, size, value)


def _gicr(register: Any, size: int, value: int = 0, cpu: int = 1) -> Callable[[Machine], Op]:
    return lambda machine: MmioWrite(machine.map.gicr + cpu * machine.map.gicr_stride + register.OFFSET, size, value)


def _at(offset: int, size: int = 4) -> Callable[[Machine], Op]:
    return lambda machine: MmioWrite(machine.map.its + offset, size, 1)


def _post(machine: Machine) -> Op:
    """GITS_CWRITER behind one command, an INV of the device that is mapped."""
    host = HostileHost(machine)
    machine.apply(Store(host.queue + host.write_offset, INV.STRUCT.pack(*INV(device_id=0x40, event_id=0).encode())))
    return MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 8, host.write_offset + 32)


TRAPS: dict[str, Callable[[Machine], Op]] = {
    "GITS_CTLR": _its(GITS_CTLR, 4, 1),
    "GITS_CBASER": _its(GITS_CBASER, 8),
    "GITS_BASER<n>": _its(GITS_BASER, 8),
    "GITS_CWRITER": _post,
    "GITS_CREADR": _its(GITS_CREADR, 8),
    "GITS_STATUSR": _its(GITS_STATUSR, 4),
    "a read": lambda machine: MmioRead(machine.map.its + GITS_CTLR.OFFSET, 4),
    "a reserved offset": _at(0x3000),
    "an IMPLEMENTATION DEFINED offset": _at(0xC000),
    "GICR_CTLR": _gicr(GICR_CTLR, 4, 0),
    "GICR_PROPBASER": _gicr(GICR_PROPBASER, 8),
    "GICR_PENDBASER": _gicr(GICR_PENDBASER, 8),
    "GICR_WAKER": _gicr(GICR_WAKER, 4),
    "GICR_VPENDBASER": _gicr(GICR_VPENDBASER, 8),
}


def _seeded(monkeypatch: pytest.MonkeyPatch, fault: Fault, machine: Machine) -> None:
    """From now on the hypervisor's traps and hypercalls also do what they must not."""
    for name in ("mmio_write", "mmio_read", "hvc"):
        entry = getattr(Hypervisor, name)

        def broken(self: Hypervisor, *args: Any, entry: Any = entry) -> Any:
            outcome = entry(self, *args)
            fault(machine)
            return outcome

        monkeypatch.setattr(Hypervisor, name, broken)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("trap", TRAPS)
def test_a_fault_in_a_trap_shows(trap: str, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind ``strict``, whatever the trap: the difference is an internal error whose tree diff names it."""
    machine = _machine()
    assert HostileHost(machine).map_own(0x40) is not None
    op = TRAPS[trap](machine)
    _seeded(monkeypatch, fault, machine)

    with pytest.raises(SpecMismatch) as caught:
        machine.apply(op)

    assert any(line.startswith(FAULTS[fault]) for line in caught.value.lines), caught.value.lines
    assert len(caught.value.lines) <= 4


HYPERCALLS = [
    Hvc("__pkvm_host_share_hyp", (0x49100,)), Hvc("__pkvm_host_unshare_hyp", (0x49100,)),
    Hvc("__pkvm_host_donate_guest", (0x49100, 0x49100, 1)), Hvc("__pkvm_host_reclaim_page", (0x49100,)),
    Hvc("__pkvm_host_share_guest", (0x49100, 0x49100, 1, 0)), Hvc("__pkvm_host_unshare_guest", (0, 0x49100, 1)),
    Hvc("__pkvm_init_vm", (0, 0x4910_0000, 0x4910_1000)), Hvc("__pkvm_init_vcpu", (0x1000, 0, 0)),
    Hvc("__pkvm_teardown_vm", (0x1000,)), Hvc("__pkvm_tlb_flush_vmid", (0x1000,)), Hvc("__pkvm_prot_finalize", ()),
    Hvc("__pkvm_init_its_emulation", (0x0808_0000, 0x4910_0000, 0x4910_1000)),
    Hvc("__pkvm_init_redist_emulation", (0x080A_0000, 0x4910_0000, 1)), Hvc("nonsense", ()),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("op", HYPERCALLS, ids=lambda op: op.function)
def test_a_fault_in_a_hypercall_shows(op: Hvc, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for each hypercall, whether it succeeds or is refused."""
    machine = _machine()
    assert HostileHost(machine).map_own(0x40) is not None
    _seeded(monkeypatch, fault, machine)

    with pytest.raises(SpecMismatch) as caught:
        machine.apply(op)

    assert any(line.startswith(FAULTS[fault]) for line in caught.value.lines), caught.value.lines


@pytest.mark.parametrize("preset", ["rfc-v1", "v2", "android-6.12"])
@pytest.mark.parametrize("trap", ["GITS_CTLR", "GITS_CBASER", "GITS_BASER<n>", "GITS_CWRITER", "GITS_CREADR", "a read"])
@pytest.mark.parametrize("fault", [_pins, _donates, _gives_away, _turns_lpis_off], ids=lambda fault: fault.__name__)
def test_a_fault_shows_under_the_series_too(
    preset: str, trap: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its presets are held to the pages that an op names: others must not change."""
    machine = _machine(hardening=preset)
    op = TRAPS[trap](machine)
    _seeded(monkeypatch, fault, machine)

    with pytest.raises(SpecMismatch) as caught:
        machine.apply(op)

    assert any(line.startswith(FAULTS[fault]) for line in caught.value.lines), caught.value.lines


def test_a_fault_inside_a_call_of_the_driver_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's accesses are compared one by one: the error names the access, not the call."""
    machine = _machine()
    _seeded(monkeypatch, _pins, machine)

    with pytest.raises(SpecMismatch) as caught:
        machine.apply(Drive("map_device", {"device_id": 0x20, "events": 2}))

    assert isinstance(caught.value.op, MmioWrite | MmioRead)


def test_a_message_that_moves_a_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ops that change nothing are compared too."""
    machine = _machine()
    translate = type(machine.its[0]).translate

    def broken(its: Any, *args: int) -> bool:
        _pins(machine)
        return translate(its, *args)

    monkeypatch.setattr(type(machine.its[0]), "translate", broken)

    with pytest.raises(SpecMismatch, match="Msi"):
        machine.apply(Msi(0x40, 0))


# ---------------------------------------------------------------- what is let through or turned away


def test_a_write_that_should_be_refused_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that is missing lets a write through: the outcome itself is wrong."""
    monkeypatch.setattr(ItsEmulation, "_write_cbaser", lambda self, value: None)
    machine = _machine()

    with pytest.raises(SpecMismatch, match="not disabled and quiescent"):
        machine.apply(TRAPS["GITS_CBASER"](machine))


def test_tables_that_are_not_let_go_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """LPIs are turned off and both tables stay held."""
    machine = _machine()
    monkeypatch.setattr(RedistEmulation, "_release", lambda self, cpu: None)

    with pytest.raises(SpecMismatch) as caught:
        machine.apply(TRAPS["GICR_CTLR"](machine))

    assert any(line.startswith("/held/CPU 1") for line in caught.value.lines)


def test_a_frozen_register_that_is_written_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """GICR_PENDBASER while LPIs are on."""
    machine = _machine()
    monkeypatch.setattr(RedistEmulation, "_enabled", lambda self, cpu: False)

    with pytest.raises(SpecMismatch, match="written while LPIs are on"):
        machine.apply(TRAPS["GICR_PENDBASER"](machine))


@pytest.mark.parametrize("command", [
    INT(device_id=0x77, event_id=0), MAPD(device_id=0x77, size=4, itt_addr=0x4FE0_0000, valid=1),
])  # fmt: skip
def test_a_command_that_is_not_checked_shows(command: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the hardware; the error says which and why it should not have."""
    machine = _machine()
    host = HostileHost(machine)
    machine.apply(Store(host.queue + host.write_offset, command.STRUCT.pack(*command.encode())))
    emulation = machine.hypervisor.its()
    assert emulation is not None
    queue = emulation.queue
    monkeypatch.setattr(type(queue), "look", lambda self, words: (command.NAME, words, None))

    with pytest.raises(SpecMismatch, match=f"{command.NAME}.*|translation table.*reached the hardware"):
        machine.apply(MmioWrite(machine.map.its + GITS_CWRITER.OFFSET, 8, host.write_offset + 32))
