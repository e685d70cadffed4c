"""Doorbells where redistributors can be told about LPIs directly, and other shapes of GICv4 that no profile has."""

from __future__ import annotations

import pytest

from itsbox.arch.its_registers import GITS_CTLR, GITS_TYPER
from itsbox.arch.redist_registers import (
    GICR_CLRLPIR,
    GICR_INVLPIR,
    GICR_TYPER,
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER_V41,
)
from tests.host.machine_port import Host


def gicr(host: Host, cpu: int) -> int:
    """A CPU's RD frame."""
    return host.machine.map.gicr + cpu * host.machine.map.gicr_stride


def exhausted(host: Host, keep: int = 0) -> None:
    """Leave the kernel no more than ``keep`` single pages."""
    pages = host.driver._state.pages
    taken = sorted(addr for free in pages for addr in free)[:1]
    pages[:] = [[] for _ in pages]
    pages[0][:] = [taken[0] + n * 0x2000 for n in range(keep)]


@pytest.fixture
def direct() -> Host:
    """A GICv4.0 machine whose redistributors all have DirectLPI, booted, with a vPE on CPU 1."""
    host = Host(profile="virt-gicv4")
    for cpu in range(4):
        host.port.reads[gicr(host, cpu) + GICR_TYPER.OFFSET] = lambda value: (
            GICR_TYPER.decode(value).replace(direct_lpi=1).word()
        )
    host.call("probe")
    host.call("map_vpe", cpu=1)
    host.names()
    host.port.accesses.clear()
    return host


def writes(host: Host) -> list[tuple[int, int]]:
    """Register writes since the last time."""
    done = [(addr, value) for kind, addr, _, value in host.port.accesses if kind == "w"]
    host.port.accesses.clear()
    return done


def test_direct_lpis_need_no_proxy(direct: Host) -> None:
    """No proxy device is mapped; doorbells are cleared and invalidated by registers, without a command."""
    doorbell = direct.driver._state.vpes[0].doorbell
    assert direct.machine.state()["devices"] == {}
    direct.call("schedule_vpe", vpe_id=0)
    assert writes(direct)[-1] == (gicr(direct, 1) + GICR_CLRLPIR.OFFSET, doorbell)
    direct.call("deschedule_vpe", vpe_id=0)
    assert (gicr(direct, 1) + GICR_INVLPIR.OFFSET, doorbell) in writes(direct)
    assert direct.names() == []


def test_a_direct_doorbell_is_cleared_where_the_vpe_was(direct: Host) -> None:
    """VMOVP and VSYNC, and GICR_CLRLPIR at the redistributor that it leaves."""
    doorbell = direct.driver._state.vpes[0].doorbell
    direct.call("move_vpe", vpe_id=0, cpu=3)
    assert direct.names() == ["VMOVP", "VSYNC"]
    assert writes(direct)[-1] == (gicr(direct, 1) + GICR_CLRLPIR.OFFSET, doorbell)
    direct.call("unmap_vpe", vpe_id=0)
    assert direct.names() == ["VMAPP", "VSYNC"]


def test_the_whole_guest_is_invalidated_through_one_its(direct: Host) -> None:
    """VINVALL and VSYNC."""
    direct.call("invalidate_vpe", vpe_id=0)
    assert direct.names() == ["VINVALL", "VSYNC"]


def test_two_itss_cannot_have_one_number() -> None:
    """Hardware that insists on number 0 for both: the second ITS is given up."""
    host = Host(profile="virt-gicv4-dual-its")
    for node in host.machine.its:
        host.port.reads[node.base] = lambda value: GITS_CTLR.decode(value).replace(its_number=0).word()
    assert len(host.call("probe")["its"]) == 1
    assert f"ITS@{host.machine.its[1].base:#018x}: Duplicate ITSList entry 0" in host.log()


def test_a_pending_table_that_stays_dirty_is_reported() -> None:
    """Dirty never clears: the kernel complains after its second and goes on."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    host.call("map_vpe", cpu=0)
    host.call("schedule_vpe", vpe_id=0)
    host.port.reads[gicr(host, 0) + GICR_VPENDBASER.OFFSET] = lambda value: (
        GICR_VPENDBASER.decode(value).replace(dirty=1).word()
    )
    assert host.call("deschedule_vpe", vpe_id=0)["resident"] is False
    assert "ITS virtual pending table not cleaning" in host.log()


def test_a_pending_table_that_stays_dirty_is_reported_on_gicv4_1() -> None:
    """The same in GICv4.1's register."""
    host = Host(profile="virt-gicv4.1")
    host.call("probe")
    host.call("map_vpe", cpu=0)
    host.call("schedule_vpe", vpe_id=0)
    host.port.reads[gicr(host, 0) + GICR_VPENDBASER_V41.OFFSET] = lambda value: (
        GICR_VPENDBASER_V41.decode(value).replace(dirty=1).word()
    )
    host.call("deschedule_vpe", vpe_id=0)
    assert "ITS virtual pending table not cleaning" in host.log()


@pytest.mark.parametrize("keep", [0, 1, 2, 3])
def test_a_vpe_without_memory_is_an_honest_failure(keep: int) -> None:
    """ENOMEM at its tables or its pending table: no vPE, no command, no LPI lost."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    exhausted(host, keep)
    host.names()
    lpis = [list(free) for free in host.driver._state.lpis]
    assert host.call("map_vpe")["error"] == "ENOMEM"
    assert host.names() == []
    assert host.driver._state.vpes == {}
    assert host.driver._state.lpis == lpis


def test_a_vpe_whose_pending_table_finds_no_memory_gives_its_doorbell_back() -> None:
    """Level-2 page and configuration table are there already: only the pending table fails."""
    host = Host(profile="virt-gicv4")
    host.call("probe")
    host.call("map_vpe")
    exhausted(host)
    lpis = [list(free) for free in host.driver._state.lpis]
    assert host.call("map_vpe")["error"] == "ENOMEM"
    assert host.driver._state.lpis == lpis


def test_few_vpes_need_no_second_level() -> None:
    """Seven vPEID bits: a redistributor's own table is one page, and reaches no further."""
    host = Host(profile="virt-gicv4.1")
    typer = host.machine.map.its + GITS_TYPER.OFFSET
    host.port.reads[typer] = lambda value: GITS_TYPER.decode(value).replace(svpet=0).word()
    host.port.reads[host.machine.map.gicd + 0xC] = lambda _: 0x86  # VIL, 7 bits
    host.call("probe")
    written = [
        GICR_VPROPBASER_V41.decode(value)
        for addr, value in writes(host)
        if addr == gicr(host, 0) + GICR_VPROPBASER_V41.OFFSET
    ]
    assert (written[-1].indirect, written[-1].size) == (0, 0)
    assert "error" not in host.call("map_vpe", vpe_id=127)


def test_redistributors_of_other_groups_have_tables_of_their_own() -> None:
    """CommonLPIAff says which affinity levels a group has in common: at three levels Aff1 tells CPUs 0 and 1 apart."""
    host = Host(profile="virt-gicv4.1", cpus=2)
    typer = host.machine.map.its + GITS_TYPER.OFFSET
    host.port.reads[typer] = lambda value: GITS_TYPER.decode(value).replace(svpet=3).word()
    host.port.reads[host.machine.map.its + 0x18] = lambda _: 0x700  # GITS_MPIDR: Aff1 7, nobody's
    for cpu in range(2):

        def apart(value: int, cpu: int = cpu) -> int:
            return GICR_TYPER.decode(value).replace(common_lpi_aff=3, affinity_value=cpu << 8).word()

        host.port.reads[gicr(host, cpu) + GICR_TYPER.OFFSET] = apart
    host.call("probe")
    tables = {row.vpe_table for row in host.driver._state.cpus}
    assert len(tables) == 2
    assert 0 not in tables
