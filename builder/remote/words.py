"""Read the words that name something elsewhere: URLs of files, and git repositories in the forms that BuildKit knows.

::

    https://HOST/PATH.git[?QUERY][#REF[:DIRECTORY]]      also http://
    git://HOST/PATH[?QUERY][#REF[:DIRECTORY]]            also ssh://[USER@]HOST[:PORT]/PATH
    USER@HOST:PATH[?QUERY][#REF[:DIRECTORY]]

QUERY says the same with names: ref, branch, tag, commit (or checksum), subdir, keep-git-dir, submodules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from frozen import Frozen, replace
from runtime.errors import UsageError

WEB = ("http://", "https://")
_SCHEMES = ("http", "https", "git", "ssh")
_SCP = re.compile(
    r"(?P<user>[a-zA-Z0-9_-]+)@(?P<host>[a-zA-Z0-9.-]+):(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?"
)
_PROTOCOL = re.compile(r"([a-zA-Z0-9+.-]+)://")
_HEX = frozenset("0123456789abcdef")
_TRUE = frozenset(("1", "t", "true"))
_FALSE = frozenset(("0", "f", "false"))
_QUERY = ("ref", "branch", "tag", "commit", "checksum", "subdir", "keep-git-dir", "submodules")
UNNAMED = "__unnamed__"
"""The name of a file whose URL has none: BuildKit's."""


class GitSource(Frozen):
    """A tree of a repository: `remote` as git takes it, `ref` a branch, tag, commit or full ref, "" for the default.

    `directory` is the part that is wanted, relative, "" for all. `checksum` is what the commit id has to begin with.
    """

    remote: str
    ref: str = ""
    directory: str = ""
    checksum: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True

    @property
    def shown(self) -> str:
        """The source for a message, without a password."""
        fragment = self.ref + (f":{self.directory}" if self.directory else "")
        return without_password(self.remote) + (f"#{fragment}" if fragment else "")

    @property
    def pin_name(self) -> str:
        """What a lock file knows the ref by."""
        return f"{without_password(self.remote)}#{self.ref}"


def is_web(word: str) -> bool:
    """Tell whether `word` is the URL of a file, or of a repository over HTTP."""
    return word.startswith(WEB)


def is_remote(word: str) -> bool:
    """Tell whether a word of ADD names something elsewhere."""
    return is_web(word) or is_git(word)


def is_git(word: str) -> bool:
    """Tell whether `word` is a repository: over HTTP only where its path ends in `.git`."""
    protocol = _PROTOCOL.match(word)
    if protocol is None:
        return _SCP.fullmatch(word) is not None
    scheme = protocol[1].lower()
    if scheme in ("http", "https"):
        path = word.partition("#")[0].partition("?")[0].partition("://")[2].partition("/")[2]
        return path.endswith(".git")
    return scheme in ("git", "ssh")


def parse_git(word: str) -> GitSource:
    """Read a word that `is_git`. Raises UsageError for a query that is not known, and for what contradicts itself."""
    found = _SCP.fullmatch(word) if _PROTOCOL.match(word) is None else None
    if found is not None:
        remote = f"{found['user']}@{found['host']}:{found['path']}"
        query, fragment = found["query"] or "", found["fragment"] or ""
    else:
        parts = urlsplit(word)
        if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
            raise UsageError(f"{word}: no git repository that can be reached", hint="use https, ssh, or git@HOST:PATH")
        remote = urlunsplit((parts.scheme.lower(), parts.netloc, parts.path, "", ""))
        query, fragment = parts.query, parts.fragment
    if any(character <= " " or character == "\x7f" for character in remote):
        raise UsageError(f"{word!a}: no git repository that can be reached", hint="a blank is written as %20")
    ref, _, directory = unquote(fragment).partition(":")
    source = GitSource(remote=remote, ref=ref, directory=directory)
    source = _with_query(source, parse_qsl(query, keep_blank_values=True), word)
    directory = clean_directory(source.directory, word)
    if source.ref.startswith("-") or any(character <= " " for character in source.ref):
        raise UsageError(f"{word}: {source.ref!r} is no name of a branch, tag or commit")
    return replace(source, directory=directory)


def is_commit(ref: str) -> bool:
    """Tell whether `ref` is a whole commit id (SHA-1 or SHA-256), which always means the same."""
    return len(ref) in (40, 64) and not frozenset(ref) - _HEX


def clean_directory(text: str, word: str) -> str:
    """Return a directory of a repository, cleaned. Raises UsageError where it leads out of it."""
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            if not parts:
                raise UsageError(f"{word}: the directory {text!r} lies outside of the repository")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def file_name(url: str) -> str:
    """Return what a file is called: the last part of its URL's path, as BuildKit has it."""
    name = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    if name in (".", "..") or "\0" in name:
        raise UsageError(f"{without_password(url)}: {name!a} cannot be the name of a file")
    return name or UNNAMED


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    head, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if ":" in user:
        user = user.partition(":")[0] + ":xxxxx"
    return f"{head}{separator}{user}{at}{host}{slash}{path}"


def _with_query(source: GitSource, pairs: Iterable[tuple[str, str]], word: str) -> GitSource:
    seen: dict[str, str] = {}
    for name, value in pairs:
        if name not in _QUERY:
            raise UsageError(f'{word}: unexpected query "{name}"', hint=f"known are {', '.join(_QUERY)}")
        if name in seen:
            raise UsageError(f'{word}: query "{name}" has multiple values')
        if not value and name not in ("keep-git-dir", "submodules"):
            raise UsageError(f'{word}: query "{name}" has no value')
        seen[name] = value
    refs = {source.ref} - {""}
    refs |= {f"{prefix}{seen[name]}" for name, prefix in _PREFIXES.items() if name in seen}
    if len(refs) > 1:
        raise UsageError(f"{word}: ref conflicts: {' vs '.join(sorted(refs))}", hint="name the ref once")
    directories = {source.directory, seen.get("subdir", "")} - {""}
    if len(directories) > 1:
        raise UsageError(f"{word}: subdir conflicts: {' vs '.join(sorted(directories))}")
    checksum = seen.get("commit") or seen.get("checksum") or ""
    keep = seen.get("keep-git-dir")
    return GitSource(
        remote=source.remote,
        ref=next(iter(refs), "") or checksum,
        directory=next(iter(directories), ""),
        checksum=check_commit(checksum, word),
        keep_git_dir=None if keep is None else _switch(keep, "keep-git-dir", word),
        submodules=_switch(seen.get("submodules", "true"), "submodules", word),
    )


_PREFIXES = {"ref": "", "branch": "refs/heads/", "tag": "refs/tags/"}


def check_commit(checksum: str, word: str) -> str:
    """Return what a commit id has to begin with. Raises UsageError where no id can begin so."""
    if checksum and (frozenset(checksum) - _HEX or not 7 <= len(checksum) <= 64):
        raise UsageError(f"{word}: invalid checksum {checksum!r}", hint="give the commit id: 40 hexadecimal digits")
    return checksum


def _switch(text: str, name: str, word: str) -> bool:
    lower = text.lower()
    if lower in _FALSE:
        return False
    if lower in _TRUE or not lower:
        return True
    raise UsageError(f"{word}: invalid value {text!r} of {name}", hint="write true or false")
