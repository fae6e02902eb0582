"""Make a container from an image and what was asked for: merge the settings, check them, prepare mounts, record it.

The documents are the Engine API's (documents.py); what Docker's engine checks in `ContainerCreate` is checked here,
with its words, before anything is made.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from runtime.containers.documents import Config, Healthcheck, HostConfig, MountPoint
from runtime.containers.mounts import Mount, wanted_mounts
from runtime.containers.names import check_name, random_name
from runtime.containers.quantities import parse_signal
from runtime.containers.records import Container, Containers
from runtime.containers.users import find_identity
from runtime.errors import NotFound, UsageError
from runtime.store.layers.tree import write_open

if TYPE_CHECKING:
    from runtime.oci.documents import ContainerConfig
    from runtime.store.images import Image
    from runtime.store.view import MergedView

_LEAST_MEMORY = 6 << 20


def merge_config(asked: Config, image: ContainerConfig) -> Config:
    """Return what a container has: what was asked for, and the image's settings where nothing was.

    An entrypoint that was asked for drops the image's command; `[""]` stands for none at all.
    """
    config = cast(Config, dict(asked))
    own = list(asked.get("Env") or ())
    names = {entry.partition("=")[0] for entry in own}
    config["Env"] = own + [entry for entry in image.env if entry.partition("=")[0] not in names]
    config["Labels"] = {**image.labels, **(asked.get("Labels") or {})}
    config["ExposedPorts"] = {**{port: {} for port in image.exposed_ports}, **(asked.get("ExposedPorts") or {})}
    config["Volumes"] = {**{path: {} for path in image.volumes}, **(asked.get("Volumes") or {})}
    config["User"] = asked.get("User") or image.user
    config["WorkingDir"] = asked.get("WorkingDir") or image.working_dir
    config["StopSignal"] = asked.get("StopSignal") or image.stop_signal
    entrypoint = asked.get("Entrypoint")
    command = asked.get("Cmd")
    if not entrypoint:
        if not command:
            command = list(image.cmd) if image.cmd else None
        entrypoint = list(image.entrypoint) if image.entrypoint else None
    elif entrypoint == [""]:
        entrypoint = None
    config["Entrypoint"] = entrypoint
    config["Cmd"] = command
    if "Healthcheck" not in asked and image.healthcheck is not None:
        config["Healthcheck"] = cast(Healthcheck, image.healthcheck.raw)
    return config


def check_config(config: Config, host: HostConfig) -> None:
    """Raise UsageError for what no container can have."""
    if not (config.get("Entrypoint") or config.get("Cmd")):
        raise UsageError("no command specified", hint="the image has none: write one behind its name")
    directory = config.get("WorkingDir") or "/"
    if not directory.startswith("/"):
        raise UsageError(f"the working directory '{directory}' is invalid, it needs to be an absolute path")
    if config.get("StopSignal"):
        parse_signal(config["StopSignal"])
    memory, swap = host.get("Memory", 0), host.get("MemorySwap", 0)
    if 0 < memory < _LEAST_MEMORY:
        raise UsageError("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise UsageError("You should always set the Memory limit when using Memoryswap limit")
    if 0 < swap < memory:
        raise UsageError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory and host.get("MemoryReservation", 0) > memory:
        raise UsageError("Minimum memory limit can not be less than memory reservation limit, see usage")
    if host.get("NanoCpus") and (host.get("CpuQuota") or host.get("CpuPeriod")):
        raise UsageError("Conflicting options: Nano CPUs and CPU Period (or Quota) cannot both be set")
    cpus = os.cpu_count() or 1
    if not 0 <= host.get("NanoCpus", 0) <= cpus * 1_000_000_000:
        raise UsageError(f"range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available")
    if not -1000 <= host.get("OomScoreAdj", 0) <= 1000:
        raise UsageError(f"Invalid value {host['OomScoreAdj']}, range for oom score adj is [-1000, 1000]")
    if host.get("ShmSize", 1) <= 0:
        raise UsageError("SHM size can not be less than 0")
    policy = host.get("RestartPolicy")
    if host.get("AutoRemove") and policy is not None and policy["Name"] not in ("", "no"):
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    if host.get("NetworkMode") == "host" and host.get("UTSMode") == "host" and config.get("Hostname"):
        raise UsageError("conflicting options: hostname and the UTS mode")


def create(
    containers: Containers, image: Image, asked: Config, host: HostConfig, *, name: str | None
) -> tuple[Container, int]:
    """Make a container of `image`; returns its row and the descriptor of its `alive` lock, which is held.

    Raises UsageError, NotFound for an unknown user or a bind's missing source, Conflict for a name that is taken;
    nothing is left then but a host directory that `-v` made.
    """
    context = containers.store.context
    config = merge_config(asked, image.config.config)
    check_config(config, host)
    if host.get("Memory") and not host.get("MemorySwap"):
        host["MemorySwap"] = 2 * host["Memory"]
    mounts = wanted_mounts(config, host)
    name = random_name(context.token, containers.name_taken) if name is None else check_name(name)
    view = containers.store.snapshots.view(containers.store.images.unpacked(image))
    find_identity(view, config.get("User", ""), host.get("GroupAdd") or ())  # its errors belong here
    container_id = context.token(64)
    if not config.get("Hostname"):
        shared = "host" in (host.get("UTSMode"), host.get("NetworkMode"))
        config["Hostname"] = os.uname().nodename if shared else container_id[:12]
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    with containers.new_directory(container_id) as alive:
        volumes = {mount.target: mount.source or context.token(64) for mount in mounts if mount.kind == "volume"}
        container = Container(
            id=container_id,
            name=name,
            image=image.id,
            state="created",
            path=words[0],
            args=tuple(words[1:]),
            config=config,
            host_config=host,
            mounts=tuple(_point(containers, mount, volumes) for mount in mounts if mount.kind != "tmpfs"),
            network={},
            auto_remove=host.get("AutoRemove", False),
            created=context.now(),
            started=0,
            finished=0,
            pid=0,
            monitor="",
            exit_code=0,
            oom_killed=False,
            error="",
        )
        _dress_root(containers.directory(container_id) / "upper", view)
        containers.insert(container)
        if volumes:
            _make_volumes(containers, container, mounts, volumes, view)
    return container, alive


def _dress_root(upper: Path, view: MergedView) -> None:
    """Give the root of the container's own layer the metadata of the image's root, which it covers."""
    metadata = view.stat("/")
    if metadata is not None:
        fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_open(fd, metadata)
        finally:
            os.close(fd)


def _make_volumes(
    containers: Containers, container: Container, mounts: tuple[Mount, ...], names: dict[str, str], view: MergedView
) -> None:
    """Make the volumes, after the row that owns them: if this process is killed, removing the row removes them."""
    from runtime.containers.volumes import Volumes  # lazy: 3 ms

    volumes = Volumes(containers.store)
    try:
        for mount in mounts:
            if mount.kind == "volume":
                volumes.use(
                    names[mount.target],
                    labels=dict(mount.labels),
                    anonymous=not mount.source,
                    source=(view, PurePosixPath(mount.target)) if mount.copy else None,
                )
    except BaseException:
        containers.forget(container)  # the directory goes with the block that made it
        volumes.remove_anonymous(names.values())
        raise


def _point(containers: Containers, mount: Mount, volumes: dict[str, str]) -> MountPoint:
    """Describe a mount as `inspect` does; a bind's source exists afterwards."""
    if mount.kind == "bind":
        if not os.path.lexists(mount.source):
            if not mount.create:
                raise NotFound(
                    f'invalid mount config for type "bind": bind source path does not exist: {mount.source}',
                    hint="make it first; -v makes a missing directory",
                )
            os.makedirs(mount.source, 0o755, exist_ok=True)
        return {
            "Type": "bind",
            "Source": mount.source,
            "Destination": mount.target,
            "Mode": mount.mode,
            "RW": not mount.read_only,
            "Propagation": mount.propagation or "rprivate",
        }
    name = volumes[mount.target]
    return {
        "Type": "volume",
        "Name": name,
        "Source": str(containers.store.layout.volumes / name / "_data"),
        "Destination": mount.target,
        "Driver": "local",
        "Mode": mount.mode or "z",
        "RW": not mount.read_only,
        "Propagation": "",
    }
