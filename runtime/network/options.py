"""Read the driver options of a network: Docker's names, and the short ones that others have for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.errors import UsageError

_BRIDGE = "com.docker.network.bridge."
_BRIDGE_NAME, _ICC, _MASQUERADE = f"{_BRIDGE}name", f"{_BRIDGE}enable_icc", f"{_BRIDGE}enable_ip_masquerade"
_HOST_BINDING, _MTU = f"{_BRIDGE}host_binding_ipv4", "com.docker.network.driver.mtu"
_LINK_PREFIX = "com.docker.network.container_iface_prefix"
_GATEWAY_MODES = (f"{_BRIDGE}gateway_mode_ipv4", f"{_BRIDGE}gateway_mode_ipv6")
_SHORT = {"bridge": _BRIDGE_NAME, "name": _BRIDGE_NAME, "icc": _ICC, "mtu": _MTU}
_KNOWN = (_BRIDGE_NAME, _ICC, _MASQUERADE, _HOST_BINDING, _MTU, _LINK_PREFIX, *_GATEWAY_MODES)
_LINK_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def check(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options as they were given. Raises UsageError for one that is not known, or its value."""
    for short, value in options.items():
        name = _SHORT.get(short, short)
        if name not in _KNOWN:
            raise UsageError(f"--opt {short} is not known", hint=f"there are: {', '.join(_KNOWN)}")
        if name == _MTU and not (value.isascii() and value.isdecimal() and 68 <= int(value) <= 65535):
            raise UsageError(
                f"failed to parse {short} value: {value}: invalid MTU", hint="a number of bytes from 68 to 65535"
            )
        if name == _BRIDGE_NAME and not _LINK_NAME.fullmatch(value):
            raise UsageError(f"invalid bridge name: {value}", hint="at most 15 letters, digits, `_`, `.` and `-`")
        if name == _LINK_PREFIX and not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]{0,11}", value):
            raise UsageError(f"invalid interface prefix: {value}", hint="a letter, at most 12 characters")
        if name in (_ICC, _MASQUERADE) and value not in (*_TRUE, *_FALSE):
            raise UsageError(f"failed to parse {short} value: {value}: invalid syntax", hint="true or false")
        if name == _HOST_BINDING:
            _check_address(short, value)
        if name in _GATEWAY_MODES and value != "nat":
            raise UsageError(f"--opt {short}={value} cannot be had", hint="there is `nat` alone")
    return dict(options)


def mtu(options: Mapping[str, str]) -> int:
    """Return the MTU in bytes, 0 where it is that of the way out."""
    return int(_value(options, _MTU) or 0)


def bridge_name(options: Mapping[str, str]) -> str:
    """Return the name that the user gave to the bridge, "" where there is none."""
    return _value(options, _BRIDGE_NAME)


def icc(options: Mapping[str, str]) -> bool:
    """Tell whether the containers of the network reach each other."""
    return _value(options, _ICC) not in _FALSE


def masquerade(options: Mapping[str, str]) -> bool:
    """Tell whether containers go out under the host's address."""
    return _value(options, _MASQUERADE) not in _FALSE


def host_binding(options: Mapping[str, str]) -> str:
    """Return the host's address at which ports are published that name none, "" for all."""
    return _value(options, _HOST_BINDING)


def link_prefix(options: Mapping[str, str]) -> str:
    """Return what the names of the links in containers begin with."""
    return _value(options, _LINK_PREFIX) or "eth"


def _value(options: Mapping[str, str], name: str) -> str:
    return next((value for key, value in options.items() if _SHORT.get(key, key) == name), "")


def _check_address(name: str, value: str) -> None:
    import ipaddress  # lazy: 9 ms

    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        raise UsageError(f"failed to parse {name} value: {value}: invalid IPv4 address") from None
