"""The 21 ITS commands of GICv3, GICv4 and GICv4.1 as values that encode to the 32 bytes of a queue slot.

Layouts: IHI 0069H.b, "ITS commands"; names are Arm's. ``rd_base`` is the field RDbase[51:16] as a number: a processor number
where GITS_TYPER.PTA is 0, and ``rd_base_of(address)`` where it is 1. ``size`` and ``vpt_size`` are bits minus one, as Arm has them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, TypeAlias

from itsbox_client.layout import WORD_MASK, Layout, bits, layout

# fmt: off
__all__ = [
    "CLEAR", "COMMANDS", "DISCARD", "INT", "INV", "INVALL", "INVDB", "MAPC", "MAPD", "MAPI", "MAPTI", "MOVALL", "MOVI",
    "NO_DOORBELL", "SLOT_BYTES", "SYNC", "VINVALL", "VMAPI", "VMAPP", "VMAPTI", "VMOVI", "VMOVP", "VSGI", "VSYNC",
    "AnyCommand", "Command", "DeviceId", "EventId", "Icid", "Intid", "PhysAddr", "RawCommand", "RdBase", "SizeBits",
    "VpeId", "decode", "encode", "rd_base_of",
]
# fmt: on

SLOT_BYTES = 32
NO_DOORBELL = 1023
_SLOT = struct.Struct("<4Q")


class Command(Layout):
    """Base of the 21 commands: four words, the opcode in bits 7:0 of the first."""

    OPCODE: ClassVar[int] = 0

    def __init_subclass__(cls, *, opcode: int) -> None:
        cls.OPCODE = opcode


class RawCommand(NamedTuple):
    """Any four words, for what the typed commands refuse to express: reserved bits, unknown opcodes, odd addresses."""

    dw0: int
    dw1: int = 0
    dw2: int = 0
    dw3: int = 0

    def words(self) -> tuple[int, ...]:
        """The four words."""
        return tuple(self)


AnyCommand: TypeAlias = Command | RawCommand

# What the ints in commands are.
DeviceId: TypeAlias = int
EventId: TypeAlias = int
Icid: TypeAlias = int
Intid: TypeAlias = int
VpeId: TypeAlias = int
RdBase: TypeAlias = int
PhysAddr: TypeAlias = int
SizeBits: TypeAlias = int


def encode(command: AnyCommand) -> bytes:
    """The 32 bytes of the command as they stand in a queue slot (four little-endian words).

    Raises ValueError, naming the field, if a value does not fit.
    """
    words = command.words()
    if any(not 0 <= word <= WORD_MASK for word in words):
        raise ValueError(f"a command is four unsigned 64-bit words, not {words}")
    return _SLOT.pack(*words)


def decode(slot: bytes) -> AnyCommand:
    """The command in a 32-byte slot; a RawCommand where the opcode is unknown. Reserved bits are dropped."""
    words = _SLOT.unpack(slot)
    kind = COMMANDS.get(words[0] & 0xFF)
    return RawCommand(*words) if kind is None else kind.from_words(*words)


def rd_base_of(address: int) -> int:
    """``rd_base`` for a redistributor at a physical address, where GITS_TYPER.PTA is 1. Raises ValueError if not 64 KiB aligned."""
    if address & 0xFFFF:
        raise ValueError(f"a redistributor is 64 KiB aligned, {address:#x} is not")
    return address >> 16


def _command(opcode: int) -> tuple[int, int, int, int]:
    return opcode, 0, 0, 0


# fmt: off
@layout(*_command(0x08))
class MAPD(Command, opcode=0x08):
    """Map a DeviceID to its interrupt translation table, or (``valid`` False) unmap it."""

    device_id: int        = bits(0, 63, 32)
    size: int             = bits(1,  4,  0, default=0)
    itt_addr: int         = bits(2, 51,  8, shift=8, default=0)
    valid: bool           = bits(2, 63, default=True)


@layout(*_command(0x09))
class MAPC(Command, opcode=0x09):
    """Map a collection to a redistributor, or unmap it."""

    icid: int             = bits(2, 15,  0)
    rd_base: int          = bits(2, 51, 16, default=0)
    valid: bool           = bits(2, 63, default=True)


@layout(*_command(0x0A))
class MAPTI(Command, opcode=0x0A):
    """Map an event of a device to an LPI in a collection."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)
    intid: int            = bits(1, 63, 32)
    icid: int             = bits(2, 15,  0)


@layout(*_command(0x0B))
class MAPI(Command, opcode=0x0B):
    """Map an event of a device to the LPI of the same number."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)
    icid: int             = bits(2, 15,  0)


@layout(*_command(0x01))
class MOVI(Command, opcode=0x01):
    """Move an event, with its pending state, to another collection."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)
    icid: int             = bits(2, 15,  0)


@layout(*_command(0x03))
class INT(Command, opcode=0x03):
    """Make an event pending."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)


@layout(*_command(0x04))
class CLEAR(Command, opcode=0x04):
    """Clear an event's pending state."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)


@layout(*_command(0x0C))
class INV(Command, opcode=0x0C):
    """Re-read the configuration of an event's interrupt."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)


@layout(*_command(0x0F))
class DISCARD(Command, opcode=0x0F):
    """Clear an event's pending state and unmap the event."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)


@layout(*_command(0x0D))
class INVALL(Command, opcode=0x0D):
    """Re-read the configuration of every LPI of a collection."""

    icid: int             = bits(2, 15,  0)


@layout(*_command(0x05))
class SYNC(Command, opcode=0x05):
    """Wait until earlier commands are visible at a redistributor."""

    rd_base: int          = bits(2, 51, 16)


@layout(*_command(0x0E))
class MOVALL(Command, opcode=0x0E):
    """Move every pending LPI of redistributor ``rd_base1`` to ``rd_base2``."""

    rd_base1: int         = bits(2, 51, 16)
    rd_base2: int         = bits(3, 51, 16)


@layout(*_command(0x29))
class VMAPP(Command, opcode=0x29):
    """Map a vPE to a redistributor and its pending table (GICv4); the fields after ``vpt_addr`` exist from GICv4.1."""

    vpe_id: int           = bits(1, 47, 32)
    rd_base: int          = bits(2, 51, 16, default=0)
    valid: bool           = bits(2, 63, default=True)
    vpt_size: int         = bits(3,  4,  0, default=0)
    vpt_addr: int         = bits(3, 51, 16, shift=16, default=0)
    default_doorbell: int = bits(1, 31,  0, default=0)
    alloc: bool           = bits(0,  8, default=False)
    ptz: bool             = bits(0,  9, default=False)
    vconf_addr: int       = bits(0, 51, 16, shift=16, default=0)


@layout(*_command(0x2A))
class VMAPTI(Command, opcode=0x2A):
    """Map an event of a device to a virtual LPI of a vPE."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)
    vpe_id: int           = bits(1, 47, 32)
    virtual_intid: int    = bits(2, 31,  0)
    doorbell_intid: int   = bits(2, 63, 32, default=NO_DOORBELL)


@layout(*_command(0x2B))
class VMAPI(Command, opcode=0x2B):
    """Map an event of a device to the virtual LPI of the same number."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)
    vpe_id: int           = bits(1, 47, 32)
    doorbell_intid: int   = bits(2, 63, 32, default=NO_DOORBELL)


@layout(*_command(0x21))
class VMOVI(Command, opcode=0x21):
    """Move an event to another vPE; ``d`` says whether ``doorbell_intid`` replaces the event's doorbell."""

    device_id: int        = bits(0, 63, 32)
    event_id: int         = bits(1, 31,  0)
    vpe_id: int           = bits(1, 47, 32)
    d: bool               = bits(2,  0, default=False)
    doorbell_intid: int   = bits(2, 63, 32, default=0)


@layout(*_command(0x22))
class VMOVP(Command, opcode=0x22):
    """Move a vPE to another redistributor; ``db`` and ``default_doorbell`` exist from GICv4.1."""

    vpe_id: int           = bits(1, 47, 32)
    rd_base: int          = bits(2, 51, 16)
    sequence_number: int  = bits(0, 47, 32, default=0)
    its_list: int         = bits(1, 15,  0, default=0)
    db: bool              = bits(2, 63, default=False)
    default_doorbell: int = bits(3, 31,  0, default=0)


@layout(*_command(0x23))
class VSGI(Command, opcode=0x23):
    """Configure a virtual SGI of a vPE (GICv4.1); ``priority`` keeps its top four bits."""

    vpe_id: int           = bits(1, 47, 32)
    virtual_intid: int    = bits(0, 35, 32)
    enable: bool          = bits(0,  8, default=False)
    clear: bool           = bits(0,  9, default=False)
    group: bool           = bits(0, 10, default=False)
    priority: int         = bits(0, 23, 20, shift=4, default=0)


@layout(*_command(0x25))
class VSYNC(Command, opcode=0x25):
    """Wait until earlier virtual commands of a vPE are visible."""

    vpe_id: int           = bits(1, 47, 32)


@layout(*_command(0x2D))
class VINVALL(Command, opcode=0x2D):
    """Re-read the configuration of every virtual LPI of a vPE."""

    vpe_id: int           = bits(1, 47, 32)


@layout(*_command(0x2E))
class INVDB(Command, opcode=0x2E):
    """Re-read the configuration of a vPE's default doorbell (GICv4.1)."""

    vpe_id: int           = bits(1, 47, 32)


_ALL: tuple[type[Command], ...] = (
    MOVI, INT, CLEAR, SYNC, MAPD, MAPC, MAPTI, MAPI, INV, INVALL, MOVALL, DISCARD,
    VMOVI, VMOVP, VSGI, VSYNC, VMAPP, VMAPTI, VMAPI, VINVALL, INVDB,
)
# fmt: on

#: Every command by opcode.
COMMANDS: Mapping[int, type[Command]] = {kind.OPCODE: kind for kind in _ALL}
