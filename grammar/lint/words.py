"""Expand words and note which variables they name that nothing defines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from grammar.checks import HEREDOC_MARKER
from grammar.expansion import expand, expand_heredoc
from grammar.flags import read_flags
from grammar.mounts import read_mount
from grammar.nearest import edits
from grammar.nodes import Instruction

_FARTHEST = 2
_LONGEST = 64


class Asked(Mapping[str, str]):
    """Variables that note which names were asked for: `found` and `missed`, in the order of asking."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = known
        self.found: dict[str, None] = {}
        self.missed: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        value = self.known.get(name)
        if value is None:
            self.missed[name] = None
            raise KeyError(name)
        self.found[name] = None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def undefined(node: Instruction, known: Mapping[str, str], escape: str) -> Iterator[str]:
    """Yield the names that the words of `node` use and `known` has not; once for each word.

    Not those of ARG, whose words see each other, nor those of EXPOSE, in which BuildKit lets them pass. Raises
    DockerfileError for a word that cannot be expanded.
    """
    asked = Asked(known)

    def read(word: str) -> str:
        return expand(word, asked, escape)

    for word in _words(node, escape):
        if "$" in word:
            read(word)
            yield from _taken(asked)
    if node.keyword == "run":
        for mount in read_flags(node, escape).texts("mount"):
            if "$" in mount:
                read_mount(mount, read)
                yield from _taken(asked)
    elif node.keyword in ("copy", "add"):
        for heredoc in node.heredocs:
            if heredoc.expand:
                expand_heredoc(heredoc.content, asked)
                yield from _taken(asked)


def _taken(asked: Asked) -> list[str]:
    names = sorted(asked.missed)
    asked.missed.clear()
    return names


def _words(node: Instruction, escape: str) -> Iterable[str]:
    match node.keyword:
        case "env" | "label" | "workdir" | "user" | "volume" | "stopsignal":
            return node.arguments
        case "copy" | "add":
            flags = read_flags(node, escape)
            given = [flags.text(name) or "" for name in ("chown", "chmod", "checksum")]
            return [
                *given,
                *(word for word in node.arguments if not (node.heredocs and HEREDOC_MARKER.fullmatch(word))),
            ]
        case _:
            return ()


def suggestion(word: str, existing: Iterable[str]) -> str:
    """Return the name that was perhaps meant, or nothing: the nearest, at most two edits away, case counting."""
    if len(word) > _LONGEST:
        return ""
    best, allowed = "", _FARTHEST
    for candidate in existing:
        if candidate == word:
            return ""
        if abs(len(candidate) - len(word)) <= allowed:
            distance = edits(word, candidate, swaps=False)
            if distance <= allowed:
                best, allowed = candidate, distance - 1
    return best
