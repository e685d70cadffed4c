"""The hypercalls of pKVM that matter here: names verbatim, numbers, argument names.

A function identifier is 0xC6000000 + number (``smccc.vendor_hypercall``); arguments are in x1 to x6. Number 0 is
``__kvm_hyp_init``, as in the kernel. **The other numbers are this project's own**: the kernel's are positions in an
enumeration that changes with every release, and most of its members have no business here. What is kept is the order:
calls that exist only until protected mode is finalised come first, ``__pkvm_prot_finalize`` closes them, and everything
after it stays callable by a hostile host.

Functions without a number are EL2's own. The host cannot call them; the kernel's names are listed because reasons,
events and documentation use them.

Source: the kernel's ``enum __kvm_host_smccc_func`` and ``mem_protect.c``; the RFC of 10 March 2026, patches 1 and 14.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from itsbox.arch.smccc import vendor_hypercall, vendor_hypercall_number


class Hypercall(NamedTuple):
    """One function of the hypervisor.

    name: the kernel's, verbatim.
    number: place in the list; None for a function that the host cannot call.
    args: names of the arguments, x1 onwards.
    later_args: the same in later versions of the series (v2, Android), where they differ.
    early: exists only until protected mode is finalised.
    doc: what it does, what it needs, how it fails.
    """

    name: str
    number: int | None
    args: tuple[str, ...]
    doc: str
    early: bool = False
    later_args: tuple[str, ...] | None = None

    @property
    def host_callable(self) -> bool:
        """Whether the host can ask for it at all."""
        return self.number is not None

    @property
    def function_id(self) -> int | None:
        """What the host puts into w0."""
        return None if self.number is None else vendor_hypercall(self.number)


class _Row(NamedTuple):
    name: str
    args: tuple[str, ...]
    doc: str
    later_args: tuple[str, ...] | None = None


_EARLY: Final = (
    _Row("__kvm_hyp_init", ("params",), "Installs the hypervisor on a CPU."),
    _Row("__pkvm_init", ("phys", "size", "per_cpu_base", "hyp_va_bits"), "Gives the hypervisor its memory."),
    _Row("__pkvm_create_private_mapping", ("phys", "size", "prot"), "Maps a device into the hypervisor."),
    _Row("__pkvm_cpu_set_vector", ("slot",), "Chooses a CPU's exception vectors."),
    _Row("__kvm_enable_ssbs", (), "Sets SSBS at EL2."),
    _Row("__vgic_v3_init_lrs", (), "Clears the list registers."),
    _Row("__vgic_v3_get_gic_config", (), "Reads what the GIC's CPU interface supports."),
    _Row(
        "__pkvm_prot_finalize",
        (),
        "Turns stage 2 on for the calling CPU: the host is deprivileged. -EPERM if it is on already.",
    ),
)

_LATE: Final = (
    _Row(
        "__pkvm_host_share_hyp",
        ("pfn",),
        "Lets the hypervisor into a page that stays the host's. Needs a page that the host owns alone: -EPERM.",
    ),
    _Row(
        "__pkvm_host_unshare_hyp",
        ("pfn",),
        "Ends the sharing of a page. -EPERM if it is not shared, -EBUSY while the hypervisor has it pinned.",
    ),
    _Row(
        "__pkvm_host_share_guest",
        ("pfn", "gfn", "nr_pages", "prot"),
        "Lets a guest that is not protected use pages that stay the host's. -EPERM unless the host owns them.",
    ),
    _Row(
        "__pkvm_host_unshare_guest",
        ("handle", "gfn", "nr_pages"),
        "Ends the sharing with a guest. Guests here are mapped flat: gfn is the page's pfn. -EPERM if a page is not"
        " shared.",
    ),
    _Row(
        "__pkvm_host_donate_guest",
        ("pfn", "gfn", "nr_pages"),
        "Gives pages to a protected guest for good. -EPERM unless the host owns them alone.",
    ),
    _Row(
        "__pkvm_host_reclaim_page",
        ("pfn",),
        "Takes a page of a dying protected guest back, wiped. -EPERM if it belongs to no such guest.",
    ),
    _Row("__pkvm_init_vm", ("host_kvm", "vm_hva", "pgd_hva"), "Creates a protected guest."),
    _Row("__pkvm_init_vcpu", ("handle", "host_vcpu", "vcpu_hva"), "Creates a vCPU of a protected guest."),
    _Row("__pkvm_teardown_vm", ("handle",), "Destroys a protected guest; its pages can then be reclaimed."),
    _Row("__pkvm_tlb_flush_vmid", ("handle",), "Drops a guest's TLB entries."),
    _Row(
        "__pkvm_init_its_emulation",
        ("dev_addr", "priv_state", "shadow"),
        "Replaces forwarding of an ITS's registers by their emulation, and takes the queue and tables named in the"
        " shadow page. -ENODEV for an address that is no protected region, -EOPNOTSUPP if it is emulated already, -EINVAL for"
        " addresses that are not page aligned or tables that do not fit, -EPERM for pages that the host does not own.",
        ("dev_addr", "priv_state", "pages", "shadow"),
    ),
    _Row(
        "__pkvm_init_redist_emulation",
        ("dev_addr", "priv_state", "pages"),
        "Begins the emulation of a redistributor's LPI registers (Android only). Errors as for the ITS.",
    ),
)

_INTERNAL: Final = (
    _Row("__pkvm_host_donate_hyp", ("pfn", "nr_pages"), "The host's pages become the hypervisor's alone."),
    _Row("__pkvm_hyp_donate_host", ("pfn", "nr_pages"), "Pages of the hypervisor become the host's alone."),
    _Row(
        "__pkvm_host_donate_hyp_mmio", ("pfn",), "A device page leaves the host's stage 2, which notes its new owner."
    ),
    _Row("__pkvm_hyp_donate_host_mmio", ("pfn",), "A device page returns to the host; used on error paths."),
    _Row("hyp_pin_shared_mem", ("from", "to"), "Counts a use of each shared page, so that it cannot be unshared."),
    _Row("hyp_unpin_shared_mem", ("from", "to"), "Ends a use of each shared page."),
)

HYPERCALLS: Final = tuple(
    Hypercall(row.name, number, row.args, row.doc, number < len(_EARLY), row.later_args)
    for number, row in enumerate(_EARLY + _LATE)
) + tuple(Hypercall(row.name, None, row.args, row.doc) for row in _INTERNAL)
"""Every function, the host's calls in the order of their numbers first."""

BY_NAME: Final = MappingProxyType({call.name: call for call in HYPERCALLS})
BY_NUMBER: Final = MappingProxyType({call.number: call for call in HYPERCALLS if call.number is not None})

PROT_FINALIZE: Final = len(_EARLY) - 1
"""Number of ``__pkvm_prot_finalize``: calls below it are NOT_SUPPORTED once protected mode is finalised."""


def find_hypercall(function: str | int) -> Hypercall | None:
    """Find a hypercall as the host may name it: by name, or by what it puts into w0.

    None for a name, or a number, that the host cannot call: the answer is then SMCCC NOT_SUPPORTED.
    """
    if isinstance(function, str):
        call = BY_NAME.get(function)
        return call if call is not None and call.host_callable else None
    number = vendor_hypercall_number(function)
    return None if number is None else BY_NUMBER.get(number)
