"""The boot: access by access as a real Linux did it."""

from __future__ import annotations

from itsbox.hardware.profile import PROFILES
from itsbox.host.driver import Driver
from itsbox.host.kernel import Platform
from itsbox.host.versions import DriverVersion
from tests.host.scripted import ScriptedPort, boot_steps, console

_VIRT = PROFILES["virt-gicv3"]


def boot(port: ScriptedPort) -> Driver:
    """A driver on the recorded machine."""
    where = _VIRT.memory_map(1024)
    platform = Platform(where=where, its=(where.its,), cpus=4, coherent=True)
    return Driver(port, platform, DriverVersion())


def test_the_boot_is_that_of_the_recorded_kernel() -> None:
    """Every ITS and redistributor access, and every command, from the first to the last CPU's bring-up, in order."""
    port = ScriptedPort(boot_steps(until="Booting Linux on physical CPU"))
    answer = boot(port).call("probe", {})
    port.assert_finished()
    assert answer["timeouts"] == 0
    assert answer["cpus"] == 4


def test_the_boot_prints_what_the_recorded_kernel_printed() -> None:
    """The ITS's and the redistributors' lines are those of the recorded console, but for the addresses of memory."""
    port = ScriptedPort(boot_steps(until="Booting Linux on physical CPU"))
    boot(port).call("probe", {})

    def shape(line: str) -> str:
        return line.partition("@0x00000000")[0] if "table @" in line else line.partition(" @")[0]

    theirs = console("ITS", "GICv3: GICv3 features", "GICv3: CPU", "GICv3: using LPI")
    # CPU 3 comes back once more, much later in the recording.
    assert [shape(line) for line in port.lines] == [shape(line) for line in theirs[:-1]]


def test_the_first_device_is_mapped_as_the_recorded_kernel_did() -> None:
    """A PCIe port with one event: MAPD alone, MAPTI and SYNC, then INV and SYNC at request_irq."""
    port = ScriptedPort(boot_steps(until="PME: Signaling with IRQ"))
    driver = boot(port)
    driver.call("probe", {})
    mapped = driver.call("map_device", {"device_id": 0x28, "events": 1})
    unmasked = driver.call("unmask", {"device_id": 0x28, "event_id": 0})
    port.assert_finished()
    assert mapped["events"] == [{"event_id": 0, "lpi": 8192, "cpu": 0}]
    assert unmasked["enabled"]
