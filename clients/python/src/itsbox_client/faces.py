"""The typed faces of ITS commands, hypercalls and driver calls, written once for every way of sending.

All calls of one face have the same kind of result, so a face is generic in it: ``CommandResult`` where the call blocks, an
awaitable of it where it is awaited, ``Pending[CommandResult]`` within a batch. A face only builds the value and hands it on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from itsbox_client import commands as its
from itsbox_client.commands import (
    NO_DOORBELL,
    AnyCommand,
    DeviceId,
    EventId,
    Icid,
    Intid,
    PhysAddr,
    RawCommand,
    RdBase,
    SizeBits,
    VpeId,
)

__all__ = ["DriverCalls", "Hypercalls", "ItsCommands"]

R = TypeVar("R")

#: ``int`` is a command's name below.
Word: TypeAlias = int


class ItsCommands(Generic[R]):
    """The 21 ITS commands (IHI 0069H.b, "ITS commands"); what the fields mean is said in ``itsbox_client.commands``."""

    def __init__(self, put: Callable[[AnyCommand], R]) -> None:
        self._put = put

    def raw(self, dw0: Word, dw1: Word = 0, dw2: Word = 0, dw3: Word = 0) -> R:
        """Any four words: reserved bits, unknown opcodes, whatever a hostile host may write."""
        return self._put(RawCommand(dw0, dw1, dw2, dw3))

    def mapd(self, *, device_id: DeviceId, size: SizeBits = 0, itt_addr: PhysAddr = 0, valid: bool = True) -> R:
        """Map a device to an interrupt translation table for 2**(size+1) events, or unmap it."""
        return self._put(its.MAPD(device_id=device_id, size=size, itt_addr=itt_addr, valid=valid))

    def mapc(self, *, icid: Icid, rd_base: RdBase = 0, valid: bool = True) -> R:
        """Map a collection to a redistributor, or unmap it."""
        return self._put(its.MAPC(icid=icid, rd_base=rd_base, valid=valid))

    def mapti(self, *, device_id: DeviceId, event_id: EventId, intid: Intid, icid: Icid) -> R:
        """Map an event to an LPI in a collection."""
        return self._put(its.MAPTI(device_id=device_id, event_id=event_id, intid=intid, icid=icid))

    def mapi(self, *, device_id: DeviceId, event_id: EventId, icid: Icid) -> R:
        """Map an event to the LPI of the same number."""
        return self._put(its.MAPI(device_id=device_id, event_id=event_id, icid=icid))

    def movi(self, *, device_id: DeviceId, event_id: EventId, icid: Icid) -> R:
        """Move an event to another collection."""
        return self._put(its.MOVI(device_id=device_id, event_id=event_id, icid=icid))

    def int(self, *, device_id: DeviceId, event_id: EventId) -> R:
        """Make an event pending."""
        return self._put(its.INT(device_id=device_id, event_id=event_id))

    def clear(self, *, device_id: DeviceId, event_id: EventId) -> R:
        """Clear an event's pending state."""
        return self._put(its.CLEAR(device_id=device_id, event_id=event_id))

    def inv(self, *, device_id: DeviceId, event_id: EventId) -> R:
        """Re-read the configuration of an event's interrupt."""
        return self._put(its.INV(device_id=device_id, event_id=event_id))

    def discard(self, *, device_id: DeviceId, event_id: EventId) -> R:
        """Unmap an event and clear its pending state."""
        return self._put(its.DISCARD(device_id=device_id, event_id=event_id))

    def invall(self, *, icid: Icid) -> R:
        """Re-read the configuration of every LPI of a collection."""
        return self._put(its.INVALL(icid=icid))

    def sync(self, *, rd_base: RdBase) -> R:
        """Wait until earlier commands are visible at a redistributor."""
        return self._put(its.SYNC(rd_base=rd_base))

    def movall(self, *, rd_base1: RdBase, rd_base2: RdBase) -> R:
        """Move every pending LPI from one redistributor to another."""
        return self._put(its.MOVALL(rd_base1=rd_base1, rd_base2=rd_base2))

    def vmapp(
        self,
        *,
        vpe_id: VpeId,
        rd_base: RdBase = 0,
        valid: bool = True,
        vpt_size: SizeBits = 0,
        vpt_addr: PhysAddr = 0,
        default_doorbell: Intid = 0,
        alloc: bool = False,
        ptz: bool = False,
        vconf_addr: PhysAddr = 0,
    ) -> R:
        """Map a vPE (GICv4), or unmap it; the fields from ``default_doorbell`` on exist from GICv4.1."""
        return self._put(
            its.VMAPP(
                vpe_id=vpe_id,
                rd_base=rd_base,
                valid=valid,
                vpt_size=vpt_size,
                vpt_addr=vpt_addr,
                default_doorbell=default_doorbell,
                alloc=alloc,
                ptz=ptz,
                vconf_addr=vconf_addr,
            )
        )

    def vmapti(
        self,
        *,
        device_id: DeviceId,
        event_id: EventId,
        vpe_id: VpeId,
        virtual_intid: Intid,
        doorbell_intid: Intid = NO_DOORBELL,
    ) -> R:
        """Map an event to a virtual LPI of a vPE."""
        return self._put(
            its.VMAPTI(
                device_id=device_id,
                event_id=event_id,
                vpe_id=vpe_id,
                virtual_intid=virtual_intid,
                doorbell_intid=doorbell_intid,
            )
        )

    def vmapi(self, *, device_id: DeviceId, event_id: EventId, vpe_id: VpeId, doorbell_intid: Intid = NO_DOORBELL) -> R:
        """Map an event to the virtual LPI of the same number."""
        command = its.VMAPI(device_id=device_id, event_id=event_id, vpe_id=vpe_id, doorbell_intid=doorbell_intid)
        return self._put(command)

    def vmovi(
        self, *, device_id: DeviceId, event_id: EventId, vpe_id: VpeId, d: bool = False, doorbell_intid: Intid = 0
    ) -> R:
        """Move an event to another vPE; with ``d`` the doorbell is replaced."""
        return self._put(
            its.VMOVI(device_id=device_id, event_id=event_id, vpe_id=vpe_id, d=d, doorbell_intid=doorbell_intid)
        )

    def vmovp(
        self,
        *,
        vpe_id: VpeId,
        rd_base: RdBase,
        sequence_number: Word = 0,
        its_list: Word = 0,
        db: bool = False,
        default_doorbell: Intid = 0,
    ) -> R:
        """Move a vPE to another redistributor; ``db`` and ``default_doorbell`` exist from GICv4.1."""
        return self._put(
            its.VMOVP(
                vpe_id=vpe_id,
                rd_base=rd_base,
                sequence_number=sequence_number,
                its_list=its_list,
                db=db,
                default_doorbell=default_doorbell,
            )
        )

    def vsgi(
        self,
        *,
        vpe_id: VpeId,
        vintid: Intid,
        enable: bool = False,
        clear: bool = False,
        group: bool = False,
        priority: Word = 0,
    ) -> R:
        """Configure a virtual SGI of a vPE, or (``clear``) clear its pending state (GICv4.1)."""
        return self._put(
            its.VSGI(vpe_id=vpe_id, vintid=vintid, enable=enable, clear=clear, group=group, priority=priority)
        )

    def vsync(self, *, vpe_id: VpeId) -> R:
        """Wait until earlier virtual commands of a vPE are visible."""
        return self._put(its.VSYNC(vpe_id=vpe_id))

    def vinvall(self, *, vpe_id: VpeId) -> R:
        """Re-read the configuration of every virtual LPI of a vPE."""
        return self._put(its.VINVALL(vpe_id=vpe_id))

    def invdb(self, *, vpe_id: VpeId) -> R:
        """Re-read the configuration of a vPE's default doorbell (GICv4.1)."""
        return self._put(its.INVDB(vpe_id=vpe_id))


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


class DriverCalls(Generic[R]):
    """Calls of the built-in, honest driver."""

    def __init__(self, put: Callable[[str, Mapping[str, Any]], R]) -> None:
        self._put = put

    def call(self, name: str, **args: Any) -> R:
        """Any driver call by name."""
        return self._put(name, args)
