"""One QEMU process as an ITS that somebody else wrote: started, reset, asked, ended.

Debian's QEMU has no ``-accel qtest``; ``-accel tcg -S`` (CPUs that never run) with ``-qtest`` serves the same protocol. With
logging on, guest errors and trace events of the ITS land in one file, flushed line by line, so that after a reply the log is
complete: ``commands`` turns it into a verdict per command.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from itsbox.arch.its_commands import COMMANDS
from itsbox.replay.qtest import Qmp, Qtest, QtestError, connect
from itsbox.replay.trace import RecordedCommand

__all__ = ["QEMU", "Qemu", "QemuMissing", "commands_of", "translated"]

QEMU: Final = "qemu-system-aarch64"
PACKAGE: Final = "qemu-system-arm"

_TRACED: Final = "guest_errors,trace:gicv3_its_*"
_START: Final = re.compile(r"^gicv3_its_process_command .*offset (0x[0-9a-f]+): (0x[0-9a-f]+)$")
_ACCESSES: Final = (
    "gicv3_its_write",
    "gicv3_its_read",
    "gicv3_its_badwrite",
    "gicv3_its_badread",
    "gicv3_its_translation_write",
)
# One guest error of QEMU's ITS lacks its newline, and the next line follows at once.
_RUN_ON: Final = re.compile(r"(devid -?\d+>=-?\d+)(?=[a-zA-Z])")
# Trace events, and what the bus says of missing memory: whether that is an error is for the device to say.
_NO_ERROR: Final = ("gicv3_", "Invalid read at", "Invalid write at")
# The trace event that proves that a command had its effect; "read": the lookup of its target.
_PROOFS: Final = {
    **dict.fromkeys(("INT", "CLEAR", "INV", "VINVALL"), "read"),
    **dict.fromkeys(("MAPTI", "MAPI", "MOVI", "DISCARD", "VMAPTI", "VMAPI", "VMOVI"), "ite_write"),
    "MAPD": "dte_write",
    "MAPC": "cte_write",
    "VMAPP": "vte_write",
    "VMOVP": "vte_write",
    "MOVALL": "cmd_movall",
}
_TARGET: Final = re.compile(r"^gicv3_its_[cv]te_read .*valid 1 .*R[Dd][Bb]ase (0x[0-9a-f]+)")


class QemuMissing(QtestError):
    """There is no qemu-system-aarch64 on this machine."""

    def __init__(self) -> None:
        super().__init__(f"{QEMU} is not installed (Debian package {PACKAGE})")


class Qemu:
    """A QEMU ``virt`` machine of one GIC version and number of CPUs, driven through qtest."""

    def __init__(self, *, gic: int, cpus: int, ram_mib: int = 256, log: bool = True) -> None:
        """Start QEMU. Raises QemuMissing when it is not installed, QtestError when it does not answer."""
        path = shutil.which(QEMU)
        if path is None:
            raise QemuMissing
        self.gic, self.cpus, self.ram_mib = gic, cpus, ram_mib
        self.folder = Path(tempfile.mkdtemp(prefix="itsbox-qemu."))
        virtualization = ",virtualization=on" if gic >= 4 else ""
        self.arguments = [
            *("-machine", f"virt,gic-version={gic},its=on,highmem=off{virtualization}"),
            *("-accel", "tcg", "-S", "-cpu", "cortex-a57", "-smp", str(cpus), "-m", f"{ram_mib}M"),
            *("-display", "none", "-nodefaults"),
        ]
        sockets = [
            *("-qtest", f"unix:{self.folder}/qtest,server=on,wait=off", "-qtest-log", "/dev/null"),
            *("-qmp", f"unix:{self.folder}/qmp,server=on,wait=off"),
        ]
        logging = ["-d", _TRACED, "-D", f"{self.folder}/log"] if log else []
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [path, *self.arguments, *sockets, *logging],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip
        try:
            self.qtest = Qtest(connect(f"{self.folder}/qtest"))
            self.qmp = Qmp(connect(f"{self.folder}/qmp"))
            self.log = (self.folder / "log").open(errors="replace") if log else None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove its files."""
        for part in ("qmp", "qtest", "log"):
            if (opened := getattr(self, part, None)) is not None:
                opened.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def version(self) -> str:
        """QEMU's version and package."""
        return self.qmp.version()

    def reset(self) -> None:
        """Reset every device. RAM keeps its contents."""
        self.qmp.events.clear()
        self.qmp.call("system_reset")
        self.qmp.wait("RESET")
        self.new_log()

    def new_log(self) -> list[str]:
        """The log lines written since the last call."""
        if self.log is None:
            return []
        return _RUN_ON.sub(r"\1\n", self.log.read()).splitlines()


def commands_of(log: list[str], cpus: int) -> tuple[RecordedCommand, ...]:
    """The ITS commands that QEMU's log tells of, with a verdict each.

    ``stalled`` and ``unknown`` are said outright, and a guest error makes a command ``ignored``. A command without an error is
    ``ok`` when its trace events prove an effect (the entry it writes, or a lookup that ended at an existing redistributor) or
    when it has none to show (SYNC, INVALL, MOVALL, VSYNC); else it is ``silent``.
    """
    found: list[RecordedCommand] = []
    texts: list[str] | None = None
    for line in log:
        if start := _START.match(line):
            layout = COMMANDS.get(int(start[2], 16))
            found.append(RecordedCommand(int(start[1], 16), layout.NAME if layout else None, "silent"))
            texts = []
        elif line.startswith(_ACCESSES):
            texts = None
        elif texts is not None:
            texts.append(line)
            found[-1] = _judge(found[-1], texts, cpus)
    return tuple(found)


def _judge(command: RecordedCommand, texts: list[str], cpus: int) -> RecordedCommand:
    errors = [text for text in texts if not text.startswith(_NO_ERROR)]
    if any(text.startswith("gicv3_its_cmd_unknown") for text in texts):
        return RecordedCommand(command.slot, None, "unknown")
    if any("stalling" in text for text in errors):
        return command._replace(result="stalled")
    if errors:
        return command._replace(result="ignored")
    return command._replace(result="ok" if _proven(command.name, texts, cpus) else "silent")


def _proven(name: str | None, texts: list[str], cpus: int) -> bool:
    proof = _PROOFS.get(name or "", "")
    if proof != "read":
        return any(text.startswith(f"gicv3_its_{proof}") for text in texts)
    return translated(texts, cpus)


def translated(log: list[str], cpus: int) -> bool:
    """Whether the log of an MSI, or of one command, shows a lookup that ended at an existing redistributor."""
    ends = [int(match[1], 16) for match in map(_TARGET.match, log) if match]
    return bool(ends) and ends[-1] < cpus and all(line.startswith(_NO_ERROR) for line in log)
