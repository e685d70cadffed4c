"""Every GITS_* register: offset from the ITS base, width, access, reset value, fields.

Source: IHI 0069H.b, "The ITS register map". Offsets span three 64 KB frames: control, translation (GITS_TRANSLATER) and, with
GITS_TYPER.VSGI, virtual SGI (GITS_SGIR). GITS_UMSIR is at 0x0048, as in current Arm pages (one older page says 0x0028).
A reset value is given as zero where the manual leaves all but Valid UNKNOWN, as every model has it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from itsbox.arch.id_registers import identification
from itsbox.arch.layout import Access, Register, bits, register
from itsbox.arch.memory_attributes import INNER_CACHE, OUTER_CACHE, SHAREABILITY
from itsbox.arch.register_map import Place, RegisterMap, find_register, register_map
from itsbox.arch.values import PAGE_SIZE, SIZE_16K, SIZE_64K

RO, RW, WO, RW1C = Access.RO, Access.RW, Access.WO, Access.RW1C

FRAME_SIZE: Final = SIZE_64K
TRANSLATION_FRAME: Final = 0x10000
VSGI_FRAME: Final = 0x20000

# GITS_BASER<n>.Type
TABLE_NONE: Final = 0
TABLE_DEVICES: Final = 1
TABLE_VPES: Final = 2
TABLE_COLLECTIONS: Final = 4

# GITS_STATUSR.Syndrome: why a message was not translated.
SYNDROME: Final = MappingProxyType(
    {
        0b0000: "unknown",
        0b0010: "DeviceID out of range",
        0b0011: "DeviceID unmapped",
        0b0100: "EventID out of range",
        0b0101: "EventID unmapped",
        0b0111: "collection unmapped",
        0b1001: "vPEID unmapped",
    }
)


# fmt: off

@register(offset=0x0000, width=32, access=RW, reset=0x8000_0000, spec="IHI 0069H.b, GITS_CTLR")
class GITS_CTLR(Register):
    """ITS control."""

    enabled:    int = bits(0,  0,    arm="Enabled", doc="translate, and process commands")
    imde:       int = bits(0,  1,    arm="ImDe", doc="IMPLEMENTATION DEFINED on GICv4; RES0 on GICv3")
    its_number: int = bits(0,  7, 4, arm="ITS_Number", doc="bit in the ITSList of VMOVP; only with TYPER.VMOVP = 0")
    umsi_irq:   int = bits(0,  8,    arm="UMSIirq", doc="interrupt on an unmapped message; only with TYPER.UMSIirq = 1")
    quiescent:  int = bits(0, 31,    arm="Quiescent", access=RO, doc="all activity has drained; counts while disabled")


@register(offset=0x0004, width=32, access=RO, spec="IHI 0069H.b, GITS_IIDR")
class GITS_IIDR(Register):
    """Who made the ITS."""

    implementer: int = bits(0, 11,  0, arm="Implementer", doc="JEP106 code; Arm is 0x43B")
    revision:    int = bits(0, 15, 12, arm="Revision")
    variant:     int = bits(0, 19, 16, arm="Variant")
    product_id:  int = bits(0, 31, 24, arm="ProductID")


@register(offset=0x0008, width=64, access=RO, spec="IHI 0069H.b, GITS_TYPER")
class GITS_TYPER(Register):
    """What the ITS supports."""

    physical:       int = bits(0,  0,     arm="Physical", doc="physical LPIs")
    virtual:        int = bits(0,  1,     arm="Virtual", doc="virtual LPIs, GICv4")
    cct:            int = bits(0,  2,     arm="CCT", doc="1: collections are HCC plus the table's; 0: the table's alone")
    impdef:         int = bits(0,  3,     arm="IMPLEMENTATION DEFINED")
    itt_entry_size: int = bits(0,  7,  4, arm="ITT_entry_size", doc="bytes, minus one")
    id_bits:        int = bits(0, 12,  8, arm="ID_bits", doc="EventID bits, minus one")
    devbits:        int = bits(0, 17, 13, arm="Devbits", doc="DeviceID bits, minus one")
    seis:           int = bits(0, 18,     arm="SEIS", doc="command errors may be signalled by SError")
    pta:            int = bits(0, 19,     arm="PTA", doc="RDbase is 1: an address, 0: a processor number")
    hcc:            int = bits(0, 31, 24, arm="HCC", doc="collections held without a table")
    cidbits:        int = bits(0, 35, 32, arm="CIDbits", doc="ICID bits, minus one; only with CIL = 1")
    cil:            int = bits(0, 36,     arm="CIL", doc="0: ICIDs have 16 bits")
    vmovp:          int = bits(0, 37,     arm="VMOVP", doc="1: VMOVP goes to one ITS only")
    mpam:           int = bits(0, 38,     arm="MPAM")
    vsgi:           int = bits(0, 39,     arm="VSGI", doc="virtual SGIs, GICv4.1")
    vmapp:          int = bits(0, 40,     arm="VMAPP", doc="VMAPP has its GICv4.1 layout")
    svpet:          int = bits(0, 42, 41, arm="SVPET", values={
        0: "vPE table not shared", 1: "shared at Aff3", 2: "shared at Aff3.Aff2", 3: "shared at Aff3.Aff2.Aff1"})
    nid:            int = bits(0, 43,     arm="nID", doc="1: individual doorbells are not supported")
    umsi:           int = bits(0, 44,     arm="UMSI", doc="unmapped messages are captured")
    umsi_irq:       int = bits(0, 45,     arm="UMSIirq")
    inv:            int = bits(0, 46,     arm="INV", doc="a table's cached entries go when it is disabled and not Valid")


@register(offset=0x0010, width=32, access=RO, since="GICv3.1", spec="IHI 0069H.b, GITS_MPAMIDR")
class GITS_MPAMIDR(Register):
    """Greatest PARTID and PMG."""

    partid_max: int = bits(0, 15,  0, arm="PARTIDmax")
    pmg_max:    int = bits(0, 23, 16, arm="PMGmax")


@register(offset=0x0014, width=32, access=RW, reset=0, since="GICv3.1", spec="IHI 0069H.b, GITS_PARTIDR")
class GITS_PARTIDR(Register):
    """PARTID and PMG of the ITS's own memory accesses."""

    partid: int = bits(0, 15,  0, arm="PARTID")
    pmg:    int = bits(0, 23, 16, arm="PMG")


@register(offset=0x0018, width=32, access=RO, since="GICv4.1", spec="IHI 0069H.b, GITS_MPIDR")
class GITS_MPIDR(Register):
    """Affinity group that shares its vPE table with this ITS; TYPER.SVPET says how many levels count."""

    aff1: int = bits(0, 15,  8, arm="Aff1")
    aff2: int = bits(0, 23, 16, arm="Aff2")
    aff3: int = bits(0, 31, 24, arm="Aff3")


@register(offset=0x0040, width=32, access=RW1C, reset=0, spec="IHI 0069H.b, GITS_STATUSR")
class GITS_STATUSR(Register):
    """Errors of accesses and messages; optional."""

    rrd:      int = bits(0, 0,    arm="RRD", doc="read of a reserved location")
    wrd:      int = bits(0, 1,    arm="WRD", doc="write to a reserved location")
    rwod:     int = bits(0, 2,    arm="RWOD", doc="read of a write-only location")
    wrod:     int = bits(0, 3,    arm="WROD", doc="write to a read-only location")
    umsi:     int = bits(0, 4,    arm="UMSI", doc="an unmapped message is in GITS_UMSIR")
    overflow: int = bits(0, 5,    arm="Overflow", doc="more than one unmapped message")
    syndrome: int = bits(0, 9, 6, arm="Syndrome", values=SYNDROME)


@register(offset=0x0048, width=64, access=RO, reset=0, since="GICv3.1", spec="IHI 0069H.b, GITS_UMSIR")
class GITS_UMSIR(Register):
    """The unmapped message that was captured; only with TYPER.UMSI = 1."""

    event_id:  int = bits(0, 31,  0, arm="EventID")
    device_id: int = bits(0, 63, 32, arm="DeviceID")


@register(offset=0x0080, width=64, access=RW, reset=0, spec="IHI 0069H.b, GITS_CBASER")
class GITS_CBASER(Register):
    """The command queue. A write sets GITS_CREADR to 0; ignored while enabled or not quiescent."""

    size:             int = bits(0,  7,  0, arm="Size", doc="4 KB pages, minus one")
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 51, 12, arm="Physical_Address", shift=12, doc="[15:12] are RES0 by the manual")
    outer_cache:      int = bits(0, 55, 53, arm="OuterCache", values=OUTER_CACHE)
    inner_cache:      int = bits(0, 61, 59, arm="InnerCache", values=INNER_CACHE)
    valid:            int = bits(0, 63,     arm="Valid")


@register(offset=0x0088, width=64, access=RW, reset=0, spec="IHI 0069H.b, GITS_CWRITER")
class GITS_CWRITER(Register):
    """Where software will write the next command."""

    retry:  int = bits(0,  0,    arm="Retry", doc="write 1: try a stalled command again; reads 0")
    offset: int = bits(0, 19, 5, arm="Offset", shift=5, doc="bytes from the start of the queue")


@register(offset=0x0090, width=64, access=RO, reset=0, spec="IHI 0069H.b, GITS_CREADR")
class GITS_CREADR(Register):
    """Where the ITS will read the next command; at the failing one when stalled."""

    stalled: int = bits(0,  0,    arm="Stalled")
    offset:  int = bits(0, 19, 5, arm="Offset", shift=5, doc="bytes from the start of the queue")


_OFFSET: Final = GITS_CREADR.FIELDS["offset"].in_place


def is_drained(creadr: int, cwriter: int) -> bool:
    """Whether the two registers have the same Offset: every command of the queue has been carried out."""
    return not (creadr ^ cwriter) & _OFFSET


@register(offset=0x0100, width=64, access=RW, count=8, spec="IHI 0069H.b, GITS_BASER<n>")
class GITS_BASER(Register):
    """One table of the ITS. Resets to Valid = 0 with Type and Entry_Size fixed; ignored while enabled or not quiescent."""

    size:             int = bits(0,  7,  0, arm="Size", doc="pages, minus one")
    page_size:        int = bits(0,  9,  8, arm="Page_Size", values={
        0: "4 KB", 1: "16 KB", 2: "64 KB", 3: "reserved, treated as 64 KB"})
    shareability:     int = bits(0, 11, 10, arm="Shareability", values=SHAREABILITY)
    physical_address: int = bits(0, 47, 12, arm="Physical_Address", shift=12, doc="as stored: see baser_address")
    entry_size:       int = bits(0, 52, 48, arm="Entry_Size", access=RO, doc="bytes, minus one")
    outer_cache:      int = bits(0, 55, 53, arm="OuterCache", values=OUTER_CACHE)
    type:             int = bits(0, 58, 56, arm="Type", access=RO, values={
        0: "unimplemented", 1: "devices", 2: "vPEs", 4: "interrupt collections"})
    inner_cache:      int = bits(0, 61, 59, arm="InnerCache", values=INNER_CACHE)
    indirect:         int = bits(0, 62,     arm="Indirect", doc="1: two levels")
    valid:            int = bits(0, 63,     arm="Valid")


@register(offset=0x10040, width=32, access=WO, spec="IHI 0069H.b, GITS_TRANSLATER")
class GITS_TRANSLATER(Register):
    """Where devices send their messages; 16-bit writes work too. The DeviceID travels beside the data."""

    event_id: int = bits(0, 31, 0, arm="EventID")


@register(offset=0x20020, width=64, access=WO, since="GICv4.1", spec="IHI 0069H.b, GITS_SGIR")
class GITS_SGIR(Register):
    """Makes a virtual SGI pending; only with TYPER.VSGI = 1."""

    virtual_intid: int = bits(0,  3,  0, arm="vINTID")
    vpe_id:        int = bits(0, 47, 32, arm="vPEID")

# fmt: on


(
    GITS_PIDR4, GITS_PIDR5, GITS_PIDR6, GITS_PIDR7, GITS_PIDR0, GITS_PIDR1,
    GITS_PIDR2, GITS_PIDR3, GITS_CIDR0, GITS_CIDR1, GITS_CIDR2, GITS_CIDR3,
) = _IDENTIFICATION = identification("GITS", 0x94, __name__)  # fmt: skip

REGISTERS: Final[RegisterMap] = register_map(
    GITS_CTLR, GITS_IIDR, GITS_TYPER, GITS_MPAMIDR, GITS_PARTIDR, GITS_MPIDR, GITS_STATUSR, GITS_UMSIR, GITS_CBASER,
    GITS_CWRITER, GITS_CREADR, GITS_BASER, *_IDENTIFICATION, GITS_TRANSLATER, GITS_SGIR,
)  # fmt: skip
"""Offset from the ITS base to register."""

IMPLEMENTATION_DEFINED: Final = (range(0x0020, 0x0040), range(0xC000, 0xFFD0))
"""Windows of the control frame that belong to the implementation."""

GIC_600_REGISTERS: Final = MappingProxyType(
    {
        0x0020: "GITS_FCTLR",
        0x0028: "GITS_OPR",
        0x0030: "GITS_OPSR",
        0xF000: "GITS_CFGID",
    }
)
"""What GIC-600 has in those windows (TRM 100336); no machine of this project has them."""


def register_at(offset: int) -> Place | None:
    """Find the register, element and byte at an offset from the ITS base; None in a reserved place."""
    return find_register(REGISTERS, offset)


def is_implementation_defined(offset: int) -> bool:
    """Tell whether an offset from the ITS base lies in an IMPLEMENTATION DEFINED window."""
    return any(offset in window for window in IMPLEMENTATION_DEFINED)


_PAGE_SIZES: Final = (PAGE_SIZE, SIZE_16K, SIZE_64K, SIZE_64K)


def baser_page_size(baser: GITS_BASER) -> int:
    """Page size in bytes; the reserved encoding 3 counts as 64 KB."""
    return _PAGE_SIZES[baser.page_size]


def baser_bytes(baser: GITS_BASER) -> int:
    """Bytes of a flat table, or of level 1 of a two-level one."""
    return (baser.size + 1) * baser_page_size(baser)


def baser_address(baser: GITS_BASER) -> int:
    """Address of the table. With 64 KB pages the stored bits [15:12] are bits [51:48] of the address."""
    stored = baser.physical_address
    if _PAGE_SIZES[baser.page_size] == SIZE_64K:
        return stored & -SIZE_64K | (stored & 0xF000) << 36
    return stored & -_PAGE_SIZES[baser.page_size]


def baser_stored_address(address: int, page_size: int) -> int:
    """Undo ``baser_address``: the value of Physical_Address for a table. ``page_size`` is in bytes.

    Bits that the register cannot hold are lost: below the page size, and above bit 47 with pages under 64 KB.
    """
    kept = address & -page_size & 0xFFFF_FFFF_FFFF
    return kept | address >> 36 & 0xF000 if page_size == SIZE_64K else kept


def cbaser_bytes(cbaser: GITS_CBASER) -> int:
    """Bytes of the command queue."""
    return (cbaser.size + 1) * PAGE_SIZE


def ite_bytes(typer: GITS_TYPER) -> int:
    """Bytes of an interrupt translation entry."""
    return typer.itt_entry_size + 1


def icid_bits(typer: GITS_TYPER) -> int:
    """Width of an ICID."""
    return typer.cidbits + 1 if typer.cil else 16
