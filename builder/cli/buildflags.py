"""Declare the flags of `build` and read them into one request; one that cannot be honoured is refused, not ignored.

An empty value asks for nothing, so that a script may write `--target "$TARGET"`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from builder.cli.calls import Call, read_call
from builder.cli.limits import FLAGS as LIMITS
from builder.cli.limits import read_limits
from builder.epoch import is_seconds
from builder.exporters.outputs import STANDARD_OUTPUT, Output, read_outputs
from builder.namedcontexts import NamedContext, read_contexts
from builder.options import DEFAULT_HOSTNAME, ENTITLEMENTS, LOCAL_DELETE, NETWORK_HOST, BuildOptions
from builder.secrets import read_secrets
from frozen import Frozen, replace
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag
from runtime.containers.images import read_policy
from runtime.context import Context
from runtime.errors import NotFound, ReferenceInvalid, UsageError
from runtime.oci.platforms import host_platform, parse_platform
from runtime.oci.references import Reference, parse_reference
from runtime.registry.clientconfig import proxy_variables

if TYPE_CHECKING:
    from builder.cachetransfer.wishes import CacheWish
    from builder.exporters.annotations import Annotation
    from builder.services import Service
    from builder.sshagents import SshSource

_T = TypeVar("_T")

STANDARD_INPUT = "-"

_REFUSED: Mapping[str, tuple[str, str]] = {
    "policy": ("texts", "policies are not there yet"),
}
"""Flags of buildx that change what is built, and why they cannot be honoured."""
_IGNORED: Mapping[str, tuple[str, str]] = {
    "isolation": ("text", "steps are isolated by namespaces, always"),
    "security-opt": ("texts", "a step that needs more is written RUN --security=insecure"),
}
"""Flags of the classic builder that are ignored with a warning, as by docker."""
_WITHOUT_EFFECT = ("compress", "force-rm", "rm", "disable-content-trust", "load", "layers")
"""Switches that ask for what is done anyway, or for what never was part of a result."""

_OF_THE_RESULT = frozenset(
    "add-host allow build-context file label locked network rewrite-timestamp secret service shm-size "
    "source-date-epoch squash ssh target timestamp ulimit".split()
)
"""Flags that decide what comes out, beside the build arguments and the platform."""

FLAGS = (
    Flag("--add-host", kind="texts", metavar="HOST:IP", help="Add a custom host-to-IP mapping to the steps"),
    Flag("--allow", kind="texts", metavar="ENTITLEMENT", help="Allow 'network.host' or 'security.insecure'"),
    Flag("--annotation", kind="texts", metavar="NAME=VALUE", help="Annotate the manifest (or LEVEL:NAME=VALUE)"),
    Flag("--call", kind="text", metavar="METHOD", help="Answer a question: check, outline or targets"),
    Flag("--check", help="Check the Dockerfile (short for --call=check)"),
    Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build-time variable"),
    Flag("--build-arg-file", kind="texts", metavar="FILE", help="Read build-time variables, NAME=VALUE a line"),
    Flag("--cache-from", kind="texts", metavar="PLACE", help="Take from this cache: type=registry,ref=NAME or local"),
    Flag("--cache-to", kind="texts", metavar="PLACE", help="Write the cache: type=registry|local|inline,mode=min|max"),
    Flag("--explain", kind="optional", bare="text", metavar="FORM", help="Say why each step ran: text or json"),
    Flag("--build-context", kind="texts", metavar="NAME=WHERE", help="A further context: a directory, image or URL"),
    Flag("--file", "-f", kind="text", metavar="FILE", help="Name of the Dockerfile (default: PATH/Dockerfile)"),
    Flag("--format", kind="text", metavar="FORM", help="Form of --explain: text or json"),
    Flag("--iidfile", kind="text", metavar="FILE", help="Write the image id to a file"),
    Flag("--jobs", kind="integer", metavar="N", help="Let at most N steps work at once (default: two a processor)"),
    Flag("--label", kind="texts", metavar="NAME=VALUE", help="Set metadata for the image"),
    Flag("--locked", help="Build with what pybuild.lock pins, and nothing else"),
    Flag("--metadata-file", kind="text", metavar="FILE", help="Write what was built as JSON to a file"),
    Flag("--network", kind="text", metavar="NAME", help="Network of RUN: 'default', 'none', 'host' or one of yours"),
    Flag("--no-cache", help="Run every step anew"),
    Flag("--no-cache-filter", kind="texts", metavar="STAGE", help="Run the steps of these stages anew"),
    Flag("--on-failure", kind="text", metavar="HOW", help="A RUN that fails: 'keep' it for debug, or open a 'shell'"),
    Flag("--output", "-o", kind="texts", metavar="WHAT", help="Where to write to, as type=oci,dest=FILE"),
    Flag("--platform", kind="texts", metavar="PLATFORM", help="Platform of the image, as linux/amd64"),
    Flag("--progress", kind="text", metavar="KIND", help="How to show it: auto, tty, plain, rawjson, quiet, none"),
    Flag("--push", help="Push the image to the registries of its names"),
    Flag("--pull", kind="optional", bare="always", metavar="POLICY", help="When to ask a registry for the base"),
    Flag("--quiet", "-q", help="Print only the image id"),
    Flag("--rewrite-timestamp", help="Let no file be later than SOURCE_DATE_EPOCH"),
    Flag("--service", kind="texts", metavar="NAME=IMAGE", help="Run an image beside RUN, found there under NAME"),
    Flag("--secret", kind="texts", metavar="id=NAME,src=FILE", help="A secret that steps may mount"),
    Flag("--ssh", kind="texts", metavar="ID[=PATH]", help="An SSH agent, or keys, that steps may use"),
    *LIMITS,
    Flag("--shm-size", kind="text", metavar="BYTES", help="Size of /dev/shm of the steps"),
    Flag("--source-date-epoch", kind="text", metavar="SECONDS", help="The time of everything that has a time"),
    Flag("--squash", help="Put all layers of the build into one on top of the base"),
    Flag("--tag", "-t", kind="texts", metavar="[STAGE=]NAME[:TAG]", help="Name for the image, or for a stage"),
    Flag("--target", kind="text", metavar="STAGE", help="Build up to this stage"),
    Flag("--timestamp", kind="text", metavar="SECONDS", help="--source-date-epoch and --rewrite-timestamp in one"),
    Flag("--ulimit", kind="texts", metavar="NAME=SOFT[:HARD]", help="A limit of the steps"),
    Flag("--builder", kind="text", hidden=True),
    Flag("--attest", kind="texts", hidden=True),
    Flag("--provenance", kind="optional", bare="true", hidden=True),
    Flag("--sbom", kind="optional", bare="true", hidden=True),
    *(Flag(f"--{name}", hidden=True) for name in _WITHOUT_EFFECT),
    *(Flag(f"--{name}", kind=kind, hidden=True) for name, (kind, _) in {**_REFUSED, **_IGNORED}.items()),  # type: ignore[arg-type]
)


class BuildRequest(Frozen):
    """All that one command line of `build` says."""

    context: str
    contexts: Mapping[str, NamedContext]
    dockerfile: str | None
    call: Call | None
    target: str | None
    build_args: Mapping[str, str]
    epoch: str
    """What SOURCE_DATE_EPOCH is said to be, perhaps by a word; empty where only the file may say it."""
    platforms: tuple[str, ...]
    host_platform: str
    names: tuple[Reference, ...]
    stage_names: tuple[tuple[str, tuple[Reference, ...]], ...]
    squash: bool
    rewrite: bool
    outputs: tuple[Output, ...]
    options: BuildOptions
    cache_from: tuple[CacheWish, ...]
    cache_to: tuple[CacheWish, ...]
    pull: str
    locked: bool
    words: tuple[str, ...]
    """Words of a command line that build the same again, without outputs; empty where standard input was read."""
    explain: str | None
    progress: str | None
    iidfile: Path | None
    metadata_file: Path | None

    @property
    def platform(self) -> str:
        """The platform, of several the first."""
        return self.platforms[0]

    @property
    def writes_to_stdout(self) -> bool:
        """Whether standard output belongs to an archive."""
        return any(output.destination == STANDARD_OUTPUT for output in self.outputs)


def read_request(args: Arguments, context: Context) -> BuildRequest:
    """Check every flag and give what they ask for. Raises UsageError, NotFound for a secret's source."""
    _refuse(args)
    _warn(args, context)
    host = str(host_platform())
    words = [*_argument_files(args.texts("build-arg-file")), *args.texts("build-arg")]
    asked = read_build_args(words, context.environ)
    build_args = {**asked, **_proxies(context, asked)}
    quiet = args.switch("quiet")
    progress = args.text("progress")
    if quiet and progress not in (None, "auto", "quiet", "none"):
        raise UsageError(f"progress={progress} and quiet cannot be used together")
    annotations: tuple[Annotation, ...] = ()
    if _texts(args, "annotation"):
        from builder.exporters.annotations import read_annotations  # lazy: seldom given

        annotations = read_annotations(_texts(args, "annotation"))
    outputs = read_outputs(_texts(args, "output"), push=args.switch("push"), annotations=annotations)
    if _true(build_args, "BUILDKIT_MULTI_PLATFORM"):
        outputs = tuple(
            output if output.type == "docker" else replace(output, index=True, split=output.split is not False)
            for output in outputs
        )
    names, stage_names = _names(args.texts("tag"))
    options = _options(args, context, build_args)
    for output in outputs:
        _check_deletion(output, options.allow)
        if output.push and not (names or output.names or stage_names):
            raise UsageError("tag is needed when pushing to a registry", hint="give the image a name with --tag")
    return BuildRequest(
        context=args.words[0],
        contexts=read_contexts(_texts(args, "build-context")),
        dockerfile=args.text("file") or None,
        call=read_call(args.text("call") or None, check=args.switch("check")),
        target=args.text("target") or None,
        build_args=build_args,
        epoch=_epoch(args, build_args),
        platforms=_platforms(args.texts("platform"), host),
        host_platform=host,
        names=names,
        stage_names=stage_names,
        squash=args.switch("squash"),
        rewrite=_rewrite(args, outputs),
        outputs=outputs,
        options=options,
        cache_from=_cache(args, "cache-from"),
        cache_to=_cache(args, "cache-to", inline=_true(build_args, "BUILDKIT_INLINE_CACHE")),
        pull=read_policy(args.text("pull")),
        locked=args.switch("locked"),
        words=_words(args, asked),
        explain=_explain(args),
        progress="quiet" if quiet else progress,
        iidfile=_path(args.text("iidfile")),
        metadata_file=_path(args.text("metadata-file")),
    )


def _check_deletion(output: Output, allow: frozenset[str]) -> None:
    """Refuse to delete files elsewhere than below the working directory, unless that was allowed. Raises UsageError."""
    if not output.delete or LOCAL_DELETE in allow:
        return
    here, place = os.path.realpath(os.curdir), os.path.realpath(output.destination or os.curdir)
    if place == here or os.path.commonpath((here, place)) != here:
        raise UsageError(
            f"local output mode=delete for destination {output.destination} requires --allow={LOCAL_DELETE}",
            hint="it would delete what else is there; a directory below the working directory needs no consent",
        )


def _true(build_args: Mapping[str, str], name: str) -> bool:
    return build_args.get(name, "").lower() in ("1", "true", "t")


def _cache(args: Arguments, flag: str, *, inline: bool = False) -> tuple[CacheWish, ...]:
    words = (*_texts(args, flag), "inline") if inline else _texts(args, flag)
    if not words:
        return ()
    from builder.cachetransfer import wishes  # lazy: most builds use the cache of the store alone

    return wishes.read_cache_from(words) if flag == "cache-from" else wishes.read_cache_to(words)


def _words(args: Arguments, build_args: Mapping[str, str]) -> tuple[str, ...]:
    """Write down what decides the result, with the values that came from the environment."""
    if STANDARD_INPUT in (args.words[0], args.text("file")):
        return ()
    words = [f"--build-arg={name}={value}" for name, value in build_args.items()]
    for flag in FLAGS:
        if flag.name not in _OF_THE_RESULT or not args.given(flag.name):
            continue
        if flag.kind == "texts":
            words += [f"--{flag.name}={value}" for value in args.texts(flag.name)]
        elif flag.kind == "switch":
            words.append(f"--{flag.name}={'true' if args.switch(flag.name) else 'false'}")
        else:
            words.append(f"--{flag.name}={args.text(flag.name)}")
    if any(output.rewrite for output in read_outputs(_texts(args, "output"))):
        words.append("--rewrite-timestamp")
    return (*words, "--", args.words[0])


def _on_failure(args: Arguments) -> str | None:
    wanted = args.text("on-failure")
    if wanted not in (None, "keep", "shell"):
        raise UsageError(f'invalid argument "{wanted}" for "--on-failure" flag', hint="write keep or shell")
    if wanted == "shell" and not (os.isatty(0) and os.isatty(1)):
        raise UsageError("--on-failure shell needs a terminal", hint="write --on-failure keep, and `pybuild debug`")
    return wanted


def _explain(args: Arguments) -> str | None:
    """Return the form of the explanation, None where none is asked for."""
    wanted, form = args.text("explain"), args.text("format")
    wanted = {"true": "text", "1": "text", "false": None, "0": None}.get(wanted or "", wanted)
    if form is not None and wanted is None:
        raise UsageError(f"--format {form}: a build has no format of its own", hint="write --explain --format json")
    for text in (wanted, form):
        if text not in (None, "text", "json"):
            raise UsageError(f'invalid argument "{text}" for "--explain" flag', hint="write text or json")
    return form or wanted


def _refuse(args: Arguments) -> None:
    for name, (kind, reason) in _REFUSED.items():
        if args.given(name) and (kind != "switch" or args.switch(name)):
            raise UsageError(f"--{name} cannot be honoured", hint=reason)
    wanted = [name for name in ("provenance", "sbom") if args.text(name) not in (None, "false", "0")]
    wanted += ["attest" for text in args.texts("attest") if "disabled=true" not in text.split(",")]
    for name in wanted:
        raise UsageError(f"--{name} cannot be honoured", hint="attestations are not made yet")


def _warn(args: Arguments, context: Context) -> None:
    for name, (_, reason) in _IGNORED.items():
        if args.given(name):
            context.stderr.write(f"WARNING: --{name} has no effect: {reason}\n")


def _texts(args: Arguments, name: str) -> tuple[str, ...]:
    """Return the values of a flag that say anything."""
    return tuple(filter(None, args.texts(name)))


def _options(args: Arguments, context: Context, build_args: Mapping[str, str]) -> BuildOptions:
    allow = frozenset(word for text in _texts(args, "allow") for word in text.split(",") if word)
    devices = {word for word in allow if word == "device" or word.startswith("device=")}
    for word in sorted(allow - ENTITLEMENTS - devices):
        raise UsageError(
            f'invalid argument "{word}" for "--allow" flag',
            hint=f"there are {', '.join(sorted(ENTITLEMENTS))}, device and device=KIND",
        )
    network = args.text("network") or "default"
    network = "default" if network == "bridge" else network
    if network.startswith("container:"):
        raise UsageError(f"--network {network}: a step has a network of its own", hint="name a network, none or host")
    jobs = args.integer("jobs")
    if jobs is not None and jobs < 1:
        raise UsageError(f'invalid argument "{jobs}" for "--jobs" flag: at least one step must work')
    filters = {word.lower() for text in _texts(args, "no-cache-filter") for word in text.split(",")}
    return BuildOptions(
        network=network,
        add_hosts=tuple(_added_host(text) for text in _texts(args, "add-host")),
        # Who asks for the host's network on the command line has agreed to it for every step.
        allow=allow | {NETWORK_HOST} if network == "host" else allow,
        secrets=read_secrets(_texts(args, "secret"), context.environ),
        ssh=_ssh(_texts(args, "ssh"), context.environ),
        limits=read_limits(args),
        cgroup_parent=_parent(args.text("cgroup-parent")),
        shm_size=_shm_size(args.text("shm-size")),
        ulimits=tuple(_ulimit(text) for text in args.texts("ulimit")),
        no_cache=args.switch("no-cache"),
        no_cache_stages=frozenset(filters),
        labels=_labels(args.texts("label")),
        services=_services(args.texts("service")),
        epoch=int(epoch) if is_seconds(epoch := _epoch(args, build_args)) else None,
        explain=_explain(args) is not None,
        on_failure=_on_failure(args),
        # Steps wait for networks and disks as well: two for each processor, and never less than four.
        jobs=jobs or max(4, 2 * len(os.sched_getaffinity(0))),
        hostname=build_args.get("BUILDKIT_SANDBOX_HOSTNAME", DEFAULT_HOSTNAME),
        cache_namespace=build_args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
    )


def read_build_args(words: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Read NAME=VALUE; NAME alone takes the value from the environment and counts as not given where it has none."""
    found: dict[str, str] = {}
    if "SOURCE_DATE_EPOCH" in environ:
        found["SOURCE_DATE_EPOCH"] = environ["SOURCE_DATE_EPOCH"]
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise UsageError(f'invalid argument "{word}" for "--build-arg" flag: it has no name')
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    return found


def _proxies(context: Context, asked: Mapping[str, str]) -> dict[str, str]:
    """Give the proxies of Docker's client configuration, each in both spellings unless one was asked for."""
    return proxy_variables(context, {spelling for name in asked for spelling in (name.upper(), name.lower())})


def _argument_files(paths: Sequence[str]) -> Iterator[str]:
    """Read files of NAME=VALUE lines; empty lines and comments count for nothing. Raises NotFound."""
    for path in paths:
        try:
            lines = Path(path).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except OSError as error:
            raise NotFound(f"--build-arg-file {path}: {error.strerror}") from error
        for line in lines:
            text = line.strip()
            if text and not text.startswith("#"):
                yield text


def _epoch(args: Arguments, build_args: Mapping[str, str]) -> str:
    return args.text("timestamp") or args.text("source-date-epoch") or build_args.get("SOURCE_DATE_EPOCH", "")


def _labels(words: Sequence[str]) -> dict[str, str]:
    labels = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name:
            raise UsageError(f'invalid argument "{word}" for "--label" flag: it has no name')
        labels[name] = value
    return labels


def _rewrite(args: Arguments, outputs: Sequence[Output]) -> bool:
    """Tell whether files shall have no time after the epoch, which the file may say as well."""
    wanted = args.switch("rewrite-timestamp") or any(output.rewrite for output in outputs)
    return wanted or args.given("timestamp")


def _platforms(words: Sequence[str], host: str) -> tuple[str, ...]:
    wanted = [part.strip() for text in words for part in text.split(",") if part.strip()]
    found = tuple(dict.fromkeys(host if text == "local" else str(parse_platform(text).normalised()) for text in wanted))
    return found or (host,)


def _names(words: Sequence[str]) -> tuple[tuple[Reference, ...], tuple[tuple[str, tuple[Reference, ...]], ...]]:
    """Part names of the image from those of stages, which are written STAGE=NAME."""
    names: list[Reference] = []
    stages: dict[str, list[Reference]] = {}
    for word in words:
        stage, equals, name = word.partition("=")
        if equals and stage:
            stages.setdefault(stage, []).append(_name(name))
        else:
            names.append(_name(word))
    return tuple(names), tuple((stage, tuple(found)) for stage, found in stages.items())


def _name(text: str) -> Reference:
    try:
        reference = parse_reference(text)
    except ReferenceInvalid as error:
        raise UsageError(f'invalid tag "{text}": {error.message}', hint=error.hint) from error
    if reference.digest is not None:
        raise UsageError(f'invalid tag "{text}": a name for a new image cannot have a digest')
    return reference


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _ssh(words: Sequence[str], environ: Mapping[str, str]) -> Mapping[str, SshSource]:
    if not words:
        return {}
    from builder.sshagents import read_ssh  # lazy: most builds need no agent

    return read_ssh(words, environ)


def _services(words: Sequence[str]) -> tuple[Service, ...]:
    if not words:
        return ()
    from builder.services import read_services  # lazy: most builds have none beside them

    return read_services(words)


def _parent(text: str | None) -> str | None:
    if text is None:
        return None
    from builder.stepgroups import check_parent  # lazy: most builds name none

    return check_parent(text)


def _checked(flag: str, text: str, read: Callable[[str], _T]) -> _T:
    """Read one flag's value; what is wrong with it is said with the flag's name."""
    try:
        return read(text)
    except UsageError as error:
        said = f'invalid argument "{text}" for "--{flag}" flag: {error.message}'
        raise UsageError(said, hint=error.hint) from error


def _shm_size(text: str | None) -> int:
    if not text:
        return BuildOptions().shm_size
    from runtime.containers.quantities import parse_size  # only where it was given

    return _checked("shm-size", text, parse_size) or BuildOptions().shm_size


def _ulimit(text: str) -> tuple[str, int, int]:
    from runtime.containers.quantities import parse_ulimit  # only where it was given

    limit = _checked("ulimit", text, parse_ulimit)
    return limit["Name"], limit["Soft"], limit["Hard"]


def _added_host(text: str) -> str:
    """Check `NAME:ADDRESS` or `NAME=ADDRESS`."""
    from runtime.network.resolv import hosts_text  # only where it was given

    _checked("add-host", text, lambda host: hosts_text(hostname="", address=None, add_hosts=[host], gateway="0.0.0.0"))
    return text
