"""Turn a container's record into what the launcher starts: a runtime-spec document, a root filesystem, own files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from runtime.containers.documents import HostConfig
from runtime.containers.mounts import Mount, wanted_mounts
from runtime.containers.records import Container, Containers
from runtime.containers.removal import cgroup_name
from runtime.containers.users import Identity, find_identity
from runtime.errors import UsageError
from runtime.oci.runtimespec import DEFAULT_PATH, Resources, User, bind, container_spec, resolve_capabilities, tmpfs

if TYPE_CHECKING:
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
    capabilities = resolve_capabilities(
        add=host.get("CapAdd") or (), drop=host.get("CapDrop") or (), privileged=privileged
    )
    mounts = wanted_mounts(config, host)
    spec = container_spec(
        args=(container.path, *container.args),
        env=environment(container, identity.home),
        cwd=config.get("WorkingDir") or "/",
        # Docker repeats the main group among the supplementary ones, so that setgid programs cannot drop it unseen.
        user=User(uid=identity.uid, gid=identity.gid, groups=tuple(sorted({identity.gid, *identity.groups}))),
        hostname="" if host.get("UTSMode") == "host" else (shared.config if shared else config).get("Hostname", ""),
        domainname=config.get("Domainname", ""),
        terminal=config.get("Tty", False),
        readonly=host.get("ReadonlyRootfs", False),
        mounts=[
            *_own_files(containers, container, plan, {mount.target for mount in mounts}, shared),
            *(_describe(mount, containers, container, identity) for mount in mounts),
        ],
        capabilities=capabilities,
        privileged=privileged,
        no_new_privileges=security.no_new_privileges,
        rootless=store.context.rootless,
        network=f"/proc/{shared.pid}/ns/net" if shared else "host" if plan.mode == "host" else "private",
        namespaces=_namespaces(host),
        resources=resources_of(host),
        rlimits=[(limit["Name"], limit["Soft"], limit["Hard"]) for limit in host.get("Ulimits") or ()],
        shm_size=host.get("ShmSize") or 64 << 20,
        sysctl=host.get("Sysctls") or {},
        oom_score_adj=host.get("OomScoreAdj"),
    )
    if host.get("Annotations"):
        spec["annotations"] = {**spec.get("annotations", {}), **host["Annotations"]}
    request: dict[str, object] = {
        "spec": spec,
        "rootfs": rootfs_of(containers, container, image),
        "seccomp": None if privileged or security.unconfined else _seccomp(containers, capabilities),
        "cgroup": cgroup_name(containers, container.id),
        "init": host.get("Init", False),
    }
    if window is not None:
        request["window"] = list(window)
    return request


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
            PlainTree.copied(lowerdirs, copy)
        return {"path": str(copy)}
    return {
        "lowerdirs": [str(path) for path in lowerdirs],
        "upperdir": str(directory / "upper"),
        "workdir": str(directory / "work"),
        # What is thrown away anyway need not reach the disk.
        "volatile": container.auto_remove,
    }


def _seccomp(containers: Containers, capabilities: tuple[str, ...]) -> str:
    from runtime.sandbox.seccomp import compiled

    return str(compiled(containers.store.context, capabilities))


def environment(container: Container, home: str) -> list[str]:
    """Return the variables as the command gets them: Docker's own, then the record's, HOME where nobody set it."""
    config = container.config
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": config.get("Hostname", "")}
    if config.get("Tty"):
        variables["TERM"] = "xterm"
    for entry in config.get("Env") or ():
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)  # `-e NAME` of a variable that is not set takes it away
    variables.setdefault("HOME", home)
    return [f"{name}={value}" for name, value in variables.items()]


class Security:
    """What `--security-opt` asks for."""

    __slots__ = ("no_new_privileges", "unconfined")

    def __init__(self) -> None:
        self.no_new_privileges = False
        self.unconfined = False


def read_security(options: Iterable[str]) -> Security:
    """Read the values of `--security-opt`; what cannot be in force here is a UsageError."""
    security = Security()
    for number, option in enumerate(options, 1):
        key, separator, value = option.partition("=")
        if not separator:
            key, separator, value = option.partition(":")
        match key, value:
            case "no-new-privileges", "" | "true":
                security.no_new_privileges = True
            case "no-new-privileges", "false":
                security.no_new_privileges = False
            case "seccomp", "unconfined":
                security.unconfined = True
            case "seccomp", "builtin" | "default":
                security.unconfined = False
            case "seccomp", _:
                raise UsageError(
                    f"--security-opt {option}: a profile from a file cannot be loaded",
                    hint="the default profile equals Docker's; seccomp=unconfined switches it off",
                )
            case ("apparmor", "unconfined") | ("label", "disable"):
                pass  # no profile and no label is set for a container in any case
            case (("apparmor" | "label" | "systempaths" | "proc-opts" | "mask" | "unmask"), _):
                raise UsageError(f"--security-opt {option} cannot be in force here")
            case _:
                raise UsageError(f'invalid --security-opt {number}: "{option}"')
    return security


def _namespaces(host: HostConfig) -> dict[str, str]:
    modes: dict[str, str] = {}
    if host.get("PidMode") == "host":
        modes["pid"] = "host"
    if host.get("IpcMode") == "host":
        modes["ipc"] = "host"
    if host.get("UTSMode") == "host":
        modes["uts"] = "host"
    return modes


def resources_of(host: HostConfig) -> Resources:
    """Return the limits that a container is to have."""
    quota, period = host.get("CpuQuota") or None, host.get("CpuPeriod") or None
    if host.get("NanoCpus"):
        period = _CPU_PERIOD
        quota = host["NanoCpus"] * _CPU_PERIOD // 1_000_000_000
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
    )


def _own_files(
    containers: Containers, container: Container, plan: Plan, taken: set[str], shared: Container | None
) -> list[dict[str, object]]:
    """Write the files that every container has of its own and describe their mounts; the user's mounts come first."""
    config = container.config
    directory = containers.directory(container.id) / "files"
    texts = {"resolv.conf": plan.resolv_conf, "hostname": f"{config.get('Hostname', '')}\n", "hosts": plan.hosts}
    described = []
    for file_name, text in texts.items():
        target = f"/etc/{file_name}"
        if target in taken:
            continue
        if shared is not None:
            described.append(bind(str(containers.directory(shared.id) / "files" / file_name), target))
            continue
        fd = os.open(directory / file_name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, text.encode("utf-8", "surrogateescape"))
            os.fchmod(fd, 0o644)
        finally:
            os.close(fd)
        read_only = container.host_config.get("ReadonlyRootfs", False)
        described.append(bind(str(directory / file_name), target, readonly=read_only))
    return described


def _describe(mount: Mount, containers: Containers, container: Container, identity: Identity) -> dict[str, object]:
    """Describe one mount for the runtime-spec document; `U` in its mode gives what is there to the container's user."""
    if mount.kind == "tmpfs":
        return tmpfs(mount.target, options=mount.options)
    point = next(point for point in container.mounts if point.get("Destination") == mount.target)
    source = point["Source"]
    if mount.kind == "volume":
        from runtime.containers.volumes import Volumes, mount_of  # lazy: 3 ms

        volume = Volumes(containers.store).get(point.get("Name", ""))
        made = mount_of(mount.target, volume.options) if volume is not None else None
        if made is not None:
            if mount.read_only:
                made["options"] = [*made["options"], "ro"]  # type: ignore[misc]  # a list, as mount_of makes it
            return made
    if "U" in mount.mode.split(","):
        _give(source, identity)
    described = bind(
        source,
        mount.target,
        readonly=mount.read_only,
        options=[mount.propagation] if mount.propagation else (),
    )
    if not mount.recursive:
        words = described["options"]
        assert isinstance(words, list)  # as bind() makes it
        described["options"] = ["bind", *(word for word in words if word not in ("rbind", "rro"))]
    return described
