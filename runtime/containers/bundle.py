"""Turn a container's record into what the launcher starts: a runtime-spec document, a root filesystem, own files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from runtime.containers.cgroup import cgroup_name
from runtime.containers.documents import HostConfig
from runtime.containers.mounts import Mount, check_source, make_source, wanted_mounts
from runtime.containers.namespaces import owner_of, spaces_of
from runtime.containers.records import Container, Containers
from runtime.containers.security import Security, filter_of, read_security
from runtime.containers.users import Identity, find_identity
from runtime.containers.variables import environment
from runtime.errors import UsageError
from runtime.oci.runtimespec import (
    Resources,
    User,
    bind,
    container_spec,
    layers,
    resolve_capabilities,
    tmpfs,
)
from runtime.sandbox.rootfs import in_user_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.network.plan import Plan
    from runtime.store.images import Image

_CPU_PERIOD = 100_000
"""Microseconds: the period of the quota that stands for --cpus."""


def make_request(
    containers: Containers,
    container: Container,
    image: Image,
    plan: Plan,
    window: tuple[int, int] | None,
    *,
    shared: Container | None = None,
) -> dict[str, object]:
    """Return the launcher's request; writes hosts, hostname and resolv.conf into the container's directory.

    `window` are rows and columns of the terminal. `shared` is a running container whose network and files it has too.
    Raises UsageError and NotFound.
    """
    store = containers.store
    config, host = container.config, container.host_config
    view = store.snapshots.view(image.config.chain_id)
    identity = find_identity(view, config.get("User", ""), host.get("GroupAdd") or ())
    privileged = host.get("Privileged", False)
    security = read_security(host.get("SecurityOpt") or ())
    spaces = spaces_of(containers, host)
    capabilities = resolve_capabilities(
        add=host.get("CapAdd") or (), drop=host.get("CapDrop") or (), privileged=privileged
    )
    mounts = wanted_mounts(config, host)
    spec = container_spec(
        args=(container.path, *container.args),
        env=environment(containers, container, identity.home, tty=config.get("Tty", False)),
        cwd=config.get("WorkingDir") or "/",
        # Docker repeats the main group among the supplementary ones, so that setgid programs cannot drop it unseen.
        user=User(uid=identity.uid, gid=identity.gid, groups=tuple(sorted({identity.gid, *identity.groups}))),
        hostname="" if host.get("UTSMode") == "host" else (shared.config if shared else config).get("Hostname", ""),
        domainname=config.get("Domainname", ""),
        terminal=config.get("Tty", False),
        readonly=host.get("ReadonlyRootfs", False),
        mounts=[
            *spaces.mounts,
            *_own_files(containers, container, plan, {mount.target for mount in mounts}, shared),
            *(_describe(mount, containers, container, identity) for mount in mounts),
        ],
        capabilities=capabilities,
        privileged=privileged,
        no_new_privileges=security.no_new_privileges,
        rootless=in_user_namespace(),
        network=f"/proc/{shared.pid}/ns/net" if shared else "host" if plan.mode == "host" else "private",
        namespaces=spaces.modes,
        without=spaces.without,
        writable_groups=security.writable_groups,
        resources=resources_of(host),
        rlimits=[(limit["Name"], limit["Soft"], limit["Hard"]) for limit in host.get("Ulimits") or ()],
        shm_size=host.get("ShmSize") or 64 << 20,
        sysctl=host.get("Sysctls") or {},
        oom_score_adj=host.get("OomScoreAdj"),
    )
    _complete(spec, host, security)
    request: dict[str, Any] = {
        "spec": spec,
        "rootfs": rootfs_of(containers, container, image),
        "seccomp": filter_of(store.context, security, capabilities, privileged=privileged),
        "cgroup": cgroup_name(containers, container.id, host.get("CgroupParent", "")),
        "init": host.get("Init", False),
    }
    if host.get("Devices") or host.get("DeviceRequests") or host.get("DeviceCgroupRules"):
        _add_devices(request, host, config.get("Env") or ())
    if window is not None:
        request["window"] = list(window)
    return request


def _complete(spec: dict[str, Any], host: HostConfig, security: Security) -> None:
    """Put into the document what few containers ask for."""
    for field, key in (("MaskedPaths", "maskedPaths"), ("ReadonlyPaths", "readonlyPaths")):
        if field in host and not host.get("Privileged"):
            spec["linux"][key] = list(host[field])  # type: ignore[literal-required]
    if security.apparmor:
        spec["process"]["apparmorProfile"] = security.apparmor
    if host.get("Annotations"):
        spec["annotations"] = {**spec.get("annotations", {}), **host["Annotations"]}


def _give(top: str, identity: Identity) -> None:
    """Make a user the owner of a tree on the host; links in it are not followed."""
    os.lchown(top, identity.uid, identity.gid)
    if not os.path.islink(top):
        for base, directories, files, fd in os.fwalk(top):
            del base
            for name in (*directories, *files):
                os.chown(name, identity.uid, identity.gid, dir_fd=fd, follow_symlinks=False)


def rootfs_of(containers: Containers, container: Container, image: Image) -> dict[str, object]:
    """Describe the root filesystem: an overlay over the layers, a copy of them where there can be no overlay."""
    snapshots = containers.store.snapshots
    directory = containers.directory(container.id)
    chain_id = image.chain_id
    if chain_id is None:
        return {"path": str(directory / "upper")}
    lowerdirs = snapshots.stack(chain_id)
    if not snapshots.overlay:
        from runtime.store.plain import PlainTree  # lazy: only where there is no overlayfs

        copy = directory / "rootfs"
        if not copy.is_dir():
            PlainTree.copied((directory / "upper", *lowerdirs), copy)
        return {"path": str(copy)}
    if container.auto_remove and container.started:  # overlayfs refuses the work directory of a volatile mount
        from runtime.store.trees import remove_tree  # lazy: only where one is started again

        remove_tree(directory / "work")
        (directory / "work").mkdir(mode=0o700)
    return {
        "lowerdirs": [str(path) for path in lowerdirs],
        "upperdir": str(directory / "upper"),
        "workdir": str(directory / "work"),
        # What is thrown away anyway need not reach the disk.
        "volatile": container.auto_remove,
    }


def resources_of(host: HostConfig) -> Resources:
    """Return the limits that a container is to have. Raises NotFound for a block device."""
    quota, period = host.get("CpuQuota") or None, host.get("CpuPeriod") or None
    if host.get("NanoCpus"):
        period = _CPU_PERIOD
        quota = host["NanoCpus"] * _CPU_PERIOD // 1_000_000_000
    block: Mapping[str, object] | None = None
    if any(name.startswith("Blkio") and host.get(name) for name in host):
        from runtime.containers.devices import block_io  # lazy: hardly anybody asks for it

        block = block_io(host)
    return Resources(
        memory=host.get("Memory") or None,
        swap=host.get("MemorySwap") or None,
        reservation=host.get("MemoryReservation") or None,
        cpu_shares=host.get("CpuShares") or None,
        cpu_quota=quota,
        cpu_period=period,
        cpuset_cpus=host.get("CpusetCpus") or None,
        cpuset_mems=host.get("CpusetMems") or None,
        pids=host.get("PidsLimit") or None,
        swappiness=host.get("MemorySwappiness"),
        without_oom_killer=host.get("OomKillDisable") or None,
        realtime_runtime=host.get("CpuRealtimeRuntime") or None,
        realtime_period=host.get("CpuRealtimePeriod") or None,
        block_io=block,
    )


def _add_devices(request: dict[str, Any], host: HostConfig, environment: Iterable[str]) -> None:
    """Give a container the devices that it is to have; variables of theirs give way to its own."""
    from runtime.containers.devices import devices_of, needs_rules  # lazy: few containers have any

    devices = devices_of(host)
    linux, process = request["spec"]["linux"], request["spec"]["process"]
    linux["devices"] = [*linux.get("devices", ()), *devices.nodes]
    if not host.get("Privileged"):
        linux["resources"]["devices"] = [*linux["resources"]["devices"], *devices.rules]
        request["device_rules"] = needs_rules(host)
    own = {entry.partition("=")[0] for entry in environment}
    process["env"] += [f"{name}={value}" for name, value in devices.environment if name not in own]
    process["user"]["additionalGids"] = sorted({*process["user"]["additionalGids"], *devices.groups})
    request["spec"]["mounts"] += devices.mounts


def _own_files(
    containers: Containers, container: Container, plan: Plan, taken: set[str], shared: Container | None
) -> list[dict[str, object]]:
    """Write the files that every container has of its own and describe their mounts; the user's mounts come first."""
    config = container.config
    owner = owner_of(containers, container)
    directory = containers.directory(owner.id) / "files"
    texts = {"resolv.conf": plan.resolv_conf, "hostname": f"{config.get('Hostname', '')}\n", "hosts": plan.hosts}
    described = []
    for file_name, text in texts.items():
        target = f"/etc/{file_name}"
        if shared is not None:
            if target not in taken:
                placed = next((mount for mount in owner.mounts if mount.get("Destination") == target), None) or {}
                source = str(placed.get("Source") or directory / file_name)
                described.append(bind(source, target, readonly=not placed.get("RW", True)))
            continue
        fd = os.open(directory / file_name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode("utf-8", "surrogateescape"))
            os.fchmod(fd, 0o644)
        finally:
            os.close(fd)
        if target in taken:
            continue
        read_only = container.host_config.get("ReadonlyRootfs", False)
        described.append(bind(str(directory / file_name), target, readonly=read_only))
    return described


def stored_mounts(containers: Containers, container: Container) -> list[dict[str, Any]]:
    """Describe the mounts whose content is there while the container does not run: binds, volumes, images."""
    sources = {point.get("Destination"): point["Source"] for point in container.mounts}
    found = []
    for mount in wanted_mounts(container.config, container.host_config):
        if mount.kind == "image" or (mount.kind != "tmpfs" and os.path.lexists(sources.get(mount.target, ""))):
            described = _describe(mount, containers, container, None)
            if described["type"] != "tmpfs":
                found.append(described)
    return found


def _describe(
    mount: Mount, containers: Containers, container: Container, identity: Identity | None
) -> dict[str, object]:
    """Describe one mount for the runtime-spec document; `U` in its mode gives what is there to `identity`."""
    if mount.kind == "tmpfs":
        return tmpfs(mount.target, options=mount.options)
    point = next(point for point in container.mounts if point.get("Destination") == mount.target)
    source = point["Source"]
    if mount.kind == "image":
        return _image_mount(mount, containers, container, point["ImageID"])
    if mount.kind == "volume":
        from runtime.containers.volumes import Volumes, mount_of  # lazy: 3 ms

        volume = Volumes(containers.store).get(point.get("Name", ""))
        made = mount_of(mount.target, volume.options) if volume is not None else None
        if made is not None and mount.subpath and made["type"] == "bind":
            source = str(made["source"])
        elif made is not None:
            if mount.subpath:
                raise UsageError(f"volume {point['Name']} is empty when it is mounted: there is no {mount.subpath}")
            if mount.read_only:
                made["options"] = [*words_of(made), "ro"]
            starts = identity is not None
            return _same_memory(made, containers, point["Name"]) if starts and made["type"] == "tmpfs" else made
        if mount.subpath:
            words = ["ro", "rro"] if mount.read_only else []
            return layers({"path": source}, mount.target, subpath=f"/{mount.subpath}", options=words)
    if mount.kind == "bind" and identity is not None:
        make_source(source) if mount.create else check_source(source)
    if identity is not None and "U" in mount.mode.split(","):
        _give(source, identity)
    described = bind(
        source,
        mount.target,
        readonly=mount.read_only,
        options=[mount.propagation] if mount.propagation else (),
    )
    if mount.writable_below:
        described["options"] = [word for word in words_of(described) if word != "rro"]
    if not mount.recursive:
        described["options"] = ["bind", *(word for word in words_of(described) if word not in ("rbind", "rro"))]
    return described


def _same_memory(made: dict[str, object], containers: Containers, name: str) -> dict[str, object]:
    """Return the tmpfs that a running container has for the volume, where there is one, in place of a new one.

    `made` says how a new one is mounted. One in a user namespace that this process is not in cannot be had.
    """
    from runtime.containers.volumes import Volumes  # lazy: 3 ms

    for other in map(containers.get, Volumes(containers.store).users(name)):
        if other is None or not other.pid or not containers.is_running(other):
            continue
        target = next(point["Destination"] for point in other.mounts if point.get("Name") == name)
        try:
            inode = os.stat(f"/proc/{other.pid}/ns/mnt").st_ino
            if os.readlink(f"/proc/{other.pid}/ns/user") != os.readlink("/proc/self/ns/user"):
                continue
        except OSError:  # it has ended at this moment
            continue
        words = ["rw", *(word for word in words_of(made) if word in ("ro", "nosuid", "nodev", "noexec"))]
        namespace = f"/proc/{other.pid}/ns/mnt"
        return {
            "type": "foreign",
            "destination": made["destination"],
            "source": target,
            "namespace": namespace,
            "inode": inode,
            "options": words,
            "otherwise": made,  # it may have ended when this one is started, or started again
        }
    return made


def words_of(mount: Mapping[str, object]) -> list[str]:
    """Return the options of a mount as bind() makes it."""
    words = mount["options"]
    assert isinstance(words, list)
    return words


def _image_mount(mount: Mount, containers: Containers, container: Container, image_id: str) -> dict[str, object]:
    """Describe the tree of an image, read-only; copied once where there is no overlayfs that could put it together."""
    snapshots = containers.store.snapshots
    image = containers.store.images.require(image_id)
    lowerdirs = snapshots.stack(image.chain_id) if image.chain_id is not None else ()
    tree: dict[str, object] = {"lowerdirs": [str(path) for path in lowerdirs], "upperdir": None, "workdir": None}
    if not lowerdirs or (len(lowerdirs) > 1 and not snapshots.overlay):
        from runtime.store.plain import PlainTree  # lazy: only where there is no overlayfs

        copy = containers.directory(container.id) / f"image-{image_id.partition(':')[2][:12]}"
        if not copy.is_dir():
            PlainTree.copied(lowerdirs, copy)
        tree = {"path": str(copy)}
    return layers(tree, mount.target, subpath=f"/{mount.subpath}", options=["ro", "rro"])
