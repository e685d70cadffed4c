"""Lock-step: the machine agrees with the specification, and a hypervisor that does not is caught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from itsbox.arch.its_commands import VMAPP_V41, VSGI
from itsbox.arch.its_registers import TABLE_VPES
from itsbox.arch.values import SIZE_64K
from itsbox.host.attacks import HostileHost
from itsbox.host.scenarios import run
from itsbox.hypervisor.command_checks import PhysicalChecks
from itsbox.hypervisor.plan import Step
from itsbox.machine import Machine, MachineConfig
from itsbox.memory.ownership import Ownership
from itsbox.memory.stage2 import Stage2
from itsbox.ops import Hvc, Load
from itsbox.oracle.lockstep import SpecMismatch


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
