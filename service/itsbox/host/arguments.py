"""How a call of the driver is declared, and how what a client passes is checked against that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from itsbox.host.errors import DriverCallError
from itsbox.host.kernel import Platform

__all__ = ["ANY_CPU", "CPU", "DEVICE", "EVENT", "ITS", "Arg", "Call", "arguments"]

_WORD: Final = (1 << 32) - 1


class Arg(NamedTuple):
    """An argument: an integer from ``low`` to ``high``, or below what ``high`` gives for the machine."""

    name: str
    low: int
    high: int | Callable[[Platform], int]
    doc: str
    required: bool = True


class Call(NamedTuple):
    """One call: its arguments, what it does, and the phases in which a kernel would do it."""

    name: str
    args: tuple[Arg, ...]
    doc: str
    run: Callable[..., dict[str, Any]]
    before_probe: bool = False
    while_suspended: bool = False


def arguments(call: Call, given: Mapping[str, Any], platform: Platform) -> dict[str, int | None]:
    """Check the arguments of a call; what is left out is None.

    Raises:
        DriverCallError: unknown, missing, of the wrong kind or out of range.
    """
    known = {arg.name for arg in call.args}
    for name in given:
        if name not in known:
            raise DriverCallError(name, f"{call.name} has no such argument")
    return {arg.name: _argument(arg, given.get(arg.name), platform) for arg in call.args}


def _argument(arg: Arg, value: Any, platform: Platform) -> int | None:
    if value is None:
        if arg.required:
            raise DriverCallError(arg.name, "is required")
        return None
    if isinstance(value, str):
        try:
            value = int(value, 0)
        except ValueError:
            raise DriverCallError(arg.name, "must be an integer or a string such as 0x10") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise DriverCallError(arg.name, "must be an integer or a string such as 0x10")
    high = arg.high if isinstance(arg.high, int) else arg.high(platform)
    if not arg.low <= value <= high:
        raise DriverCallError(arg.name, f"must be between {arg.low} and {high}")
    return value


DEVICE: Final = Arg("device_id", 0, _WORD, "DeviceID")
EVENT: Final = Arg("event_id", 0, _WORD, "EventID")
CPU: Final = Arg("cpu", 0, lambda platform: platform.cpus - 1, "a CPU's number")
ANY_CPU: Final = CPU._replace(doc="the CPU to route to; the least loaded one when left out", required=False)
ITS: Final = Arg("its", 0, lambda platform: len(platform.its) - 1, "which ITS; the first when left out", required=False)
