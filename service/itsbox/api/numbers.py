"""Integers of the wire: a JSON integer or a ``"0x..."`` string in, checked against one range; hexadecimal strings out.

A plain validator per field instead of a union of two types: one call, one message, and no value that pydantic would bend
(``true`` and ``"8"`` are not integers here). The JSON schema is written by hand for the same reason, and because
bounds of 64 bits come out as floats otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

__all__ = [
    "U8",
    "U32",
    "U32_MAX",
    "U64",
    "U64_MAX",
    "Count",
    "Hex64",
    "HexBytes",
    "Length",
    "Size",
    "Within",
    "parse_number",
]

U32_MAX: Final = (1 << 32) - 1
U64_MAX: Final = (1 << 64) - 1
HEX_PATTERN: Final = "^0x[0-9a-fA-F]{1,16}$"
_HEX: Final = re.compile(HEX_PATTERN)


def parse_number(value: Any, low: int, high: int) -> int:
    """An integer in low..high from a JSON value. Raises ``PydanticCustomError``."""
    if type(value) is str and _HEX.fullmatch(value):
        value = int(value, 16)
    elif type(value) is float and value.is_integer():
        value = int(value)  # to JSON Schema, 8.0 is an integer
    if type(value) is not int:
        raise PydanticCustomError("number", "must be an integer or a string of the form 0x...")
    if not low <= value <= high:
        raise PydanticCustomError(
            "number_range", "must be between {low} and {high}", {"low": _show(low), "high": _show(high)}
        )
    return value


def _show(bound: int) -> str:
    return hex(bound) if bound > 0xFFFF else str(bound)


@dataclass(frozen=True, slots=True)
class Within:
    """Annotates an ``int``: accepted in low..high, as an integer or as a hexadecimal string."""

    low: int
    high: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        low, high = self.low, self.high

        def validate(value: Any) -> int:
            if type(value) is int and low <= value <= high:
                return value
            return parse_number(value, low, high)

        return core_schema.no_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return number_schema(self.low, self.high)


def number_schema(low: int, high: int) -> dict[str, Any]:
    """The JSON schema of an integer in low..high (low is 0 or 1) or its hexadecimal string, as exact as a pattern can be."""
    digits = f"{high:x}"
    first = "[1-9a-fA-F]" if low else "[0-9a-fA-F]"
    if set(digits) == {"f"}:
        body = f"0*{first}[0-9a-fA-F]{{0,{len(digits) - 1}}}"
    else:  # a power of 16: everything shorter, or itself
        body = f"0*({first}[0-9a-fA-F]{{0,{len(digits) - 2}}}|{digits})"
    return {
        "anyOf": [
            {"type": "integer", "minimum": low, "maximum": high},
            {"type": "string", "pattern": f"^0x{body}$", "maxLength": 18},
        ]
    }


@dataclass(frozen=True, slots=True)
class Count:
    """Annotates an ``int`` that is counted, not addressed: a JSON integer in low..high, nothing else.

    shown: the upper bound that the schema shows, where a setting decides.
    """

    low: int
    high: int
    shown: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: Any) -> int:
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise PydanticCustomError("count", "must be an integer")
        if not self.low <= value <= self.high:
            bounds = {"low": str(self.low), "high": str(self.high)}
            raise PydanticCustomError("number_range", "must be between {low} and {high}", bounds)
        return value

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "integer", "minimum": self.low, "maximum": self.shown or self.high}


def _size(value: Any) -> int:
    if type(value) in (int, float) and value in (1, 2, 4, 8):
        return int(value)
    raise PydanticCustomError("size", "must be 1, 2, 4 or 8")


def _bytes(value: Any) -> bytes:
    if type(value) is str:
        try:
            data = bytes.fromhex(value)
        except ValueError:
            data = b""
        if data and len(data) * 2 == len(value):  # fromhex skips white space
            return data
    raise PydanticCustomError("hex", "must be a non-empty string of an even number of hexadecimal digits")


U8: TypeAlias = Annotated[int, Within(0, 0xFF)]
U32: TypeAlias = Annotated[int, Within(0, U32_MAX)]
U64: TypeAlias = Annotated[int, Within(0, U64_MAX)]
Length: TypeAlias = Annotated[int, Within(1, U64_MAX)]
Size: TypeAlias = Annotated[int, PlainValidator(_size), WithJsonSchema({"type": "integer", "enum": [1, 2, 4, 8]})]
HexBytes: TypeAlias = Annotated[
    bytes, PlainValidator(_bytes), WithJsonSchema({"type": "string", "pattern": "^([0-9a-fA-F]{2})+$"})
]
#: A 64-bit value in an answer.
Hex64: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^0x[0-9a-f]{1,16}$"})]
