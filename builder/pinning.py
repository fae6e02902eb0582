"""Decide what the names of a Dockerfile are pinned to: images, files of URLs, refs of repositories.

An image is what the store has under its name, else what a registry says; the others are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from builder.lock import Lock, Pin, reference_of
from builder.remote.words import GitSource, is_commit, is_git, is_remote, parse_git, without_password
from frozen import Frozen, replace
from grammar.errors import DockerfileError
from grammar.graph import build_graph
from grammar.instructions import Copy
from grammar.parser import parse
from grammar.scope import Scope
from runtime.containers.images import look_up, written_out
from runtime.errors import NotFound
from runtime.oci.references import Reference
from runtime.registry.memory import Memory
from runtime.registry.session import Session

if TYPE_CHECKING:
    from builder.namedcontexts import NamedContext
    from grammar.graph import InstructionGraph
    from runtime.registry.credentials import CredentialSource
    from runtime.store.facade import Store


class Names(Frozen):
    """What a Dockerfile names elsewhere and does not pin itself, each sorted."""

    images: tuple[Reference, ...] = ()
    urls: tuple[str, ...] = ()
    trees: tuple[GitSource, ...] = ()

    def all(self) -> tuple[str, ...]:
        """List everything as a lock file spells it."""
        urls = map(without_password, self.urls)
        return (*map(str, self.images), *urls, *(source.pin_name for source in self.trees))


def named(
    store: Store,
    text: str,
    *,
    build_args: Mapping[str, str],
    platform: str,
    host: str,
    contexts: Mapping[str, NamedContext] | None = None,
) -> Names:
    """List what any stage of a Dockerfile names; what a digest, an id, a commit or a checksum pins is left out.

    What the triggers and the variables of a base lead to is found where that base is in the store. The `contexts` that
    are images, URLs or repositories are named as well. Raises DockerfileError.
    """
    contexts = contexts or {}
    stages = {name: context.place for name, context in contexts.items() if context.kind == "stage"}
    graph_of = partial(
        build_graph,
        parse(text),
        build_args=build_args,
        platform=platform,
        build_platform=host,
        named_contexts=contexts.keys() - stages.keys(),
        stage_contexts=stages,
    )
    whole = graph_of()
    images: dict[str, Reference] = {}
    urls = {context.place for context in contexts.values() if context.kind == "web"}
    sources = [parse_git(context.place) for context in contexts.values() if context.kind == "git"]
    trees = {source.pin_name: source for source in sources if not _is_pinned(source)}
    targets = [name for name in whole.stage_names if name]  # what is neither named nor needed cannot be built
    for target in (None, *targets):
        graph = _with_triggers(store, graph_of(target=target) if target else whole)
        for name in (*_names(graph), *(context.place for context in contexts.values() if context.kind == "image")):
            reference = reference_of(name)
            if reference is not None and reference.digest is None:
                images[str(reference.tagged())] = reference.tagged()
        for copy in _additions(store, graph):
            for word in filter(is_remote, copy.sources):
                if not is_git(word):
                    urls.update(() if copy.checksum else (word,))
                elif not _is_pinned(source := parse_git(word), copy.checksum):
                    trees[source.pin_name] = source
    return Names(
        images=tuple(images[name] for name in sorted(images)),
        urls=tuple(sorted(urls)),
        trees=tuple(trees[name] for name in sorted(trees)),
    )


def pinned(
    store: Store,
    names: Names,
    earlier: Lock | None,
    *,
    anew: Iterable[str] = (),
    credentials: CredentialSource | None = None,
) -> Lock:
    """Give the lock of a build: pins of `earlier` stay, but for `anew` (as the lock spells them), which are asked for.

    Connects for what is neither pinned nor, of images, in the store, and for `anew`. Raises NotFound, RegistryError,
    PybuildError.
    """
    again = frozenset(anew)
    known = earlier or Lock()
    return replace(
        known,
        images=_images(store, names.images, known, again, credentials),
        **_remotes(store, names, known, again),
    )


def _images(
    store: Store,
    references: Sequence[Reference],
    known: Lock,
    again: frozenset[str],
    credentials: CredentialSource | None,
) -> dict[str, Pin]:
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
    return images


def _remotes(store: Store, names: Names, known: Lock, again: frozenset[str]) -> dict[str, Mapping[str, Any]]:
    """Pin files and commits; a file has to be downloaded for its digest, and is stored then."""
    urls = {without_password(url): known.urls.get(without_password(url)) for url in names.urls}
    git = {source.pin_name: known.git.get(source.pin_name) for source in names.trees}
    if not all(pin and name not in again for name, pin in (*urls.items(), *git.items())):
        from builder.remote.sources import Remotes
        from builder.reporter import Reporter

        reporter = Reporter(lambda _event: None, store.context.now)
        with Remotes(store, store.context, reporter, secrets={}) as remotes:
            for url in names.urls:
                name = without_password(url)
                if urls[name] is None or name in again:
                    urls[name] = remotes.file(url).digest
            for source in names.trees:
                if git[source.pin_name] is None or source.pin_name in again:
                    git[source.pin_name] = remotes.commit_of(source)
    return {"urls": urls, "git": git}


def _is_pinned(source: GitSource, checksum: str | None = None) -> bool:
    return is_commit(source.ref) or is_commit(source.checksum) or is_commit(checksum or "")


def _additions(store: Store, graph: InstructionGraph) -> Iterator[Copy]:
    """Give every ADD, its words expanded as far as the bases are known."""
    ends: dict[int, Scope] = {}
    for stage in graph.stages:
        if stage.base.kind == "stage" and stage.base.stage is not None:
            scope = ends[stage.base.stage]
        else:
            image = look_up(store, written_out(stage.base.name)) if stage.base.kind == "image" else None
            scope = graph.scope(image.config.config.env if image is not None else ())
        for node in stage.nodes[1:]:
            try:
                scope, instruction = scope.apply(node.instruction)
            except DockerfileError:
                if stage.base.kind != "image":
                    raise
                break  # a variable that a base has which is not here, perhaps
            if isinstance(instruction, Copy) and instruction.keyword == "add":
                yield instruction
        ends[stage.index] = scope


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
        image = look_up(store, written_out(stage.base.name)) if stage.base.kind == "image" else None
        if image is not None and image.config.config.on_build:
            graph = graph.with_base(stage.index, image.config.config.env, image.config.config.on_build)


def _names(graph: InstructionGraph) -> Iterator[str]:
    for stage in graph.stages:
        if stage.base.kind == "image":
            yield stage.base.name
    for _, edge in graph.edges:
        if edge.source is not None and edge.source.kind == "image":
            yield edge.source.name
