"""Read the flags of `run` and `create` that are about networks and ports."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.cli.arguments import Arguments
from runtime.containers.documents import HostConfig
from runtime.errors import Conflict, UsageError
from runtime.network.settings import EndpointSettings

_ALONE = ("host", "none", "pasta", "slirp4netns")
_MACS = tuple(
    re.compile(form)
    for form in (
        r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}",
        r"[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){5}",
        r"[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2}",
    )
)
"""How a link-layer address may be written."""


def read_networks(args: Arguments, host: HostConfig) -> None:
    """Set NetworkMode, Networks (where there is more to say than the mode), PortBindings and PublishAllPorts."""
    joined: dict[str, EndpointSettings] = {}
    for text in args.texts("network"):
        name, settings = _network(text)
        if name in joined:
            raise UsageError(f'network "{name}" is specified multiple times')
        joined[name] = settings
    mode = next(iter(joined), "bridge")
    for name in joined:
        if len(joined) > 1 and (name in _ALONE or name.startswith("container:")):
            raise UsageError("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    settings = joined.setdefault(mode, {})
    _fill(args, settings)
    if args.texts("link"):
        _link(args.texts("link"), mode, settings, host)
    if mode in (*_ALONE, "bridge"):
        _refuse_wishes(mode, settings)
    for name, wishes in joined.items():
        if name == "bridge" and wishes:
            _refuse_wishes(name, wishes)
    host["NetworkMode"] = mode
    if len(joined) > 1 or settings:
        host["Networks"] = joined
    _read_ports(args, host)


def _read_ports(args: Arguments, host: HostConfig) -> None:
    if args.texts("publish"):
        from runtime.network.publish import merge, parse_publish  # lazy: 8 ms

        host["PortBindings"] = merge(parse_publish(text) for text in args.texts("publish"))
    if args.switch("publish-all"):
        host["PublishAllPorts"] = True
    if host.get("NetworkMode", "").startswith("container:"):
        if args.texts("publish") or args.switch("publish-all"):
            raise UsageError("conflicting options: port publishing and the container type network mode")
        if args.texts("expose"):
            raise UsageError("conflicting options: port exposing and the container type network mode")
        if args.text("hostname"):
            raise UsageError("conflicting options: hostname and the network mode")
        for flag, word in (
            ("dns", "dns and the network mode"),
            ("add-host", "custom host-to-IP mapping and the network mode"),
        ):
            if args.texts(flag):
                raise UsageError(f"conflicting options: {word}")


def _network(text: str) -> tuple[str, EndpointSettings]:
    """Read one `--network`: a name, or `name=NAME,alias=A,ip=IP,mac-address=MAC`."""
    settings: EndpointSettings = {}
    if "=" not in text:
        if text in ("", "container:"):
            wrong = "no name set for network" if not text else "invalid container format container:<name|id>"
            raise UsageError(wrong, hint="`pybuild network ls` lists networks, `pybuild ps` containers")
        return ("bridge" if text == "default" else text), settings
    name = ""
    options: list[str] = []
    for field in _fields(text):
        key, _, value = field.partition("=")
        match key.strip().lower():
            case "name":
                name = value
            case "alias":
                settings.setdefault("Aliases", []).append(value)
            case "ip":
                settings["IPAddress"] = value
            case "ip6":
                settings["IPv6Address"] = value
            case "driver-opt":
                options.append(value)
            case "link-local-ip":
                settings.setdefault("LinkLocalIPs", []).append(value)
            case "gw-priority":
                settings["GwPriority"] = _priority(text, value)
            case "mac-address":
                settings["MacAddress"] = check_mac(value)
            case _:
                raise UsageError(f'invalid argument "{text}" for "--network" flag: invalid field key {key}')
    if not name:
        raise UsageError(f'invalid argument "{text}" for "--network" flag: network name/id is not specified')
    if options:
        from runtime.network import endpointoptions  # lazy: hardly any link has options

        settings["DriverOpts"] = endpointoptions.read(options)
    return name, settings


def _fields(text: str) -> list[str]:
    """Split at commas that stand in no double quotes."""
    if '"' not in text:
        return text.split(",")
    import csv  # lazy: 4 ms, only where something is quoted

    return next(csv.reader([text], strict=False))


def _link(texts: Sequence[str], mode: str, settings: EndpointSettings, host: HostConfig) -> None:
    """Set the links: of a network of the user's they are names that it knows, of the default one more than that."""
    for text in texts:
        if text.count(":") > 1 or not text:
            reason = f"bad format for links: {text}" if text else "empty string specified for links"
            raise UsageError(f'invalid argument "{text}" for "--link" flag: {reason}')
    kind = "host" if mode == "host" else "container" if mode.startswith("container:") else ""
    if kind:
        raise UsageError(
            f"conflicting options: {kind} type networking can't be used with links. This would result in undefined"
            " behavior"
        )
    if mode == "bridge":
        host["Links"] = list(texts)
    elif mode not in _ALONE:
        settings["Links"] = list(texts)


def _priority(text: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(
            f'invalid argument "{text}" for "--network" flag: invalid gw-priority ({value}): invalid syntax'
        ) from None


def _fill(args: Arguments, settings: EndpointSettings) -> None:
    """Add the flags that are about the first network."""
    aliases, mac = args.texts("network-alias"), args.text("mac-address")
    if aliases:
        if settings.get("Aliases"):
            raise Conflict("conflicting options: cannot specify both --network-alias and per-network alias")
        settings["Aliases"] = list(aliases)
    address, address6 = args.text("ip"), args.text("ip6")
    if address:
        if settings.get("IPAddress"):
            raise Conflict("conflicting options: cannot specify both --ip and per-network IPv4 address")
        settings["IPAddress"] = address
    if address6:
        if settings.get("IPv6Address"):
            raise Conflict("conflicting options: cannot specify both --ip6 and per-network IPv6 address")
        settings["IPv6Address"] = address6
    if mac:
        settings["MacAddress"] = check_mac(mac)
    if args.texts("link-local-ip"):
        if settings.get("LinkLocalIPs"):
            raise Conflict("conflicting options: cannot specify both --link-local-ip and per-network link-local IPs")
        settings["LinkLocalIPs"] = list(args.texts("link-local-ip"))


def _refuse_wishes(mode: str, settings: EndpointSettings) -> None:
    if settings.get("IPAddress") or settings.get("IPv6Address") or settings.get("LinkLocalIPs"):
        raise UsageError(
            f"invalid config for network {mode}: user specified IP address is supported on user defined networks only",
            hint="make one: pybuild network create --subnet 10.9.0.0/24 NAME",
        )
    if settings.get("Aliases"):
        raise UsageError(
            f"invalid config for network {mode}: network-scoped alias is supported only for containers in user defined"
            " networks",
            hint="make one: pybuild network create NAME",
        )


def check_mac(text: str) -> str:
    """Return a link-layer address as 02:42:0a:09:00:02. Raises UsageError."""
    if not any(form.fullmatch(text) for form in _MACS):
        raise UsageError(f"{text} is not a valid mac address", hint="write it as 02:42:0a:09:00:02")
    digits = re.sub("[^0-9a-f]", "", text.lower())
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
