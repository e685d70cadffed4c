"""The un-hardened half of A1 to A4 on QEMU: the same page is corrupted there, with the same bytes."""

from __future__ import annotations

import pytest

from itsbox.host.attacks import HostileHost
from itsbox.host.scenarios import SCENARIOS
from itsbox.machine import Machine, MachineConfig
from itsbox.replay.qemu import Qemu, QemuMissing
from tests.host.qemu_box import QemuBox

pytestmark = pytest.mark.qemu


def _corrupted(before: dict[int, bytes], box: Machine | QemuBox) -> dict[int, bytes]:
    """Address -> new bytes, for each doubleword of the carve-outs that changed."""
    changed = {}
    for base, old in before.items():
        new = box.physical(base, len(old))
        for at in range(0, len(old), 8):
            if new[at : at + 8] != old[at : at + 8]:
                changed[base + at] = new[at : at + 8]
    return changed


@pytest.mark.parametrize("name", ["A1", "A2", "A3", "A4"])
def test_the_same_page_is_corrupted_on_qemu(name: str) -> None:
    """QEMU's ITS, driven by the same program, writes the same bytes to the same addresses of the hypervisor's memory."""
    scenario = SCENARIOS[name]
    machine = Machine(MachineConfig.make(**scenario.session("off")))
    where = machine.map
    marks = {
        where.hyp: machine.physical(where.hyp, where.hyp_bytes),
        where.guest: machine.physical(where.guest, where.guest_bytes),
    }
    scenario.program(HostileHost(machine))
    expected = _corrupted(marks, machine)
    try:
        qemu = Qemu(gic=3, cpus=machine.config.cpus, ram_mib=machine.config.ram_mib, log=False)
    except QemuMissing as missing:
        pytest.skip(f"{name} on QEMU: {missing}")

    with qemu:
        box = QemuBox(qemu, marks)
        scenario.program(HostileHost(box))
        found = _corrupted(marks, box)

    assert expected, "the attack must land on the model"
    assert {violation.kind.owner for violation in machine.violations} <= {"hyp", "guest"}
    assert found == expected
