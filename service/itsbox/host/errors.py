"""The two ways in which a call of the driver does not succeed."""

from __future__ import annotations

from itsbox.arch.smccc import Errno

__all__ = ["DriverCallError", "KernelError"]


class DriverCallError(ValueError):
    """The client's mistake: a call that does not exist, or an argument of the wrong kind or out of range.

    ``field`` names the argument, or is ``"call"``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class KernelError(Exception):
    """The kernel's failure, with its errno: an honest answer of the call, not an exception of the machine."""

    def __init__(self, errno: Errno, detail: str) -> None:
        super().__init__(f"{errno.name}: {detail}")
        self.errno = errno
        self.detail = detail
