"""The command queue on both sides: look at what the host wrote, hand checked copies to the hardware.

``CommandQueue`` is the mechanism: fetch from the host queue, look at a command, copy to the hardware queue, make visible, see how
far the ITS came. In which order and how many at a time is the business of ``pumps``.

Commands are looked at as four words. Decoding, and the reserved bits, come from ``arch``; a command that the knobs let pass
unseen is not decoded at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from itsbox.arch.its_commands import COMMAND_SIZE, OPCODE_MASK, SYNC, VIRTUAL_OPCODE
from itsbox.arch.its_registers import GITS_CREADR, GITS_CWRITER
from itsbox.events import COMMAND_REJECTED, SHADOW_QUEUE
from itsbox.hypervisor.command_checks import Check, Checked, PhysicalChecks, command_layouts
from itsbox.hypervisor.its_state import ItsState
from itsbox.hypervisor.virtual_checks import VirtualChecks
from itsbox.memory.interconnect import Initiator, Why
from itsbox.ops import Verdict
from itsbox.reasons import Reason

if TYPE_CHECKING:
    from itsbox.arch.layout import Layout
    from itsbox.hypervisor.el2 import El2

__all__ = ["WORDS", "CommandQueue", "Refusal", "Words"]

WORDS: Final = Struct("<4Q")
_NONE: Final = (0, 0, 0, 0)
Words: TypeAlias = tuple[int, int, int, int]


class Refusal(NamedTuple):
    """The last refused command, for diagnosis: host slot, name, words, why, and GITS_CWRITER as the host wanted it."""

    slot: int
    name: str | None
    words: Words
    reason: Reason
    host_cwriter: int


class _Row(NamedTuple):
    """What is known of an opcode: name, decoder, check, why it is refused as such, and the bits to clear in each word."""

    name: str
    decode: Callable[..., Layout]
    check: Check | None
    refused: Reason | None
    reserved0: int
    reserved1: int
    reserved2: int
    reserved3: int


class CommandQueue:
    """The queue of one ITS. ``last_refusal`` is kept until another command is refused."""

    __slots__ = (
        "_flushes",
        "_port",
        "_rows",
        "_unknown",
        "_unknown_virtual",
        "el2",
        "last_refusal",
        "neutral",
        "rereads",
        "state",
    )

    def __init__(self, el2: El2, state: ItsState) -> None:
        self.el2 = el2
        self.state = state
        self.last_refusal: Refusal | None = None
        #: The ITS's control frame on the hypervisor's mapping, or None for a device that is not there.
        self._port = el2.bus.window(state.base)
        knobs = el2.knobs
        clears = knobs["reserved_bits"] == "cleared"
        self._flushes = knobs["cache_maintenance"] == "flush"
        #: What was checked is not what is copied: the host's slot is read once more for that (knob ``host_fetch``).
        self.rereads = knobs["host_fetch"] == "slot_twice"
        self._unknown = Reason.UNKNOWN_OPCODE if knobs["unknown_opcodes"] == "refused" else None
        refuses_virtual = knobs["virtual_commands"] == "refused" or (
            knobs["virtual_commands"] == "checked" and not state.typer.virtual
        )
        self._unknown_virtual = Reason.VIRTUAL_OPCODE if refuses_virtual else self._unknown
        physical = PhysicalChecks(el2, state)
        checks = physical.by_opcode() | VirtualChecks(el2, state, physical).by_opcode()
        self._rows = {
            opcode: _Row(
                layout.NAME,
                layout.decode,
                checks.get(opcode),
                Reason.VIRTUAL_OPCODE if refuses_virtual and opcode & VIRTUAL_OPCODE else None,
                *(layout.RES0 if clears else _NONE),
            )
            for opcode, layout in command_layouts(state).items()
        }
        #: Stands in the place of a refused command where offsets of both queues must stay equal: it waits for nothing.
        self.neutral: Words = SYNC(rd_base=physical.any_redistributor).encode()  # type: ignore[assignment]

    # ---------------------------------------------------------------- looking

    def fetch(self, offset: int, length: int) -> bytes:
        """Read commands from the host queue; the caller keeps within it. Its pages are pinned, so they are mapped at EL2."""
        return self.el2.interconnect.load(Initiator.HYP, self.state.host_queue + offset, length, Why.HYP) or b""

    def again(self, offset: int) -> Words:
        """The command at an offset of the host queue, read anew."""
        words: Words = WORDS.unpack(self.fetch(offset, COMMAND_SIZE))
        return words

    def copies(self, offset: int, length: int) -> bytes:
        """Read commands back from the hardware queue."""
        return self.el2.interconnect.load(Initiator.HYP, self.state.hw_queue + offset, length, Why.HYP) or b""

    def look(self, words: Words) -> tuple[str | None, Words, Checked]:
        """Name, words to submit, and verdict of one command."""
        row = self._rows.get(words[0] & OPCODE_MASK)
        if row is None:
            self._looked_at(words)
            return None, words, self._unknown_virtual if words[0] & VIRTUAL_OPCODE else self._unknown
        name, decode, check, refused, r0, r1, r2, r3 = row
        if refused is not None:
            return name, words, refused
        w0, w1, w2, w3 = words
        if w0 & r0 or w1 & r1 or w2 & r2 or w3 & r3:
            words = decode(w0, w1, w2, w3).encode()  # type: ignore[assignment]  # a command has four words
        self._looked_at(words)
        return name, words, None if check is None else check(decode(w0, w1, w2, w3))

    def _looked_at(self, words: Words) -> None:
        """Keep what was looked at, for the oracle; after a restore it is not known what that was."""
        if self.state.looked is not None:
            self.state.looked.append(words)

    def reject(self, offset: int, name: str | None, words: Words, reason: Reason) -> None:
        """Report a refused command: its record, its event, the diagnosis."""
        slot = offset // COMMAND_SIZE
        self.state.its.records.append((slot, name, words, Verdict.REFUSED, None, reason))
        self.note(offset, name, words, reason)

    def note(self, offset: int, name: str | None, words: Words, reason: Reason) -> None:
        """The same for a command of which hardware has made a record."""
        slot = offset // COMMAND_SIZE
        self.el2.log.emit(COMMAND_REJECTED, slot, name, words, reason, reason.citation)
        self.last_refusal = Refusal(slot, name, words, reason, self.state.host_cwriter)

    # ---------------------------------------------------------------- submitting

    def copy(self, offset: int, data: bytes) -> None:
        """Put commands into the hardware queue at a byte offset, around its end if need be, and make the ITS see them."""
        state = self.state
        room = state.hw_bytes - offset
        if len(data) <= room:
            self._put(state.hw_queue + offset, data)
        else:
            self._put(state.hw_queue + offset, data[:room])
            self._put(state.hw_queue, data[room:])

    def _put(self, addr: int, data: bytes) -> None:
        self.el2.interconnect.store(Initiator.HYP, addr, data, Why.HYP)
        if self._flushes and self.state.needs_flush:
            self.el2.interconnect.clean(addr, len(data))

    def write_cwriter(self, value: int) -> None:
        """Write the hardware's GITS_CWRITER."""
        if self._port is not None:
            self._port.write(GITS_CWRITER.OFFSET, 8, value)

    def read_creadr(self) -> GITS_CREADR:
        """Look how far the hardware is. The ITS works synchronously, so that one look is all the polling there is."""
        self.state.polls += 1
        return GITS_CREADR.decode(0 if self._port is None else self._port.read(GITS_CREADR.OFFSET, 8))

    def submit(self, commands: list[Words], offsets: list[int]) -> bool:
        """Copy checked commands behind those that hardware has, and let it carry them out.

        offsets: where each lay in the host queue. True when all were carried out; else the rest stays in the hardware queue,
        ``inflight``, from the one on at which the ITS stopped.
        """
        if not commands:
            return True
        state = self.state
        before, start = len(state.its.records), state.hw_offset
        pack = WORDS.pack
        self.copy(start, b"".join([pack(*words) for words in commands]) if len(commands) > 1 else pack(*commands[0]))
        target = (start + len(commands) * COMMAND_SIZE) % state.hw_bytes
        self.write_cwriter(target)
        reached = self.read_creadr().offset
        done = len(commands) if reached == target else (reached - start) % state.hw_bytes // COMMAND_SIZE
        # The hardware numbers its own queue; the host knows its commands by the slots of the host's.
        if offsets[0] != start:
            self._renumber(before, offsets)
        state.hw_offset = reached
        if done == len(commands):
            state.consumed = self.next(offsets[-1])
            return True
        state.consumed = offsets[done]
        state.inflight = tuple(offsets[done:])
        return False

    def _renumber(self, before: int, offsets: list[int]) -> None:
        records = self.state.its.records
        for n, offset in zip(range(before, len(records)), offsets, strict=False):
            records[n] = (offset // COMMAND_SIZE, *records[n][1:])

    def next(self, offset: int) -> int:
        """The following offset in the host queue."""
        following = offset + COMMAND_SIZE
        return 0 if following >= self.state.host_bytes else following

    def mirrored(self, start: int, count: int) -> None:
        """Report that ``count`` commands went from the host queue to the hardware queue."""
        if count:
            log = self.el2.log
            log.items.append((SHADOW_QUEUE, log.step, start, self.state.consumed, count))

    def words_of(self, data: bytes) -> Iterable[Words]:
        """The whole commands in a piece of a queue; the RFC takes any length for its queue's, so the last may be cut off."""
        rest = len(data) % COMMAND_SIZE
        return WORDS.iter_unpack(data[:-rest] if rest else data)
