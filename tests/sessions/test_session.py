from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

from itsbox.api.logs import configure_logs
from itsbox.arch.its_commands import MAPD, MAPTI, SYNC
from itsbox.machine import Machine, MachineConfig, Snapshot
from itsbox.ops import Ack, Bytes, Drive, Load, MmioRead, MmioWrite, Op, Outcome, Store, Value
from itsbox.sessions.errors import CapExceeded, ModelCrash, SessionCrashed, SessionNotFound, SnapshotNotFound
from itsbox.sessions.session import SLICE, Session
from tests.rig import Rig as MachineRig
from tests.sessions.conftest import Rig

RAM = 0x4000_0000
TYPER = MmioRead(0x0808_0008, 8)


class Faulty(Machine):
    """A machine with a defect of ours: it fails when CPU 3 acknowledges."""

    __slots__ = ()

    def apply(self, op: Op) -> Outcome:
        """Fail at one op."""
        if op == Ack(3):
            raise ZeroDivisionError("an injected defect")
        return super().apply(op)


def types(session: Session) -> list[str]:
    """The types of all events so far."""
    return [event[0].name for _, event in session.ring.slice(0, session.seq)]


async def test_a_batch_answers_one_result_for_each_op(rig: Rig) -> None:
    """Results stand in the order of the ops, with the machine's step behind them."""
    session = rig.session()

    run = await session.run([Store(RAM, b"\x05"), Load(RAM, 1), TYPER])

    assert [type(outcome).__name__ for outcome, _ in run.results] == ["Done", "Bytes", "Value"]
    assert run.step == 3
    assert run.results[2][0] == Value(0x1F0001EFB1)


async def test_a_long_batch_lets_others_run(rig: Rig) -> None:
    """Between slices the event loop is free, and the other session's op is answered before the batch ends."""
    busy, other = rig.session(), rig.session()
    order: list[str] = []

    async def batch() -> None:
        await busy.run([TYPER] * (3 * SLICE))
        order.append("batch")

    async def single() -> None:
        await other.run_one(TYPER)
        order.append("single")

    await asyncio.gather(batch(), single())

    assert order == ["single", "batch"]


async def test_two_requests_to_one_session_do_not_interleave(rig: Rig) -> None:
    """A batch's ops stand together in the journal, however long it is."""
    session = rig.session()
    await asyncio.gather(session.run([Ack(0)] * (2 * SLICE)), session.run([Ack(1)] * (2 * SLICE)))

    page = await session.journal(0, 5 * SLICE)

    assert list(page.ops) == [Ack(0)] * (2 * SLICE) + [Ack(1)] * (2 * SLICE)


async def test_commands_use_up_a_slice(rig: Rig) -> None:
    """A write that makes the ITS run a full queue of commands counts as that many ops."""
    machine = MachineRig().set_up()
    session = rig.host.adopt(machine.machine)
    machine.put(*[SYNC(rd_base=0)] * 1500)
    others = 0

    async def other() -> None:
        nonlocal others
        for _ in range(3):
            others += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    run = await session.run([MmioWrite(0x0808_0088, 8, machine.cwriter), TYPER, TYPER])

    assert len(run.results[0][0].commands) == 1500  # type: ignore[union-attr]

    assert others >= 1
    await task


async def test_driver_calls_use_up_a_slice(rig: Rig) -> None:
    """A call can be thousands of commands: others get their turn between two calls, not after a thousand."""
    session = rig.session(start="host")
    call = Drive("map_device", {"device_id": 1, "events": 600})
    turns: list[int] = []

    async def other() -> None:
        while len(turns) < 3:
            turns.append(session.machine.step)
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    before = session.machine.step
    await session.run([call, Drive("unmap_device", {"device_id": 1}), *[Ack(0)] * 10])
    await task

    assert [step - before for step in turns] == [1, 2, 12]


async def test_a_request_of_too_many_commands_is_stopped() -> None:
    """All that were looked at are listed in the answer, so their number is bounded: 413 says how many ops had run."""
    rig = Rig(commands_per_request=3000)
    machine = MachineRig().set_up()
    session = rig.host.adopt(machine.machine)
    machine.put(*[SYNC(rd_base=0)] * 1500)
    wrap = [MmioWrite(0x0808_0088, 8, at) for at in (machine.cwriter, 0, machine.cwriter, 0)]
    before = session.machine.step
    with pytest.raises(CapExceeded) as refused:
        await session.run([*wrap, TYPER])

    assert (refused.value.cap, refused.value.status) == ("commands_per_request", 413)
    assert refused.value.members["executed"] == 3  # 1500 and the rest of the ring are within; the next 1500 are not
    assert session.machine.step - before == len((await session.journal(0, 10)).ops) == 3
    assert (await session.run([TYPER])).results[0][0] == Value(0x1F0001EFB1)


async def test_a_crash_is_logged_once_and_leaves_the_others_alone(rig: Rig) -> None:
    """The caller learns the incident, the log has one JSON line, the journal ends with the op that failed."""
    stream = io.StringIO()
    configure_logs(stream)
    session = rig.host.adopt(Faulty(MachineConfig.make(hardening="off")))
    other = rig.session()
    with pytest.raises(ModelCrash) as crash:
        await session.run([TYPER, Ack(3), TYPER])

    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    logged = json.loads(lines[0])
    assert logged["incident"] == crash.value.incident
    assert logged["session"] == session.id
    assert "ZeroDivisionError" in logged["exception"]
    assert session.state == "crashed"
    assert list((await session.journal(0, 10)).ops) == [TYPER, Ack(3)]
    assert types(session)[-1] == "session.crashed"
    with pytest.raises(SessionCrashed):
        await session.run([TYPER])
    assert (await other.run_one(TYPER))[0] == Value(0x1F0001EFB1)


async def test_a_crashed_session_can_be_forked_from_a_snapshot(rig: Rig) -> None:
    """Snapshots taken before the crash are as good as ever."""
    session = rig.host.adopt(Faulty(MachineConfig.make(hardening="off")))
    await session.run([Store(RAM, b"kept")])
    record = await session.take_snapshot(0)
    with pytest.raises(ModelCrash):
        await session.run([Ack(3)])

    (child,) = await rig.host.fork(session, 1, record.id)

    assert child.state_hash() == record.state_hash
    with pytest.raises(SessionCrashed):
        await rig.host.fork(session, 1, None)


async def test_restore_is_exact_and_history_goes_on(rig: Rig) -> None:
    """The state hash is the snapshot's, the epoch grows, numbers continue, the journal starts anew."""
    session = rig.session()
    await session.run([Store(RAM, b"before")])
    record = await session.take_snapshot(0)
    await session.run([Store(RAM, b"after!"), MmioWrite(0x0808_0000, 4, 1)])
    seq, changed = session.seq, session.state_hash()

    await session.restore(record.id)

    assert changed != record.state_hash
    assert session.state_hash() == record.state_hash
    assert (session.epoch, session.machine.step) == (2, record.step)
    assert session.seq == seq + 1
    assert types(session)[-1] == "session.restored"
    page = await session.journal(0, 10)
    assert (page.origin, page.head) == (record.id, 0)


async def test_parts_restore_in_between(rig: Rig) -> None:
    """One request may hold many executions, each from the same snapshot; a restore counts as executed."""
    session = rig.session()
    record = await session.take_snapshot(0)
    write = Store(RAM, b"x")

    run = await session.run_parts([(record.id, [Load(RAM, 1), write])] * 3, frozenset())

    loads = [outcome.data for outcome, _ in run.results if isinstance(outcome, Bytes)]
    assert loads == [b"\0"] * 3
    assert len(run.results) == 9
    assert session.epoch == 4


async def test_an_unknown_snapshot_refuses_the_request_before_anything_runs(rig: Rig) -> None:
    """Also when it is named behind ops that could run."""
    session = rig.session()
    before = session.state_hash()
    with pytest.raises(SnapshotNotFound):
        await session.run_parts([(None, [Store(RAM, b"x")]), ("nothing", [])], frozenset())

    assert session.state_hash() == before
    assert session.machine.step == 0


async def test_the_cap_on_snapshots_names_itself() -> None:
    """One snapshot too many is 429; forgetting one makes room."""
    session = Rig(snapshots_per_session=1).session()
    record = await session.take_snapshot(0)
    with pytest.raises(CapExceeded) as refused:
        await session.take_snapshot(0)
    await session.forget_snapshot(record.id)

    assert (refused.value.cap, refused.value.status) == ("snapshots_per_session", 429)
    assert (await session.take_snapshot(0)).id != record.id


async def test_stores_that_do_not_fit_are_refused_before_anything_runs() -> None:
    """The whole batch is refused, the first store included, and the machine has not moved."""
    session = Rig(session_memory_bytes=8 * 4096).session()
    before = session.state_hash()
    with pytest.raises(CapExceeded) as refused:
        await session.run([Store(RAM + n * 4096, b"x") for n in range(9)])

    assert refused.value.cap == "session_memory_bytes"
    assert session.state_hash() == before
    assert (await session.journal(0, 10)).head == 0


async def test_a_machine_that_writes_too_much_itself_is_stopped() -> None:
    """Entries that commands make the ITS write count too: the batch ends at the next turn, saying how far it came."""
    rig = Rig(session_memory_bytes=150 * 4096)
    machine = MachineRig().set_up()
    session = rig.host.adopt(machine.machine)
    machine.put(MAPD(device_id=1, size=15, itt_addr=machine.ITT, valid=1))
    machine.put(*(MAPTI(device_id=1, event_id=n * 43, intid=8192 + n, icid=0) for n in range(1400)))
    with pytest.raises(CapExceeded) as refused:
        await session.run([MmioWrite(0x0808_0088, 8, machine.cwriter), TYPER])

    assert refused.value.cap == "session_memory_bytes"
    assert refused.value.members["executed"] == 1
    assert len((await session.journal(0, 10)).ops) == 1
    assert (await session.run([TYPER, Load(RAM, 4)])).results[0][0] == Value(0x1F0001EFB1)
    with pytest.raises(CapExceeded):
        await session.run([MmioWrite(0x0808_0000, 4, 0)])


class Brittle(Machine):
    """A machine whose snapshots fail, to be taken or to be restored."""

    __slots__ = ()
    broken = ""

    def snapshot(self) -> Snapshot:
        """Fail, if told to."""
        if self.broken == "snapshot":
            raise KeyError("an injected defect")
        return super().snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Fail, if told to."""
        if self.broken == "restore":
            raise KeyError("an injected defect")
        super().restore(snapshot)


@pytest.mark.parametrize("broken", ["snapshot", "restore"])
async def test_a_failing_snapshot_crashes_its_session_only(
    rig: Rig, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect outside of any op is ours as well: logged, crashed, others untouched."""
    stream = io.StringIO()
    configure_logs(stream)
    session, other = rig.host.adopt(Brittle(MachineConfig.make(hardening="off"))), rig.session()
    record = await session.take_snapshot(0)
    monkeypatch.setattr(Brittle, "broken", broken)
    with pytest.raises(ModelCrash):
        await (session.take_snapshot(0) if broken == "snapshot" else session.restore(record.id))

    assert (session.state, other.state) == ("crashed", "running")
    assert len(stream.getvalue().splitlines()) == 1


async def test_a_session_that_ended_meanwhile_answers_so(rig: Rig) -> None:
    """A request that waited for the lock while the session was deleted finds nothing."""
    session = rig.session()
    running = asyncio.ensure_future(session.run([TYPER] * (2 * SLICE)))
    await asyncio.sleep(0)
    ending = asyncio.ensure_future(rig.host.close(session.id, "deleted"))
    late = asyncio.ensure_future(session.run([TYPER]))
    await running
    await ending

    with pytest.raises(SessionNotFound):
        await late


async def test_equal_ops_lead_to_equal_sessions(rig: Rig) -> None:
    """The journal of one session, run in another, leads to the same state hash."""
    one, other = rig.session(), rig.session()
    ops: list[Any] = [Store(RAM, b"abc"), MmioWrite(0x0808_0000, 4, 1), TYPER, Ack(2)]
    await one.run(ops)

    await other.run(list((await one.journal(0, 100)).ops))

    assert one.state_hash() == other.state_hash()
