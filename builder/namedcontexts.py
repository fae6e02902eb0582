"""Read `--build-context NAME=WHERE`, and open what it names: files, an image, or a stage of the Dockerfile.

::

    DIRECTORY                          its files, without what its .dockerignore names
    docker-image://REFERENCE           an image of the store or a registry, or scratch
    oci-layout://DIRECTORY[:TAG|@DIGEST]
    https://HOST/REPOSITORY.git#REF:DIRECTORY, ssh://…, git@HOST:…
    https://HOST/ARCHIVE               a tar, compressed or not
    target:STAGE                       another stage

A name hides the stages and images of that name in FROM, COPY --from and RUN --mount from=. NAME::PLATFORM is what the
name means for one platform alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import PybuildError, UsageError
from runtime.oci.platforms import parse_platform

if TYPE_CHECKING:
    from builder.interfaces import BuildContext
    from builder.remote.sources import Remotes
    from runtime.oci.platforms import Platform
    from runtime.store.facade import Store
    from runtime.store.images import Image

_IMAGE = "docker-image://"
_LAYOUT = "oci-layout://"
_STAGE = "target:"
_HINT = "write NAME=DIRECTORY, docker-image://NAME, oci-layout://DIRECTORY, a URL, or target:STAGE"


class NamedContext(Frozen):
    """One word: `kind` is "image", "scratch", "layout", "stage", "git", "web" or "directory"; `place` follows it."""

    name: str
    kind: str
    place: str


def read_contexts(words: Iterable[str]) -> dict[str, NamedContext]:
    """Read the flag's words; the last of one name counts. Raises UsageError, also for a directory that is not there."""
    found: dict[str, NamedContext] = {}
    for word in words:
        name, _, place = word.partition("=")
        if not name or not place:
            raise UsageError(f'invalid argument "{word}" for "--build-context" flag: expected NAME=WHERE', hint=_HINT)
        name = _with_platform(name.lower(), word)
        found[name] = _named(name, place)
    return found


def _with_platform(name: str, word: str) -> str:
    """Write the platform of a name in the usual way. Raises UsageError."""
    name, separator, platform = name.partition("::")
    if not separator:
        return name
    try:
        parsed = parse_platform(platform).normalised()
    except PybuildError as error:
        raise UsageError(f"--build-context {word}: {error.message}", hint=error.hint) from error
    if not name:
        raise UsageError(f'invalid argument "{word}" for "--build-context" flag: it has no name', hint=_HINT)
    return f"{name}::{parsed}"


def _named(name: str, place: str) -> NamedContext:
    for kind, prefix in (("image", _IMAGE), ("layout", _LAYOUT), ("stage", _STAGE)):
        if place.startswith(prefix):
            if place == prefix:
                raise UsageError(f"--build-context {name}={place}: nothing is named", hint=_HINT)
            place = place.removeprefix(prefix)
            return NamedContext(
                name=name, kind="scratch" if (kind, place) == ("image", "scratch") else kind, place=place
            )
    if ":" in place and not os.path.isdir(place):
        from builder.remote.words import is_git, is_web, parse_git  # lazy: only where something is remote

        if is_git(place):
            parse_git(place)
            return NamedContext(name=name, kind="git", place=place)
        if is_web(place):
            return NamedContext(name=name, kind="web", place=place)
    if not os.path.isdir(place):
        what = "is not a directory" if os.path.exists(place) else "no such directory"
        raise UsageError(f"--build-context {name}: failed to find local context {place}: {what}", hint=_HINT)
    return NamedContext(name=name, kind="directory", place=place)


class NamedContexts:
    """The named contexts of one build, each opened when it is first needed; for the thread that plans.

    A context manager: what was opened is closed with it. `remotes` opens what comes from elsewhere.
    """

    def __init__(
        self, contexts: Mapping[str, NamedContext], store: Store, remotes: Callable[[], Remotes], *, keep_git_dir: bool
    ) -> None:
        self._contexts = contexts
        self._store = store
        self._remotes = remotes
        self._keep_git_dir = keep_git_dir
        self._stack = ExitStack()
        self._trees: dict[str, BuildContext] = {}
        self._images: dict[tuple[str, str], Image] = {}

    def __enter__(self) -> NamedContexts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return name in self._contexts

    def changed(self, name: str) -> int | None:
        """Return when a context was last changed, in seconds; None for what is local, or an image."""
        context = self._contexts[name]
        if context.kind == "git":
            from builder.remote.words import parse_git

            return self._remotes().time_of(parse_git(context.place))
        if context.kind == "web":
            from builder.epoch import time_of_file

            remotes = self._remotes()
            return time_of_file(remotes.file(context.place), context.place, self._store, remotes)
        return None

    def is_empty(self, name: str) -> bool:
        """Tell whether a context stands for nothing, as `scratch` does."""
        return self._contexts[name].kind == "scratch"

    def image_name(self, name: str) -> str | None:
        """Return the image that a context stands for by name, None where it is something else."""
        context = self._contexts[name]
        return context.place if context.kind == "image" else None

    def image(self, name: str, platform: Platform) -> Image | None:
        """Return the image that a context holds, taken into the store; None where it is something else."""
        context = self._contexts[name]
        if context.kind != "layout":
            return None
        from builder.layouts import load_layout  # lazy: only for layouts

        key = (name, str(platform))
        if key not in self._images:
            self._images[key] = load_layout(self._store, context.place, platform)
        return self._images[key]

    def tree(self, name: str) -> BuildContext:
        """Return the files of a context. Raises what opening them raises."""
        if name not in self._trees:
            self._trees[name] = self._open(self._contexts[name])
        return self._trees[name]

    def _open(self, context: NamedContext) -> BuildContext:
        if context.kind == "directory":
            from builder.context import open_context, read_ignore_file

            directory = Path(context.place)
            found = read_ignore_file(directory, None)
            return self._stack.enter_context(open_context(self._store, directory, None if found is None else found[1]))
        if context.kind == "scratch":
            from builder.context import open_directory

            empty = self._store.workspace() / "empty-context"
            empty.mkdir(exist_ok=True)
            tree = open_directory(self._store, empty, f"the context {context.name}")
            self._stack.callback(tree.close)
            return tree
        if context.kind == "git":
            from builder.remote.words import parse_git

            source = parse_git(context.place)
            keep = self._keep_git_dir if source.keep_git_dir is None else source.keep_git_dir
            remotes = self._remotes()
            return remotes.open_tree(remotes.tree(source, keep_git_dir=keep))
        from builder.webcontext import open_archive_at

        return open_archive_at(context.place, self._store, self._remotes(), f"the context {context.name}")
