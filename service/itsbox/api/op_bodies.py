"""Ops as a client sends them: alone, as the body of a route, or tagged with ``op`` in a batch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import Field, PlainValidator, RootModel, StringConstraints, TypeAdapter, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from itsbox import ops
from itsbox.api.numbers import U8, U32, U32_MAX, U64, HexBytes, Length, Size, parse_number
from itsbox.api.requests import Strict
from itsbox.ops import Op

__all__ = ["AnyOp", "Batch", "DriverArguments", "OpBody", "batch_adapter"]

_HVC_ARGS: Final = 6  # x1 to x6: what pKVM's hypercalls take
_NAME_MAX: Final = 64


class OpBody(Strict):
    """Base of an op's fields. ``op_name`` is the word that stands in ``op`` where ops are listed."""

    op_name: ClassVar[str]

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        raise NotImplementedError


class MmioReadBody(OpBody):
    """The host reads a device register (or memory)."""

    op_name: ClassVar[str] = "mmio_read"
    addr: U64
    size: Size

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.MmioRead(self.addr, self.size)


class MmioWriteBody(OpBody):
    """The host writes a device register (or memory)."""

    op_name: ClassVar[str] = "mmio_write"
    addr: U64
    size: Size
    value: U64 = Field(description="Must fit `size` bytes.")

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.MmioWrite(self.addr, self.size, self.value)


class LoadBody(OpBody):
    """The host CPU loads memory."""

    op_name: ClassVar[str] = "load"
    addr: U64
    length: Length = Field(description="Bytes; all loads of a request together are bounded by the cap `answer_bytes`.")

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Load(self.addr, self.length)


class StoreBody(OpBody):
    """The host CPU stores bytes."""

    op_name: ClassVar[str] = "store"
    addr: U64
    hex: HexBytes

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Store(self.addr, self.hex)


class FillBody(OpBody):
    """The host CPU fills memory with one byte."""

    op_name: ClassVar[str] = "fill"
    addr: U64
    length: Length
    byte: U8

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Fill(self.addr, self.length, self.byte)


def _hvc_function(value: Any) -> str | int:
    if type(value) is str and not value.startswith("0x"):
        if 1 <= len(value) <= _NAME_MAX:
            return value
        raise PydanticCustomError("function", "must have 1 to {most} characters", {"most": _NAME_MAX})
    return parse_number(value, 0, U32_MAX)


HvcFunction: TypeAlias = Annotated[
    str | int,
    PlainValidator(_hvc_function),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": U32_MAX},
                {"type": "string", "pattern": "^0x[0-9a-fA-F]{1,8}$"},
                {"type": "string", "pattern": "^([^0]|0($|[^x]))", "maxLength": _NAME_MAX},
            ]
        }
    ),
]


class HvcBody(OpBody):
    """The host calls the hypervisor. A name or number that does not exist is answered NOT_SUPPORTED, not refused."""

    op_name: ClassVar[str] = "hvc"
    function: HvcFunction = Field(description="A name (see `GET /v1/arch`) or an SMCCC function number.")
    args: list[U64] = Field(default_factory=list, max_length=_HVC_ARGS, description="x1, x2, ...; the others are 0.")

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Hvc(self.function, tuple(self.args))


class MsiBody(OpBody):
    """A PCI device writes an EventID to GITS_TRANSLATER."""

    op_name: ClassVar[str] = "msi"
    device_id: U32
    event_id: U32

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Msi(self.device_id, self.event_id)


class AckBody(OpBody):
    """A CPU acknowledges its highest-priority pending LPI."""

    op_name: ClassVar[str] = "ack"
    cpu: U32 = Field(description="Must be one of the machine's CPUs.")

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Ack(self.cpu)


class CleanBody(OpBody):
    """The host cleans a range of memory to the point of coherency."""

    op_name: ClassVar[str] = "clean"
    addr: U64
    length: Length

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Clean(self.addr, self.length)


class DriverBody(OpBody):
    """The built-in host driver is asked to do something."""

    op_name: ClassVar[str] = "driver"
    call: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    args: dict[str, Any] = Field(default_factory=dict)

    def to_op(self) -> Op:
        """The op as the machine takes it."""
        return ops.Drive(self.call, self.args)


class DriverArguments(RootModel[dict[str, Any]]):
    """Arguments of a driver call, by name."""


class MmioReadOp(MmioReadBody):
    """As `POST .../mmio/read`."""

    op: Literal["mmio_read"]


class MmioWriteOp(MmioWriteBody):
    """As `POST .../mmio/write`."""

    op: Literal["mmio_write"]


class LoadOp(LoadBody):
    """As `POST .../memory/load`."""

    op: Literal["load"]


class StoreOp(StoreBody):
    """As `POST .../memory/store`."""

    op: Literal["store"]


class FillOp(FillBody):
    """As `POST .../memory/fill`."""

    op: Literal["fill"]


class HvcOp(HvcBody):
    """As `POST .../hvc`."""

    op: Literal["hvc"]


class MsiOp(MsiBody):
    """As `POST .../msi`."""

    op: Literal["msi"]


class AckOp(AckBody):
    """As `POST .../ack`."""

    op: Literal["ack"]


class CleanOp(CleanBody):
    """As `POST .../clean`."""

    op: Literal["clean"]


class DriverOp(DriverBody):
    """As `POST .../driver/{call}`."""

    op: Literal["driver"]


AnyOp: TypeAlias = Annotated[
    MmioReadOp | MmioWriteOp | LoadOp | StoreOp | FillOp | HvcOp | MsiOp | AckOp | CleanOp | DriverOp,
    Field(discriminator="op"),
]


class Batch(Strict):
    """Ops to execute in order; nothing runs unless all are well formed."""

    ops: list[AnyOp]
    stop_on: list[Literal["refused", "abort", "panic", "violation"]] = Field(
        default_factory=list,
        max_length=16,
        description="Stop behind the first op with such an outcome. Without it a batch never stops.",
    )
    hash: bool = Field(False, strict=True, description="Answer the state hash after the last op.")

    def to_ops(self) -> list[Op]:
        """The ops as the machine takes them."""
        return [op.to_op() for op in self.ops]


def batch_adapter(cap: int) -> TypeAdapter[Batch]:
    """What validates a batch of at most ``cap`` ops; a longer list is given up after ``cap``."""
    bounded = create_model(
        "Batch", __base__=Batch, ops=(Annotated[list[AnyOp], Field(max_length=cap)], ...), __doc__=Batch.__doc__
    )
    return TypeAdapter(bounded)
