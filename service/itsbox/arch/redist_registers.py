"""The GICR_* registers of one redistributor: offset from its RD_base, width, access, reset value, fields.

Source: IHI 0069H.b, "The redistributor register map". Three 64 KB frames: RD_base (control and LPIs), SGI_base (SGIs and PPIs)
and, on GICv4, VLPI_base. GICR_VPROPBASER and GICR_VPENDBASER mean something else on GICv4.1: on GICv4.0 they hold the two
tables of the resident vPE, on GICv4.1 the vPE table and a vPEID.
"""

from __future__ import annotations

from typing import Final

from itsbox.arch.id_registers import identification
from itsbox.arch.interrupt_registers import BitPerInterrupt, ConfigPerInterrupt, PriorityPerInterrupt
from itsbox.arch.layout import Access, Register, bits, register
from itsbox.arch.memory_attributes import INNER_CACHE, OUTER_CACHE, SHAREABILITY
from itsbox.arch.register_map import Place, RegisterMap, find_register, register_map
from itsbox.arch.values import PAGE_SIZE, SIZE_16K, SIZE_64K

RO, RW, WO, RW1C = Access.RO, Access.RW, Access.WO, Access.RW1C

SGI_FRAME: Final = 0x10000
VLPI_FRAME: Final = 0x20000
STRIDE: Final = 2 * SIZE_64K
"""Distance of two redistributors without virtual LPIs (GICR_TYPER.VLPIS = 0)."""
STRIDE_VLPIS: Final = 4 * SIZE_64K
"""Distance of two redistributors with virtual LPIs."""


# fmt: off

@register(offset=0x0000, width=32, access=RW, spec="IHI 0069H.b, GICR_CTLR")
class GICR_CTLR(Register):
    """Redistributor control."""

    enable_lpis: int = bits(0,  0, arm="EnableLPIs", doc="may become RES1 once set, unless CES is 1")
    ces:         int = bits(0,  1, arm="CES", access=RO, doc="EnableLPIs can be cleared again")
    ir:          int = bits(0,  2, arm="IR", access=RO, doc="GICR_INVLPIR and GICR_INVALLR work")
    rwp:         int = bits(0,  3, arm="RWP", access=RO, doc="a write is still taking effect")
    dpg0:        int = bits(0, 24, arm="DPG0")
    dpg1ns:      int = bits(0, 25, arm="DPG1NS")
    dpg1s:       int = bits(0, 26, arm="DPG1S")
    uwp:         int = bits(0, 31, arm="UWP", access=RO)


@register(offset=0x0004, width=32, access=RO, spec="IHI 0069H.b, GICR_IIDR")
class GICR_IIDR(Register):
    """Who made the redistributor."""

    implementer: int = bits(0, 11,  0, arm="Implementer", doc="JEP106 code; Arm is 0x43B")
    revision:    int = bits(0, 15, 12, arm="Revision")
    variant:     int = bits(0, 19, 16, arm="Variant")
    product_id:  int = bits(0, 31, 24, arm="ProductID")


@register(offset=0x0008, width=64, access=RO, spec="IHI 0069H.b, GICR_TYPER")
class GICR_TYPER(Register):
    """What the redistributor supports, and which processor it serves."""

    plpis:            int = bits(0,  0,     arm="PLPIS", doc="physical LPIs")
    vlpis:            int = bits(0,  1,     arm="VLPIS", doc="virtual LPIs, GICv4")
    dirty:            int = bits(0,  2,     arm="Dirty")
    direct_lpi:       int = bits(0,  3,     arm="DirectLPI", doc="GICR_SETLPIR and its like work")
    last:             int = bits(0,  4,     arm="Last", doc="the highest redistributor of a series")
    dpgs:             int = bits(0,  5,     arm="DPGS")
    mpam:             int = bits(0,  6,     arm="MPAM")
    rvpeid:           int = bits(0,  7,     arm="RVPEID", doc="GICv4.1: VPENDBASER names a vPEID")
    processor_number: int = bits(0, 23,  8, arm="Processor_Number", doc="RDbase with GITS_TYPER.PTA = 0")
    common_lpi_aff:   int = bits(0, 25, 24, arm="CommonLPIAff", values={
        0: "all redistributors share one configuration table", 1: "those of one Aff3",
        2: "those of one Aff3.Aff2", 3: "those of one Aff3.Aff2.Aff1"})
    vsgi:             int = bits(0, 26,     arm="VSGI", doc="virtual SGIs, GICv4.1")
    ppi_num:          int = bits(0, 31, 27, arm="PPInum")
    affinity_value:   int = bits(0, 63, 32, arm="Affinity_Value", doc="Aff3.Aff2.Aff1.Aff0")


@register(offset=0x0010, width=32, access=RW1C, reset=0, spec="IHI 0069H.b, GICR_STATUSR")
class GICR_STATUSR(Register):
    """Errors of accesses; optional."""

    rrd:  int = bits(0, 0, arm="RRD", doc="read of a reserved location")
    wrd:  int = bits(0, 1, arm="WRD", doc="write to a reserved location")
    rwod: int = bits(0, 2, arm="RWOD", doc="read of a write-only location")
    wrod: int = bits(0, 3, arm="WROD", doc="write to a read-only location")


@register(offset=0x0014, width=32, access=RW, reset=0x6, spec="IHI 0069H.b, GICR_WAKER")
class GICR_WAKER(Register):
    """Power management of the processor's interface."""

    processor_sleep: int = bits(0, 1, arm="ProcessorSleep")
    children_asleep: int = bits(0, 2, arm="ChildrenAsleep", access=RO)


@register(offset=0x0018, width=32, access=RO, since="GICv3.1", spec="IHI 0069H.b, GICR_MPAMIDR")
class GICR_MPAMIDR(Register):
    """Greatest PARTID and PMG."""

    partid_max: int = bits(0, 15,  0, arm="PARTIDmax")
    pmg_max:    int = bits(0, 23, 16, arm="PMGmax")


@register(offset=0x001C, width=32, access=RW, reset=0, since="GICv3.1", spec="IHI 0069H.b, GICR_PARTIDR")
class GICR_PARTIDR(Register):
    """PARTID and PMG of the redistributor's own memory accesses."""

    partid: int = bits(0, 15,  0, arm="PARTID")
    pmg:    int = bits(0, 23, 16, arm="PMG")


@register(offset=0x0040, width=64, access=WO, spec="IHI 0069H.b, GICR_SETLPIR")
class GICR_SETLPIR(Register):
    """Makes an LPI pending; only with TYPER.DirectLPI = 1."""

    intid: int = bits(0, 31, 0, arm="pINTID")


@register(offset=0x0048, width=64, access=WO, spec="IHI 0069H.b, GICR_CLRLPIR")
class GICR_CLRLPIR(Register):
    """Clears the pending state of an LPI; only with TYPER.DirectLPI = 1."""

    intid: int = bits(0, 31, 0, arm="pINTID")


@register(offset=0x0070, width=64, access=RW, reset=0, spec="IHI 0069H.b, GICR_PROPBASER")
class GICR_PROPBASER(Register):
    """The LPI configuration table. UNPREDICTABLE to change while LPIs are enabled."""

    id_bits:          int = bits(0,  4,  0, arm="IDbits", doc="INTID bits, minus one; below 13 there are no LPIs")
    inner_cache:      int = bits(0,  9,  7, arm="InnerCache", values=INNER_CACHE)
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 51, 12, arm="Physical_Address", shift=12)
    outer_cache:      int = bits(0, 58, 56, arm="OuterCache", values=OUTER_CACHE)


@register(offset=0x0078, width=64, access=RW, reset=0, spec="IHI 0069H.b, GICR_PENDBASER")
class GICR_PENDBASER(Register):
    """The LPI pending table. UNPREDICTABLE to change while LPIs are enabled."""

    inner_cache:      int = bits(0,  9,  7, arm="InnerCache", values=INNER_CACHE)
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 51, 16, arm="Physical_Address", shift=16)
    outer_cache:      int = bits(0, 58, 56, arm="OuterCache", values=OUTER_CACHE)
    ptz:              int = bits(0, 62,     arm="PTZ", access=WO, doc="1: the table is promised to be zero; reads 0")


@register(offset=0x00A0, width=64, access=WO, spec="IHI 0069H.b, GICR_INVLPIR")
class GICR_INVLPIR(Register):
    """Makes the redistributor read an LPI's configuration again. A 32-bit write leaves the upper half zero."""

    intid:  int = bits(0, 31,  0, arm="INTID")
    vpe_id: int = bits(0, 47, 32, arm="vPEID", doc="GICv4.1; RES0 before")
    v:      int = bits(0, 63,     arm="V", doc="GICv4.1: the INTID is virtual; RES0 before")


@register(offset=0x00B0, width=64, access=WO, spec="IHI 0069H.b, GICR_INVALLR")
class GICR_INVALLR(Register):
    """Makes the redistributor read the configuration of all LPIs again. A 32-bit write leaves the upper half zero."""

    vpe_id: int = bits(0, 47, 32, arm="vPEID", doc="GICv4.1; RES0 before")
    v:      int = bits(0, 63,     arm="V", doc="GICv4.1: all virtual LPIs of the vPE; RES0 before")


@register(offset=0x00C0, width=32, access=RO, reset=0, spec="IHI 0069H.b, GICR_SYNCR")
class GICR_SYNCR(Register):
    """Whether an invalidation is still under way."""

    busy: int = bits(0, 0, arm="Busy")


@register(offset=0x10080, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_IGROUPR0")
class GICR_IGROUPR0(BitPerInterrupt):
    """Group of each SGI and PPI."""


@register(offset=0x10100, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_ISENABLER0")
class GICR_ISENABLER0(BitPerInterrupt):
    """Enables SGIs and PPIs: write 1 to set."""


@register(offset=0x10180, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_ICENABLER0")
class GICR_ICENABLER0(BitPerInterrupt):
    """Disables SGIs and PPIs: write 1 to clear."""


@register(offset=0x10200, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_ISPENDR0")
class GICR_ISPENDR0(BitPerInterrupt):
    """Makes SGIs and PPIs pending: write 1 to set."""


@register(offset=0x10280, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_ICPENDR0")
class GICR_ICPENDR0(BitPerInterrupt):
    """Clears the pending state of SGIs and PPIs: write 1 to clear."""


@register(offset=0x10300, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_ISACTIVER0")
class GICR_ISACTIVER0(BitPerInterrupt):
    """Makes SGIs and PPIs active: write 1 to set."""


@register(offset=0x10380, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_ICACTIVER0")
class GICR_ICACTIVER0(BitPerInterrupt):
    """Clears the active state of SGIs and PPIs: write 1 to clear."""


@register(offset=0x10400, width=32, access=RW, reset=0, count=8, spec="IHI 0069H.b, GICR_IPRIORITYR<n>")
class GICR_IPRIORITYR(PriorityPerInterrupt):
    """Priorities of SGIs and PPIs."""


@register(offset=0x10C00, width=32, access=RW, count=2, spec="IHI 0069H.b, GICR_ICFGR0, GICR_ICFGR1")
class GICR_ICFGR(ConfigPerInterrupt):
    """Edge or level: SGIs, then PPIs."""


@register(offset=0x10D00, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_IGRPMODR0")
class GICR_IGRPMODR0(BitPerInterrupt):
    """Group modifier of each SGI and PPI."""


@register(offset=0x10E00, width=32, access=RW, reset=0, spec="IHI 0069H.b, GICR_NSACR")
class GICR_NSACR(Register):
    """Non-secure access to the generation of SGIs: two bits each."""

    ns_access: int = bits(0, 31, 0, arm="NS_access<x>")


@register(offset=0x20070, width=64, access=RW, reset=0, since="GICv4", spec="IHI 0069H.b, GICR_VPROPBASER")
class GICR_VPROPBASER(Register):
    """GICv4.0: the virtual LPI configuration table of the resident vPE."""

    id_bits:          int = bits(0,  4,  0, arm="IDbits", doc="INTID bits, minus one")
    inner_cache:      int = bits(0,  9,  7, arm="InnerCache", values=INNER_CACHE)
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 51, 12, arm="Physical_Address", shift=12)
    outer_cache:      int = bits(0, 58, 56, arm="OuterCache", values=OUTER_CACHE)


@register(offset=0x20070, width=64, access=RW, reset=0, since="GICv4.1", name="GICR_VPROPBASER",
          spec="IHI 0069H.b, GICR_VPROPBASER")
class GICR_VPROPBASER_V41(Register):
    """GICv4.1: the vPE table, the same memory as GITS_BASER2's."""

    size:             int = bits(0,  6,  0, arm="Size", doc="pages, minus one")
    inner_cache:      int = bits(0,  9,  7, arm="InnerCache", values=INNER_CACHE)
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 51, 12, arm="Physical_Address", shift=12)
    z:                int = bits(0, 52,     arm="Z", doc="1: the table is promised to be zero")
    page_size:        int = bits(0, 54, 53, arm="Page_Size", values={0: "4 KB", 1: "16 KB", 2: "64 KB"})
    indirect:         int = bits(0, 55,     arm="Indirect")
    outer_cache:      int = bits(0, 58, 56, arm="OuterCache", values=OUTER_CACHE)
    entry_size:       int = bits(0, 61, 59, arm="Entry_Size", access=RO, doc="64-bit words, minus one")
    valid:            int = bits(0, 63,     arm="Valid")


@register(offset=0x20078, width=64, access=RW, reset=0, since="GICv4", spec="IHI 0069H.b, GICR_VPENDBASER")
class GICR_VPENDBASER(Register):
    """GICv4.0: the virtual LPI pending table of the resident vPE."""

    inner_cache:      int = bits(0,  9,  7, arm="InnerCache", values=INNER_CACHE)
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 51, 16, arm="Physical_Address", shift=16)
    outer_cache:      int = bits(0, 58, 56, arm="OuterCache", values=OUTER_CACHE)
    dirty:            int = bits(0, 60,     arm="Dirty", access=RO, doc="the table is still being read or written")
    pending_last:     int = bits(0, 61,     arm="PendingLast", doc="a virtual LPI was left pending")
    idai:             int = bits(0, 62,     arm="IDAI")
    valid:            int = bits(0, 63,     arm="Valid", doc="the vPE is resident")


@register(offset=0x20078, width=64, access=RW, reset=0, since="GICv4.1", name="GICR_VPENDBASER",
          spec="IHI 0069H.b, GICR_VPENDBASER")
class GICR_VPENDBASER_V41(Register):
    """GICv4.1: which vPE is resident; its tables come from the vPE table."""

    vpe_id:       int = bits(0, 15, 0, arm="vPEID")
    vgrp1_en:     int = bits(0, 58,    arm="VGrp1En")
    vgrp0_en:     int = bits(0, 59,    arm="VGrp0En")
    dirty:        int = bits(0, 60,    arm="Dirty", access=RO, doc="the table is still being read or written")
    pending_last: int = bits(0, 61,    arm="PendingLast", doc="a virtual interrupt was left pending")
    doorbell:     int = bits(0, 62,    arm="Doorbell", doc="ask for the default doorbell while not resident")
    valid:        int = bits(0, 63,    arm="Valid", doc="the vPE is resident")


@register(offset=0x20080, width=32, access=WO, since="GICv4.1", spec="IHI 0069H.b, GICR_VSGIR")
class GICR_VSGIR(Register):
    """Asks for the pending virtual SGIs of a vPE."""

    vpe_id: int = bits(0, 15, 0, arm="vPEID")


@register(offset=0x20088, width=32, access=RO, reset=0, since="GICv4.1", spec="IHI 0069H.b, GICR_VSGIPENDR")
class GICR_VSGIPENDR(Register):
    """The answer to GICR_VSGIR."""

    pending: int = bits(0, 15, 0, arm="Pending", doc="one bit per virtual SGI")
    busy:    int = bits(0, 31,    arm="Busy")

# fmt: on


(
    GICR_PIDR4, GICR_PIDR5, GICR_PIDR6, GICR_PIDR7, GICR_PIDR0, GICR_PIDR1,
    GICR_PIDR2, GICR_PIDR3, GICR_CIDR0, GICR_CIDR1, GICR_CIDR2, GICR_CIDR3,
) = _IDENTIFICATION = identification("GICR", 0x93, __name__)  # fmt: skip

_PHYSICAL: Final = (
    GICR_CTLR, GICR_IIDR, GICR_TYPER, GICR_STATUSR, GICR_WAKER, GICR_MPAMIDR, GICR_PARTIDR, GICR_SETLPIR,
    GICR_CLRLPIR, GICR_PROPBASER, GICR_PENDBASER, GICR_INVLPIR, GICR_INVALLR, GICR_SYNCR, *_IDENTIFICATION,
    GICR_IGROUPR0, GICR_ISENABLER0, GICR_ICENABLER0, GICR_ISPENDR0, GICR_ICPENDR0, GICR_ISACTIVER0, GICR_ICACTIVER0,
    GICR_IPRIORITYR, GICR_ICFGR, GICR_IGRPMODR0, GICR_NSACR,
)  # fmt: skip

REGISTERS: Final[RegisterMap] = register_map(*_PHYSICAL)
"""Offset from RD_base to register, GICv3."""

REGISTERS_V4: Final[RegisterMap] = register_map(*_PHYSICAL, GICR_VPROPBASER, GICR_VPENDBASER)
"""The same on GICv4.0."""

REGISTERS_V41: Final[RegisterMap] = register_map(
    *_PHYSICAL, GICR_VPROPBASER_V41, GICR_VPENDBASER_V41, GICR_VSGIR, GICR_VSGIPENDR
)
"""The same on GICv4.1."""


def register_at(offset: int, registers: RegisterMap = REGISTERS) -> Place | None:
    """Find the register, element and byte at an offset from RD_base; None in a reserved place."""
    return find_register(registers, offset)


_PAGE_SIZES: Final = (PAGE_SIZE, SIZE_16K, SIZE_64K, SIZE_64K)


def vpropbaser_page_size(vpropbaser: GICR_VPROPBASER_V41) -> int:
    """Page size in bytes of GICv4.1's vPE table; the reserved encoding 3 counts as 64 KB, as in GITS_BASER<n>."""
    return _PAGE_SIZES[vpropbaser.page_size]
