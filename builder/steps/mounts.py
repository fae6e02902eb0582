"""Turn `RUN --mount` into mounts of a sandbox and into parts of a cache key.

bind     the build context (a snapshot of it), another stage or an image; what is written there is thrown away
cache    a directory below ROOT/cache-mounts that outlives the build; not part of any result
tmpfs    memory
secret   a file in memory-backed storage, or a variable of the step alone
ssh      a socket behind which an SSH agent lists keys and signs; SSH_AUTH_SOCK names the first one
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from builder.imagestate import absolute
from builder.options import BuildOptions
from builder.secretfiles import secret_file
from builder.steps.cachemounts import Beginning, cache_directory
from builder.steps.layered import layered_mount
from frozen import Frozen, field
from runtime.errors import NotFound, PybuildError, UsageError

if TYPE_CHECKING:
    from builder.interfaces import BuildContext, Given, KeyParts
    from builder.secrets import Secret
    from grammar.instructions import Mount

_SECRET_DIRECTORY = "/run/secrets"
_SECRET_MODE = 0o400
_AGENTS = "/run/buildkit/ssh_agent."
_AGENT_MODE = 0o600
_FILE_OPTIONS = ("nosuid", "nodev", "noexec")


class Prepared(Frozen):
    """Mounts as OCI runtime-spec has them, in the order written, and variables of the step."""

    mounts: tuple[Mapping[str, object], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def check(mount: Mount, options: BuildOptions, build_context: BuildContext) -> None:
    """Refuse a mount that cannot be had: before anything runs."""
    if mount.target.startswith("/") and absolute("/", mount.target) == "/":
        raise UsageError('invalid mount target "/"')
    if mount.type == "ssh" and mount.required and _agent_id(mount) not in options.ssh:
        identifier = _agent_id(mount)
        raise NotFound(
            f"unset ssh forward key {identifier}", hint=f"give it with --ssh {identifier}, or --ssh {identifier}=PATH"
        )
    if mount.type == "secret" and mount.required and _secret_id(mount) not in options.secrets:
        identifier = _secret_id(mount)
        raise NotFound(f"secret {identifier}: not found", hint=f"give it with --secret id={identifier},src=FILE")
    if mount.type == "bind" and mount.from_ is None:
        build_context.digest(mount.source)


def key_parts(mount: Mount, given: Given) -> KeyParts:
    """Say what the result of a step depends on in one mount: its options and content, never a secret's value."""
    parts: KeyParts = {"type": mount.type, "target": _target(mount, given)}
    match mount.type:
        case "bind":
            parts["source"] = mount.source
            parts["writable"] = not mount.read_only
            parts["content"] = _content_of(mount, given)
        case "cache":
            parts["id"] = _cache_id(mount, given)
            parts["options"] = [mount.sharing, mount.read_only, mount.mode, mount.uid, mount.gid]
            if mount.from_ is not None:
                parts["source"] = mount.source
                parts["content"] = _content_of(mount, given)
        case "tmpfs":
            parts["size"] = mount.size
        case _:
            parts["id"] = _secret_id(mount) if mount.type == "secret" else _agent_id(mount)
            parts["options"] = [mount.required, mount.mode, mount.uid, mount.gid, mount.env]
    return parts


@contextmanager
def prepared(mounts: Sequence[Mount], given: Given, options: BuildOptions, directory: Path) -> Iterator[Prepared]:
    """Make what `mounts` ask for, for the length of a `with` block; `directory` is the step's own and temporary."""
    made: list[Mapping[str, object]] = []
    environment: dict[str, str] = {}
    with ExitStack() as stack:
        for number, mount in enumerate(mounts):
            place = directory / f"mount-{number}"
            match mount.type:
                case "bind":
                    made.append(_bind(mount, given, place))
                case "cache":
                    made.append(stack.enter_context(_cache(mount, given)))
                case "tmpfs":
                    made.append(_tmpfs(mount, given))
                case "secret":
                    mounted = _secret(mount, given, options, environment)
                    if mounted is not None:
                        made.append(stack.enter_context(mounted))
                case _:
                    environment.setdefault("SSH_AUTH_SOCK", _agent_target(mounts, number, given))
                    forwarded = stack.enter_context(_agent(mount, given, place, _agent_target(mounts, number, given)))
                    if forwarded is not None:
                        made.append(forwarded)
        yield Prepared(mounts=tuple(made), environment=environment)


def files_of(mount: Mount, given: Given) -> BuildContext | None:
    """Return the build context or the named one that a mount shows; None for stages and images."""
    return given.build_context if mount.from_ is None else given.contexts.get(mount.from_)


def _target(mount: Mount, given: Given) -> str:
    """Return where a mount goes, absolute; "" for a secret that is a variable only, and for an agent.

    Raises UsageError for the root.
    """
    if not mount.target and mount.type in ("secret", "ssh"):
        return f"{_SECRET_DIRECTORY}/{mount.id}" if mount.type == "secret" and mount.env is None else ""
    target = absolute(given.working_directory, mount.target)
    if target == "/":
        raise UsageError(
            'invalid mount target "/"', hint=None if mount.target else f"write --mount=type={mount.type},target=PATH"
        )
    return target


def _bind(mount: Mount, given: Given, place: Path) -> Mapping[str, object]:
    from runtime.oci.runtimespec import bind

    target = _target(mount, given)
    files = files_of(mount, given)
    if files is not None:
        place.mkdir(mode=0o700)
        path, _ = files.materialise(mount.source, place)
        return bind(os.fspath(path), target, readonly=mount.read_only)
    assert mount.from_ is not None
    result = given.sources[mount.from_]
    view = given.store.snapshots.view(result.chain)
    source = view.resolve(PurePosixPath("/", mount.source))
    if view.stat(source) is None:
        raise NotFound(f"--mount=type=bind: {source} does not exist in {mount.from_}")
    stack = () if result.chain is None else given.store.snapshots.stack(result.chain)
    return layered_mount(stack, source, target, place, writable=not mount.read_only, rootless=given.context.rootless)


@contextmanager
def _cache(mount: Mount, given: Given) -> Iterator[Mapping[str, object]]:
    from runtime.oci.runtimespec import bind

    beginning = _beginning(mount, given)
    with cache_directory(given.context, _cache_id(mount, given), sharing=mount.sharing, beginning=beginning) as path:
        yield bind(os.fspath(path), _target(mount, given), readonly=mount.read_only)


def _beginning(mount: Mount, given: Given) -> Beginning:
    """Say what a cache mount is when it is new: an empty directory, or a copy of what `from` and `source` name.

    As in BuildKit, mode or owner without a source ask for a new directory, whatever else is named.
    """
    at_root = PurePosixPath("/", mount.source) == PurePosixPath("/")
    if at_root and (mount.mode, mount.uid, mount.gid) != (None, None, None):
        mode = 0o755 if mount.mode is None else mount.mode
        uid, gid = mount.uid or 0, mount.gid or 0
        return Beginning(variant=f"{mode:o} {uid}:{gid}", mode=mode, uid=uid, gid=gid)
    if mount.from_ is None:
        return Beginning()
    return Beginning(
        variant=f"{_content_of(mount, given)} {mount.source}",
        seed=lambda workspace: _seeded(mount, given, workspace),
    )


def _seeded(mount: Mount, given: Given, workspace: Path) -> Path:
    """Copy what a cache mount begins as into `workspace`."""
    from builder.layering import copy_out
    from builder.trees import ImageTree, clean, resolve

    assert mount.from_ is not None
    files = files_of(mount, given)
    if files is not None:
        path, _ = files.materialise(mount.source, workspace)
    else:
        tree = ImageTree(given.store.snapshots.view(given.sources[mount.from_].chain), mount.from_)
        path, _ = copy_out(tree, resolve(tree, clean(mount.source)), workspace)
    if not path.is_dir():
        raise PybuildError(f"--mount=type=cache: {mount.source} in {mount.from_} is no directory")
    return path


def _content_of(mount: Mount, given: Given) -> str | None:
    """Name the content that a mount shows at first; None for a stage without layers."""
    files = files_of(mount, given)
    if files is not None:
        return files.digest(mount.source)
    assert mount.from_ is not None
    return given.sources[mount.from_].content


def _cache_id(mount: Mount, given: Given) -> str:
    return mount.id or _target(mount, given)


def _tmpfs(mount: Mount, given: Given) -> Mapping[str, object]:
    target = _target(mount, given)
    options = ["nosuid", *([] if mount.size is None else [f"size={mount.size}"])]
    if given.view.stat(PurePosixPath(target)) is None:
        options.append("mode=1777")  # else it has the mode of what it covers, and here that is a stub of ours
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options}


def _secret_id(mount: Mount) -> str:
    return mount.id or PurePosixPath(mount.target).name


def _secret(
    mount: Mount, given: Given, options: BuildOptions, environment: dict[str, str]
) -> AbstractContextManager[Mapping[str, object]] | None:
    """Put a secret into `environment`, or return what holds its file for the step."""
    identifier = _secret_id(mount)
    secret = options.secrets.get(identifier)
    if secret is None:
        return None  # check has refused one that is required
    if mount.env is not None:
        environment[mount.env or identifier] = os.fsdecode(secret.value)
        if not mount.target:
            return None
    return _secret_file(secret, mount, given)


@contextmanager
def _secret_file(secret: Secret, mount: Mount, given: Given) -> Iterator[Mapping[str, object]]:
    from runtime.oci.runtimespec import bind

    mode = _SECRET_MODE if mount.mode is None else mount.mode
    with secret_file(given.context, secret.value, uid=mount.uid or 0, gid=mount.gid or 0, mode=mode) as path:
        yield bind(os.fspath(path), _target(mount, given), readonly=True, options=_FILE_OPTIONS)


def _agent_id(mount: Mount) -> str:
    return mount.id or "default"


def _agent_target(mounts: Sequence[Mount], number: int, given: Given) -> str:
    """Return where a step finds an agent: where it was asked for, else a name by the order of such mounts."""
    if mounts[number].target:
        return absolute(given.working_directory, mounts[number].target)
    count = sum(mount.type == "ssh" for mount in mounts[:number])
    return f"{_AGENTS}{count}"


@contextmanager
def _agent(mount: Mount, given: Given, place: Path, target: str) -> Iterator[Mapping[str, object] | None]:
    from runtime.oci.runtimespec import bind

    if given.agents is None:
        yield None
        return
    place.mkdir(mode=0o700)
    mode = _AGENT_MODE if mount.mode is None else mount.mode
    with given.agents.forwarded(_agent_id(mount), place, uid=mount.uid or 0, gid=mount.gid or 0, mode=mode) as path:
        yield None if path is None else bind(os.fspath(path), target, readonly=False, options=_FILE_OPTIONS)
