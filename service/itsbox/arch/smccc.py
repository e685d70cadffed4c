"""The SMC calling convention as far as hypercalls need it: function identifiers, results, and the kernel's error numbers.

Source: DEN 0028, "SMC and HVC instructions". A hypercall answers in two registers: x0 says whether the function exists, x1 holds
what its handler returned, 0 or a negative error number.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from itsbox.arch.layout import Layout, bits, layout

VENDOR_HYPERVISOR: Final = 6
"""Owner of the calls that a hypervisor defines for itself."""


class Smccc(IntEnum):
    """What x0 holds after a call."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    NOT_REQUIRED = -2
    INVALID_PARAMETER = -3


class Errno(IntEnum):
    """The kernel's error numbers, positive; a handler returns them negated."""

    EPERM = 1
    EIO = 5
    ENXIO = 6
    EAGAIN = 11
    ENOMEM = 12
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    ENODEV = 19
    EINVAL = 22
    ENOSPC = 28
    EOPNOTSUPP = 95


# fmt: off

@layout(words=(32,), spec="DEN 0028, SMC and HVC function identifiers")
class FunctionId(Layout):
    """Which function a caller wants: w0 of the call."""

    number: int = bits(0, 15,  0, arm="Function number")
    sve:    int = bits(0, 16,     arm="SVE hint")
    owner:  int = bits(0, 29, 24, arm="Owning entity", values={
        0: "Arm architecture", 1: "CPU", 2: "SiP", 3: "OEM", 4: "standard secure", 5: "standard hypervisor",
        6: "vendor-specific hypervisor"})
    smc64:  int = bits(0, 30,     arm="Calling convention", values={0: "32-bit", 1: "64-bit"})
    fast:   int = bits(0, 31,     arm="Call type", values={0: "yielding", 1: "fast"})

# fmt: on


def vendor_hypercall(number: int) -> int:
    """Identifier of a vendor-specific hypervisor's fast 64-bit call: 0xC6000000 + number."""
    return FunctionId(number=number, sve=0, owner=VENDOR_HYPERVISOR, smc64=1, fast=1).encode()[0]


def vendor_hypercall_number(function: int) -> int | None:
    """Undo ``vendor_hypercall``; None for any other identifier."""
    number = FunctionId.decode(function).number
    return number if function == vendor_hypercall(number) else None


def to_register(value: int) -> int:
    """A signed result as the register shows it: two's complement in 64 bits."""
    return value & 0xFFFF_FFFF_FFFF_FFFF


def from_register(value: int) -> int:
    """Undo ``to_register``."""
    return value - (1 << 64) if value >> 63 else value


def errno_of(x1: int) -> Errno | None:
    """Name the error in x1; None for success and for results that are no error number known here."""
    value = -from_register(x1)
    return Errno(value) if value in _ERRNO_VALUES else None


_ERRNO_VALUES: Final = frozenset(int(e) for e in Errno)
