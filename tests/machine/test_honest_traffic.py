"""Hardening is invisible to an honest host: recorded commands leave the same device state behind it as on bare hardware."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

import pytest

from itsbox.arch.its_commands import INVALL, MAPD, SYNC, decode_command
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Clean, CommandRecord, Done, MmioWrite, Msi, Refused, Store, Verdict

TRACES = Path(__file__).parents[1] / "data" / "traces"
CWRITER = 0x88
COLLECTIONS = 8192  # entries of a 64 KB page
_WORDS = Struct("<4Q")
VIRTUAL = 0x20


class Poster:
    """Posts recorded commands where the machine's driver would: into the host's queue, before or after the switch-over."""

    def __init__(self, **config: Any) -> None:
        self.machine = Machine(MachineConfig.make(ram_mib=1024, **config))
        queues = self.machine.queues()
        side = queues["host"] or queues["hw"]
        self.base, self.size, self.offset = int(side["base"], 16), side["size"], side["cwriter"]

    def post(self, commands: list[bytes]) -> list[CommandRecord]:
        """One CWRITER write for the commands of one recorded write."""
        for command in commands:
            self.machine.apply(Store(self.base + self.offset, command))
            self.machine.apply(Clean(self.base + self.offset, 32))
            self.offset = (self.offset + 32) % self.size
        outcome = self.machine.apply(MmioWrite(self.machine.map.its + CWRITER, 4, self.offset))
        assert isinstance(outcome, Done | Refused)
        return list(outcome.commands)


def recorded(path: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(head, lines) of each trace of a file."""
    head: dict[str, Any] = {}
    lines: list[dict[str, Any]] = []
    with gzip.open(path, "rt") as file:
        for text in file:
            line = json.loads(text)
            if line["k"] == "head":
                if head:
                    yield head, lines
                head, lines = line, []
            else:
                lines.append(line)
    yield head, lines


def play(poster: Poster, lines: list[dict[str, Any]]) -> list[CommandRecord]:
    """Post the commands of a trace as its own CWRITER writes grouped them, and send its messages."""
    queue: list[bytes] = []
    records: list[CommandRecord] = []
    for line in lines:
        if line["k"] == "m" and len(line["hex"]) == 64:
            queue.append(bytes.fromhex(line["hex"]))
        elif line["k"] == "w" and line.get("cmds") and queue:
            records += poster.post(queue)
            queue = []
        elif line["k"] == "msi":
            poster.machine.apply(Msi(line["dev"], line["data"]))
    return records


def device_state(machine: Machine) -> dict[str, Any]:
    """What honest traffic must leave equal."""
    state = machine.state()
    return {key: state[key] for key in ("devices", "events", "collections", "pending")}


@pytest.fixture(scope="module")
def linux_boot() -> list[dict[str, Any]]:
    """The lines of the recorded Linux boot."""
    ((_, lines),) = recorded(TRACES / "linux-boot-gicv3.jsonl.gz")
    return lines


def test_a_recorded_linux_runs_unchanged_behind_strict(linux_boot: list[dict[str, Any]]) -> None:
    """Behind strict every recorded command is executed; devices, events and pending LPIs are as on bare hardware."""
    bare, hardened = Poster(hardening="off", start="host"), Poster(hardening="strict", start="deprivileged")
    assert hardened.machine.phase == "deprivileged"
    without, behind = play(bare, linux_boot), play(hardened, linux_boot)

    assert [record[1:4] for record in without] == [record[1:4] for record in behind]
    assert {record[3] for record in behind} == {Verdict.EXECUTED}
    assert device_state(bare.machine) == device_state(hardened.machine)
    assert hardened.machine.violations == []
    assert len(device_state(bare.machine)["devices"]) >= 3


class Honesty:
    """Tells which commands of a random sequence an honest driver could have sent."""

    def __init__(self, cpus: int) -> None:
        self.cpus = cpus
        self.mapped: set[int] = set()

    def sends(self, command: bytes) -> bool:
        """No SYNC to a processor that is not there, no INVALL of an ICID beyond the table, no unmapping of what is not mapped."""
        words = _WORDS.unpack(command)
        layout = decode_command(words)
        if isinstance(layout, SYNC):
            return layout.rd_base < self.cpus
        if isinstance(layout, INVALL):
            return layout.icid < COLLECTIONS
        if isinstance(layout, MAPD):
            known = layout.device_id in self.mapped
            (self.mapped.add if layout.valid else self.mapped.discard)(layout.device_id)
            return bool(layout.valid) or known
        return True


def honest(lines: list[dict[str, Any]], cpus: int) -> list[dict[str, Any]]:
    """A random sequence without the commands that QEMU did not carry out or that only a careless driver sends."""
    good: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    honesty = Honesty(cpus)
    for line in lines:
        if line["k"] == "m" and len(line["hex"]) == 64:
            pending.append(line)
        elif line["k"] == "w" and line.get("cmds"):
            verdicts = [command["result"] for command in line["cmds"]]
            kept = [
                item
                for item, verdict in zip(pending[-len(verdicts) :], verdicts, strict=False)
                if verdict == "ok" and honesty.sends(bytes.fromhex(item["hex"]))
            ]
            good += [*kept, {**line, "cmds": kept}] if kept else []
            pending = []
        elif line["k"] == "msi":
            good.append(line)
    return good


def is_known(record: CommandRecord) -> bool:
    """A physical command with a name."""
    return record[1] is not None and not record[2][0] & VIRTUAL


@pytest.mark.parametrize("preset", ["strict", "v2", "android-6.12"])
def test_random_valid_sequences_run_unchanged(preset: str) -> None:
    """What QEMU carried out of 60 random sequences, minus what no driver sends, leaves the same device state behind a preset."""
    compared = 0
    for head, lines in recorded(TRACES / "random-gicv3.jsonl.gz"):
        cpus = head["machine"]["smp"]
        sequence = honest(lines, cpus)
        bare = Poster(hardening="off", start="host", cpus=cpus)
        hardened = Poster(hardening=preset, start="deprivileged", cpus=cpus)
        without, behind = play(bare, sequence), play(hardened, sequence)
        refused = [
            (one, other)
            for one, other in zip(without, behind, strict=True)
            if is_known(one) and one[3] == Verdict.EXECUTED and one[3] != other[3]
        ]
        assert refused == [], head["id"]
        assert device_state(bare.machine) == device_state(hardened.machine), head["id"]
        assert hardened.machine.violations == [], head["id"]
        compared += len(without)

    assert compared > 1000
