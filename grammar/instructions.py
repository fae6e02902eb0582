"""Name what each instruction means once its variables are expanded: one frozen value a keyword.

`grammar.resolution.resolve` makes these from the instructions that the parser gives; the builder executes them.
Paths are as the Dockerfile has them (relative ones too): only a container's working directory makes them absolute.
Durations are nanoseconds, as in an image's config; sizes are bytes; `None` and empty tuples mean "not given".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from grammar.nodes import Form, Heredoc

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]
NetworkMode = Literal["default", "none", "host"]
SecurityMode = Literal["sandbox", "insecure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """FROM: the base as written and expanded; `name` is the stage's, in lower case, or empty."""

    image: str
    platform: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One `RUN --mount`; which fields count depends on `type`.

    `mode` is 0oNNN. `env` is the variable that a secret is put in: None for none, empty for the secret's own name.
    `from_` is a stage, named context or image; None is the build context for `bind`, and an empty tree for `cache`.
    """

    type: MountType = "bind"
    from_: str | None = None
    source: str = ""
    target: str = ""
    read_only: bool = True
    id: str = ""
    sharing: Sharing = "shared"
    required: bool = False
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One `RUN --device`: the name of a CDI device, class or the like."""

    name: str
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineFile:
    """A file whose content stands in the Dockerfile: a here-document of COPY, ADD, or a RUN that is a script."""

    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """RUN: `command` is the text for a shell, or the strings of an exec form.

    A RUN with here-documents is one of two: `script` is a file that begins with `#!` and is to be executed itself, and
    `command` is empty then; else `command` is the whole text for the shell, bodies included.
    """

    command: str | tuple[str, ...]
    form: Form = "shell"
    heredocs: tuple[Heredoc, ...] = ()
    script: InlineFile | None = None
    mounts: tuple[Mount, ...] = ()
    network: NetworkMode = "default"
    security: SecurityMode = "sandbox"
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """COPY or ADD: `sources` are paths (ADD: also URLs and git repositories), `files` are here-documents.

    All go to `destination`. `from_` is a stage's name, its number, a named context or an image. `unpack` and
    `keep_git_dir` are None unless given.
    """

    keyword: Literal["copy", "add"]
    sources: tuple[str, ...]
    files: tuple[InlineFile, ...] = ()
    destination: str
    from_: str | None = None
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str | None = None
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """ENV: names and values, in the order written."""

    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """LABEL: names and values, in the order written."""

    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One word of ARG; `value` is what it has from here on, or None where nothing gives it one."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg:
    """ARG, with the values that the command line, the global scope or the defaults give."""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir:
    """WORKDIR."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """USER: `name[:group]` or numbers."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose:
    """EXPOSE: ports as `80/tcp`, ranges spelled out, in the order BuildKit gives them."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """VOLUME."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd:
    """CMD: text for the image's shell, or the strings of an exec form."""

    command: str | tuple[str, ...]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint:
    """ENTRYPOINT: text for the image's shell, or the strings of an exec form."""

    command: str | tuple[str, ...]
    form: Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """SHELL: the words before the text of a shell form."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal:
    """STOPSIGNAL: a number or a name, as written."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """HEALTHCHECK: `test` is ("NONE",), ("CMD", word, …) or ("CMD-SHELL", text); durations in ns, 0 for not given."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild:
    """ONBUILD: the text of the instruction that a build on this image runs, here-documents included."""

    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer:
    """MAINTAINER."""

    name: str


ResolvedInstruction: TypeAlias = (
    Arg
    | Cmd
    | Copy
    | Entrypoint
    | Env
    | Expose
    | From
    | Healthcheck
    | Label
    | Maintainer
    | Onbuild
    | Run
    | Shell
    | StopSignal
    | User
    | Volume
    | Workdir
)
