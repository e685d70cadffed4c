"""Verdicts as data: what a violation says, and the bucket that names its kind.

A violation is not an error of ours and not an exception: the simulated hardware did what hardware does, and the answer says
that isolation did not hold. A *bucket* is the stable name of a kind of violation: it stays the same when addresses, ids, slots,
the order of the ops, the session or the Python version change, so that two findings can be told apart, or not, without a person.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from functools import lru_cache
from typing import Any, Final, NamedTuple

from itsbox.ops import Ack, Clean, Drive, Fill, Hvc, Load, MmioRead, MmioWrite, Msi, Op, Store

__all__ = ["Kind", "Place", "Rule", "Violation", "bucket_of", "op_brief"]

_SCHEME: Final = "itsb1"
_BUCKET_CHARS: Final = 16  # 80 bits: no two kinds will ever meet
_BRIEF_BYTES: Final = 64  # of a store's data in the evidence


class Rule(NamedTuple):
    """A rule that memory isolation rests on.

    oracle: the invariant ("H1".."H16") or "DMA"; name: stable word, part of the bucket; sentence: what must hold;
    citation: where that is said.
    """

    oracle: str
    name: str
    sentence: str
    citation: str


class Kind(NamedTuple):
    """What a bucket is made of, and nothing else: words that no run changes.

    oracle, rule: the broken rule; op: the ITS command, or register name with direction and size, or hypercall;
    site: who let it through ("hardware", "host_queue", "hw_queue", "trap"); owner: ownership class of the page;
    table: what the memory was used as; phase: the machine's phase.
    """

    oracle: str
    rule: str
    op: str
    site: str
    owner: str
    table: str
    phase: str


class Place(NamedTuple):
    """Memory that a violation is about: physical address, bytes, who owns the page, its state, its pins, its use."""

    addr: int
    length: int
    owner: str
    state: str
    pins: int
    use: str

    def wire(self) -> dict[str, Any]:
        """The JSON form: addresses as hexadecimal strings."""
        return {
            "addr": hex(self.addr),
            "length": self.length,
            "owner": self.owner,
            "state": self.state,
            "pins": self.pins,
            "use": self.use,
        }


class Violation(NamedTuple):
    """One verdict: isolation did not hold.

    rule: what was broken; detail: one sentence about this case; step: the machine's step; op: the op in short;
    command: (slot, name, words) of the ITS command being carried out, or None; initiator, access: who touched the memory
    and how ("read", "write", "message"), or None where no access did; why: the interconnect's reason; places: the memory;
    kind: what the bucket is made of.
    """

    rule: Rule
    detail: str
    step: int
    op: dict[str, Any]
    command: tuple[int, str | None, tuple[int, int, int, int]] | None
    initiator: str | None
    access: str | None
    why: str | None
    places: tuple[Place, ...]
    kind: Kind

    @property
    def oracle(self) -> str:
        """Which oracle objects: "DMA" or "H1".."H16"."""
        return self.rule.oracle

    @property
    def sentence(self) -> str:
        """What happened, for a person."""
        return self.detail

    @property
    def bucket(self) -> str:
        """The stable id of this kind of violation."""
        return bucket_of(tuple(self.kind))

    @property
    def alt_bucket(self) -> str:
        """A coarser id: the oracle and the op alone."""
        return bucket_of((self.kind.oracle, self.kind.op))

    def evidence(self) -> dict[str, Any]:
        """Everything but oracle, sentence and bucket, JSON-like."""
        return {
            "rule": self.rule.name,
            "claim": self.rule.sentence,
            "citation": self.rule.citation,
            "op": self.op,
            "command": None if self.command is None else _command(*self.command),
            "initiator": self.initiator,
            "access": self.access,
            "why": self.why,
            "addresses": [place.wire() for place in self.places],
            "owner": self.kind.owner,
            "site": self.kind.site,
            "phase": self.kind.phase,
            "alt_bucket": self.alt_bucket,
        }

    def wire(self) -> dict[str, Any]:
        """The JSON form, as in results and ``GET .../violations``; an event has all but the first three below ``evidence``."""
        return {
            "oracle": self.oracle,
            "sentence": self.sentence,
            "bucket": self.bucket,
            "step": self.step,
            **self.evidence(),
        }


def _command(slot: int, name: str | None, words: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"slot": slot, "name": name, "words": [hex(word) for word in words]}


@lru_cache(maxsize=1024)
def bucket_of(parts: tuple[str, ...]) -> str:
    """``itsb1-`` and the base32 of a hash of the parts; the scheme's number keeps ids citable when it changes."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{_SCHEME}-{b32encode(digest).decode().lower()[:_BUCKET_CHARS]}"


def op_brief(op: Op) -> dict[str, Any]:
    """An op in its wire form; the data of a long store is cut, with its length beside it."""
    match op:
        case MmioRead(addr, size):
            return {"op": "mmio_read", "addr": hex(addr), "size": size}
        case MmioWrite(addr, size, value):
            return {"op": "mmio_write", "addr": hex(addr), "size": size, "value": hex(value)}
        case Load(addr, length):
            return {"op": "load", "addr": hex(addr), "length": length}
        case Store(addr, data):
            return {"op": "store", "addr": hex(addr), "hex": data[:_BRIEF_BYTES].hex(), "length": len(data)}
        case Fill(addr, length, byte):
            return {"op": "fill", "addr": hex(addr), "length": length, "byte": byte}
        case Hvc(function, args):
            return {"op": "hvc", "function": function, "args": [hex(arg) for arg in args]}
        case Msi(device_id, event_id):
            return {"op": "msi", "device_id": device_id, "event_id": event_id}
        case Ack(cpu):
            return {"op": "ack", "cpu": cpu}
        case Clean(addr, length):
            return {"op": "clean", "addr": hex(addr), "length": length}
        case Drive(call, args):
            return {"op": "driver", "call": call, "args": args}
