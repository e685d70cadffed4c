"""LPI numbers, and the configuration byte that masks one."""

from __future__ import annotations

from typing import Final

from itsbox.arch.lpi_tables import LPIConfig, config_offset
from itsbox.arch.redist_registers import GICR_INVLPIR, GICR_SYNCR
from itsbox.arch.smccc import Errno
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.ranges import take
from itsbox.host.state import Event

__all__ = ["alloc_lpis", "invalidate_directly", "write_config"]

_ONE_BYTE: Final = 1


def alloc_lpis(kernel: Kernel, wanted: int) -> tuple[int, int]:
    """Take LPIs in a row: (first, count). Fewer than ``wanted`` when there are no more (its_lpi_alloc).

    Raises:
        KernelError: ENOSPC, not one is left.
    """
    count = wanted
    while count:
        first = take(kernel.state.lpis, count)
        if first is not None:
            return first, count
        count //= 2
    raise KernelError(Errno.ENOSPC, "no LPI is free")


def write_config(kernel: Kernel, table: int, lpi: int, *, enable: bool) -> None:
    """Set or clear Enable in an LPI's byte of a configuration table (lpi_write_config)."""
    addr = table + config_offset(lpi)
    config = LPIConfig.decode(kernel.port.load(addr, _ONE_BYTE)[0])
    kernel.port.store(addr, bytes(config.replace(enable=int(enable)).encode()))
    if kernel.state.property_needs_flushing:
        kernel.port.clean(addr, _ONE_BYTE)


def invalidate_directly(kernel: Kernel, event: Event) -> None:
    """Make a redistributor read an event's configuration again, without the ITS (direct_lpi_inv)."""
    if event.vpe is None or event.virtual_intid is None:
        cpu, value = event.cpu, GICR_INVLPIR(intid=event.lpi, vpe_id=0, v=0)
    else:
        cpu = kernel.state.vpes[event.vpe].cpu
        value = GICR_INVLPIR(intid=event.virtual_intid, vpe_id=event.vpe, v=1)
    rd_base = kernel.state.cpus[cpu].rd_base
    kernel.write(rd_base, value)
    kernel.poll(lambda: not kernel.read(rd_base, GICR_SYNCR).busy)
