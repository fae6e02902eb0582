"""Decide what the names of a Dockerfile are pinned to: what the store has under them, else what a registry says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from builder.lock import Lock, Pin, reference_of
from frozen import replace
from grammar.graph import build_graph
from grammar.parser import parse
from runtime.containers.images import look_up
from runtime.errors import NotFound
from runtime.registry.memory import Memory
from runtime.registry.session import Session

if TYPE_CHECKING:
    from grammar.graph import InstructionGraph
    from runtime.oci.references import Reference
    from runtime.registry.credentials import CredentialSource
    from runtime.store.facade import Store


def named_images(
    store: Store, text: str, *, build_args: Mapping[str, str], platform: str, host: str
) -> tuple[Reference, ...]:
    """List the images that any stage of a Dockerfile names, sorted; those that a digest or id pins are left out.

    What the triggers of a base name is found where that base is in the store. Raises DockerfileError.
    """
    dockerfile = parse(text)
    whole = build_graph(dockerfile, None, build_args, platform, build_platform=host)
    found: dict[str, Reference] = {}
    targets = [name for name in whole.stage_names if name]  # what is neither named nor needed cannot be built
    for target in (None, *targets):
        graph = build_graph(dockerfile, target, build_args, platform, build_platform=host) if target else whole
        for name in _names(_with_triggers(store, graph)):
            reference = reference_of(name)
            if reference is not None and reference.digest is None:
                found[str(reference.tagged())] = reference.tagged()
    return tuple(found[name] for name in sorted(found))


def pinned(
    store: Store,
    references: Iterable[Reference],
    earlier: Lock | None,
    *,
    anew: Iterable[Reference] = (),
    credentials: CredentialSource | None = None,
) -> Lock:
    """Give the lock of a build that names `references`: pins of `earlier` stay, but for `anew`, which are asked for.

    Connects for names that are neither pinned nor in the store, and for `anew`. Raises NotFound, RegistryError.
    """
    again = {str(reference) for reference in anew}
    known = earlier or Lock()
    images: dict[str, Pin] = {}
    missing: list[Reference] = []
    for reference in references:
        name = str(reference)
        pin = None if name in again else known.images.get(name) or _pin_of_stored(store, reference)
        if pin is not None:
            images[name] = pin
        else:
            missing.append(reference)
    if missing:
        with Session.open(store.context, credentials) as session:
            images.update((str(reference), _ask(store, session, reference)) for reference in missing)
    return replace(known, images=images)


def _ask(store: Store, session: Session, reference: Reference) -> Pin:
    """Ask the registry what a tag stands for; an image that never was on one is pinned by its id."""
    here = look_up(store, str(reference))
    if here is not None and Memory(store).digest_of(reference, here) is None:
        return Pin(image=here.id)
    descriptor = session.repository(reference).head_manifest(str(reference.tag))
    if descriptor is None:
        raise NotFound(f"manifest for {reference.familiar()} not found: manifest unknown")
    return Pin(digest=descriptor.digest)


def _pin_of_stored(store: Store, reference: Reference) -> Pin | None:
    image = look_up(store, str(reference))
    if image is None:
        return None
    digest = Memory(store).digest_of(reference, image)
    return Pin(digest=digest) if digest else Pin(image=image.id)


def _with_triggers(store: Store, graph: InstructionGraph) -> InstructionGraph:
    """Let the triggers of bases that are here into the graph."""
    done: set[int] = set()
    while True:
        stage = next((stage for stage in graph.stages if stage.index not in done), None)
        if stage is None:
            return graph
        done.add(stage.index)
        image = look_up(store, stage.base.name) if stage.base.kind == "image" else None
        if image is not None and image.config.config.on_build:
            graph = graph.with_base(stage.index, image.config.config.env, image.config.config.on_build)


def _names(graph: InstructionGraph) -> Iterator[str]:
    for stage in graph.stages:
        if stage.base.kind == "image":
            yield stage.base.name
    for _, edge in graph.edges:
        if edge.source is not None and edge.source.kind == "image":
            yield edge.source.name
