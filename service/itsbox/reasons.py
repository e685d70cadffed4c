"""Why the hypervisor refused: the closed list, each with a sentence, a citation and the errno that EL2 gives for it.

A member's value is the word on the wire (``"itt_not_host_owned"``); the same member is the ``reason`` of an outcome, of an
event, of a command's record and a row of ``docs/reference/reasons.md``. What *hardware* finds wrong with a command is not here
but in ``arch.its_errors``: a device's error and a hypervisor's refusal are two channels that never mix.

``errno`` is the name of the kernel's error number that pKVM returns for the same cause, from a hypercall or inside a trap
handler; None where nothing is returned (an abort, an access that is dropped).
"""

# ruff: noqa: E501 - a reason is one line

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["BY_WORD", "Reason", "markdown"]

_MEM: Final = "Linux, arch/arm64/kvm/hyp/nvhe/mem_protect.c"
_RFC: Final = "pKVM ITS hardening RFC, patch"
_GIC: Final = "IHI 0069H.b"
_ANDROID: Final = "Android 6.12 backport of the series"


class Reason(Enum):
    """One cause of a refusal."""

    sentence: str
    citation: str
    errno: str | None

    def __new__(cls, word: str, sentence: str, citation: str, errno: str | None = None) -> Reason:  # noqa: PYI034
        """Make a member whose value is ``word``."""
        member = object.__new__(cls)
        member._value_ = word
        member.sentence = sentence
        member.citation = citation
        member.errno = errno
        return member

    # fmt: off
    # ---------------------------------------------------------------- stage 2 and EL2 itself
    HYP_MEMORY = ("hyp_memory", "The host touched memory that belongs to the hypervisor.", f"{_MEM}, handle_host_mem_abort", "EPERM")
    GUEST_MEMORY = ("guest_memory", "The host touched memory that belongs to a protected guest.", f"{_MEM}, handle_host_mem_abort", "EPERM")
    HYP_MMIO = ("hyp_mmio", "The host touched a device frame that the hypervisor took, and no handler stands for it.", f"{_RFC} 3", "EPERM")
    EL2_FAULT = ("el2_fault", "The hypervisor itself touched an address that is not mapped at EL2.", "Linux, arch/arm64/kvm/hyp/nvhe/host.S, hyp_panic")
    EL2_HANG = ("el2_hang", "The hypervisor loops or waits for ever at EL2, so the CPU never comes back.", f"{_RFC} 6 and the series of 7 August 2026")

    # ---------------------------------------------------------------- page ownership
    PAGE_NOT_HOST_OWNED = ("page_not_host_owned", "The page is not the host's alone: another component owns it.", f"{_MEM}, __host_check_page_state_range", "EPERM")
    PAGE_SHARED = ("page_shared", "The page is shared already; only an exclusively owned page can be shared or donated.", f"{_MEM}, pkvm_ownership_selftest", "EPERM")
    PAGE_NOT_SHARED = ("page_not_shared", "The page is not shared with the hypervisor.", f"{_MEM}, __pkvm_host_unshare_hyp", "EPERM")
    PAGE_PINNED = ("page_pinned", "The page is pinned: the hypervisor or hardware still relies on it.", f"{_MEM}, hyp_pin_shared_mem", "EBUSY")
    PAGE_NOT_HYP_OWNED = ("page_not_hyp_owned", "The page does not belong to the hypervisor, which therefore cannot give it away.", f"{_MEM}, __pkvm_hyp_donate_host", "EPERM")
    PAGE_NOT_GUEST_OWNED = ("page_not_guest_owned", "The page does not belong to a guest that is being torn down.", f"{_MEM}, __pkvm_host_reclaim_page", "EPERM")
    HYP_CARVEOUT = ("hyp_carveout", "The page was the hypervisor's from the start and is never given to the host.", f"{_MEM}, fix_host_ownership", "EPERM")
    PAGE_NOT_MEMORY = ("page_not_memory", "The page is not memory.", f"{_MEM}, check_range_allowed_memory", "EPERM")
    RANGE_CROSSES_REGION = ("range_crosses_region", "The range crosses the border between memory and devices, or leaves the address space.", f"{_MEM}, find_mem_range", "EINVAL")
    PAGE_NOT_MMIO = ("page_not_mmio", "The page is memory; only a page of a device can be donated this way.", f"{_RFC} 1", "EINVAL")
    MMIO_ANNOTATED = ("mmio_annotated", "The host's stage-2 entry names another owner: the page was donated before.", f"{_RFC} 1", "EPERM")
    MMIO_NOT_HYP = ("mmio_not_hyp", "The device page does not belong to the hypervisor.", f"{_RFC} 1", "EPERM")

    # ---------------------------------------------------------------- hypercalls and take-over
    UNKNOWN_FUNCTION = ("unknown_function", "No hypercall has this name or number, or the chosen preset does not have it.", "Arm DEN0028, SMC Calling Convention, NOT_SUPPORTED")
    FUNCTION_CLOSED = ("function_closed", "The hypercall belongs to the time before the host was deprivileged.", "Linux, arch/arm64/kvm/hyp/nvhe/hyp-main.c, handle_host_hcall")
    NO_SUCH_CPU = ("no_such_cpu", "The machine has no such CPU.", "Linux, arch/arm64/kvm/hyp/nvhe/setup.c", "EINVAL")
    GUESTS_FULL = ("guests_full", "There are as many protected guests as there can be.", "Linux, arch/arm64/kvm/hyp/nvhe/pkvm.c", "ENOMEM")
    NO_SUCH_GUEST = ("no_such_guest", "No protected guest has this handle.", "Linux, arch/arm64/kvm/hyp/nvhe/pkvm.c", "EINVAL")
    ALREADY_FINALISED = ("already_finalised", "Stage 2 is already on for this CPU.", f"{_MEM}, __pkvm_prot_finalize", "EPERM")
    REGIONS_FULL = ("regions_full", "All eight protected regions are taken.", f"{_RFC} 2", "ENOMEM")
    REGION_UNALIGNED = ("region_unaligned", "A protected region begins or ends inside a page.", f"{_RFC} 4", "EINVAL")
    NO_SUCH_REGION = ("no_such_region", "No protected region begins at this address.", f"{_RFC} 14", "ENODEV")
    ALREADY_EMULATED = ("already_emulated", "This device has been taken over before.", f"{_RFC} 6", "EOPNOTSUPP")
    WINDOW_CLOSED = ("window_closed", "The take-over is part of the switch-over, which has not begun or is over.", f"{_RFC} 14", "EPERM")
    POINTER_UNALIGNED = ("pointer_unaligned", "A pointer that must name whole pages is not page aligned.", "The series of 7 August 2026, patch 13", "EINVAL")
    QUEUE_MISMATCH = ("queue_mismatch", "The queue that the host names is not the one in GITS_CBASER, or its length is wrong.", f"{_RFC} 6", "EINVAL")
    QUEUE_BUSY = ("queue_busy", "The hardware queue is not drained: commands are in flight or stalled.", "docs/explanation/dma-surface.md 8, step 1", "EBUSY")
    TABLE_MISMATCH = ("table_mismatch", "A table that the host names is not the one in GITS_BASER<n>, or its size is wrong.", f"{_RFC} 7", "EINVAL")
    TABLE_MISSING = ("table_missing", "There is no valid table of the type that the command needs.", f"{_RFC} 8", "EINVAL")
    TABLE_WITHOUT_COPY = ("table_without_copy", "A two-level table comes without the host's copy of its level 1.", "The series of 7 August 2026, patch 7", "EINVAL")
    L2_UNUSABLE = ("l2_unusable", "A level-1 entry names a level-2 page that is misaligned, used twice or not the host's alone.", f"{_RFC} 7", "EPERM")
    DEVICE_UNUSABLE = ("device_unusable", "A device that was mapped before has an interrupt translation table that is not the host's.", "docs/explanation/dma-surface.md 8, step 5", "EPERM")
    VPE_UNUSABLE = ("vpe_unusable", "A vPE that was mapped before has tables that are not the host's.", "docs/explanation/dma-surface.md 8, step 5", "EPERM")

    # ---------------------------------------------------------------- registers
    NOT_TAKEN_OVER = ("not_taken_over", "Stage 2 is on but the device has not been handed over yet: its registers are dead.", f"{_RFC} 6, pkvm_handle_gic_emulation")
    ACCESS_WIDTH = ("access_width", "The access is misaligned or has a width that the register does not support.", f"{_GIC}, access sizes of ITS registers")
    REGISTER_READ_ONLY = ("register_read_only", "The register cannot be written.", f"{_GIC}, ITS register map")
    REGISTER_RESERVED = ("register_reserved", "No register lies here.", f"{_GIC}, ITS register map")
    IMPDEF_REGISTER = ("impdef_register", "IMPLEMENTATION DEFINED registers can make the ITS walk tables or hide its errors.", "Arm 100336, GIC-600 TRM, GITS_OPR and GITS_FCTLR")
    ITS_NOT_QUIESCENT = ("its_not_quiescent", "The ITS may only be enabled, or its queue and tables changed, when it is quiescent.", f"{_RFC} 11; {_GIC}, GITS_CTLR")
    ITS_ENABLED = ("its_enabled", "The register may only be written while the ITS is disabled.", f"{_RFC} 12 and 13; {_GIC}, GITS_BASER")
    CBASER_CHANGED = ("cbaser_changed", "The host may not move, resize or invalidate its command queue after the switch-over.", f"{_RFC} 12")
    BASER_CHANGED = ("baser_changed", "The host may not change a table after the switch-over.", f"{_RFC} 13")
    BASER_INDIRECT = ("baser_indirect", "GITS_BASER<n>.Indirect differs from what it was at the switch-over.", f"{_RFC} 13")
    QUEUE_OFFSET = ("queue_offset", "GITS_CWRITER points outside the queue, or has reserved bits set.", f"{_RFC} 6; {_GIC}, GITS_CWRITER")
    SGI_WRITE = ("sgi_write", "GITS_SGIR would make the vPE table be walked for a vPE that is not on record.", f"{_GIC}, GITS_SGIR")

    # ---------------------------------------------------------------- the queue and its commands
    COMMAND_STALLED = ("command_stalled", "The ITS stalled at the command, which was taken back.", "The series of 7 August 2026, patch 6", "EIO")
    COMMAND_TIMEOUT = ("command_timeout", "The ITS did not carry the command out in bounded time; it was taken back.", "The series of 7 August 2026, patch 6", "EBUSY")
    UNKNOWN_OPCODE = ("unknown_opcode", "No command has this opcode.", f"{_GIC}, ITS commands", "EINVAL")
    VIRTUAL_OPCODE = ("virtual_opcode", "Commands of virtual LPIs are not let through.", _ANDROID, "EFAULT")
    DEVICE_ID_RANGE = ("device_id_range", "The DeviceID is wider than GITS_TYPER.Devbits or beyond the device table.", f"{_GIC}, MAPD", "ENOSPC")
    ICID_RANGE = ("icid_range", "The ICID is too wide or beyond the collection table.", f"{_GIC}, MAPC", "ENOSPC")
    VPE_ID_RANGE = ("vpe_id_range", "The vPEID is too wide or beyond the vPE table.", f"{_GIC}, VMAPP", "ENOSPC")
    L1_INDEX_RANGE = ("l1_index_range", "The id lies beyond the level-1 table.", "The series of 7 August 2026, patch 8", "ENOSPC")
    L1_ENTRY_INVALID = ("l1_entry_invalid", "No level-2 page is there for the id: its level-1 entry is not valid.", f"{_GIC}, Two-level tables", "EINVAL")
    L2_NOT_HOST_OWNED = ("l2_not_host_owned", "The level-2 page that the host adds is misaligned, used twice or not the host's alone.", f"{_RFC} 8", "EPERM")
    EVENT_BITS_RANGE = ("event_bits_range", "MAPD asks for more EventID bits than GITS_TYPER.ID_bits.", f"{_GIC}, MAPD; the series of 7 August 2026, patch 8", "EINVAL")
    ITT_PAGE_ALIGNED = ("itt_page_aligned", "The interrupt translation table is page aligned, which the inverted test of the RFC rejects.", f"{_RFC} 8; the mail of 13 March 2026", "EINVAL")
    ITT_UNALIGNED = ("itt_unaligned", "The interrupt translation table is not page aligned.", _ANDROID, "EINVAL")
    ITT_NOT_HOST_OWNED = ("itt_not_host_owned", "The interrupt translation table lies in memory that is not the host's.", f"{_RFC} 8", "EPERM")
    ITT_SHARED = ("itt_shared", "A page of the interrupt translation table is shared already, by another device or by the host itself.", f"{_RFC} 8", "EPERM")
    ITT_NOT_TRACKED = ("itt_not_tracked", "The device to unmap is not one that the hypervisor has seen being mapped.", "The series of 7 August 2026, patch 8", "EINVAL")
    TRACKING_FULL = ("tracking_full", "The page in which the hypervisor remembers shared pages is full.", f"{_RFC} 8", "ENOSPC")
    DEVICE_NOT_MAPPED = ("device_not_mapped", "The hypervisor's records have no such device.", f"{_GIC}, ITS commands", "EINVAL")
    EVENT_ID_RANGE = ("event_id_range", "The EventID is beyond the Size with which the device was mapped.", f"{_GIC}, MAPTI", "EINVAL")
    INTID_RANGE = ("intid_range", "The INTID is not an LPI that the machine has.", f"{_GIC}, MAPTI", "EINVAL")
    RD_BASE_UNKNOWN = ("rd_base_unknown", "RDbase names no redistributor of this machine.", f"{_GIC}, MAPC; docs/explanation/dma-surface.md 4, A11", "EINVAL")
    VPE_NOT_MAPPED = ("vpe_not_mapped", "The hypervisor's records have no such vPE.", f"{_GIC}, VMAPTI", "EINVAL")
    VPE_ALREADY_MAPPED = ("vpe_already_mapped", "The vPE is mapped; mapping it again is UNPREDICTABLE.", f"{_GIC}, VMAPP", "EINVAL")
    VPE_RESIDENT = ("vpe_resident", "The vPE is resident on a redistributor.", f"{_GIC}, VMAPP and VMOVP", "EBUSY")
    VPT_SIZE_RANGE = ("vpt_size_range", "VPT_size is beyond the INTID bits of the machine, or too small for any LPI.", f"{_GIC}, VMAPP", "EINVAL")
    VPT_NOT_HOST_OWNED = ("vpt_not_host_owned", "The virtual pending table lies in memory that is not the host's, or that hardware uses already.", f"{_RFC} 9", "EPERM")
    VCONF_NOT_HOST_OWNED = ("vconf_not_host_owned", "The vPE's configuration table lies in memory that is not the host's.", f"{_GIC}, VMAPP (GICv4.1)", "EPERM")
    VINTID_RANGE = ("vintid_range", "The virtual INTID is not an LPI of the vPE.", f"{_GIC}, VMAPTI", "EINVAL")
    DOORBELL_RANGE = ("doorbell_range", "The doorbell is neither 1023 nor an LPI that the machine has.", f"{_GIC}, VMAPTI", "EINVAL")
    ITS_LIST_UNKNOWN = ("its_list_unknown", "ITSList names an ITS that does not exist: the command would wait for it for ever.", f"{_GIC}, VMOVP; docs/explanation/dma-surface.md 4, A18", "EINVAL")

    # ---------------------------------------------------------------- redistributors
    LPIS_ENABLED = ("lpis_enabled", "The register is frozen while LPIs are enabled.", f"{_ANDROID}; {_GIC}, GICR_PROPBASER")
    PROPBASER_DISAGREES = ("propbaser_disagrees", "Redistributors that share a configuration table must name the same one.", f"{_GIC}, GICR_TYPER.CommonLPIAff", "EINVAL")
    CONFIG_NOT_HOST_OWNED = ("config_not_host_owned", "The LPI configuration table lies in memory that is not the host's.", _ANDROID, "EPERM")
    PENDING_NOT_HOST_OWNED = ("pending_not_host_owned", "The LPI pending table lies in memory that is not the host's, or that hardware uses already.", _ANDROID, "EPERM")
    DIRECT_LPI = ("direct_lpi", "GICR_SETLPIR and GICR_CLRLPIR are not for the host.", _ANDROID)
    VPE_INVALIDATE = ("vpe_invalidate", "Invalidation by vPE is not for the host.", _ANDROID)
    VLPI_FRAME = ("vlpi_frame", "The frame of virtual LPIs takes raw addresses and is not for the host.", _ANDROID)
    VPROPBASER_CHANGED = ("vpropbaser_changed", "GICR_VPROPBASER must name a table that the hypervisor knows.", f"{_GIC}, GICR_VPROPBASER", "EPERM")
    VPENDBASER_UNKNOWN = ("vpendbaser_unknown", "GICR_VPENDBASER must name a pending table of a vPE that the hypervisor knows.", f"{_GIC}, GICR_VPENDBASER", "EPERM")
    # fmt: on


BY_WORD: Final = {reason.value: reason for reason in Reason}
"""The word on the wire to its reason."""


def markdown() -> str:
    """``docs/reference/reasons.md``: every reason with its sentence, errno and citation."""
    lines = [
        "# Reasons",
        "",
        "<!-- generated from service/itsbox/reasons.py -->",
        "",
        "Why the hypervisor refuses. The word is what `reason` holds in answers and events; the errno is what pKVM",
        "returns for the same cause, from a hypercall or inside a trap handler. What the ITS itself finds wrong with a",
        "command is not here: that is a command error.",
        "",
        "| reason | sentence | errno | source |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{r.value}` | {r.sentence} | {r.errno or ''} | {r.citation} |" for r in Reason]
    return "\n".join(lines) + "\n"
