"""Make a base image of a tree of files: what FROM a named context means that is a directory, archive or repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builder.interfaces import BaseImage, Result, SourceChanged
from builder.keys import base_content, next_content
from builder.layering import Style, open_layer
from builder.trees import plan_copy
from runtime.errors import PybuildError

if TYPE_CHECKING:
    from builder.interfaces import BuildContext
    from runtime.store.facade import Store


def base_of_tree(store: Store, name: str, tree: BuildContext, platform: str) -> BaseImage:
    """Copy all of `tree` into a layer of its own; the image has that layer and an empty configuration.

    Raises PybuildError where a file is written while it is copied.
    """
    plan = plan_copy(tree, b"")
    style = Style(created_ns=plan.entries.newest or 0)
    with store.snapshots.prepare(None) as preparation:
        try:
            with open_layer(preparation.upperdir, None) as layer:
                layer.make_directory(b"", style)
                layer.add(tree, b"", plan, b"", style)
        except SourceChanged as error:
            raise PybuildError(
                f"{error.path} changed while it was being read", hint="build again when nothing writes to the context"
            ) from error
        digests = layer.digests or preparation.measure()
        snapshot = preparation.commit(digests)
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    document: dict[str, Any] = {
        "architecture": architecture,
        "os": system,
        **({"variant": variant} if variant else {}),
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [snapshot.diff_id]},
        "history": [{"created_by": f"context {name}", "comment": "named context"}],
    }
    content = next_content(base_content(None), snapshot.content_digest)
    return BaseImage(name=name, id="", document=document, result=Result(chain=snapshot.chain_id, content=content))
