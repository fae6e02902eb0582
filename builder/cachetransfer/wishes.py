"""Read `--cache-from` and `--cache-to`, and do what they ask for around a build."""

from __future__ import annotations

import base64
import csv
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cachetransfer.document import CacheDocument
from builder.cachetransfer.exporting import Packing, describe_layers, send
from builder.cachetransfer.importing import SharedCache, read_offers
from builder.cachetransfer.places import DirectoryPlace, Place, registry_place
from frozen import Frozen, field, replace
from runtime.errors import Cancelled, PybuildError, UsageError
from runtime.oci.digests import ChainID, Digest

if TYPE_CHECKING:
    from builder.plan import Plan
    from builder.records import Record
    from builder.reporter import Reporter
    from builder.solver import BuildResult, Solver
    from runtime.oci.documents import Descriptor
    from runtime.store.compression import Compression
    from runtime.store.facade import Store

_COMPRESSIONS: Mapping[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}
_FROM = {"local": ("src", "tag"), "registry": ("ref", "registry.insecure")}
_LAYERS = ("mode", "compression", "compression-level", "force-compression", "ignore-error")
_FORM = ("oci-mediatypes", "image-manifest")
_TO = {
    "local": ("dest", "tag", *_LAYERS, "reset", *_FORM),
    "registry": ("ref", "registry.insecure", *_LAYERS, *_FORM),
    "inline": ("mode",),  # which says nothing: as in BuildKit, the image's own layers are in it
}
_ELSEWHERE = ("gha", "s3", "azblob")


class CacheWish(Frozen):
    """One `--cache-from` or `--cache-to`: `type` is local, registry or inline."""

    type: str
    place: str = ""
    tag: str = "latest"
    mode: str = "min"
    compression: str = "gzip"
    level: int | None = None
    force: bool = False
    reset: bool = False
    ignore_error: bool = False
    insecure: bool = False


class BuildCache(Frozen):
    """What one build used and made: its records and aliases, and the trees that it stands on and led to."""

    records: Mapping[Digest, Record] = field(default_factory=dict)
    aliases: Mapping[Digest, Digest] = field(default_factory=dict)


def read_cache_from(words: Iterable[str]) -> tuple[CacheWish, ...]:
    """Read `--cache-from`: `type=…`, or a name alone, which is a registry's. Raises UsageError."""
    return tuple(_read(word, "cache-from", _FROM) for word in words)


def read_cache_to(words: Iterable[str]) -> tuple[CacheWish, ...]:
    """Read `--cache-to`. Raises UsageError."""
    return tuple(_read(word, "cache-to", _TO) for word in words)


def _read(word: str, flag: str, known: Mapping[str, tuple[str, ...]]) -> CacheWish:
    fields = next(csv.reader([word]), [])
    if len(fields) == 1 and fields[0] and "=" not in fields[0]:
        return CacheWish(type="registry", place=fields[0]) if fields[0] != "inline" else CacheWish(type="inline")
    values: dict[str, str] = {}
    for part in fields:
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f'invalid argument "{word}" for "--{flag}" flag: {part!r} is no NAME=VALUE')
        values[name.strip().lower()] = value
    kind = values.pop("type", "")
    if kind in _ELSEWHERE:
        raise UsageError(f"--{flag} type={kind} is not supported", hint="use type=registry, or type=local and a copy")
    if kind == "inline" and flag == "cache-from":
        raise UsageError("--cache-from type=inline: name the image", hint="write type=registry,ref=IMAGE")
    if kind not in known:
        raise UsageError(f'invalid argument "{word}" for "--{flag}" flag', hint=f"type is {', '.join(sorted(known))}")
    for name in values:
        if name not in known[kind]:
            hint = f"it takes {', '.join(known[kind])}" if known[kind] else None
            raise UsageError(f"--{flag} {word}: {name} is not supported for type={kind}", hint=hint)
    return _wish(word, flag, kind, values)


def _wish(word: str, flag: str, kind: str, values: Mapping[str, str]) -> CacheWish:
    place = values.get("ref") or values.get("src") or values.get("dest") or ""
    if not place and kind != "inline":
        name = "ref" if kind == "registry" else "src" if flag == "cache-from" else "dest"
        raise UsageError(f"--{flag} {word}: {name} is required")
    mode = values.get("mode", "min")
    if mode not in ("min", "max"):
        raise UsageError(f"--{flag} {word}: mode is min or max")
    compression = values.get("compression", "gzip")
    if compression not in _COMPRESSIONS:
        raise UsageError(f"--{flag} {word}: there is no compression {compression}", hint="gzip, zstd or uncompressed")
    level = values.get("compression-level")
    if level is not None and not (level.isascii() and level.isdecimal() and int(level) <= 22):
        raise UsageError(f"--{flag} {word}: compression-level is a number from 0 to 22")
    for name in _FORM:
        if values.get(name, "true") not in ("true", "1"):
            raise UsageError(f"--{flag} {word}: a cache is always an OCI manifest", hint=f"leave {name} out")
    return CacheWish(
        type=kind,
        place=place,
        tag=values.get("tag", "latest"),
        mode=mode,
        compression=compression,
        level=None if level is None else int(level),
        force=values.get("force-compression") in ("true", "1"),
        reset=values.get("reset") in ("true", "1"),
        ignore_error=values.get("ignore-error") in ("true", "1"),
        insecure=values.get("registry.insecure") in ("true", "1"),
    )


def open_shared(store: Store, wishes: Sequence[CacheWish], reporter: Reporter, stack: ExitStack) -> SharedCache | None:
    """Read the caches that a build may take from; they stay open as long as `stack`. A missing one is a warning."""
    if not wishes:
        return None
    offered = []
    for wish in wishes:
        with reporter.working(f"importing cache manifest from {wish.place}"):
            place = _open(store, wish, stack, write=False)
            offered += read_offers((place,), reporter.warn)
    return SharedCache(store, offered) if offered else None


def export_caches(
    store: Store,
    wishes: Sequence[CacheWish],
    cache: BuildCache,
    plans: Sequence[Plan],
    chains: Sequence[ChainID],
    reporter: Reporter,
    shared: SharedCache | None = None,
) -> None:
    """Write the caches that a build was asked for; `chains` are the trees that it led to. Raises PybuildError."""
    for wish in wishes:
        if wish.type == "inline":
            continue
        with reporter.working(f"exporting cache to {wish.type} {wish.place}") as vertex, ExitStack() as stack:
            try:
                place = _open(store, wish, stack, write=True)
                document, blobs = _described(store, wish, cache, plans, chains, shared=shared)
                sent = send(store, place, document, blobs, elsewhere=shared)
                vertex.status(f"writing cache manifest {sent.digest}", done=True)
                vertex.status(f"{sent.written} of {sent.total} bytes were new", done=True)
            except Cancelled:
                raise
            except PybuildError as error:
                if not wish.ignore_error:
                    raise
                reporter.warn(f"cache {wish.place} was not written: {error.message}")


def write_caches(
    builds: Sequence[BuildResult],
    solvers: Sequence[Solver],
    store: Store,
    wishes: Sequence[CacheWish],
    reporter: Reporter,
    shared: SharedCache | None = None,
) -> None:
    """Write the caches that were asked for. Raises PybuildError.

    What the build knew from `shared`, still open, and did not have to fetch is passed on.
    """
    cache = BuildCache(
        records={key: record for solver in solvers for key, record in solver.cache.records.items()},
        aliases={alias: key for solver in solvers for alias, key in solver.cache.aliases.items()},
    )
    plans = [solver.plan for solver in solvers]
    chains = [build.stage.result.chain for build in builds if build.stage.result.chain is not None]
    export_caches(store, wishes, cache, plans, chains, reporter, shared)


def with_inline(
    builds: Sequence[BuildResult], solvers: Sequence[Solver], store: Store, wishes: Sequence[CacheWish]
) -> tuple[BuildResult, ...]:
    """Let the images carry their caches if that was asked for; `solvers` begin with those of `builds`."""
    if not any(wish.type == "inline" for wish in wishes):
        return tuple(builds)
    return tuple(
        replace(build, inline=inline_document(store, solver.cache, solver.plan, build.stage.result.chain))
        for build, solver in zip(builds, solvers, strict=False)
    )


def inline_document(store: Store, cache: BuildCache, plan: Plan, chain: ChainID | None) -> str:
    """Put a cache into words for an image's config: all records, and the image's own layers."""
    chains = () if chain is None else (chain,)
    document, _ = _described(store, CacheWish(type="inline"), cache, (plan,), chains, make=False)
    return base64.b64encode(zlib.compress(document.encode(bare=True), 9)).decode()


def _described(
    store: Store,
    wish: CacheWish,
    cache: BuildCache,
    plans: Sequence[Plan],
    chains: Sequence[ChainID],
    *,
    make: bool = True,
    shared: SharedCache | None = None,
) -> tuple[CacheDocument, tuple[Descriptor, ...]]:
    without = {layer for plan in plans for layer in _of_bases(store, plan)}
    wanted = None
    if wish.mode != "max":
        wanted = {layer for chain in chains for layer in _stack(store, chain)} - without
    layers, blobs = describe_layers(
        store,
        cache.records.values(),
        more=chains,
        without=without,
        wanted=wanted,
        packing=Packing(_COMPRESSIONS[wish.compression], wish.level, force=wish.force),
        make=make,
        elsewhere=shared,
    )
    records = tuple(cache.records.values())
    return CacheDocument(records=records, aliases=cache.aliases, layers=layers), blobs


def _of_bases(store: Store, plan: Plan) -> set[ChainID]:
    """Collect the layers of the images that a build stands on: whoever takes the cache has those images as well."""
    found: set[ChainID] = set()
    for stage in plan.stages:
        if stage.base is not None:
            found |= _stack(store, stage.base.result.chain)
    return found


def _stack(store: Store, chain: ChainID | None) -> set[ChainID]:
    found: set[ChainID] = set()
    while chain is not None:
        found.add(chain)
        snapshot = store.snapshots.get(chain)
        chain = None if snapshot is None else snapshot.parent
    return found


def _open(store: Store, wish: CacheWish, stack: ExitStack, *, write: bool) -> Place:
    if wish.type == "local":
        return DirectoryPlace(Path(wish.place), wish.tag, reset=wish.reset)
    return stack.enter_context(registry_place(store.context, wish.place, write=write, insecure=wish.insecure))
