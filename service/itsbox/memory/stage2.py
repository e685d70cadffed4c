"""The host's stage 2: once it is on, the host reaches only what ``Ownership`` says is mapped for it.

pKVM maps lazily: a first access to a page faults, ``host_stage2_idmap`` finds that the page is the host's (or a device
nobody took) and maps it, and the access is repeated. That detour is invisible, so this model keeps no page table: an access
is allowed exactly when the fault handler would have mapped the page. Source: Linux, mem_protect.c, handle_host_mem_abort.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.values import PAGE_SHIFT
from itsbox.memory.ownership import Owner, Ownership
from itsbox.reasons import Reason

__all__ = ["Stage2"]

_REASONS: Final = {Owner.HYP: Reason.HYP_MEMORY, Owner.GUEST: Reason.GUEST_MEMORY}


class Stage2:
    """The host's second translation stage.

    enabled: HCR_EL2.VM is set on every CPU. While one CPU has it clear, the host can do everything from there.
    Owned by: the hypervisor.
    """

    __slots__ = ("_host_may", "enabled", "ownership")

    def __init__(self, ownership: Ownership) -> None:
        self.ownership = ownership
        self._host_may = ownership.host_may
        self.enabled = False

    def denied(self, addr: int, length: int) -> int | None:
        """The first frame of [addr, addr + length) that the host may not touch, or None. Nothing is denied while off."""
        if self.enabled:
            may = self._host_may
            for pfn in range(addr >> PAGE_SHIFT, (addr + length - 1 >> PAGE_SHIFT) + 1):
                if not may(pfn):
                    return pfn
        return None

    def reason(self, pfn: int) -> Reason:
        """Why the host may not touch a frame that ``denied`` found."""
        if not self.ownership.is_memory(pfn):
            return Reason.HYP_MMIO
        return _REASONS[self.ownership.owner(pfn)]
