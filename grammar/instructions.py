"""Name what each instruction means once its variables are expanded: one frozen value a keyword.

`grammar.resolution.resolve` makes these from the instructions that the parser gives; the builder executes them.
Paths are as the Dockerfile has them (relative ones too): only a container's working directory makes them absolute.
Durations are nanoseconds, as in an image's config; sizes are bytes; `None` and empty tuples mean "not given".
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from frozen import Frozen
from grammar.nodes import Form, Heredoc

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]
NetworkMode = Literal["default", "none", "host"]
SecurityMode = Literal["sandbox", "insecure"]


class From(Frozen):
    """FROM: the base as written and expanded; `name` is the stage's, in lower case, or empty."""

    image: str
    platform: str | None = None
    name: str = ""


class Mount(Frozen):
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


class Device(Frozen):
    """One `RUN --device`: the name of a CDI device, class or the like."""

    name: str
    required: bool = False


class InlineFile(Frozen):
    """A file whose content stands in the Dockerfile: a here-document of COPY, ADD, or a RUN that is a script."""

    name: str
    content: str


class Run(Frozen):
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


class Copy(Frozen):
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


class Env(Frozen):
    """ENV: names and values, in the order written."""

    variables: tuple[tuple[str, str], ...]


class Label(Frozen):
    """LABEL: names and values, in the order written."""

    labels: tuple[tuple[str, str], ...]


class Argument(Frozen):
    """One word of ARG; `value` is what it has from here on, or None where nothing gives it one."""

    name: str
    value: str | None


class Arg(Frozen):
    """ARG, with the values that the command line, the global scope or the defaults give."""

    arguments: tuple[Argument, ...]


class Workdir(Frozen):
    """WORKDIR."""

    path: str


class User(Frozen):
    """USER: `name[:group]` or numbers."""

    user: str


class Expose(Frozen):
    """EXPOSE: ports as `80/tcp`, ranges spelled out, in the order BuildKit gives them."""

    ports: tuple[str, ...]


class Volume(Frozen):
    """VOLUME."""

    paths: tuple[str, ...]


class Cmd(Frozen):
    """CMD: text for the image's shell, or the strings of an exec form."""

    command: str | tuple[str, ...]
    form: Form


class Entrypoint(Frozen):
    """ENTRYPOINT: text for the image's shell, or the strings of an exec form."""

    command: str | tuple[str, ...]
    form: Form


class Shell(Frozen):
    """SHELL: the words before the text of a shell form."""

    command: tuple[str, ...]


class StopSignal(Frozen):
    """STOPSIGNAL: a number or a name, as written."""

    signal: str


class Healthcheck(Frozen):
    """HEALTHCHECK: `test` is ("NONE",), ("CMD", word, …) or ("CMD-SHELL", text); durations in ns, 0 for not given."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Onbuild(Frozen):
    """ONBUILD: the text of the instruction that a build on this image runs, here-documents included."""

    trigger: str


class Maintainer(Frozen):
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
