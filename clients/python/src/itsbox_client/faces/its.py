"""The 21 ITS commands as methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

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

__all__ = ["ItsCommands"]

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
        virtual_intid: Intid,
        enable: bool = False,
        clear: bool = False,
        group: bool = False,
        priority: Word = 0,
    ) -> R:
        """Configure a virtual SGI of a vPE, or (``clear``) clear its pending state (GICv4.1)."""
        return self._put(
            its.VSGI(
                vpe_id=vpe_id, virtual_intid=virtual_intid, enable=enable, clear=clear, group=group, priority=priority
            )
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
