"""Read the secrets that a build may use: `--secret id=…,src=FILE` or `id=…,env=NAME`. Their values go nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from frozen import Frozen, field
from runtime.errors import NotFound, UsageError

_LARGEST = 500 << 10
"""Bytes of one secret: BuildKit's limit."""


class Secret(Frozen):
    """One secret; its value is in no message, no representation and no cache key."""

    id: str
    value: bytes = field(repr=False)


def read_secrets(words: Iterable[str], environ: Mapping[str, str]) -> dict[str, Secret]:
    """Read the values that the flags in `words` name. Raises UsageError for a wrong word, NotFound without a source."""
    secrets: dict[str, Secret] = {}
    for word in words:
        fields = _fields(word)
        identifier = fields.get("id") or _default_id(fields)
        if not identifier:
            raise UsageError(
                f'invalid argument "{word}" for "--secret" flag: it has no id', hint="write id=NAME,src=FILE"
            )
        secrets[identifier] = Secret(id=identifier, value=_value(identifier, fields, environ))
    return secrets


def _fields(word: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in word.split(","):
        name, equals, value = part.partition("=")
        name = {"src": "source"}.get(name.strip().lower(), name.strip().lower())
        if not equals or name not in ("id", "type", "source", "env"):
            raise UsageError(
                f'invalid argument "{word}" for "--secret" flag: {part!r} is not known',
                hint="write id=NAME,src=FILE or id=NAME,env=VARIABLE",
            )
        fields[name] = value
    if fields.get("type", "file") not in ("file", "env"):
        raise UsageError(f'invalid argument "{word}" for "--secret" flag: type is file or env')
    return fields


def _default_id(fields: Mapping[str, str]) -> str:
    return fields.get("env") or os.path.basename(fields.get("source", ""))


def _value(identifier: str, fields: Mapping[str, str], environ: Mapping[str, str]) -> bytes:
    variable = fields.get("env")
    if variable is None and fields.get("type") == "env":
        variable = fields.get("source") or identifier
    if variable is None and "source" not in fields and identifier in environ:
        variable = identifier
    if variable is not None:
        if variable not in environ:
            raise NotFound(f"secret {identifier}: the environment has no variable {variable}")
        return os.fsencode(environ[variable])
    path = Path(fields.get("source") or identifier).expanduser()
    try:
        with path.open("rb") as file:
            value = file.read(_LARGEST + 1)
    except OSError as error:
        raise NotFound(f"secret {identifier}: {path}: {error.strerror}") from error
    if len(value) > _LARGEST:
        raise UsageError(f"secret {identifier}: {path} is larger than {_LARGEST >> 10} KiB")
    return value
