"""Make ELF files that are headers alone."""

from __future__ import annotations

import struct


def build(
    *, order: str = "<", wide: bool = True, needed: bytes = b"libx.so.1", runpath: bytes = b"$ORIGIN:/opt"
) -> bytes:
    """Make a file of headers alone: an interpreter, one needed library, a RUNPATH."""
    base = 0x400000
    strings = b"\0" + needed + b"\0" + runpath + b"\0"
    interpreter = b"/lib/ld.so\0"
    header_size, entry_size = (64, 56) if wide else (52, 32)
    start = header_size + 3 * entry_size
    tags = [(1, 1), (29, 2 + len(needed)), (5, base + start + len(interpreter)), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *tag) for tag in tags)
    body = interpreter + strings + dynamic
    total = start + len(body)

    def segment(kind: int, offset: int, size: int) -> bytes:
        if wide:
            return struct.pack(order + "IIQQQQQQ", kind, 5, offset, base + offset, 0, size, size, 8)
        return struct.pack(order + "IIIIIIII", kind, offset, base + offset, 0, size, size, 5, 4)

    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    header = ident + struct.pack(order + layout, 2, 62, 1, 0, header_size, 0, 0, header_size, entry_size, 3, 0, 0, 0)
    segments = segment(1, 0, total) + segment(3, start, len(interpreter))
    segments += segment(2, start + len(interpreter) + len(strings), len(dynamic))
    return header + segments + body
