"""Bad input: a problem that names the op and the field, and a machine that has not moved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Service

RAM = 0x4000_0000
READ = {"op": "mmio_read", "addr": 0x0808_0008, "size": 8}
STORE = {"op": "store", "addr": RAM, "hex": "ff"}


@pytest.fixture
def session(service: Service) -> str:
    """A new session."""
    return service.session()


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The problem that an answer must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:itsbox:problem:{kind}"
    assert body["status"] == status
    assert {"title", "detail", "instance"} <= set(body)
    return body


@pytest.mark.parametrize(
    "op, field",
    [
        ({**READ, "size": 3}, "size"),
        ({**READ, "size": 16}, "size"),
        ({**READ, "size": "8"}, "size"),
        ({**READ, "addr": 1 << 64}, "addr"),
        ({**READ, "addr": "0x10000000000000000"}, "addr"),
        ({**READ, "addr": -1}, "addr"),
        ({**READ, "addr": "8080008"}, "addr"),
        ({**READ, "addr": 134742024.5}, "addr"),
        ({**READ, "addr": True}, "addr"),
        ({**READ, "addr": None}, "addr"),
        ({"op": "mmio_read", "addr": 0}, "size"),
        ({**READ, "value": 1}, "value"),
        ({**READ, "op": "mmio_reed"}, "op"),
        ({"addr": 0, "size": 8}, "op"),
        ({"op": "mmio_write", "addr": 0, "size": 4, "value": 1 << 32}, "value"),
        ({"op": "mmio_write", "addr": 0, "size": 8, "value": 1 << 64}, "value"),
        ({"op": "load", "addr": 0, "length": 0}, "length"),
        ({"op": "store", "addr": 0, "hex": "abc"}, "hex"),
        ({"op": "store", "addr": 0, "hex": "zz"}, "hex"),
        ({"op": "store", "addr": 0, "hex": ""}, "hex"),
        ({"op": "fill", "addr": 0, "length": 1, "byte": 256}, "byte"),
        ({"op": "msi", "device_id": 1 << 32, "event_id": 0}, "device_id"),
        ({"op": "msi", "device_id": 0, "event_id": -1}, "event_id"),
        ({"op": "ack", "cpu": 4}, "cpu"),
        ({"op": "hvc", "function": "", "args": []}, "function"),
        ({"op": "hvc", "function": 1, "args": [0] * 7}, "args"),
        ({"op": "hvc", "function": 1, "args": [0, "x"]}, "args.1"),
        ({"op": "driver", "call": 5, "args": {}}, "call"),
    ],
)
def test_the_400th_op_is_malformed(service: Service, session: str, op: dict[str, Any], field: str) -> None:
    """A batch is refused as a whole; the problem names op 400 and the field; nothing has run."""
    before = service.hash(session)
    answer = service.post(f"{session}/ops", {"ops": [STORE] * 400 + [op, STORE]})

    body = problem(answer, 422, "invalid-request")
    assert body["errors"][0] == {
        "location": f"ops.400.{field}", "op": 400, "field": field, "message": body["errors"][0]["message"],
    }  # fmt: skip
    assert body["index"] == 400
    assert f"ops.400.{field}" in body["detail"]
    assert service.hash(session) == before
    assert service.get(f"{session}/journal")["head"] == 0


def test_an_op_that_is_no_object_is_named(service: Service, session: str) -> None:
    """A number among the ops."""
    body = problem(service.post(f"{session}/ops", {"ops": [READ, 5]}), 422, "invalid-request")

    assert body["errors"][0]["location"] == "ops.1"


def test_many_errors_are_counted_and_some_are_shown(service: Service, session: str) -> None:
    """A batch of nothing but mistakes does not answer megabytes."""
    body = problem(service.post(f"{session}/ops", {"ops": [{"op": "ack"}] * 100}), 422, "invalid-request")

    assert len(body["errors"]) == 20
    assert body["errors_total"] == 100


@pytest.mark.parametrize(
    "body, field",
    [
        ({"ops": [], "stop_on": ["sometimes"]}, "stop_on.0"),
        ({"ops": [], "hash": 1}, "hash"),
        ({"ops": [], "more": 1}, "more"),
        ({}, "ops"),
        ({"ops": {}}, "ops"),
    ],
)
def test_the_batch_itself_is_judged(service: Service, session: str, body: Any, field: str) -> None:
    """Fields beside the ops are checked, too."""
    errors = problem(service.post(f"{session}/ops", body), 422, "invalid-request")["errors"]

    assert errors[0]["location"] == field


@pytest.mark.parametrize("text", [b"{", b"", b"\xff\xfe{}", b'{"ops": [}', b"[" * 100_000, b'{"a": "\\ud800"}'])
def test_what_is_not_json_is_400(service: Service, session: str, text: bytes) -> None:
    """Malformed JSON, text that is not UTF-8, nesting without end."""
    before = service.hash(session)
    for path, method in ((f"{session}/ops", "POST"), (f"{session}/mmio/read", "POST"), (session, "PATCH")):
        answer = service.http.request(method, path, content=text, headers={"content-type": "application/json"})
        problem(answer, 400, "malformed-json")

    assert service.hash(session) == before


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_another_content_type_is_415(service: Service, session: str, content_type: str | None) -> None:
    """A form that a web page could send unasked is not taken for JSON."""
    headers = {} if content_type is None else {"content-type": content_type}
    for path in (f"{session}/ops", f"{session}/ack", "/v1/sessions"):
        answer = service.http.post(path, content=json.dumps({"cpu": 0}).encode(), headers=headers)
        problem(answer, 415, "unsupported-media-type")


def test_packed_frames_are_for_batches_only(service: Service, session: str) -> None:
    """Other routes take JSON alone."""
    answer = service.http.post(
        f"{session}/restore", content=b"ITSQ", headers={"content-type": "application/octet-stream"}
    )

    problem(answer, 415, "unsupported-media-type")


def test_a_body_too_large_names_the_cap(service: Service, session: str) -> None:
    """4 MiB and a byte, with its length declared and in chunks."""
    body = b" " * (4 * 1024 * 1024 + 1)

    def chunks() -> Any:
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    for content in (body, chunks()):
        answer = service.http.post(f"{session}/ops", content=content, headers={"content-type": "application/json"})
        shown = problem(answer, 413, "cap-exceeded")
        assert (shown["cap"], shown["limit"]) == ("request_bytes", len(body) - 1)


def test_a_body_of_exactly_the_cap_is_read(service: Service, session: str) -> None:
    """The bound is inclusive."""
    text = json.dumps({"ops": [READ]}).encode()
    body = text + b" " * (4 * 1024 * 1024 - len(text))
    answer = service.http.post(f"{session}/ops", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 200


def test_too_many_ops_name_the_cap(service: Service, session: str) -> None:
    """4,096 are taken, one more is 413."""
    assert service.post(f"{session}/ops", {"ops": [READ] * 4096}).json()["executed"] == 4096

    shown = problem(service.post(f"{session}/ops", {"ops": [READ] * 4097}), 413, "cap-exceeded")

    assert (shown["cap"], shown["limit"]) == ("ops_per_request", 4096)


def test_loads_that_read_too_much_name_the_cap(service: Service, session: str) -> None:
    """One load of 17 MiB, or many that come to as much."""
    mib = 1 << 20
    for ops in ([17 * mib], [mib] * 17):
        body = {"ops": [{"op": "load", "addr": RAM, "length": length} for length in ops]}
        shown = problem(service.post(f"{session}/ops", body), 413, "cap-exceeded")
        assert shown["cap"] == "answer_bytes"
    answer = service.post(f"{session}/memory/load", {"addr": RAM, "length": 1 << 60})

    assert problem(answer, 413, "cap-exceeded")["cap"] == "answer_bytes"


def test_memory_beyond_the_cap_names_it(make_service: Any) -> None:
    """A store that does not fit is refused and leaves nothing behind; the session goes on."""
    service = make_service(limits={"session_memory_bytes": 16 * 4096})
    session = service.session()
    before = service.hash(session)
    answer = service.post(f"{session}/memory/store", {"addr": RAM, "hex": "ff" * 17 * 4096})

    assert problem(answer, 413, "cap-exceeded")["cap"] == "session_memory_bytes"
    assert service.hash(session) == before
    assert service.post(f"{session}/memory/store", {"addr": RAM, "hex": "ff" * 16 * 4096}).status_code == 200


@pytest.mark.parametrize(
    "fields, field",
    [
        ({"profile": "pdp-11"}, "profile"),
        ({"cpus": 0}, "cpus"),
        ({"cpus": 65}, "cpus"),
        ({"cpus": True}, "cpus"),
        ({"ram_mib": 63}, "ram_mib"),
        ({"ram_mib": 4097}, "ram_mib"),
        ({"hardening": "strictest"}, "hardening.preset"),
        ({"hardening": {"preset": "strict", "knobs": {"no_such_knob": "x"}}}, "hardening.knobs.no_such_knob"),
        ({"hardening": {"preset": 5}}, "hardening.preset"),
        ({"hardening": {"level": "high"}}, "hardening.level"),
        ({"hardening": {"knobs": {"itt_alignment": {}}}}, "hardening.knobs.itt_alignment"),
        ({"quirks": {"coherent": 0}}, "quirks.coherent"),
        ({"hardening": 5}, "hardening"),
        ({"start": "cold"}, "start"),
        ({"error_policy": "panic"}, "error_policy"),
        ({"quirks": {"warp": True}}, "quirks.warp"),
        ({"quirks": {"mapd_keeps_dte": "yes"}}, "quirks.mapd_keeps_dte"),
        ({"quirks": {"driver_ite_mask": 1}}, "quirks.driver_ite_mask"),
        ({"quirks": {"stale_tables": True}, "oracle": "lockstep"}, "oracle"),
        ({"quirks": {"coherent": "perhaps"}}, "quirks.coherent"),
        ({"oracle": "delphi"}, "oracle"),
        ({"metadata": {"job": 7}}, "metadata.job"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"idle_timeout_s": 0}, "idle_timeout_s"),
        ({"idle_timeout_s": 1 << 40}, "idle_timeout_s"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(service: Service, fields: dict[str, Any], field: str) -> None:
    """Each field of a new session is judged, and named; no session is made."""
    before = len(service.get("/v1/sessions", limit=200)["sessions"])
    body = problem(service.post("/v1/sessions", fields), 422, "invalid-request")

    assert body["errors"][0]["location"] == field
    assert len(service.get("/v1/sessions", limit=200)["sessions"]) == before


@pytest.mark.parametrize(
    "path, field",
    [
        ("events?after=-1", "after"),
        ("events?after=x", "after"),
        ("events?limit=0", "limit"),
        ("events?limit=10001", "limit"),
        ("events?types=trap.mmio,nothing", "types"),
        ("events?afterr=1", "afterr"),
        ("journal?after=1.5", "after"),
        ("physical?addr=0x40000000", "length"),
        ("physical?addr=0x40000000&length=65537", "length"),
        ("physical?addr=0x10000000000000000&length=1", "addr"),
        ("pages?addr=q", "addr"),
        ("tables/device?view=mirror", "view"),
        ("tables/chair", "kind"),
    ],
)
def test_parameters_are_judged(service: Service, session: str, path: str, field: str) -> None:
    """A parameter out of range, of another kind, missing or unknown is 422 and named."""
    body = problem(service.http.get(f"{session}/{path}"), 422, "invalid-request")

    assert body["errors"][0]["location"] == field


def test_what_hardware_would_do_is_never_a_problem(service: Service, session: str) -> None:
    """Misaligned and oversized accesses, missing memory, the end of the address space: results, all of them."""
    top = (1 << 64) - 1
    ops = [
        {"op": "mmio_read", "addr": 0x0808_0001, "size": 8},
        {"op": "mmio_read", "addr": 0x0808_0000, "size": 1},
        {"op": "mmio_write", "addr": 0x0808_FFFF, "size": 8, "value": top},
        {"op": "mmio_write", "addr": 0x0809_0040, "size": 8, "value": top},
        {"op": "mmio_read", "addr": top, "size": 8},
        {"op": "mmio_write", "addr": top, "size": 2, "value": 1},
        {"op": "load", "addr": top, "length": 64},
        {"op": "load", "addr": 0, "length": 64},
        {"op": "store", "addr": top - 3, "hex": "ff" * 8},
        {"op": "fill", "addr": top, "length": top, "byte": 1},
        {"op": "clean", "addr": top, "length": top},
        {"op": "msi", "device_id": 0xFFFF_FFFF, "event_id": 0xFFFF_FFFF},
    ]
    answer = service.post(f"{session}/ops", {"ops": ops})

    assert answer.status_code == 200
    assert [result["outcome"] for result in answer.json()["results"]] == ["ok"] * len(ops)


@pytest.mark.parametrize(
    "asked, location, message",
    [
        ({"metadata": {"k" * 65: ""}}, "metadata." + "k" * 65, "its name should have at most 64 characters"),
        ({"metadata": {str(n): "" for n in range(33)}}, "metadata", "must have at most 32 items"),
        ({"idle_timeout_s": 0}, "idle_timeout_s", "must be between 1 and 4294967295"),
    ],
)
def test_a_refusal_is_worded_for_a_client(service: Service, asked: Any, location: str, message: str) -> None:
    """In the words of the wire, not of the library that found it: counts are decimal, and a bad name is told from a bad value."""
    said = problem(service.post("/v1/sessions", asked), 422, "invalid-request")

    assert [(error["location"], error["message"]) for error in said["errors"]] == [(location, message)]


def test_paths_and_methods_that_are_not_there(service: Service, session: str) -> None:
    """404 and 405 are problems, too; 405 says what is allowed."""
    problem(service.http.get("/v1/nothing"), 404, "not-found")
    problem(service.http.get(f"{session}/nothing"), 404, "not-found")
    problem(service.http.get("/v1/sessions/unknown"), 404, "session-not-found")
    problem(service.http.get(f"{session}/snapshots/unknown"), 404, "snapshot-not-found")
    problem(service.post(f"{session}/restore", {"snapshot": "unknown"}), 404, "snapshot-not-found")
    problem(service.http.get(f"{session}/mmio/read"), 405, "method-not-allowed")
    answer = service.http.put(f"{session}/ops")

    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    assert service.http.put(session).headers["allow"] == "DELETE, GET, PATCH"


@pytest.mark.parametrize(
    "query, message",
    [
        ("colour=red", "is not a known parameter"),
        ("limit=1&limit=2", "is given more than once"),
        ("metadata.job=a&metadata.job=b", "is given more than once"),
    ],
)
def test_no_parameter_is_passed_over_in_silence(service: Service, query: str, message: str) -> None:
    """One that is unknown, and one of two with the same name, of which only one could count."""
    said = problem(service.http.get(f"/v1/sessions?{query}"), 422, "invalid-request")

    assert [(e["location"], e["message"]) for e in said["errors"]] == [(query.partition("=")[0], message)]


@pytest.mark.parametrize("tail", ["stream", "lane"])
def test_a_stream_that_is_asked_for_without_upgrade_says_what_it_speaks(
    service: Service, session: str, tail: str
) -> None:
    """A plain GET of a WebSocket's path is not told that nothing is there."""
    answer = service.http.get(f"{session}/{tail}")

    problem(answer, 404, "not-found")
    assert "WebSocket" in answer.json()["detail"]


def test_a_body_where_none_is_taken_is_refused(service: Service, session: str) -> None:
    """An empty object is nothing; anything else is a mistake."""
    assert service.post(f"{session}/snapshots", {}).status_code == 201
    assert service.post(f"{session}/snapshots").status_code == 201

    problem(service.post(f"{session}/snapshots", {"name": "x"}), 422, "invalid-request")
