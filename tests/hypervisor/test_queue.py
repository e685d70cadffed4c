"""The command queue where the host lies about it."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import SYNC
from itsbox.arch.its_registers import GITS_CWRITER
from itsbox.ops import Done, Store
from tests.hypervisor.box import Box


@pytest.mark.parametrize("preset", ["rfc-v1@6", "rfc-v1@8", "rfc-v1"])
@pytest.mark.parametrize("length", [100, 127, 0x2010])
def test_a_queue_that_ends_within_a_command(preset: str, length: int) -> None:
    """The RFC believes any length. When a batch wraps, the piece of a command at the queue's end is none."""
    box = Box(preset, session={"start": "bare"})
    tables = box.program()
    box.finalise()
    assert getattr(box.hand_over(tables._replace(cmdq_len=length)), "errno", "") is None
    sync, whole = SYNC(rd_base=0), length // 32
    box.machine.apply(Store(tables.cmd_shadow, sync.STRUCT.pack(*sync.encode()) * whole))
    assert isinstance(box.write(GITS_CWRITER.OFFSET, 32 * (whole - 1), 4), Done)

    wrapped = box.write(GITS_CWRITER.OFFSET, 0, 4)

    assert isinstance(wrapped, Done)
    assert wrapped.commands[0][:2] == (whole - 1, "SYNC")
    assert box.hardware(GITS_CWRITER) == 0
