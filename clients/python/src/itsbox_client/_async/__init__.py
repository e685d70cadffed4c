"""The client that is awaited. ``_sync`` is generated from this package by ``tools/generate_sync.py``: edit here."""
