"""Push what was built, and show the layers on their way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.pulling import PushProgress
from frozen import replace
from runtime.errors import UsageError
from runtime.registry.hostfiles import Rule
from runtime.registry.hosts import Hosts
from runtime.registry.push import push_documents
from runtime.registry.session import Session

if TYPE_CHECKING:
    from builder.exporters.outputs import Output
    from builder.reporter import Reporter
    from runtime.oci.documents import Descriptor
    from runtime.oci.references import Reference
    from runtime.store.facade import Store
    from runtime.store.images import Image


def pushed_names(names: Sequence[Reference], output: Output) -> tuple[Reference, ...]:
    """Say where an image goes: to the tags of its names, or `push-by-digest` to their repositories.

    Raises UsageError where there is no name, or a tag that would not be pushed.
    """
    if not names:
        raise UsageError("tag is needed when pushing to a registry", hint="give the image a name with --tag")
    if not output.by_digest:
        return tuple(name.tagged() for name in names)
    for name in names:
        if name.tag is not None:
            raise UsageError(
                f"can't push tagged ref {name} by digest", hint=f"name the repository alone: name={name.name}"
            )
    return tuple(names)


def push_names(
    store: Store, names: Sequence[Reference], top: Descriptor, image: Image | None, output: Output, reporter: Reporter
) -> None:
    """Push a manifest or index to all of `names`; `image` is the one of the store. Raises RegistryError."""
    hosts = Hosts.load(store.context)
    if output.insecure:
        for name in names:
            hosts = hosts.with_rule(Rule(prefix=name.domain, insecure=True))
    with Session.open(store.context, hosts=hosts) as session:
        for name in names:
            with reporter.working(f"pushing {name}") as vertex:
                progress = PushProgress(vertex, store.context.now)
                pushed = push_documents(store, name, top, session, image=image, progress=progress)
                shown = replace(name, digest=pushed.digest)
                vertex.status(f"pushing manifest for {shown}", done=True)
