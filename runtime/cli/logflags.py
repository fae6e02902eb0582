"""Read `--log-driver` and `--log-opt`, and show what the options have each line say (`logs --details`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runtime.cli.limitflags import flagged
from runtime.containers.documents import LogConfig
from runtime.containers.quantities import parse_size
from runtime.errors import UsageError

if TYPE_CHECKING:
    from runtime.containers.records import Container

_SHARED = ("max-size", "max-file", "compress", "mode", "max-buffer-size")
_TELLING = ("labels", "labels-regex", "env", "env-regex", "tag")
_DRIVERS = {"json-file": (*_SHARED, *_TELLING), "local": _SHARED, "none": ()}
_REFUSED = {
    ("mode", "non-blocking"): "output waits for the log here, so that none is lost",
    ("compress", "true"): "rotated files stay as they are here",
}


def read_log_config(driver: str, options: dict[str, str]) -> LogConfig:
    """Check a driver and its options. Raises UsageError for what is not written here, and says why."""
    driver = driver or "json-file"
    known: tuple[str, ...] | None = _DRIVERS.get(driver)
    if known is None:
        raise UsageError(f"--log-driver {driver} cannot be had", hint="there are json-file, local and none")
    for name, value in options.items():
        if not known:
            raise UsageError(f"invalid logging opts for driver {driver}", hint="it has none")
        if name not in known:
            raise UsageError(f"unknown log opt '{name}' for {driver} log driver", hint=", ".join(known))
        _check(name, value)
    return {"Type": driver, "Config": options}


def _check(name: str, value: str) -> None:
    if (name, value) in _REFUSED:
        raise UsageError(f"--log-opt {name}={value} cannot be had: {_REFUSED[name, value]}")
    if name == "max-size":
        if flagged("--log-opt", value, parse_size) == 0:
            raise UsageError("max-size must be a positive number", hint="without it a log grows as it likes")
    elif name == "max-file" and not (value.isdecimal() and int(value) > 0):
        raise UsageError(f"invalid value for max-file: {value}", hint="1 or more")
    elif name == "mode" and value != "blocking":
        raise UsageError(f"logging mode not supported: {value}", hint="there is blocking")
    elif name == "max-buffer-size":
        raise UsageError("--log-opt max-buffer-size is for mode=non-blocking, which cannot be had")
    elif name == "compress" and value != "false":
        raise UsageError(f"invalid value for compress: {value}", hint="false")
    elif name.endswith("-regex"):
        try:
            re.compile(value)
        except re.error as error:
            raise UsageError(f"invalid regular expression for {name}: {error}") from None


def details(container: Container) -> bytes:
    """Return what the log options of a container have said before each line: `NAME=VALUE,…`, sorted, and a blank."""
    from urllib.parse import quote_plus  # lazy: only where it is asked for

    options = (container.host_config.get("LogConfig") or {}).get("Config") or {}
    variables = dict(entry.partition("=")[::2] for entry in container.config.get("Env") or ())
    found: dict[str, str] = {}
    for kind, values in (("labels", container.config.get("Labels") or {}), ("env", variables)):
        named = options.get(kind, "").split(",")
        pattern = options.get(f"{kind}-regex")
        for name, value in values.items():
            if name in named or (pattern and re.search(pattern, name)):
                found[name] = value
    if "tag" in options:
        found["tag"] = _tag(container, options["tag"])
    pairs = [f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(found.items())]
    return ",".join(pairs).encode("ascii") + b" "


def _tag(container: Container, template: str) -> str:
    from runtime.cli.templates import render  # lazy: as above

    names = {
        "ID": container.short_id,
        "FullID": container.id,
        "Name": container.name,
        "ImageID": container.image.removeprefix("sha256:")[:12],
        "ImageFullID": container.image,
        "ImageName": container.config.get("Image", ""),
        "DaemonName": "docker",
    }
    return render(template, names)
