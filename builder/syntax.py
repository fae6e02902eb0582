"""Refuse files that say to be written in another language than this one: `# syntax=` names the image that reads it.

Docker's `docker/dockerfile` of version 1 and its mirrors are meant, whatever they are called before the last part of
their name; what is newer than this program is taken for known, as minor versions only add.
"""

from __future__ import annotations

import re

from grammar.errors import DockerfileError
from grammar.nodes import Dockerfile

_OURS = re.compile(r"(?:.*/)?dockerfile(?:-upstream)?(?::(?P<tag>[^/@]*))?(?:@.*)?")
_MAJOR = re.compile(r"v?(\d+)(?:[.-].*)?")
_LINE = re.compile(r"\s*#\s*syntax\s*=", re.IGNORECASE)


def check_syntax(dockerfile: Dockerfile, text: str) -> None:
    """Raise DockerfileError, at its line of `text`, where the directive names a language that is not known."""
    wanted = (dockerfile.directives.syntax or "").partition(" ")[0]
    if not wanted:
        return
    ours = _OURS.fullmatch(wanted)
    major = _MAJOR.fullmatch(ours["tag"] or "") if ours else None
    if ours and (major is None or int(major[1]) <= 1):
        return
    lines = (number for number, line in enumerate(text.split("\n"), 1) if _LINE.match(line.removeprefix("\ufeff")))
    what = f"version {major[1]} of the syntax" if major else "the syntax"
    raise DockerfileError(
        f"unsupported syntax {wanted}: {what} is not known",
        line=next(lines, 1),
        hint="Docker's Dockerfiles are read, version 1: write # syntax=docker/dockerfile:1, or leave the line out",
    )
