"""The frame of virtual LPIs: only vPEs that the hypervisor knows become resident."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import VMAPP, VMAPP_V41
from itsbox.arch.redist_registers import (
    GICR_VPENDBASER,
    GICR_VPENDBASER_V41,
    GICR_VPROPBASER,
    GICR_VPROPBASER_V41,
    GICR_VSGIR,
)
from itsbox.ops import Done, Refused, Value
from itsbox.reasons import Reason
from tests.hypervisor.box import VALID, Box
from tests.hypervisor.shown import shows

GICV4 = {"profile": "virt-gicv4"}
GICV41 = {"profile": "virt-gicv4.1"}


def refused(outcome: object) -> Reason | None:
    """The reason of a refusal, None if it was none."""
    return outcome.reason if isinstance(outcome, Refused) else None


def mapped(box: Box) -> int:
    """Map vPE 1; the address of its pending table."""
    box.add_l2(0, box.page(2) | VALID, "vpe")
    vpt = box.page(3)
    assert box.verdicts(VMAPP(vpe_id=1, rd_base=0, valid=1, vpt_size=15, vpt_addr=vpt)) == ["executed"]
    return vpt


def resident(vpt: int) -> int:
    """GICR_VPENDBASER of a vPE that comes."""
    return GICR_VPENDBASER.decode(0).replace(physical_address=vpt, valid=1).word()


@shows("vlpi_frame")
def test_android_has_no_virtual_lpis() -> None:
    """The frame is refused entirely; strict checks it."""
    android, strict = Box("android-6.12", session=GICV4), Box(session=GICV4)

    assert refused(android.gicr(0, GICR_VPROPBASER)) is Reason.VLPI_FRAME
    assert refused(android.gicr(0, GICR_VPENDBASER, 0)) is Reason.VLPI_FRAME
    assert isinstance(strict.gicr(0, GICR_VPROPBASER), Value)


def test_only_a_known_vpe_becomes_resident() -> None:
    """GICv4.0: a pending table that no VMAPP named is refused; a known one is resident, its configuration held meanwhile."""
    box = Box(session=GICV4)
    vpt = mapped(box)
    box.gicr(0, GICR_VPROPBASER, box.page(5) | 15)
    for bad in (box.map.hyp, box.page(4)):
        assert refused(box.gicr(0, GICR_VPENDBASER, resident(bad))) is Reason.VPENDBASER_UNKNOWN

    assert isinstance(box.gicr(0, GICR_VPENDBASER, resident(vpt)), Done)
    assert box.describe(box.page(5)) == ("host", "SHARED_OWNED", 1)
    assert refused(box.gicr(0, GICR_VPROPBASER, box.page(6) | 15)) is Reason.VPROPBASER_CHANGED
    assert box.verdicts(VMAPP(vpe_id=1, rd_base=0, valid=0, vpt_size=0, vpt_addr=0)) == ["vpe_resident"]
    assert isinstance(box.gicr(0, GICR_VPENDBASER, 0), Done)
    assert box.describe(box.page(5)) == ("host", "OWNED", 0)
    assert box.verdicts(VMAPP(vpe_id=1, rd_base=0, valid=0, vpt_size=0, vpt_addr=0)) == ["executed"]


def test_a_configuration_table_that_is_not_the_hosts() -> None:
    """The vPE does not become resident."""
    box = Box(session=GICV4)
    vpt = mapped(box)
    box.gicr(0, GICR_VPROPBASER, box.map.guest | 15)

    assert refused(box.gicr(0, GICR_VPENDBASER, resident(vpt))) is Reason.VCONF_NOT_HOST_OWNED


def test_no_vpe_stays_resident_over_the_switch_over() -> None:
    """A raw pointer from the trusted past would be used by nobody's leave."""
    box = Box(session={**GICV4, "start": "host"})
    box.gicr(0, GICR_VPENDBASER, resident(box.map.hyp))
    box.finalise()

    assert not GICR_VPENDBASER.decode(box.machine.redistributors[0].read(GICR_VPENDBASER.OFFSET, 8)).valid


def test_gicv41_takes_vpes_by_number() -> None:
    """A vPEID that is not mapped is refused, in VPENDBASER and in VSGIR."""
    box = Box(session=GICV41)
    box.add_l2(0, box.page(2) | VALID, "vpe")
    command = VMAPP_V41(
        alloc=1, ptz=0, vconf_addr=box.page(4), default_doorbell=1023, vpe_id=1, rd_base=0, valid=1, vpt_size=15,
        vpt_addr=box.page(3),
    )  # fmt: skip
    assert box.verdicts(command) == ["executed"]

    def vpe(number: int) -> int:
        return GICR_VPENDBASER_V41.decode(0).replace(vpe_id=number, valid=1).word()

    assert refused(box.gicr(0, GICR_VPENDBASER_V41, vpe(2))) is Reason.VPENDBASER_UNKNOWN
    assert refused(box.gicr(0, GICR_VSGIR, 2)) is Reason.VPENDBASER_UNKNOWN
    assert isinstance(box.gicr(0, GICR_VSGIR, 1), Done)
    assert isinstance(box.gicr(0, GICR_VPENDBASER_V41, vpe(1)), Done)
    assert box.verdicts(command.replace(valid=0)) == ["vpe_resident"]


def test_gicv41_keeps_the_vpe_table() -> None:
    """The host reads its own copy of level 1, may write that back, and nothing else."""
    box = Box(session=GICV41)
    shown = box.gicr(0, GICR_VPROPBASER_V41)
    assert isinstance(shown, Value)
    register = GICR_VPROPBASER_V41.decode(shown.value)
    assert register.valid
    assert register.physical_address == box.host_l1("vpe")
    before = box.machine.redistributors[0].read(GICR_VPROPBASER_V41.OFFSET, 8)

    forged = register.replace(physical_address=box.page(9))
    assert refused(box.gicr(0, GICR_VPROPBASER_V41, forged.word())) is Reason.VPROPBASER_CHANGED
    assert isinstance(box.gicr(0, GICR_VPROPBASER_V41, register.word()), Done)
    assert box.machine.redistributors[0].read(GICR_VPROPBASER_V41.OFFSET, 8) == before


@pytest.mark.parametrize("profile", ["virt-gicv4", "virt-gicv4.1"])
def test_state_is_saved_and_taken_back(profile: str) -> None:
    """What is resident survives a snapshot."""
    box = Box(session={"profile": profile})
    saved, digest = box.machine.snapshot(), box.machine.state_hash()
    if profile == "virt-gicv4":
        vpt = mapped(box)
        box.gicr(0, GICR_VPROPBASER, box.page(5) | 15)
        box.gicr(0, GICR_VPENDBASER, resident(vpt))
        later, later_digest = box.machine.snapshot(), box.machine.state_hash()
        box.machine.restore(saved)
        box.machine.restore(later)
        assert box.machine.state_hash() == later_digest
        assert isinstance(box.gicr(0, GICR_VPENDBASER, 0), Done)
        assert box.describe(box.page(5)) == ("host", "OWNED", 0)
    box.machine.restore(saved)

    assert box.machine.state_hash() == digest
