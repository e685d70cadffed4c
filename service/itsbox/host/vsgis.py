"""Virtual SGIs of GICv4.1: configured by VSGI, made pending through GITS_SGIR (its_sgi_irq_chip)."""

from __future__ import annotations

from itsbox.arch.its_commands import VSGI, VSYNC
from itsbox.arch.its_registers import GITS_SGIR, GITS_TYPER
from itsbox.arch.smccc import Errno
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.queue import post
from itsbox.host.state import ItsNode, Vpe

__all__ = ["configure_vsgi", "send_vsgi"]


def configure_vsgi(kernel: Kernel, vpe: Vpe, virtual_intid: int, *, enable: bool, priority: int) -> None:
    """Enable or disable a virtual SGI, group 1, with a priority (its_configure_sgi).

    Raises:
        KernelError: EOPNOTSUPP.
    """
    command = VSGI(
        enable=int(enable), clear=0, group=1, priority=priority, virtual_intid=virtual_intid, vpe_id=vpe.vpe_id
    )
    post(kernel, _its(kernel), command, VSYNC(vpe_id=vpe.vpe_id))


def send_vsgi(kernel: Kernel, vpe: Vpe, virtual_intid: int) -> None:
    """Make a virtual SGI pending (its_sgi_set_irqchip_state). The device tree says where the frame of GITS_SGIR is.

    Raises:
        KernelError: EOPNOTSUPP.
    """
    _its(kernel)
    sgir = kernel.platform.where.sgir
    if sgir is None:
        raise KernelError(Errno.EOPNOTSUPP, "there is no virtual SGI frame")
    value = GITS_SGIR(virtual_intid=virtual_intid, vpe_id=vpe.vpe_id)
    kernel.port.mmio_write(sgir, value.WIDTH // 8, value.word())


def _its(kernel: Kernel) -> ItsNode:
    """The first ITS that has virtual SGIs."""
    for its in kernel.state.its:
        if GITS_TYPER.decode(its.typer).vsgi:
            return its
    raise KernelError(Errno.EOPNOTSUPP, "no ITS has virtual SGIs")
