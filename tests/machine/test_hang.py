"""The hang of the mail: a Snapdragon machine behind the RFC, a boot, and the first device."""

from __future__ import annotations

import pytest

from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, Drove

HANG = (
    "ITS queue timeout (1056 1024)",
    "ITS cmd its_build_mapd_cmd failed",
    "ITS queue timeout (1120 1024)",
    "ITS cmd its_build_mapti_cmd failed",
    "ITS queue timeout (1184 1024)",
    "ITS cmd its_build_mapti_cmd failed",
    "ITS queue timeout (1248 1024)",
    "ITS cmd its_build_mapti_cmd failed",
)


def boot(profile: str, hardening: str) -> tuple[Machine, tuple[str, ...]]:
    """Boot, hand over, map a device with three events; the machine and what the kernel printed meanwhile."""
    machine = Machine(MachineConfig.make(profile=profile, hardening=hardening, start="host"))
    handed_over = machine.apply(Drive("deprivilege", {}))
    mapped = machine.apply(Drive("map_device", {"device_id": 16, "events": 3}))
    assert isinstance(handed_over, Drove)
    assert isinstance(mapped, Drove)
    assert machine.phase == "deprivileged"
    return machine, mapped.log


def test_the_hang_reads_as_in_the_mail() -> None:
    """Snapdragon behind rfc-v1: the log is that of the mail, line for line."""
    _, log = boot("snapdragon", "rfc-v1")

    assert log == HANG


@pytest.mark.parametrize(
    "profile, hardening", [("virt-gicv4", "rfc-v1"), ("virt-gicv4", "strict"), ("snapdragon", "strict")]
)
def test_the_same_boot_goes_through_elsewhere(profile: str, hardening: str) -> None:
    """QEMU's machine boots behind rfc-v1, as the mail reports (the vPE proxy took the aligned slot); strict boots both."""
    machine, log = boot(profile, hardening)

    assert log == ()
    assert len(machine.state()["events"]["16"]) == 3


def test_the_diagnosis_names_the_refused_mapd() -> None:
    """What a person needs to see: the refused MAPD with its errno, pointers on both sides, Stalled clear, the bytes there."""
    machine, _ = boot("snapdragon", "rfc-v1")
    queues, diagnosis = machine.queues(), machine.diagnosis()

    assert (queues["hw"]["creadr"], queues["hw"]["cwriter"], queues["hw"]["stalled"]) == (1024, 1024, False)
    assert diagnosis["last_refused"]["name"] == "MAPD"
    assert diagnosis["last_refused"]["errno"] == "EINVAL"
    assert [h["hypothesis"] for h in diagnosis["hypotheses"]] == [f"H{n}" for n in range(1, 10)]
    assert diagnosis["hypotheses"][0]["verdict"] == "confirmed"
