"""The routes, a file for each kind of thing that they are about. Handlers translate; what happens is below."""

from __future__ import annotations
