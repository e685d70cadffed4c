"""The running kernel: a port into the machine, what the device description says, and the driver's state.

Everything else in this package is functions over a ``Kernel``. It is made anew for each call; only ``state`` stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from itsbox.arch.layout import Register
from itsbox.arch.memory_attributes import NON_SHAREABLE
from itsbox.arch.values import PAGE_SIZE
from itsbox.hardware.ports import HostPort
from itsbox.hardware.profile import MemoryMap
from itsbox.host.memory import alloc_pages
from itsbox.host.state import DriverState
from itsbox.host.versions import DriverVersion

__all__ = ["POLL_ROUNDS", "Kernel", "Platform"]

POLL_ROUNDS: Final = 1_000_000
"""How often the kernel looks before it gives up, a microsecond apart."""

_R = TypeVar("_R", bound=Register)


@dataclass(frozen=True, slots=True)
class Platform:
    """What a device tree tells the kernel.

    its: base address of each ITS. coherent: False is the tree's ``dma-noncoherent``: the GIC's memory accesses do not see
    the CPUs' caches, whatever attributes its registers accept.
    """

    where: MemoryMap
    its: tuple[int, ...]
    cpus: int
    coherent: bool


@dataclass(slots=True)
class Kernel:
    """What driver functions act on. ``timeouts`` counts the commands of this call that were not seen to complete."""

    port: HostPort
    platform: Platform
    version: DriverVersion
    state: DriverState
    timeouts: int = 0

    # ---------------------------------------------------------------- registers

    def read(self, base: int, register: type[_R], n: int = 0) -> _R:
        """Read element ``n`` of a register of the frame at ``base``."""
        return register.decode(self.read_word(base, register, n))

    def read_word(self, base: int, register: type[Register], n: int = 0) -> int:
        """The same, undecoded."""
        return self.port.mmio_read(base + register.OFFSET + n * register.STRIDE, register.WIDTH // 8)

    def write(self, base: int, value: Register, n: int = 0) -> None:
        """Write element ``n`` of a register of the frame at ``base``."""
        self.write_word(base, type(value), value.word(), n)

    def write_word(self, base: int, register: type[Register], value: int, n: int = 0) -> None:
        """The same, undecoded."""
        self.port.mmio_write(base + register.OFFSET + n * register.STRIDE, register.WIDTH // 8, value)

    def poll(self, done: Callable[[], bool], rounds: int = POLL_ROUNDS) -> bool:
        """Look until ``done`` or ``rounds`` are over.

        The machine is synchronous: what two looks in a row do not see, no later one will. The other rounds pass in
        simulated time only.
        """
        if done() or done():
            return True
        self.port.spend(rounds - 2)
        return False

    def shared(self, shareability: int) -> int:
        """What a Shareability field that reads as that is worth: nothing where the tree says ``dma-noncoherent``."""
        return shareability if self.platform.coherent else NON_SHAREABLE

    # ---------------------------------------------------------------- memory

    def zeroed_pages(self, order: int) -> int:
        """Allocate 2^order zeroed pages (__GFP_ZERO). Raises KernelError: ENOMEM."""
        addr = alloc_pages(self.state.pages, order)
        self.port.fill(addr, PAGE_SIZE << order, 0)
        return addr
