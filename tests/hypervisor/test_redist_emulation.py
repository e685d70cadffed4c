"""Redistributors behind the hypervisor: the states of their LPI side, what they hold, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest

from itsbox.arch.redist_registers import (
    GICR_CLRLPIR,
    GICR_CTLR,
    GICR_INVALLR,
    GICR_INVLPIR,
    GICR_PENDBASER,
    GICR_PROPBASER,
    GICR_SETLPIR,
    GICR_TYPER,
    GICR_WAKER,
)
from itsbox.arch.values import pfn_of
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Aborted, Ack, Acked, Done, Drive, HvcReturn, Load, MmioRead, MmioWrite, Msi, Refused, Value
from itsbox.reasons import Reason
from tests.hypervisor.box import Box
from tests.hypervisor.shown import shows

HOST_ALONE = ("host", "OWNED", 0)


def refused(outcome: object) -> Reason | None:
    """The reason of a refusal, None if it was none."""
    return outcome.reason if isinstance(outcome, Refused) else None


def value(outcome: object) -> int:
    """What was read."""
    assert isinstance(outcome, Value), outcome
    return outcome.value


def tables(box: Box, cpu: int) -> tuple[int, int]:
    """Addresses of a CPU's configuration and pending table."""
    gicr = box.machine.redistributors[cpu]
    return gicr.config_table, gicr.pending_table


def off(box: Box, cpu: int) -> None:
    """Turn LPIs off at one CPU."""
    assert isinstance(box.gicr(cpu, GICR_CTLR, 0), Done)


@shows("redistributors")
def test_who_answers_for_a_redistributor() -> None:
    """The series leaves the frames mapped; Android and strict trap them and hold their tables."""
    for preset in ("rfc-v1", "v2"):
        box = Box(preset)
        box.machine.take_events()
        assert value(box.gicr(0, GICR_CTLR)) & 1
        assert box.events("trap.mmio") == []
        assert box.describe(tables(box, 0)[1]) == HOST_ALONE
    for preset in ("android-6.12", "strict"):
        box = Box(preset)
        box.machine.take_events()
        assert value(box.gicr(0, GICR_CTLR)) & 1
        assert [event["register"] for event in box.events("trap.mmio")] == ["GICR_CTLR"]
        config, pending = tables(box, 0)
        assert box.describe(pending) == ("host", "SHARED_OWNED", 1)
        assert box.describe(config) == ("host", "SHARED_OWNED", box.machine.config.cpus)


def test_interrupts_arrive_as_before() -> None:
    """Behind strict a device's message becomes pending and is acknowledged."""
    box = Box()
    box.machine.apply(Drive("map_device", {"device_id": 1, "events": 1}))
    box.machine.apply(Drive("unmask", {"device_id": 1, "event_id": 0}))
    box.machine.apply(Msi(1, 0))
    acked = [box.machine.apply(Ack(cpu)) for cpu in range(4)]
    assert [a.intid for a in acked if isinstance(a, Acked) and a.intid != 1023]


def test_before_the_take_over_a_redistributor_looks_busy() -> None:
    """RWP reads one, so that a driver waits; writes are refused; other registers can be read."""
    box = Box(session={"start": "host"})
    box.finalise()

    assert GICR_CTLR.decode(value(box.gicr(0, GICR_CTLR))).rwp == 1
    assert refused(box.gicr(0, GICR_CTLR, 0)) is Reason.NOT_TAKEN_OVER
    assert refused(box.gicr(0, GICR_PENDBASER, 0)) is Reason.NOT_TAKEN_OVER
    assert GICR_TYPER.decode(value(box.gicr(1, GICR_TYPER))).processor_number == 1
    # Strict holds the tables already: the host cannot give them away in the meantime.
    assert box.errno("__pkvm_host_donate_guest", pfn_of(tables(box, 0)[1]), 0, 1) == "EPERM"


def test_the_hypercall_and_its_errors() -> None:
    """-ENODEV, -EOPNOTSUPP, -EINVAL, -EPERM; one call for each redistributor."""
    box = Box(session={"start": "host"})
    box.finalise()
    base, stride = box.map.gicr, box.map.gicr_stride
    call = "__pkvm_init_redist_emulation"

    assert box.errno(call, base + 0x1000, box.page(0), 1) == "ENODEV"
    assert box.errno(call, base + 4 * stride, box.page(0), 1) == "ENODEV"
    assert box.errno(call, base, box.page(0) + 8, 1) == "EINVAL"
    assert box.errno(call, base, box.page(0), 0) == "EINVAL"
    assert box.errno(call, base, box.map.hyp, 1) == "EPERM"
    assert box.errno(call, base, box.page(0), 1) is None
    assert box.describe(box.page(0))[0] == "hyp"
    assert box.errno(call, base, box.page(1), 1) == "EOPNOTSUPP"
    assert box.hvc("__pkvm_init_redist_emulation").errno == "ENODEV"
    assert Box("v2").hvc(call, base, box.page(0), 1).x0 == (1 << 64) - 1


def test_base_registers_are_frozen_while_lpis_are_on() -> None:
    """PROPBASER and PENDBASER: refused and unchanged; off, they take legal fields."""
    box = Box()
    before = value(box.gicr(0, GICR_PENDBASER))
    assert refused(box.gicr(0, GICR_PENDBASER, box.page(0))) is Reason.LPIS_ENABLED
    assert refused(box.gicr(0, GICR_PROPBASER, box.page(0) | 15)) is Reason.LPIS_ENABLED
    assert value(box.gicr(0, GICR_PENDBASER)) == before

    off(box, 0)
    assert isinstance(box.gicr(0, GICR_PENDBASER, box.page(0) | 0xF000_0000_0000_003F), Done)
    assert GICR_PENDBASER.decode(value(box.gicr(0, GICR_PENDBASER))).physical_address == box.page(0)
    assert value(box.gicr(0, GICR_PENDBASER)) & 0x3F == 0


def test_disabling_lets_go_and_enabling_holds_again() -> None:
    """Pins follow EnableLPIs; the configuration table stays held by the other CPUs."""
    box = Box()
    config, pending = tables(box, 0)
    off(box, 0)
    assert box.describe(pending) == HOST_ALONE
    assert box.describe(config)[2] == box.machine.config.cpus - 1

    assert isinstance(box.gicr(0, GICR_CTLR, 1), Done)
    assert box.describe(pending) == ("host", "SHARED_OWNED", 1)
    assert box.errno("__pkvm_host_unshare_hyp", pfn_of(pending)) == "EBUSY"


@pytest.mark.parametrize("where", ["hyp", "guest", "absent", "its own config", "another CPU's"])
def test_a_pending_table_that_is_not_the_hosts_alone(where: str) -> None:
    """EnableLPIs is refused, nothing is held and LPIs stay off."""
    box = Box()
    config, _ = tables(box, 0)
    bad = {
        "hyp": box.map.hyp, "guest": box.map.guest, "absent": 0x9_0000_0000, "its own config": config,
        "another CPU's": tables(box, 1)[1],
    }[where]  # fmt: skip
    off(box, 0)
    box.gicr(0, GICR_PENDBASER, bad)
    owners = box.owners()

    assert refused(box.gicr(0, GICR_CTLR, 1)) is Reason.PENDING_NOT_HOST_OWNED
    assert not value(box.gicr(0, GICR_CTLR)) & 1
    assert box.owners() == owners


def test_a_configuration_table_that_is_not_the_hosts() -> None:
    """With all other redistributors off, so that it need not agree with theirs."""
    box = Box()
    for cpu in range(4):
        off(box, cpu)
    box.gicr(0, GICR_PROPBASER, box.map.hyp | 15)

    assert refused(box.gicr(0, GICR_CTLR, 1)) is Reason.CONFIG_NOT_HOST_OWNED


def test_redistributors_must_agree_on_the_configuration_table() -> None:
    """CommonLPIAff 0 and 1: they share one; another address or another number of bits is refused."""
    box = Box()
    off(box, 0)
    shared = value(box.gicr(0, GICR_PROPBASER))
    for other in (shared ^ 0x10_0000, shared ^ 1):
        box.gicr(0, GICR_PROPBASER, other)
        assert refused(box.gicr(0, GICR_CTLR, 1)) is Reason.PROPBASER_DISAGREES
    box.gicr(0, GICR_PROPBASER, shared)
    assert isinstance(box.gicr(0, GICR_CTLR, 1), Done)


def test_what_the_host_may_not_send() -> None:
    """SETLPIR and CLRLPIR; INVLPIR and INVALLR with V; implementation-defined and reserved places; wrong widths."""
    box = Box()
    assert refused(box.gicr(0, GICR_SETLPIR, 8192)) is Reason.DIRECT_LPI
    assert refused(box.gicr(0, GICR_CLRLPIR, 8192)) is Reason.DIRECT_LPI
    assert refused(box.gicr(0, GICR_INVLPIR, 1 << 63 | 8192)) is Reason.VPE_INVALIDATE
    assert refused(box.gicr(0, GICR_INVALLR, 1 << 63)) is Reason.VPE_INVALIDATE
    assert isinstance(box.gicr(0, GICR_INVLPIR, 8192), Done)
    assert isinstance(box.gicr(0, GICR_INVALLR, 0), Done)
    assert refused(box.machine.apply(MmioRead(box.map.gicr + 0xC000, 4))) is Reason.IMPDEF_REGISTER
    assert refused(box.machine.apply(MmioRead(box.map.gicr, 2))) is Reason.ACCESS_WIDTH
    assert refused(box.gicr(0, GICR_TYPER, 0)) is Reason.REGISTER_READ_ONLY


def test_what_stays_forwarded() -> None:
    """GICR_WAKER and the frame of SGIs and PPIs have no address in them."""
    box = Box()
    assert isinstance(box.gicr(0, GICR_WAKER, 0), Done)
    enable = box.map.gicr + 0x1_0100
    assert isinstance(box.machine.apply(MmioWrite(enable, 4, 0x8000_0000)), Done)
    assert value(box.machine.apply(MmioRead(enable, 4))) == 0x8000_0000


def test_halves_of_registers() -> None:
    """32-bit accesses work as on the bare redistributor."""
    box = Box()
    off(box, 0)
    addr = box.map.gicr + GICR_PENDBASER.OFFSET
    assert isinstance(box.machine.apply(MmioWrite(addr, 4, box.page(0))), Done)
    assert isinstance(box.machine.apply(MmioWrite(addr + 4, 4, 0)), Done)

    assert value(box.machine.apply(MmioRead(addr, 4))) == box.page(0)
    assert value(box.machine.apply(MmioRead(addr + 4, 4))) == 0


def test_a_redistributor_that_was_set_up_badly_is_turned_off() -> None:
    """Strict: a pending table in guest memory while the host was trusted; at the switch-over LPIs go off there."""
    box = Box(session={"start": "host"})
    box.gicr(0, GICR_CTLR, 0)
    box.gicr(0, GICR_PENDBASER, box.map.guest)
    box.gicr(0, GICR_CTLR, 1)
    box.finalise()

    assert not box.machine.redistributors[0].enable_lpis
    assert box.machine.redistributors[1].enable_lpis


def test_android_refuses_a_bad_table_at_the_hypercall() -> None:
    """It holds nothing before, and gives the private state back."""
    box = Box("android-6.12", session={"start": "host"})
    box.gicr(0, GICR_CTLR, 0)
    box.gicr(0, GICR_PENDBASER, box.map.guest)
    box.gicr(0, GICR_CTLR, 1)
    box.finalise()

    assert box.errno("__pkvm_init_redist_emulation", box.map.gicr, box.page(0), 2) == "EPERM"
    assert box.describe(box.page(0)) == HOST_ALONE


def test_the_frames_are_out_of_the_hosts_reach_before_any_hypercall() -> None:
    """Stage 2 is on: a load of memory that a redistributor's frame is not, and private state, abort."""
    box = Box(session={"start": "host"})
    box.finalise()
    answer = box.hvc("__pkvm_init_redist_emulation", box.map.gicr, box.page(0), 1)

    assert isinstance(answer, HvcReturn)
    assert isinstance(box.machine.apply(Load(box.page(0), 8)), Aborted)


def test_state_is_saved_and_taken_back() -> None:
    """What is held and who was taken survives a snapshot."""
    box = Box()
    off(box, 2)
    saved, digest = box.machine.snapshot(), box.machine.state_hash()
    box.gicr(2, GICR_CTLR, 1)
    off(box, 0)
    box.machine.restore(saved)

    assert box.machine.state_hash() == digest
    assert isinstance(box.gicr(2, GICR_CTLR, 1), Done)
    assert box.describe(tables(box, 2)[1]) == ("host", "SHARED_OWNED", 1)


def test_redistributors_of_another_affinity_need_not_agree() -> None:
    """CommonLPIAff 3: only those of one Aff3.Aff2.Aff1 share a table; CPU 16 is in another group."""
    config = MachineConfig.make(cpus=17, hardening="strict", start="bare", oracle="off")
    virt = config.profile
    box = Box(session={"start": "bare"})
    box.machine = Machine(replace(config, profile=replace(virt, gicr_typer=virt.gicr_typer | 3 << 24)))
    box.finalise()
    for n, cpu in enumerate((0, 1, 16)):
        rd_base = box.map.gicr + cpu * box.map.gicr_stride
        assert box.errno("__pkvm_init_redist_emulation", rd_base, box.page(40 + n), 1) is None
        box.gicr(cpu, GICR_PENDBASER, box.page(10 + n))
        box.gicr(cpu, GICR_PROPBASER, box.page(20 + n) | 15)

    assert isinstance(box.gicr(0, GICR_CTLR, 1), Done)
    assert refused(box.gicr(1, GICR_CTLR, 1)) is Reason.PROPBASER_DISAGREES
    assert isinstance(box.gicr(16, GICR_CTLR, 1), Done)


def test_policies_are_shown() -> None:
    """Beside each register stands what becomes of it."""
    shown = Box(session={"profile": "virt-gicv4"}).machine.registers()
    assert shown["GICR0_PROPBASER"]["policy"] == shown["GICR0_VPENDBASER"]["policy"] == "emulated"
    assert shown["GICR0_TYPER"]["policy"] == "read forwarded, write refused"
    assert (
        Box("android-6.12", session={"profile": "virt-gicv4"}).machine.registers()["GICR0_VPROPBASER"]["policy"]
        == "refused"
    )
    assert Box("v2").machine.registers()["GICR0_PROPBASER"]["policy"] == "direct"


def test_the_hypercall_needs_stage_2() -> None:
    """Strict: as for the ITS."""
    box = Box(session={"start": "host"})

    assert box.hvc("__pkvm_init_redist_emulation", box.map.gicr, box.page(0), 1).reason is Reason.WINDOW_CLOSED
