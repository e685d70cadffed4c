"""Bit layouts as classes: one row per field, everything else derived from the rows.

A *layout* is a frozen value whose fields are bit ranges of one or more 64-bit words. The rows are checked once, at import:
two fields that overlap are an error with both names. ``encode`` refuses what does not fit, because a value that was cut
off in silence would test something else than its author meant; who wants to send such bits sends the raw words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

__all__ = ["WORD_MASK", "Bits", "Layout", "bits", "layout"]

WORD_MASK = (1 << 64) - 1


class Bits(NamedTuple):
    """Bits ``hi:lo`` of word ``word``; the low ``shift`` bits of the value are zero by definition and not stored."""

    word: int
    hi: int
    lo: int
    shift: int

    @property
    def mask(self) -> int:
        """The widest value that fits, before ``shift``."""
        return (1 << (self.hi - self.lo + 1)) - 1


def bits(word: int, hi: int, lo: int | None = None, *, shift: int = 0, default: int | None = None) -> Any:
    """Declare a field as bits ``hi:lo`` of word ``word`` (one bit if ``lo`` is left out); required without ``default``."""
    row = Bits(word, hi, hi if lo is None else lo, shift)
    if default is None:
        return dataclasses.field(metadata={"bits": row})
    return dataclasses.field(default=default, metadata={"bits": row})


class Layout:
    """Base of every command and register value: subclasses declare rows and never compute."""

    FIELDS: ClassVar[Mapping[str, Bits]] = {}
    #: Bits that are the same in every value of the class (an opcode), per word.
    FIXED: ClassVar[tuple[int, ...]] = (0,)

    def words(self) -> tuple[int, ...]:
        """The 64-bit words. Raises ValueError, naming the field, if a value does not fit its bits."""
        out = list(self.FIXED)
        for name, row in self.FIELDS.items():
            value = int(getattr(self, name))
            stored = value >> row.shift
            if stored << row.shift != value:
                raise ValueError(f"{type(self).__name__}.{name}: {value:#x} is not a multiple of {1 << row.shift:#x}")
            if not 0 <= stored <= row.mask:
                raise ValueError(f"{type(self).__name__}.{name}: {value:#x} does not fit in bits {row.hi}:{row.lo}")
            out[row.word] |= stored << row.lo
        return tuple(out)

    def replace(self, **fields: Any) -> Self:
        """The same value with some fields changed."""
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]

    @classmethod
    def from_words(cls, *words: int) -> Self:
        """The value that the words hold. Bits outside every field are dropped (they are RES0 or not described)."""
        fields: dict[str, int] = {}
        for name, row in cls.FIELDS.items():
            value = (words[row.word] >> row.lo & row.mask) << row.shift
            fields[name] = bool(value) if name in cls._flags() else value
        return cls(**fields)

    @classmethod
    def _flags(cls) -> frozenset[str]:
        """Names of the fields that are declared as ``bool``."""
        declared = (field for field in dataclasses.fields(cls) if field.type in {"bool", bool})  # type: ignore[arg-type]
        return frozenset(field.name for field in declared)


L = TypeVar("L", bound=Layout)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(bits,))
def layout(*fixed: int) -> Callable[[type[L]], type[L]]:
    """Make a class of rows into a layout of ``len(fixed)`` words, whose constant bits are ``fixed``.

    Raises TypeError at import if two fields overlap, or if a field lies over constant bits.
    """

    def build(cls: type[L]) -> type[L]:
        made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        rows = {field.name: field.metadata["bits"] for field in dataclasses.fields(made)}  # type: ignore[arg-type]
        taken = list(fixed)
        for name, row in rows.items():
            place = row.mask << row.lo
            if place > WORD_MASK or taken[row.word] & place:
                raise TypeError(f"{cls.__name__}.{name} overlaps another field or leaves its word")
            taken[row.word] |= place
        made.FIELDS, made.FIXED = rows, fixed
        return made

    return build
