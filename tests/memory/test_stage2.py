"""The host's second stage: what it denies, and why."""

from __future__ import annotations

import pytest

from itsbox.events import EventLog
from itsbox.memory.ownership import Ownership
from itsbox.memory.stage2 import Stage2
from itsbox.reasons import Reason

HYP_PAGE, GUEST_PAGE, HOST_PAGE = 0x40F0_0000, 0x40E0_0000, 0x4001_0000


@pytest.fixture
def stage2() -> Stage2:
    """Stage 2 of a machine with 16 MiB, on."""
    own = Ownership((0x4000_0000, 0x100_0000), (HYP_PAGE, 0x10_0000), (GUEST_PAGE, 0x10_0000), EventLog())
    stage2 = Stage2(own)
    stage2.enabled = True
    return stage2


def test_nothing_is_denied_while_it_is_off(stage2: Stage2) -> None:
    """Before the switch-over the host reaches everything."""
    stage2.enabled = False

    assert stage2.denied(HYP_PAGE, 8) is None


@pytest.mark.parametrize("addr, expected", [(HYP_PAGE, Reason.HYP_MEMORY), (GUEST_PAGE + 0xFFF, Reason.GUEST_MEMORY)])
def test_foreign_memory_is_denied_with_its_owner(stage2: Stage2, addr: int, expected: Reason) -> None:
    """Hypervisor's and guest's pages each have a reason of their own."""
    assert stage2.denied(addr, 1) == addr >> 12
    assert stage2.reason(addr >> 12) is expected


def test_the_first_foreign_page_of_a_range_is_found(stage2: Stage2) -> None:
    """A range that begins in host memory is denied where the guest's begins."""
    assert stage2.denied(GUEST_PAGE - 8, 16) == GUEST_PAGE >> 12
    assert stage2.denied(GUEST_PAGE - 8, 8) is None


def test_shared_pages_stay_the_hosts(stage2: Stage2) -> None:
    """Sharing takes nothing away; donating does."""
    stage2.ownership.host_share_hyp(HOST_PAGE >> 12, "test")
    assert stage2.denied(HOST_PAGE, 4096) is None
    stage2.ownership.host_donate_hyp((HOST_PAGE >> 12) + 1, 1, "test")
    assert stage2.denied(HOST_PAGE, 8192) == (HOST_PAGE >> 12) + 1


def test_an_annotated_device_page_is_denied(stage2: Stage2) -> None:
    """A device frame that the hypervisor took."""
    stage2.ownership.host_donate_hyp_mmio(0x8080, "test")

    assert stage2.denied(0x808_0000, 4) == 0x8080
    assert stage2.reason(0x8080) is Reason.HYP_MMIO


def test_an_empty_range_is_never_denied(stage2: Stage2) -> None:
    """Nothing is touched."""
    assert stage2.denied(HYP_PAGE, 0) is None
