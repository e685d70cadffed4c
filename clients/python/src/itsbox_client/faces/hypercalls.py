"""pKVM's hypercalls as methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Hypercalls"]

R = TypeVar("R")


class Hypercalls(Generic[R]):
    """pKVM's hypercalls by name, and any other by number.

    A method's name is the kernel's without ``__pkvm_`` (or without the underscores); arguments are x1 onwards, page frame numbers
    and addresses as ints. What each needs and how it fails is said in ``GET /v1/arch``. Most calls before ``prot_finalize`` exist
    only until it was made.
    """

    def __init__(self, put: Callable[[str | int, tuple[int, ...]], R]) -> None:
        self._put = put

    def raw(self, function: str | int, *args: int) -> R:
        """Any hypercall with up to six arguments; one that does not exist returns NOT_SUPPORTED."""
        return self._put(function, args)

    def kvm_hyp_init(self, params: int) -> R:
        """Install the hypervisor on a CPU."""
        return self._put("__kvm_hyp_init", (params,))

    def init(self, phys: int, size: int, per_cpu_base: int, hyp_va_bits: int) -> R:
        """Give the hypervisor its memory."""
        return self._put("__pkvm_init", (phys, size, per_cpu_base, hyp_va_bits))

    def create_private_mapping(self, phys: int, size: int, prot: int) -> R:
        """Map a device into the hypervisor."""
        return self._put("__pkvm_create_private_mapping", (phys, size, prot))

    def cpu_set_vector(self, slot: int) -> R:
        """Choose a CPU's exception vectors."""
        return self._put("__pkvm_cpu_set_vector", (slot,))

    def kvm_enable_ssbs(self) -> R:
        """Set SSBS at EL2."""
        return self._put("__kvm_enable_ssbs", ())

    def vgic_v3_init_lrs(self) -> R:
        """Clear the list registers."""
        return self._put("__vgic_v3_init_lrs", ())

    def vgic_v3_get_gic_config(self) -> R:
        """Read what the GIC's CPU interface supports."""
        return self._put("__vgic_v3_get_gic_config", ())

    def prot_finalize(self) -> R:
        """Turn stage 2 on for the calling CPU."""
        return self._put("__pkvm_prot_finalize", ())

    def host_share_hyp(self, pfn: int) -> R:
        """Let the hypervisor into a page that stays the host's."""
        return self._put("__pkvm_host_share_hyp", (pfn,))

    def host_unshare_hyp(self, pfn: int) -> R:
        """End the sharing of a page."""
        return self._put("__pkvm_host_unshare_hyp", (pfn,))

    def host_share_guest(self, pfn: int, gfn: int, nr_pages: int, prot: int) -> R:
        """Let a guest that is not protected use pages that stay the host's."""
        return self._put("__pkvm_host_share_guest", (pfn, gfn, nr_pages, prot))

    def host_unshare_guest(self, handle: int, gfn: int, nr_pages: int) -> R:
        """End the sharing with a guest."""
        return self._put("__pkvm_host_unshare_guest", (handle, gfn, nr_pages))

    def host_donate_guest(self, pfn: int, gfn: int, nr_pages: int) -> R:
        """Give pages to a protected guest."""
        return self._put("__pkvm_host_donate_guest", (pfn, gfn, nr_pages))

    def host_reclaim_page(self, pfn: int) -> R:
        """Take a page of a dying protected guest back."""
        return self._put("__pkvm_host_reclaim_page", (pfn,))

    def init_vm(self, host_kvm: int, vm_hva: int, pgd_hva: int) -> R:
        """Create a protected guest."""
        return self._put("__pkvm_init_vm", (host_kvm, vm_hva, pgd_hva))

    def init_vcpu(self, handle: int, host_vcpu: int, vcpu_hva: int) -> R:
        """Create a vCPU of a protected guest."""
        return self._put("__pkvm_init_vcpu", (handle, host_vcpu, vcpu_hva))

    def teardown_vm(self, handle: int) -> R:
        """Destroy a protected guest."""
        return self._put("__pkvm_teardown_vm", (handle,))

    def tlb_flush_vmid(self, handle: int) -> R:
        """Drop a guest's TLB entries."""
        return self._put("__pkvm_tlb_flush_vmid", (handle,))

    def init_redist_emulation(self, dev_addr: int, priv_state: int, pages: int) -> R:
        """Begin the emulation of a redistributor's LPI registers (Android and strict)."""
        return self._put("__pkvm_init_redist_emulation", (dev_addr, priv_state, pages))

    def init_its_emulation(self, dev_addr: int, priv_state: int, shadow: int, *, pages: int | None = None) -> R:
        """Replace forwarding of an ITS's registers by their emulation.

        ``priv_state`` and ``shadow`` are pages that the host gives away. Later versions of the series also pass how many
        ``pages`` the private state has, as the third argument.
        """
        args = (dev_addr, priv_state, shadow) if pages is None else (dev_addr, priv_state, pages, shadow)
        return self._put("__pkvm_init_its_emulation", args)
