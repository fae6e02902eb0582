"""Tell a monitor what to do by itself: when to start its container again, how long the log may be, how to check it."""

from __future__ import annotations

from runtime.containers.quantities import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.documents import Healthcheck, HostConfig
    from runtime.containers.records import Container, Containers

_SECOND = 1_000_000_000
_LOCAL_SIZE, _LOCAL_FILES = 20_000_000, 5
"""Docker's defaults of the driver `local`."""


def restart_policy(host: HostConfig) -> tuple[str, int]:
    """Return name and largest count (0: none) of the restart policy."""
    policy = host.get("RestartPolicy")
    return (policy["Name"] or "no", policy["MaximumRetryCount"]) if policy is not None else ("no", 0)


def log_limits(host: HostConfig) -> tuple[int, int] | None:
    """Return the bytes after which a log is rotated (0: never) and how many files there are; None for no log."""
    config = host.get("LogConfig") or {}
    options = config.get("Config") or {}
    if config.get("Type") == "none":
        return None
    local = config.get("Type") == "local"
    size = parse_size(options["max-size"], base=1000) if "max-size" in options else _LOCAL_SIZE if local else 0
    return size, int(options.get("max-file", _LOCAL_FILES if local else 1))


def health_plan(containers: Containers, container: Container) -> dict[str, object] | None:
    """Return what health.Health needs; None for a container without a check."""
    check: Healthcheck = container.config.get("Healthcheck") or {}
    kind, *words = check.get("Test") or ["NONE"]
    if kind == "NONE" or not words:
        return None
    from runtime.containers.execute import Command, describe  # lazy: only for those with a check
    from runtime.oci.times import go_duration  # lazy: as above

    shell = ("/bin/sh", "-c") if kind == "CMD-SHELL" else ()
    command = Command(args=(*shell, *words))
    timeout = check.get("Timeout") or 30 * _SECOND
    return {
        "request": describe(containers, container, command, running=False),
        "interval": (check.get("Interval") or 30 * _SECOND) / _SECOND,
        "timeout": timeout / _SECOND,
        "timeout_text": go_duration(timeout),
        "start_period": (check.get("StartPeriod") or 0) / _SECOND,
        "start_interval": (check.get("StartInterval") or 5 * _SECOND) / _SECOND,
        "retries": check.get("Retries") or 3,
    }
