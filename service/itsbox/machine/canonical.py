"""One byte string per plain-data value, the same on every machine and Python version; what ``state_hash`` hashes.

Plain data: None, bool, int, str, bytes, and tuples, lists, sets and dicts of such. Tuples and lists are not told apart;
sets and dicts are ordered by their keys' own byte strings, so insertion order does not show.
"""

from __future__ import annotations

from typing import Any

__all__ = ["canonical"]


def canonical(value: Any) -> bytes:
    """Encode a plain-data value. Raises TypeError for anything else: state must stay plain."""
    if value is None:
        return b"n"
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int):
        return b"i%d;" % value
    if isinstance(value, str):
        raw = value.encode()
        return b"s%d:%b" % (len(raw), raw)
    if isinstance(value, bytes | bytearray):
        return b"b%d:%b" % (len(value), bytes(value))
    if isinstance(value, tuple | list):
        return b"(%b)" % b"".join(map(canonical, value))
    if isinstance(value, set | frozenset):
        return b"<%b>" % b"".join(sorted(map(canonical, value)))
    if isinstance(value, dict):
        items = sorted((canonical(key), canonical(item)) for key, item in value.items())
        return b"{%b}" % b"".join(key + item for key, item in items)
    msg = f"not plain data: {type(value).__name__}"
    raise TypeError(msg)
