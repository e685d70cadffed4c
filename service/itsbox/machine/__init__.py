"""Composition of the layers into one machine, still pure and synchronous."""

from itsbox.machine.config import ConfigError, MachineConfig
from itsbox.machine.decoded import TooManySteps
from itsbox.machine.machine import Machine
from itsbox.machine.snapshot import Snapshot

__all__ = ["ConfigError", "Machine", "MachineConfig", "Snapshot", "TooManySteps"]
