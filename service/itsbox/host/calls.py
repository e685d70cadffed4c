"""What the driver can be asked to do: the table of all calls.

``Driver.call`` validates against it, and the reference page is checked against it.
"""

from __future__ import annotations

from typing import Any, Final

from itsbox.arch.smccc import Errno
from itsbox.host import power
from itsbox.host.arguments import CPU, Call
from itsbox.host.deprivilege import deprivilege
from itsbox.host.device_calls import DEVICE_CALLS
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.probe import probe
from itsbox.host.vpe_calls import VPE_CALLS

__all__ = ["CALLS"]


def _probe(kernel: Kernel) -> dict[str, Any]:
    if kernel.state.phase != "reset":
        raise KernelError(Errno.EBUSY, "the driver has probed already")
    probe(kernel)
    return {
        "its": [
            {
                "its": f"{its.base:#x}",
                "queue": f"{its.queue:#x}",
                "needs_flushing": its.needs_flushing,
                "collections": len(its.collections),
            }
            for its in kernel.state.its
        ],
        "cpus": sum(cpu.online for cpu in kernel.state.cpus),
        "gicv4": kernel.state.has_vlpis,
    }


def _resume(kernel: Kernel) -> dict[str, Any]:
    if not kernel.state.suspended:
        raise KernelError(Errno.EINVAL, "the machine is not suspended")
    return power.resume(kernel)


CALLS: Final[dict[str, Call]] = {
    call.name: call
    for call in (
        Call("probe", (), "Probe the ITSs and bring every CPU up.", _probe, before_probe=True),
        Call("deprivilege", (), "Give up the kernel's privileges and hand the ITSs to the hypervisor.", deprivilege),
        *DEVICE_CALLS,
        Call("offline", (CPU,), "Take a CPU offline; its events move to the others: MOVI, SYNC each.", power.offline),
        Call("online", (CPU,), "Bring a CPU back: MAPC, SYNC, INVALL, SYNC on each ITS.", power.online),
        Call("suspend", (), "Save the ITSs' registers and switch the ITSs off.", power.suspend),
        Call("resume", (), "Program the ITSs again, from what the driver remembers.", _resume, while_suspended=True),
        *VPE_CALLS,
    )
}
"""Name to call. Every answer also has ``timeouts``, and ``error`` and ``detail`` where the kernel fails."""
