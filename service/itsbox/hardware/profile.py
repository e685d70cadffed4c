"""Machines as data: address map, sizes, ID registers, and every choice that Arm leaves to the implementation.

A profile holds no code. ``virt-gicv3`` and ``virt-gicv4`` answer as QEMU's machine of that name does; ``virt-gicv4.1`` has the
same map and is a part like GIC-700, which QEMU does not have. Each field that is a choice among CONSTRAINED UNPREDICTABLE or
IMPLEMENTATION DEFINED behaviours says so and has a record in docs/decisions/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from itsbox.arch.its_tables import rd_frame

__all__ = ["PROFILES", "MemoryMap", "Profile"]

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """Where things are, as the session's ``map`` shows it: physical addresses and bytes.

    its_nodes: the control frame of each ITS, ITS 0 first; its translation frame follows it. sgir: GITS_SGIR of ITS 0, or None
    without virtual SGIs; further ITSs have theirs at the architected offset.
    """

    gicd: int
    its: int
    translater: int
    gicr: int
    gicr_stride: int
    ram: int
    ram_bytes: int
    hyp: int
    hyp_bytes: int
    guest: int
    guest_bytes: int
    sgir: int | None = None
    its_nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of machine.

    The choices:
        creadr_writable: software may write GITS_CREADR (QEMU: when GICD_CTLR.DS is set; architecture: read-only).
        stalled_sticky: under error policy ``ignore`` Stalled stays set after progress (QEMU), and any CWRITER write retries.
        queue_fault: a command in missing memory reads as zeros, an unknown opcode ("skip", QEMU), or stalls ("stall").
        cte_fault_stalls: a collection entry in missing memory stalls INT, CLEAR and DISCARD too (QEMU: no, dropped).
        checks_invall: INVALL of an unmapped collection is an error (QEMU: accepted). The ``stall`` policy always checks.
        checks_vpe: VMAPTI, VMAPI and VSYNC of an unmapped vPE are errors, a VMAPP with V=0 ignores its other fields, and checks
            come in the manual's order (QEMU: no). The ``stall`` policy always checks.
        quiescent_while_enabled: GITS_CTLR.Quiescent reads one even while enabled (QEMU); else it is the inverse of Enabled.
        vmovp_waits: with GITS_TYPER.VMOVP = 0, which ITSs of the ITSList a VMOVP waits for: those that do not exist or are off
            ("absent"), or also those that have not come to the same sequence number yet ("all").
        rd_base_bits: how many bits of a PTA=0 RDbase the ITS keeps for MAPC.
        l1_as_qemu: level-1 entries are read with QEMU's address mask, bits [50:0], unaligned pages included.
        tables_in_ram: nothing is cached; each command reads the tables again.
        cbaser_writable, baser_writable: masks of the bits that software can change (attribute bits that do not stick are
            how a driver learns that the ITS is not coherent).
    """

    name: str
    doc: str
    gic: int  # 3 or 4
    gicv4_1: bool
    cpus: int
    ram_mib: int
    its_count: int
    coherent: bool
    gicr_stride: int
    its_typer: int
    its_iidr: int
    its_pidr: tuple[int, ...]  # PIDR4..7, PIDR0..3, CIDR0..3: offsets 0xFFD0..0xFFFC
    its_mpidr: int
    baser_reset: tuple[int, ...]
    cbaser_writable: int
    baser_writable: int
    vte_bytes: int
    gicd_typer: int
    gicd_typer2: int
    gicd_iidr: int
    gicr_typer: int  # the fields that every redistributor shares
    gicr_iidr: int
    gicr_idbits: int  # GICD_TYPER.IDbits: INTID bits minus one
    gicr_ctlr: int = 0b010  # the read-only fields: CES, and IR [2] where GICR_INVLPIR and GICR_INVALLR work
    creadr_writable: bool = True
    stalled_sticky: bool = True
    queue_fault: str = "skip"
    cte_fault_stalls: bool = False
    checks_invall: bool = False
    checks_vpe: bool = False
    quiescent_while_enabled: bool = True
    vmovp_waits: str = "absent"
    rd_base_bits: int = 16
    l1_as_qemu: bool = True
    tables_in_ram: bool = True

    def frame_id(self, n: int, part: int) -> int:
        """Identification register ``n`` (PIDR4..7, PIDR0..3, CIDR0..3) of a frame whose part number ends in ``part``."""
        return part if n == 4 else self.its_pidr[n]

    @property
    def virtual(self) -> bool:
        """Whether the ITS handles virtual LPIs (GICv4)."""
        return self.gic >= 4

    def redistributor_at(self, rd_base: int, cpus: int) -> int | None:
        """Number of the redistributor, of so many, whose RD frame is at an RDbase that is an address (PTA=1), or None."""
        number, rest = divmod(rd_frame(rd_base) - _GICR, self.gicr_stride)
        return number if not rest and 0 <= number < cpus else None

    def memory_map(self, ram_mib: int) -> MemoryMap:
        """The addresses for a machine with that much RAM (MiB): QEMU's ``virt`` map, carve-outs at the end of RAM.

        Further ITSs, and the virtual SGI frame of ITS 0, have places that QEMU's map leaves free (decision record).
        """
        ram_bytes = ram_mib * _MIB
        end = _RAM + ram_bytes
        return MemoryMap(
            gicd=_GICD,
            its=_ITS,
            translater=_ITS + 0x10040,
            gicr=_GICR,
            gicr_stride=self.gicr_stride,
            ram=_RAM,
            ram_bytes=ram_bytes,
            hyp=end - _MIB,
            hyp_bytes=_MIB,
            guest=end - 2 * _MIB,
            guest_bytes=_MIB,
            sgir=_SGIR if self.gicv4_1 else None,
            its_nodes=(_ITS, *(_FURTHER_ITS + n * _ITS_STRIDE for n in range(self.its_count - 1))),
        )


_GICD: Final = 0x0800_0000
_SGIR: Final = 0x0807_0020
_ITS: Final = 0x0808_0000
_GICR: Final = 0x080A_0000
_FURTHER_ITS: Final = 0x0910_0000
_ITS_STRIDE: Final = 0x4_0000
_RAM: Final = 0x4000_0000

_ALL: Final = (1 << 64) - 1
# All of GITS_BASER but Type [58:56] and Entry_Size [52:48].
_BASER_RW: Final = 0xF8E0_FFFF_FFFF_FFFF
_COMPONENT_ID: Final = (0x0D, 0xF0, 0x05, 0xB1)

_VIRT_GICV3: Final = Profile(
    name="virt-gicv3",
    doc="QEMU's virt machine with gic-version=3: GICv3 ITS, tables re-read for each command, no errors reported.",
    gic=3,
    gicv4_1=False,
    cpus=4,
    ram_mib=256,
    its_count=1,
    coherent=True,
    gicr_stride=128 * _KIB,
    its_typer=0x0000_001F_0001_EFB1,
    its_iidr=0x0000_043B,
    its_pidr=(0x44, 0, 0, 0, 0x94, 0xB4, 0x3B, 0, *_COMPONENT_ID),
    its_mpidr=0,
    baser_reset=(0x0107_0000_0000_0200, 0x0407_0000_0000_0200, 0, 0, 0, 0, 0, 0),
    cbaser_writable=_ALL,
    baser_writable=_BASER_RW,
    vte_bytes=8,
    gicd_typer=0x037A_0007,
    gicd_typer2=0,
    gicd_iidr=0x43B,
    gicr_typer=0x0100_0001,
    gicr_iidr=0x43B,
    gicr_idbits=15,
)

_VIRT_GICV3_PTA: Final = replace(
    _VIRT_GICV3,
    name="virt-gicv3-pta",
    doc="As virt-gicv3 with GITS_TYPER.PTA = 1: RDbase is the address of an RD frame, in commands and in collection entries.",
    its_typer=0x0000_001F_0009_EFB1,
)

_VIRT_GICV4: Final = replace(
    _VIRT_GICV3,
    name="virt-gicv4",
    doc="QEMU's virt machine with gic-version=4: as virt-gicv3, with virtual LPIs (GICv4.0).",
    gic=4,
    gicr_stride=256 * _KIB,
    its_typer=0x0000_003F_0001_EFB3,
    its_pidr=(0x44, 0, 0, 0, 0x94, 0xB4, 0x4B, 0, *_COMPONENT_ID),
    baser_reset=(0x0107_0000_0000_0200, 0x0407_0000_0000_0200, 0x0207_0000_0000_0200, 0, 0, 0, 0, 0),
    gicd_typer=0x037E_0007,
    gicr_typer=0x0100_0003,
)

_VIRT_GICV4_1: Final = replace(
    _VIRT_GICV4,
    name="virt-gicv4.1",
    doc="A part like GIC-700 in QEMU's map: GICv4.1 with virtual SGIs, default doorbells only, a vPE table that is shared.",
    gicv4_1=True,
    # Those of GICv4.0, and VSGI [39], VMAPP [40], SVPET [42:41] = 1 (shared at Aff3), nID [43].
    its_typer=0x0000_0BBF_0001_EFB3,
    baser_reset=(0x0107_0000_0000_0200, 0x0407_0000_0000_0200, 0x021F_0000_0000_0200, 0, 0, 0, 0, 0),
    vte_bytes=32,
    gicd_typer2=0x8F,  # VIL [7], VID [4:0] = 15: vPEIDs have 16 bits
    gicr_typer=0x0500_0087,  # PLPIS, VLPIS, Dirty [2], RVPEID [7], CommonLPIAff [25:24] = 1 (Aff3), VSGI [26]
    gicr_ctlr=0b110,
    creadr_writable=False,
    cte_fault_stalls=True,
    checks_invall=True,
    checks_vpe=True,
    quiescent_while_enabled=False,
    l1_as_qemu=False,
)

_VIRT_GICV4_DUAL_ITS: Final = replace(
    _VIRT_GICV4,
    name="virt-gicv4-dual-its",
    doc="As virt-gicv4 with two ITSs and GITS_TYPER.VMOVP = 0: a VMOVP goes to each, with a sequence number and an ITSList.",
    its_count=2,
    its_typer=0x0000_001F_0001_EFB3,
)

_SNAPDRAGON: Final = replace(
    _VIRT_GICV3,
    name="snapdragon",
    doc="The machine of the mail's hang: 8 CPUs, a command queue that is not coherent with the CPUs' caches.",
    cpus=8,
    coherent=False,
    # GITS_CBASER.Shareability does not stick: the driver sees a non-coherent queue and cleans each command.
    cbaser_writable=_ALL & ~0xC00,
)

PROFILES: Final[dict[str, Profile]] = {
    profile.name: profile
    for profile in (_VIRT_GICV3, _VIRT_GICV3_PTA, _VIRT_GICV4, _VIRT_GICV4_1, _VIRT_GICV4_DUAL_ITS, _SNAPDRAGON)
}
