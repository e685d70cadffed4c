"""``itsbox demo``: the service as a process of its own, a real Linux boot replayed against it over HTTP, somebody watching."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itsbox.cli.output import Exit, Json, fail, print_json, progress, stdout

if TYPE_CHECKING:
    from itsbox.replay.trace import Trace

__all__ = ["register"]

RECORDING = "linux-boot-gicv3.jsonl.gz"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    trace: Annotated[Path | None, typer.Option(help="Replay this trace instead of the recorded Linux boot.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Start the service, replay a recorded Linux boot over HTTP while a subscriber counts events, and say what happened.

    Then the hang of the seed: a Snapdragon machine behind the RFC's first version. Ends with 0 when nothing differs.
    """
    from itsbox.cli.process import ServiceProcess
    from itsbox.cli.scenes import hang, linux_boot
    from itsbox.replay.http_target import ServiceError
    from itsbox.replay.steps import count_steps

    recorded = _recording(trace)
    started = time.monotonic()
    try:
        with ServiceProcess() as service:
            if not as_json:
                stdout.print(f"The service runs on {service.url}.", markup=False)
            with progress("replaying", count_steps(recorded), quiet=as_json) as advance:
                boot = linux_boot(service.url, recorded, advance)
            if not as_json:
                stdout.print(boot.text(), markup=False)
            stuck = hang(service.url)
            if not as_json:
                stdout.print(stuck.text(), markup=False)
    except ServiceError as error:
        fail(Exit.UNREACHABLE, str(error))
    seconds = round(time.monotonic() - started, 1)
    well = boot.well and stuck.well
    if as_json:
        print_json({"boot": boot.as_json(), "hang": stuck.as_json(), "seconds": seconds, "well": well})
    else:
        stdout.print(f"{'All as recorded' if well else 'Something differs'}, in {seconds} s.")
    raise typer.Exit(Exit.OK if well else Exit.DIFFERENCE)


def _recording(path: Path | None) -> Trace:
    from itsbox import replay
    from itsbox.replay.trace import TraceError, read_traces

    found = path or Path(replay.__file__).with_name("recordings") / RECORDING
    try:
        return next(read_traces(found))
    except (TraceError, OSError) as error:
        fail(Exit.USAGE, str(error))
