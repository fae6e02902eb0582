"""Read the flags by which a container reaches parts of the machine: devices, namespaces, security, other containers."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.limitflags import flagged
from runtime.containers.documents import HostConfig
from runtime.containers.mounts import check_driver
from runtime.errors import UsageError


def read_modes(args: Arguments) -> HostConfig:
    """Return the namespaces that were asked for. Raises UsageError for a mode that there is not."""
    from runtime.containers.namespaces import check_modes

    host: HostConfig = {
        "IpcMode": args.text("ipc") or "",
        "PidMode": args.text("pid") or "",
        "UTSMode": args.text("uts") or "",
        "UsernsMode": args.text("userns") or "",
    }
    mode, parent = args.text("cgroupns"), args.text("cgroup-parent")
    if mode:
        host["CgroupnsMode"] = mode
    if parent:
        host["CgroupParent"] = parent
    check_modes(host)
    return host


def read_security_options(args: Arguments) -> HostConfig:
    """Return what `--security-opt` asks for, with profiles read from their files. Raises UsageError."""
    from runtime.containers.security import embed_profiles, read_security

    options, unconfined = embed_profiles(args.texts("security-opt"))
    read_security(options)
    host: HostConfig = {"SecurityOpt": options}
    if unconfined:
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    return host


def read_devices(args: Arguments) -> HostConfig:
    """Return the devices that were asked for. Raises UsageError."""
    given = [name for name in ("device", "device-cgroup-rule", "gpus") if args.given(name)]
    if not given:
        return {}
    from runtime.containers.devices import (
        check_rule,
        described_device,
        parse_device,
        parse_gpus,
    )  # lazy: 8 ms, and few ask for any

    host: HostConfig = {"Devices": [], "DeviceRequests": [], "DeviceCgroupRules": []}
    for text in args.texts("device"):
        described = described_device(text)
        if described is not None:
            host["DeviceRequests"].append(described)
        else:
            host["Devices"].append(parse_device(text))
    host["DeviceCgroupRules"] = [
        flagged("--device-cgroup-rule", text, check_rule) for text in args.texts("device-cgroup-rule")
    ]
    for text in args.texts("gpus"):
        host["DeviceRequests"].append(flagged("--gpus", text, parse_gpus))
    return host


def read_choices(args: Arguments) -> HostConfig:
    """Return what a Docker engine would leave to others to do. Raises UsageError for all but what is done here."""
    host: HostConfig = {}
    runtime, isolation, driver = args.text("runtime"), args.text("isolation"), args.text("volume-driver")
    if runtime:
        if runtime != "pybuild":
            raise UsageError(
                f"unknown or invalid runtime name: {runtime}", hint="containers have this program's own, pybuild"
            )
        host["Runtime"] = runtime
    if isolation:
        if isolation != "default":
            raise UsageError(f"invalid isolation ({isolation}): linux only supports 'default'")
        host["Isolation"] = isolation
    if driver:
        check_driver(driver)
        host["VolumeDriver"] = driver
    others = args.texts("volumes-from")
    if others:
        host["VolumesFrom"] = list(others)
    return host
