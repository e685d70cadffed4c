"""The terms of the specification: what it is told of a machine and of an op, and the form of its answer.

An answer is a state and what is left open about it. Each ``Loose`` names a part of the state, the keys in it that are open,
what may be there instead, and in words why an implementation may choose.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from itsbox.ops import Op, Outcome
from itsbox.oracle.abstract import PARTS, Abstract, AbstractIts, AbstractLpis, AbstractPage, Regions, page_at

__all__ = ["ANY", "Call", "Claims", "Expected", "Facts", "Loose", "from_host", "settled", "still_host"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change.

    regions: of memory; its: address of each ITS's control frame; ite_bytes, event_id_bits (minus one): as hardware has them;
    vmapp_v41: VMAPP has its GICv4.1 layout. vsgi: address of each ITS's frame of virtual SGIs, or 0.
    gicr, stride, cpus: the redistributors' frames; vlpis: "", "GICv4" or "GICv4.1"; id_bits: of an INTID, minus one;
    groups: CPU -> number of the group of redistributors that share a configuration table (CommonLPIAff);
    rd_bases: what RDbase of a command may be.
    knobs: the hardening's, by name; none means ``strict``'s.
    """

    regions: Regions
    its: tuple[int, ...]
    ite_bytes: int
    event_id_bits: int
    vmapp_v41: bool
    vsgi: tuple[int, ...] = ()
    gicr: int = 0
    stride: int = 0x2_0000
    cpus: int = 0
    vlpis: str = ""
    id_bits: int = 15
    groups: tuple[int, ...] = ()
    rd_bases: Container[int] = range(1 << 36)
    knobs: Mapping[str, str] = field(default_factory=dict)

    def knob(self, name: str, default: str) -> str:
        """The value of a knob; ``default`` is ``strict``'s."""
        return self.knobs.get(name, default)


class Claims(NamedTuple):
    """What the hardening promises.

    pkvm: there is a hypervisor; commands: it checks every command, skips what it refuses and takes back what fails; injects:
    a forbidden access of the host is an abort rather than the end of the machine.
    """

    pkvm: bool
    commands: bool
    injects: bool


class Call(NamedTuple):
    """An op with what came of it; ``observed`` is the state afterwards, from which choices are read."""

    op: Op
    outcome: Outcome
    observed: Abstract
    facts: Facts
    claims: Claims


Allowed = Callable[[Any, Any], bool]
"""(expected, found) of an open key -> whether that may be."""


class Loose(NamedTuple):
    """A choice of the implementation.

    part: of the state; keys: in it: a frame, a CPU, an ITS; or a path of them: (ITS, "devices"), (ITS, "BASER0"),
    (CPU, "vpendbaser"); ``ANY`` for all of the part. why: in words; allowed: what may be found there.
    """

    part: str
    keys: Container[Any]
    why: str
    allowed: Allowed = lambda expected, found: True


class _All:
    """Contains everything."""

    def __contains__(self, key: object) -> bool:
        return True


ANY: Final = _All()


def still_host(expected: AbstractPage, found: AbstractPage) -> bool:
    """The page was and is the host's, alone or shared with the hypervisor: nobody's secret moves."""
    return all(page.owner == "host" and page.shared_with != "guest" for page in (expected, found))


def from_host(expected: AbstractPage, found: AbstractPage) -> bool:
    """The page was the host's and not in use; it is the host's or the hypervisor's now, not a guest's."""
    was = expected.owner == "host" and expected.shared_with != "guest" and not expected.pins
    return was and found.owner != "guest" and found.shared_with != "guest"


class Expected(NamedTuple):
    """What must be the case after the call.

    post: the state; loose: what is open about it; wrong: what is wrong with the outcome itself, or None.
    """

    post: Abstract
    loose: tuple[Loose, ...] = ()
    wrong: str | None = None


# ---------------------------------------------------------------- comparing


def settled(answer: Expected, observed: Abstract, regions: Regions) -> Abstract:
    """The expected state with every choice made as it was observed; equal to ``observed`` when nothing is wrong."""
    changes: dict[str, Any] = {}
    post = answer.post
    for part in PARTS:
        expected, found = getattr(post, part), getattr(observed, part)
        if expected is not found and expected != found:
            loose = [each for each in answer.loose if each.part == part]
            if part == "pages":
                changes[part] = _pages(post, observed, regions, loose)
            else:
                changes[part] = _adopt(expected, found, (), loose)
    return replace(post, **changes) if changes else post


def _pages(post: Abstract, observed: Abstract, regions: Regions, loose: list[Loose]) -> Mapping[int, AbstractPage]:
    """As ``_adopt``; a page that is not in the map is as at reset."""
    if not loose:
        return post.pages
    chosen = {}
    for pfn in post.pages.keys() | observed.pages.keys():
        expected, found = page_at(post, regions, pfn), page_at(observed, regions, pfn)
        if expected != found and any(pfn in each.keys and each.allowed(expected, found) for each in loose):
            chosen[pfn] = found
    return post.with_pages(chosen, regions).pages


def _adopt(expected: Any, found: Any, path: tuple[Any, ...], loose: list[Loose]) -> Any:
    """``expected``, with ``found`` wherever the two differ and a choice covers it.

    path: the keys down to it; the only one, which may be a pair as that of a register is, stands for itself.
    """
    if expected == found:
        return found
    key = path[0] if len(path) == 1 else path
    if any(key in each.keys and each.allowed(expected, found) for each in loose):
        return found
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        made = {
            key: _adopt(expected.get(key), found.get(key), (*path, key), loose)
            for key in expected.keys() | found.keys()
        }
        return {key: value for key, value in made.items() if value is not None}
    if isinstance(expected, AbstractIts) and isinstance(found, AbstractIts):
        return replace(expected, **_fields(expected, found, AbstractIts.__slots__, path, loose))
    if isinstance(expected, AbstractLpis) and isinstance(found, AbstractLpis):
        return expected._replace(**_fields(expected, found, AbstractLpis._fields, path, loose))
    return expected


def _fields(expected: Any, found: Any, names: Any, path: tuple[Any, ...], loose: list[Loose]) -> dict[str, Any]:
    return {name: _adopt(getattr(expected, name), getattr(found, name), (*path, name), loose) for name in names}
