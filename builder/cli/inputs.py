"""Open what a build is made of, wherever it is: the Dockerfile, and the context with its ignore file.

The context is a directory, a repository, the URL of an archive or of a Dockerfile, or standard input, which holds an
archive or a Dockerfile. `--file` names a file here for a directory, one inside of the context for all else; it may
also be a URL, or "-". A context that came as a whole has no ignore file: it holds what was meant. Its `pybuild.lock`
counts all the same.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builder.cli.buildflags import STANDARD_INPUT
from builder.cli.contexts import LARGEST, decoded, read_dockerfile
from builder.epoch import newest_file, time_of_file
from builder.failures import SourceText
from frozen import Frozen, replace
from runtime.errors import NotFound, PybuildError, UsageError

if TYPE_CHECKING:
    from builder.interfaces import BuildContext
    from builder.lock import Lock, RemotePins
    from builder.options import BuildOptions
    from builder.remote.sources import Remotes
    from builder.reporter import Reporter
    from builder.trees import SourceTree
    from grammar.ignore import IgnoreFile
    from runtime.context import Context
    from runtime.store.facade import Store

_GITHUB = "github.com/"
_CHUNK = 1 << 20


class Inputs(Frozen):
    """A Dockerfile and its context; `directory` is the context's where it is one of the caller's, `ignore` its own.

    `changed` gives when the context was last changed, in seconds; None for one that is local.
    """

    source: SourceText
    context: BuildContext
    directory: Path | None = None
    ignore: IgnoreFile | None = None
    changed: Callable[[], int | None] = lambda: None

    @property
    def lock(self) -> Lock | None:
        """What the context's lock file pins; None where it has none. Raises DocumentError, PybuildError."""
        from builder.lock import FILE, parse_lock, read_lock

        if self.directory is not None:
            return read_lock(self.directory)
        text = _read(self.context, FILE)
        return None if text is None else parse_lock(text.encode(errors="surrogateescape"), self.context.title)


class Wanted(Frozen):
    """What the words of a build ask for: the context and `--file`; `build_args` may say to keep `.git`."""

    context: str
    dockerfile: str | None
    build_args: Mapping[str, str]

    @property
    def keep_git_dir(self) -> bool:
        """Whether a repository's history is wanted (BUILDKIT_CONTEXT_KEEP_GIT_DIR)."""
        return self.build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "").lower() in ("1", "true", "t")


def remotes_opener(
    store: Store,
    context: Context,
    reporter: Reporter,
    options: BuildOptions,
    stack: ExitStack,
    pins: Callable[[], RemotePins | None] = lambda: None,
) -> Callable[[], Remotes]:
    """Return what opens the way to remote sources when it is first called; `stack` closes it.

    `pins` give what is pinned of them.
    """
    opened: list[Remotes] = []

    def open_remotes() -> Remotes:
        if not opened:
            from builder.remote.sources import Remotes  # lazy: only for remote sources
            from builder.sshagents import DEFAULT, Agents

            agents = stack.enter_context(Agents(context, options.ssh))
            remotes = Remotes(
                store,
                context,
                reporter,
                secrets=options.secrets,
                agent=lambda: agents.socket_of(DEFAULT),
                pins=pins(),
            )
            opened.append(stack.enter_context(remotes))
        return opened[0]

    return open_remotes


@contextmanager
def open_inputs(wanted: Wanted, store: Store, remotes: Callable[[], Remotes]) -> Iterator[Inputs]:
    """Open Dockerfile and context; what comes from elsewhere lies in the workspace of the store for as long.

    Raises UsageError for words that contradict each other, NotFound where there is no Dockerfile.
    """
    if wanted.context == STANDARD_INPUT:
        if wanted.dockerfile == STANDARD_INPUT:
            raise UsageError("invalid argument: can't use stdin for both build context and dockerfile")
        with ExitStack() as stack:
            yield _from_standard_input(wanted, store, remotes, stack)
    elif _is_elsewhere(wanted.context):
        with ExitStack() as stack:
            yield _from_elsewhere(wanted, store, remotes, stack)
    else:
        with _from_directory(wanted, store, remotes) as inputs:
            yield inputs


@contextmanager
def _from_directory(wanted: Wanted, store: Store, remotes: Callable[[], Remotes]) -> Iterator[Inputs]:
    from builder.context import open_context, read_ignore_file

    directory = Path(wanted.context)
    if _is_url(wanted.dockerfile):
        read_dockerfile(os.devnull, wanted.context, store.context)  # refuses what is no directory
        source = _downloaded(wanted.dockerfile or "", remotes())
    else:
        source = read_dockerfile(wanted.dockerfile, wanted.context, store.context)
    found = read_ignore_file(directory, source.path)
    ignore = None if found is None else found[1]
    with open_context(store, directory, ignore) as opened:
        yield Inputs(source=source, context=opened, directory=directory, ignore=ignore)


def _from_standard_input(wanted: Wanted, store: Store, remotes: Callable[[], Remotes], stack: ExitStack) -> Inputs:
    from builder.unpacked import unpack_context
    from builder.webcontext import is_archive

    path = store.workspace() / "standard-input"
    _spool(path, store.context)
    if not is_archive(path):
        if wanted.dockerfile is not None:
            raise UsageError(
                "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
                hint="leave --file out, or give a tar on standard input",
            )
        with path.open("rb") as file:
            text = decoded(file.read(LARGEST + 1), "standard input")
        return Inputs(source=SourceText(name="Dockerfile", text=text), context=_empty(store, stack))
    with path.open("rb") as file:
        tree = unpack_context(store, file, "the context on standard input")
    path.unlink()
    inputs = _with_dockerfile(wanted, tree, remotes, store.context)
    return replace(inputs, changed=lambda: newest_file(tree))


def _from_elsewhere(wanted: Wanted, store: Store, remotes: Callable[[], Remotes], stack: ExitStack) -> Inputs:
    from builder.remote.words import is_git, parse_git

    word = wanted.context
    if word.startswith(_GITHUB):
        word = f"https://{word}"
    if is_git(word) or wanted.context.startswith(_GITHUB):
        source = parse_git(word)
        keep = wanted.keep_git_dir if source.keep_git_dir is None else source.keep_git_dir
        tree = remotes().open_tree(remotes().tree(source, keep_git_dir=keep))
        inputs = _with_dockerfile(wanted, tree, remotes, store.context)
        return replace(inputs, changed=lambda: remotes().time_of(source))
    return _from_url(wanted, word, store, remotes, stack)


def _from_url(wanted: Wanted, url: str, store: Store, remotes: Callable[[], Remotes], stack: ExitStack) -> Inputs:
    """Take an archive, or a Dockerfile: then the context holds it alone, under the name that BuildKit gives it."""
    from builder.context import open_directory
    from builder.remote.words import without_password
    from builder.webcontext import is_archive, open_archive_at

    shown = without_password(url)
    file = remotes().verified(remotes().file(url), url, None)
    if is_archive(file.path):
        tree = open_archive_at(url, store, remotes(), f"the context {shown}")
        inputs = _with_dockerfile(wanted, tree, remotes, store.context)
        return replace(inputs, changed=lambda: time_of_file(file, url, store, remotes()))
    place = store.workspace() / f"url-{store.context.token(12)}"
    place.mkdir(mode=0o755)
    data = file.path.read_bytes() if file.size <= LARGEST else b" " * (LARGEST + 1)
    text = decoded(data, shown)
    (place / "context").write_bytes(data)
    (place / "context").chmod(0o600)
    for path in (place / "context", place):
        os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
    opened = open_directory(store, place, f"the context {shown}")
    stack.callback(opened.close)
    inputs = Inputs(
        source=SourceText(name=file.name, text=text),
        context=opened,
        changed=lambda: time_of_file(file, url, store, remotes()),
    )
    if wanted.dockerfile is None:
        return inputs
    if wanted.dockerfile == STANDARD_INPUT or _is_url(wanted.dockerfile):
        return replace(inputs, source=_with_dockerfile(wanted, inputs.context, remotes, store.context).source)
    raise UsageError(
        f"{shown} is a Dockerfile itself: --file {wanted.dockerfile} names another one", hint="leave --file out"
    )


def _with_dockerfile(wanted: Wanted, tree: BuildContext, remotes: Callable[[], Remotes], context: Context) -> Inputs:
    """Find the Dockerfile of a context that came as a whole: inside of it, unless it is said to be elsewhere."""
    if wanted.dockerfile == STANDARD_INPUT:
        return Inputs(source=read_dockerfile(STANDARD_INPUT, os.curdir, context), context=tree)
    if _is_url(wanted.dockerfile):
        return Inputs(source=_downloaded(wanted.dockerfile or "", remotes()), context=tree)
    names = [wanted.dockerfile] if wanted.dockerfile is not None else ["Dockerfile", "dockerfile"]
    for name in names:
        text = _read(tree, name)
        if text is not None:
            return Inputs(source=SourceText(name=name, text=text), context=tree)
    there = sorted(os.fsdecode(name) for name in tree.children(b""))
    hint = next((f"did you mean --file {name}?" for name in there if "dockerfile" in name.lower()), "")
    raise NotFound(
        f"failed to read dockerfile: {names[0]}: no such file in {tree.title}",
        hint=hint or "--file names a file inside of the context",
    )


def _read(tree: SourceTree, name: str) -> str | None:
    from builder.trees import clean, resolve

    try:
        path = resolve(tree, clean(name))
    except NotFound:
        return None
    metadata = tree.stat(path)
    if metadata is None or metadata.kind != "file":
        raise PybuildError(f"failed to read dockerfile: {name} in {tree.title} is no file")
    with os.fdopen(tree.open(path), "rb") as file:
        return decoded(file.read(LARGEST + 1), name)


def _downloaded(url: str, remotes: Remotes) -> SourceText:
    file = remotes.verified(remotes.file(url), url, None)
    data = file.path.read_bytes() if file.size <= LARGEST else b" " * (LARGEST + 1)
    return SourceText(name=file.name, text=decoded(data, file.name))


def _empty(store: Store, stack: ExitStack) -> BuildContext:
    from builder.context import open_directory

    empty = store.workspace() / "empty-context"
    empty.mkdir(exist_ok=True)
    opened = open_directory(store, empty, "the empty context")
    stack.callback(opened.close)
    return opened


def _spool(path: Path, context: Context) -> None:
    """Copy standard input to a file; an interruption ends the wait for more."""
    stream = sys.stdin.buffer
    with path.open("xb") as file:
        try:
            fd = stream.fileno()
        except OSError:
            file.write(stream.read())
            return
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(context.cancel.fd, select.POLLIN)
        while True:
            poll.poll()
            context.cancel.check()
            piece = os.read(fd, _CHUNK)
            if not piece:
                return
            file.write(piece)


def _is_elsewhere(word: str) -> bool:
    """Tell whether a context is a URL or a repository; a directory of that name comes first."""
    if word.startswith(_GITHUB):
        return not os.path.exists(word)
    if ":" not in word or os.path.isdir(word):
        return False
    from builder.remote.words import is_remote  # lazy: only where a name looks like a URL

    return is_remote(word)


def _is_url(word: str | None) -> bool:
    return word is not None and word.startswith(("http://", "https://"))
