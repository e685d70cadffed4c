"""Sessions: machines with an identity, a lock, a history and an end.

The first layer that knows time, concurrency and caps. Below it everything is pure; above it everything is HTTP.
"""

from __future__ import annotations
