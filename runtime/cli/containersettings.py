"""Turn the flags of `run` and `create` into the Engine API's documents, with the offending word in every error."""

from __future__ import annotations

import _socket
import os
import re
from collections.abc import Callable, Iterable, Mapping

from runtime.cli.arguments import Arguments
from runtime.cli.limitflags import flagged, read_further_limits, read_limits
from runtime.cli.machineflags import read_choices, read_devices, read_modes, read_security_options
from runtime.cli.networkflags import read_networks
from runtime.containers.checks import check_sysctl
from runtime.containers.documents import Config, Healthcheck, HostConfig, LogConfig, RestartPolicy
from runtime.containers.mountfields import parse_mount, split_fields
from runtime.containers.mounts import parse_tmpfs, parse_volume
from runtime.containers.quantities import Ulimit, parse_signal, parse_size, parse_ulimit
from runtime.context import Context
from runtime.errors import UsageError

_STREAMS = ("stdin", "stdout", "stderr")


def read_config(args: Arguments, context: Context, image: str, command: tuple[str, ...]) -> Config:
    """Return what the container is asked to be. Raises UsageError with the flag and the word."""
    from runtime.registry.clientconfig import proxy_variables

    variables = read_variables(args, context)
    variables |= proxy_variables(context, variables)
    labels: dict[str, str] = {}
    for path in args.texts("label-file"):
        labels |= dict(_pair(line) for line in _lines(path, "label"))
    for text in args.texts("label"):
        name, value = _pair(text)
        if not name:
            raise UsageError(f'invalid argument "{text}" for "-l, --label" flag: invalid label \'{text}\': empty name')
        labels[name] = value
    streams = _attached(args)
    config: Config = {
        "Hostname": _host_name(args.text("hostname") or ""),
        "Domainname": args.text("domainname") or "",
        "User": args.text("user") or "",
        "AttachStdin": "stdin" in streams,
        "AttachStdout": "stdout" in streams,
        "AttachStderr": "stderr" in streams,
        "ExposedPorts": _exposed(args),
        "Tty": args.switch("tty"),
        "OpenStdin": args.switch("interactive"),
        "StdinOnce": args.switch("interactive") and "stdin" in streams,
        "Env": [name if value is None else f"{name}={value}" for name, value in variables.items()],
        "Cmd": list(command) or None,
        "Image": image,
        "Volumes": {},
        "WorkingDir": args.text("workdir") or "",
        "Entrypoint": None if args.text("entrypoint") is None else [args.text("entrypoint") or ""],
        "Labels": labels,
        "StopSignal": args.text("stop-signal") or "",
    }
    if config["StopSignal"]:
        parse_signal(config["StopSignal"])
    timeout = args.integer("stop-timeout")
    if timeout is not None:
        config["StopTimeout"] = timeout
    check = read_healthcheck(args)
    if check is not None:
        config["Healthcheck"] = check
    for text in args.texts("volume"):
        mount = parse_volume(_absolute(text))
        if mount.kind == "volume" and not mount.source and not mount.mode:
            config["Volumes"][mount.target] = {}
    return config


def _exposed(args: Arguments) -> dict[str, dict[str, object]]:
    """Return the ports of `--expose` and those that are published, which are exposed with that, as Docker has it."""
    ports: dict[str, dict[str, object]] = {port: {} for text in args.texts("expose") for port in _ports(text)}
    if args.texts("publish"):
        from runtime.network.publish import merge, parse_publish  # lazy: most containers publish nothing

        ports |= {port: {} for port in merge(parse_publish(text) for text in args.texts("publish"))}
    return ports


def read_variables(args: Arguments, context: Context) -> dict[str, str | None]:
    """Return the variables of `--env-file` and `--env`; None where the caller has none of that name."""
    variables: dict[str, str | None] = {}
    for path in args.texts("env-file"):
        variables |= _assignments(_lines(path, "env"), context.environ)
    for text in args.texts("env"):
        if text.startswith("=") or not text:
            raise UsageError(f'invalid argument "{text}" for "-e, --env" flag: invalid environment variable: {text}')
        variables |= _assignments((text,), context.environ)
    return variables


def read_host_config(args: Arguments) -> HostConfig:
    """Return what this machine is asked to do for the container. Raises UsageError with the flag and the word."""
    host: HostConfig = {
        "Binds": [],
        "AutoRemove": args.switch("rm"),
        "CapAdd": list(args.texts("cap-add")),
        "CapDrop": list(args.texts("cap-drop")),
        "ContainerIDFile": args.text("cidfile") or "",
        "RestartPolicy": read_restart(args.text("restart") or "no"),
        "LogConfig": _log_config(args),
        "Dns": [_dns(text) for text in args.texts("dns")],
        "DnsOptions": list(args.texts("dns-option")),
        "DnsSearch": [_domain(text) for text in args.texts("dns-search")],
        "ExtraHosts": [_extra_host(text) for text in args.texts("add-host")],
        "GroupAdd": list(args.texts("group-add")),
        "Privileged": args.switch("privileged"),
        "ReadonlyRootfs": args.switch("read-only"),
        "Tmpfs": dict(parse_tmpfs(text) for text in args.texts("tmpfs")),
        "Sysctls": dict(flagged("--sysctl", text, _sysctl) for text in args.texts("sysctl")),
        "Ulimits": _ulimits(args),
        "Mounts": [flagged("--mount", _absolute_mount(text), parse_mount) for text in args.texts("mount")],
        "Annotations": dict(map(_annotation, args.texts("annotation"))),
    }
    for text in args.texts("volume"):
        mount = parse_volume(_absolute(text))
        if mount.kind == "bind" or mount.source or mount.mode:
            host["Binds"].append(_absolute(text))
    for read in (read_modes, read_security_options, read_devices, read_choices, read_limits, read_further_limits):
        host |= read(args)
    if args.given("init"):
        host["Init"] = args.switch("init")
    shm, score = args.text("shm-size"), args.integer("oom-score-adj")
    if shm is not None:
        host["ShmSize"] = flagged("--shm-size", shm, parse_size)
    if score is not None:
        host["OomScoreAdj"] = score
    read_networks(args, host)
    return host


def read_healthcheck(args: Arguments) -> Healthcheck | None:
    """Return the check that was asked for, None for the image's. Raises UsageError."""
    times = {
        "health-interval": "Interval",
        "health-timeout": "Timeout",
        "health-start-period": "StartPeriod",
        "health-start-interval": "StartInterval",
    }
    given = [flag for flag in ("health-cmd", "health-retries", *times) if args.given(flag)]
    if args.switch("no-healthcheck"):
        if given:
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not given:
        return None
    from runtime.oci.moments import parse_duration  # lazy: only where a check is asked for

    check: Healthcheck = {}
    command = args.text("health-cmd")
    if command:
        check["Test"] = ["CMD-SHELL", command]
    for flag, field in times.items():
        text = args.text(flag)
        if text is None:
            continue
        length = parse_duration(text)
        if length is not None and length < 0:
            raise UsageError(f"--{flag} cannot be negative")
        if length is None or 0 < length < 1_000_000:
            raise UsageError(f'invalid argument "{text}" for "--{flag}" flag: a time as 30s, 1ms at least')
        check[field] = length  # type: ignore[literal-required]
    retries = args.integer("health-retries")
    if retries is not None:
        if retries < 0:
            raise UsageError("--health-retries cannot be negative")
        check["Retries"] = retries
    return check


def _log_config(args: Arguments) -> LogConfig:
    driver, options = args.text("log-driver") or "json-file", args.texts("log-opt")
    if driver == "json-file" and not options:
        return {"Type": driver, "Config": {}}
    from runtime.cli.logflags import read_log_config  # lazy: only where something is asked for

    return read_log_config(driver, dict(map(_assigned("--log-opt"), options)))


def read_restart(text: str) -> RestartPolicy:
    """Read `--restart`: no, always, unless-stopped, on-failure[:N]. Raises UsageError."""
    name, colon, count = text.partition(":")
    fault = ""
    if colon and not count.removeprefix("-").isdecimal():
        raise UsageError(
            "invalid restart policy format: maximum retry count must be an integer", hint=f"write {name}:3 for {text}"
        )
    if name not in ("no", "always", "on-failure", "unless-stopped"):
        fault = f"unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    elif colon and name != "on-failure":
        fault = "maximum retry count can only be used with 'on-failure'"
    elif count.startswith("-"):
        fault = "maximum retry count cannot be negative"
    if fault:
        raise UsageError(f"invalid restart policy: {fault}", hint=f"it was {text}")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _attached(args: Arguments) -> frozenset[str]:
    """Return which streams come to the terminal: those of `--attach`, else the outputs; with -i the input as well.

    None does of a container that is left to its monitor from the beginning.
    """
    asked = [text.lower() for text in args.texts("attach")]
    for text in asked:
        if text not in _STREAMS:
            raise UsageError(
                f'invalid argument "{text}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'
            )
    detached = args.given("detach") and args.switch("detach")
    if asked and detached:
        raise UsageError("conflicting options: cannot specify both --attach and --detach")
    if detached:
        return frozenset()
    return frozenset((*(asked or ("stdout", "stderr")), *(("stdin",) if args.switch("interactive") else ())))


def _assignments(lines: Iterable[str], environ: Mapping[str, str]) -> dict[str, str | None]:
    """Read `NAME=VALUE` and `NAME`: a name alone has the caller's value, None where the caller has none."""
    found: dict[str, str | None] = {}
    for line in lines:
        name, equals, value = line.partition("=")
        found[name] = value if equals else environ.get(name)
    return found


def _lines(path: str, what: str) -> list[str]:
    """Read the lines of a file of variables or labels; empty ones and comments are passed over."""
    try:
        with open(path, encoding="utf-8-sig", errors="strict") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{what} file {path} is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"open {path}: {error.strerror}", hint=f"it was to be read for --{what}-file") from None
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name:
            raise UsageError(f"invalid {what} file ({path}): no variable name on line '{line}' ({number})")
        if re.search(r"\s", name):
            raise UsageError(f"invalid {what} file ({path}): variable '{name}' contains whitespaces (line {number})")
        lines.append(line)
    return lines


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _annotation(text: str) -> tuple[str, str]:
    """Read an annotation; one without a value has an empty one, as with Docker."""
    name, value = _pair(text)
    if not name:
        raise UsageError(f'invalid argument "{text}" for "--annotation" flag: write NAME=VALUE')
    return name, value


def _assigned(flag: str) -> Callable[[str], tuple[str, str]]:
    def read(text: str) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f'invalid argument "{text}" for "{flag}" flag: write NAME=VALUE')
        return name, value

    return read


def _ulimits(args: Arguments) -> list[Ulimit]:
    """Return the limits by name, a later one for an earlier."""
    found = {
        limit["Name"]: limit for limit in (flagged("--ulimit", text, parse_ulimit) for text in args.texts("ulimit"))
    }
    return [found[name] for name in sorted(found)]


def _sysctl(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"sysctl '{text}' is not allowed", hint="write NAME=VALUE, as net.ipv4.ip_forward=1")
    check_sysctl(name)
    return name, value


def _host_name(text: str) -> str:
    if len(text) > 64 or not re.fullmatch(r"[^\s/\x00]*", text):
        raise UsageError(f"invalid hostname: {text!r}", hint="64 bytes at most, without blanks")
    return text


def is_address(text: str) -> bool:
    """Tell whether this is an IP address of either version."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


def _dns(text: str) -> str:
    if not is_address(text):
        raise UsageError(f'invalid argument "{text}" for "--dns" flag: {text} is not an ip address')
    return text


_LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"


def _domain(text: str) -> str:
    """Check a domain to search names in and return it without its last point; "." stands for none."""
    if text == ".":
        return text
    if not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*\.?", text) or not re.search("[a-zA-Z]", text):
        raise UsageError(f'invalid argument "{text}" for "--dns-search" flag: {text} is not a valid domain')
    return text.removesuffix(".")


def _extra_host(text: str) -> str:
    """Check `HOST:IP` or `HOST=IP` and return it with a colon; `host-gateway` is an address, too."""
    positions = [index for index in (text.find("="), text.find(":")) if index > 0]
    position = min(positions, default=-1)
    name, address = text[:position], text[position + 1 :]
    if position < 0 or not name:
        raise UsageError(f'invalid argument "{text}" for "--add-host" flag: bad format for add-host: "{text}"')
    bare = address.removeprefix("[").removesuffix("]")
    if bare != "host-gateway" and not is_address(bare):
        raise UsageError(
            f'invalid argument "{text}" for "--add-host" flag: invalid IP address in add-host: "{address}"'
        )
    return f"{name}:{bare}"


def _ports(text: str) -> list[str]:
    """Return the ports of `--expose`: `80`, `80/udp`, `8000-8010/tcp`."""
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", text.lower())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if match is None or not 1 <= first <= last <= 65535:
        raise UsageError(f"invalid range format for --expose: {text}")
    return [f"{port}/{match[3] or 'tcp'}" for port in range(first, last + 1)]


def _absolute(text: str) -> str:
    """Make the relative host path of a `-v` absolute; it begins with a point."""
    source, colon, rest = text.partition(":")
    if colon and source.startswith("."):
        return f"{os.path.abspath(source)}:{rest}"
    return text


def _absolute_mount(text: str) -> str:
    """Make the relative source of a bind in a `--mount` absolute."""
    fields = split_fields(text)
    if not any(field.strip().lower() == "type=bind" for field in fields):
        return text
    made = []
    for field in fields:
        key, _, value = field.partition("=")
        if key.strip().lower() in ("source", "src") and (value in (".", "..") or value.startswith(("./", "../"))):
            field = f"{key}={os.path.abspath(value)}"
        made.append(f'"{field}"' if "," in field else field)
    return ",".join(made)
