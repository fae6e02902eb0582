"""Know which flags each instruction has, and read the ones that were written.

`FLAGS` is the one table: what is not in it is refused, with the nearest name that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from frozen import Frozen
from grammar.errors import DockerfileError
from grammar.nearest import nearest
from grammar.nodes import Instruction

Kind = Literal["switch", "text", "texts"]

FLAGS: Mapping[str, Mapping[str, Kind]] = {
    "add": {
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "keep-git-dir": "switch",
        "checksum": "text",
        "unpack": "switch",
        "exclude": "texts",
    },
    "arg": {},
    "cmd": {},
    "copy": {
        "from": "text",
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "parents": "switch",
        "exclude": "texts",
    },
    "entrypoint": {},
    "env": {},
    "expose": {},
    "from": {"platform": "text"},
    "healthcheck": {
        "interval": "text",
        "timeout": "text",
        "start-period": "text",
        "start-interval": "text",
        "retries": "text",
    },
    "label": {},
    "maintainer": {},
    "onbuild": {},
    "run": {"mount": "texts", "network": "text", "security": "text", "device": "texts"},
    "shell": {},
    "stopsignal": {},
    "user": {},
    "volume": {},
    "workdir": {},
}
"""keyword -> flag -> how often and with what it is written: a switch may have true or false, texts may repeat."""

KEYWORDS = tuple(FLAGS)


class Flags(Frozen, kw_only=False):
    """The flags of one instruction, quotes removed: name -> values in the order written."""

    given: Mapping[str, tuple[str, ...]]

    def switch(self, name: str) -> bool | None:
        """Return what a switch was set to, or None where it was not given."""
        values = self.given.get(name)
        return None if values is None else values[0] == "true"

    def text(self, name: str) -> str | None:
        """Return the value of a flag that is given once at most; an empty one counts as not given."""
        values = self.given.get(name)
        return values[0] or None if values else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag that may repeat."""
        return self.given.get(name, ())


def read_flags(instruction: Instruction, escape: str = "\\") -> Flags:
    """Return the flags of `instruction`, whose keyword must be known.

    Raises DockerfileError with the line for a flag that the keyword does not have, that is given twice, or whose value
    is wrong.
    """
    known = FLAGS[instruction.keyword]
    given: dict[str, tuple[str, ...]] = {}
    for written in instruction.flags:
        name, equals, value = clean_flag(written, escape)[2:].partition("=")
        kind = known.get(name)
        if kind is None:
            raise _unknown(instruction, name, known)
        if name in given and kind != "texts":
            raise _fault(instruction, f"duplicate flag specified: --{name}", "give it once")
        given[name] = (*given.get(name, ()), _value(instruction, kind, name, equals, value))
    return Flags(given)


def clean_flag(written: str, escape: str = "\\") -> str:
    """Return a flag without its quotes and escapes, in quotes of either kind too."""
    if not any(character in written for character in ("'", '"', escape)):
        return written
    cleaned: list[str] = []
    quote = ""
    characters = iter(written)
    for character in characters:
        if character == escape:
            cleaned.append(next(characters, ""))
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            cleaned.append(character)
    return "".join(cleaned)


def _value(instruction: Instruction, kind: Kind, name: str, equals: str, value: str) -> str:
    """Return the value of one flag as it is kept."""
    if kind != "switch":
        if not equals:
            raise _fault(instruction, f"missing a value on flag: --{name}", f"write --{name}=VALUE")
        return value
    if equals and not value:
        raise _fault(
            instruction, f"missing a value on flag: --{name}", f"write --{name}, --{name}=true or --{name}=false"
        )
    if value.lower() not in ("", "true", "false"):
        raise _fault(
            instruction,
            f"expecting boolean value for flag --{name}, not: {value}",
            f"write --{name}=true or --{name}=false",
        )
    return value.lower() or "true"


def _unknown(instruction: Instruction, name: str, known: Mapping[str, Kind]) -> DockerfileError:
    found = nearest(name, known)
    if found is not None:
        hint = f"did you mean --{found}?"
    elif known:
        hint = f"{instruction.keyword.upper()} has {', '.join('--' + flag for flag in known)}"
    else:
        hint = f"{instruction.keyword.upper()} has no flags"
    return _fault(instruction, f"unknown flag: --{name}", hint)


def _fault(instruction: Instruction, message: str, hint: str) -> DockerfileError:
    return DockerfileError(f"{instruction.keyword.upper()}: {message}", line=instruction.start_line, hint=hint)
