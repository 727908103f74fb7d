"""TIFF files written by hand, sound or not."""

import struct


def with_directory(magic, body, tags):
    """A TIFF file: the magic number, the body from byte 8 on, and behind it one directory."""
    order = "<" if magic[:2] == b"II" else ">"
    at = 8 + len(body) + len(body) % 2
    entries, values = b"", b""
    values_at = at + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        if isinstance(value, bytes):
            kind, count, packed = 7, len(value), value
        else:
            kind, letter = (3, "H") if max(value) < 1 << 16 else (4, "I")
            count, packed = len(value), struct.pack(f"{order}{len(value)}{letter}", *value)
        if len(packed) > 4:
            packed, values = struct.pack(f"{order}I", values_at + len(values)), values + packed
            values += b"\0" * (len(values) % 2)
        entries += struct.pack(f"{order}HHI4s", tag, kind, count, packed)
    directory = struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + values
    return magic + struct.pack(f"{order}I", at) + body + b"\0" * (len(body) % 2) + directory
