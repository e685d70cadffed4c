"""Bringing CPUs up on redistributors that are not as they should be."""

from __future__ import annotations

import pytest

from itsbox.arch.redist_registers import (
    GICR_CTLR,
    GICR_PENDBASER,
    GICR_PIDR2,
    GICR_PROPBASER,
    GICR_TYPER,
    GICR_WAKER,
)
from tests.host.machine_port import Host


def gicr(host: Host, cpu: int) -> int:
    """Address of a CPU's RD frame."""
    return host.machine.map.gicr + cpu * host.machine.map.gicr_stride


def register(host: Host, cpu: int, offset: int, size: int = 8) -> int:
    """A register as the hardware has it."""
    return host.machine.bus.read(gicr(host, cpu) + offset, size)


def test_every_cpu_has_lpis_on_and_a_pending_table_of_its_own() -> None:
    """One configuration table for all, one pending table each, EnableLPIs set."""
    host = Host(cpus=3)
    host.call("probe")
    tables = {GICR_PROPBASER.decode(register(host, cpu, GICR_PROPBASER.OFFSET)).physical_address for cpu in range(3)}
    pending = {GICR_PENDBASER.decode(register(host, cpu, GICR_PENDBASER.OFFSET)).physical_address for cpu in range(3)}
    assert len(tables) == 1
    assert len(pending) == 3
    assert all(GICR_CTLR.decode(register(host, cpu, GICR_CTLR.OFFSET, 4)).enable_lpis for cpu in range(3))


def test_a_table_that_is_not_coherent_is_cleaned_and_marked_so() -> None:
    """The device tree says dma-noncoherent: attributes are taken back, and every changed byte is cleaned."""
    host = Host(profile="snapdragon")
    host.call("probe")
    assert host.log().count("GIC: using cache flushing for LPI property table") == 1
    prop = GICR_PROPBASER.decode(register(host, 7, GICR_PROPBASER.OFFSET))
    assert (prop.shareability, prop.inner_cache) == (0, 1)
    host.call("map_device", device_id=1, events=1)
    host.port.cleaned.clear()
    host.call("unmask", device_id=1, event_id=0)
    assert (prop.physical_address, 1) in host.port.cleaned


def test_lpis_of_somebody_else_are_switched_off_first() -> None:
    """EnableLPIs set by an earlier kernel is cleared, with the kernel's warning, before tables are named."""
    host = Host()
    host.machine.bus.write(gicr(host, 1) + GICR_CTLR.OFFSET, 4, 1)
    host.call("probe")
    assert "GICv3: CPU1: Booted with LPIs enabled, memory probably corrupted" in host.log()
    assert GICR_CTLR.decode(register(host, 1, GICR_CTLR.OFFSET, 4)).enable_lpis


@pytest.mark.parametrize(
    "stuck, line",
    [
        (GICR_CTLR.decode(0).replace(enable_lpis=1), "CPU1: Failed to disable LPIs"),
        (GICR_CTLR.decode(0).replace(enable_lpis=1, rwp=1), "CPU1: Timeout while disabling LPIs"),
    ],
)
def test_lpis_that_cannot_be_switched_off_leave_the_cpu_without(stuck: GICR_CTLR, line: str) -> None:
    """The CPU is online, has no collection, and no event is routed to it."""
    host = Host()
    host.port.reads[gicr(host, 1) + GICR_CTLR.OFFSET] = lambda _: stuck.word()
    answer = host.call("probe")
    assert line in host.log()
    assert answer["cpus"] == 4
    assert answer["its"][0]["collections"] == 3
    mapped = host.call("map_device", device_id=1, events=6)
    assert {event["cpu"] for event in mapped["events"]} == {0, 2, 3}
    assert host.call("move_event", device_id=1, event_id=0, cpu=1)["error"] == "EINVAL"


def test_a_redistributor_without_lpis_is_left_alone() -> None:
    """PLPIS reads as zero on one CPU: it gets no tables."""
    host = Host()
    host.port.reads[gicr(host, 2) + GICR_TYPER.OFFSET] = lambda value: GICR_TYPER.decode(value).replace(plpis=0).word()
    host.call("probe")
    assert "CPU2: LPIs not supported" in host.log()
    assert register(host, 2, GICR_PENDBASER.OFFSET) == 0


def test_a_cpu_without_a_redistributor_stays_offline() -> None:
    """The region ends early: the CPU is not found, and everything else works."""
    host = Host()
    host.port.reads[gicr(host, 2) + GICR_TYPER.OFFSET] = lambda value: GICR_TYPER.decode(value).replace(last=1).word()
    answer = host.call("probe")
    assert answer["cpus"] == 3
    assert "GICv3: CPU3: mpidr 3 has no re-distributor!" in host.log()


def test_no_redistributors_at_all_is_an_honest_failure() -> None:
    """The boot CPU's redistributor is missing: the probe ends with ENODEV."""
    host = Host()
    host.port.reads[gicr(host, 0) + GICR_PIDR2.OFFSET] = lambda _: 0
    assert host.call("probe")["error"] == "ENODEV"


def test_a_redistributor_that_sleeps_on_is_reported() -> None:
    """ChildrenAsleep stays set: the kernel complains and goes on."""
    host = Host()
    host.port.reads[gicr(host, 0) + GICR_WAKER.OFFSET] = lambda value: (
        GICR_WAKER.decode(value).replace(children_asleep=1).word()
    )
    host.call("probe")
    assert "GICv3: redistributor failed to wakeup..." in host.log()
    assert host.port.spent > 900_000


def test_a_cpu_that_comes_back_keeps_its_tables() -> None:
    """Hotplug: the tables are not written again, the collection is mapped again, four commands."""
    host = Host()
    host.call("probe")
    host.call("offline", cpu=3)
    host.names()
    host.port.accesses.clear()
    host.call("online", cpu=3)
    assert host.names() == ["MAPC", "SYNC", "INVALL", "SYNC"]
    written = {addr - gicr(host, 3) for kind, addr, _, _ in host.port.accesses if kind == "w"}
    assert not written & {GICR_PROPBASER.OFFSET, GICR_PENDBASER.OFFSET, GICR_CTLR.OFFSET}
