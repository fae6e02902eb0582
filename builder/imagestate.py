"""Hold the configuration of an image while it is built, and apply the instructions that change it.

A state is frozen: each instruction gives a new one. Layers are not part of it: the solver knows the tree. Field names
are those of Docker's image configuration (OCI image-spec, config.md, with Docker's Healthcheck, OnBuild and Shell).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from builder.history import COMMENT, DEFAULT_SHELL, command_words, created_by
from frozen import Frozen, field, replace

if TYPE_CHECKING:
    from grammar.instructions import Healthcheck, ResolvedInstruction, Workdir
    from grammar.scope import Scope

INLINE_CACHE = "vnd.pybuild.cache.v1"
"""Where an image's configuration has the cache that it carries (`--cache-to type=inline`)."""
_OF_CONTAINERS = frozenset(
    "Hostname Domainname AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce Image MacAddress "
    "NetworkDisabled".split()
)
"""Fields of `config` that Docker's classic builder left there and that say nothing about an image."""
_OF_CLASSIC_BUILDER = frozenset(("container", "container_config", "docker_version", "id", "parent", "throwaway"))


class Entry(Frozen):
    """One entry of the history: `document` without `created` where the build made it and `created` (ns) says when.

    `created` None is: not known yet; it takes its neighbour's when the image is written.
    """

    document: Mapping[str, Any]
    inherited: bool
    created: int | None = None

    @property
    def empty(self) -> bool:
        return bool(self.document.get("empty_layer"))


class ImageState(Frozen):
    """An image's configuration so far.

    `config` is the object of that name, `outer` what stands around it (architecture, os, author, unknown fields), but
    for created, history and rootfs. `own_command`: this stage had a CMD; ENTRYPOINT resets an inherited one.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    outer: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Entry, ...] = ()
    own_command: bool = False

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """The image's variables in order."""
        pairs = (text.partition("=") for text in self.config.get("Env") or ())
        return tuple((name, value) for name, _, value in pairs)

    @property
    def user(self) -> str:
        return str(self.config.get("User") or "")

    @property
    def working_directory(self) -> str:
        """The absolute working directory, cleaned; "/" where none is set."""
        return absolute("/", self.configured_directory)

    @property
    def configured_directory(self) -> str:
        """The working directory as the configuration has it: absolute, and as it was written where that was."""
        return str(self.config.get("WorkingDir") or "/")

    @property
    def entered_directory(self) -> str:
        """The absolute working directory that a command starts in: where it was written with `..`, so it is entered.

        What it passes through is made on the way, as runc does; WORKDIR itself makes only where it leads.
        """
        written = self.configured_directory
        return written if written.startswith("/") else self.working_directory

    @property
    def shell(self) -> tuple[str, ...]:
        return tuple(self.config.get("Shell") or DEFAULT_SHELL)

    @property
    def triggers(self) -> tuple[str, ...]:
        """The texts of ONBUILD that a build on this image runs first."""
        return tuple(self.config.get("OnBuild") or ())


def scratch(platform: Mapping[str, str]) -> ImageState:
    """Return the state of `FROM scratch`; `platform` has architecture, os and perhaps variant."""
    return ImageState(config={"WorkingDir": "/"}, outer=dict(platform))


def from_document(document: Mapping[str, Any]) -> ImageState:
    """Return the state of a stage that begins with an image; `document` is its configuration as parsed JSON."""
    config = {name: value for name, value in (document.get("config") or {}).items() if name not in _OF_CONTAINERS}
    outer = {
        name: value
        for name, value in document.items()
        if name not in _OF_CLASSIC_BUILDER and name not in ("config", "created", "history", "rootfs")
    }
    history = tuple(Entry(document=dict(entry), inherited=True) for entry in document.get("history") or ())
    return ImageState(config=config, outer=outer, history=history)


def child_of(parent: ImageState) -> ImageState:
    """Return the state of a stage that begins with another stage, or with a base whose state this is."""
    return replace(parent, own_command=False)


def begin(state: ImageState, scope: Scope) -> ImageState:
    """Set what the first line of a stage sets: the environment (PATH is always there), no triggers any more."""
    config = dict(state.config)
    config.pop("OnBuild", None)
    config["Env"] = _environment(scope)
    return replace(state, config=config)


def apply(
    state: ImageState, instruction: ResolvedInstruction, scope: Scope, *, created: int | None, layer: bool
) -> ImageState:
    """Return the state after `instruction`; `scope` is the one after it, too.

    `layer` tells whether it made a layer, `created` (ns) when, None for an instruction without one.
    """
    changed = _changed(state, instruction, scope)
    text = created_by(
        instruction,
        shell=state.shell,
        working_directory=changed.configured_directory,
        arguments=scope.arguments,
        visible=scope.visible,
    )
    if text is None:
        return changed
    document: dict[str, Any] = {"created_by": text, "comment": COMMENT}
    if not layer:
        document["empty_layer"] = True
    entry = Entry(document=document, inherited=False, created=created)
    return replace(changed, history=(*changed.history, entry))


def with_labels(state: ImageState, labels: Mapping[str, str]) -> ImageState:
    """Return the state with the labels of `--label`; they leave no history."""
    if not labels:
        return state
    merged = {**(state.config.get("Labels") or {}), **labels}
    return replace(state, config={**state.config, "Labels": merged})


def document_of(state: ImageState, diff_ids: Sequence[str], *, fallback: int, epoch: int | None) -> dict[str, Any]:
    """Return the image configuration as a JSON object.

    An entry without a time takes the one before it that this build made, else the one after, else `fallback` (ns).
    `epoch` (s, SOURCE_DATE_EPOCH) replaces the times of all that the build made, and the image's.
    """
    history, last = _dated_history(state.history, fallback if epoch is None else epoch * 1_000_000_000, epoch)
    document = dict(state.outer)
    document["created"] = last
    document["config"] = dict(state.config)
    document["history"] = history
    document["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids)}
    return document


def timestamp(nanoseconds: int) -> str:
    """Write a time as Go's RFC3339Nano in UTC: trailing zeros of the fraction dropped."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def directory_after(state: ImageState, path: str) -> str:
    """Return what a WORKDIR makes of the configuration's directory: an absolute path stays as it is written."""
    current = state.configured_directory
    return path if path.startswith("/") else absolute(current, path) if path else current


def absolute(working_directory: str, path: str) -> str:
    """Join a WORKDIR's path to the working directory in effect, cleaned: no "." or "..", no double slash."""
    parts: list[str] = []
    for part in PurePosixPath("/", working_directory, path).parts[1:]:
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def _dated_history(entries: Sequence[Entry], fallback: int, epoch: int | None) -> tuple[list[dict[str, Any]], str]:
    known = [entry.created for entry in entries if entry.created is not None]
    current = known[0] if known else fallback
    documents: list[dict[str, Any]] = []
    for entry in entries:
        if entry.inherited:
            documents.append(dict(entry.document))
            continue
        current = current if entry.created is None else entry.created
        time = current if epoch is None else fallback
        documents.append({"created": timestamp(time), **entry.document})
    return documents, timestamp(current if epoch is None else fallback)


def _environment(scope: Scope) -> list[str]:
    return [f"{name}={value}" for name, value in scope.environment.items()]


def _extended(before: list[str], variables: Mapping[str, str], scope: Scope) -> list[str]:
    """Return the environment after an ENV; names that are new, as most are, come behind those that were there."""
    if len(scope.environment) == len(before) + len(variables):
        return [*before, *(f"{name}={value}" for name, value in variables.items())]
    return _environment(scope)


def _changed(state: ImageState, instruction: ResolvedInstruction, scope: Scope) -> ImageState:
    from grammar import instructions as typed

    config = dict(state.config)
    match instruction:
        case typed.Env():
            config["Env"] = _extended(config.get("Env") or [], dict(instruction.variables), scope)
        case typed.Label():
            config["Labels"] = {**(config.get("Labels") or {}), **dict(instruction.labels)}
        case typed.Workdir():
            config["WorkingDir"] = _workdir(state, instruction)
        case typed.User():
            config["User"] = instruction.user
        case typed.Expose():
            config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **{port: {} for port in instruction.ports}}
        case typed.Volume():
            config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in instruction.paths}}
        case typed.Cmd():
            config["Cmd"] = list(command_words(instruction.command, state.shell))
            config["ArgsEscaped"] = True
            return replace(state, config=config, own_command=True)
        case typed.Entrypoint():
            config["Entrypoint"] = list(command_words(instruction.command, state.shell))
            if not state.own_command:
                config.pop("Cmd", None)
        case typed.Shell():
            config["Shell"] = list(instruction.command)
        case typed.StopSignal():
            config["StopSignal"] = instruction.signal
        case typed.Healthcheck():
            config["Healthcheck"] = _healthcheck(instruction)
        case typed.Onbuild():
            config["OnBuild"] = [*(config.get("OnBuild") or ()), instruction.trigger]
        case typed.Maintainer():
            return replace(state, outer={**state.outer, "author": instruction.name})
        case _:
            return state
    return replace(state, config=config)


def _workdir(state: ImageState, instruction: Workdir) -> str:
    return directory_after(state, instruction.path)


def _healthcheck(instruction: Healthcheck) -> dict[str, Any]:
    document: dict[str, Any] = {"Test": list(instruction.test)}
    for name, value in (
        ("Interval", instruction.interval),
        ("Timeout", instruction.timeout),
        ("StartPeriod", instruction.start_period),
        ("StartInterval", instruction.start_interval),
        ("Retries", instruction.retries),
    ):
        if value:
            document[name] = value
    return document
