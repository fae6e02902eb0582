"""Find what ADD takes from elsewhere: files from URLs, and trees of git repositories."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.remote.gittrees import RemoteTree
from builder.remote.webfiles import RemoteFile, check_checksum
from builder.remote.words import GitSource, check_commit, file_name, is_git, parse_git
from frozen import Frozen, replace
from runtime.errors import UsageError

if TYPE_CHECKING:
    from builder.interfaces import Given
    from builder.remote.sources import Remotes
    from builder.trees import SourceTree
    from grammar.instructions import Copy


class Addition(Frozen):
    """One remote source of an ADD, found: a file or a tree; `name` is the file's, "" for a tree."""

    found: RemoteFile | RemoteTree
    name: str = ""

    @property
    def content(self) -> str:
        """The digest of what it holds."""
        return self.found.digest if isinstance(self.found, RemoteFile) else self.found.content


def check(copy: Copy, word: str) -> None:
    """Refuse a word, a checksum or flags that cannot be meant, before anything is asked for. Raises UsageError."""
    if is_git(word):
        git_source(copy, word)
        if copy.unpack:
            raise UsageError(f"--unpack says nothing of a git repository: {word}", hint="leave the flag out")
        return
    if copy.keep_git_dir:
        raise UsageError(f"--keep-git-dir says nothing of a file: {word}", hint="repositories' URLs end in .git")
    file_name(word)
    if copy.checksum is not None:
        check_checksum(copy.checksum)


def find(copy: Copy, word: str, given: Given) -> Addition:
    """Return what a word means now. Raises NotFetched where that is not known and `given.fetch` is False."""
    remotes = _remotes(given)
    if is_git(word):
        source = git_source(copy, word)
        keep = copy.keep_git_dir if copy.keep_git_dir is not None else source.keep_git_dir
        return Addition(found=remotes.tree(source, keep_git_dir=bool(keep), fetch=given.fetch))
    file = remotes.file(word, copy.checksum, fetch=given.fetch)
    return Addition(found=file, name=file.name)


def open_tree(copy: Copy, word: str, addition: Addition, given: Given) -> SourceTree:
    """Return the tree to copy from, with what it holds at hand and whole."""
    remotes = _remotes(given)
    if isinstance(addition.found, RemoteTree):
        return remotes.open_tree(addition.found)
    from builder.remote.filetree import FileTree

    return FileTree(remotes.verified(addition.found, word, copy.checksum))


def path_in(addition: Addition) -> bytes:
    """Return which path of the tree is copied: the file, or all of a repository."""
    return os.fsencode(addition.name)


def git_source(copy: Copy, word: str) -> GitSource:
    """Read a repository's word, with the commit that the instruction wants. Raises UsageError."""
    source = parse_git(word)
    if copy.checksum is None:
        return source
    checksum = check_commit(copy.checksum, word)
    if source.checksum and not (source.checksum.startswith(checksum) or checksum.startswith(source.checksum)):
        raise UsageError(f"{word}: --checksum={checksum} contradicts the commit in its query")
    return replace(source, checksum=max(checksum, source.checksum, key=len))


def _remotes(given: Given) -> Remotes:
    assert given.remotes is not None, "the solver gives every step a way to remote sources"
    return given.remotes()
