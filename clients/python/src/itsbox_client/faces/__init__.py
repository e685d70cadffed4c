"""The typed faces of ITS commands, hypercalls and driver calls, written once for every way of sending.

All calls of one face have the same kind of result, so a face is generic in it: ``CommandResult`` where the call blocks, an
awaitable of it where it is awaited, ``Pending[CommandResult]`` within a batch. A face only builds the value and hands it on.
"""

from itsbox_client.faces.driver import DriverCalls
from itsbox_client.faces.hypercalls import Hypercalls
from itsbox_client.faces.its import ItsCommands

__all__ = ["DriverCalls", "Hypercalls", "ItsCommands"]
