"""The little language in which every register, command and table entry is declared, and the one clever file here.

There are three ideas and no more:

* ``bits(word, hi, lo)`` says where a field lies, in the manual's own notation, and what Arm calls it;
* ``@layout(words=4, spec=...)`` turns a class of such rows into a value with ``decode`` and ``encode``;
* ``@register(offset=..., width=...)`` is a layout of one word that also has a place in a frame.

From the rows the decorator derives, once, at import: a straight-line decoder and encoder (compiled, and registered
with ``linecache`` so that a traceback shows their text), the reserved bits of each word, and the table ``FIELDS`` from
which the reference pages, ``GET /v1/arch`` and the fuzz grammar are made. A field over another field, outside its word,
or on the bits of an opcode is a ``LayoutError`` at import, so a wrong table never runs.

A field that splits (GITS_BASER's address with 64 KB pages) or whose meaning depends on another one is not a feature of
this language: it is a named function beside the table.

Layouts are slots dataclasses. Type checkers see them as frozen; at run time they are not, because that would double the
cost of a decode. Fields are plain ``int``: what a word says is not yet a checked DeviceId (``values.py`` has such).
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from dataclasses import replace as _replace
from enum import StrEnum
from inspect import cleandoc
from struct import Struct
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeVar, cast, dataclass_transform

__all__ = ["Access", "Bits", "Layout", "LayoutError", "Register", "bits", "layout", "register"]

_FORMATS: Final = {8: "B", 32: "I", 64: "Q"}


class LayoutError(TypeError):
    """A declaration that cannot be: overlapping fields, a field outside its word, a stray attribute."""


class Access(StrEnum):
    """How software may use a register, or a field that differs from its register."""

    RO = "RO"
    RW = "RW"
    WO = "WO"
    RW1C = "RW1C"


class Bits(NamedTuple):
    """Where a field lies: bits ``hi:lo`` of word ``word``. The field's value has its low ``shift`` bits zero."""

    word: int
    hi: int
    lo: int
    shift: int
    arm: str
    doc: str
    access: Access | None
    values: Mapping[int, str]

    @property
    def mask(self) -> int:
        """As many ones as the field has bits, at bit 0."""
        return (1 << (self.hi - self.lo + 1)) - 1

    @property
    def in_place(self) -> int:
        """The bits of the word that the field occupies."""
        return self.mask << self.lo

    @property
    def max(self) -> int:
        """The greatest value that the field can hold."""
        return self.mask << self.shift

    @property
    def range(self) -> str:
        """The manual's notation: ``63:32``, or ``63`` for a single bit."""
        return str(self.hi) if self.hi == self.lo else f"{self.hi}:{self.lo}"


def bits(
    word: int,
    hi: int,
    lo: int | None = None,
    *,
    shift: int = 0,
    arm: str = "",
    doc: str = "",
    access: Access | None = None,
    values: Mapping[int, str] | None = None,
) -> Any:
    """Declare a field.

    Args:
        word: index of the word.
        hi: highest bit.
        lo: lowest bit; the same as ``hi`` when left out.
        shift: how many low bits of the value are zero by definition and not stored (12 for a 4 KB aligned address).
        arm: Arm's name of the field.
        doc: what to know about it: units, "minus one", alignment.
        access: only where it differs from the register's.
        values: names of enumerated values.
    """
    place = Bits(word, hi, hi if lo is None else lo, shift, arm, doc, access, values or {})
    return field(metadata={"bits": place})


class Layout:
    """Base of every register, command and table entry: subclasses declare, never compute.

    Class attributes, all derived from the declaration:
        NAME: Arm's name. SPEC: where it is specified. SINCE: first architecture version that has it.
        WIDTHS: bits of each word. SIZE: bytes. STRUCT: little-endian ``Struct`` of the words.
        FIELDS: name to ``Bits``, in declaration order.
        MATCH, MATCH_MASK: the constant bits of word 0 (the opcode of a command).
        RES0: per word, the bits that no field and no opcode uses.
    """

    __slots__ = ()

    NAME: ClassVar[str]
    SPEC: ClassVar[str]
    SINCE: ClassVar[str]
    SUMMARY: ClassVar[str]
    WIDTHS: ClassVar[tuple[int, ...]]
    SIZE: ClassVar[int]
    STRUCT: ClassVar[Struct]
    FIELDS: ClassVar[dict[str, Bits]]
    MATCH: ClassVar[int]
    MATCH_MASK: ClassVar[int]
    RES0: ClassVar[tuple[int, ...]]

    @classmethod
    def decode(cls, *words: int) -> Self:
        """Take the fields out of ``words``, as many as WIDTHS has. RES0 bits and the opcode are not looked at."""
        raise NotImplementedError(f"{cls.__name__} is not decorated with @layout")

    def encode(self) -> tuple[int, ...]:
        """Put the fields into words, with the opcode and with RES0 bits zero. What does not fit a field is cut off."""
        raise NotImplementedError(f"{type(self).__name__} is not decorated with @layout")

    def replace(self, **changes: int) -> Self:
        """Return a copy with some fields changed. Raises TypeError for a name that is no field."""
        return cast("Self", _replace(cast("Any", self), **changes))


class Register(Layout):
    """A layout of one word with a place in a frame.

    Class attributes beside those of ``Layout``:
        OFFSET: byte offset in the frame; of an array, that of element 0 by Arm's formula ``OFFSET + n * STRIDE``.
        WIDTH: 32 or 64. ACCESS: how software may use it.
        RESET: value after reset; None where that is IMPLEMENTATION DEFINED or UNKNOWN, or differs by element.
        FIRST, COUNT, STRIDE: elements FIRST .. FIRST + COUNT - 1; COUNT is 1 for a single register.
        READ_ONLY: bits of fields that stay read-only although the register is not.
    """

    __slots__ = ()

    OFFSET: ClassVar[int]
    WIDTH: ClassVar[int]
    ACCESS: ClassVar[Access]
    RESET: ClassVar[int | None]
    FIRST: ClassVar[int]
    COUNT: ClassVar[int]
    STRIDE: ClassVar[int]
    READ_ONLY: ClassVar[int]

    def word(self) -> int:
        """Encode as one integer."""
        return self.encode()[0]

    @classmethod
    def elements(cls) -> Iterator[tuple[int, int]]:
        """Yield (n, byte offset) of each element."""
        for n in range(cls.FIRST, cls.FIRST + cls.COUNT):
            yield n, cls.OFFSET + n * cls.STRIDE

    @classmethod
    def element_name(cls, n: int) -> str:
        """Name of element ``n``: ``GITS_BASER2``; just the register's name if it is no array."""
        return cls.NAME if cls.COUNT == 1 else f"{cls.NAME}{n}"


C = TypeVar("C", bound=Layout)
R = TypeVar("R", bound=Register)


@dataclass_transform(frozen_default=True, field_specifiers=(bits,))
def layout(
    *,
    words: int | tuple[int, ...],
    spec: str,
    since: str = "GICv3",
    name: str = "",
    match: int = 0,
    match_mask: int = 0,
) -> Callable[[type[C]], type[C]]:
    """Turn a class of ``bits`` rows into a value with compiled ``decode`` and ``encode``.

    Args:
        words: number of 64-bit words, or the width of each word in bits.
        spec: citation, by title and mnemonic.
        since: first architecture version that has it.
        name: Arm's name, where the class must be called otherwise (``VMAPP_V41``).
        match: constant bits of word 0. ``match_mask``: which bits those are.

    Raises:
        LayoutError: the declaration is inconsistent.
    """
    widths = (64,) * words if isinstance(words, int) else words
    if match & ~match_mask:
        raise LayoutError(f"match {match:#x} has bits outside its mask {match_mask:#x}")

    def build(cls: type[C]) -> type[C]:
        made = dataclass(slots=True, unsafe_hash=True)(cls)
        table: dict[str, Bits] = {}
        for f in fields(cast("Any", made)):
            if "bits" not in f.metadata:
                raise LayoutError(f"{cls.__name__}.{f.name} has no place: declare it with bits()")
            table[f.name] = f.metadata["bits"]
        used = _check_places(cls.__name__, table, widths, match_mask)
        made.NAME, made.SPEC, made.SINCE, made.WIDTHS = name or cls.__name__, spec, since, widths
        made.SUMMARY = cleandoc(cls.__doc__ or "").partition("\n")[0]
        made.FIELDS, made.MATCH, made.MATCH_MASK = table, match, match_mask
        made.RES0 = tuple(~u & ((1 << w) - 1) for u, w in zip(used, widths, strict=True))
        made.STRUCT = Struct("<" + "".join(_FORMATS[w] for w in widths))
        made.SIZE = made.STRUCT.size
        _compile(made)
        return made

    return build


@dataclass_transform(frozen_default=True, field_specifiers=(bits,))
def register(
    *,
    offset: int,
    width: int,
    access: Access,
    spec: str,
    reset: int | None = None,
    since: str = "GICv3",
    name: str = "",
    count: int = 1,
    stride: int = 0,
    first: int = 0,
) -> Callable[[type[R]], type[R]]:
    """Turn a class of ``bits`` rows into a register (or an array of ``count``). Arguments are those of ``Register``.

    Raises:
        LayoutError: the declaration is inconsistent.
    """

    def build(cls: type[R]) -> type[R]:
        made = layout(words=(width,), spec=spec, since=since, name=name)(cls)
        made.OFFSET, made.WIDTH, made.ACCESS, made.RESET = offset, width, access, reset
        made.FIRST, made.COUNT, made.STRIDE = first, count, stride or width // 8
        made.READ_ONLY = 0
        for b in made.FIELDS.values():
            if b.access is Access.RO:
                made.READ_ONLY |= b.in_place
        for _, at in made.elements():
            if at % (width // 8):
                raise LayoutError(f"{made.__name__} at {at:#x} is not aligned to its {width} bits")
        return made

    return build


def _check_places(owner: str, table: Mapping[str, Bits], widths: tuple[int, ...], match_mask: int) -> list[int]:
    """Return the bits in use per word, or say which two things want the same bit."""
    if not widths or any(w not in _FORMATS for w in widths):
        raise LayoutError(f"{owner}: words of {widths} bits are not supported")
    used = [match_mask] + [0] * (len(widths) - 1)
    for name, b in table.items():
        if not (0 <= b.word < len(widths) and 0 <= b.lo <= b.hi < widths[b.word] and b.shift >= 0):
            raise LayoutError(f"{owner}.{name} at word {b.word} [{b.range}] lies outside its words {widths}")
        if used[b.word] & b.in_place:
            others = (n for n, o in table.items() if o.word == b.word and o.in_place & b.in_place and n != name)
            raise LayoutError(f"{owner}.{name} [{b.range}] overlaps {next(others, 'the opcode')} in word {b.word}")
        used[b.word] |= b.in_place
    return used


def _get(b: Bits) -> str:
    """Source text that takes the field out of its word."""
    if b.shift == b.lo:
        return f"w{b.word} & {b.in_place:#x}"
    value = f"w{b.word} >> {b.lo} & {b.mask:#x}" if b.lo else f"w{b.word} & {b.mask:#x}"
    return f"({value}) << {b.shift}" if b.shift else value


def _put(name: str, b: Bits) -> str:
    """Source text that puts the field into its word."""
    if b.shift == b.lo:
        return f"s.{name} & {b.in_place:#x}"
    value = f"s.{name} >> {b.shift} & {b.mask:#x}" if b.shift else f"s.{name} & {b.mask:#x}"
    return f"({value}) << {b.lo}" if b.lo else f"({value})"


def _compile(cls: type[Layout]) -> None:
    """Give ``cls`` its decoder and encoder, as straight-line code."""
    puts: list[list[str]] = [[] for _ in cls.WIDTHS]
    if cls.MATCH:
        puts[0].append(f"{cls.MATCH:#x}")
    for name, b in cls.FIELDS.items():
        puts[b.word].append(_put(name, b))
    words = ", ".join(f"w{i}" for i in range(len(cls.WIDTHS)))
    gets = "".join(f"        {_get(b)},  # {name}\n" for name, b in cls.FIELDS.items())
    made = "".join(f"        {' | '.join(parts) or '0'},\n" for parts in puts)
    source = f"def decode({words}):\n    return cls(\n{gets}    )\n\n\ndef encode(s):\n    return (\n{made}    )\n"
    filename = f"<layout {cls.__module__}.{cls.__qualname__}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    made_by: dict[str, Any] = {"cls": cls}
    exec(compile(source, filename, "exec"), made_by)
    cls.decode = staticmethod(made_by["decode"])  # type: ignore[method-assign]
    cls.encode = made_by["encode"]  # type: ignore[method-assign]
