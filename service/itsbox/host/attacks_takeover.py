"""The switch-over by hand: what a hostile kernel changes about it, and what a take-over that fails leaves behind.

The built-in driver hands its queue and tables over as Linux does. A hostile kernel does so by stores and hypercalls of its own,
so that it can hand over something else: a collection table in two levels, which Linux never makes, or a page that is not its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from itsbox.arch.its_commands import INT, MAPC, MAPTI
from itsbox.arch.its_registers import GITS_BASER, TABLE_COLLECTIONS, TABLE_DEVICES, baser_stored_address
from itsbox.arch.its_tables import CTE_PTA, L1Entry
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT, PAGE_SIZE, SIZE_64K
from itsbox.host.attacks import CannotBePlayed, SetUpFails
from itsbox.host.attacks_defects import alive
from itsbox.hypervisor.host_tables import HostTables, its_baser

if TYPE_CHECKING:
    from itsbox.host.attacks import HostileHost

__all__ = ["collection_level_2", "finalise", "hand_over", "leaked_lock", "setup_unwinding", "two_level_collections"]

_DEVICE: Final = 0x140
_CPU: Final = 1
_FAR: Final = 6  # a level-1 entry that nothing uses
_PRIVATE_PAGES: Final = 2
"""Enough for every version; those that take one leave the second to the host."""
_QUEUE_PAGES: Final = SIZE_64K >> PAGE_SHIFT
_NO_TABLE: Final = its_baser(base=0, shadow=0, val=0, order=0, psz=0)


def finalise(host: HostileHost) -> None:
    """Finalise every CPU, as the kernel does at the end of its boot; nothing happens where there is no hypervisor."""
    host.before = host.known
    for _ in host.known.cpus:
        host.hvc("__pkvm_prot_finalize")


def hand_over(host: HostileHost) -> int | None:
    """Hand queue and tables over, with a queue and copies in fresh pages: 0, a negative error, or None if there is no such call.

    If the hypervisor took the ITS over, the host knows its new queue and copies.
    """
    its = host.known.its[0]
    page, private = host.pages(), host.pages(_PRIVATE_PAGES)
    queue = host.pages(_QUEUE_PAGES, SIZE_64K)
    rows, copies = [], {}
    for n, baser in enumerate(its.basers):
        value = GITS_BASER.decode(baser.value)
        if baser.base and value.indirect:
            copies[n] = host.pages(1 << baser.order, SIZE_64K)
            for at in range(0, PAGE_SIZE << baser.order, PAGE_SIZE):
                host.store(copies[n] + at, host.load(baser.base + at, PAGE_SIZE) or b"")
        row = its_baser(
            base=baser.base, shadow=copies.get(n, 0), val=baser.value, order=baser.order, psz=baser.page_size
        )
        rows.append(row if baser.base else _NO_TABLE)
    host.store(page, HostTables(tuple(rows), queue, its.queue, SIZE_64K).encode())
    answer = host.hvc("__pkvm_init_its_emulation", host.box.map.its, private, page)
    if answer != 0:
        return answer
    its.queue = queue
    for n, copy in copies.items():
        its.basers[n].base = copy
    return 0


def two_level_collections(host: HostileHost) -> None:
    """While the kernel is still trusted: a collection table in two levels, with every CPU's collection mapped in it.

    Raises:
        SetUpFails: this ITS has no such table.
    """
    found = host.baser(TABLE_COLLECTIONS)
    if found is None:
        raise SetUpFails("this ITS has no collection table")
    n, value = found
    baser = host.known.its[0].basers[n]
    level_1, level_2 = host.pages(_QUEUE_PAGES, SIZE_64K), host.pages(_QUEUE_PAGES, SIZE_64K)
    host.say("While the kernel is still trusted: give the collection table two levels, as Linux never does.")
    host.store(level_1, L1Entry.STRUCT.pack(*L1Entry(address=level_2, valid=1).encode()))
    host.enable(False)
    table = value.replace(
        physical_address=baser_stored_address(level_1, SIZE_64K), page_size=2, size=0, indirect=1, valid=1
    )
    host.write(host.gits(GITS_BASER, n), table.word())
    baser.value, baser.base, baser.order, baser.page_size = (
        host.read(host.gits(GITS_BASER, n)), level_1, 4, SIZE_64K,
    )  # fmt: skip
    host.enable(True)
    host.say("Map each CPU's collection in it.")
    host.post(*(MAPC(icid=cpu, rd_base=host.rd_base(cpu), valid=1) for cpu in range(len(host.known.cpus))))


def leaked_lock(host: HostileHost) -> None:
    """12: a take-over that is refused, then the right one: its lock must be free again."""
    host.say("Finalise every CPU; the kernel has no privileges any more.")
    finalise(host)
    host.say("Ask for the take-over of a device that is none: refused, as it should be.")
    host.hvc("__pkvm_init_its_emulation", host.box.map.ram, host.pages(_PRIVATE_PAGES), host.pages())
    host.say("Now the right one.")
    hand_over(host)
    alive(host)


def setup_unwinding(host: HostileHost) -> None:
    """17: a take-over fails at its tables, with queues and pages taken already; then the right one: all must be free again."""
    slot = host.l1_slot(TABLE_DEVICES, _FAR * host.per_page(TABLE_DEVICES))
    if slot is None:
        raise CannotBePlayed("the device table has one level")
    host.say("A slip of the kernel's: a level-1 entry that names memory which is not its own.")
    host.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=host.guest_page(6), valid=1).encode()))
    host.say("Finalise every CPU; the kernel has no privileges any more.")
    finalise(host)
    host.say("Hand over: refused at that entry, when queues, level 1 and its copy have been taken already.")
    hand_over(host)
    host.say("Correct the slip, and hand over once more.")
    host.store(slot, L1Entry.STRUCT.pack(*L1Entry(address=0, valid=0).encode()))
    hand_over(host)
    alive(host)


def collection_level_2(host: HostileHost) -> None:
    """14: the host edits a collection entry in a level-2 page that it kept: where RDbase is an address, messages go anywhere."""
    if not host.typer.pta:
        raise CannotBePlayed(
            "collection entries hold no address here (GITS_TYPER.PTA is 0): take profile virt-gicv3-pta"
        )
    host.say("The switch-over, by hand, since the driver knows nothing of the second level.")
    finalise(host)
    hand_over(host)
    host.needs_own(_DEVICE)
    at = host.table_entry(TABLE_COLLECTIONS, _CPU)
    if at is None:
        raise SetUpFails("the collection's entry cannot be found")
    victim = host.hyp_page(15)
    host.show("The entry of CPU 1's collection, before.", at, 8)
    host.say("Edit the entry: RDbase is the hypervisor's page.")
    host.store(at, CTE_PTA.STRUCT.pack(*CTE_PTA(valid=1, rd_base=MAPC.decode(0, 0, victim, 0).rd_base).encode()))
    host.say("An event of that collection: the ITS sends its message to the address in the entry.")
    host.post(
        MAPTI(device_id=_DEVICE, event_id=0, intid=FIRST_LPI + 0x199, icid=_CPU), INT(device_id=_DEVICE, event_id=0)
    )
    host.msi(_DEVICE, 0)
    host.show("The entry, after.", at, 8)
