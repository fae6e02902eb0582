"""Judge an instruction as it was written, before anything expands.

Every instruction of a file is held to this, also those of stages that are not built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import get_args

from frozen import Frozen
from grammar.errors import DockerfileError
from grammar.expansion import expand
from grammar.flags import KEYWORDS, Flags, read_flags
from grammar.instructions import NetworkMode, SecurityMode
from grammar.mounts import mount_source, read_device
from grammar.nearest import did_you_mean
from grammar.nodes import Instruction
from grammar.values import interval, retries

STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
HEREDOC_MARKER = re.compile(r"""\d*<<-?(?:\\.|[^\s'"<\\]|'[^'<]*'|"[^"<]*")+""", re.DOTALL)
"""A whole word that announces a here-document."""


class Written(Frozen, kw_only=False):
    """An instruction of a known keyword with its flags read; `escape` is the file's escape character."""

    node: Instruction
    flags: Flags
    escape: str


def validate(node: Instruction, escape: str = "\\") -> Written:
    """Check keyword, flags, number of words and all else that no variable can change; return it read.

    Raises DockerfileError with the line.
    """
    if node.keyword not in KEYWORDS:
        keyword = _as_written(node)
        raise DockerfileError(
            f"unknown instruction: {keyword}",
            line=node.start_line,
            hint=did_you_mean(keyword, [name if keyword.islower() else name.upper() for name in KEYWORDS])
            or f"instructions are {', '.join(name.upper() for name in KEYWORDS)}",
        )
    written = Written(node, read_flags(node, escape), escape)
    try:
        check = _CHECKS.get(node.keyword)
        if check is not None:
            check(written)
    except DockerfileError as error:
        raise error.at(node.start_line) from None
    return written


def _as_written(node: Instruction) -> str:
    """Return the keyword in the letters that the file has."""
    beginning = node.source.lstrip()[: len(node.keyword)]
    return beginning if beginning.lower() == node.keyword else node.keyword.upper()


def _check_some(written: Written) -> None:
    node = written.node
    if not any(node.arguments):
        raise DockerfileError(f"{node.keyword.upper()} requires at least one argument")


def _check_one(written: Written) -> None:
    node = written.node
    if len([word for word in node.arguments if word]) != 1:
        raise DockerfileError(f"{node.keyword.upper()} requires exactly one argument")


def _check_pairs(written: Written) -> None:
    node = written.node
    keyword = node.keyword.upper()
    if not node.arguments:
        raise DockerfileError(f"{keyword} requires at least one argument", hint=f"write {keyword} name=value")
    if not all(node.arguments[::2]):
        raise DockerfileError(f"{keyword} names can not be blank", hint=f"write {keyword} name=value")


def _check_arg(written: Written) -> None:
    node = written.node
    if not node.arguments:
        raise DockerfileError("ARG requires at least one argument", hint="write ARG name or ARG name=default")
    for word in node.arguments:
        if not word.partition("=")[0]:
            raise DockerfileError(f"ARG names can not be blank: {word}", hint="write ARG name=default")


def _check_from(written: Written) -> None:
    node = written.node
    words = node.arguments
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise DockerfileError(
            f"FROM requires either one or three arguments: {' '.join(words)}",
            hint="write FROM image or FROM image AS name",
        )
    if len(words) == 3 and not STAGE_NAME.fullmatch(words[2].lower()):
        raise DockerfileError(
            f'invalid name for build stage: "{words[2]}", name can\'t start with a number or contain symbols',
            hint="a stage's name is a letter, then letters, digits, - _ and .",
        )


def _check_copy(written: Written) -> None:
    node = written.node
    keyword = node.keyword.upper()
    if len(node.arguments) < 2:
        raise DockerfileError(
            f"{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
            if node.arguments
            else f"{keyword} requires at least two arguments",
            hint=f"write {keyword} source destination",
        )
    destination = node.arguments[-1]
    if node.form == "shell" and node.heredocs and HEREDOC_MARKER.fullmatch(destination):
        raise DockerfileError(f"{keyword} cannot accept a heredoc as a destination: {destination}")
    origin = written.flags.text("from")
    if origin is not None:
        _check_origin(origin, written.escape)


def _check_origin(origin: str, escape: str) -> None:
    """Refuse a --from that would expand: which stages are needed must not depend on a stage's variables."""
    if expand(origin, {}, escape) != origin:
        raise DockerfileError(
            f"variable expansion is not supported for --from: {origin}",
            hint="define a new stage with FROM using ARG from global scope, and name that stage",
        )


def _check_run(written: Written) -> None:
    node = written.node
    if node.form == "exec" and not node.arguments:
        raise DockerfileError("RUN requires at least one argument: []", hint='write RUN ["program", "argument"]')
    for mount in written.flags.texts("mount"):
        mount_source(mount)
    for device in written.flags.texts("device"):
        read_device(device)
    network = written.flags.text("network")
    if network is not None and network not in get_args(NetworkMode):
        raise DockerfileError(f'invalid network mode "{network}"', hint=f"modes are {', '.join(get_args(NetworkMode))}")
    security = written.flags.text("security")
    if security is not None and security not in get_args(SecurityMode):
        raise DockerfileError(
            f'security "{security}" is not valid', hint=f"it may be {' or '.join(get_args(SecurityMode))}"
        )


def _check_shell(written: Written) -> None:
    node = written.node
    if not node.arguments:
        raise DockerfileError("SHELL requires at least one argument", hint='write SHELL ["/bin/sh", "-c"]')
    if node.form != "exec":
        raise DockerfileError(
            f"SHELL requires the arguments to be in JSON form: {' '.join(node.arguments)}",
            hint='write SHELL ["/bin/sh", "-c"], with double quotes',
        )


def _check_volume(written: Written) -> None:
    node = written.node
    if not node.arguments:
        raise DockerfileError("VOLUME requires at least one argument")
    if not all(word.strip() for word in node.arguments):
        raise DockerfileError("VOLUME specified can not be an empty string")


def _check_healthcheck(written: Written) -> None:
    node = written.node
    if not node.arguments:
        raise DockerfileError(
            "HEALTHCHECK requires at least one argument", hint="write HEALTHCHECK NONE or HEALTHCHECK CMD command"
        )
    kind, *words = node.arguments
    if kind.upper() == "NONE":
        if any(words):
            raise DockerfileError(f"HEALTHCHECK NONE takes no arguments: {' '.join(words)}")
    elif kind.upper() != "CMD":
        raise DockerfileError(
            f'Unknown type "{kind}" in HEALTHCHECK (try CMD)', hint="write HEALTHCHECK NONE or HEALTHCHECK CMD command"
        )
    elif not words:
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    for name in ("interval", "timeout", "start-period", "start-interval"):
        interval(name, written.flags.text(name))
    retries(written.flags.text("retries"))


def _check_onbuild(written: Written) -> None:
    node = written.node
    trigger = node.trigger
    if trigger is None:
        raise DockerfileError("ONBUILD requires at least one argument", hint="write ONBUILD RUN command")
    if trigger.keyword == "onbuild":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger.keyword in ("from", "maintainer"):
        raise DockerfileError(f"{trigger.keyword.upper()} isn't allowed as an ONBUILD trigger")


_CHECKS: Mapping[str, Callable[[Written], None]] = {
    "add": _check_copy,
    "arg": _check_arg,
    "copy": _check_copy,
    "env": _check_pairs,
    "expose": _check_some,
    "from": _check_from,
    "healthcheck": _check_healthcheck,
    "label": _check_pairs,
    "maintainer": _check_one,
    "onbuild": _check_onbuild,
    "run": _check_run,
    "shell": _check_shell,
    "stopsignal": _check_one,
    "user": _check_one,
    "volume": _check_volume,
    "workdir": _check_one,
}
