"""Link containers of the default network, as Docker did before there were others: names in hosts, and variables.

A record keeps `ID:ALIAS`, so that a link follows the other container's name. On a user's network a link is a name that
its name service knows (runtime.network.dns), and nothing of this is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from runtime.containers.records import Container, Containers
from runtime.errors import Conflict, NotFound, PybuildError

if TYPE_CHECKING:
    from runtime.network.plan import Plan

_OWN = ("PATH", "HOME", "HOSTNAME", "TERM")
"""Variables of every container, which no link tells of."""


def recorded(containers: Containers, texts: Sequence[str]) -> list[str]:
    """Return `NAME[:ALIAS]` as a record keeps them, the first of each alias.

    Raises NotFound, Conflict for one on the host's network.
    """
    kept: dict[str, str] = {}
    for text in texts:
        name, _, alias = text.partition(":")
        try:
            other = containers.find(name)
        except PybuildError as error:
            raise NotFound(f"could not get container for {name}: {error.message}", hint=error.hint) from error
        if other.host_config.get("NetworkMode") == "host":
            raise Conflict(
                "conflicting options: host type networking can't be used with links. This would result in undefined"
                " behavior",
                hint=f"in --link {text}: {other.name} is on the host's network and has no address of its own",
            )
        kept.setdefault(alias or other.name, other.id)
    return [f"{number}:{alias}" for alias, number in kept.items()]


def shown(containers: Containers, container: Container) -> list[str] | None:
    """Return the links as `inspect` shows them: `/other:/container/alias`; None for none."""
    found = [f"/{other.name}:/{container.name}/{alias}" for other, alias in _links(containers, container)]
    return found or None


def names(containers: Containers) -> dict[str, list[str]]:
    """Return what containers are called by those that are linked to them, `container/alias`, for each id."""
    found: dict[str, list[str]] = {}
    for row in containers.database.read("SELECT id FROM containers WHERE instr(host_config, '\"Links\"') > 0"):
        container = containers.find(row["id"])
        for other, alias in _links(containers, container):
            found.setdefault(other.id, []).append(f"{container.name}/{alias}")
    return found


def dress(containers: Containers, container: Container, network: Plan) -> None:
    """Put the links into the plan of a container that is about to start.

    Raises Conflict for one that does not run, or is not on the default network.
    """
    lines = ""
    for other, alias in _links(containers, container):
        if not containers.is_running(other):
            raise Conflict(
                f"Cannot link to a non running container: /{other.name} AS /{container.name}/{alias}",
                hint=f"pybuild start {other.name}",
            )
        if not _address(other):
            raise Conflict(
                f"container {other.id} not attached to default bridge network",
                hint=f"pybuild network connect bridge {other.name}, or put both on a network of their own",
            )
        lines += f"{_address(other)}\t{_names(other, alias)}\n"
    own = f"\n{network.address}\t"
    before, found, after = network.hosts.partition(own)
    network.hosts = f"{before}\n{lines.rstrip()}{found}{after}" if lines and found else network.hosts + lines


def variables(containers: Containers, container: Container) -> list[str]:
    """Return the variables that tell a container of its links."""
    return [entry for other, alias in _links(containers, container) for entry in _told(container, other, alias)]


def remove(containers: Containers, word: str) -> None:
    """Take away a link, named `CONTAINER/ALIAS`; one that runs forgets the alias at once. Raises NotFound, Conflict."""
    name, slash, alias = word.lstrip("/").partition("/")
    if not slash:
        raise Conflict(
            f"cannot remove the default link name of the container {containers.find(name).name}",
            hint="CONTAINER/ALIAS names a link",
        )
    try:
        container = containers.find(name)
    except NotFound:
        raise NotFound(f"No such container: {word}") from None
    gone = [other for other, called in _links(containers, container) if called == alias]
    if not gone:
        raise NotFound(f"No such link: {word}", hint=f"`inspect -f '{{{{.HostConfig.Links}}}}' {name}` shows its links")
    host = container.host_config
    host["Links"] = [text for text in host["Links"] if text.partition(":")[2] != alias]
    containers.reconfigure(container, host)
    marks = {(alias, _host(other)) for other in gone}
    _rewrite(containers, container, lambda line: "" if tuple(line.split()[1:3]) in marks else f"{line}\n")


def refresh(containers: Containers, container: Container, address: str | None) -> None:
    """Write the address that a container has now into the hosts of those that are linked to it and run."""
    rows = containers.database.read(
        "SELECT id FROM containers WHERE state NOT IN ('created', 'exited', 'dead') AND instr(host_config, ?) > 0",
        f'"{container.id}:',
    )
    for row in rows:
        other = containers.find(row["id"])
        aliases = [alias for linked, alias in _links(containers, other) if linked.id == container.id]
        marks = {(alias, _host(container)) for alias in aliases}  # its name may have been another
        _rewrite(containers, other, partial(_readdressed, marks=marks, address=address))


def _rewrite(containers: Containers, container: Container, change: Callable[[str], str]) -> None:
    """Change the lines of a container's hosts in place, for the file is bound into it."""
    with (
        suppress(OSError),  # it has no such file, or has just ended
        open(containers.directory(container.id) / "files" / "hosts", "r+", encoding="utf-8") as file,
    ):
        lines = [change(line) for line in file.read().splitlines()]
        file.seek(0)
        file.write("".join(lines))
        file.truncate()


def _readdressed(line: str, marks: set[tuple[str, str]], address: str | None) -> str:
    words = line.split()
    found = address and tuple(words[1:3]) in marks
    return f"{address}\t{' '.join(words[1:])}\n" if found else f"{line}\n"


def _links(containers: Containers, container: Container) -> Iterator[tuple[Container, str]]:
    """Yield the containers that are linked and what they are called; one that was removed is a link no longer."""
    for text in container.host_config.get("Links") or ():
        number, _, alias = text.partition(":")
        other = containers.get(number)
        if other is not None:
            yield other, alias


def _address(other: Container) -> str:
    """Return the address on the default network of a container that runs; "" where it is not on it."""
    networks = other.network.get("networks")
    return str(networks.get("bridge", {}).get("address") or "") if isinstance(networks, dict) else ""


def _names(other: Container, alias: str) -> str:
    return " ".join(dict.fromkeys((alias, _host(other), other.name)))


def _host(other: Container) -> str:
    return other.config.get("Hostname") or other.short_id


def _told(container: Container, other: Container, alias: str) -> Iterator[str]:
    prefix = alias.replace("-", "_").upper()
    address = _address(other)
    ports = sorted(
        ((protocol != "tcp", int(number), protocol) for number, _, protocol in _exposed(other)),
    )
    yield f"{prefix}_NAME=/{container.name}/{alias}"
    for place, (_, number, protocol) in enumerate(ports):
        whole = f"{protocol}://{address}:{number}"
        own = f"{prefix}_PORT_{number}_{protocol.upper()}"
        if place == 0:
            yield f"{prefix}_PORT={whole}"
        yield from (f"{own}={whole}", f"{own}_ADDR={address}", f"{own}_PORT={number}", f"{own}_PROTO={protocol}")
    for entry in other.config.get("Env") or ():
        if "=" in entry and entry.partition("=")[0] not in _OWN:
            yield f"{prefix}_ENV_{entry}"


def _exposed(other: Container) -> Iterator[tuple[str, str, str]]:
    for key in {
        **dict.fromkeys(other.config.get("ExposedPorts") or ()),
        **(other.host_config.get("PortBindings") or {}),
    }:
        number, slash, protocol = key.partition("/")
        if number.isdecimal():
            yield number, slash, protocol or "tcp"
