from __future__ import annotations

from tests.api.conftest import Service

RAM = 0x4000_0000


def store(service: Service, path: str, data: str) -> None:
    """Change the machine."""
    assert service.post(f"{path}/memory/store", {"addr": RAM, "hex": data}).status_code == 200


def load(service: Service, path: str) -> str:
    """A byte of the machine."""
    answer: str = service.post(f"{path}/memory/load", {"addr": RAM, "length": 1}).json()["hex"]
    return answer


def test_a_snapshot_has_an_address_of_its_own(service: Service) -> None:
    """Made, listed, looked up and forgotten; forgetting twice is no error."""
    path = service.session()
    store(service, path, "01")
    made = service.post(f"{path}/snapshots")
    snapshot = made.json()

    assert made.status_code == 201
    assert made.headers["location"] == f"{path}/snapshots/{snapshot['id']}"
    assert snapshot["state_hash"] == service.hash(path)
    assert (snapshot["seq"], snapshot["step"]) == (1, 1)
    assert service.get(made.headers["location"]) == snapshot
    assert service.get(f"{path}/snapshots") == {"snapshots": [snapshot]}
    for _ in range(2):
        assert service.http.delete(made.headers["location"]).status_code == 204
    assert service.http.get(made.headers["location"]).status_code == 404
    service.post(f"{path}/snapshots")
    assert service.http.delete(f"{path}/snapshots").status_code == 204
    assert service.get(f"{path}/snapshots") == {"snapshots": []}


def test_restoring_is_exact(service: Service) -> None:
    """The state hash is the snapshot's, whatever happened since; the epoch grows each time."""
    path = service.session(start="deprivileged", hardening="strict")
    snapshot = service.post(f"{path}/snapshots").json()
    for epoch in (2, 3):
        service.post(f"{path}/driver/map_device", {"device_id": 8, "events": 3})
        store(service, path, "ff")
        assert service.hash(path) != snapshot["state_hash"]
        answer = service.post(f"{path}/restore", {"snapshot": snapshot["id"]}).json()
        assert (answer["state_hash"], answer["epoch"], answer["step"]) == (
            snapshot["state_hash"],
            epoch,
            snapshot["step"],
        )
        assert service.hash(path) == snapshot["state_hash"]


def test_a_restored_machine_behaves_as_the_first_time(service: Service) -> None:
    """The same ops behind a restore have the same answers, events and state."""
    path = service.session(start="deprivileged", hardening="strict")
    snapshot = service.post(f"{path}/snapshots").json()["id"]
    runs = []
    for _ in range(3):
        service.post(f"{path}/restore", {"snapshot": snapshot})
        seq = service.get(path)["seq"]
        answer = service.post(f"{path}/driver/map_device", {"device_id": 8, "events": 3}).json()
        events = service.get(f"{path}/events", after=seq)["events"]
        shown = [(event["step"], event["type"], event["data"]) for event in events]
        runs.append((answer["result"], answer["log"], answer["step"], shown, service.hash(path)))

    assert runs[0] == runs[1] == runs[2]


def test_forks_are_equal_and_go_their_own_ways(service: Service) -> None:
    """From now and from a snapshot; what one does the others do not see."""
    path = service.session()
    store(service, path, "01")
    snapshot = service.post(f"{path}/snapshots").json()
    store(service, path, "02")
    now = service.post(f"{path}/fork", {"count": 2}).json()["sessions"]
    then = service.post(f"{path}/fork", {"snapshot": snapshot["id"]}).json()["sessions"]

    assert [child["state_hash"] for child in now] == [service.hash(path)] * 2
    assert [child["state_hash"] for child in then] == [snapshot["state_hash"]]
    children = [f"/v1/sessions/{child['id']}" for child in (*now, *then)]
    store(service, children[0], "ff")
    assert [load(service, child) for child in (*children, path)] == ["ff", "02", "01", "02"]
    forked = service.get(f"{path}/events", types="session.forked")["events"]
    assert [event["data"]["sessions"] for event in forked] == [[c["id"] for c in now], [c["id"] for c in then]]


def test_a_fork_outlives_its_parent(service: Service) -> None:
    """Shared pages stay as long as somebody has them."""
    path = service.session()
    store(service, path, "07")
    child = f"/v1/sessions/{service.post(f'{path}/fork').json()['sessions'][0]['id']}"
    service.http.delete(path)

    assert load(service, child) == "07"


def test_a_journal_leads_to_the_same_state(service: Service) -> None:
    """Its ops, sent to an equal session, end in the same state; behind a restore, those since the restore."""
    one, other = (service.session(start="host", hardening="strict") for _ in range(2))
    store(service, one, "01")
    service.post(f"{one}/driver/deprivilege", {})
    service.post(f"{one}/driver/map_device", {"device_id": 8, "events": 3})
    service.post(f"{one}/hvc", {"function": "__pkvm_host_share_hyp", "args": ["0x41000"]})
    ops = service.get(f"{one}/journal")["ops"]
    service.post(f"{other}/ops", {"ops": ops})

    assert service.hash(other) == service.hash(one)
    snapshot = service.post(f"{one}/snapshots").json()["id"]
    store(service, one, "02")
    service.post(f"{one}/restore", {"snapshot": snapshot})
    store(service, one, "03")
    assert service.get(f"{one}/journal") == {
        "ops": [{"op": "store", "addr": "0x40000000", "hex": "03"}],
        "next": 1, "head": 1, "first": 1, "snapshot": snapshot,
    }  # fmt: skip


def test_a_journal_is_read_page_by_page(make_service: object) -> None:
    """``next`` leads on; where old ops are gone, ``first`` says where the page begins."""
    service = make_service(limits={"journal_ops_kept": 3})  # type: ignore[operator]
    path = service.session()
    service.post(f"{path}/ops", {"ops": [{"op": "ack", "cpu": n % 4} for n in range(5)]})
    first = service.get(f"{path}/journal", limit=2)
    second = service.get(f"{path}/journal", after=first["next"], limit=2)

    assert (first["first"], [op["cpu"] for op in first["ops"]], first["next"]) == (3, [2, 3], 4)
    assert (second["first"], [op["cpu"] for op in second["ops"]], second["next"], second["head"]) == (5, [0], 5, 5)
