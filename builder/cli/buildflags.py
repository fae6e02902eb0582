"""Declare the flags of `build` and read them into one request; one that cannot be honoured is refused, not ignored."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.calls import Call, read_call
from builder.exporters.outputs import STANDARD_OUTPUT, Output, read_outputs
from builder.namedcontexts import NamedContext, read_contexts
from builder.options import DEFAULT_HOSTNAME, ENTITLEMENTS, NETWORK_HOST, BuildOptions
from builder.secrets import read_secrets
from frozen import Frozen
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag
from runtime.containers.images import read_policy
from runtime.context import Context
from runtime.errors import ReferenceInvalid, UsageError
from runtime.oci.platforms import host_platform, parse_platform
from runtime.oci.references import Reference, parse_reference

if TYPE_CHECKING:
    from builder.cachetransfer.wishes import CacheWish

STANDARD_INPUT = "-"

_REFUSED: Mapping[str, tuple[str, str]] = {
    "annotation": ("texts", "annotations are not written yet: use --label"),
    "attest": ("texts", "attestations are not made yet"),
    "cgroup-parent": ("text", "steps cannot be put below another cgroup yet"),
    "policy": ("texts", "policies are not there yet"),
    "push": ("switch", "pushing comes with the registry client: write --output type=oci,dest=FILE and copy that"),
    "resource": ("texts", "limits for steps are not there yet"),
    "squash": ("switch", "layers cannot be squashed yet"),
    "ssh": ("texts", "ssh agents are not passed on yet: use --secret"),
    "memory": ("text", "limits for steps are not there yet"),
    "memory-swap": ("text", "limits for steps are not there yet"),
    "cpu-shares": ("text", "limits for steps are not there yet"),
    "cpu-quota": ("text", "limits for steps are not there yet"),
    "cpu-period": ("text", "limits for steps are not there yet"),
    "cpuset-cpus": ("text", "limits for steps are not there yet"),
    "cpuset-mems": ("text", "limits for steps are not there yet"),
    "isolation": ("text", "there is one isolation, by namespaces"),
    "security-opt": ("texts", "security options of steps cannot be changed"),
}
"""Flags of buildx and of the classic builder that change what is built, and why they cannot be honoured."""
_WITHOUT_EFFECT = ("compress", "force-rm", "rm", "disable-content-trust", "load", "layers")
"""Switches that ask for what is done anyway, or for what never was part of a result."""

FLAGS = (
    Flag("--add-host", kind="texts", metavar="HOST:IP", help="Add a custom host-to-IP mapping to the steps"),
    Flag("--allow", kind="texts", metavar="ENTITLEMENT", help="Allow 'network.host' or 'security.insecure'"),
    Flag("--call", kind="text", metavar="METHOD", help="Answer a question: check, outline or targets"),
    Flag("--check", help="Check the Dockerfile (short for --call=check)"),
    Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build-time variable"),
    Flag("--cache-from", kind="texts", metavar="PLACE", help="Take from this cache: type=registry,ref=NAME or local"),
    Flag("--cache-to", kind="texts", metavar="PLACE", help="Write the cache: type=registry|local|inline,mode=min|max"),
    Flag("--explain", kind="optional", bare="text", metavar="FORM", help="Say why each step ran: text or json"),
    Flag("--build-context", kind="texts", metavar="NAME=WHERE", help="A further context: a directory, image or URL"),
    Flag("--file", "-f", kind="text", metavar="FILE", help="Name of the Dockerfile (default: PATH/Dockerfile)"),
    Flag("--format", kind="text", metavar="FORM", help="Form of --explain: text or json"),
    Flag("--iidfile", kind="text", metavar="FILE", help="Write the image id to a file"),
    Flag("--jobs", kind="integer", metavar="N", help="Let at most N steps work at once"),
    Flag("--label", kind="texts", metavar="NAME=VALUE", help="Set metadata for the image"),
    Flag("--locked", help="Build with what pybuild.lock pins, and nothing else"),
    Flag("--metadata-file", kind="text", metavar="FILE", help="Write what was built as JSON to a file"),
    Flag("--network", kind="text", metavar="MODE", help="Network of RUN: 'default', 'none' or 'host'"),
    Flag("--no-cache", help="Run every step anew"),
    Flag("--no-cache-filter", kind="texts", metavar="STAGE", help="Run the steps of these stages anew"),
    Flag("--output", "-o", kind="texts", metavar="WHAT", help="Where to write to, as type=oci,dest=FILE"),
    Flag("--platform", kind="texts", metavar="PLATFORM", help="Platform of the image, as linux/amd64"),
    Flag("--progress", kind="text", metavar="KIND", help="How to show it: auto, tty, plain, rawjson, quiet"),
    Flag("--pull", kind="optional", bare="always", metavar="POLICY", help="When to ask a registry for the base"),
    Flag("--quiet", "-q", help="Print only the image id"),
    Flag("--secret", kind="texts", metavar="id=NAME,src=FILE", help="A secret that steps may mount"),
    Flag("--shm-size", kind="text", metavar="BYTES", help="Size of /dev/shm of the steps"),
    Flag("--tag", "-t", kind="texts", metavar="NAME[:TAG]", help="Name for the image"),
    Flag("--target", kind="text", metavar="STAGE", help="Build up to this stage"),
    Flag("--ulimit", kind="texts", metavar="NAME=SOFT[:HARD]", help="A limit of the steps"),
    Flag("--builder", kind="text", hidden=True),
    Flag("--provenance", kind="optional", bare="true", hidden=True),
    Flag("--sbom", kind="optional", bare="true", hidden=True),
    *(Flag(f"--{name}", hidden=True) for name in _WITHOUT_EFFECT),
    *(Flag(f"--{name}", kind=kind, hidden=True) for name, (kind, _) in _REFUSED.items()),  # type: ignore[arg-type]
)


class BuildRequest(Frozen):
    """All that one command line of `build` says."""

    context: str
    contexts: Mapping[str, NamedContext]
    dockerfile: str | None
    call: Call | None
    target: str | None
    build_args: Mapping[str, str]
    platform: str
    host_platform: str
    names: tuple[Reference, ...]
    outputs: tuple[Output, ...]
    options: BuildOptions
    cache_from: tuple[CacheWish, ...]
    cache_to: tuple[CacheWish, ...]
    pull: str
    locked: bool
    explain: str | None
    progress: str | None
    iidfile: Path | None
    metadata_file: Path | None

    @property
    def writes_to_stdout(self) -> bool:
        """Whether standard output belongs to an archive."""
        return any(output.destination == STANDARD_OUTPUT for output in self.outputs)


def read_request(args: Arguments, context: Context) -> BuildRequest:
    """Check every flag and give what they ask for. Raises UsageError, NotFound for a secret's source."""
    _refuse(args)
    host = str(host_platform())
    build_args = read_build_args(args.texts("build-arg"), context.environ)
    quiet = args.switch("quiet")
    progress = args.text("progress")
    if quiet and progress not in (None, "auto", "quiet"):
        raise UsageError(f"progress={progress} and quiet cannot be used together")
    return BuildRequest(
        context=args.words[0],
        contexts=read_contexts(args.texts("build-context")),
        dockerfile=args.text("file"),
        call=read_call(args.text("call"), check=args.switch("check")),
        target=args.text("target"),
        build_args=build_args,
        platform=_platform(args.texts("platform"), host),
        host_platform=host,
        names=tuple(_name(text) for text in args.texts("tag")),
        outputs=read_outputs(args.texts("output")),
        options=_options(args, context, build_args),
        cache_from=_cache(args, "cache-from"),
        cache_to=_cache(args, "cache-to"),
        pull=read_policy(args.text("pull")),
        locked=args.switch("locked"),
        explain=_explain(args),
        progress="quiet" if quiet else progress,
        iidfile=_path(args.text("iidfile")),
        metadata_file=_path(args.text("metadata-file")),
    )


def _cache(args: Arguments, flag: str) -> tuple[CacheWish, ...]:
    words = args.texts(flag)
    if not words:
        return ()
    from builder.cachetransfer import wishes  # lazy: most builds use the cache of the store alone

    return wishes.read_cache_from(words) if flag == "cache-from" else wishes.read_cache_to(words)


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
    for name in ("provenance", "sbom"):
        if args.text(name) not in (None, "false", "0"):
            raise UsageError(f"--{name} cannot be honoured", hint="attestations are not made yet")


def _options(args: Arguments, context: Context, build_args: Mapping[str, str]) -> BuildOptions:
    allow = frozenset(word for text in args.texts("allow") for word in text.split(","))
    for word in sorted(allow - ENTITLEMENTS):
        raise UsageError(
            f'invalid argument "{word}" for "--allow" flag', hint=f"write {' or '.join(sorted(ENTITLEMENTS))}"
        )
    network = args.text("network") or "default"
    network = "default" if network == "bridge" else network
    if network not in ("default", "none", "host"):
        raise UsageError(f"--network {network}: builds know default, none and host only")
    jobs = args.integer("jobs")
    if jobs is not None and jobs < 1:
        raise UsageError(f'invalid argument "{jobs}" for "--jobs" flag: at least one step must work')
    filters = {word.lower() for text in args.texts("no-cache-filter") for word in text.split(",")}
    return BuildOptions(
        network=network,
        add_hosts=args.texts("add-host"),
        # Who asks for the host's network on the command line has agreed to it for every step.
        allow=allow | {NETWORK_HOST} if network == "host" else allow,
        secrets=read_secrets(args.texts("secret"), context.environ),
        shm_size=_size("shm-size", args.text("shm-size") or "64m"),
        ulimits=tuple(_ulimit(text) for text in args.texts("ulimit")),
        no_cache=args.switch("no-cache"),
        no_cache_stages=frozenset(filters),
        labels=_labels(args.texts("label")),
        epoch=_epoch(build_args),
        explain=_explain(args) is not None,
        jobs=jobs or max(2, len(os.sched_getaffinity(0))),
        hostname=build_args.get("BUILDKIT_SANDBOX_HOSTNAME", DEFAULT_HOSTNAME),
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


def _epoch(build_args: Mapping[str, str]) -> int | None:
    text = build_args.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise UsageError(f"invalid SOURCE_DATE_EPOCH: {text}", hint="give whole seconds since 1970")
    return int(text)


def _labels(words: Sequence[str]) -> dict[str, str]:
    labels = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name:
            raise UsageError(f'invalid argument "{word}" for "--label" flag: it has no name')
        labels[name] = value
    return labels


def _platform(words: Sequence[str], host: str) -> str:
    wanted = [part for text in words for part in text.split(",") if part]
    if len(wanted) > 1:
        raise UsageError("an image for several platforms cannot be built at once yet", hint="build one after another")
    return str(parse_platform(wanted[0])) if wanted else host


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


def _size(flag: str, text: str) -> int:
    units = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number = text.lower().removesuffix("b").rstrip("kmg")
    unit = text.lower().removesuffix("b")[len(number) :]
    if not (number.isascii() and number.isdecimal()) or unit not in units:
        raise UsageError(f'invalid argument "{text}" for "--{flag}" flag', hint="write a size as 64m or 1g")
    return int(number) * units[unit]


def _ulimit(text: str) -> tuple[str, int, int]:
    name, _, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    try:
        first = int(soft)
        return name, first, int(hard) if colon else first
    except ValueError:
        raise UsageError(f'invalid argument "{text}" for "--ulimit" flag', hint="write nofile=1024:4096") from None
