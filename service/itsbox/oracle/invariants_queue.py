"""H2, H8, H9, H10: what becomes of the host's commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from itsbox.arch.its_commands import COMMAND_SIZE, COMMANDS, OPCODE_MASK
from itsbox.arch.its_registers import GITS_CBASER
from itsbox.arch.values import PAGE_SHIFT
from itsbox.ops import Done, Drive, Refused, Verdict
from itsbox.oracle.pages import PageUse, Whose
from itsbox.oracle.rules import H2, H8, H9, H10
from itsbox.oracle.scene import Broken, Scene, whole
from itsbox.oracle.world import Use

if TYPE_CHECKING:
    from itsbox.oracle.pages import PageState

__all__ = ["h2", "h8", "h9", "h10"]


def h2(scene: Scene) -> Iterator[Broken]:
    """What the hypervisor looked at is what reaches the hardware: nothing changes in between, nothing comes unseen."""
    if not scene.deprivileged:
        return
    for addr, length in scene.touched.swapped:
        yield Broken(H2, "The hypervisor read the same host memory twice and the host changed it in between.",
                     addr, length, "host")  # fmt: skip
    # A driver's op is many traps, and what waited was looked at in an earlier one.
    if isinstance(scene.op, Drive) or not isinstance(scene.outcome, (Done, Refused)) or scene.waiting():
        return
    looked = scene.records.looked()
    if looked is None:
        return
    for slot, name, words, verdict, *_ in scene.outcome.commands:
        if verdict != Verdict.REFUSED and words not in looked:
            addr = scene.queues[0].addr + slot * COMMAND_SIZE  # who looks at commands has a queue
            yield Broken(H2, "A command reached the hardware that the hypervisor did not look at.",
                         addr, COMMAND_SIZE, PageUse.QUEUE, (slot, name, words))  # fmt: skip
            return


def h8(scene: Scene) -> Iterator[Broken]:
    """The host's read pointer: not beyond its write pointer, not further than commands were looked at."""
    for queue in scene.queues:
        before = scene.was(queue.node)
        if before is None or before.addr != queue.addr or not queue.creadr + queue.cwriter:
            continue  # no queue yet, another one, or reset by a write to GITS_CBASER
        if queue.cwriter >= queue.length:
            continue  # an offset that points nowhere: the pointers cannot be compared
        if isinstance(scene.op, Drive) and queue.creadr < queue.length:
            continue  # a driver writes GITS_CWRITER many times in one op, so that its last value bounds nothing
        if not queue.creadr and scene.writes(GITS_CBASER):
            continue  # a write of GITS_CBASER sets GITS_CREADR to 0, whatever GITS_CWRITER is (IHI 0069H.b, GITS_CBASER)
        moved = (queue.creadr - before.creadr) % queue.length
        if queue.creadr >= queue.length or moved > (queue.cwriter - before.creadr) % queue.length:
            yield Broken(
                H8, "The host's GITS_CREADR is past its GITS_CWRITER.", queue.addr, queue.length, PageUse.QUEUE
            )
        elif moved > sum(scene.verdicts()) * COMMAND_SIZE:
            yield Broken(H8, "The host's GITS_CREADR moved over commands that nobody looked at.",
                         queue.addr, queue.length, PageUse.QUEUE)  # fmt: skip


def h9(scene: Scene) -> Iterator[Broken]:
    """What was refused must leave no page behind. Where other commands were carried out, pages may change on their account."""
    refused, executed = scene.verdicts()
    if not scene.deprivileged or not refused or isinstance(scene.op, Drive):
        return
    if scene.waiting():
        return  # such commands hold pages until the op settles them or takes them back
    for pfn, before, now in scene.changed:
        if now != before and (not executed or _unaccounted(scene, pfn, now)):
            yield Broken(H9, "A refused request left a page in another state.", *whole(pfn), "page")
            return
    if executed:
        yield from _level_2_of_refused(scene)


def _unaccounted(scene: Scene, pfn: int, now: PageState) -> bool:
    """Whether nothing that was carried out explains that the host gave or shared a page."""
    if now.whose == Whose.HYP:
        return scene.who.use_of(pfn) is None
    return now.whose == Whose.SHARED and not now.pins and scene.records.pins(pfn) == 0


def _level_2_of_refused(scene: Scene) -> Iterator[Broken]:
    """Level-2 pages of devices that only a refused command needed."""
    if not isinstance(scene.outcome, (Done, Refused)):
        return
    needed: set[int] = set()
    asked: set[int] = set()
    for _, _, words, verdict, *_ in scene.outcome.commands:
        layout = COMMANDS.get(words[0] & OPCODE_MASK)
        if layout is not None and "device_id" in layout.FIELDS:
            device_id = layout.decode(*words).device_id  # type: ignore[attr-defined]  # it is among FIELDS
            (asked if verdict == Verdict.REFUSED else needed).add(device_id)
    for node, n, slot in scene.touched.l1:
        table, page = scene.world.tables.get((node, n)), scene.world.l2.get((node, n, slot))
        if (
            table is None
            or page is None
            or table.use != PageUse.DEVICE
            or page >> PAGE_SHIFT not in scene.touched.pages
        ):
            continue
        ids = range(slot * table.per_page, (slot + 1) * table.per_page)
        if any(i in ids for i in asked) and not any(i in ids for i in needed):
            yield Broken(
                H9, "A refused request left a level-2 page in the hardware's table.", page, table.page_bytes, Use.L2
            )
            return


def h10(scene: Scene) -> Iterator[Broken]:
    """Polling of hardware has a limit: one look for each command of the queue, and two more."""
    for queue in scene.queues:
        limit = queue.length // COMMAND_SIZE + 2
        if queue.polls > limit and queue not in scene.before:
            yield Broken(H10, f"The hypervisor polled hardware {queue.polls} times in one trap, of at most {limit}.",
                         queue.addr, queue.length, "its")  # fmt: skip
