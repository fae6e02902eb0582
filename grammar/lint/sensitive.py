"""Know the names that secrets have."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_HARMLESS = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Tell whether a variable of that name likely holds a secret."""
    return _SECRET.search(name) is not None and _HARMLESS.search(name) is None
