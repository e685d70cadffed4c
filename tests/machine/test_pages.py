"""Memory by page: runs, owners and uses."""

from __future__ import annotations

from itsbox.arch.its_commands import MAPD
from tests.rig import Rig


def test_ram_is_a_few_runs() -> None:
    """At reset RAM is host memory, then the guest's, then the hypervisor's, and beyond it is no memory."""
    machine = Rig().machine
    runs = machine.pages(machine.map.ram, machine.map.ram_bytes + 4096)

    assert [(run["owner"], run["memory"]) for run in runs] == [
        ("host", True),
        ("guest", True),
        ("hyp", True),
        ("host", False),
    ]
    assert sum(run["pages"] for run in runs) == machine.map.ram_bytes // 4096 + 1


def test_what_hardware_uses_is_named() -> None:
    """The queue, the tables, an ITT and the LPI tables are runs of their own, and runs cover the range exactly."""
    rig = Rig().set_up()
    rig.post(MAPD(device_id=16, size=4, itt_addr=Rig.ITT, valid=1))
    runs = rig.machine.pages(0x4000_0000, 0x800_0000)
    found = {run["use"]: (int(run["addr"], 16), run["pages"]) for run in runs if run["use"]}

    assert found["hw queue"] == (Rig.QUEUE, 16)
    assert found["device table"] == (Rig.DEVICES, 128)
    assert found["ITT 0x10"] == (Rig.ITT, 1)
    assert found["LPI pending table 3"] == (Rig.PEND + 0x3_0000, 2)
    assert sum(run["pages"] for run in runs) == 0x8000


def test_a_part_of_a_page_counts_as_the_page() -> None:
    """Length is rounded out to whole pages; no length is no page."""
    machine = Rig().machine

    assert [run["pages"] for run in machine.pages(0x4000_0FFF, 1)] == [1]
    assert [run["pages"] for run in machine.pages(0x4000_0FFF, 2)] == [2]
    assert machine.pages(0x4000_0000, 0) == []
