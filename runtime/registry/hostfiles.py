"""Read what configuration files say of registries: pybuild's, Docker's daemon.json, containers' registries.conf.

Each file becomes a few `Rule`s, one a prefix of image names. What a file of another program says and we have no use
for is left out; a file that cannot be understood is an error, for it may have forbidden something.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from frozen import Frozen
from runtime.errors import DocumentError
from runtime.oci.fields import Reader, decode_object
from runtime.oci.references import DEFAULT_DOMAIN

if TYPE_CHECKING:
    from runtime.context import Context

_SYSTEM = Path("/etc/pybuild/config.toml")
_DOCKER = Path("/etc/docker/daemon.json")
_CONTAINERS = Path("/etc/containers/registries.conf")
_LIMIT = 4 << 20
_WHEN = ("all", "digest-only", "tag-only")
"""For which names a mirror of registries.conf is asked."""


class Place(Frozen):
    """A server and a path on it, `host[:port][/path]`; `scheme` is "" where it was not said."""

    host: str
    path: str = ""
    scheme: str = ""
    insecure: bool = False
    by_digest: bool = True
    by_tag: bool = True
    """Whether a mirror is asked for names with a digest, and for those with a tag."""


class Rule(Frozen):
    """What holds for image names below `prefix`; None is "not said here"."""

    prefix: str
    """`host[:port][/path]`, `*.example.com`, or a network (`10.0.0.0/8`) with `insecure` alone."""
    location: Place | None = None
    mirrors: tuple[Place, ...] | None = None
    blocked: bool | None = None
    insecure: bool | None = None
    plain_http: bool | None = None
    alone: bool = False
    """Whether no rule of the same program with another prefix is asked what this one does not say."""


def read_rules(context: Context) -> tuple[tuple[Rule, ...], ...]:
    """Read all files there are: pybuild's rules, those of containers, those of Docker; what was read last is first."""
    own = [rule for path in _own_files(context) for rule in _own_rules(path)]
    containers = [rule for path in _containers_files(context.environ) for rule in _containers_rules(path, context)]
    docker = [rule for path in _docker_files(context.environ) for rule in _docker_rules(path)]
    return tuple(own[::-1]), tuple(containers[::-1]), tuple(docker[::-1])


def config_home(environ: Mapping[str, str]) -> Path | None:
    """Give `$XDG_CONFIG_HOME`, else `~/.config`; None where neither is known."""
    if environ.get("XDG_CONFIG_HOME"):
        return Path(environ["XDG_CONFIG_HOME"])
    return Path(environ["HOME"]) / ".config" if environ.get("HOME") else None


def read_place(text: str, field: str) -> Place:
    """Read `[http[s]://]host[:port][/path]`; raises DocumentError at `field`."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    host, _, path = rest.partition("/")
    if scheme not in ("", "http", "https") or not host or "@" in host or any(c.isspace() or c in "?#" for c in rest):
        raise DocumentError(f"{text!a} is no registry", field=field, hint="write host[:port], or a URL of it")
    return Place(host=host, path=path.strip("/"), scheme=scheme)


def _own_files(context: Context) -> Iterator[Path]:
    yield _SYSTEM
    home = config_home(context.environ)
    if home is not None:
        yield home / "pybuild" / "config.toml"
    if context.config_file is not None:
        if not context.config_file.exists():
            raise DocumentError(f"{context.config_file}: there is no such configuration file")
        yield context.config_file


def _containers_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The user's file is read in place of the system's, as containers' tools do; drop-ins are read after it."""
    named = environ.get("CONTAINERS_REGISTRIES_CONF")
    home = config_home(environ)
    users = home / "containers" / "registries.conf" if home else None
    if named:
        yield Path(named)
        return
    yield users if users is not None and users.is_file() else _CONTAINERS
    for main in (_CONTAINERS, users):
        if main is not None:
            yield from sorted(Path(f"{main}.d").glob("*.conf"))


def _docker_files(environ: Mapping[str, str]) -> Iterator[Path]:
    yield _DOCKER
    home = config_home(environ)
    if home is not None:
        yield home / "docker" / "daemon.json"


def _read(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error


def _toml(path: Path) -> Reader | None:
    data = _read(path)
    if data is None:
        return None
    import tomllib  # lazy: 10 ms, and most have no such file

    try:
        return Reader(tomllib.loads(data.decode()), "")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DocumentError(f"{path} is not TOML: {error}") from error


def _own_rules(path: Path) -> list[Rule]:
    reader = _toml(path)
    if reader is None:
        return []
    try:
        tables = reader.mapping("registry")
        return [_own_rule(host, Reader(table, f'registry."{host}"')) for host, table in tables.items()]
    except DocumentError as error:
        raise DocumentError(f"{path}: {error.message}", hint=error.hint) from error


_OWN_KEYS = frozenset(("mirrors", "blocked", "insecure", "plain_http", "location"))


def _own_rule(host: str, table: Reader) -> Rule:
    for key in table.value:
        if key not in _OWN_KEYS:
            raise DocumentError(
                "is no setting", field=table.field(key), hint="known are " + ", ".join(sorted(_OWN_KEYS))
            )
    mirrors = table.optional_texts("mirrors")
    location = table.optional_text("location")
    return Rule(
        prefix=host,
        location=read_place(location, table.field("location")) if location else None,
        mirrors=None if mirrors is None else tuple(read_place(text, table.field("mirrors")) for text in mirrors),
        blocked=_switch(table, "blocked"),
        insecure=_switch(table, "insecure"),
        plain_http=_switch(table, "plain_http"),
    )


def _switch(table: Reader, name: str) -> bool | None:
    return table.boolean(name) if table.has(name) else None


def _docker_rules(path: Path) -> list[Rule]:
    if not os.access(path, os.R_OK):  # a daemon's own file may be closed to its users, and forbids nothing
        return []
    data = _read(path)
    if not data or not data.strip():
        return []
    try:
        reader = Reader(decode_object(data, "the file"), "")
        mirrors = tuple(read_place(text, "registry-mirrors") for text in reader.texts("registry-mirrors"))
        insecure = reader.texts("insecure-registries")
    except DocumentError as error:
        raise DocumentError(f"{path}: {error.message}", hint=error.hint) from error
    rules = [Rule(prefix=host.partition("://")[2] or host, insecure=True) for host in insecure]
    return [*rules, Rule(prefix=DEFAULT_DOMAIN, mirrors=mirrors)] if mirrors else rules


def _containers_rules(path: Path, context: Context) -> list[Rule]:
    reader = _toml(path)
    if reader is None:
        return []
    try:
        old = reader.mapping("registries")
        if old:
            _warn_of_old_form(path, context.stderr)
        return [
            *_old_rules(Reader(old, "registries")),
            *(_containers_rule(table) for table in reader.items("registry")),
        ]
    except DocumentError as error:
        raise DocumentError(f"{path}: {error.message}", hint=error.hint) from error


@lru_cache(maxsize=8)
def _warn_of_old_form(path: Path, stderr: TextIO) -> None:
    """Tell of a file in the form of before 2020; once, however often one command reads it."""
    stderr.write(
        f"warning: {path} has [registries.search], [registries.insecure] or [registries.block], the old form: what is "
        "insecure or blocked is so here, the search list is not used; write [[registry]] tables with location, "
        "insecure, blocked\n"
    )


def _old_rules(tables: Reader) -> Iterator[Rule]:
    """Read version 1: lists of hosts (containers-registries.conf(5) § VERSION 1)."""
    for name in ("insecure", "block"):
        table = Reader(tables.mapping(name), tables.field(name))
        for text in table.texts("registries"):
            host = read_place(text, table.field("registries")).host
            yield Rule(prefix=host, insecure=True) if name == "insecure" else Rule(prefix=host, blocked=True)


def _containers_rule(table: Reader) -> Rule:
    """Read one `[[registry]]` (containers-registries.conf(5)): only the longest that matches is used there."""
    location = table.optional_text("location")
    prefix = table.optional_text("prefix") or location
    if not prefix:
        raise DocumentError("needs a prefix or a location", field=table.path)
    insecure = _switch(table, "insecure")
    digests_only = table.boolean("mirror-by-digest-only")
    mirrors = tuple(_containers_mirror(mirror, digests_only) for mirror in table.items("mirror"))
    moved = location is not None and location != prefix
    return Rule(
        prefix=prefix,
        location=read_place(location, table.field("location")) if moved and location else None,
        mirrors=mirrors or None,
        blocked=_switch(table, "blocked"),
        insecure=insecure,
        alone=True,
    )


def _containers_mirror(table: Reader, digests_only: bool) -> Place:
    place = read_place(table.text("location"), table.field("location"))
    when = table.optional_text("pull-from-mirror") or ("digest-only" if digests_only else "all")
    if when not in _WHEN:
        raise DocumentError(
            f"{when!a} is none of " + ", ".join(_WHEN), field=table.field("pull-from-mirror"), hint="all is the default"
        )
    return Place(
        host=place.host,
        path=place.path,
        scheme=place.scheme,
        insecure=table.boolean("insecure"),
        by_digest=when != "tag-only",
        by_tag=when != "digest-only",
    )
