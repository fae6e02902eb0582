"""Find the files that the words of COPY and ADD name: plain paths, and patterns as Go's path.Match has them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import takewhile

from builder.trees import SourceTree, clean, join, resolve
from frozen import Frozen
from runtime.errors import NotFound, UsageError

_WILDCARDS = frozenset("*?[")


class Selected(Frozen):
    """One thing to copy: `path` is where it lies (links followed), `named` the path that the source's word led to.

    `directory` is True where its content, and not it itself, is copied. `pivot` counts the components of `named` that
    `--parents` leaves out: those before `/./`.
    """

    path: bytes
    named: bytes
    directory: bool
    pivot: int = 0

    @property
    def kept(self) -> bytes:
        """The path that `--parents` keeps: what stands behind the pivot."""
        return b"/".join(self.named.split(b"/")[self.pivot :])

    @property
    def name(self) -> bytes:
        """The name at the destination."""
        return self.named.rpartition(b"/")[2]


def select(tree: SourceTree, word: str, *, parents: bool = False) -> tuple[Selected, ...]:
    """Return what `word` names in `tree`, in byte order; nothing for a pattern that matches nothing where it looks.

    The last component's link is followed, by name or by pattern. With `parents` none is that stands behind the pivot,
    which is `/./`, and `**` stands for any number of directories there; else both are what they are in a path. Raises
    NotFound for a plain path that is not there, also as the beginning of a pattern, with the nearest name that is, and
    for a link that a pattern finds and that leads nowhere; UsageError for a pattern that is none, and for what no path
    can be.
    """
    if "\0" in word:
        raise UsageError(f"{word!r} is no path: it has a zero byte")
    if parents:
        return tuple(_select_with_parents(tree, word))
    if not has_wildcards(word):
        return (_selected(tree, _existing(tree, word), clean(word), 0),)
    paths = [b""]
    parts = clean(word).split(b"/")
    before = list(takewhile(lambda part: not has_wildcards(os.fsdecode(part)), parts))
    _existing(tree, "/".join(re.sub(r"\\(.)", r"\1", os.fsdecode(part)) for part in before))
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        paths = [found for path in paths for found in _step(tree, path, part, word, last=last)]
    return tuple(_selected(tree, resolve(tree, path), path, 0) for path in paths)


def _select_with_parents(tree: SourceTree, word: str) -> Iterator[Selected]:
    """Yield what `word` names for `--parents`: as a pattern picks files out of a tree, so that links stay links."""
    before, pivoted, after = word.partition("/./")
    if not pivoted:
        before, after = "", word
    roots = [found.path for found in select(tree, before) if found.directory] if before else [b""]
    parts = [part for part in clean(after).split(b"/") if part]
    found = False
    for root in roots:
        paths = [root]
        for depth, part in enumerate(parts):
            last = depth == len(parts) - 1
            if part == b"**":
                paths = [below for path in paths for below in _descendants(tree, path, files=last)]
            else:
                paths = [below for path in paths for below in _below(tree, path, part, word)]
        pivot = len([part for part in root.split(b"/") if part])
        for path in _topmost(sorted(set(paths)), tree):
            found = True
            yield _selected(tree, path, path, pivot)
    if not found and not has_wildcards(word):
        raise NotFound(f'"/{os.fsdecode(clean(word))}": not found in {tree.title}', hint=_nearest(tree, clean(word)))


def has_wildcards(word: str) -> bool:
    """Tell whether `word` is a pattern; an escaped wildcard makes none."""
    escaped = False
    for character in word:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in _WILDCARDS:
            return True
    return False


def _descendants(tree: SourceTree, path: bytes, *, files: bool) -> Iterator[bytes]:
    """Yield the directories below `path`, itself included, no link followed; everything below it for `files`."""
    metadata = tree.stat(path)
    if metadata is None or metadata.kind != "directory":
        return
    for relative, found, _ in tree.walk(path):
        if found.kind == "directory" if not files else relative:
            yield join(path, relative)


def _topmost(paths: Iterable[bytes], tree: SourceTree) -> Iterator[bytes]:
    """Leave out what lies below a directory among the sorted `paths`: it comes with that."""
    directories: set[bytes] = set()
    for path in paths:
        above = path
        while above and above not in directories:
            above = above.rpartition(b"/")[0]
        if above or b"" in directories:
            continue
        yield path
        metadata = tree.stat(path)
        if metadata is not None and metadata.kind == "directory":
            directories.add(path)


def _selected(tree: SourceTree, path: bytes, named: bytes, pivot: int) -> Selected:
    metadata = tree.stat(path)
    directory = metadata is not None and metadata.kind == "directory"
    return Selected(path=path, named=named, directory=directory, pivot=pivot)


def _existing(tree: SourceTree, word: str) -> bytes:
    try:
        return resolve(tree, clean(word))
    except NotFound as error:
        raise NotFound(error.message, hint=_nearest(tree, clean(word))) from error


def _nearest(tree: SourceTree, path: bytes) -> str:
    from difflib import get_close_matches  # lazy: only for a message

    parent, _, name = path.rpartition(b"/")
    try:
        above = resolve(tree, parent)
        names = [os.fsdecode(child) for child in tree.children(above)]
        there = tree.stat(join(above, name))
    except (NotFound, OSError):
        names, there = [], None
    if there is not None and there.kind == "symlink":
        return f"{os.fsdecode(path)} is a link to {os.fsdecode(there.link)}, which leads to no file there"
    near = get_close_matches(os.fsdecode(name), names, n=1)
    if near:
        return f"did you mean {os.fsdecode(join(parent, os.fsencode(near[0])))}?"
    return "check the path, and whether .dockerignore excludes it"


def _below(tree: SourceTree, path: bytes, part: bytes, word: str) -> list[bytes]:
    """Return what one component leads to from the directory `path`, through no link."""
    metadata = tree.stat(path)
    if metadata is None or metadata.kind != "directory":
        return []
    text = os.fsdecode(part)
    if has_wildcards(text):
        matches = compile_component(text, word)
        return [join(path, name) for name in tree.children(path) if matches.fullmatch(os.fsdecode(name))]
    below = join(path, re.sub(rb"\\(.)", rb"\1", part))
    return [below] if tree.stat(below) is not None else []


def _step(tree: SourceTree, path: bytes, part: bytes, word: str, *, last: bool) -> list[bytes]:
    """Return what one component of a pattern leads to from the directory `path`."""
    text = os.fsdecode(part)
    metadata = tree.stat(path)
    if metadata is None or metadata.kind != "directory":
        return []
    if not has_wildcards(text):
        below = join(path, re.sub(rb"\\(.)", rb"\1", part))
        try:
            # Components before the first wildcard may be links; a pattern never walks through one.
            if last:
                return [below] if tree.stat(below) is not None else []
            return [resolve(tree, below)]
        except NotFound:
            return []
    matches = compile_component(text, word)
    names = [name for name in tree.children(path) if matches.fullmatch(os.fsdecode(name))]
    return [join(path, name) for name in names]


def compile_component(pattern: str, word: str) -> re.Pattern[str]:
    """Translate one component of a pattern (Go, path.Match): `*`, `?`, `[a-z]`, `[^a]`, and a backslash that quotes.

    Raises UsageError naming `word` for an open bracket, an empty class or a backslash at the end.
    """
    out: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "\\":
            out.append(re.escape(_quoted(characters, word)))
        elif character == "[":
            out.append(_class(characters, word))
        else:
            out.append(re.escape(character))
    return re.compile("".join(out), re.DOTALL)


def _class(characters: Iterator[str], word: str) -> str:
    negated = False
    ranges: list[tuple[str, str]] = []
    character = next(characters, None)
    if character == "^":
        negated = True
        character = next(characters, None)
    while character != "]" or not ranges:
        if character is None or character in "]-":
            raise _bad(word)
        low = high = _quoted(characters, word) if character == "\\" else character
        character = next(characters, None)
        if character == "-":
            end = next(characters, None)
            if end is None or end in "]-":
                raise _bad(word)
            high = _quoted(characters, word) if end == "\\" else end
            character = next(characters, None)
        ranges.append((low, high))
    body = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if not body:
        return "[^/]" if negated else "(?!)"
    return f"[{'^/' if negated else ''}{body}]"


def _quoted(characters: Iterator[str], word: str) -> str:
    character = next(characters, None)
    if character is None:
        raise _bad(word)
    return character


def _bad(word: str) -> UsageError:
    return UsageError(f"'{word}': syntax error in pattern", hint="write \\[ for a bracket that is part of a name")
