"""GITS_* and GICR_* registers as values with decoded fields.

A class is one register: ``OFFSET`` from its frame, ``SIZE`` in bytes, and a row per field (IHI 0069H.b, "ITS register
descriptions" and "Redistributor register descriptions"). ``GITS_CTLR.from_value(v)`` decodes, ``.value`` encodes. What a register
does, and what the hypervisor lets a host do with it, is not said here: that is the machine's answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self, TypeVar, dataclass_transform

from itsbox_client.layout import Layout, bits, layout

# fmt: off
__all__ = [
    "GICR_CLRLPIR", "GICR_CTLR", "GICR_IIDR", "GICR_INVALLR", "GICR_INVLPIR", "GICR_PENDBASER", "GICR_PROPBASER",
    "GICR_SETLPIR", "GICR_SYNCR", "GICR_TYPER", "GICR_VPENDBASER", "GICR_VPENDBASER_V41", "GICR_VPROPBASER",
    "GICR_VPROPBASER_V41", "GICR_VSGIPENDR", "GICR_VSGIR", "GITS_BASER", "GITS_CBASER", "GITS_CREADR", "GITS_CTLR",
    "GITS_CWRITER", "GITS_IIDR", "GITS_MPAMIDR", "GITS_MPIDR", "GITS_PARTIDR", "GITS_PIDR2", "GITS_SGIR", "GITS_STATUSR",
    "GITS_TRANSLATER", "GITS_TYPER", "GITS_UMSIR", "PAGE_SIZES", "GicrRegister", "GitsRegister", "Register", "table_address",
]
# fmt: on


class Register(Layout):
    """Base of every register value."""

    OFFSET: ClassVar[int] = 0
    SIZE: ClassVar[int] = 8
    COUNT: ClassVar[int] = 1

    @classmethod
    def from_value(cls, value: int) -> Self:
        """Decode a register's value; bits that no field describes are dropped."""
        return cls.from_words(value)

    @property
    def value(self) -> int:
        """The register's value. Raises ValueError, naming the field, if one does not fit."""
        return self.words()[0]


class GitsRegister(Register):
    """A register of the ITS; ``OFFSET`` is from the ITS control frame."""


class GicrRegister(Register):
    """A register of a redistributor; ``OFFSET`` is from its RD_base frame."""


R = TypeVar("R", bound=Register)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(bits,))
def register(offset: int, size: int, count: int = 1) -> Callable[[type[R]], type[R]]:
    """Place a register: its offset, its size in bytes (4 or 8), and how many of it follow each other."""

    def build(cls: type[R]) -> type[R]:
        made = layout(0)(cls)
        made.OFFSET, made.SIZE, made.COUNT = offset, size, count
        return made

    return build


# fmt: off
# ------------------------------------------------------------------------------------------------------------ ITS
@register(0x0000, 4)
class GITS_CTLR(GitsRegister):
    """ITS control."""

    enabled: bool              = bits(0,  0, default=False)
    imde: bool                 = bits(0,  1, default=False)
    its_number: int            = bits(0,  7,  4, default=0)
    umsi_irq: bool             = bits(0,  8, default=False)
    quiescent: bool            = bits(0, 31, default=False)


@register(0x0004, 4)
class GITS_IIDR(GitsRegister):
    """Implementer identification."""

    implementer: int           = bits(0, 11,  0, default=0)
    revision: int              = bits(0, 15, 12, default=0)
    variant: int               = bits(0, 19, 16, default=0)
    product_id: int            = bits(0, 31, 24, default=0)


@register(0x0008, 8)
class GITS_TYPER(GitsRegister):
    """What the ITS supports; sizes are bits minus one."""

    physical: bool             = bits(0,  0, default=False)
    virtual: bool              = bits(0,  1, default=False)
    cct: bool                  = bits(0,  2, default=False)
    itt_entry_size: int        = bits(0,  7,  4, default=0)
    id_bits: int               = bits(0, 12,  8, default=0)
    devbits: int               = bits(0, 17, 13, default=0)
    seis: bool                 = bits(0, 18, default=False)
    pta: bool                  = bits(0, 19, default=False)
    hcc: int                   = bits(0, 31, 24, default=0)
    cidbits: int               = bits(0, 35, 32, default=0)
    cil: bool                  = bits(0, 36, default=False)
    vmovp: bool                = bits(0, 37, default=False)
    mpam: bool                 = bits(0, 38, default=False)
    vsgi: bool                 = bits(0, 39, default=False)
    vmapp: bool                = bits(0, 40, default=False)
    svpet: int                 = bits(0, 42, 41, default=0)
    nid: bool                  = bits(0, 43, default=False)
    umsi: bool                 = bits(0, 44, default=False)
    umsi_irq: bool             = bits(0, 45, default=False)
    inv: bool                  = bits(0, 46, default=False)


@register(0x0010, 4)
class GITS_MPAMIDR(GitsRegister):
    """Largest PARTID and PMG."""

    partid_max: int            = bits(0, 15,  0, default=0)
    pmg_max: int               = bits(0, 23, 16, default=0)


@register(0x0014, 4)
class GITS_PARTIDR(GitsRegister):
    """PARTID and PMG of the ITS's own accesses."""

    partid: int                = bits(0, 15,  0, default=0)
    pmg: int                   = bits(0, 23, 16, default=0)


@register(0x0018, 4)
class GITS_MPIDR(GitsRegister):
    """The affinity group that shares the vPE table with this ITS."""

    aff1: int                  = bits(0, 15,  8, default=0)
    aff2: int                  = bits(0, 23, 16, default=0)
    aff3: int                  = bits(0, 31, 24, default=0)


@register(0x0040, 4)
class GITS_STATUSR(GitsRegister):
    """Errors of accesses; write 1 to clear."""

    rrd: bool                  = bits(0,  0, default=False)
    wrd: bool                  = bits(0,  1, default=False)
    rwod: bool                 = bits(0,  2, default=False)
    wrod: bool                 = bits(0,  3, default=False)
    umsi: bool                 = bits(0,  4, default=False)
    overflow: bool             = bits(0,  5, default=False)
    syndrome: int              = bits(0,  9,  6, default=0)


@register(0x0048, 8)
class GITS_UMSIR(GitsRegister):
    """The unmapped MSI that was captured."""

    event_id: int              = bits(0, 31,  0, default=0)
    device_id: int             = bits(0, 63, 32, default=0)


@register(0x0080, 8)
class GITS_CBASER(GitsRegister):
    """Where the command queue is; ``size`` is 4 KiB pages minus one."""

    size: int                  = bits(0,  7,  0, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 51, 12, shift=12, default=0)
    outer_cache: int           = bits(0, 55, 53, default=0)
    inner_cache: int           = bits(0, 61, 59, default=0)
    valid: bool                = bits(0, 63, default=False)


@register(0x0088, 8)
class GITS_CWRITER(GitsRegister):
    """Byte offset of the next free slot."""

    retry: bool                = bits(0,  0, default=False)
    offset: int                = bits(0, 19,  5, shift=5, default=0)


@register(0x0090, 8)
class GITS_CREADR(GitsRegister):
    """Byte offset of the next slot that the ITS will look at."""

    stalled: bool              = bits(0,  0, default=False)
    offset: int                = bits(0, 19,  5, shift=5, default=0)


@register(0x0100, 8, count=8)
class GITS_BASER(GitsRegister):
    """Where a table is. ``size`` is pages minus one, ``entry_size`` bytes minus one; see ``table_address``."""

    size: int                  = bits(0,  7,  0, default=0)
    page_size: int             = bits(0,  9,  8, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 47, 12, shift=12, default=0)
    entry_size: int            = bits(0, 52, 48, default=0)
    outer_cache: int           = bits(0, 55, 53, default=0)
    type: int                  = bits(0, 58, 56, default=0)
    inner_cache: int           = bits(0, 61, 59, default=0)
    indirect: bool             = bits(0, 62, default=False)
    valid: bool                = bits(0, 63, default=False)


@register(0xFFE8, 4)
class GITS_PIDR2(GitsRegister):
    """Architecture revision: 3 is GICv3, 4 is GICv4."""

    arch_rev: int              = bits(0,  7,  4, default=0)


@register(0x10040, 4)
class GITS_TRANSLATER(GitsRegister):
    """Where a device writes an EventID; write only."""

    event_id: int              = bits(0, 31,  0, default=0)


@register(0x20020, 8)
class GITS_SGIR(GitsRegister):
    """Where a virtual SGI is generated (GICv4.1); write only."""

    virtual_intid: int         = bits(0,  3,  0, default=0)
    vpe_id: int                = bits(0, 47, 32, default=0)


# -------------------------------------------------------------------------------------------------- redistributor
@register(0x0000, 4)
class GICR_CTLR(GicrRegister):
    """Redistributor control."""

    enable_lpis: bool          = bits(0,  0, default=False)
    ces: bool                  = bits(0,  1, default=False)
    ir: bool                   = bits(0,  2, default=False)
    rwp: bool                  = bits(0,  3, default=False)
    dpg0: bool                 = bits(0, 24, default=False)
    dpg1ns: bool               = bits(0, 25, default=False)
    dpg1s: bool                = bits(0, 26, default=False)
    uwp: bool                  = bits(0, 31, default=False)


@register(0x0004, 4)
class GICR_IIDR(GicrRegister):
    """Implementer identification."""

    implementer: int           = bits(0, 11,  0, default=0)
    revision: int              = bits(0, 15, 12, default=0)
    variant: int               = bits(0, 19, 16, default=0)
    product_id: int            = bits(0, 31, 24, default=0)


@register(0x0008, 8)
class GICR_TYPER(GicrRegister):
    """What the redistributor supports and which processor it serves."""

    plpis: bool                = bits(0,  0, default=False)
    vlpis: bool                = bits(0,  1, default=False)
    dirty: bool                = bits(0,  2, default=False)
    direct_lpi: bool           = bits(0,  3, default=False)
    last: bool                 = bits(0,  4, default=False)
    dpgs: bool                 = bits(0,  5, default=False)
    mpam: bool                 = bits(0,  6, default=False)
    rvpeid: bool               = bits(0,  7, default=False)
    processor_number: int      = bits(0, 23,  8, default=0)
    common_lpi_aff: int        = bits(0, 25, 24, default=0)
    vsgi: bool                 = bits(0, 26, default=False)
    ppi_num: int               = bits(0, 31, 27, default=0)
    affinity_value: int        = bits(0, 63, 32, default=0)


@register(0x0040, 8)
class GICR_SETLPIR(GicrRegister):
    """Make an LPI pending; write only."""

    intid: int                 = bits(0, 31,  0, default=0)


@register(0x0048, 8)
class GICR_CLRLPIR(GicrRegister):
    """Clear an LPI's pending state; write only."""

    intid: int                 = bits(0, 31,  0, default=0)


@register(0x0070, 8)
class GICR_PROPBASER(GicrRegister):
    """Where the LPI configuration table is; ``id_bits`` is bits minus one."""

    id_bits: int               = bits(0,  4,  0, default=0)
    inner_cache: int           = bits(0,  9,  7, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 51, 12, shift=12, default=0)
    outer_cache: int           = bits(0, 58, 56, default=0)


@register(0x0078, 8)
class GICR_PENDBASER(GicrRegister):
    """Where the LPI pending table is."""

    inner_cache: int           = bits(0,  9,  7, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 51, 16, shift=16, default=0)
    outer_cache: int           = bits(0, 58, 56, default=0)
    ptz: bool                  = bits(0, 62, default=False)


@register(0x00A0, 8)
class GICR_INVLPIR(GicrRegister):
    """Re-read the configuration of an LPI; ``v`` and ``vpe_id`` exist from GICv4.1; write only."""

    intid: int                 = bits(0, 31,  0, default=0)
    vpe_id: int                = bits(0, 47, 32, default=0)
    v: bool                    = bits(0, 63, default=False)


@register(0x00B0, 8)
class GICR_INVALLR(GicrRegister):
    """Re-read the configuration of all LPIs; ``v`` and ``vpe_id`` exist from GICv4.1; write only."""

    vpe_id: int                = bits(0, 47, 32, default=0)
    v: bool                    = bits(0, 63, default=False)


@register(0x00C0, 4)
class GICR_SYNCR(GicrRegister):
    """Whether an invalidation is still under way."""

    busy: bool                 = bits(0,  0, default=False)


@register(0x20070, 8)
class GICR_VPROPBASER(GicrRegister):
    """GICv4.0: the virtual LPI configuration table of the resident vPE."""

    id_bits: int               = bits(0,  4,  0, default=0)
    inner_cache: int           = bits(0,  9,  7, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 51, 12, shift=12, default=0)
    outer_cache: int           = bits(0, 58, 56, default=0)


@register(0x20070, 8)
class GICR_VPROPBASER_V41(GicrRegister):
    """GICv4.1: the vPE configuration table."""

    size: int                  = bits(0,  6,  0, default=0)
    inner_cache: int           = bits(0,  9,  7, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 51, 12, shift=12, default=0)
    z: bool                    = bits(0, 52, default=False)
    page_size: int             = bits(0, 54, 53, default=0)
    indirect: bool             = bits(0, 55, default=False)
    outer_cache: int           = bits(0, 58, 56, default=0)
    entry_size: int            = bits(0, 61, 59, default=0)
    valid: bool                = bits(0, 63, default=False)


@register(0x20078, 8)
class GICR_VPENDBASER(GicrRegister):
    """GICv4.0: the virtual LPI pending table of the resident vPE."""

    inner_cache: int           = bits(0,  9,  7, default=0)
    shareability: int          = bits(0, 11, 10, default=0)
    physical_address: int      = bits(0, 51, 16, shift=16, default=0)
    outer_cache: int           = bits(0, 58, 56, default=0)
    dirty: bool                = bits(0, 60, default=False)
    pending_last: bool         = bits(0, 61, default=False)
    idai: bool                 = bits(0, 62, default=False)
    valid: bool                = bits(0, 63, default=False)


@register(0x20078, 8)
class GICR_VPENDBASER_V41(GicrRegister):
    """GICv4.1: which vPE is resident."""

    vpe_id: int                = bits(0, 15,  0, default=0)
    vgrp1_en: bool             = bits(0, 58, default=False)
    vgrp0_en: bool             = bits(0, 59, default=False)
    dirty: bool                = bits(0, 60, default=False)
    pending_last: bool         = bits(0, 61, default=False)
    doorbell: bool             = bits(0, 62, default=False)
    valid: bool                = bits(0, 63, default=False)


@register(0x20080, 4)
class GICR_VSGIR(GicrRegister):
    """Ask for the pending virtual SGIs of a vPE (GICv4.1); write only."""

    vpe_id: int                = bits(0, 15,  0, default=0)


@register(0x20088, 4)
class GICR_VSGIPENDR(GicrRegister):
    """The answer to GICR_VSGIR."""

    pending: int               = bits(0, 15,  0, default=0)
    busy: bool                 = bits(0, 31, default=False)
# fmt: on

#: Bytes of a page by GITS_BASER.Page_Size; the reserved value 3 counts as 64 KiB.
PAGE_SIZES = (0x1000, 0x4000, 0x10000, 0x10000)


def table_address(baser: GITS_BASER) -> int:
    """The address of a table: with 64 KiB pages, bits 15:12 of the field hold PA[51:48] (IHI 0069H.b, GITS_BASER<n>)."""
    if PAGE_SIZES[baser.page_size] != 0x10000:
        return baser.physical_address
    folded = baser.physical_address >> 12 & 0xF
    return baser.physical_address & ~0xFFFF | folded << 48
