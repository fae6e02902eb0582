"""Export what was built: give images their ids and names, write the other outputs, push."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builder import imagestate
from builder.exporters.manifests import Configured, Written, write_documents
from builder.exporters.outputs import Output
from builder.options import BuildOptions
from builder.records import Records
from builder.reporter import Reporter, Vertex
from builder.solver import BuildResult
from frozen import Frozen, replace
from runtime.errors import PybuildError, UsageError
from runtime.oci.digests import ChainID, DiffID, Digest, canonical_json, sha256_of
from runtime.oci.references import Reference, parse_reference

if TYPE_CHECKING:
    from runtime.oci.documents import Descriptor
    from runtime.store.facade import Store


class Exported(Frozen):
    """What came of a build: the image's id (of several, the index' digest), its names, and the `top` document if any.

    `config` is the id of the image, of several that of the first platform.
    """

    id: Digest
    config: Digest
    names: tuple[Reference, ...]
    top: Descriptor | None = None
    images: tuple[Configured, ...] = ()


def export(
    builds: Sequence[BuildResult],
    store: Store,
    options: BuildOptions,
    reporter: Reporter,
    *,
    outputs: Sequence[Output],
    names: Sequence[Reference],
) -> Exported:
    """Write every output; `builds` are one a platform. `names` go to images that are kept, and into archives."""
    images = tuple(_configured(build, store, options) for build in builds)
    kept: tuple[Reference, ...] = ()
    top: Descriptor | None = None
    for output in outputs:
        store.context.cancel.check()
        if output.type == "cacheonly":
            continue
        wanted = (*names, *(parse_reference(name) for name in output.names))
        if output.type == "image":
            written = _export_image(store, images, output, wanted, reporter)
            kept = tuple(dict.fromkeys((*kept, *(name if output.by_digest else name.tagged() for name in wanted))))
        else:
            with reporter.working(_title(output)) as vertex:
                if output.type in ("local", "tar"):
                    written = None
                    _write_trees(builds, store, output, vertex, options.epoch)
                else:
                    written = _write_archive(store, images, output, wanted, vertex)
        top = top or (None if written is None else written.top)
    if len(images) > 1:
        top = top or write_documents(store, images, Output(type="image")).top
        return Exported(id=top.digest, config=images[0].id, names=kept, top=top, images=images)
    return Exported(id=images[0].id, config=images[0].id, names=kept, top=top, images=images)


def image_config(build: BuildResult, store: Store, options: BuildOptions) -> bytes:
    """Return the image's configuration as the bytes that its id is the digest of."""
    return _configured(build, store, options).config


def _configured(build: BuildResult, store: Store, options: BuildOptions) -> Configured:
    state = imagestate.with_labels(build.stage.state, options.labels)
    diff_ids = _diff_ids(store, build.stage.result.chain)
    fallback = 0
    if options.epoch is None and not any(entry.created is not None for entry in state.history if not entry.inherited):
        undated = imagestate.document_of(state, diff_ids, fallback=0, epoch=None)
        fallback = Records(store).created_of(sha256_of(canonical_json(undated)), store.context.now())
    document = imagestate.document_of(state, diff_ids, fallback=fallback, epoch=options.epoch)
    document.pop(imagestate.INLINE_CACHE, None)  # a base's own
    if build.inline:
        document[imagestate.INLINE_CACHE] = build.inline
    config = canonical_json(document)
    return Configured(platform=build.platform, config=config, id=sha256_of(config), diff_ids=tuple(diff_ids))


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


def _export_image(
    store: Store, images: Sequence[Configured], output: Output, wanted: Sequence[Reference], reporter: Reporter
) -> Written | None:
    """Keep the image, unless that is not wanted, and push it if that is."""
    targets: tuple[Reference, ...] = ()
    if output.push:
        from builder.exporters.pushing import push_names, pushed_names  # lazy: 100 ms of HTTP

        targets = pushed_names(wanted, output)
    with reporter.working(_title(output)) as vertex:
        if output.store:
            tagged = () if output.by_digest else tuple(name.tagged() for name in wanted)
            written = _keep(store, images, output, tagged, vertex)
        else:
            written = write_documents(store, images, output) if output.needs_manifest else None
    if targets:
        assert written is not None
        own = _of_this_machine(images, written)[0]
        image = store.images.get(own.id) if output.store else None
        push_names(store, targets, written.top, image, output, reporter)
    return written


def _keep(
    store: Store, images: Sequence[Configured], output: Output, tagged: Sequence[Reference], vertex: Vertex
) -> Written | None:
    """Record the image and its names, unless all of it is there already; of several, the names mean their index."""
    written = None
    own = images[0]
    if len(images) > 1 or output.needs_manifest:
        vertex.status("exporting layers")
        written = write_documents(store, images, output)
        own, manifest = _of_this_machine(images, written)
        target = written.top if len(images) > 1 or output.index else None
        digests = [replace(name, tag=None, digest=written.top.digest) for name in tagged] if output.canonical else ()
        store.images.record(own.config, (*tagged, *digests), manifest=manifest, target=target)
        _show(vertex, written, images)
    elif not _is_there(store, own.id, tagged):
        store.images.record(own.config, tagged)
    vertex.status(f"writing image {own.id}", done=True)
    for name in tagged:
        vertex.status(f"naming to {name}", done=True)
    return written


def _is_there(store: Store, image_id: Digest, tagged: Sequence[Reference]) -> bool:
    """Tell whether an image is recorded under its names, none of which means an index."""
    if store.images.resolve_id(image_id) is None:
        return False
    return all(store.images.resolve_id(str(name)) == image_id and store.images.target(name) is None for name in tagged)


def _of_this_machine(images: Sequence[Configured], written: Written) -> tuple[Configured, Descriptor]:
    """Choose the image that a name leads to when nothing else is said."""
    from runtime.oci.platforms import best, host_platform, parse_platform

    index = best(host_platform(), [parse_platform(image.platform) for image in images]) if len(images) > 1 else 0
    return images[index or 0], written.manifests[index or 0]


def _show(vertex: Vertex, written: Written, images: Sequence[Configured]) -> None:
    for manifest, image in zip(written.manifests, images, strict=True):
        vertex.status(f"exporting manifest {manifest.digest}", done=True)
        vertex.status(f"exporting config {image.id}", done=True)
    if written.top not in written.manifests:
        vertex.status(f"exporting manifest list {written.top.digest}", done=True)


def _write_trees(
    builds: Sequence[BuildResult], store: Store, output: Output, vertex: Vertex, epoch: int | None
) -> None:
    from builder.exporters import trees  # lazy: most builds write no tree
    from builder.exporters.destinations import open_destination

    cancel = store.context.cancel
    split = output.split if output.split is not None else len(builds) > 1
    vertex.status("copying files" if output.type == "local" else "sending tarball")
    with ExitStack() as stack:
        views = [
            (
                build.platform.replace("/", "_") if split else "",
                stack.enter_context(store.snapshots.view(build.stage.result.chain)),
            )
            for build in builds
        ]
        if output.type == "local":
            destination = Path(output.destination or "")
            if not split:
                platforms = [build.platform for build in builds]
                trees.refuse_meetings([(name, view) for name, (_, view) in zip(platforms, views, strict=True)], cancel)
            for name, view in views:
                trees.write_tree(view, destination / name, cancel, epoch=epoch)
                if name:  # a platform's directory is no image's: without an epoch it has no time, as in a tar
                    os.utime(destination / name, (epoch or 0, epoch or 0))
            if output.delete:
                trees.remove_stale(views, destination, cancel)
            return
        if len(views) > 1 and not split:
            raise UsageError("--output type=tar: several platforms in one tree", hint="leave platform-split=false out")
        trees.write_tree_tars(views, stack.enter_context(open_destination(output)), cancel, epoch=epoch)


def _write_archive(
    store: Store, images: Sequence[Configured], output: Output, names: Sequence[Reference], vertex: Vertex
) -> Written:
    if output.type == "docker" and len(images) > 1:
        raise UsageError("docker exporter does not support several platforms", hint="write type=oci")
    vertex.status("exporting layers")
    written = write_documents(store, images, output)
    _show(vertex, written, images)
    if not output.tar:
        from builder.exporters.layout import write_layout  # lazy: only for this output

        write_layout(store, Path(output.destination or ""), written.top, [name.tagged() for name in names])
        return written
    from builder.exporters.destinations import open_destination  # lazy: only for this output
    from runtime.store import archive

    own, manifest = _of_this_machine(images, written)
    known = store.images.resolve_id(own.id) is not None
    image = store.images.record(own.config)
    selected = archive.Selected(
        image=image, names=tuple(name.tagged() for name in names), manifest=manifest, target=written.top
    )
    with open_destination(output) as sink:
        archive.write_archive(store, (selected,), sink)
    if not known:
        store.images.remove(image)  # it was asked for outside of the store only
    return written
