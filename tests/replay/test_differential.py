"""Fresh sequences put to QEMU itself: a model that differs anywhere would be seen, and this one does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itsbox.hardware.its import Its
from itsbox.hardware.redistributor import Redistributor
from itsbox.replay import qemu
from itsbox.replay.differential import compare_with_qemu
from itsbox.replay.replayer import replay
from itsbox.replay.target import InProcess, wish_for
from itsbox.replay.trace import read_traces, write_trace

SEEDS = range(20_000, 20_060)
pytestmark = pytest.mark.qemu


@pytest.fixture(autouse=True)
def _qemu(need: Callable[[str, str], str]) -> None:
    need(qemu.QEMU, qemu.PACKAGE)


@pytest.mark.parametrize("gic", [3, 4])
@pytest.mark.parametrize("part", range(2))
def test_fresh_sequences_are_answered_as_qemu_answers_them(gic: int, part: int) -> None:
    """Sixty seeds for each GIC version: every read, verdict, final register, byte of the tables and pending bit."""
    reads = commands = 0
    for _, report in compare_with_qemu(gic, SEEDS[part::2]):
        assert [str(difference) for difference in report.differences] == []
        reads += report.reads
        commands += report.commands

    assert reads > 1000
    assert commands > 2000


@pytest.mark.parametrize(
    "owner, method, broken, what",
    [
        (Redistributor, "assign_pending", lambda self, intid, level: None, "memory"),
        (Redistributor, "move_all_pending", lambda self, target: None, "memory"),
        (Its, "redistributor_of", lambda self, rd_base, *, whole=False: 0, "command"),
        (Its, "translate", lambda self, device_id, event_id: False, "msi"),
    ],
)
def test_a_broken_model_is_caught(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, broken: Callable[..., Any], what: str
) -> None:
    """Something as small as one rule that is not followed shows within the sixty seeds."""
    monkeypatch.setattr(owner, method, broken)

    assert any(d.what == what for _, report in compare_with_qemu(3, SEEDS) for d in report.differences)


def test_a_recorded_sequence_can_be_kept(tmp_path: Path) -> None:
    """Written as a trace it replays like any other, and has what the recordings have."""
    ((trace, report),) = compare_with_qemu(4, [1])
    path = tmp_path / "kept.jsonl"
    write_trace(path, trace)

    (again,) = read_traces(path)

    assert again == trace
    assert replay(again, InProcess(wish_for(again.head))) == report
    assert again.head.id == "v4-generated-00001"
