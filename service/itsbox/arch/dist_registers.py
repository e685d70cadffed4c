"""The GICD_* registers that software of a GICv3 system touches on its way to LPIs: offset, width, access, fields.

Source: IHI 0069H.b, "The distributor register map". GICD_CTLR is given with the field names of the view with two security
states; with DS = 1, as on this project's machines, EnableGrp1NS is EnableGrp1 and ARE_S is ARE.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.id_registers import identification
from itsbox.arch.interrupt_registers import BitPerInterrupt, ConfigPerInterrupt, PriorityPerInterrupt
from itsbox.arch.layout import Access, Register, bits, register
from itsbox.arch.register_map import Place, RegisterMap, find_register, register_map

RO, RW = Access.RO, Access.RW


# fmt: off

@register(offset=0x0000, width=32, access=RW, spec="IHI 0069H.b, GICD_CTLR")
class GICD_CTLR(Register):
    """Distributor control."""

    enable_grp0:    int = bits(0,  0, arm="EnableGrp0")
    enable_grp1_ns: int = bits(0,  1, arm="EnableGrp1NS", doc="EnableGrp1 with DS = 1")
    enable_grp1_s:  int = bits(0,  2, arm="EnableGrp1S", doc="RES0 with DS = 1")
    are_s:          int = bits(0,  4, arm="ARE_S", doc="ARE with DS = 1")
    are_ns:         int = bits(0,  5, arm="ARE_NS", doc="RES0 with DS = 1")
    ds:             int = bits(0,  6, arm="DS", doc="one security state")
    e1nwf:          int = bits(0,  7, arm="E1NWF")
    nassgireq:      int = bits(0,  8, arm="nASSGIreq", doc="GICv4.1: virtual SGIs have no active state")
    rwp:            int = bits(0, 31, arm="RWP", access=RO, doc="a write is still taking effect")


@register(offset=0x0004, width=32, access=RO, spec="IHI 0069H.b, GICD_TYPER")
class GICD_TYPER(Register):
    """What the distributor supports."""

    it_lines_number: int = bits(0,  4,  0, arm="ITLinesNumber", doc="SPIs up to INTID 32(N+1)-1")
    cpu_number:      int = bits(0,  7,  5, arm="CPUNumber", doc="processors without affinity routing, minus one")
    espi:            int = bits(0,  8,     arm="ESPI")
    nmi:             int = bits(0,  9,     arm="NMI")
    security_extn:   int = bits(0, 10,     arm="SecurityExtn")
    num_lpis:        int = bits(0, 15, 11, arm="num_LPIs", doc="0: as many as IDbits allows")
    mbis:            int = bits(0, 16,     arm="MBIS", doc="message-based SPIs")
    lpis:            int = bits(0, 17,     arm="LPIS", doc="LPIs")
    dvis:            int = bits(0, 18,     arm="DVIS", doc="direct injection of virtual LPIs")
    id_bits:         int = bits(0, 23, 19, arm="IDbits", doc="INTID bits, minus one")
    a3v:             int = bits(0, 24,     arm="A3V", doc="Aff3 may be non-zero")
    no1n:            int = bits(0, 25,     arm="No1N", doc="no 1-of-N SPIs")
    rss:             int = bits(0, 26,     arm="RSS")
    espi_range:      int = bits(0, 31, 27, arm="ESPI_range")


@register(offset=0x0008, width=32, access=RO, spec="IHI 0069H.b, GICD_IIDR")
class GICD_IIDR(Register):
    """Who made the distributor."""

    implementer: int = bits(0, 11,  0, arm="Implementer", doc="JEP106 code; Arm is 0x43B")
    revision:    int = bits(0, 15, 12, arm="Revision")
    variant:     int = bits(0, 19, 16, arm="Variant")
    product_id:  int = bits(0, 31, 24, arm="ProductID")


@register(offset=0x000C, width=32, access=RO, since="GICv4.1", spec="IHI 0069H.b, GICD_TYPER2")
class GICD_TYPER2(Register):
    """What the distributor supports of GICv4.1."""

    vid:       int = bits(0, 4, 0, arm="VID", doc="vPEID bits, minus one; only with VIL = 1")
    vil:       int = bits(0, 7,    arm="VIL", doc="0: vPEIDs have 16 bits")
    nassgicap: int = bits(0, 8,    arm="nASSGIcap", doc="SGIs without active state")

# fmt: on


@register(offset=0x0080, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_IGROUPR<n>")
class GICD_IGROUPR(BitPerInterrupt):
    """Group of each interrupt."""


@register(offset=0x0100, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_ISENABLER<n>")
class GICD_ISENABLER(BitPerInterrupt):
    """Enables interrupts: write 1 to set."""


@register(offset=0x0180, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_ICENABLER<n>")
class GICD_ICENABLER(BitPerInterrupt):
    """Disables interrupts: write 1 to clear."""


@register(offset=0x0200, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_ISPENDR<n>")
class GICD_ISPENDR(BitPerInterrupt):
    """Makes interrupts pending: write 1 to set."""


@register(offset=0x0280, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_ICPENDR<n>")
class GICD_ICPENDR(BitPerInterrupt):
    """Clears the pending state of interrupts: write 1 to clear."""


@register(offset=0x0300, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_ISACTIVER<n>")
class GICD_ISACTIVER(BitPerInterrupt):
    """Makes interrupts active: write 1 to set."""


@register(offset=0x0380, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_ICACTIVER<n>")
class GICD_ICACTIVER(BitPerInterrupt):
    """Clears the active state of interrupts: write 1 to clear."""


@register(offset=0x0400, width=32, access=RW, count=255, spec="IHI 0069H.b, GICD_IPRIORITYR<n>")
class GICD_IPRIORITYR(PriorityPerInterrupt):
    """Priorities of interrupts."""


@register(offset=0x0C00, width=32, access=RW, count=64, spec="IHI 0069H.b, GICD_ICFGR<n>")
class GICD_ICFGR(ConfigPerInterrupt):
    """Edge or level."""


@register(offset=0x0D00, width=32, access=RW, count=32, spec="IHI 0069H.b, GICD_IGRPMODR<n>")
class GICD_IGRPMODR(BitPerInterrupt):
    """Group modifier of each interrupt."""


# fmt: off

@register(offset=0x6000, width=64, access=RW, first=32, count=988, spec="IHI 0069H.b, GICD_IROUTER<n>")
class GICD_IROUTER(Register):
    """Where an SPI goes; the element's number is the INTID."""

    aff0:                   int = bits(0,  7,  0, arm="Aff0")
    aff1:                   int = bits(0, 15,  8, arm="Aff1")
    aff2:                   int = bits(0, 23, 16, arm="Aff2")
    interrupt_routing_mode: int = bits(0, 31,     arm="Interrupt_Routing_Mode", doc="1: any participating processor")
    aff3:                   int = bits(0, 39, 32, arm="Aff3")

# fmt: on


(
    GICD_PIDR4, GICD_PIDR5, GICD_PIDR6, GICD_PIDR7, GICD_PIDR0, GICD_PIDR1,
    GICD_PIDR2, GICD_PIDR3, GICD_CIDR0, GICD_CIDR1, GICD_CIDR2, GICD_CIDR3,
) = _IDENTIFICATION = identification("GICD", 0x92, __name__)  # fmt: skip

REGISTERS: Final[RegisterMap] = register_map(
    GICD_CTLR, GICD_TYPER, GICD_IIDR, GICD_TYPER2, GICD_IGROUPR, GICD_ISENABLER, GICD_ICENABLER, GICD_ISPENDR,
    GICD_ICPENDR, GICD_ISACTIVER, GICD_ICACTIVER, GICD_IPRIORITYR, GICD_ICFGR, GICD_IGRPMODR, GICD_IROUTER,
    *_IDENTIFICATION,
)  # fmt: skip
"""Offset from the distributor's base to register."""


def register_at(offset: int) -> Place | None:
    """Find the register, element and byte at an offset from the distributor's base; None in a reserved place."""
    return find_register(REGISTERS, offset)
