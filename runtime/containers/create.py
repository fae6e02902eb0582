"""Make a container from an image and what was asked for: merge the settings, check them, prepare mounts, record it.

The documents are the Engine API's (documents.py); what Docker's engine checks in `ContainerCreate` is checked here,
with its words, before anything is made.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from runtime.containers.checks import check_config, normal_capabilities
from runtime.containers.documents import Config, Healthcheck, HostConfig, MountPoint
from runtime.containers.mounts import Mount, check_source, wanted_mounts
from runtime.containers.names import check_name, random_name
from runtime.containers.namespaces import resolved
from runtime.containers.records import Container, Containers
from runtime.containers.users import find_identity
from runtime.errors import NotFound, UsageError
from runtime.store.layers.tree import write_metadata, write_open
from runtime.store.leases import add_pins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.oci.documents import ContainerConfig
    from runtime.store.images import Image
    from runtime.store.view import MergedView


def merge_config(asked: Config, image: ContainerConfig) -> Config:
    """Return what a container has: what was asked for, and the image's settings where nothing was.

    An entrypoint that was asked for drops the image's command; `[""]` stands for none at all. Of a health check each
    field that was not asked for is the image's.
    """
    config = asked.copy()
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
    if image.healthcheck is not None:
        given = {name: value for name, value in (asked.get("Healthcheck") or {}).items() if value}
        merged = {**image.healthcheck.raw, **given}
        order = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
        check: Healthcheck = {name: merged[name] for name in order if name in merged}  # type: ignore[assignment]
        config["Healthcheck"] = check
    return config


MARK = ".dockerenv"
"""The file in a container's root that says it is one."""


def create(
    containers: Containers, image: Image, asked: Config, host: HostConfig, *, name: str | None, starts: bool = False
) -> tuple[Container, int]:
    """Make a container of `image`; returns its row and the descriptor of its `alive` lock, which is held.

    `starts`: the caller starts it next. Where it dies before that, a container that was to be removed after its run
    is removed.

    Raises UsageError, NotFound for an unknown user or a bind's missing source, Conflict for a name that is taken;
    nothing is left then.
    """
    context = containers.store.context
    config = merge_config(asked, image.config.config)
    host = _settle(containers, config, host)
    mounts = wanted_mounts(config, host)
    images = {mount.target: _mounted_image(containers, mount) for mount in mounts if mount.kind == "image"}
    name = check_name(name) if name else random_name(context.token, containers.name_taken)
    view = containers.store.snapshots.view(containers.store.images.unpacked(image))
    find_identity(view, config.get("User", ""), host.get("GroupAdd") or ())  # its errors belong here
    container_id = context.token(64)
    while container_id[:12].isdecimal():  # some programs take a host name of digits for a number
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
            mounts=tuple(
                _point(containers, mount, volumes, images) for mount in mounts if mount.kind != "tmpfs" or mount.shown
            ),
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
        if starts:
            containers.mark_starting(container_id)
        containers.insert(container)
        if images:
            owner = f"container:{container_id}"
            add_pins(containers.database, owner, "image", *{found.id for found in images.values()})
        if volumes:
            _make_volumes(containers, container, mounts, volumes, view)
    return container, alive


def _settle(containers: Containers, config: Config, asked: HostConfig) -> HostConfig:
    """Return the settings of the machine as they are recorded: checked, with defaults, and with others named by id."""
    check_config(config, asked)
    for field in ("Hostname", "Domainname"):
        if asked.get("UTSMode") == "host" and config.get(field):
            raise UsageError(f"conflicting options: {field.lower()} and the UTS mode")
    host = resolved(containers, normal_capabilities(asked))
    if host.get("Memory") and not host.get("MemorySwap"):
        from runtime.sandbox.cgroups import counts_swap

        if counts_swap(rootless=containers.store.context.rootless):
            host["MemorySwap"] = 2 * host["Memory"]
    if host.get("OomKillDisable") and not host.get("Memory"):
        containers.store.context.stderr.write(
            "pybuild: WARNING: OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources.\n"
        )
    if host.get("Links"):
        from runtime.containers import links  # lazy: hardly anybody links containers any more

        host["Links"] = links.recorded(containers, host["Links"])
    for field in ("ShmSize", "PidsLimit"):
        if not host.get(field):
            host.pop(field, None)  # type: ignore[misc]
    if host.get("VolumesFrom"):
        from runtime.containers.inheritance import inherited_mounts  # lazy: hardly anybody asks for it

        host["Inherited"] = inherited_mounts(containers, host["VolumesFrom"])
    return host


def _dress_root(upper: Path, view: MergedView) -> None:
    """Give the root of the container's own layer the metadata of the image's root, which it covers.

    It gets an empty `/.dockerenv` as well, which is how programs learn that they run in a container, and the link
    `/etc/mtab`, where old ones look for what is mounted.
    """
    metadata = view.stat("/")
    fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if view.stat(f"/{MARK}") is None:
            mark = os.open(MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, dir_fd=fd)
            os.fchmod(mark, 0o755)
            os.close(mark)
        directory = view.stat("/etc")
        if directory is not None and directory.kind == "directory" and view.stat("/etc/mtab") is None:
            os.mkdir("etc", 0o700, dir_fd=fd)
            os.symlink("/proc/mounts", "etc/mtab", dir_fd=fd)
            write_metadata(fd, b"etc", directory)
        if metadata is not None:
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
                if mount.options:
                    volumes.create(
                        names[mount.target],
                        labels=dict(mount.labels),
                        options={word.partition("=")[0]: word.partition("=")[2] for word in mount.options},
                        anonymous=not mount.source,
                    )
                    continue
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


def _mounted_image(containers: Containers, mount: Mount) -> Image:
    """Find an image that is to be mounted; nothing is fetched. Raises NotFound."""
    from runtime.containers.images import look_up
    from runtime.oci.references import parse_reference

    found = look_up(containers.store, mount.source)
    if found is None:
        name = parse_reference(mount.source).tagged().familiar()
        raise NotFound(f"No such image: {name}", hint=f"pybuild pull {mount.source}")
    containers.store.images.unpacked(found)
    return found


def _point(containers: Containers, mount: Mount, volumes: Mapping[str, str], images: Mapping[str, Image]) -> MountPoint:
    """Describe a mount as `inspect` does. Raises NotFound for a bind's source that has to be there."""
    if mount.kind == "tmpfs":
        return {
            "Type": "tmpfs",
            "Source": "",
            "Destination": mount.target,
            "Mode": "",
            "RW": not mount.read_only,
            "Propagation": "",
        }
    if mount.kind == "image":
        image = images[mount.target]
        lowerdirs = () if image.chain_id is None else containers.store.snapshots.stack(image.chain_id)
        return {
            "Type": "image",
            "Name": mount.source,
            "Source": str(lowerdirs[0]) if lowerdirs else "",
            "Destination": mount.target,
            "Mode": "",
            "RW": False,
            "Propagation": "rprivate",
            "ImageID": image.id,
        }
    if mount.kind == "bind":
        if not mount.create:
            check_source(mount.source)
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
        "Mode": mount.mode,
        "RW": not mount.read_only,
        "Propagation": "",
    }
