"""Machines as data: address map, sizes, ID registers, and every choice that Arm leaves to the implementation.

A profile holds no code. The two ``virt`` profiles answer as QEMU's machine of that name does; each field that is a choice
among CONSTRAINED UNPREDICTABLE or IMPLEMENTATION DEFINED behaviours says so and has a record in docs/decisions/.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["PROFILES", "MemoryMap", "Profile"]

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """Where things are, as the session's ``map`` shows it: physical addresses and bytes."""

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


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of machine.

    The choices:
        creadr_writable: software may write GITS_CREADR (QEMU: when GICD_CTLR.DS is set; architecture: read-only).
        stalled_sticky: under error policy ``ignore`` Stalled stays set after progress (QEMU), and any CWRITER write retries.
        queue_fault: a command in missing memory reads as zeros, an unknown opcode ("skip", QEMU), or stalls ("stall").
        cte_fault_stalls: a collection entry in missing memory stalls INT, CLEAR and DISCARD too (QEMU: no, dropped).
        checks_invall: INVALL of an unmapped collection is an error (QEMU: accepted). The ``stall`` policy always checks.
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
    gicr_pidr2: int
    gicr_idbits: int  # GICD_TYPER.IDbits: INTID bits minus one
    creadr_writable: bool = True
    stalled_sticky: bool = True
    queue_fault: str = "skip"
    cte_fault_stalls: bool = False
    checks_invall: bool = False
    rd_base_bits: int = 16
    l1_as_qemu: bool = True
    tables_in_ram: bool = True

    @property
    def virtual(self) -> bool:
        """Whether the ITS handles virtual LPIs (GICv4)."""
        return self.gic >= 4

    def memory_map(self, ram_mib: int) -> MemoryMap:
        """The addresses for a machine with that much RAM (MiB): QEMU's ``virt`` map, carve-outs at the end of RAM."""
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
        )


_GICD: Final = 0x0800_0000
_ITS: Final = 0x0808_0000
_GICR: Final = 0x080A_0000
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
    gicr_pidr2=0x3B,
    gicr_idbits=15,
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
    gicr_pidr2=0x4B,
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

PROFILES: Final[dict[str, Profile]] = {profile.name: profile for profile in (_VIRT_GICV3, _VIRT_GICV4, _SNAPDRAGON)}
