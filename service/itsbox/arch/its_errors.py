"""ITS command errors: the 24-bit codes an ITS reports, with their names, and the pair (command, cause) that leads to each.

A code is 0x01_CC_EE (IHI 0069H.b, "Command errors"): CC is the command's opcode, except that CLEAR has 0x05; EE is the class.
Each member says who publishes its number:

* ``L`` the constants of Linux (``E_ITS_...``),
* ``T`` Arm's GIC-600AE TRM (101206),
* ``N`` the GICv4 constants of QNX's ``gic_its.h``,
* ``P`` nobody that we know of: formed by the pattern above,
* ``own`` this project: the architecture has no code; ours is below 0x010000.

Classes from 0x20 on are IMPLEMENTATION DEFINED and those of GIC-600. Not listed: the TRM's OPR_* and ACE-Lite errors,
which reuse MAPTI's and MAPI's numbers in another class of error record and are no command errors.

INT, CLEAR, INV and DISCARD have no class of their own for an event whose collection or vPE is not mapped, as MOVI and
INVALL have: for them the entry itself is what cannot be used, ITE_INVALID. ``command_error`` knows such substitutions.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Cause(Enum):
    """What is wrong with a command: the class byte EE of its code, and a sentence. A class may serve two causes."""

    DEVICE_OOR = 0x01, "The DeviceID is out of range: too wide, or beyond the device table."
    PROCNUM_OOR = 0x02, "RDbase names no redistributor."
    ITTSIZE_OOR = 0x02, "Size asks for more EventID bits than GITS_TYPER.ID_bits."
    COLLECTION_OOR = 0x03, "The ICID is out of range: too wide, or beyond the collection table."
    UNMAPPED_DEVICE = 0x04, "The DeviceID is not mapped."
    ID_OOR = 0x05, "The EventID is beyond the Size that the device was mapped with."
    PHYSICALID_OOR = 0x06, "The physical INTID or doorbell is not an LPI that exists."
    UNMAPPED_INTERRUPT = 0x07, "The event is not mapped."
    UNMAPPED_COLLECTION = 0x09, "The collection is not mapped."
    ITE_INVALID = 0x10, "The event's entry cannot be used: wrong kind, or it names an unmapped collection or vPE."
    VCPU_OOR = 0x11, "The vPEID is out of range: too wide, or beyond the vPE table."
    VPTSIZE_OOR = 0x12, "VPT_size asks for more INTID bits than there are."
    VIRTUALID_OOR = 0x13, "The virtual INTID is not an LPI of the vPE."
    VCPU_INVALID = 0x14, "The vPE is not mapped."
    ID_IS_PHYSICAL = 0x15, "The event is mapped to a physical LPI."
    ITEVCPU_INVALID = 0x16, "The vPE that the event is mapped to is not mapped."
    CMDVCPU_INVALID = 0x17, "The vPE that the command names is not mapped."
    TGT_OOR = 0x20, "The target is a core that does not exist."
    DST_TGT_OOR = 0x21, "The destination is a core that does not exist."
    CHIP_OFFLINE_OOR = 0x22, "The target is on a chip that is offline."
    LPI_OFF = 0x23, "The target has LPIs disabled."
    ENABLE_LPI_OFF = 0x23, "The source has LPIs disabled."
    DST_ENABLE_LPI_OFF = 0x24, "The destination has LPIs disabled."
    UNKNOWN_COMMAND = 0x00, "No command has this opcode."
    MEMORY_FAULT = 0x01, "A table lies in memory that does not answer."

    def __init__(self, ee: int, sentence: str) -> None:
        self.ee = ee
        self.sentence = sentence


class CommandError(Enum):
    """A command error. Closed: every code that an ITS of this project can report.

    Attributes:
        code: 24-bit code; below 0x010000 for the two that the architecture does not have.
        source: who publishes the code, as in the head of this file.
    """

    # fmt: off
    MOVI_DEVICE_OOR            = 0x010101, "T"
    MOVI_COLLECTION_OOR        = 0x010103, "T"
    MOVI_UNMAPPED_DEVICE       = 0x010104, "T"
    MOVI_ID_OOR                = 0x010105, "T"
    MOVI_UNMAPPED_INTERRUPT    = 0x010107, "L T"
    MOVI_UNMAPPED_COLLECTION   = 0x010109, "L T"
    MOVI_ITE_INVALID           = 0x010110, "P"

    INT_DEVICE_OOR             = 0x010301, "T"
    INT_UNMAPPED_DEVICE        = 0x010304, "T"
    INT_ID_OOR                 = 0x010305, "T"
    INT_UNMAPPED_INTERRUPT     = 0x010307, "L T"
    INT_ITE_INVALID            = 0x010310, "T"
    INT_TGT_OOR                = 0x010320, "T"
    INT_CHIP_OFFLINE_OOR       = 0x010322, "T"
    INT_LPI_OFF                = 0x010323, "T"

    CLEAR_DEVICE_OOR           = 0x010501, "T"
    CLEAR_UNMAPPED_DEVICE      = 0x010504, "T"
    CLEAR_ID_OOR               = 0x010505, "T"
    CLEAR_UNMAPPED_INTERRUPT   = 0x010507, "L T"
    CLEAR_ITE_INVALID          = 0x010510, "T"
    CLEAR_TGT_OOR              = 0x010520, "T"
    CLEAR_CHIP_OFFLINE_OOR     = 0x010522, "T"
    CLEAR_LPI_OFF              = 0x010523, "T"
    CLEAR_PHYSICALID_OOR       = 0x010526, "T"

    # SYNC's opcode is CLEAR's byte; class 02 is free there.
    SYNC_PROCNUM_OOR           = 0x010502, "P"

    MAPD_DEVICE_OOR            = 0x010801, "L T"
    MAPD_ITTSIZE_OOR           = 0x010802, "L T"

    MAPC_PROCNUM_OOR           = 0x010902, "L"
    MAPC_COLLECTION_OOR        = 0x010903, "L T"
    MAPC_TGT_OOR               = 0x010920, "T"
    MAPC_CHIP_OFFLINE_OOR      = 0x010922, "T"
    MAPC_LPI_OFF               = 0x010923, "T"

    MAPTI_DEVICE_OOR           = 0x010A01, "P"
    MAPTI_COLLECTION_OOR       = 0x010A03, "P"
    MAPTI_UNMAPPED_DEVICE      = 0x010A04, "L"
    MAPTI_ID_OOR               = 0x010A05, "L"
    MAPTI_PHYSICALID_OOR       = 0x010A06, "L T"

    MAPI_DEVICE_OOR            = 0x010B01, "T"
    MAPI_COLLECTION_OOR        = 0x010B03, "T"
    MAPI_UNMAPPED_DEVICE       = 0x010B04, "T"
    MAPI_ID_OOR                = 0x010B05, "T"
    MAPI_PHYSICALID_OOR        = 0x010B06, "P"

    INV_DEVICE_OOR             = 0x010C01, "T"
    INV_UNMAPPED_DEVICE        = 0x010C04, "T"
    INV_ID_OOR                 = 0x010C05, "T"
    INV_UNMAPPED_INTERRUPT     = 0x010C07, "L T"
    INV_ITE_INVALID            = 0x010C10, "T"

    INVALL_COLLECTION_OOR      = 0x010D03, "T"
    INVALL_UNMAPPED_COLLECTION = 0x010D09, "L T"
    INVALL_TGT_OOR             = 0x010D20, "T"
    INVALL_CHIP_OFFLINE_OOR    = 0x010D22, "T"
    INVALL_LPI_OFF             = 0x010D23, "T"

    # The one command whose class 01 is a processor number.
    MOVALL_PROCNUM_OOR         = 0x010E01, "L"
    MOVALL_TGT_OOR             = 0x010E20, "T"
    MOVALL_DST_TGT_OOR         = 0x010E21, "T"
    MOVALL_CHIP_OFFLINE_OOR    = 0x010E22, "T"
    MOVALL_ENABLE_LPI_OFF      = 0x010E23, "T"
    MOVALL_DST_ENABLE_LPI_OFF  = 0x010E24, "T"

    DISCARD_DEVICE_OOR         = 0x010F01, "P"
    DISCARD_UNMAPPED_DEVICE    = 0x010F04, "P"
    DISCARD_ID_OOR             = 0x010F05, "P"
    DISCARD_UNMAPPED_INTERRUPT = 0x010F07, "L T"
    DISCARD_ITE_INVALID        = 0x010F10, "T"

    VMOVI_DEVICE_OOR           = 0x012101, "P"
    VMOVI_UNMAPPED_DEVICE      = 0x012104, "P"
    VMOVI_ID_OOR               = 0x012105, "N"
    VMOVI_PHYSICALID_OOR       = 0x012106, "N"
    VMOVI_UNMAPPED_INTERRUPT   = 0x012107, "P"
    VMOVI_ID_IS_PHYSICAL       = 0x012115, "N"
    VMOVI_ITEVCPU_INVALID      = 0x012116, "N"
    VMOVI_CMDVCPU_INVALID      = 0x012117, "N"

    VMOVP_PROCNUM_OOR          = 0x012202, "P"
    VMOVP_PHYSICALID_OOR       = 0x012206, "P"
    VMOVP_VCPU_OOR             = 0x012211, "P"
    VMOVP_VCPU_INVALID         = 0x012214, "P"

    VSGI_VCPU_OOR              = 0x012311, "P"
    VSGI_VCPU_INVALID          = 0x012314, "P"

    VSYNC_VCPU_OOR             = 0x012511, "N"
    VSYNC_VCPU_INVALID         = 0x012514, "N"

    VMAPP_PROCNUM_OOR          = 0x012902, "P"
    VMAPP_PHYSICALID_OOR       = 0x012906, "P"
    VMAPP_VCPU_OOR             = 0x012911, "N"
    VMAPP_VPTSIZE_OOR          = 0x012912, "P"

    VMAPTI_DEVICE_OOR          = 0x012A01, "P"
    VMAPTI_UNMAPPED_DEVICE     = 0x012A04, "P"
    VMAPTI_ID_OOR              = 0x012A05, "N"
    VMAPTI_PHYSICALID_OOR      = 0x012A06, "P"
    VMAPTI_VCPU_OOR            = 0x012A11, "P"
    VMAPTI_VIRTUALID_OOR       = 0x012A13, "N"
    VMAPTI_VCPU_INVALID        = 0x012A14, "P"

    VMAPI_DEVICE_OOR           = 0x012B01, "P"
    VMAPI_UNMAPPED_DEVICE      = 0x012B04, "P"
    VMAPI_ID_OOR               = 0x012B05, "N"
    VMAPI_PHYSICALID_OOR       = 0x012B06, "N"
    VMAPI_VCPU_OOR             = 0x012B11, "P"
    VMAPI_VIRTUALID_OOR        = 0x012B13, "P"
    VMAPI_VCPU_INVALID         = 0x012B14, "P"

    VINVALL_VCPU_OOR           = 0x012D11, "P"
    VINVALL_VCPU_INVALID       = 0x012D14, "P"

    INVDB_VCPU_OOR             = 0x012E11, "P"
    INVDB_VCPU_INVALID         = 0x012E14, "P"

    UNKNOWN_COMMAND            = 0x000000, "own"
    MEMORY_FAULT               = 0x000001, "own"
    # fmt: on

    def __init__(self, code: int, source: str) -> None:
        self.code = code
        self.source = source

    @property
    def architected(self) -> bool:
        """Whether the architecture, or GIC-600, has this code; if not it is this project's own."""
        return self.code >= 0x010000

    @property
    def implementation_defined(self) -> bool:
        """Whether the class is one of GIC-600's own."""
        return self.code & 0xFF >= 0x20

    @property
    def command(self) -> str:
        """Arm's mnemonic of the command, or "" where the error belongs to none."""
        return self.name.partition("_")[0] if self.architected else ""

    @property
    def cause(self) -> Cause:
        """What is wrong."""
        return Cause[self.name.partition("_")[2] if self.architected else self.name]

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return self.cause.sentence


ERRORS_BY_CODE: Final = {error.code: error for error in CommandError}

# What to report where a ladder can fail for a cause that has no code of its own for this command.
_SUBSTITUTES: Final = {
    **{
        (command, cause): Cause.ITE_INVALID
        for command in ("INT", "CLEAR", "INV", "DISCARD")
        for cause in (Cause.COLLECTION_OOR, Cause.UNMAPPED_COLLECTION, Cause.VCPU_OOR, Cause.VCPU_INVALID)
    },
    # A collection whose redistributor does not exist: only a table edited by software holds one.
    ("INT", Cause.PROCNUM_OOR): Cause.TGT_OOR,
    ("CLEAR", Cause.PROCNUM_OOR): Cause.TGT_OOR,
    ("INV", Cause.PROCNUM_OOR): Cause.ITE_INVALID,
    ("DISCARD", Cause.PROCNUM_OOR): Cause.ITE_INVALID,
    ("MOVI", Cause.PROCNUM_OOR): Cause.UNMAPPED_COLLECTION,
    ("INVALL", Cause.PROCNUM_OOR): Cause.TGT_OOR,
    # The vPEID of a VMOVI is that of its command; a virtual entry is what it wants.
    ("VMOVI", Cause.VCPU_OOR): Cause.CMDVCPU_INVALID,
    ("VMOVI", Cause.VCPU_INVALID): Cause.CMDVCPU_INVALID,
    ("VMOVI", Cause.ITE_INVALID): Cause.ID_IS_PHYSICAL,
}

_BY_COMMAND_AND_CAUSE: Final = {(error.command, error.cause): error for error in CommandError if error.architected}
_BY_COMMAND_AND_CAUSE.update(
    {(command, cause): _BY_COMMAND_AND_CAUSE[command, instead] for (command, cause), instead in _SUBSTITUTES.items()}
)


def command_error(command: str, cause: Cause) -> CommandError:
    """Return the error that ``command``, Arm's mnemonic, reports for ``cause``.

    Raises:
        KeyError: the command cannot fail for this cause.
    """
    if cause is Cause.MEMORY_FAULT:
        return CommandError.MEMORY_FAULT
    return _BY_COMMAND_AND_CAUSE[command, cause]
