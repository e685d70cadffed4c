"""itsbox check: event logs judged afterwards, with or without the machine's own verdict in them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from itsbox.arch.its_registers import GITS_BASER
from itsbox.cli.output import Exit
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Drive, MmioRead, MmioWrite
from itsbox.oracle.recorder import Recorder
from tests.cli.conftest import Shell

Lines = list[dict[str, Any]]


def recorded(*, hostile: bool) -> Lines:
    """The complete log of a machine without pKVM, booted; a hostile host then maps a device table onto the hypervisor."""
    machine = Machine(MachineConfig.make(hardening="off"))
    recorder = Recorder(machine)
    recorder.apply(Drive("probe", {}))
    if hostile:
        its, hyp = machine.map.its, machine.map.hyp
        recorder.apply(MmioWrite(its, 4, 0))
        baser = its + GITS_BASER.OFFSET
        value = recorder.machine.apply(MmioRead(baser, 8))
        recorder.apply(MmioWrite(baser, 8, getattr(value, "value", 0) & ~0xFFFF_FFFF_F000 | hyp))
        recorder.apply(MmioWrite(its, 4, 1))
        recorder.apply(Drive("map_device", {"device_id": 3, "events": 2}))
    assert bool(machine.violations) is hostile
    return recorder.close()


@pytest.fixture(scope="module")
def honest() -> Lines:
    """A log of honest life."""
    return recorded(hostile=False)


@pytest.fixture(scope="module")
def hostile() -> Lines:
    """A log with violations."""
    return recorded(hostile=True)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Lines], Path]:
    """Puts lines into a file."""

    def written(lines: Lines) -> Path:
        path = tmp_path / "machine.log"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        return path

    return written


def test_an_honest_log_is_isolated(nobody: Shell, honest: Lines, write: Callable[[Lines], Path]) -> None:
    """And ends with 0."""
    path = write(honest)

    result = nobody.run("check", path)
    report = nobody.json("check", path)

    assert result.exit_code == Exit.OK
    assert result.stdout.splitlines()[-1] == "isolated"
    assert (report["isolated"], report["complete"], report["violations"]) == (True, True, [])
    assert report["accesses"] > 0


def test_violations_are_found_again(nobody: Shell, hostile: Lines, write: Callable[[Lines], Path]) -> None:
    """The same that the machine's own oracle wrote into the log."""
    path = write(hostile)

    report = nobody.json("check", path, code=Exit.DIFFERENCE)
    result = nobody.run("check", path)

    assert report["agrees"]
    assert [v["bucket"] for v in report["violations"]] == [v["bucket"] for v in report["recorded"]]
    assert result.exit_code == Exit.DIFFERENCE
    assert "violation " in result.stdout
    assert result.stdout.splitlines()[-1] == f"violated, {len(report['violations'])} times"


def test_a_log_that_claims_what_did_not_happen_ends_with_1(
    nobody: Shell, honest: Lines, write: Callable[[Lines], Path]
) -> None:
    """Isolated, but the judge does not agree with what the log tells."""
    claim = {"step": honest[-1]["step"], "type": "violation", "data": {"bucket": "itsb1-made-up"}}

    result = nobody.run("check", write([*honest, claim]))

    assert result.exit_code == Exit.DIFFERENCE
    assert "itsb1-made-up" in result.stdout


def test_logs_may_be_packed_or_piped(nobody: Shell, honest: Lines, tmp_path: Path) -> None:
    """Gzip is told by its first bytes, whatever the name."""
    text = "".join(f"{json.dumps(line)}\n" for line in honest)
    packed = tmp_path / "machine.log"
    packed.write_bytes(gzip.compress(text.encode()))

    assert nobody.json("check", packed)["isolated"]
    assert nobody.run("check", "-", stdin=text).exit_code == Exit.OK


@pytest.mark.parametrize(
    "content",
    [b"", b"hello\n", b"{}\n", b"[]\n", b'{"format": "itsbox-log/1"}\n', b"\xff\xfe\n", gzip.compress(b"x" * 100, mtime=0)[:-12],
     b"\x1f\x8bno gzip at all"],
)  # fmt: skip
def test_a_file_that_is_no_log_is_wrong_usage(nobody: Shell, tmp_path: Path, content: bytes) -> None:
    """Named, with what is wrong, and without a traceback."""
    path = tmp_path / "bad.log"
    path.write_bytes(content)

    result = nobody.run("check", path)

    assert result.exit_code == Exit.USAGE
    assert "bad.log: " in result.stderr
    assert nobody.run("check", tmp_path / "none.log").exit_code == Exit.USAGE
