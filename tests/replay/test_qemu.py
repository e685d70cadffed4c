"""QEMU as a peer: what its log says of commands, and a real process started, asked, reset and ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from itsbox.ops import Fill
from itsbox.replay import qemu
from itsbox.replay.qemu import Qemu, QemuMissing, commands_of, translated
from itsbox.replay.qtest import request_for
from itsbox.replay.trace import RecordedCommand

START = "gicv3_its_process_command GICv3 ITS: processing command at offset {:#x}: {:#x}"
DTE_WRITE = "gicv3_its_dte_write GICv3 ITS: Device Table write for DeviceID 0x8: valid 1 size 0x4 ITTaddr 0x47000000"
CTE_READ = "gicv3_its_cte_read GICv3 ITS: Collection Table read for ICID 0x0: valid 1 RDBase {:#x}"


@pytest.mark.parametrize(
    "opcode, lines, name, result",
    [
        (0x08, [DTE_WRITE], "MAPD", "ok"),
        (0x08, [], "MAPD", "silent"),
        (0x08, ["ITS MAPD: invalid size 16"], "MAPD", "ignored"),
        (0x08, ["Invalid write at addr 0x9", "process_cmdq: 0x8 cmd processing failed, stalling"], "MAPD", "stalled"),
        (0x03, [CTE_READ.format(1)], "INT", "ok"),
        (0x03, [CTE_READ.format(2)], "INT", "silent"),
        (0x03, [CTE_READ.format(0), "Invalid read at addr 0x9"], "INT", "ok"),
        (0x05, ["gicv3_its_cmd_sync GICv3 ITS: command SYNC"], "SYNC", "ok"),
        (0x25, [], "VSYNC", "silent"),
        (0x23, ["gicv3_its_cmd_unknown GICv3 ITS: unknown command 0x23"], None, "unknown"),
        (0xFF, ["gicv3_its_cmd_unknown GICv3 ITS: unknown command 0xff"], None, "unknown"),
    ],
)
def test_a_log_tells_what_became_of_a_command(opcode: int, lines: list[str], name: str | None, result: str) -> None:
    """By errors first, then by the trace event that proves the effect; on two CPUs here."""
    log = [
        "gicv3_its_read before",
        START.format(5, opcode),
        *lines,
        "gicv3_its_write GICv3 ITS write: offset 0x88",
        "other text",
    ]

    assert commands_of(log, cpus=2) == (RecordedCommand(5, name, result),)


def test_commands_are_told_apart() -> None:
    """Each has its own lines; what belongs to none is left out."""
    log = [
        "noise",
        START.format(0, 0x08),
        DTE_WRITE,
        START.format(1, 0x03),
        "invalid",
        "gicv3_its_write x",
        "late error",
    ]

    assert [(c.slot, c.result) for c in commands_of(log, 1)] == [(0, "ok"), (1, "ignored")]
    assert commands_of([], 1) == ()


def test_an_msi_is_translated_when_its_lookup_ends_at_a_redistributor() -> None:
    """The last entry read counts, and an error means that it did not end there."""
    assert translated([CTE_READ.format(0)], cpus=1)
    assert not translated([CTE_READ.format(1)], cpus=1)
    assert not translated([CTE_READ.format(0), "do_process_its_cmd: invalid"], cpus=1)
    assert not translated([], cpus=1)


def test_a_machine_without_qemu_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a person knows what to install."""
    monkeypatch.setenv("PATH", "")

    with pytest.raises(QemuMissing, match="qemu-system-arm"):
        Qemu(gic=3, cpus=1)


@pytest.mark.qemu
@pytest.mark.parametrize("gic, typer", [(3, 0x1F_0001_EFB1), (4, 0x3F_0001_EFB3)])
def test_a_real_qemu_answers_and_forgets_at_reset(need: Callable[[str, str], str], gic: int, typer: int) -> None:
    """Registers go back to their reset values, RAM keeps what was written, and nothing is left when it ends."""
    need(qemu.QEMU, qemu.PACKAGE)
    with Qemu(gic=gic, cpus=2) as peer:
        assert peer.qtest.read(0x808_0008, 8) == typer
        assert peer.version()[0].isdigit()
        peer.qtest.write(0x808_0080, 8, 1 << 63 | 0x4100_0000)
        peer.qtest.call([request_for(Fill(0x4100_0000, 64, 5), 0)])
        peer.qtest.write(0x808_0000, 4, 1)
        peer.qtest.write(0x808_0088, 8, 32)
        assert [c.name for c in commands_of(peer.new_log(), 2)] == ["SYNC"]
        assert peer.new_log() == []

        peer.reset()

        assert peer.qtest.read(0x808_0080, 8) == 0
        assert peer.qtest.load(0x4100_0000, 64) == b"\x05" * 64
        folder, process = peer.folder, peer.process
    assert process.poll() is not None
    assert not folder.exists()
