"""What the demo shows, scene by scene: each a function of the service's address that answers what happened."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Self

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect

from itsbox.replay.http_target import HttpTarget, ServiceError
from itsbox.replay.replayer import Report, replay
from itsbox.replay.target import MachineWish, wish_for
from itsbox.replay.trace import Trace

__all__ = ["Boot", "Hang", "Subscriber", "hang", "linux_boot"]

CATCH_UP_S: Final = 30.0


class Subscriber:
    """A WebSocket client that counts a session's events as they come. Invariant: ``last`` is the highest ``seq`` seen.

    ``broken`` says what was wrong with the stream: a gap, a number out of order.
    """

    def __init__(self) -> None:
        self.types: Counter[str] = Counter()
        self.last = 0
        self.broken = ""
        self.arrived = threading.Condition()

    @contextmanager
    def listening(self, url: str, path: str) -> Iterator[Self]:
        """Listen, from the first event on, for the length of a ``with`` block. Raises ServiceError when it cannot."""
        address = f"{url.replace('http', 'ws', 1)}{path}/stream?after=0"
        try:
            stream = connect(address, max_size=None, proxy=None).__enter__()
        except (OSError, WebSocketException) as error:
            raise ServiceError(f"{address}: {error}") from error
        thread = threading.Thread(target=self._listen, args=(stream,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stream.close()
            thread.join()

    @property
    def received(self) -> int:
        """How many events have come."""
        return self.types.total()

    def wait_for(self, seq: int) -> None:
        """Return when the event ``seq`` has come, the stream broke or the time for it is over."""
        with self.arrived:
            self.arrived.wait_for(lambda: self.last >= seq or self.broken, timeout=CATCH_UP_S)

    def _listen(self, stream: ClientConnection) -> None:
        try:
            for frame in stream:
                self.take(json.loads(frame))
        except ConnectionClosed as error:
            self._end(str(error))
        else:
            self._end("closed")

    def _end(self, why: str) -> None:
        with self.arrived:
            self.broken = self.broken or f"the stream ended: {why}"
            self.arrived.notify_all()

    def take(self, frame: dict[str, Any]) -> None:
        """One frame of the stream."""
        with self.arrived:
            if "gap" in frame:
                self.broken = f"events {frame['gap']['from']} to {frame['gap']['to']} are gone"
            for event in frame.get("events", ()):
                if event["seq"] != self.last + 1:
                    self.broken = f"event {event['seq']} came after {self.last}"
                self.last = event["seq"]
                self.types[event["type"]] += 1
            self.arrived.notify_all()


class Boot(NamedTuple):
    """The replay of a client, and what a subscriber saw of it."""

    report: Report
    produced: int
    received: int
    types: dict[str, int]
    broken: str
    seconds: float

    @property
    def well(self) -> bool:
        """Nothing differed and every event arrived."""
        return not self.report.differences and not self.broken and self.produced == self.received

    def as_json(self) -> dict[str, Any]:
        """As JSON-like data."""
        return {**self._asdict(), "report": self.report.as_json()}

    def text(self) -> str:
        """For people."""
        report = self.report
        rows = [
            ("ops sent", report.ops),
            ("reads compared", report.reads),
            ("commands executed", report.commands),
            ("LPIs delivered", report.delivered),
            ("LPIs acknowledged", report.acknowledges),
            ("events produced", self.produced),
            ("events received", self.received),
            ("differences", len(report.differences)),
            ("seconds", f"{self.seconds:.2f}"),
        ]
        lines = [f"\n{report.title}: recorded once, answered now by a machine of the service."]
        lines += [f"  {name:<20}{value:>8}" for name, value in rows]
        lines += [f"  {difference}" for difference in report.differences[:20]]
        return "\n".join([*lines, f"  the stream: {self.broken}"] if self.broken else lines)


def linux_boot(url: str, trace: Trace, advance: Callable[[int], None]) -> Boot:
    """Replay a recorded client over HTTP batches while a subscriber counts events. Raises ServiceError."""
    started = time.monotonic()
    with HttpTarget(url, wish_for(trace.head)) as target, Subscriber().listening(url, target.path) as subscriber:
        report = replay(trace, target, advance)
        produced = target.head()
        subscriber.wait_for(produced)
        seconds = time.monotonic() - started
        return Boot(report, produced, subscriber.received, dict(subscriber.types), subscriber.broken, seconds)


class Hang(NamedTuple):
    """What the driver of the seed's machine printed, and why its queue does not move."""

    log: tuple[str, ...]
    refused: str

    @property
    def well(self) -> bool:
        """It hung as the mail tells."""
        return self.log[:1] == ("ITS queue timeout (1056 1024)",)

    def as_json(self) -> dict[str, Any]:
        """As JSON-like data."""
        return self._asdict()

    def text(self) -> str:
        """For people."""
        head = "\nThe hang of the mail: a Snapdragon machine behind the RFC's first version maps a device with three events."
        return "\n".join([head, *(f"  | {line}" for line in self.log), f"  {self.refused}"])


def hang(url: str) -> Hang:
    """Boot the seed's machine, hand it over, map a device; then ask for the diagnosis. Raises ServiceError."""
    with HttpTarget(url, MachineWish("snapdragon", 8, 256, hardening="rfc-v1", start="host")) as target:
        target.drive("deprivilege", {})
        log = target.drive("map_device", {"device_id": 16, "events": 3})["log"]
        refused = target.look("diagnosis")["last_refused"]
        why = "Nothing was refused."
        if refused:
            why = f"Refused by the hypervisor: {refused['name']}, {refused['errno']}, {refused['reason']}."
        return Hang(tuple(log), why)
