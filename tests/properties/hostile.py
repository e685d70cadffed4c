"""Random and mutated hostile programs: lists of ops, made from a seed.

Two sources. ``random_program`` draws ops from a grammar that knows what is interesting: registers by name, commands with fields
that are right, nearly right or wild, addresses at the borders of everything, hypercalls, honest driver calls in between.
``mutated_program`` takes what an attack program did under some preset and drops, repeats, swaps and bends its ops.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Any

from itsbox.arch.hypercalls import BY_NUMBER
from itsbox.arch.its_commands import COMMANDS, COMMANDS_V41
from itsbox.arch.its_registers import GITS_BASER, GITS_CBASER, GITS_CREADR, GITS_CTLR, GITS_CWRITER
from itsbox.arch.its_tables import L1Entry
from itsbox.arch.redist_registers import GICR_CTLR, GICR_PENDBASER, GICR_PROPBASER, GICR_VPENDBASER, GICR_VPROPBASER
from itsbox.host.scenarios import SCENARIOS, run
from itsbox.host.state import DriverState, restored
from itsbox.machine import Machine, MachineConfig
from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store

DEVICES = (0, 8, 0x10, 0x40, 0x1FFF, 0x2000, 0x9000, 0xFFFF, 0x10000)
EVENTS = (0, 1, 2, 31, 32, 0xFFFF)
INTIDS = (0, 8191, 8192, 8193, 8300, 0xFFFF, 0x10000)
IDS = (0, 1, 2, 3, 4, 0x3F, 0x1FFF, 0xFFFF)


class Grammar:
    """Draws ops for one machine that has been set up; ``rng`` decides everything."""

    def __init__(self, machine: Machine, rng: Random) -> None:
        self.map = machine.map
        self.rng = rng
        self.v41 = bool(machine.its[0].typer.vmapp)
        known = restored(DriverState, machine.driver.state())
        node = known.its[0]
        self.queue = node.queue
        self.offset = node.write_offset
        where = machine.map
        middle = where.ram + where.ram_bytes // 2
        self.free = [middle + n * 0x1000 for n in range(24)]
        self.tables = [baser.base for baser in node.basers if baser.base]
        self.wide = [middle + 0x10_0000 + n * 0x1_0000 for n in range(8)]
        self.borders = [
            where.hyp, where.hyp + 0x5000, where.guest, where.guest + 0x3000, where.guest - 0x1000, where.ram,
            where.ram + where.ram_bytes - 0x1000, where.ram + where.ram_bytes, where.its, 0, 0x9_0000_0000, self.queue,
            *self.tables,
        ]  # fmt: skip

    # ---------------------------------------------------------------- values

    def page(self) -> int:
        """An address: mostly the host's own free memory, else somewhere that matters."""
        pick = self.rng.random()
        if pick < 0.45:
            return self.rng.choice(self.free)
        return self.rng.choice(self.wide if pick < 0.6 else self.borders)

    def address(self) -> int:
        """An address inside, at the edge of, or just past a page of interest."""
        return self.page() + self.rng.choice((0, 0, 0x100, 0x200, 8, 0xFF8, 0x1000, 0x10000))

    def word(self) -> int:
        """A doubleword: an edge value, an address, or anything."""
        return self.rng.choice((0, 1, 0xFFFF_FFFF, (1 << 64) - 1, 1 << 63, self.address(), self.rng.getrandbits(64)))

    # ---------------------------------------------------------------- commands

    def command(self) -> bytes:
        """A command: a known one with likely fields, seldom a wild one."""
        rng = self.rng
        if rng.random() < 0.04:
            return rng.randbytes(32)
        layout = rng.choice(list((COMMANDS_V41 if self.v41 else COMMANDS).values()))
        if rng.random() < 0.35:
            layout = COMMANDS[rng.choice((0x08, 0x08, 0x0A, 0x0A, 0x03))]
        fields = {name: self.field(name) for name in layout.FIELDS}
        words = list(layout(**fields).encode())
        if rng.random() < 0.03:
            words[rng.randrange(4)] ^= 1 << rng.randrange(8, 64)
        data: bytes = layout.STRUCT.pack(*words)
        return data

    def field(self, name: str) -> int:
        """A value for a command field of that name."""
        rng = self.rng
        match name:
            case "device_id":
                return rng.choice(DEVICES[:4] if rng.random() < 0.7 else DEVICES)
            case "event_id":
                return rng.choice(EVENTS)
            case "intid" | "virtual_intid" | "doorbell_intid" | "default_doorbell":
                return rng.choice((*INTIDS, 1023)) & (
                    0xF if name == "virtual_intid" and rng.random() < 0.1 else (1 << 32) - 1
                )
            case "itt_addr":
                return self.address() & -0x100
            case "vpt_addr" | "vconf_addr":
                return self.page() & -0x1_0000
            case "size" | "vpt_size":
                return rng.choice((1, 4, 4, 8, 13, 15, 15, 16, 31))
            case "valid" | "alloc":
                return int(rng.random() < 0.8)
            case "icid" | "vpe_id":
                return rng.choice(IDS)
            case "rd_base" | "rd_base1" | "rd_base2":
                return rng.choice((0, 0, 1, 2, 3, 4, 0xFFFF))
            case _:
                return rng.choice((0, 0, 1))

    def post(self) -> list[Op]:
        """Some commands in the queue, and GITS_CWRITER."""
        rng = self.rng
        count = rng.choice((1, 1, 1, 2, 3, 5))
        if rng.random() < 0.02:  # go round the end of the queue
            self.offset = 0x1_0000 - 32 * rng.randrange(1, 4)
        ops: list[Op] = []
        for _ in range(count):
            ops.append(Store(self.queue + self.offset, self.command()))
            self.offset = (self.offset + 32) % 0x1_0000
        ops.append(
            MmioWrite(self.map.its + GITS_CWRITER.OFFSET, rng.choice((4, 8)), self.offset | (rng.random() < 0.1))
        )
        return ops

    # ---------------------------------------------------------------- ops

    def register_write(self) -> list[Op]:
        """A write to a register of the ITS or of a redistributor."""
        rng = self.rng
        its, gicr = self.map.its, self.map.gicr + rng.randrange(4) * self.map.gicr_stride
        n = rng.randrange(3)
        baser = GITS_BASER.decode(self.word()).replace(
            physical_address=self.page() & -0x1_0000, page_size=2, size=rng.choice((0, 0, 3)), indirect=rng.randrange(2),
            valid=1,
        )  # fmt: skip
        cbaser = GITS_CBASER.decode(0).replace(
            physical_address=self.page() & -0x1000, size=rng.choice((0, 15)), valid=1
        )
        prop = GICR_PROPBASER.decode(0).replace(physical_address=self.page() & -0x1000, id_bits=rng.choice((0, 13, 15)))
        pend = GICR_PENDBASER.decode(0).replace(physical_address=self.page() & -0x1_0000)
        vpend = GICR_VPENDBASER.decode(0).replace(physical_address=self.page() & -0x1_0000, valid=rng.randrange(2))
        vprop = GICR_VPROPBASER.decode(0).replace(physical_address=self.page() & -0x1000, id_bits=15)
        addr, value = rng.choice([
            (its + GITS_CTLR.OFFSET, rng.choice((0, 1, 1, 3))),
            (its + GITS_CBASER.OFFSET, cbaser.word()),
            (its + GITS_BASER.OFFSET + 8 * n, baser.word()),
            (its + GITS_CWRITER.OFFSET, rng.choice((self.offset, self.word() & 0x1FFFF, 0x1_0000, 0))),
            (its + GITS_CREADR.OFFSET, rng.choice((0, self.word()))),
            (its + rng.randrange(0, 0x1_0000, 4), self.word()),
            (its + 0x1_0040, rng.randrange(40)),
            (gicr + GICR_CTLR.OFFSET, rng.randrange(2)),
            (gicr + GICR_PROPBASER.OFFSET, prop.word()),
            (gicr + GICR_PENDBASER.OFFSET, pend.word()),
            (gicr + GICR_VPENDBASER.OFFSET, vpend.word()),
            (gicr + GICR_VPROPBASER.OFFSET, vprop.word()),
            (gicr + rng.randrange(0, 0x100, 8), self.word()),
            (self.map.gicd + rng.randrange(0, 0x1000, 4), self.word() & 0xFFFF_FFFF),
        ])  # fmt: skip
        size = rng.choice((8, 8, 8, 4, 4, 2, 1))
        if rng.random() < 0.1:
            addr += 4
        return [MmioWrite(addr, size, value & (1 << 8 * size) - 1)]

    def memory(self) -> list[Op]:
        """A store, load, fill or clean somewhere of interest."""
        rng = self.rng
        pick = rng.randrange(5)
        if pick == 0:
            return [Load(self.address(), rng.choice((1, 8, 64, 4096)))]
        if pick == 1:
            return [Fill(self.page(), rng.choice((8, 4096, 0x1_0000)), rng.choice((0, 0, 0xFF)))]
        if pick == 2 and self.tables:
            entry = L1Entry(address=self.page() & -0x1_0000, valid=rng.randrange(2))
            return [
                Store(rng.choice(self.tables) + 8 * rng.choice((0, 1, 2, 4, 7)), L1Entry.STRUCT.pack(*entry.encode()))
            ]
        if pick == 3:
            return [Clean(self.page(), 4096)]
        return [Store(self.address(), self.word().to_bytes(8, "little"))]

    def hypercall(self) -> list[Op]:
        """A hypercall, by name or by number."""
        rng = self.rng
        call = rng.choice(list(BY_NUMBER.values()))
        args = tuple(rng.choice((self.page() >> 12, 0, 1, 2, self.word())) for _ in range(rng.choice((0, 1, 3, 3, 4))))
        if rng.random() < 0.6:
            name = rng.choice(("__pkvm_host_share_hyp", "__pkvm_host_unshare_hyp", "__pkvm_host_donate_guest"))
            pfn = self.page() >> 12
            return [Hvc(name, (pfn, pfn, rng.choice((1, 1, 2, 16))))]
        if rng.random() < 0.1:
            return [Hvc(rng.choice(("nonsense", 0xC600_0000 + rng.randrange(64), 0)), args)]
        return [Hvc(call.name, args)]

    def honest(self) -> list[Op]:
        """Something that an honest driver does."""
        rng = self.rng
        device_id = rng.choice((0x18, 0x20, 0x28, 0x9008))
        call, args = rng.choice([
            ("map_device", {"device_id": device_id, "events": rng.choice((1, 3, 8))}),
            ("map_event", {"device_id": device_id}),
            ("unmask", {"device_id": device_id, "event_id": 0}),
            ("move_event", {"device_id": device_id, "event_id": 0, "cpu": rng.randrange(4)}),
            ("unmap_device", {"device_id": device_id}),
            ("suspend", {}),
            ("resume", {}),
        ])  # fmt: skip
        return [Drive(call, dict(args))]

    def ops(self) -> list[Op]:
        """The next few ops of the program."""
        rng = self.rng
        pick = rng.random()
        if pick < 0.42:
            return self.post()
        if pick < 0.60:
            return self.register_write()
        if pick < 0.74:
            return self.memory()
        if pick < 0.84:
            return self.hypercall()
        if pick < 0.90:
            return [Msi(rng.choice(DEVICES[:4]), rng.choice(EVENTS))]
        if pick < 0.93:
            return [Ack(rng.randrange(4))]
        if pick < 0.96:
            return [MmioRead(self.map.its + rng.randrange(0, 0x200, 4), rng.choice((4, 8)))]
        return self.honest()


def random_program(machine: Machine, seed: int, length: int) -> list[Op]:
    """``length`` or a few more ops for a machine as it is now."""
    grammar = Grammar(machine, Random(seed))
    ops: list[Op] = []
    while len(ops) < length:
        ops += grammar.ops()
    return ops


@lru_cache(maxsize=64)
def _recorded(name: str, preset: str) -> tuple[Op, ...]:
    """What an attack program did under a preset, from the switch-over on."""
    played = run(name, preset, lambda fields: Machine(MachineConfig.make(**fields)))
    return tuple(step.op for step in played.steps if step.op is not None)


@lru_cache(maxsize=1)
def _short_attacks() -> tuple[str, ...]:
    """The programs to bend: not too long, and for an ITS without seeded defects, since lock-step knows a right one only."""
    right = [name for name, scenario in SCENARIOS.items() if "quirks" not in scenario.session()]
    return tuple(name for name in right if len(_recorded(name, "off")) < 400)


def _attack(rng: Random) -> tuple[str, list[Op], int]:
    """A program, its ops, and how many of them go before the host is deprivileged: one that never is, is no attack."""
    while True:
        name = rng.choice(_short_attacks())
        ops = list(_recorded(name, rng.choice(("off", "strict", "rfc-v1"))))
        for n, op in enumerate(ops):
            if isinstance(op, Drive) and op.call == "deprivilege":
                return name, ops, n + 1


def mutated_program(seed: int) -> tuple[dict[str, Any], list[Op]]:
    """Session fields, and the ops of an attack, bent from the switch-over on: before it the host is trusted."""
    rng = Random(seed)
    name, ops, switch = _attack(rng)
    fields = {k: v for k, v in SCENARIOS[name].session().items() if k != "hardening"}
    boot, attack = ops[:switch], ops[switch:]
    for _ in range(rng.randrange(1, 12)):
        _bend(attack, rng)
    return fields, boot + attack


def _bend(ops: list[Op], rng: Random) -> None:
    """One mutation in place."""
    if not ops:
        ops.append(Ack(0))
    at = rng.randrange(len(ops))
    pick = rng.randrange(5)
    if pick == 0:
        del ops[at]
    elif pick == 1:
        ops.insert(at, ops[rng.randrange(len(ops))])
    elif pick == 2:
        other = rng.randrange(len(ops))
        ops[at], ops[other] = ops[other], ops[at]
    else:
        ops[at] = _bent(ops[at], rng)


def _bent(op: Op, rng: Random) -> Op:
    match op:
        case MmioWrite(addr, size, value):
            bit = 1 << rng.randrange(8 * size)
            return MmioWrite(addr + rng.choice((0, 0, 4, 8)), size, value ^ bit)
        case Store(addr, data) if data:
            at = rng.randrange(len(data))
            bent = bytes([data[at] ^ 1 << rng.randrange(8)])
            return Store(addr + rng.choice((0, 0, 0, 32, 0x100)), data[:at] + bent + data[at + 1 :])
        case Hvc(function, args) if args:
            return Hvc(function, (args[0] ^ 1 << rng.randrange(12), *args[1:]))
        case Msi(device_id, event_id):
            return Msi(device_id ^ 1 << rng.randrange(8), event_id)
        case _:
            return op
