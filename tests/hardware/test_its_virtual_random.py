"""Whatever software does with virtual LPIs has an answer: random commands and register writes, every profile and policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itsbox.arch.its_commands import COMMANDS, COMMANDS_V41
from itsbox.arch.its_registers import GITS_CTLR, GITS_SGIR
from itsbox.arch.its_tables import ITE, VTE, VTE_V41
from itsbox.arch.layout import Layout
from itsbox.arch.redist_registers import GICR_INVALLR, GICR_VPENDBASER, GICR_VPROPBASER, GICR_VSGIR
from itsbox.hardware.profile import PROFILES
from itsbox.machine import Machine
from itsbox.ops import MmioWrite, Op, Store
from tests.rig import Rig

PLACES = (Rig.VPT, Rig.VPT + 0x1_0000, Rig.NOWHERE, 0x4FF0_0000, 0x4FE0_0000, 0x0808_0000, 0, (1 << 52) - 0x1_0000)
SMALL = st.sampled_from((0, 1, 2, 3, 4, 15, 31, 1023, 8192, 8193, 9000, 65535, 65536))
VIRTUAL = [
    profile.name for profile in PROFILES.values() if profile.virtual and profile.name in ("virt-gicv4", "virt-gicv4.1")
] + [profile.name for profile in PROFILES.values() if profile.its_count > 1]


def filled(layout: type[Layout]) -> st.SearchStrategy[Any]:
    """A layout with operands that meet each other, or anything that fits."""
    fields = {name: st.integers(0, place.max) | SMALL for name, place in layout.FIELDS.items()}
    for name in ("device_id", "event_id", "vpe_id", "rd_base", "icid"):
        if name in fields:
            fields[name] = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 4, 0xFFFF))
    for name in ("itt_addr", "vpt_addr", "vconf_addr"):
        if name in fields:
            fields[name] = st.sampled_from((*PLACES, Rig.ITT))
    for name in ("valid", "physical"):
        if name in fields:
            fields[name] = st.sampled_from((0, 1, 1, 1)) if name == "valid" else st.sampled_from((0, 0, 1))
    return st.builds(layout, **fields)


COMMAND = st.one_of(*(filled(layout) for layout in {*COMMANDS.values(), *COMMANDS_V41.values()}))
WORD = st.sampled_from((0, 1, 1 << 63, 1 << 63 | 1, 1 << 63 | 1 << 62, 1 << 62, (1 << 64) - 1)) | st.builds(
    lambda place, flags: place | flags, st.sampled_from((*PLACES, Rig.VPES)), st.sampled_from((15, 1 << 63, 3 << 62))
)
FRAME = st.sampled_from(
    (GICR_VPROPBASER.OFFSET, GICR_VPENDBASER.OFFSET, GICR_VSGIR.OFFSET, GICR_INVALLR.OFFSET, GICR_VPENDBASER.OFFSET + 4)
)
ENTRIES = st.one_of(
    st.builds(lambda n, entry: (Rig.VPES + 32 * n, entry), st.integers(0, 3), filled(VTE_V41)),
    st.builds(lambda n, entry: (Rig.VPES + 8 * n, entry), st.integers(0, 3), filled(VTE)),
    st.builds(lambda n, entry: (Rig.ITT + 12 * n, entry), st.integers(0, 3), filled(ITE)),
)


def write(rig: Rig, step: tuple[str, Any]) -> Op | None:
    """One step as an op, or None for commands, which go into the queue."""
    kind, what = step
    if kind == "frame":
        cpu, offset, size, value = what
        return MmioWrite(rig.map.gicr + cpu * rig.map.gicr_stride + offset, size, value % (1 << 8 * size))
    if kind == "sgi":
        return MmioWrite(rig.map.its + GITS_SGIR.OFFSET, 8, what)
    if kind == "entry":
        place, entry = what
        return Store(place, entry.STRUCT.pack(*entry.encode()))
    if kind == "ctlr":
        return MmioWrite(rig.map.its_nodes[what[0] % len(rig.map.its_nodes)] + GITS_CTLR.OFFSET, 4, what[1])
    return None


STEP = st.one_of(
    st.tuples(st.just("commands"), st.lists(COMMAND, min_size=1, max_size=4)),
    st.tuples(st.just("commands"), st.lists(COMMAND, min_size=1, max_size=4)),
    st.tuples(st.just("frame"), st.tuples(st.integers(0, 3), FRAME, st.sampled_from((4, 8)), WORD)),
    st.tuples(st.just("sgi"), st.builds(lambda n, v: v << 32 | n, st.integers(0, 15), st.sampled_from((0, 1, 2, 9)))),
    st.tuples(st.just("entry"), ENTRIES),
    st.tuples(st.just("ctlr"), st.tuples(st.integers(0, 1), st.sampled_from((0, 1, 0x11, 0x21)))),
)


@pytest.mark.parametrize("policy", ["ignore", "stall"])
@pytest.mark.parametrize("profile", VIRTUAL)
@settings(max_examples=40)
@given(steps=st.lists(STEP, min_size=1, max_size=25))
def test_nothing_that_software_does_is_a_defect_of_ours(profile: str, policy: str, steps: list[Any]) -> None:
    """No step raises, the views never do, and a fork is equal and stays equal."""
    rig = Rig(profile=profile, error_policy=policy).set_up()
    fork = Machine.fork(rig.machine.snapshot())
    for step in steps:
        op = write(rig, step)
        if op is not None:
            assert rig.machine.apply(op) == fork.apply(op)
            continue
        at = rig.cwriter
        rig.put(*step[1])
        fork.apply(Store(Rig.QUEUE + at, rig.machine.physical(Rig.QUEUE + at, rig.cwriter - at)))
        cwriter = MmioWrite(rig.map.its + 0x88, 8, rig.cwriter | 1)
        assert rig.machine.apply(cwriter) == fork.apply(cwriter)
    rig.machine.state()
    rig.machine.registers()
    rig.machine.tables("vpe", "hw")
    rig.machine.diagnosis()

    assert rig.machine.state_hash() == fork.state_hash()
