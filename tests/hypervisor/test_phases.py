"""The switch-over: who is finalised, when stage 2 is on, when it is over."""

from __future__ import annotations

from itsbox.arch.values import pfn_of
from itsbox.ops import Aborted, Drive, Load, MmioRead, Value
from tests.hypervisor.box import Box


def test_stage_2_is_on_once_every_cpu_is_finalised() -> None:
    """Each CPU once; until the last one the host does what it likes from there."""
    box = Box(session={"start": "bare"})
    load = Load(box.map.hyp, 8)
    assert box.machine.phase == "trusted"
    for cpu in range(4):
        assert not isinstance(box.machine.apply(load), Aborted)
        assert box.errno("__pkvm_prot_finalize") is None
        assert box.machine.phase == "deprivileging", cpu
    assert isinstance(box.machine.apply(load), Aborted)
    assert box.errno("__pkvm_prot_finalize") == "EPERM"


def test_a_cpu_can_be_named() -> None:
    """The same CPU twice is -EPERM, one that does not exist -EINVAL."""
    box = Box(session={"start": "bare"})

    assert box.errno("__pkvm_prot_finalize", 2) is None
    assert box.errno("__pkvm_prot_finalize", 2) == "EPERM"
    assert box.errno("__pkvm_prot_finalize", 4) == "EINVAL"
    assert [box.errno("__pkvm_prot_finalize") for _ in range(4)] == [None, None, None, "EPERM"]


def test_the_its_is_unmapped_at_the_first_finalisation() -> None:
    """Its pages become the hypervisor's, so that no later fault can map them."""
    box = Box(session={"start": "bare"})
    assert box.describe(box.its)[0] == "host"
    box.errno("__pkvm_prot_finalize")

    assert box.describe(box.its)[0] == "hyp"
    assert isinstance(box.machine.apply(MmioRead(box.its, 4)), Value)  # from a CPU that has no stage 2 yet


def test_a_frame_that_the_host_donated_before_is_no_obstacle() -> None:
    """``__pkvm_host_donate_hyp_mmio`` of an ITS page before the switch-over."""
    box = Box(session={"start": "bare"})
    assert box.errno("__pkvm_host_donate_hyp_mmio", pfn_of(box.its)) is None

    box.finalise()
    assert box.describe(box.its)[0] == "hyp"


def test_a_preset_without_emulation_is_through_at_once() -> None:
    """Nothing is awaited where nothing is taken over."""
    box = Box("forward", session={"start": "host"})
    box.finalise()

    assert box.machine.phase == "deprivileged"


def test_the_driver_does_it_in_one_call() -> None:
    """start: deprivileged is a host that has gone through it."""
    for preset in ("forward", "rfc-v1", "v2", "android-6.12", "strict"):
        assert Box(preset).machine.phase == "deprivileged"
    assert Box("off").machine.phase == "trusted"


def test_a_second_switch_over_is_refused() -> None:
    """The driver finds the hypervisor finalised."""
    outcome = Box().machine.apply(Drive("deprivilege", {}))

    assert getattr(outcome, "result", {})["error"] == "EBUSY"


def test_a_snapshot_in_the_middle_is_taken_back() -> None:
    """Half finalised, quiesced, or done: each is a state like others."""
    box = Box(session={"start": "host"})
    digests, saved = [], []
    for _ in range(4):
        box.errno("__pkvm_prot_finalize")
        saved.append(box.machine.snapshot())
        digests.append(box.machine.state_hash())
    for snapshot, digest in zip(reversed(saved), reversed(digests), strict=True):
        box.machine.restore(snapshot)
        assert box.machine.state_hash() == digest
    assert box.machine.phase == "deprivileging"
    assert not box.machine.hypervisor.el2.stage2.enabled
