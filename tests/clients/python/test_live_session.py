"""Sessions, views, snapshots, forks, problems and scenarios against the real service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from itsbox_client import (
    Client,
    NotFound,
    QuotaExceeded,
    RetryPolicy,
    Session,
    SessionNotFound,
    SnapshotNotFound,
    ValidationProblem,
    registers,
)
from itsbox_client.commands import COMMANDS
from itsbox_client.faces import Hypercalls
from itsbox_client.layout import Bits
from itsbox_client.registers import Register
from pytest_itsbox.server import Server

PAGE = 0x4800_0000


@pytest.fixture
def session(client: Client) -> Iterator[Session]:
    """A booted machine under strict, not yet deprivileged."""
    with client.sessions.create(start="host", metadata={"job": "sdk", "odd": "0x10"}) as found:
        yield found


def test_a_session_is_described(session: Session) -> None:
    """Addresses are ints, metadata stays text even where it looks like a number."""
    info = session.info

    assert (info.profile, info.cpus, info.ram_mib, info.phase, info.state) == (
        "virt-gicv3",
        4,
        256,
        "trusted",
        "running",
    )
    assert (info.map.its, info.map.hyp, info.map.guest_bytes) == (0x808_0000, 0x4FF0_0000, 0x10_0000)
    assert info.hardening["preset"] == "strict"
    assert info.metadata == {"job": "sdk", "odd": "0x10"}


def test_a_session_can_be_joined_changed_and_found(client: Client, session: Session) -> None:
    """By id, by metadata, by state; the metadata can be replaced."""
    joined = client.sessions.connect(session.id)
    joined.update(metadata={"job": f"sdk-{session.id}"}, idle_timeout_s=600)

    found = list(client.sessions.list(metadata={"job": f"sdk-{session.id}"}, state="running"))
    assert [info.id for info in found] == [session.id]
    assert session.refresh().metadata == {"job": f"sdk-{session.id}"}


def test_listing_goes_over_pages(client: Client) -> None:
    """More sessions than a page has: each is listed once, oldest first."""
    made = [client.sessions.create(metadata={"page": "yes"}) for _ in range(5)]
    listed = [info.id for info in client.sessions.list(metadata={"page": "yes"}, page_size=2)]
    for each in made:
        each.kill()

    assert listed == [each.id for each in made]


def test_an_ended_session_is_gone_and_says_why(client: Client) -> None:
    """Ending twice is no error; using it afterwards is."""
    session = client.sessions.create()
    session.kill()
    session.kill()

    with pytest.raises(SessionNotFound) as caught:
        session.mmio_read(session.map.its, 4)
    assert caught.value.ended == "deleted"


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"profile": "virt-gicv9"}, "profile"),
        ({"ram_mib": 1}, "ram_mib"),
        ({"hardening": "lax"}, "hardening.preset"),
        ({"hardening": {"preset": "strict", "knobs": {"no_such_knob": 1}}}, "hardening.knobs.no_such_knob"),
        ({"start": "flying"}, "start"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_by_field(client: Client, wrong: dict[str, object], field: str) -> None:
    """ValidationProblem names the field."""
    with pytest.raises(ValidationProblem) as caught:
        client.sessions.create(**wrong)  # type: ignore[arg-type]

    assert caught.value.errors[0]["location"] == field


def test_a_malformed_batch_does_nothing(session: Session) -> None:
    """All or nothing: the op before the malformed one did not run, either."""
    step = session.refresh().step
    with pytest.raises(ValidationProblem) as caught:
        session.run([{"op": "ack", "cpu": 0}, {"op": "mmio_read", "addr": "0x0", "size": 3}])

    assert caught.value.index == 1
    assert session.refresh().step == step


def test_a_driver_call_that_does_not_exist_is_the_callers_mistake(session: Session) -> None:
    """The built-in driver has a fixed list of calls."""
    with pytest.raises((ValidationProblem, NotFound)):
        session.driver.call("fly")


def test_too_many_snapshots_name_the_cap(client: Client, session: Session) -> None:
    """QuotaExceeded says which cap, how much it allows, how much is in use."""
    impatient = Client(client.base_url, retry=RetryPolicy(attempts=1))
    with impatient, pytest.raises(QuotaExceeded) as caught:  # noqa: PT012
        mine = impatient.sessions.connect(session.id)
        for _ in range(client.limits()["snapshots_per_session"] + 1):
            mine.snapshot()

    assert caught.value.cap == "snapshots_per_session"
    assert caught.value.in_use == caught.value.limit == client.limits()["snapshots_per_session"]


def test_a_snapshot_is_the_whole_machine(session: Session) -> None:
    """Restoring gives back the same state hash; the epoch grows; the journal of the session starts anew."""
    session.store(PAGE, b"before")
    snapshot = session.snapshot()
    session.store(PAGE, b"after!")
    assert session.refresh().state_hash != snapshot.state_hash

    restored = session.restore(snapshot)

    assert restored.state_hash == snapshot.state_hash == session.refresh().state_hash
    assert restored.epoch == session.info.epoch == 2
    assert session.load(PAGE, 6).data == b"before"
    assert [kept.id for kept in session.snapshots()] == [snapshot.id]
    session.delete_snapshot(snapshot)
    assert session.snapshots() == ()
    with pytest.raises(SnapshotNotFound):
        session.restore(snapshot)


def test_forks_go_their_own_ways(session: Session) -> None:
    """Equal machines at first, then not."""
    session.store(PAGE, b"origin")
    snapshot = session.snapshot()
    session.store(PAGE, b"parent")
    (now,) = session.fork()
    old, other = session.fork(2, snapshot=snapshot)
    with now, old, other:
        assert now.info.state_hash == session.refresh().state_hash
        assert old.info.state_hash == other.info.state_hash == snapshot.state_hash
        other.store(PAGE, b"child!")
        texts = [each.load(PAGE, 6).data for each in (session, now, old, other)]

    assert texts == [b"parent", b"parent", b"origin", b"child!"]


def test_the_journal_leads_to_the_same_machine(client: Client, session: Session) -> None:
    """What was recorded, run on a new machine of the same kind, gives the same state hash; across a restore as well."""
    journal = session.record()
    session.its.mapd(device_id=1, size=3, itt_addr=PAGE)
    snapshot = session.snapshot()
    session.fill(PAGE, 64, 0xFF)
    session.restore(snapshot)
    with session.batch() as batch:
        batch.its.mapti(device_id=1, event_id=0, intid=8192, icid=0)
        batch.msi(1, 0)

    with client.sessions.create(start="host") as again:
        replayed = again.run(journal.ops, hash=True)

    assert replayed.state_hash == session.refresh().state_hash


def test_the_services_own_journal_says_what_was_done(session: Session) -> None:
    """Every op that anybody gave the session, in the form in which it can be run again; unknown after a restore."""
    session.fill(PAGE, 16, 1)
    session.run([{"op": "ack", "cpu": 1}] * 3)

    program = session.service_journal()

    assert program is not None
    assert [op["op"] for op in program] == ["fill", "ack", "ack", "ack"]
    session.restore(session.snapshot())
    assert session.service_journal() is None


def test_every_view_answers(session: Session) -> None:
    """Each view of the machine, with numbers as ints."""
    session.driver.deprivilege().expect()
    its = session.map.its

    assert session.registers()["GITS_CTLR"]["addr"] == its
    assert session.queues()["hw"]["size"] == 0x1_0000
    assert 0 in session.state()["collections"]
    for kind in ("device", "collection"):
        for view in ("host", "hw", "diff"):
            assert session.tables(kind, view=view)
    (run,) = session.pages(session.map.hyp, 0x1000)
    assert (run["addr"], run["pages"], run["owner"]) == (session.map.hyp, 1, "hyp")
    assert len(session.physical(session.map.hyp, 64)) == 64
    assert any(session.physical(session.map.hyp, 64))
    assert session.violations() == ()
    assert session.diagnosis()


def test_the_service_describes_itself(client: Client) -> None:
    """Health, version, caps, declarations, hardening, profiles."""
    assert client.healthz()
    assert client.readyz()["status"] == "ready"
    assert client.version()
    assert client.limits()["sessions"] >= 1
    assert {"strict", "rfc-v1", "v2", "off"} <= set(str(client.hardening()).replace("'", " ").split())
    assert "virt-gicv3" in str(client.profiles())


def _fields(row: dict[str, Any]) -> dict[str, Bits]:
    return {field["name"]: Bits(field["word"], field["hi"], field["lo"], field["shift"]) for field in row["fields"]}


def test_the_clients_commands_are_the_services(client: Client) -> None:
    """Each command has the opcode and, with those of GICv4.1, exactly the fields that the service declares; none is missing."""
    declared: dict[str, dict[str, Bits]] = {}
    opcodes: dict[str, int] = {}
    for row in client.arch()["commands"]:
        declared.setdefault(row["name"], {}).update(_fields(row))
        opcodes[row["name"]] = int(row["opcode"], 16)

    assert {kind.__name__: dict(kind.FIELDS) for kind in COMMANDS.values()} == declared
    assert {kind.__name__: kind.OPCODE for kind in COMMANDS.values()} == opcodes


def test_the_clients_registers_are_the_services(client: Client) -> None:
    """Each register of the client is declared by the service, at the same place, with the same fields."""
    declared = {row["layout"]: row for row in client.arch()["registers"]}
    for name in registers.__all__:
        kind = getattr(registers, name)
        if not (isinstance(kind, type) and issubclass(kind, Register) and kind.FIELDS):
            continue
        row = declared[name]
        frame = 0x2_0000 if row["frame"] == "VLPI" else 0

        assert (int(row["offset"], 16) + frame, row["width"], row["count"]) == (
            kind.OFFSET,
            kind.SIZE * 8,
            kind.COUNT,
        ), name
        assert kind.FIELDS.items() <= _fields(row).items(), name


def test_the_clients_hypercalls_are_the_services(client: Client) -> None:
    """Each hypercall that a host can make has a method with the arguments that the service names, in its order."""
    asked: list[tuple[str | int, tuple[int, ...]]] = []
    face: Hypercalls[None] = Hypercalls(lambda name, args: asked.append((name, args)))
    callable_rows = [row for row in client.arch()["hypercalls"] if row["number"] is not None]
    for row in callable_rows:
        name = row["name"].removeprefix("__pkvm_").removeprefix("__")
        getattr(face, name)(*range(1, len(row["args"]) + 1))

    assert asked == [(row["name"], tuple(range(1, len(row["args"]) + 1))) for row in callable_rows]


def test_scenarios_have_verdicts(client: Client) -> None:
    """A boot is isolated; an attack is isolated under strict and violated without hardening."""
    names = {scenario["name"] for scenario in client.scenarios.list()}
    assert {"linux-boot", *(f"A{n}" for n in range(1, 19))} <= names

    run = client.scenarios.run("A4", hardening="off", request_timeout=120)
    assert (run.name, run.verdict) == ("A4", "violated")
    assert run.violations
    assert run.session is not None
    with client.sessions.connect(run.session, keep=False) as left:
        assert left.violations()
    assert client.scenarios.run("A4", request_timeout=120).verdict == "isolated"


def test_the_matrix_sets_scenarios_against_presets(client: Client) -> None:
    """One verdict for each pair."""
    cells = client.scenarios.matrix(scenarios=["A3", "A4"], presets=["off", "strict"], request_timeout=240)

    assert cells == {name: {"off": "violated", "strict": "isolated"} for name in ("A3", "A4")}


def test_a_scenario_that_does_not_exist_is_not_found(client: Client) -> None:
    """With a slash in its name, too: names are quoted on their way."""
    for name in ("A99", "../sessions"):
        with pytest.raises(NotFound):
            client.scenarios.run(name)


def test_the_service_is_the_one_that_was_started(live: Server, client: Client) -> None:
    """The fixture's address is the client's."""
    assert client.base_url == live.url
