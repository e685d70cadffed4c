from __future__ import annotations

from typing import Any

import pytest

from itsbox.api.examples import OPS
from tests.api.conftest import Service
from tests.api.frame_client import decode, encode

TYPER = {"op": "mmio_read", "addr": 0x0808_0008, "size": 8}
RAM = 0x4000_0000


@pytest.fixture(scope="module")
def guarded(service: Service) -> tuple[str, dict[str, int]]:
    """A session behind the strict hypervisor, and its map."""
    session = service.post("/v1/sessions", {"start": "deprivileged"}).json()
    return f"/v1/sessions/{session['id']}", {name: int(value, 16) for name, value in session["map"].items()}


def test_the_examples_of_the_contract_work(service: Service) -> None:
    """Every request body that the OpenAPI document shows is taken, and answered with the fields that it shows."""
    path = service.session(hardening="strict")
    for name, (body, shown) in OPS.items():
        route = name.replace("_", "/", 1)
        answer = service.post(f"{path}/{route}", body)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) - {"reason"} == set(shown) - {"commands"}


def test_numbers_are_taken_in_both_forms(service: Service) -> None:
    """An integer and its hexadecimal string are the same address; answers are hexadecimal."""
    path = service.session()
    answers = [
        service.post(f"{path}/mmio/read", {"addr": addr, "size": 8}).json() for addr in (0x0808_0008, "0x8080008")
    ]

    assert [answer["value"] for answer in answers] == ["0x1f0001efb1"] * 2
    assert [(answer["seq"], answer["step"]) for answer in answers] == [(1, 1), (1, 2)]


def test_commands_are_listed_with_their_verdicts(service: Service) -> None:
    """A write of GITS_CWRITER answers what became of each command that it made the ITS look at."""
    path = service.session()
    mapc = "0900000000000000" + "00" * 8 + "0000000000000080" + "00" * 8
    unknown = "ff" + "00" * 31
    ops = [
        {"op": "store", "addr": RAM, "hex": mapc + unknown},
        {"op": "mmio_write", "addr": 0x0808_0108, "size": 8, "value": 1 << 63 | 0x4010_0000 | 0x200},
        {"op": "mmio_write", "addr": 0x0808_0080, "size": 8, "value": 1 << 63 | RAM},
        {"op": "mmio_write", "addr": 0x0808_0000, "size": 4, "value": 1},
        {"op": "mmio_write", "addr": 0x0808_0088, "size": 8, "value": 64},
    ]
    results = service.post(f"{path}/ops", {"ops": ops}).json()["results"]

    assert "commands" not in results[3]
    assert [(c["slot"], c["name"], c["words"][0]) for c in results[4]["commands"]] == [
        (0, "MAPC", "0x9"),
        (1, None, "0xff"),
    ]
    assert results[4]["commands"][0] == {
        "slot": 0, "name": "MAPC", "words": ["0x9", "0x0", "0x8000000000000000", "0x0"], "verdict": "executed",
    }  # fmt: skip


def test_a_batch_answers_what_the_single_routes_answer(service: Service) -> None:
    """The same ops, one by one and together, have the same results and lead to the same state."""
    one, other = service.session(hardening="strict"), service.session(hardening="strict")
    singles, batch = [], []
    tags = {"memory_load": "load", "memory_store": "store", "memory_fill": "fill"}
    for name, (body, _) in OPS.items():
        answer = service.post(f"{one}/{name.replace('_', '/', 1)}", body).json()
        singles.append({key: value for key, value in answer.items() if key not in ("seq", "step")})
        batch.append({"op": tags.get(name, name), **body})
    together = service.post(f"{other}/ops", {"ops": batch, "hash": True}).json()

    assert together["results"] == singles
    assert together["executed"] == len(batch)
    assert together["state_hash"] == service.hash(one) == service.hash(other)


def test_a_refusal_is_a_result(service: Service, guarded: tuple[str, dict[str, int]]) -> None:
    """What the hypervisor refuses and where stage 2 says no: 200, an outcome, a reason that the catalogue explains."""
    path, where = guarded
    answers = [
        service.post(f"{path}/memory/load", {"addr": where["hyp"], "length": 8}),
        service.post(f"{path}/memory/store", {"addr": where["guest"], "hex": "00"}),
        service.post(f"{path}/hvc", {"function": "__pkvm_host_share_hyp", "args": [where["hyp"] >> 12]}),
        service.post(f"{path}/mmio/write", {"addr": where["its"] + 0x80, "size": 8, "value": 1}),
    ]
    reasons = {row["reason"] for row in service.get("/v1/arch")["reasons"]}

    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer.json()["outcome"] for answer in answers] == ["abort", "abort", "refused", "refused"]
    assert {answer.json()["reason"] for answer in answers} <= reasons
    assert answers[2].json()["errno"] == "EPERM"


@pytest.mark.parametrize(
    "stop_on, executed",
    [([], 4), (["abort"], 2), (["refused"], 3), (["refused", "abort"], 2), (["violation", "panic"], 4)],
)
def test_a_batch_stops_only_where_it_is_told_to(
    service: Service, guarded: tuple[str, dict[str, int]], stop_on: list[str], executed: int
) -> None:
    """Behind the first op with such an outcome, which is executed; JSON and packed alike."""
    path, where = guarded
    ops: list[dict[str, Any]] = [
        TYPER,
        {"op": "load", "addr": where["hyp"], "length": 8},
        {"op": "mmio_write", "addr": where["its"] + 0x80, "size": 8, "value": 1},
        TYPER,
    ]
    by_json = service.post(f"{path}/ops", {"ops": ops, "stop_on": stop_on}).json()
    frame = encode(ops, *stop_on)
    packed = decode(
        service.http.post(f"{path}/ops", content=frame, headers={"content-type": "application/octet-stream"}).content
    )

    assert by_json["executed"] == len(by_json["results"]) == len(packed.results) == executed
    words = ("ok", "refused", "abort", "panic")
    assert [result["outcome"] for result in by_json["results"]] == [words[r.outcome] for r in packed.results]
    codes = {row["code"]: row["reason"] for row in service.get("/v1/arch")["reasons"]}
    assert [result.get("reason") for result in by_json["results"]] == [codes.get(r.reason) for r in packed.results]


def test_a_violation_comes_with_the_op_that_made_it(service: Service) -> None:
    """Without a hypervisor a forged table reaches its page; the batch stops there if it is told to."""
    session = service.post("/v1/sessions", {"hardening": "off"}).json()
    path, hyp = f"/v1/sessions/{session['id']}", int(session["map"]["hyp"], 16)
    mapd = (8).to_bytes(8, "little") + (1).to_bytes(8, "little") + (1 << 63 | hyp).to_bytes(8, "little") + bytes(8)
    mapti = (0x0A).to_bytes(8, "little") + (8192 << 32).to_bytes(8, "little") + bytes(16)
    ops = [
        {"op": "store", "addr": RAM, "hex": (mapd + mapti).hex()},
        {"op": "mmio_write", "addr": 0x0808_0100, "size": 8, "value": 1 << 63 | 0x4020_0000 | 0x200},
        {"op": "mmio_write", "addr": 0x0808_0080, "size": 8, "value": 1 << 63 | RAM},
        {"op": "mmio_write", "addr": 0x0808_0000, "size": 4, "value": 1},
        {"op": "mmio_write", "addr": 0x0808_0088, "size": 8, "value": 64},
        TYPER,
    ]
    answer = service.post(f"{path}/ops", {"ops": ops, "stop_on": ["violation"]}).json()

    assert answer["executed"] == 5
    assert answer["violations"] == answer["results"][4]["violations"] != []
    assert answer["violations"] == service.get(f"{path}/violations")
    assert answer["violations"][0]["bucket"].startswith("itsb1-")
    events = service.get(f"{path}/events", types="violation")["events"]
    assert [event["data"]["bucket"] for event in events] == [v["bucket"] for v in answer["violations"]]


def test_the_driver_takes_its_arguments_as_the_body(service: Service) -> None:
    """Log lines and the result come back; no body means no arguments."""
    path = service.session(hardening="strict")
    probed = service.post(f"{path}/driver/probe")
    deprivileged = service.post(f"{path}/driver/deprivilege", {})
    mapped = service.post(f"{path}/driver/map_device", {"device_id": 8, "events": 3}).json()

    assert [answer.status_code for answer in (probed, deprivileged)] == [200, 200]
    assert isinstance(probed.json()["log"], list)
    assert service.get(path)["phase"] == "deprivileged"
    assert [event["event_id"] for event in mapped["result"]["events"]] == [0, 1, 2]
    batch = service.post(f"{path}/ops", {"ops": [{"op": "driver", "call": "unmap_device", "args": {"device_id": 8}}]})
    assert batch.json()["results"][0]["outcome"] == "ok"


@pytest.mark.parametrize(
    "call, args, field",
    [
        ("fly", {}, "call"),
        ("map_device", {"device_id": 8}, "events"),
        ("map_device", {"device_id": "eight", "events": 3}, "device_id"),
        ("map_device", {"device_id": 8, "events": 3, "color": 1}, "color"),
    ],
)
def test_a_driver_call_that_cannot_be_is_refused(service: Service, call: str, args: dict[str, Any], field: str) -> None:
    """Unknown calls and wrong arguments are the client's mistake: 422, named, alone and in a batch; nothing has run."""
    path = service.session(start="host", hardening="strict")
    before = service.hash(path)
    alone = service.post(f"{path}/driver/{call}", args)
    batch = service.post(f"{path}/ops", {"ops": [TYPER, {"op": "driver", "call": call, "args": args}]})

    assert (alone.status_code, alone.json()["errors"][0]["location"]) == (422, field)
    place = "ops.1.call" if field == "call" else f"ops.1.args.{field}"
    assert (batch.status_code, batch.json()["errors"][0]["location"]) == (422, place)
    assert service.hash(path) == before


def test_a_hypercall_that_does_not_exist_is_a_result(service: Service) -> None:
    """By name and by number: NOT_SUPPORTED in x0, as SMCCC has it."""
    path = service.session(hardening="strict")
    for function in ("no_such_call", "0xc600ffff", 0xC600FFFF):
        answer = service.post(f"{path}/hvc", {"function": function, "args": []})
        assert answer.status_code == 200
        assert answer.json()["x0"] == "0xffffffffffffffff"
