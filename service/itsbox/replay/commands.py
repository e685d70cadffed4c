"""Random ITS commands with operands that meet each other, for ``generator``.

Each maker returns the 32 bytes of one command, by the layouts of ``arch.its_commands``. ``Operands`` owns the pools; what the
pools share with the set-up of a sequence (devices with a home ITT, collections 0 to 3, vPEs 0 to 2) makes commands succeed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from itsbox.arch.its_commands import (
    CLEAR,
    COMMAND_SIZE,
    COMMANDS,
    DISCARD,
    INT,
    INV,
    INVALL,
    MAPC,
    MAPD,
    MAPI,
    MAPTI,
    MOVALL,
    MOVI,
    NO_DOORBELL,
    SYNC,
    VINVALL,
    VMAPI,
    VMAPP,
    VMAPTI,
    VMOVI,
    VMOVP,
    VSYNC,
)  # fmt: skip
from itsbox.arch.its_tables import CTE, DTE, ITE, VTE, L1Entry
from itsbox.arch.layout import Layout
from itsbox.replay import places

__all__ = ["Operands", "hostile_entry", "sync"]

HOME_SLOT: Final = {0x00: 0, 0x08: 1, 0x09: 2, 0x10: 3, 0x100: 4}  # DeviceID to ITT slot
UNKNOWN_OPCODES: Final = (0x00, 0x02, 0x06, 0x07, 0x10, 0x20, 0x23, 0x2E, 0x42, 0x80, 0xFF)


def _bytes(command: Layout) -> bytes:
    return command.STRUCT.pack(*command.encode())


def _made(layout: type[Layout], **fields: int) -> bytes:
    return _bytes(layout.decode(0, 0, 0, 0).replace(**fields))


def sync(rd_base: int) -> bytes:
    """A SYNC."""
    return _made(SYNC, rd_base=rd_base)


def hostile_entry(rng: Random, table: str, ram: int) -> bytes:
    """Bytes for an entry of a ``device``, ``collection``, ``vpe``, ``itt`` or ``level1`` table that no command wrote.

    Zero, or valid with a number that does not exist; addresses only where there is no memory, or where a slot is: elsewhere
    lie devices of the peer that this project does not model.
    """
    if rng.random() < 0.3:
        return bytes(ITE.SIZE if table == "itt" else 8)
    wild = rng.choice((0, 1, 7, 0xFFFF))
    match table:
        case "device":
            entry: Layout = DTE(valid=1, size=rng.choice((3, 15, 30)), itt_addr=places.NOWHERE)
        case "collection":
            entry = CTE(valid=1, rd_base=wild)
        case "vpe":
            entry = VTE(valid=1, vpt_size=15, vpt_addr=ram + places.VPT, rd_base=wild)
        case "level1":
            entry = L1Entry(address=places.NOWHERE, valid=rng.choice((0, 1)))
        case _:
            entry = ITE(
                valid=1,
                physical=rng.randrange(2),
                intid=rng.choice((0, 100, 1023, 8191, 8192, 8200, 16384, 65535, 65536, 0xFF_FFFF)),
                icid=wild,
                vpe_id=rng.choice((0, 1, 2, 0xFFFF)),
                doorbell_intid=rng.choice((0, 1023, 8191, 8250, 65536)),
            )
    return _bytes(entry)


class Operands:
    """The pools of one sequence."""

    def __init__(self, rng: Random, ram: int, cpus: int, devices: int) -> None:
        self.rng, self.ram, self.cpus = rng, ram, cpus
        self.device_limit = devices

    # ---------------------------------------------------------------- pools

    def device(self) -> int:
        """A DeviceID: mostly one with a home, sometimes at the limit."""
        if self.rng.random() < 0.93:
            return self.rng.choice((0x08, 0x10, 0x08, 0x10, 0x00, 0x09, 0x100))
        return self.rng.choice((self.device_limit - 1, self.device_limit, 0xFFFF, 0x1_0000, 0xFFFF_FFFF))

    def event(self) -> int:
        """An EventID: mostly small, so that it is mapped."""
        if self.rng.random() < 0.92:
            return self.rng.choice((0, 1, 2, 3, 0, 1, 2, 3, self.rng.randrange(16)))
        return self.rng.choice((15, 16, 31, 32, 127, 128, 4095, 0xFFFF, 0x1_0000, 0xFFFF_FFFF))

    def lpi(self) -> int:
        """An INTID: mostly an LPI that is in use."""
        if self.rng.random() < 0.9:
            return 8192 + self.rng.randrange(64)
        return self.rng.choice((0, 31, 1023, 8191, 16383, 16384, 32767, 32768, 65535, 65536, 0xFFFF_FFFF))

    def icid(self) -> int:
        """A collection: mostly one of the mapped four."""
        return self.rng.randrange(4) if self.rng.random() < 0.93 else self.rng.choice((4, 511, 512, 8191, 8192, 0xFFFF))

    def rd_base(self) -> int:
        """A processor number: mostly one that exists."""
        if self.rng.random() < 0.93:
            return self.rng.randrange(self.cpus)
        return self.rng.choice((self.cpus, 0xFFFF, 0x1_0000, 0x1_0001, 0xF_FFFF_FFFF))

    def vpe(self) -> int:
        """A vPEID: mostly one of the mapped three."""
        return self.rng.randrange(4) if self.rng.random() < 0.93 else self.rng.choice((511, 512, 2047, 2048, 0xFFFF))

    def doorbell(self) -> int:
        """A doorbell: none, an LPI, or neither."""
        choice = self.rng.random()
        if choice < 0.5:
            return NO_DOORBELL
        return 8250 + self.rng.randrange(6) if choice < 0.93 else self.rng.choice((0, 1022, 8191, 65535, 65536))

    def size(self) -> int:
        """Bits of EventID or vINTID, minus one."""
        return self.rng.choice((0, 3, 4, 6, 12, 13, 15, 16, 31))

    def itt(self, device_id: int) -> int:
        """An ITT address: mostly the device's home, sometimes another's, sometimes no memory at all."""
        if self.rng.random() < 0.05:
            return places.NOWHERE
        home = HOME_SLOT.get(device_id, 5)
        slot = home if self.rng.random() < 0.85 else self.rng.randrange(places.SLOTS)
        return self.ram + places.ITT + slot * places.SLOT_BYTES

    def vpt(self, vpe_id: int) -> int:
        """A virtual pending table: mostly the vPE's own."""
        if self.rng.random() < 0.04:
            return places.NOWHERE
        slot = vpe_id % places.SLOTS if self.rng.random() < 0.9 else self.rng.randrange(places.SLOTS)
        return self.ram + places.VPT + slot * places.SLOT_BYTES

    # ---------------------------------------------------------------- commands of a set-up

    def mapc(self, icid: int, rd_base: int) -> bytes:
        """Map a collection."""
        return _made(MAPC, icid=icid, rd_base=rd_base, valid=1)

    def mapd_at_home(self, device_id: int) -> bytes:
        """Map a device to the ITT slot that is its own."""
        itt = self.ram + places.ITT + HOME_SLOT[device_id] * places.SLOT_BYTES
        return _made(MAPD, device_id=device_id, size=4, itt_addr=itt, valid=1)

    def mapti(self, device_id: int, event_id: int, intid: int, icid: int) -> bytes:
        """Map an event."""
        return _made(MAPTI, device_id=device_id, event_id=event_id, intid=intid, icid=icid)

    def vmapp_at_home(self, vpe_id: int, rd_base: int) -> bytes:
        """Map a vPE to the VPT slot that is its own."""
        vpt = self.ram + places.VPT + vpe_id * places.SLOT_BYTES
        return _made(VMAPP, vpe_id=vpe_id, rd_base=rd_base, vpt_addr=vpt, vpt_size=15, valid=1)

    # ---------------------------------------------------------------- any command

    def command(self, gic: int) -> bytes:
        """One command; on GICv3 a virtual one is rare."""
        rng = self.rng
        rare = rng.random()
        if rare < 0.02:
            return bytes([rng.choice(UNKNOWN_OPCODES)]) + rng.randbytes(COMMAND_SIZE - 1)
        weight_virtual = 0.35 if gic >= 4 else 0.02
        table = _VIRTUAL if rng.random() < weight_virtual else _PHYSICAL
        command = rng.choices(list(table), list(table.values()))[0](self)
        if rare < 0.05:  # noise in reserved bits and in fields that the command does not have
            noise = rng.getrandbits(8 * COMMAND_SIZE) & _noise_mask(command[0])
            command = (int.from_bytes(command, "little") | noise).to_bytes(COMMAND_SIZE, "little")
        return command


def _noise_mask(opcode: int) -> int:
    """The RES0 bits of a command as one 256-bit number."""
    res0 = list(COMMANDS[opcode].RES0)
    if opcode == VMAPP.MATCH:
        res0[3] &= ~0xFF  # the peer takes DW3[7:5] for a part of VPT_size
    return sum(word << 64 * n for n, word in enumerate(res0))


def _mapd(o: Operands) -> bytes:
    device_id = o.device()
    return _made(MAPD, device_id=device_id, size=o.size(), itt_addr=o.itt(device_id), valid=int(o.rng.random() < 0.85))


def _mapc(o: Operands) -> bytes:
    return _made(MAPC, icid=o.icid(), rd_base=o.rd_base(), valid=int(o.rng.random() < 0.8))


def _vmapp(o: Operands) -> bytes:
    vpe_id = o.vpe()
    return _made(
        VMAPP, vpe_id=vpe_id, rd_base=o.rd_base(), vpt_addr=o.vpt(vpe_id), vpt_size=o.size(),
        valid=int(o.rng.random() < 0.85),
    )  # fmt: skip


def _event_of(layout: type[Layout]) -> Callable[[Operands], bytes]:
    return lambda o: _made(layout, device_id=o.device(), event_id=o.event())


_PHYSICAL: Final[dict[Callable[[Operands], bytes], int]] = {
    _mapd: 10,
    _mapc: 8,
    lambda o: _made(MAPTI, device_id=o.device(), event_id=o.event(), intid=o.lpi(), icid=o.icid()): 22,
    lambda o: _made(MAPI, device_id=o.device(), event_id=o.rng.choice((o.event(), o.lpi())), icid=o.icid()): 5,
    _event_of(INT): 22,
    _event_of(CLEAR): 6,
    _event_of(DISCARD): 6,
    _event_of(INV): 6,
    lambda o: _made(INVALL, icid=o.icid()): 4,
    lambda o: _made(MOVI, device_id=o.device(), event_id=o.event(), icid=o.icid()): 8,
    lambda o: _made(MOVALL, rd_base1=o.rd_base(), rd_base2=o.rd_base()): 5,
    lambda o: sync(o.rd_base()): 3,
}
_VIRTUAL: Final[dict[Callable[[Operands], bytes], int]] = {
    _vmapp: 16,
    lambda o: _made(
        VMAPTI,
        device_id=o.device(),
        event_id=o.event(),
        vpe_id=o.vpe(),
        virtual_intid=o.lpi(),
        doorbell_intid=o.doorbell(),
    ): 24,
    lambda o: _made(
        VMAPI,
        device_id=o.device(),
        event_id=o.rng.choice((o.event(), o.lpi())),
        vpe_id=o.vpe(),
        doorbell_intid=o.doorbell(),
    ): 6,
    lambda o: _made(
        VMOVI,
        device_id=o.device(),
        event_id=o.event(),
        vpe_id=o.vpe(),
        d=o.rng.randrange(2),
        doorbell_intid=o.doorbell(),
    ): 10,
    lambda o: _made(VMOVP, vpe_id=o.vpe(), rd_base=o.rd_base()): 10,
    lambda o: _made(VINVALL, vpe_id=o.vpe()): 6,
    lambda o: _made(VSYNC, vpe_id=o.vpe()): 4,
}
