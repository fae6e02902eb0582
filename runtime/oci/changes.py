"""Apply `--change` of import and commit: single Dockerfile instructions that only touch the config.

The words are Dockerfile's, without variables: a JSON array or the rest of the line for commands, quoted words and
`name=value` pairs for the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from frozen import replace
from runtime.errors import UsageError
from runtime.oci.documents import ContainerConfig, Healthcheck

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+|0")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_HEALTH_TIMES: dict[str, Callable[[Healthcheck, int], Healthcheck]] = {
    "interval": lambda check, time: replace(check, interval=time),
    "timeout": lambda check, time: replace(check, timeout=time),
    "start-period": lambda check, time: replace(check, start_period=time),
    "start-interval": lambda check, time: replace(check, start_interval=time),
}


def apply_changes(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """Apply instructions in order; raises UsageError that shows the one at fault."""
    for change in changes:
        keyword, _, rest = change.strip().partition(" ")
        apply = _INSTRUCTIONS.get(keyword.upper())
        if apply is None:
            known = ", ".join(sorted(_INSTRUCTIONS))
            raise UsageError(
                f"--change {change!a}: {keyword.upper()} is not a valid change command", hint=f"one of {known}"
            )
        if not rest.strip():
            raise UsageError(f"--change {change!a}: {keyword.upper()} needs an argument")
        try:
            config = apply(config, rest.strip())
        except ValueError as error:
            raise UsageError(f"--change {change!a}: {error}") from error
    return config


def _command(config: ContainerConfig, rest: str) -> tuple[str, ...]:
    found = _array(rest)
    return found if found is not None else (*(config.shell or ("/bin/sh", "-c")), rest)


def _array(rest: str) -> tuple[str, ...] | None:
    """Read a JSON array of strings; None for what is none, which is then a shell command, as in a Dockerfile."""
    if not rest.startswith("["):
        return None
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def _words(rest: str) -> list[str]:
    """Split at blanks; quotes hold a word together and are removed, a backslash takes the next character as it is."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    position = 0
    while position < len(rest):
        character = rest[position]
        position += 1
        if character == "\\" and quote != "'" and position < len(rest):
            following = rest[position]
            position += 1
            keep = "\\" if quote == '"' and following not in '"\\$' else ""
            word = [*(word or []), keep + following]
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = [*(word or []), character]
        elif character in "'\"":
            quote, word = character, word or []
        elif character.isspace():
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = [*(word or []), character]
    if quote:
        raise ValueError(f"the quote {quote} is not closed")
    return words if word is None else [*words, "".join(word)]


def _pairs(rest: str) -> list[tuple[str, str]]:
    """Read `name=value …`, or the old `name value`."""
    words = _words(rest)
    if "=" not in words[0]:
        name, _, value = rest.partition(" ")
        if not value.strip():
            raise ValueError(f"{name!a} has no value")
        return [(name, value.strip())]
    pairs = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"{word!a} is no name=value")
        pairs.append((name, value))
    return pairs


def _env(config: ContainerConfig, rest: str) -> ContainerConfig:
    values = dict(entry.partition("=")[::2] for entry in config.env)
    values.update(_pairs(rest))
    return replace(config, env=tuple(f"{name}={value}" for name, value in values.items()))


def _expose(config: ContainerConfig, rest: str) -> ContainerConfig:
    ports = set(config.exposed_ports)
    for word in _words(rest):
        found = _PORT.fullmatch(word)
        if found is None:
            raise ValueError(f"{word!a} is no port")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= 65535:
            raise ValueError(f"{word!a} is not between 1 and 65535")
        ports.update(f"{port}/{(found[3] or 'tcp').lower()}" for port in range(first, last + 1))
    return replace(config, exposed_ports=tuple(sorted(ports)))


def _volume(config: ContainerConfig, rest: str) -> ContainerConfig:
    paths = _array(rest)
    return replace(config, volumes=tuple(sorted({*config.volumes, *(_words(rest) if paths is None else paths)})))


def _workdir(config: ContainerConfig, rest: str) -> ContainerConfig:
    from posixpath import join, normpath

    path = normpath(join(config.working_dir or "/", _one(rest)))
    return replace(config, working_dir="/" + path.lstrip("/"))


def _shell(config: ContainerConfig, rest: str) -> ContainerConfig:
    words = _array(rest)
    if not words:
        raise ValueError('SHELL needs a JSON array such as ["/bin/sh", "-c"]')
    return replace(config, shell=words)


def _one(rest: str) -> str:
    words = _words(rest)
    if len(words) != 1:
        raise ValueError("exactly one argument is needed")
    return words[0]


def _healthcheck(config: ContainerConfig, rest: str) -> ContainerConfig:
    check = Healthcheck()
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        name, _, value = flag[2:].partition("=")
        rest = rest.strip()
        if name == "retries" and value.isdecimal():
            check = replace(check, retries=int(value))
        elif name in _HEALTH_TIMES:
            check = _HEALTH_TIMES[name](check, _duration(value))
        else:
            raise ValueError(f"{flag!a} is no flag of HEALTHCHECK")
    kind, _, command = rest.partition(" ")
    if kind.upper() == "NONE" and not command:
        return replace(config, healthcheck=Healthcheck(test=("NONE",)))
    if kind.upper() != "CMD" or not command.strip():
        raise ValueError("HEALTHCHECK needs NONE, or CMD and a command")
    words = _array(command.strip())
    test = ("CMD", *words) if words is not None else ("CMD-SHELL", command.strip())
    return replace(config, healthcheck=replace(check, test=test))


def _duration(text: str) -> int:
    """Read Go's `1m30s` as nanoseconds."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!a} is no duration such as 30s")
    parts = re.findall(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)", text)
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


_INSTRUCTIONS: dict[str, Callable[[ContainerConfig, str], ContainerConfig]] = {
    "CMD": lambda config, rest: replace(config, cmd=_command(config, rest)),
    "ENTRYPOINT": lambda config, rest: replace(config, entrypoint=_command(config, rest)),
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": lambda config, rest: replace(config, labels={**config.labels, **dict(_pairs(rest))}),
    "ONBUILD": lambda config, rest: replace(config, on_build=(*config.on_build, rest)),
    "SHELL": _shell,
    "STOPSIGNAL": lambda config, rest: replace(config, stop_signal=_one(rest)),
    "USER": lambda config, rest: replace(config, user=_one(rest)),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
