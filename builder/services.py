"""Read `--service`: images that run beside the RUN steps of a build, each under a name of its own.

    NAME=IMAGE[,env=NAME=VALUE]…[,command=WORDS][,port=NUMBER][,timeout=DURATION]

The fields are separated as in `--mount`: by commas, one in quotes may hold them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from frozen import Frozen
from runtime.errors import UsageError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""One label of a name as it is asked for (RFC 1123 § 2.1)."""
_FIELDS = ("command", "env", "port", "timeout")
_TIMEOUT = 60.0


class Service(Frozen):
    """One service: what runs, and when it is ready.

    `environment` are NAME=VALUE; `command` replaces the image's where it is not empty. It is ready when something
    listens on the TCP port `port`; where none is named, when its health check says so; without one, when something
    listens on a port that the image exposes. `timeout`: seconds that this may take. `identity`: the image's id, once
    known.
    """

    name: str
    image: str
    environment: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    port: int | None = None
    timeout: float = _TIMEOUT
    identity: str = ""

    @property
    def key_part(self) -> list[object]:
        """What of it can change what a step makes: not how long it is waited for."""
        return [self.name, self.identity, list(self.environment), list(self.command)]


def read_services(texts: Sequence[str]) -> tuple[Service, ...]:
    """Read the values of `--service`. Raises UsageError, with the value as it was written."""
    services: dict[str, Service] = {}
    for text in texts:
        service = _read(text)
        if service.name in services:
            raise UsageError(f"--service {text}: there is a service {service.name} already", hint="choose another name")
        services[service.name] = service
    return tuple(services.values())


def _read(text: str) -> Service:
    from runtime.containers.mountfields import split_fields  # lazy: only where there are services

    first, *fields = split_fields(text)
    name, equals, image = first.partition("=")
    if not equals or not image:
        raise _fault(text, "the image is missing", "write NAME=IMAGE, as db=postgres:17")
    if not _NAME.fullmatch(name):
        raise _fault(text, f"'{name}' is no name of a host", "lower-case letters, digits and - between them")
    environment: list[str] = []
    command: tuple[str, ...] = ()
    port, timeout = None, _TIMEOUT
    for field in fields:
        key, _, value = field.partition("=")
        match key:
            case "env":
                if not value.partition("=")[0] or "=" not in value:
                    raise _fault(text, f"'{field}' sets no variable", "write env=NAME=VALUE")
                environment.append(value)
            case "command":
                command = _words(text, value)
            case "port":
                port = _port(text, value)
            case "timeout":
                timeout = _seconds(text, value)
            case _:
                raise _fault(text, f"unknown field '{key}'", f"there are: {', '.join(_FIELDS)}")
    return Service(name=name, image=image, environment=tuple(environment), command=command, port=port, timeout=timeout)


def _words(text: str, value: str) -> tuple[str, ...]:
    import shlex  # lazy: as above

    try:
        words = tuple(shlex.split(value))
    except ValueError as error:
        raise _fault(text, f"the command cannot be read: {error}", "quote it as a shell's") from None
    if not words:
        raise _fault(text, "the command is empty", "leave it out for the image's own")
    return words


def _port(text: str, value: str) -> int:
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value) < 1 << 16:
        raise _fault(text, f"'{value}' is no port", "a number from 1 to 65535")
    return int(value)


def _seconds(text: str, value: str) -> float:
    from runtime.oci.moments import parse_duration  # lazy: as above

    length = parse_duration(value)
    if length is None:
        raise _fault(text, f'invalid duration "{value}"', "as 30s or 2m")
    if length <= 0:
        raise _fault(text, "the timeout is over at once", "as 30s or 2m")
    return length / 1_000_000_000


def _fault(text: str, what: str, hint: str) -> UsageError:
    return UsageError(f'invalid argument "{text}" for "--service" flag: {what}', hint=hint)
