from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from itsbox.api.requests import CreateSession
from itsbox.api.routes.sessions import configuration
from itsbox.sessions.errors import InvalidField
from tests.api.conftest import Service

MAP = {
    "gicd": "0x8000000", "its": "0x8080000", "translater": "0x8090040", "gicr": "0x80a0000", "gicr_stride": "0x20000",
    "ram": "0x40000000", "ram_bytes": "0x10000000", "hyp": "0x4ff00000", "hyp_bytes": "0x100000",
    "guest": "0x4fe00000", "guest_bytes": "0x100000",
}  # fmt: skip


def test_a_session_needs_nothing_but_to_be_asked_for(service: Service) -> None:
    """No body at all makes the default machine; the answer is that of the contract."""
    answer = service.post("/v1/sessions")
    session = answer.json()

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{session['id']}"
    assert session["map"] == MAP
    assert (session["profile"], session["phase"], session["state"]) == ("virt-gicv3", "trusted", "running")
    assert session["hardening"]["preset"] == "strict"
    assert (session["epoch"], session["seq"], session["step"]) == (1, 0, 0)
    assert len(session["state_hash"]) == 64
    lasts = datetime.fromisoformat(session["expires_at"]) - datetime.fromisoformat(session["created_at"])
    assert lasts.total_seconds() == 900


def test_what_is_asked_for_is_made(service: Service) -> None:
    """Every field finds its way into the machine."""
    asked: dict[str, Any] = {
        "profile": "virt-gicv4", "cpus": 2, "ram_mib": 128, "start": "host", "error_policy": "stall", "oracle": "off",
        "hardening": {"preset": "v2", "knobs": {"itt_alignment": "inverted"}}, "quirks": {"coherent": False},
        "metadata": {"job": "ci-7"}, "idle_timeout_s": 60,
    }  # fmt: skip
    session = service.post("/v1/sessions", asked).json()
    names = set(asked) - {"hardening"}

    assert {name: session[name] for name in names} == {name: asked[name] for name in names}
    assert session["hardening"]["preset"] == "v2"
    assert session["hardening"]["knobs"]["itt_alignment"] == "inverted"
    assert session["map"]["gicr_stride"] == "0x40000"
    assert session["map"]["ram_bytes"] == "0x8000000"


def test_a_defect_can_be_seeded(service: Service) -> None:
    """A quirk like any other: shown as it was asked for, and part of what the machine is."""
    asked = {"quirks": {"mapd_keeps_dte": True}}
    session, plain = service.post("/v1/sessions", asked).json(), service.post("/v1/sessions", {}).json()

    assert session["quirks"] == asked["quirks"]
    assert session["state_hash"] != plain["state_hash"]


@pytest.mark.parametrize(
    "profile, further",
    [
        ("virt-gicv4", {}),
        ("virt-gicv4.1", {"sgir": "0x8070020"}),
        ("virt-gicv4-dual-its", {"its_nodes": ["0x8080000", "0x9100000"]}),
    ],
)
def test_the_map_names_frames_that_not_every_machine_has(
    service: Service, profile: str, further: dict[str, Any]
) -> None:
    """GITS_SGIR and further ITSs are told where they are; the rest is where it always is."""
    told = service.post("/v1/sessions", {"profile": profile}).json()["map"]

    assert told == {**MAP, "gicr_stride": "0x40000", **further}


@pytest.mark.parametrize(
    "start, hardening, phase",
    [("bare", "strict", "trusted"), ("host", "strict", "trusted"), ("deprivileged", "strict", "deprivileged")],
)
def test_a_session_starts_where_it_is_told_to(service: Service, start: str, hardening: str, phase: str) -> None:
    """The boot's events come before the session's own, and none of them is missing."""
    session = service.post("/v1/sessions", {"start": start, "hardening": hardening}).json()
    page = service.get(f"/v1/sessions/{session['id']}/events", limit=10_000)

    assert session["phase"] == phase
    assert [event["seq"] for event in page["events"]] == list(range(1, page["head"] + 1))
    assert page["events"][session["seq"]]["type"] == "session.created"
    assert page["head"] == session["seq"] + 1


def test_equal_requests_make_equal_machines(service: Service) -> None:
    """The state hash depends on nothing but the request."""
    asked = {"start": "host", "hardening": "v2"}

    assert (
        service.post("/v1/sessions", asked).json()["state_hash"]
        == service.post("/v1/sessions", asked).json()["state_hash"]
        != service.post("/v1/sessions", {**asked, "cpus": 2}).json()["state_hash"]
    )


def test_sessions_are_listed_page_by_page(service: Service) -> None:
    """Filtered by metadata, each is seen once; a filter that nothing matches is an empty page."""
    made = [service.session(metadata={"suite": "pages", "n": str(n)}).rpartition("/")[2] for n in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = service.get("/v1/sessions", **{"limit": 2, "cursor": cursor, "metadata.suite": "pages"})
        seen += [session["id"] for session in page["sessions"]]
        cursor = page["next"]

    assert seen == made
    assert service.get("/v1/sessions", **{"metadata.suite": "none"}) == {"sessions": [], "next": None}
    assert service.get("/v1/sessions", state="crashed") == {"sessions": [], "next": None}


def test_metadata_is_text_and_nothing_else(service: Service) -> None:
    """What looks like markup comes back as it went in."""
    hostile = {"<script>alert(1)</script>": '"><img src=x onerror=alert(1)>\n\x1b[31m\u2028', "": None}
    del hostile[""]
    path = service.session(metadata=hostile)

    assert service.get(path)["metadata"] == hostile


def test_a_patch_replaces_what_it_names(service: Service) -> None:
    """What is not named stays; a new timeout moves the end."""
    path = service.session(metadata={"a": "1"}, idle_timeout_s=100)
    first = service.http.patch(path, json={"metadata": {"b": "2"}}).json()
    second = service.http.patch(path, json={"idle_timeout_s": 200}).json()

    assert (first["metadata"], first["idle_timeout_s"]) == ({"b": "2"}, 100)
    assert (second["metadata"], second["idle_timeout_s"]) == ({"b": "2"}, 200)
    assert second["expires_at"] > first["expires_at"]


def test_deleting_twice_is_no_error(service: Service) -> None:
    """204 both times, and for what never was; the session is gone, and its answer says how."""
    path = service.session()
    answers = [service.http.delete(path) for _ in range(2)] + [service.http.delete("/v1/sessions/never")]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 3
    gone = service.http.get(path)
    assert (gone.status_code, gone.json()["ended"]) == (404, "deleted")


def test_the_cap_on_sessions_names_itself(make_service: Any) -> None:
    """429 with the cap, its limit and what is in use; nothing is made."""
    service = make_service(limits={"sessions": 2})
    service.session()
    path = service.session()
    refused = service.post("/v1/sessions")
    forked = service.post(f"{path}/fork")

    for answer in (refused, forked):
        body = answer.json()
        assert answer.status_code == 429
        assert (body["cap"], body["limit"], body["in_use"]) == ("sessions", 2, 2)
        assert int(answer.headers["retry-after"]) > 0
    assert len(service.get("/v1/sessions")["sessions"]) == 2


def test_configuration_names_what_cannot_be() -> None:
    """A knob that does not exist reaches the client with its place in the body."""
    asked = CreateSession.model_validate({"hardening": {"preset": "strict", "knobs": {"nothing": "x"}}})
    with pytest.raises(InvalidField) as refused:
        configuration(asked)

    assert refused.value.field == "hardening.knobs.nothing"
