"""SHA-256 of short texts by Python's own implementation: hashlib loads OpenSSL, which is 3 ms of every command."""

from __future__ import annotations

try:
    from _sha256 import sha256  # type: ignore[import-not-found]  # Python 3.11
except ImportError:
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and newer
    except ImportError:
        from hashlib import sha256

LONG = 1 << 16
"""Bytes from which on OpenSSL is worth its loading."""


def hex_sha256(data: bytes) -> str:
    """Return the digest in hexadecimal digits; for any length, quickly for a short one."""
    if len(data) < LONG:
        return str(sha256(data).hexdigest())
    import hashlib  # lazy: see above

    return hashlib.sha256(data).hexdigest()
