"""Export a build: give the image its id and names, and write the other outputs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from builder import imagestate
from builder.exporters.outputs import STANDARD_OUTPUT, Output
from builder.options import BuildOptions
from builder.records import Records
from builder.reporter import Reporter, Vertex
from builder.solver import BuildResult
from frozen import Frozen
from runtime.errors import PybuildError, UsageError
from runtime.oci.digests import ChainID, DiffID, Digest, canonical_json, sha256_of
from runtime.oci.references import Reference, parse_reference

if TYPE_CHECKING:
    from runtime.store.compression import Compression
    from runtime.store.facade import Store
    from runtime.store.images import Image

INLINE_CACHE = "vnd.pybuild.cache.v1"
"""Where an image's configuration has the cache that it carries (`--cache-to type=inline`)."""
_COMPRESSIONS: Mapping[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}


class Exported(Frozen):
    """The image: its id, and the names that it has now."""

    id: Digest
    names: tuple[Reference, ...]


def export(
    build: BuildResult,
    store: Store,
    options: BuildOptions,
    reporter: Reporter,
    *,
    outputs: Sequence[Output],
    names: Sequence[Reference],
) -> Exported:
    """Write every output. `names` go to the image where it is kept, and into archives."""
    config = image_config(build, store, options)
    image_id = sha256_of(config)
    kept: tuple[Reference, ...] = ()
    for output in outputs:
        store.context.cancel.check()
        if output.type == "cacheonly":
            continue
        wanted = (*names, *(parse_reference(name) for name in output.names))
        with reporter.working(_title(output)) as vertex:
            if output.type == "image":
                _keep(store, config, image_id, wanted, vertex)
                kept = tuple(name.tagged() for name in wanted)
            else:
                _write(build, store, output, vertex, config=config, names=wanted)
    return Exported(id=image_id, names=kept)


def image_config(build: BuildResult, store: Store, options: BuildOptions) -> bytes:
    """Return the image's configuration as the bytes that its id is the digest of."""
    state = imagestate.with_labels(build.stage.state, options.labels)
    diff_ids = _diff_ids(store, build.stage.result.chain)
    fallback = 0
    if options.epoch is None and not any(entry.created is not None for entry in state.history if not entry.inherited):
        undated = imagestate.document_of(state, diff_ids, fallback=0, epoch=None)
        fallback = Records(store).created_of(sha256_of(canonical_json(undated)), store.context.now())
    document = imagestate.document_of(state, diff_ids, fallback=fallback, epoch=options.epoch)
    document.pop(INLINE_CACHE, None)  # a base's own
    if build.inline:
        document[INLINE_CACHE] = build.inline
    return canonical_json(document)


def _diff_ids(store: Store, chain: ChainID | None) -> list[DiffID]:
    found: list[DiffID] = []
    while chain is not None:
        snapshot = store.snapshots.get(chain)
        if snapshot is None:
            raise PybuildError(f"layer {chain} was removed while the image was built", hint="build again")
        found.append(snapshot.diff_id)
        chain = snapshot.parent
    return found[::-1]


def _title(output: Output) -> str:
    match output.type:
        case "image":
            return "exporting to image"
        case "local":
            return "exporting to client directory"
        case "tar":
            return "exporting to client tarball"
        case kind:
            return f"exporting to {kind} image format"


def _keep(store: Store, config: bytes, image_id: Digest, names: Sequence[Reference], vertex: Vertex) -> None:
    """Record the image and its names, unless all of it is there already."""
    tagged = [name.tagged() for name in names]
    known = store.images.resolve_id(image_id) is not None
    if not known or any(store.images.resolve_id(str(name)) != image_id for name in tagged):
        store.snapshots.settle()
        store.images.record(config, tagged)
    vertex.status(f"writing image {image_id}", done=True)
    for name in tagged:
        vertex.status(f"naming to {name}", done=True)


def _write(
    build: BuildResult, store: Store, output: Output, vertex: Vertex, *, config: bytes, names: Sequence[Reference]
) -> None:
    from builder.exporters.trees import write_tree, write_tree_tar  # lazy: most builds write no tree

    cancel = store.context.cancel
    if output.type == "local":
        vertex.status("copying files")
        with store.snapshots.view(build.stage.result.chain) as view:
            write_tree(view, Path(output.destination or ""), cancel)
    elif output.type == "tar":
        vertex.status("sending tarball")
        with _destination(output) as sink, store.snapshots.view(build.stage.result.chain) as view:
            write_tree_tar(view, sink, cancel)
    else:
        _write_archive(store, output, config, names, vertex)


def _write_archive(store: Store, output: Output, config: bytes, names: Sequence[Reference], vertex: Vertex) -> None:
    from runtime.store import archive  # lazy: only for this output

    store.snapshots.settle()
    known = store.images.resolve_id(sha256_of(config)) is not None
    image: Image = store.images.record(config)
    vertex.status("exporting layers")
    manifest = store.images.manifest(image, _COMPRESSIONS[output.attributes["compression"]])
    vertex.status(f"exporting manifest {manifest.digest}", done=True)
    vertex.status(f"exporting config {image.id}", done=True)
    selected = archive.Selected(
        image=image, names=tuple(name.tagged() for name in names), manifest=manifest, target=manifest
    )
    with _destination(output) as sink:
        archive.write_archive(store, (selected,), sink)
    if not known:
        store.images.remove(image)  # it was asked for outside of the store only


@contextmanager
def _destination(output: Output) -> Iterator[BinaryIO]:
    """Open where an archive goes: a file that gets its name when it is whole, or standard output."""
    if output.destination == STANDARD_OUTPUT:
        stream = sys.stdout.buffer
        if stream.isatty():
            raise UsageError(
                f"--output type={output.type} would write to the terminal", hint="give it dest=FILE, or redirect"
            )
        yield cast(BinaryIO, stream)
        stream.flush()
        return
    path = Path(output.destination or "")
    if path.is_dir():
        raise UsageError(f"--output dest={path} is a directory", hint="name a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except FileNotFoundError as error:
        raise PybuildError(f"--output dest={path}: {error.strerror}", hint="make its directory first") from error
    finally:
        temporary.unlink(missing_ok=True)
