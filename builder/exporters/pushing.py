"""Push what was built, and show the layers on their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from builder.pulling import PushProgress
from runtime.errors import UsageError
from runtime.registry.push import push
from runtime.registry.session import Session

if TYPE_CHECKING:
    from builder.exporters.outputs import Output
    from builder.reporter import Reporter
    from runtime.oci.references import Reference
    from runtime.store.compression import Compression
    from runtime.store.facade import Store


def push_names(store: Store, names: Sequence[Reference], output: Output, reporter: Reporter) -> None:
    """Push the images or indexes that have these names. Raises UsageError where there is none, RegistryError."""
    if not names:
        raise UsageError("tag is needed when pushing to a registry", hint="give the image a name with --tag")
    kinds = {None: "gzip", "uncompressed": "none"}
    compression = cast("Compression", kinds.get(output.compression, output.compression))
    with Session.open(store.context) as session:
        for name in names:
            with reporter.working(f"pushing {name.tagged()}") as vertex:
                progress = PushProgress(vertex, store.context.now)
                pushed = push(store, name.tagged(), session, compression=compression, progress=progress)
                vertex.status(f"pushing manifest for {name.tagged()}@{pushed.digest}", done=True)
