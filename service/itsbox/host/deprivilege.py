"""The switch-over: the kernel gives up its privileges and hands the ITS to the hypervisor (patches 5 and 14).

The caller's sequence is the series': take the ITS locks, ``__pkvm_prot_finalize`` on each CPU, then for each ITS set up what
the host keeps, call the hypervisor, and on success switch the driver's pointers. The registers are not written: GITS_CBASER and
GITS_BASER<n> go on naming the memory that the hypervisor has just taken.

What the host gets is *not* a copy of the live queue, but a zeroed one, entered at the offset of the old one; of each two-level
table it gets a copy of level 1. Flat tables are not copied: the driver never touches them.

The locks have nothing to keep out here, because nothing else of this kernel runs meanwhile; what they promise is kept: every
way out of here leaves the driver able to go on.
"""

from __future__ import annotations

from typing import Any, Final

from itsbox.arch.its_registers import GITS_BASER, baser_stored_address
from itsbox.arch.smccc import Errno, Smccc, errno_of, from_register
from itsbox.arch.values import PAGE_SIZE
from itsbox.host.errors import KernelError
from itsbox.host.kernel import Kernel
from itsbox.host.memory import free_pages, order_of
from itsbox.host.queue import QUEUE_BYTES
from itsbox.host.state import Baser, ItsNode
from itsbox.hypervisor.host_tables import HostTables, its_baser
from itsbox.ops import HvcReturn

__all__ = ["deprivilege"]

_NO_TABLE: Final = its_baser(base=0, shadow=0, val=0, order=0, psz=0)
_QUEUE_ORDER: Final = order_of(QUEUE_BYTES)


def deprivilege(kernel: Kernel) -> dict[str, Any]:
    """Go through the switch-over.

    Returns ``deprivileged``, and what became of each ITS and redistributor. An ITS that the hypervisor does not take is no
    error of the call: the series ignores it, and the driver keeps its pointers.

    Raises:
        KernelError: EINVAL, the hypervisor did not finalise every CPU; EBUSY, the switch-over has been done.
    """
    state, version = kernel.state, kernel.version
    if state.phase == "deprivileged":
        raise KernelError(Errno.EBUSY, "the host has been deprivileged already")
    if not version.pkvm:
        kernel.port.print("kvm [1]: Hyp nVHE mode initialized successfully")
        return {"deprivileged": False, "detail": "this kernel has no pKVM and stays in full control", "its": []}
    answers = [kernel.port.hvc("__pkvm_prot_finalize", ()) for _ in state.cpus]
    refused = [cpu for cpu, answer in enumerate(answers) if _error(answer) is not None]
    if refused:
        kernel.port.print(f"Failed to finalize Hyp protection: {-Errno.EINVAL}")
        raise KernelError(Errno.EINVAL, f"the hypervisor did not finalise CPU {refused[0]}")
    state.phase = "deprivileged"
    result: dict[str, Any] = {"deprivileged": True, "its": _hand_over_all(kernel)}
    if version.redistributors:
        result["redistributors"] = _hand_redistributors_over(kernel)
    kernel.port.print("kvm [1]: Protected nVHE mode initialized successfully")
    return result


def _error(answer: HvcReturn) -> Errno | None:
    """The error of a hypercall. One that does not exist is EOPNOTSUPP."""
    if answer.x0 != Smccc.SUCCESS:
        return Errno.EOPNOTSUPP
    if from_register(answer.x1) >= 0:
        return None
    return errno_of(answer.x1) or Errno.EIO


def _hand_over_all(kernel: Kernel) -> list[dict[str, Any]]:
    """Each ITS in turn, up to the first that fails (its_end_deprivilege)."""
    results: list[dict[str, Any]] = []
    if kernel.version.handover == "switch":
        for its in kernel.state.its:
            try:
                _hand_over(kernel, its)
                results.append({"its": f"{its.base:#x}", "host_queue": f"{its.queue:#x}"})
            except KernelError as error:
                kernel.port.print(f"ITS@{its.base:#018x}: not taken over by the hypervisor ({-error.errno})")
                results.append({"its": f"{its.base:#x}", "error": error.errno.name, "detail": error.detail})
                break
    return results


def _hand_over(kernel: Kernel, its: ItsNode) -> None:
    """Set up the host's queue and copies, call the hypervisor, switch the pointers.

    Raises:
        KernelError: ENOMEM, or the hypercall's error; everything is freed and nothing has changed.
    """
    allocated: list[tuple[int, int]] = []  # (address, order to free it with), as far as we have come
    try:
        page = _zeroed(kernel, allocated, 0)
        queue = _zeroed(kernel, allocated, _QUEUE_ORDER)
        copies = {
            n: _copy_level_1(kernel, allocated, baser)
            for n, baser in enumerate(its.basers)
            if baser.base and GITS_BASER.decode(baser.value).indirect
        }
        tables = HostTables(
            tables=tuple(_row(baser, copies.get(n, 0)) for n, baser in enumerate(its.basers)),
            cmd_shadow=queue,
            cmd_original=its.queue,
            cmdq_len=QUEUE_BYTES,
        )
        kernel.port.store(page, tables.encode())
        _take_over(kernel, allocated, its, page)
    except KernelError:
        for addr, order in reversed(allocated):
            free_pages(kernel.state.pages, addr, order)
        raise
    its.queue = queue  # its offset stays
    for n, copy in copies.items():
        baser = its.basers[n]
        value = GITS_BASER.decode(baser.value)
        baser.value = value.replace(physical_address=baser_stored_address(copy, baser.page_size)).word()
        baser.base = copy


def _zeroed(kernel: Kernel, allocated: list[tuple[int, int]], order: int) -> int:
    addr = kernel.zeroed_pages(order)
    allocated.append((addr, order))
    return addr


def _copy_level_1(kernel: Kernel, allocated: list[tuple[int, int]], baser: Baser) -> int:
    """The host's copy of a level-1 table."""
    copy = _zeroed(kernel, allocated, baser.order)
    if kernel.version.leaks_shadow_tables:
        allocated[-1] = (copy, 0)
    kernel.port.store(copy, kernel.port.load(baser.base, PAGE_SIZE << baser.order))
    return copy


def _row(baser: Baser, copy: int) -> its_baser:
    """One row of the page: a table that the driver has not set up is all zeros."""
    if not baser.base:
        return _NO_TABLE
    return its_baser(base=baser.base, shadow=copy, val=baser.value, order=baser.order, psz=baser.page_size)


def _take_over(kernel: Kernel, allocated: list[tuple[int, int]], its: ItsNode, page: int) -> None:
    """The callback of patch 14: donate private state and ask the hypervisor to take the ITS over."""
    pages = kernel.version.private_pages
    private = _zeroed(kernel, allocated, order_of(pages * PAGE_SIZE))
    args = (its.base, private, page) if pages == 1 else (its.base, private, pages, page)
    error = _error(kernel.port.hvc("__pkvm_init_its_emulation", args))
    if error is not None:
        raise KernelError(error, "the hypervisor did not take the ITS over")


def _hand_redistributors_over(kernel: Kernel) -> list[dict[str, Any]]:
    """Each redistributor in turn (Android); a hypervisor that does not have the call is asked once and left alone."""
    results: list[dict[str, Any]] = []
    pages = kernel.version.private_pages
    order = order_of(pages * PAGE_SIZE)
    for row in kernel.state.cpus:
        if not row.rd_base:
            continue
        result: dict[str, Any] = {"redistributor": f"{row.rd_base:#x}"}
        results.append(result)
        try:
            private = kernel.zeroed_pages(order)
        except KernelError as failure:
            result["error"] = failure.errno.name
            continue
        answer = kernel.port.hvc("__pkvm_init_redist_emulation", (row.rd_base, private, pages))
        error = _error(answer)
        if error is not None:
            free_pages(kernel.state.pages, private, order)
            result["error"] = error.name
        if answer.x0 != Smccc.SUCCESS:
            return []
    return results
