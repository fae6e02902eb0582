"""Do RUN: a command in a sandbox over the stage's tree; what it leaves there is the layer."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.history import run_words, script_path
from builder.options import NETWORK_HOST, SECURITY_INSECURE, BuildOptions
from builder.stepclient import CommandNotStarted, StepServer
from builder.steps import mounts
from builder.steps.stubs import KEPT, stub_directory
from frozen import Frozen
from runtime.errors import PybuildError, StepFailed

if TYPE_CHECKING:
    from builder.filelists import ReadFiles
    from builder.interfaces import BuildContext, Given, KeyParts
    from grammar.instructions import Run
    from runtime.oci.cdi import Edits
    from runtime.store.layers.writer import LayerDigests
    from runtime.store.preparation import Preparation

_FILES = ("/etc/hosts", "/etc/resolv.conf")
_HOSTS = "127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_HOST_GATEWAY = ("=host-gateway", ":host-gateway")
_WITHOUT_OTHERS = ("none", "host")
"""Networks on which a step does not meet the services of the build."""
_FILE_OPTIONS = ("nosuid", "nodev", "noexec")


class RunStep(Frozen):
    """One RUN at work; `server` is shared by all steps of a build."""

    instruction: Run
    options: BuildOptions
    server: StepServer

    @property
    def linked(self) -> bool:
        return False

    @property
    def network(self) -> str:
        """The network in effect: "default", "none", "host" or a user's."""
        own = self.instruction.network
        return self.options.network if own == "default" else own

    def check(self, build_context: BuildContext) -> None:
        """Refuse what was not granted with `--allow`, secrets that are missing, and what cannot be done here."""
        instruction = self.instruction
        wanted = []
        if instruction.network == "host":
            wanted.append(NETWORK_HOST)
        if instruction.security == "insecure":
            wanted.append(SECURITY_INSECURE)
        for entitlement in wanted:
            if entitlement not in self.options.allow:
                raise PybuildError(
                    f"granting entitlement {entitlement} is not allowed by build configuration",
                    hint=f"allow it with --allow {entitlement}",
                )
        self._devices()
        for mount in instruction.mounts:
            mounts.check(mount, self.options, build_context)

    def key_parts(self, given: Given) -> KeyParts:
        """The command and all that it can see; not its limits, its host name or its proxies."""
        instruction = self.instruction
        parts: KeyParts = {
            "instruction": "run",
            "command": list(run_words(instruction, given.shell)),
            "user": given.user,
            "directory": given.working_directory,
            "environment": dict(given.variables),
            "platform": given.platform,
            "network": self.network,
            "security": instruction.security,
            "hosts": sorted(self.options.add_hosts),
            "mounts": [mounts.key_parts(mount, given) for mount in instruction.mounts],
        }
        if instruction.script is not None:
            parts["script"] = instruction.script.content
        if self.options.services and self.network not in _WITHOUT_OTHERS:
            parts["services"] = [service.key_part for service in self.options.services]
        if instruction.devices:
            parts["devices"] = [[device.name, device.required] for device in instruction.devices]
        return parts

    def files(self, given: Given) -> tuple[ReadFiles, ...]:
        """The files of the build context and of named ones that it mounts."""
        from builder.filelists import ReadFiles
        from builder.trees import clean, plan_copy, resolve

        found = []
        for mount in self.instruction.mounts:
            tree = mounts.files_of(mount, given) if mount.type == "bind" else None
            if tree is not None:
                path = resolve(tree, clean(mount.source))
                found.append(ReadFiles(mount.from_ or "", path, plan_copy(tree, path)))
        return tuple(found)

    def execute(self, given: Given, preparation: Preparation) -> LayerDigests | None:
        """Run the command to its end. Raises StepFailed with its status if that is not 0."""
        words = run_words(self.instruction, given.shell)
        try:
            with ExitStack() as stack:
                request = stack.enter_context(self._request(given, preparation))
                end = self.server.run(request, given.output, given.context.cancel)
        except CommandNotStarted as error:
            given.output(2, f"{error.message}\n".encode())
            raise _failed(words, error.exit_code) from error
        _remove_mountpoints(Path(request["rootfs"].get("path", preparation.upperdir)), end.mountpoints)
        if end.status:
            if self.server.serving is not None:
                self.server.serving.tell(given.output)
            raise _failed(words, end.status)
        return None

    def sandbox(self, given: Given, preparation: Preparation) -> AbstractContextManager[dict[str, Any]]:
        """Give the request for the step's sandbox, for the length of a `with` block."""
        return self._request(given, preparation)

    def _devices(self) -> Edits | None:
        """Find the devices that the step asks for, None where it asks for none. Raises PybuildError."""
        if not self.instruction.devices:
            return None
        from builder import cdi  # lazy: hardly any step has devices

        return cdi.choose(self.instruction.devices, self.options.allow)

    def _networks(self) -> list[str]:
        """Return the networks that the step joins; the services are started before that, if they do not run yet."""
        mode = "bridge" if self.network == "default" else self.network
        if self.server.serving is None or mode in _WITHOUT_OTHERS:
            return [mode]
        private = self.server.serving.network()
        return [private] if mode == "bridge" else [mode, private]

    def _hosts(self, planned: str) -> str:
        """Return /etc/hosts as BuildKit writes it, with the lines of `--add-host` that the network's plan made."""
        names = {host.replace("=", ":", 1).partition(":")[0] for host in self.options.add_hosts}
        added = [line for line in planned.splitlines(keepends=True) if names.intersection(line.split()[1:])]
        return _HOSTS.format(hostname=self.options.hostname) + "".join(added)

    @contextmanager
    def _request(self, given: Given, preparation: Preparation) -> Iterator[dict[str, Any]]:
        """Make the files and the network of one step, and describe its sandbox."""
        from runtime.network.plan import plan

        context = given.context
        name = context.token(12)
        joined = self._networks()
        with ExitStack() as stack:
            directory = stack.enter_context(_step_directory(given.store.workspace() / f"step-{name}"))
            network = stack.enter_context(
                plan(
                    context,
                    given.store,
                    joined[0],
                    owner=f"step:{name}",
                    hostname=self.options.hostname,
                    add_hosts=_reachable(self.options.add_hosts, joined[0]),
                    endpoints={name: {} for name in joined},
                )
            )
            own = stack.enter_context(mounts.prepared(self.instruction.mounts, given, self.options, directory))
            bound = [
                _file_mount(directory, path, text)
                for path, text in zip(_FILES, (self._hosts(network.hosts), network.resolv_conf), strict=True)
            ]
            script = self.instruction.script
            if script is not None:
                bound.append(_script_mount(directory, script.name, script.content))
            group = None
            if self.options.limits is not None or self.options.cgroup_parent is not None:
                from builder.stepgroups import step_group

                group = stack.enter_context(step_group(context, self.options.cgroup_parent or ""))
            mounted = [*bound, *own.mounts]
            devices = self._devices()
            if devices is not None:
                mounted += devices.mounts
            spec = self._spec(given, mounted, own.environment)
            if devices is not None:
                _add_devices(spec, devices)
            stubs = stub_directory(
                given.store.workspace(),
                spec["mounts"],
                given.view,
                own=[str(mount["destination"]) for mount in mounted],
            )
            yield {
                "spec": spec,
                "rootfs": _rootfs(preparation, stubs, overlay=given.store.snapshots.overlay),
                "seccomp": self._filter(given),
                "cgroup": group,
                "init": False,
                "network": network.document,
            }

    def _spec(
        self, given: Given, mounted: Sequence[Mapping[str, object]], variables: Mapping[str, str]
    ) -> dict[str, Any]:
        """Describe the process; `mounted` is its own beside what every container has, `variables` come from secrets."""
        from runtime.containers.users import find_identity
        from runtime.oci import runtimespec

        insecure = self.instruction.security == "insecure"
        identity = find_identity(given.view, given.user)
        environment = {"HOME": "", **given.variables, **given.proxies, **variables}
        environment["HOME"] = environment["HOME"] or identity.home
        # As Docker's: a file that denies its group something would else not deny it to this one.
        groups = tuple(sorted({identity.gid, *identity.groups}))
        return runtimespec.container_spec(
            args=run_words(self.instruction, given.shell),
            env=[f"{name}={value}" for name, value in environment.items()],
            cwd=given.working_directory,
            user=runtimespec.User(uid=identity.uid, gid=identity.gid, groups=groups),
            hostname=self.options.hostname,
            mounts=mounted,
            capabilities=runtimespec.resolve_capabilities(privileged=insecure),
            privileged=insecure,
            rootless=given.context.rootless,
            network="host" if self.network == "host" else "private",
            resources=self.options.limits or runtimespec.UNLIMITED,
            rlimits=self.options.ulimits,
            shm_size=self.options.shm_size,
        )

    def _filter(self, given: Given) -> str | None:
        """Return the path of the system call filter, None where all is allowed."""
        from runtime.oci.runtimespec import DEFAULT_CAPABILITIES
        from runtime.sandbox import seccomp

        if self.instruction.security == "insecure":
            return None
        return os.fspath(seccomp.compiled(given.context, DEFAULT_CAPABILITIES))


def _add_devices(spec: dict[str, Any], devices: Edits) -> None:
    """Let a sandbox have devices: their nodes, who may use them, and their variables, which the step's own override."""
    linux, process = spec["linux"], spec["process"]
    linux["devices"] = [*linux.get("devices", ()), *devices.nodes]
    linux["resources"]["devices"] = [*linux["resources"].get("devices", ()), *devices.rules]
    own = {entry.partition("=")[0] for entry in process["env"]}
    process["env"] += [f"{name}={value}" for name, value in devices.environment if name not in own]
    process["user"]["additionalGids"] = sorted({*process["user"].get("additionalGids", ()), *devices.groups})


def _rootfs(preparation: Preparation, stubs: Path, *, overlay: bool) -> dict[str, Any]:
    """Describe the tree of the sandbox, with the stubs as its lowest layer where it is an overlay mount."""
    if not overlay:
        return preparation.rootfs()
    return {
        "lowerdirs": [os.fspath(path) for path in (*preparation.lowerdirs, stubs)],
        "upperdir": os.fspath(preparation.upperdir),
        "workdir": os.fspath(preparation.workdir),
        "volatile": True,
    }


def _reachable(add_hosts: Sequence[str], network: str) -> Sequence[str]:
    """Leave the host out of the names that a step without any network gets: nothing leads there."""
    return [entry for entry in add_hosts if network != "none" or not entry.endswith(_HOST_GATEWAY)]


@contextmanager
def _step_directory(path: Path) -> Iterator[Path]:
    from runtime.store.trees import remove_tree

    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        remove_tree(path)


def _file_mount(directory: Path, destination: str, text: str) -> dict[str, object]:
    from runtime.oci.runtimespec import bind

    path = directory / os.path.basename(destination)
    path.write_text(text)
    path.chmod(0o644)
    return bind(os.fspath(path), destination, readonly=True, options=_FILE_OPTIONS)


def _script_mount(directory: Path, name: str, content: str) -> dict[str, object]:
    from runtime.oci.runtimespec import bind

    path = directory / "script"
    path.write_bytes(content.encode(errors="surrogateescape"))
    path.chmod(0o755)
    return bind(os.fspath(path), script_path(name), readonly=True)


def _remove_mountpoints(tree: Path, paths: tuple[str, ...]) -> None:
    """Take away what was made only to mount on: empty files and directories, the last made first.

    `tree` is the layer, or the whole tree where the step ran in one.
    """
    for path in reversed(paths):
        if path in KEPT:
            continue
        parent, _, name = path.lstrip("/").rpartition("/")
        with suppress(OSError):  # not ours any more: the step has put something there
            fd = _open_below(tree, parent)
            try:
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    os.rmdir(name, dir_fd=fd)
                elif found.st_size == 0:
                    os.unlink(name, dir_fd=fd)
            finally:
                os.close(fd)


def _open_below(root: Path, path: str) -> int:
    """Open a directory of the layer component by component; no link is followed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(root, flags)
    for name in filter(None, path.split("/")):
        try:
            below = os.open(name, flags, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _failed(words: tuple[str, ...], status: int) -> StepFailed:
    return StepFailed(
        f'process "{" ".join(words)}" did not complete successfully: exit code: {status}', exit_code=status
    )
