"""Read the options of a container's link, as Docker names them: what it is called, and the kernel's settings for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from runtime.errors import UsageError

_PREFIX = "com.docker.network.endpoint."
_NAME, _SYSCTLS = f"{_PREFIX}ifname", f"{_PREFIX}sysctls"
_LINK = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_SYSCTL = re.compile(r"net\.(ipv4|ipv6|mpls)\.([a-z_]+)\.IFNAME\.([a-z0-9_]+)=(.*)")


def read(texts: Iterable[str]) -> dict[str, str]:
    """Return `NAME=VALUE` texts as Docker's DriverOpts. Raises UsageError for what could not be in force."""
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"invalid key/value pair format in driver options: {text}", hint="write NAME=VALUE")
        if name not in (_NAME, _SYSCTLS):
            raise UsageError(f"--driver-opt {name} is not known", hint=f"there are: {_NAME}, {_SYSCTLS}")
        options[name] = value
    link_name(options), sysctls(options)
    return options


def link_name(options: Mapping[str, str]) -> str:
    """Return what the link is called in the container, "" for the next free name."""
    name = options.get(_NAME, "")
    if name and (not _LINK.fullmatch(name) or name in ("lo", ".", "..", "all", "default")):
        raise UsageError(f"invalid interface name: {name}", hint="at most 15 letters, digits, `_`, `.` and `-`; not lo")
    return name


def sysctls(options: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the settings as (path below /proc/sys with IFNAME for the link's name, value)."""
    found = []
    for text in filter(None, options.get(_SYSCTLS, "").split(",")):
        match = _SYSCTL.fullmatch(text)
        if match is None:
            raise UsageError(
                f"unrecognised network interface sysctl '{text}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V',"
                " 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            )
        family, table, name, value = match.groups()
        found.append((f"net/{family}/{table}/IFNAME/{name}", value))
    return found
