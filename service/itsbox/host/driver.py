"""The host driver: one object that a machine owns, asks to do something, and saves and restores.

It is honest and behaves as Linux does, also where that is unwise: it does not look at Stalled, gives a command up after a
million polls and carries on as if the command had been executed. It sees the machine through its port only, and never the
hypervisor's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from itsbox.arch.smccc import Errno
from itsbox.hardware.ports import HostPort
from itsbox.host.arguments import Call, arguments
from itsbox.host.calls import CALLS
from itsbox.host.errors import DriverCallError, KernelError
from itsbox.host.kernel import Kernel, Platform
from itsbox.host.state import DriverState, plain, restored
from itsbox.host.versions import DriverVersion

__all__ = ["Driver"]


class Driver:
    """A Linux-like kernel's GICv3 and ITS drivers.

    Invariant: everything that decides future behaviour is in its state, which is plain data.
    Owned by: the machine.
    """

    __slots__ = ("_saved", "_state", "platform", "port", "version")

    def __init__(self, port: HostPort, platform: Platform, version: DriverVersion) -> None:
        self.port = port
        self.platform = platform
        self.version = version
        self._state = DriverState()
        self._saved: Any = None

    @property
    def phase(self) -> str:
        """reset, probed or deprivileged: how far the driver has come."""
        return self._state.phase

    def check(self, name: str, args: Mapping[str, Any]) -> None:
        """Raise DriverCallError for a call that does not exist or an argument that cannot be; do nothing otherwise."""
        arguments(_known(name), args, self.platform)

    def call(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Do something; the answer is JSON-like.

        It has ``timeouts``, how many commands were not seen to complete, and ``error`` (an errno's name) with ``detail``
        where the kernel fails.

        Raises:
            DriverCallError: the client's mistake: no such call, or an argument that cannot be. Nothing was done.
            HostAbort: an access took an exception; what the driver had done by then stays done.
        """
        call = _known(name)
        values = arguments(call, args, self.platform)
        kernel = Kernel(self.port, self.platform, self.version, self._state)
        self._saved = None
        try:
            _check_ready(self._state, call)
            answer = call.run(kernel, **values)
        except KernelError as failure:
            answer = {"error": failure.errno.name, "detail": failure.detail}
        finally:
            self._state = kernel.state
        return {**answer, "timeouts": kernel.timeouts}

    def state(self) -> Any:
        """Everything that the driver remembers, as nested tuples of ints, strings, bools and None."""
        if self._saved is None:
            self._saved = plain(self._state)
        return self._saved

    def set_state(self, saved: Any) -> None:
        """Take back what ``state`` gave."""
        if saved is not self._saved:
            self._state = restored(DriverState, saved)
            self._saved = saved


def _known(name: str) -> Call:
    call = CALLS.get(name)
    if call is None:
        raise DriverCallError("call", f"there is no call {name!r}; there are {', '.join(CALLS)}")
    return call


def _check_ready(state: DriverState, call: Call) -> None:
    """Raise KernelError for a call that a kernel would not come to in this state: ENODEV, EBUSY."""
    if state.phase == "reset" and not call.before_probe:
        raise KernelError(Errno.ENODEV, "the driver has not probed yet")
    if state.suspended and not call.while_suspended:
        raise KernelError(Errno.EBUSY, "the machine is suspended")
