"""What the simulated host's kernel sees of the machine that it runs on.

The driver in ``host/`` is written against ``HostPort`` alone: it cannot tell whether an access trapped, was emulated or
went straight to the device, any more than the real one can.
"""

from __future__ import annotations

from typing import Protocol

from itsbox.ops import Aborted, HvcReturn, Panicked

__all__ = ["HostAbort", "HostPort"]


class HostAbort(Exception):
    """An access of the running driver took an exception that it does not survive.

    ``outcome`` is what stage 2 answered, or the panic of the modelled hypervisor. The machine catches it where it asked
    the driver to run.
    """

    def __init__(self, outcome: Aborted | Panicked) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class HostPort(Protocol):
    """The host CPUs' ways into the machine. Addresses are physical, sizes and lengths in bytes.

    Every method may raise ``HostAbort``. An access that the hypervisor refuses without an abort reads as zero and writes
    nothing: the driver is not told, just as in the series.
    """

    def mmio_read(self, addr: int, size: int) -> int:
        """Read a device register; ``size`` is 4 or 8."""
        ...

    def mmio_write(self, addr: int, size: int, value: int) -> None:
        """Write a device register; ``size`` is 4 or 8."""
        ...

    def load(self, addr: int, length: int) -> bytes:
        """Load from memory."""
        ...

    def store(self, addr: int, data: bytes) -> None:
        """Store to memory."""
        ...

    def fill(self, addr: int, length: int, byte: int) -> None:
        """Fill memory with one byte."""
        ...

    def clean(self, addr: int, length: int) -> None:
        """Clean a range to the point of coherency (DC CVAC, DSB)."""
        ...

    def hvc(self, function: str | int, args: tuple[int, ...]) -> HvcReturn:
        """Call the hypervisor, by the function's name or number."""
        ...

    def print(self, line: str) -> None:
        """Print a line of the kernel's log."""
        ...

    def spend(self, steps: int) -> None:
        """Let simulated time pass: ``steps`` rounds of a polling loop that are known to see nothing new."""
        ...
