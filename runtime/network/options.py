"""Read the driver options of a network: Docker's names, and the short ones that others have for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.errors import NetworkError
from runtime.network.subnets import number, number6

_BRIDGE, _DRIVER = "com.docker.network.bridge.", "com.docker.network."
_BRIDGE_NAME, _ICC, _MASQUERADE = f"{_BRIDGE}name", f"{_BRIDGE}enable_icc", f"{_BRIDGE}enable_ip_masquerade"
_HOST_BINDING, _MTU = f"{_BRIDGE}host_binding_ipv4", f"{_DRIVER}driver.mtu"
_INHIBIT = f"{_BRIDGE}inhibit_ipv4"
_LINK_PREFIX = f"{_DRIVER}container_iface_prefix"
_MODE4, _MODE6 = f"{_BRIDGE}gateway_mode_ipv4", f"{_BRIDGE}gateway_mode_ipv6"
_SOURCE4, _SOURCE6 = f"{_DRIVER}host_ipv4", f"{_DRIVER}host_ipv6"
IPV4, IPV6 = f"{_DRIVER}enable_ipv4", f"{_DRIVER}enable_ipv6"
"""Other spellings of the flags of those names."""
_SHORT = {"bridge": _BRIDGE_NAME, "name": _BRIDGE_NAME, "icc": _ICC, "mtu": _MTU}
_SWITCHES = (_ICC, _MASQUERADE, _INHIBIT, IPV4, IPV6)
_KNOWN = (
    *(_BRIDGE_NAME, _ICC, _MASQUERADE, _INHIBIT, _HOST_BINDING, _MODE4, _MODE6),
    *(_MTU, _LINK_PREFIX, _SOURCE4, _SOURCE6, IPV4, IPV6),
)
_LINK_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")

NAT, UNPROTECTED, ROUTED, ISOLATED = "nat", "nat-unprotected", "routed", "isolated"
"""Gateway modes: under the host's address, with all ports open to others, without translation, without a gateway."""
_MODES = ("", NAT, UNPROTECTED, ROUTED, ISOLATED)


def check(options: Mapping[str, str], *, internal: bool = False) -> dict[str, str]:
    """Return the options as they were given. Raises NetworkError for one that is not known, or its value."""
    for short, value in options.items():
        name = _SHORT.get(short, short)
        if name not in _KNOWN:
            raise NetworkError(f"--opt {short} is not known", hint=f"there are: {', '.join(_KNOWN)}")
        if name in _SWITCHES and value not in (*_TRUE, *_FALSE):
            raise _unparsed(short, value, "invalid syntax", "true or false")
        if name == _MTU:
            _check_mtu(short, value)
        elif name == _BRIDGE_NAME and (not _LINK_NAME.fullmatch(value) or value in (".", "..")):
            raise NetworkError(f"invalid bridge name: {value}", hint="at most 15 letters, digits, `_`, `.` and `-`")
        elif name == _LINK_PREFIX and value and not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.-]{0,11}", value):
            raise NetworkError(f"invalid interface prefix: {value}", hint="a letter, at most 12 characters")
        elif name in (_HOST_BINDING, _SOURCE4) and number(value) is None:
            raise _unparsed(short, value, "no IPv4 address", "as 192.0.2.1")
        elif name == _SOURCE6 and number6(value) is None:
            raise _unparsed(short, value, "no IPv6 address", "as fd00::1")
        elif name in (_MODE4, _MODE6):
            _check_mode(short, value, internal)
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


def inhibit_ipv4(options: Mapping[str, str]) -> bool:
    """Tell whether the bridge is to have no IPv4 address: somebody else is the gateway."""
    return _value(options, _INHIBIT) in _TRUE


def host_binding(options: Mapping[str, str]) -> str:
    """Return the host's address at which ports are published that name none, "" for all."""
    return _value(options, _HOST_BINDING)


def link_prefix(options: Mapping[str, str]) -> str:
    """Return what the names of the links in containers begin with."""
    return _value(options, _LINK_PREFIX) or "eth"


def gateway_mode(options: Mapping[str, str], version: int) -> str:
    """Return the gateway mode of IPv4 (4) or IPv6 (6)."""
    return _value(options, _MODE4 if version == 4 else _MODE6) or NAT


def source(options: Mapping[str, str], version: int) -> int:
    """Return the address of the host under which containers go out, as a number; 0 for the one of the way."""
    text = _value(options, _SOURCE4 if version == 4 else _SOURCE6)
    return (number(text) if version == 4 else number6(text)) or 0


def enabled(options: Mapping[str, str], version: int) -> bool | None:
    """Tell whether a version of IP is wanted; None where the options do not say."""
    text = _value(options, IPV4 if version == 4 else IPV6)
    return text in _TRUE if text else None


def _value(options: Mapping[str, str], name: str) -> str:
    return next((value for key, value in options.items() if _SHORT.get(key, key) == name), "")


def _unparsed(name: str, value: str, reason: str, hint: str) -> NetworkError:
    return NetworkError(f"failed to parse {name} value: {value} ({reason})", hint=hint)


def _check_mtu(name: str, value: str) -> None:
    if not re.fullmatch("-?[0-9]{1,9}", value):
        raise _unparsed(name, value, "invalid syntax", "a number of bytes from 68 to 65535")
    if int(value) and not 68 <= int(value) <= 65535:
        raise NetworkError(f"invalid MTU number: {value}", hint="bytes from 68 to 65535; 0 for the one of the way out")


def _check_mode(name: str, value: str, internal: bool) -> None:
    if value not in _MODES:
        raise _unparsed(name, value, f"unknown gateway mode {value}", "nat, nat-unprotected, routed or isolated")
    if value == ISOLATED and not internal:
        raise NetworkError("gateway mode 'isolated' can only be used for an internal network", hint="--internal")
