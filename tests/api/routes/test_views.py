from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Service

RAM = 0x4000_0000


@pytest.fixture(scope="module")
def path(service: Service) -> str:
    """A session behind the strict hypervisor with one device mapped."""
    found = service.session(start="deprivileged", hardening="strict")
    assert service.post(f"{found}/driver/map_device", {"device_id": 8, "events": 2}).status_code == 200
    return found


VIEWS = (
    "state", "registers", "queues", "diagnosis", "tables/device", "tables/collection?view=diff", "pages",
    "physical?addr=0x40000000&length=16", "violations", "journal", "events",
)  # fmt: skip


def test_looking_changes_nothing(service: Service, path: str) -> None:
    """Neither the state nor the step nor the history, whichever view."""
    before = service.get(path)
    for view in VIEWS:
        service.get(f"{path}/{view}")
    after = service.get(path)

    assert {k: after[k] for k in ("state_hash", "step", "seq")} == {k: before[k] for k in ("state_hash", "step", "seq")}


def test_the_state_is_the_decoded_tables(service: Service, path: str) -> None:
    """In the form of the recorded traces: decimal keys, hexadecimal addresses, plain numbers."""
    state = service.get(f"{path}/state")

    assert set(state) == {"devices", "collections", "events", "vpes", "pending", "vpending"}
    assert state["devices"]["8"]["size"] == 0
    assert state["devices"]["8"]["itt"].startswith("0x4")
    assert state["events"]["8"] == {"0": {"intid": 8192, "icid": 0}, "1": {"intid": 8193, "icid": 1}}


def test_a_register_has_value_fields_and_policy(service: Service, path: str) -> None:
    """GITS_CTLR as hardware has it, decoded, and what the host may do with it."""
    register = service.get(f"{path}/registers")["GITS_CTLR"]

    assert int(register["value"], 16) & 1 == register["fields"]["enabled"] == 1
    assert register["policy"]


def test_queues_have_two_sides_after_the_switch(service: Service, path: str) -> None:
    """Before it, the host's side is null."""
    bare = service.session()

    assert service.get(f"{bare}/queues")["host"] is None
    queues = service.get(f"{path}/queues")
    for side in (queues["host"], queues["hw"]):
        assert {"base", "size", "creadr", "cwriter", "stalled", "consumed", "entries"} <= set(side)
    assert queues["host"]["base"] != queues["hw"]["base"]


def test_a_table_has_views(service: Service, path: str) -> None:
    """One view is answered as it is, several under their names."""
    hw = service.get(f"{path}/tables/device", view="hw")
    both = service.get(f"{path}/tables/device", view="hw,host")

    assert (hw["kind"], hw["view"]) == ("device", "hw")
    assert [row["id"] for row in hw["level2"]] == [8]
    assert both["hw"] == hw
    assert both["host"]["base"] != hw["base"]
    assert service.get(f"{path}/tables/device") == hw


def test_pages_are_run_length_encoded(service: Service, path: str) -> None:
    """All of RAM without parameters: runs without hole or overlap, the carve-outs among them."""
    where = service.get(path)["map"]
    runs = service.get(f"{path}/pages")
    cursor = int(where["ram"], 16)
    for run in runs:
        assert int(run["addr"], 16) == cursor
        cursor += run["pages"] * 4096

    assert cursor == int(where["ram"], 16) + int(where["ram_bytes"], 16)
    assert {"host", "hyp", "guest"} <= {run["owner"] for run in runs}
    (one,) = service.get(f"{path}/pages", addr=where["hyp"], length=4096)
    assert (one["owner"], one["pages"]) == ("hyp", 1)


def test_physical_memory_is_shown_past_stage_2(service: Service, path: str) -> None:
    """The hypervisor's pages too, which the host cannot read; decimal and hexadecimal addresses are the same."""
    where = service.get(path)["map"]
    shown = service.get(f"{path}/physical", addr=where["hyp"], length=16)["hex"]

    assert len(shown) == 32
    assert bytes.fromhex(shown) != bytes(16)
    assert service.get(f"{path}/physical", addr=int(where["hyp"], 16), length="0x10")["hex"] == shown
    assert len(service.get(f"{path}/physical", addr=RAM, length=65536)["hex"]) == 131072
    assert service.post(f"{path}/memory/load", {"addr": where["hyp"], "length": 16}).json()["outcome"] == "abort"


def test_violations_are_a_plain_list(service: Service, path: str) -> None:
    """Empty where isolation held."""
    assert service.get(f"{path}/violations") == []


def test_the_diagnosis_judges_hypotheses(service: Service, path: str) -> None:
    """Nine of them, each with a verdict, on a queue that moves."""
    diagnosis = service.get(f"{path}/diagnosis")

    assert diagnosis["stuck"] is False
    assert [row["hypothesis"] for row in diagnosis["hypotheses"]] == [f"H{n}" for n in range(1, 10)]


def test_a_state_that_is_too_large_names_its_cap(make_service: Any) -> None:
    """The host can make tables that nobody could answer; the session is as well as before."""
    service = make_service(limits={"state_steps": 3})
    path = service.session(start="host")
    answer = service.http.get(f"{path}/state")

    assert (answer.status_code, answer.json()["cap"], answer.json()["limit"]) == (413, "state_steps", 3)
    assert service.get(path)["state"] == "running"
    assert service.get(f"{path}/pages")
