"""What was mapped before the switch-over, where the host forged it by hand meanwhile."""

from __future__ import annotations

import pytest

from itsbox.arch.its_commands import INT, MAPC, MAPTI
from itsbox.arch.its_tables import CTE_PTA, DTE
from itsbox.arch.values import FIRST_LPI, PAGE_SHIFT
from itsbox.ops import Aborted, Clean, Drive, Drove, Hvc, HvcReturn, Msi, Store
from itsbox.reasons import Reason
from tests.hypervisor.box import Box

DEVICE = 0x20


def last_level(box: Box, kind: str) -> int:
    """Address of the first entry of a table that nobody guards yet."""
    table = box.machine.tables(kind, "hw")
    base = int(table["base"], 16)
    return box.word(base) & 0xFFFF_FFFF_F000 if table["indirect"] else base


def _map_device(box: Box) -> int:
    """The driver maps the device; the address of its translation table."""
    mapped = box.machine.apply(Drive("map_device", {"device_id": DEVICE, "events": 1}))
    assert isinstance(mapped, Drove)
    return int(mapped.result["itt"], 16)


@pytest.mark.parametrize("cleaned", [False, True])
def test_an_entry_that_was_edited_in_the_caches_only(cleaned: bool) -> None:
    """The ITS must not go on with an entry that the hypervisor did not see: its table could be given to a guest."""
    box = Box(session={"profile": "snapdragon", "start": "host", "oracle": "on"})
    machine = box.machine
    itt = _map_device(box)
    at = last_level(box, "device") + DEVICE * DTE.SIZE
    assert DTE.decode(box.word(at)).itt_addr == itt
    machine.apply(Store(at, bytes(DTE.SIZE)))
    if cleaned:
        machine.apply(Clean(at, DTE.SIZE))

    machine.apply(Drive("deprivilege", {}))
    pfn = itt >> PAGE_SHIFT
    given = machine.apply(Hvc("__pkvm_host_donate_guest", (pfn, pfn, 1)))
    machine.apply(Msi(DEVICE, 0))

    assert isinstance(given, HvcReturn)
    assert given.errno is None
    assert machine.violations == []


@pytest.mark.parametrize("frame", ["hyp", "guest", "its", "ram"])
def test_a_collection_that_was_forged_to_send_elsewhere(frame: str) -> None:
    """Where RDbase is an address, an entry written by hand before the switch-over would send messages there ever after."""
    box = Box(session={"profile": "virt-gicv3-pta", "start": "host", "oracle": "on"})
    machine, target = box.machine, getattr(box.map, frame)
    machine.apply(Drive("map_device", {"device_id": DEVICE, "events": 1}))
    entry = CTE_PTA(valid=1, rd_base=MAPC.decode(0, 0, target, 0).rd_base)
    machine.apply(Store(last_level(box, "collection") + CTE_PTA.SIZE, CTE_PTA.STRUCT.pack(*entry.encode())))

    refused = machine.apply(Drive("deprivilege", {}))
    box.post(MAPTI(device_id=DEVICE, event_id=0, intid=FIRST_LPI + 9, icid=1), INT(device_id=DEVICE, event_id=0))
    machine.apply(Msi(DEVICE, 0))

    assert not isinstance(refused, Aborted)
    assert Reason.RD_BASE_UNKNOWN.value in {event["reason"] for event in box.events("trap.hvc")}
    assert machine.phase != "deprivileged"
    assert machine.violations == []


def test_collections_that_name_redistributors_pass() -> None:
    """Each CPU's own, and entries that are not valid, whatever else they hold."""
    box = Box(session={"profile": "virt-gicv3-pta", "start": "host", "oracle": "on"})
    unused = CTE_PTA(valid=0, rd_base=MAPC.decode(0, 0, box.map.hyp, 0).rd_base)
    box.machine.apply(Store(last_level(box, "collection") + 9 * CTE_PTA.SIZE, CTE_PTA.STRUCT.pack(*unused.encode())))

    box.machine.apply(Drive("deprivilege", {}))

    assert box.machine.phase == "deprivileged"
    assert box.machine.violations == []


@pytest.mark.parametrize("preset, asleep", [("strict", True), ("v2", False)])
def test_a_table_that_is_given_away_in_the_window(preset: str, asleep: bool) -> None:
    """``strict`` has put the ITS to sleep, and the host cannot wake it. Elsewhere it goes on, in a guest's memory."""
    box = Box(preset, session={"start": "host", "oracle": "on"})
    machine = box.machine
    pfn = _map_device(box) >> PAGE_SHIFT
    box.finalise()

    assert box.errno("__pkvm_host_donate_guest", pfn, pfn, 1) is None
    machine.apply(Msi(DEVICE, 0))

    assert machine.phase == "deprivileging"
    assert {violation.oracle for violation in machine.violations} == (set() if asleep else {"H1", "DMA"})
