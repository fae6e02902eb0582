"""COPY and ADD: files from the build context, another stage or an image, from elsewhere, here-documents, archives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from builder.entries import Entries
from builder.interfaces import SourceChanged
from builder.modes import parse_mode
from builder.ownership import find_owner
from builder.selection import Selected, has_wildcards, select
from builder.trees import Exclude, ImageTree, Plan, SourceTree, join, plan_copy, resolve
from frozen import Frozen, replace
from runtime.errors import NotFound, UsageError
from runtime.oci.digests import Digest

if TYPE_CHECKING:
    from builder.filelists import ReadFiles
    from builder.heldtree import HeldTree
    from builder.interfaces import BuildContext, Given, KeyParts
    from builder.layering import LayerTree, Style
    from builder.sharedlinks import SharedLinks
    from builder.steps.additions import Addition
    from grammar.instructions import Copy
    from runtime.store.layers.writer import LayerDigests
    from runtime.store.preparation import Preparation

_OLDEST_NS = 315_532_800 * 10**9
"""1980-01-01, the time of what has none: fixed, so that equal builds give equal layers; old, and zip can hold it."""


class _Source(Frozen):
    """One thing to copy with its plan; `archive` is the compression of a tar that ADD unpacks, None for all else.

    What comes from elsewhere (`addition`, by the word `word`) has no tree and no entries in its plan until it is
    opened: its digest says enough for a key. `number` is that of the word that named it; what the word named further
    is copied with the same `links`, if they share files.
    """

    selected: Selected
    plan: Plan
    number: int = 0
    links: SharedLinks | None = None
    archive: str | None = None
    tree: SourceTree | None = None
    addition: Addition | None = None
    word: str = ""


class CopyStep:
    """One COPY or ADD at work.

    What `key_parts` planned is what `execute` copies: a file whose content is another by then raises SourceChanged.
    """

    def __init__(self, instruction: Copy) -> None:
        self.instruction = instruction
        self._sources: tuple[_Source, ...] | None = None
        self._held: HeldTree | None = None
        """The tree that is copied from, once it has changed between key and copy."""

    @property
    def linked(self) -> bool:
        """True for `--link`: the layer is made over an empty tree. With `--chmod` it is not, as in BuildKit."""
        return self.instruction.link and self.instruction.chmod is None

    def check(self, build_context: BuildContext) -> None:
        """Refuse sources that are not in the build context, remote ones, and a mode that cannot be read."""
        copy = self.instruction
        if copy.chmod is not None:
            parse_mode(copy.chmod)
        for word in copy.sources:
            if copy.from_ is not None:
                continue
            if not _is_remote(word):
                select(build_context, word, parents=copy.parents)
            elif copy.keyword == "copy":
                raise UsageError(f"COPY cannot read '{word}'", hint="ADD copies from URLs and git repositories")
            else:
                from builder.steps import additions  # lazy: only for remote sources

                additions.check(copy, word)

    def key_parts(self, given: Given) -> KeyParts:
        """Name destination, owner, mode and the digests of all that is copied. Raises NotFound, UsageError."""
        copy = self.instruction
        sources = self._plan(given)
        owner = find_owner(copy.chown, given.view)
        parts: KeyParts = {
            "kind": "copy",
            "destination": self._destination(given),
            "owner": list(owner) if owner else None,
            "mode": copy.chmod,
            "parents": copy.parents,
            "link": copy.link,
            "sources": [self._key_part(source) for source in sources],
            "files": [
                {"name": file.name, "digest": "sha256:" + sha256(_encode(file.content)).hexdigest()}
                for file in copy.files
            ],
        }
        links = {source.number: source.links.groups for source in sources if source.links is not None}
        if links:
            parts["links"] = [[number, *names] for number, groups in links.items() for names in groups]
        return parts

    def _key_part(self, source: _Source) -> dict[str, object]:
        copy = self.instruction
        part: dict[str, object] = {
            "path": os.fsdecode(source.selected.named) if copy.parents else None,
            "pivot": source.selected.pivot,
            "name": os.fsdecode(source.selected.name),
            "directory": source.selected.directory,
            "archive": source.archive,
            "digest": str(source.plan.digest),
        }
        if source.addition is not None:
            part["unpack"] = bool(copy.unpack)
            part["excludes"] = list(copy.excludes)
        return part

    def files(self, given: Given) -> tuple[ReadFiles, ...]:
        """All that is copied, as it was planned."""
        from builder.filelists import ReadFiles

        title = self.instruction.from_ or ""
        self._sources = tuple(self._opened(given, source) for source in self._sources or ())
        return tuple(
            ReadFiles(source.word or title, source.selected.named, source.plan) for source in self._sources or ()
        )

    def execute(self, given: Given, preparation: Preparation) -> LayerDigests | None:
        """Copy what was planned into the upperdir."""
        from builder.earlier import NotAbove  # lazy: 3 ms that a copy that is remembered does not need

        try:
            if preparation.backing is not None:
                try:
                    return self._write(given, preparation)
                except NotAbove:
                    preparation.begin_alone()
            return self._write(given, preparation)
        except SourceChanged:
            self._hold(given)
            raise

    def _hold(self, given: Given) -> None:
        """See to it that what is planned next cannot change before it is copied."""
        from builder.heldtree import HeldTree  # lazy: where somebody writes to a context

        place = given.store.workspace() / f"held-{given.context.token(12)}"
        place.mkdir(mode=0o700)
        self._held, self._sources = HeldTree(self._tree(given), place, given.context.cancel), None

    def _write(self, given: Given, preparation: Preparation) -> LayerDigests | None:
        from builder.layering import Style, open_layer  # lazy: as above

        copy = self.instruction
        planned = self._sources if self._sources is not None else self._plan(given)
        sources = self._sources = tuple(self._opened(given, source) for source in planned)
        destination = self._destination(given)
        style = Style(
            owner=find_owner(copy.chown, given.view),
            mode=parse_mode(copy.chmod) if copy.chmod is not None else None,
            created_ns=_created(sources),
        )
        if not sources and not copy.files and not copy.parents:
            return None
        # A symbolic link in the image leads where it leads inside the image, the last component's too.
        view = None if self.linked else given.view
        target = _strip(PurePosixPath(destination) if view is None else view.resolve(destination))
        # Of several files one that is no directory, nor written like one, gets the last: so does BuildKit.
        into = destination.endswith("/") or copy.parents
        earlier = () if preparation.backing is None else preparation.backing.paths
        with open_layer(preparation.upperdir, view, earlier=earlier, cancel=given.context.cancel) as layer:
            layer.make_directory(b"", style)
            if copy.parents:
                layer.make_directory(target, style)  # also where a pattern matches nothing
            made: set[tuple[int, bytes]] = set()
            for source in sources:
                given.context.cancel.check()
                self._place(given, layer, source, target, style, into=into, made=made)
            for file in copy.files:
                place = _place_for(layer, target, os.fsencode(file.name), into=into, style=style)
                layer.add_inline(place, _encode(file.content), style)
        if layer.shared is not None:
            preparation.stand_on_backing(layer.shared)
        return layer.digests

    def _place(
        self,
        given: Given,
        layer: LayerTree,
        source: _Source,
        target: bytes,
        style: Style,
        *,
        into: bool,
        made: set[tuple[int, bytes]],
    ) -> None:
        selected = source.selected
        tree = source.tree or self._tree(given)
        if source.archive is not None:
            from builder.archives import unpack_archive  # lazy: 5 ms

            # --chmod says nothing of what an archive holds, nor of where it goes
            style = replace(style, mode=None, replace=True)
            layer.make_directory(target, style)
            unpack_archive(given, tree, source.plan, selected.path, layer, target, style)
            return
        if self.instruction.parents:
            target = _make_parents(layer, tree, source, target, style, made)
        if selected.directory:
            layer.make_directory(target, style)
            layer.add(tree, selected.path, source.plan, target, style, links=source.links)
            return
        place = _place_for(layer, target, selected.name, into=into, style=style)
        layer.add(tree, selected.path, source.plan, place, style, links=source.links)

    def _plan(self, given: Given) -> tuple[_Source, ...]:
        """Find and digest what the words name; kept for `execute`."""
        copy = self.instruction
        if copy.chmod is not None:
            parse_mode(copy.chmod)
        tree = self._tree(given)
        planned: list[_Source] = []
        for number, word in enumerate(copy.sources):
            if copy.from_ is None and _is_remote(word):
                planned.append(self._found(given, word))
                continue
            found = [self._planned(tree, selected) for selected in select(tree, word, parents=copy.parents)]
            kept = [source for source in found if not self._left_out(source)]
            if found and not kept and not has_wildcards(word):
                path = os.fsdecode(found[0].selected.named)
                raise NotFound(f'"/{path}": not found in {tree.title}', hint="--exclude leaves it out")
            links = _shared_links(kept) if copy.parents and len(kept) > 1 else None
            planned += [replace(source, number=number, links=links) for source in kept]
        self._sources = tuple(planned)
        return self._sources

    def _left_out(self, source: _Source) -> bool:
        """Tell whether `--exclude` leaves out what was selected and all below: only with `--parents` it sees that."""
        copy = self.instruction
        if not copy.parents or not copy.excludes:
            return False
        if not _excluder(copy.excludes)(os.fsdecode(source.selected.kept)):
            return False
        return not any(entry.path for entry in source.plan.entries)

    def _exclude(self, selected: Selected) -> Exclude:
        """Return what leaves files out of a directory: patterns are relative to it, with `--parents` to the pivot."""
        excludes = _excluder(self.instruction.excludes)
        if not self.instruction.parents:
            return excludes
        kept = os.fsdecode(selected.kept)
        return lambda path: excludes(f"{kept}/{path}" if kept else path)

    def _found(self, given: Given, word: str) -> _Source:
        """Find what a remote word means, without opening it."""
        from builder.steps import additions  # lazy: only for remote sources

        addition = additions.find(self.instruction, word, given)
        path = additions.path_in(addition)
        return _Source(
            selected=Selected(path=path, named=path, directory=not path),
            plan=Plan(Entries(), Digest(addition.content)),
            addition=addition,
            word=word,
        )

    def _opened(self, given: Given, source: _Source) -> _Source:
        """Open what comes from elsewhere, and plan it entry by entry."""
        if source.addition is None or source.tree is not None:
            return source
        from builder.steps import additions

        tree = additions.open_tree(self.instruction, source.word, source.addition, given)
        opened = self._planned(tree, source.selected, unpack=bool(self.instruction.unpack))
        return replace(opened, tree=tree, addition=source.addition, word=source.word)

    def _planned(self, tree: SourceTree, selected: Selected, *, unpack: bool | None = None) -> _Source:
        copy = self.instruction
        exclude = self._exclude(selected) if copy.excludes and selected.directory else None
        plan = plan_copy(tree, selected.path, exclude)
        archive = None
        wanted = copy.unpack is not False if unpack is None else unpack
        if copy.keyword == "add" and wanted and plan.root.metadata.kind == "file":
            from builder.archives import open_archive  # lazy: 5 ms

            archive = open_archive(tree, selected.path)
        return _Source(selected=selected, plan=plan, archive=archive)

    def _tree(self, given: Given) -> SourceTree:
        if self._held is not None:
            return self._held
        name = self.instruction.from_
        if name is None:
            return given.build_context
        if name in given.contexts:
            return given.contexts[name]
        result = given.sources[name]
        return ImageTree(given.store.snapshots.view(result.chain), name)

    def _destination(self, given: Given) -> str:
        """Return the destination as an absolute path; it ends in a slash where what is copied goes into it."""
        written = self.instruction.destination
        path = os.path.normpath(os.path.join("/", given.working_directory, written))
        into = written.endswith(("/", "/.")) or written in ("", ".", "..")
        return "/" + path.lstrip("/") + ("/" if into and path.strip("/") else "")


def _place_for(layer: LayerTree, target: bytes, name: bytes, *, into: bool, style: Style) -> bytes:
    """Return where a file goes: below the destination where that is, or is to be, a directory; else the destination."""
    found = None
    if not into:
        layer.make_directory(target.rpartition(b"/")[0], style)
        found = layer.look_up(target)
    if into or (found is not None and found.kind == "directory"):
        layer.make_directory(target, style)
        return join(target, name)
    return target


def _make_parents(
    layer: LayerTree, tree: SourceTree, source: _Source, target: bytes, style: Style, made: set[tuple[int, bytes]]
) -> bytes:
    """Make the directories that `--parents` keeps, as they are in the source; returns the last one's path.

    One on the way that exists, and was not `made` for the same word, keeps its owner and times: it only takes the mode
    that the source has.
    """
    layer.make_directory(target, style)
    selected = source.selected
    parts = selected.named.split(b"/")
    if not selected.directory:
        del parts[-1]
    for depth in range(selected.pivot, len(parts)):
        target = join(target, parts[depth])
        metadata = tree.stat(resolve(tree, b"/".join(parts[: depth + 1])))
        whole = selected.directory and depth == len(parts) - 1
        if metadata is None or (not whole and (source.number, target) in made):
            continue
        made.add((source.number, target))
        found = None if whole else layer.look_up(target)
        if found is not None and found.kind == "directory":
            layer.add_directory(target, found._replace(mode=metadata.mode), replace(style, owner=None, mode=None))
        else:
            layer.add_directory(target, metadata, style)
    return target


def _shared_links(sources: Sequence[_Source]) -> SharedLinks | None:
    from builder.sharedlinks import SharedLinks  # lazy: only for patterns of --parents

    links = SharedLinks([source.plan for source in sources])
    return links if links.groups else None


def _created(sources: Sequence[_Source]) -> int:
    """Return the time of directories and files that the copy itself makes: of the newest file that it copies.

    Not SOURCE_DATE_EPOCH: what was copied under another one, or none, is to be the same layer.
    """
    times = (source.plan.entries.newest for source in sources)
    return max((time for time in times if time is not None), default=_OLDEST_NS)


def _excluder(patterns: Sequence[str]) -> Exclude:
    from grammar.ignore import IgnoreFile  # lazy: only for --exclude

    excludes: Exclude = IgnoreFile.of_patterns(patterns).leaves_out
    return excludes


def _is_remote(word: str) -> bool:
    if ":" not in word:
        return False
    from builder.remote.words import is_remote  # lazy: only where a name looks like a URL

    return is_remote(word)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _strip(path: PurePosixPath) -> bytes:
    return os.fsencode(str(path)).lstrip(b"/")
