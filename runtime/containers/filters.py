"""Choose containers by the values of `--filter`, as Docker does: values of one name are alternatives, names add up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from runtime.containers.condition import read_condition
from runtime.containers.records import network_names
from runtime.errors import UsageError

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers
    from runtime.oci.documents import ImageConfig

Test = Callable[["Container", str], bool]
"""Tells of a container in a state whether it fits."""

_STATES = ("created", "dead", "exited", "paused", "removing", "restarting", "running")
_HEALTH = ("healthy", "none", "starting", "unhealthy")
_NAMES = (
    "ancestor before exited health id is-task isolation label label! name network publish expose since status volume"
).split()


def split_filters(texts: Iterable[str], known: Iterable[str]) -> dict[str, list[str]]:
    """Group `NAME=VALUE` words by name. Raises UsageError for a name that is not known, and for what has no value."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().lower()
        if not equals:
            raise UsageError(f'invalid argument "{text}" for "-f, --filter" flag: invalid filter \'{text}\'')
        if name not in known:
            raise UsageError(f"invalid filter '{name}'", hint=f"there are: {', '.join(sorted(known))}")
        found.setdefault(name, []).append(value.strip())
    return found


def container_filter(containers: Containers, texts: Iterable[str]) -> Test:
    """Return the test that all filters together make. Raises UsageError, NotFound for `before` and `since`."""
    given = split_filters(texts, _NAMES)
    tests = [_one(containers, name, values) for name, values in given.items()]
    return lambda container, state: all(test(container, state) for test in tests)


def _one(containers: Containers, name: str, values: list[str]) -> Test:
    match name:
        case "id":
            return lambda container, _state: any(container.id.startswith(value) for value in values)
        case "name":
            patterns = [pattern(value) for value in values]
            return lambda container, _state: any(
                pattern.search(container.name) or pattern.search(f"/{container.name}") for pattern in patterns
            )
        case "status":
            _check(name, values, _STATES)
            return lambda _container, state: state in values
        case "exited":
            codes = {_integer("exited", value) for value in values}
            return lambda container, state: state == "exited" and container.exit_code in codes
        case "label" | "label!":
            wanted = name == "label"
            return lambda container, _state: all(
                label_fits(container.config.get("Labels") or {}, value) == wanted for value in values
            )
        case "ancestor":
            return _ancestor(containers, values)
        case "before" | "since":
            moment = containers.find(values[-1]).created
            sign = 1 if name == "since" else -1
            return lambda container, _state: (container.created - moment) * sign > 0
        case "health":
            _check(name, values, _HEALTH)
            return lambda container, state: (
                (read_condition(containers.directory(container.id)).health_in(state) or "none") in values
            )
        case "network":
            wanted_networks = {*values, *_networks(containers, values)}
            return lambda container, _state: not wanted_networks.isdisjoint(network_names(container))
        case "volume":
            return lambda container, _state: any(
                value in (mount.get("Name"), mount.get("Destination"), mount.get("Source"))
                for mount in container.mounts
                for value in values
            )
        case "expose" | "publish":
            ports = {port for value in values for port in _ports(name, value)}
            offered = _exposed if name == "expose" else _published
            return lambda container, state: state in ("running", "paused") and not ports.isdisjoint(offered(container))
        case "isolation":  # of Windows alone
            return lambda _container, _state: "default" in values
    _check(name, values, ("0", "1", "false", "true"))
    return lambda _container, _state: values[-1] in ("false", "0")


def label_fits(labels: dict[str, str], text: str) -> bool:
    """Tell whether there is a label `NAME`, or one with `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _check(name: str, values: list[str], known: Iterable[str]) -> None:
    """Raise UsageError for a value that is none of the `known` ones."""
    for value in values:
        if value not in known:
            raise UsageError(f"invalid filter '{name}={value}'", hint=f"there are: {', '.join(known)}")


def _ancestor(containers: Containers, values: list[str]) -> Test:
    images = {image.id for value in values if (image := containers.store.images.resolve(value)) is not None}
    bases = [containers.store.images.get(identity).config for identity in images]
    above = {
        image.id for image in containers.store.images.list() if any(_stands_on(image.config, base) for base in bases)
    }
    return lambda container, _state: container.image in images | above


def _stands_on(image: ImageConfig, base: ImageConfig) -> bool:
    """Tell whether an image has the layers of another and more, or the same ones and at least its history."""
    layers = len(base.diff_ids)
    if not layers or image.diff_ids[:layers] != base.diff_ids:
        return False
    return len(image.diff_ids) > layers or image.history[: len(base.history)] == base.history


def _networks(containers: Containers, values: list[str]) -> Iterable[str]:
    """Give the names of the networks whose ids begin as one of the values does."""
    beginnings = tuple(value for value in values if re.fullmatch("[0-9a-f]+", value))
    if not beginnings:
        return ()
    from runtime.containers.membership import predefined_id  # lazy: only where an id was given
    from runtime.network.networks import PREDEFINED, Networks

    store = containers.store
    ids = {name: predefined_id(store, name) for name in PREDEFINED}
    ids |= {network.name: network.id for network in Networks(store).all()}
    return (name for name, number in ids.items() if number.startswith(beginnings))


def _exposed(container: Container) -> Iterable[str]:
    """Give the container's own ports, of one that has a network: `80/tcp`."""
    if container.host_config.get("NetworkMode") in ("none", "host"):
        return ()
    return (*(container.config.get("ExposedPorts") or ()), *(container.host_config.get("PortBindings") or ()))


def _published(container: Container) -> Iterable[str]:
    """Give the ports of the machine that lead to a container: `8080/tcp`."""
    from runtime.containers.inspection import bindings  # lazy: only where asked for

    for port, places in bindings(container).items():
        for place in places:
            yield f"{place['HostPort']}/{port.partition('/')[2]}"


def _ports(name: str, value: str) -> Iterable[str]:
    """Give the ports of `80`, `80/udp` or `80-90/tcp`."""
    numbers, _, protocol = value.partition("/")
    first, _, last = numbers.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
        raise UsageError(f"invalid filter '{name}={value}'", hint="write a port as 80, 80/udp or 80-90/tcp")
    return (f"{port}/{protocol or 'tcp'}" for port in range(int(first), min(int(last or first), 65535) + 1))


def pattern(value: str) -> re.Pattern[str]:
    """Read a value as a regular expression, or as what it says where it is none."""
    try:
        return re.compile(value)
    except re.error:
        return re.compile(re.escape(value))


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"invalid filter '{name}={value}'", hint="the value is a number") from None
