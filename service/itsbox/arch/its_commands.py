"""Every ITS command of GICv3, GICv4.0 and GICv4.1: 32 bytes, four little-endian doublewords, opcode in DW0[7:0].

Source: IHI 0069H.b, "ITS commands". Three conventions hold in all of them:

* ``rd_base`` is the field's own value, bits [51:16] of its doubleword shifted down by 16. With GITS_TYPER.PTA = 0 it is
  the processor number; with PTA = 1 the redistributor's frame lies at ``rd_base << 16``. Which one, only the ITS knows.
* ``size`` and ``vpt_size`` are "bits minus one". Addresses (``itt_addr``, ``vpt_addr``, ``vconf_addr``) are whole addresses,
  aligned by construction.
* a doorbell of 1023 means that there is none.

Two commands have two layouts: VMAPP grows in GICv4.1 (GITS_TYPER.VMAPP), and VMOVP gains a default doorbell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from itsbox.arch.layout import Layout, bits, layout

COMMAND_SIZE: Final = 32
OPCODE_MASK: Final = 0xFF
VIRTUAL_OPCODE: Final = 0x20
"""Every opcode of GICv4 has this bit set and no opcode of GICv3 has."""
NO_DOORBELL: Final = 1023


# fmt: off

@layout(words=4, match=0x01, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, MOVI")
class MOVI(Layout):
    """Retarget an event to another collection, taking its pending state along."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID")
    icid:      int = bits(2, 15,  0, arm="ICID", doc="the new collection")


@layout(words=4, match=0x03, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, INT")
class INT(Layout):
    """Translate an event as a device's write would, and make its interrupt pending."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID")


@layout(words=4, match=0x04, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, CLEAR")
class CLEAR(Layout):
    """Translate an event and clear the pending state of its interrupt."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID")


@layout(words=4, match=0x05, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, SYNC")
class SYNC(Layout):
    """Wait until all earlier physical commands are visible at a redistributor."""

    rd_base: int = bits(2, 51, 16, arm="RDbase", doc="processor number, or frame address >> 16, by GITS_TYPER.PTA")


@layout(words=4, match=0x08, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, MAPD")
class MAPD(Layout):
    """Map a DeviceID to its interrupt translation table, or unmap it."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    size:      int = bits(1,  4,  0, arm="Size", doc="EventID bits, minus one; ignored if V is 0")
    itt_addr:  int = bits(2, 51,  8, arm="ITT_addr", shift=8, doc="256-byte aligned; ignored if V is 0")
    valid:     int = bits(2, 63,     arm="V")


@layout(words=4, match=0x09, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, MAPC")
class MAPC(Layout):
    """Map a collection to a redistributor, or unmap it."""

    icid:    int = bits(2, 15,  0, arm="ICID")
    rd_base: int = bits(2, 51, 16, arm="RDbase", doc="processor number, or frame address >> 16, by GITS_TYPER.PTA")
    valid:   int = bits(2, 63,     arm="V")


@layout(words=4, match=0x0A, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, MAPTI")
class MAPTI(Layout):
    """Map an event to a physical LPI and a collection. Older texts call it MAPVI."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID")
    intid:     int = bits(1, 63, 32, arm="pINTID")
    icid:      int = bits(2, 15,  0, arm="ICID")


@layout(words=4, match=0x0B, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, MAPI")
class MAPI(Layout):
    """Map an event to the physical LPI of the same number and a collection."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID", doc="also the pINTID")
    icid:      int = bits(2, 15,  0, arm="ICID")


@layout(words=4, match=0x0C, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, INV")
class INV(Layout):
    """Make the redistributor read an LPI's configuration again."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID")


@layout(words=4, match=0x0D, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, INVALL")
class INVALL(Layout):
    """Make a collection's redistributor read the configuration of all its LPIs again."""

    icid: int = bits(2, 15, 0, arm="ICID")


@layout(words=4, match=0x0E, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, MOVALL")
class MOVALL(Layout):
    """Move every pending LPI of one redistributor to another."""

    rd_base1: int = bits(2, 51, 16, arm="RDbase1", doc="source")
    rd_base2: int = bits(3, 51, 16, arm="RDbase2", doc="destination")


@layout(words=4, match=0x0F, match_mask=OPCODE_MASK, spec="IHI 0069H.b, ITS commands, DISCARD")
class DISCARD(Layout):
    """Unmap an event and clear the pending state of its interrupt."""

    device_id: int = bits(0, 63, 32, arm="DeviceID")
    event_id:  int = bits(1, 31,  0, arm="EventID")


@layout(words=4, match=0x21, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VMOVI")
class VMOVI(Layout):
    """Retarget an event to another vPE."""

    device_id:      int = bits(0, 63, 32, arm="DeviceID")
    event_id:       int = bits(1, 31,  0, arm="EventID")
    vpe_id:         int = bits(1, 47, 32, arm="vPEID", doc="the new vPE")
    d:              int = bits(2,  0,     arm="D", doc="1: replace the doorbell")
    doorbell_intid: int = bits(2, 63, 32, arm="Dbell_pINTID")


@layout(words=4, match=0x22, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VMOVP")
class VMOVP(Layout):
    """Retarget a vPE to another redistributor (GICv4.0)."""

    sequence_number: int = bits(0, 47, 32, arm="Sequence Number", doc="RES0 if GITS_TYPER.VMOVP is 1")
    its_list:        int = bits(1, 15,  0, arm="ITSList", doc="one bit per ITS_Number; RES0 if GITS_TYPER.VMOVP is 1")
    vpe_id:          int = bits(1, 47, 32, arm="vPEID")
    rd_base:         int = bits(2, 51, 16, arm="RDbase", doc="the new redistributor")


@layout(words=4, match=0x22, match_mask=OPCODE_MASK, since="GICv4.1", name="VMOVP",
        spec="IHI 0069H.b, ITS commands, VMOVP")
class VMOVP_V41(Layout):
    """Retarget a vPE to another redistributor and replace its default doorbell (GICv4.1)."""

    sequence_number:  int = bits(0, 47, 32, arm="Sequence Number", doc="RES0 if GITS_TYPER.VMOVP is 1")
    its_list:         int = bits(1, 15,  0, arm="ITSList", doc="one bit per ITS_Number; RES0 if GITS_TYPER.VMOVP is 1")
    vpe_id:           int = bits(1, 47, 32, arm="vPEID")
    rd_base:          int = bits(2, 51, 16, arm="RDbase", doc="the new redistributor")
    db:               int = bits(2, 63,     arm="DB", doc="1: replace the default doorbell")
    default_doorbell: int = bits(3, 31,  0, arm="Default_Doorbell_pINTID")


@layout(words=4, match=0x23, match_mask=OPCODE_MASK, since="GICv4.1", spec="IHI 0069H.b, ITS commands, VSGI")
class VSGI(Layout):
    """Configure a virtual SGI, or clear its pending state."""

    enable:        int = bits(0,  8,     arm="Enable")
    clear:         int = bits(0,  9,     arm="Clear", doc="1: clear the pending state and change nothing else")
    group:         int = bits(0, 10,     arm="Group")
    priority:      int = bits(0, 23, 20, arm="Priority", shift=4, doc="the upper four bits of the priority")
    virtual_intid: int = bits(0, 35, 32, arm="vINTID", doc="0 to 15")
    vpe_id:        int = bits(1, 47, 32, arm="vPEID")


@layout(words=4, match=0x25, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VSYNC")
class VSYNC(Layout):
    """Wait until all earlier virtual commands of a vPE are complete."""

    vpe_id: int = bits(1, 47, 32, arm="vPEID")


@layout(words=4, match=0x29, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VMAPP")
class VMAPP(Layout):
    """Map a vPE to its redistributor and its virtual LPI pending table, or unmap it (GICv4.0)."""

    vpe_id:   int = bits(1, 47, 32, arm="vPEID")
    rd_base:  int = bits(2, 51, 16, arm="RDbase", doc="processor number, or frame address >> 16, by GITS_TYPER.PTA")
    valid:    int = bits(2, 63,     arm="V")
    vpt_size: int = bits(3,  4,  0, arm="VPT_size", doc="vINTID bits, minus one")
    vpt_addr: int = bits(3, 51, 16, arm="VPT_addr", shift=16, doc="64 KB aligned")


@layout(words=4, match=0x29, match_mask=OPCODE_MASK, since="GICv4.1", name="VMAPP",
        spec="IHI 0069H.b, ITS commands, VMAPP")
class VMAPP_V41(Layout):
    """Map a vPE to its redistributor, its two tables and its default doorbell, or unmap it (GICv4.1)."""

    alloc:            int = bits(0,  8,     arm="Alloc", doc="first mapping, or last unmapping, across all ITSs")
    ptz:              int = bits(0,  9,     arm="PTZ", doc="1: the pending table is promised to be zero")
    vconf_addr:       int = bits(0, 51, 16, arm="VCONF_addr", shift=16, doc="64 KB aligned")
    default_doorbell: int = bits(1, 31,  0, arm="Default_Doorbell_pINTID")
    vpe_id:           int = bits(1, 47, 32, arm="vPEID")
    rd_base:          int = bits(2, 51, 16, arm="RDbase", doc="processor number, or frame address >> 16")
    valid:            int = bits(2, 63,     arm="V")
    vpt_size:         int = bits(3,  4,  0, arm="VPT_size", doc="vINTID bits, minus one")
    vpt_addr:         int = bits(3, 51, 16, arm="VPT_addr", shift=16, doc="64 KB aligned")


@layout(words=4, match=0x2A, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VMAPTI")
class VMAPTI(Layout):
    """Map an event to a virtual LPI of a vPE, with a doorbell."""

    device_id:      int = bits(0, 63, 32, arm="DeviceID")
    event_id:       int = bits(1, 31,  0, arm="EventID")
    vpe_id:         int = bits(1, 47, 32, arm="vPEID")
    virtual_intid:  int = bits(2, 31,  0, arm="vINTID")
    doorbell_intid: int = bits(2, 63, 32, arm="Dbell_pINTID")


@layout(words=4, match=0x2B, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VMAPI")
class VMAPI(Layout):
    """Map an event to the virtual LPI of the same number, with a doorbell."""

    device_id:      int = bits(0, 63, 32, arm="DeviceID")
    event_id:       int = bits(1, 31,  0, arm="EventID", doc="also the vINTID")
    vpe_id:         int = bits(1, 47, 32, arm="vPEID")
    doorbell_intid: int = bits(2, 63, 32, arm="Dbell_pINTID")


@layout(words=4, match=0x2D, match_mask=OPCODE_MASK, since="GICv4", spec="IHI 0069H.b, ITS commands, VINVALL")
class VINVALL(Layout):
    """Make the redistributor read the configuration of all virtual LPIs of a vPE again."""

    vpe_id: int = bits(1, 47, 32, arm="vPEID")


@layout(words=4, match=0x2E, match_mask=OPCODE_MASK, since="GICv4.1", spec="IHI 0069H.b, ITS commands, INVDB")
class INVDB(Layout):
    """Make the redistributor read the configuration of a vPE's default doorbell again."""

    vpe_id: int = bits(1, 47, 32, arm="vPEID")

# fmt: on


Command: TypeAlias = (
    MOVI | INT | CLEAR | SYNC | MAPD | MAPC | MAPTI | MAPI | INV | INVALL | MOVALL | DISCARD
    | VMOVI | VMOVP | VMOVP_V41 | VSGI | VSYNC | VMAPP | VMAPP_V41 | VMAPTI | VMAPI | VINVALL | INVDB
)  # fmt: skip
"""Any command: closed, so that a ``match`` over it can be checked for completeness."""

COMMANDS: Final[dict[int, type[Layout]]] = {
    c.MATCH: c
    for c in (
        MOVI, INT, CLEAR, SYNC, MAPD, MAPC, MAPTI, MAPI, INV, INVALL, MOVALL, DISCARD,
        VMOVI, VMOVP, VSGI, VSYNC, VMAPP, VMAPTI, VMAPI, VINVALL, INVDB,
    )
}  # fmt: skip
"""Opcode to layout, with the GICv4.0 forms of VMAPP and VMOVP."""

COMMANDS_V41: Final[dict[int, type[Layout]]] = COMMANDS | {c.MATCH: c for c in (VMAPP_V41, VMOVP_V41)}
"""Opcode to layout on GICv4.1."""

COMMAND_NAMES: Final = MappingProxyType({opcode: c.NAME for opcode, c in COMMANDS.items()})
"""Opcode to Arm's mnemonic; the same on every version."""


def decode_command(words: Sequence[int], commands: Mapping[int, type[Layout]] = COMMANDS) -> Layout | None:
    """Decode one command, four doublewords. None for an opcode that ``commands`` does not have."""
    command = commands.get(words[0] & OPCODE_MASK)
    return None if command is None else command.decode(*words)
