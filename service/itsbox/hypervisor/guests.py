"""Protected guests, as far as page ownership needs them: who may be given pages, and whose can be reclaimed.

The guest of the memory map lives for ever. A host may create others; pages donated while one is alive belong to the youngest,
and can be reclaimed, wiped, once it has been torn down. Source: Linux, arch/arm64/kvm/hyp/nvhe/pkvm.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from itsbox.arch.values import PAGE_SIZE, is_aligned, pa_of, pfn_of
from itsbox.memory.ownership import DONATE, RECLAIM, Transition
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.hypervisor.el2 import El2

__all__ = ["Guests"]

_RESIDENT: Final = 0
_HANDLE_OFFSET: Final = 0x1000
"""First handle that ``__pkvm_init_vm`` gives out (HANDLE_OFFSET)."""
_MAX_GUESTS: Final = 255
"""KVM_MAX_PVMS."""
_CAUSE: Final = "protected guest"


class Guests:
    """The guests of one machine.

    alive: handle -> the pages that hold its state; owners: frame of a donated page -> handle.
    Owned by: the hypervisor.
    """

    __slots__ = ("_next", "alive", "el2", "owners")

    def __init__(self, el2: El2) -> None:
        self.el2 = el2
        self.alive: dict[int, tuple[int, int]] = {}
        self.owners: dict[int, int] = {}
        self._next = _HANDLE_OFFSET

    def create(self, vm_hva: int, pgd_hva: int) -> int | Reason:
        """``__pkvm_init_vm``: the host donates a page for the guest's state and one for its page table. Answers the handle."""
        if not is_aligned(vm_hva, PAGE_SIZE) or not is_aligned(pgd_hva, PAGE_SIZE):
            return Reason.POINTER_UNALIGNED
        if len(self.alive) >= _MAX_GUESTS:
            return Reason.GUESTS_FULL
        pages = (pfn_of(vm_hva), pfn_of(pgd_hva))
        denied = self.el2.ownership.commit([Transition(DONATE, pfn) for pfn in pages], _CAUSE)
        if denied is not None:
            return denied
        handle, self._next = self._next, self._next + 1
        self.alive[handle] = pages
        return handle

    def destroy(self, handle: int) -> Reason | None:
        """``__pkvm_teardown_vm``: its state goes back to the host, wiped; its memory can be reclaimed."""
        pages = self.alive.pop(handle, None)
        if pages is None:
            return Reason.NO_SUCH_GUEST
        for pfn in pages:
            self.el2.zero(pa_of(pfn), PAGE_SIZE)
        return self.el2.ownership.commit([Transition(RECLAIM, pfn) for pfn in pages], _CAUSE)

    def exists(self, handle: int) -> bool:
        """Whether a guest with this handle is alive."""
        return handle in self.alive

    def donate(self, pfn: int, pages: int) -> Reason | None:
        """``__pkvm_host_donate_guest``: to the youngest guest."""
        denied = self.el2.ownership.host_donate_guest(pfn, pages, _CAUSE)
        if denied is None:
            owner = max(self.alive, default=_RESIDENT)
            self.owners.update(dict.fromkeys(range(pfn, pfn + pages), owner))
        return denied

    def reclaim(self, pfn: int) -> Reason | None:
        """``__pkvm_host_reclaim_page``: a page of a guest that is gone, wiped."""
        owner = self.owners.get(pfn)
        if owner is None or owner == _RESIDENT or owner in self.alive:
            return Reason.PAGE_NOT_GUEST_OWNED
        denied = self.el2.ownership.guest_donate_hyp(pfn, _CAUSE)
        if denied is None:
            del self.owners[pfn]
            self.el2.zero(pa_of(pfn), PAGE_SIZE)
            denied = self.el2.ownership.hyp_donate_host(pfn, 1, _CAUSE)
        return denied

    def state(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "alive": dict(self.alive),
            "owners": dict(self.owners),
            "next": self._next,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.alive, self.owners, self._next = dict(state["alive"]), dict(state["owners"]), state["next"]
