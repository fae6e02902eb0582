"""Make cache keys: the digest of everything that a step can see and of nothing else.

A key is over the canonical JSON of a step's parts (`interfaces.KeyParts`), the content of the tree it changes, and the
version of our own semantics. The content of a tree is a chain over its layers' content digests, in which no time and
no inode counts; a base image enters it by its chain ID, which says everything about it.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.interfaces import KeyParts
from frozen import Frozen
from runtime.oci.digests import ChainID, Digest, canonical_json, sha256_of

SEMANTICS = 3
"""Counts up when the same instruction over the same content would give another tree than before."""

_EMPTY_TREE = sha256_of(b"pybuild: the empty tree")
_ORDER = ("semantics", "instruction", "parent", "environment")
"""What is named first when several parts differ."""


def base_content(chain: ChainID | None) -> Digest:
    """Digest the content of a base image's tree, None for `scratch`."""
    return _EMPTY_TREE if chain is None else sha256_of(b"pybuild: base " + chain.encode())


def next_content(parent: Digest, layer: Digest) -> Digest:
    """Digest the content of a tree: that of its parent, and of the layer on top."""
    return sha256_of(f"pybuild: layer {parent} {layer}".encode())


def complete(parts: KeyParts, *, parent: Digest | None, epoch: int | None) -> KeyParts:
    """Add to a step's own parts what counts for every step; `parent` is None for a linked one."""
    whole = dict(parts)
    whole["semantics"] = SEMANTICS
    if parent is not None:
        whole["parent"] = parent
    if epoch is not None:
        whole["epoch"] = epoch
    return whole


def key_of(parts: KeyParts) -> Digest:
    """Digest the complete parts of a step."""
    return sha256_of(canonical_json(parts))


class Difference(Frozen):
    """One part in which two keys differ: `name` as `environment.CFLAGS`; None on a side that lacks it."""

    name: str
    before: object
    after: object

    def __str__(self) -> str:
        if self.name == "parent":
            return "what it builds on is not the same"
        if self.name == "semantics":
            return "this version of pybuild does it in another way than the one that ran it"
        if self.before is None:
            return f"{self.name} is new: {_shown(self.after)}"
        if self.after is None:
            return f"{self.name} is gone: {_shown(self.before)}"
        return f"{self.name}: {_shown(self.before)} became {_shown(self.after)}"


def differences(before: KeyParts, after: KeyParts) -> Iterator[Difference]:
    """Name the parts in which two complete keys differ, the most telling first."""
    names = sorted(before.keys() | after.keys(), key=lambda name: (_rank(name), name))
    for name in names:
        yield from _compare(name, before.get(name), after.get(name))


def _rank(name: str) -> int:
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _compare(name: str, before: object, after: object) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _compare(f"{name}.{key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from _compare(f"{name}[{index}]", left, right)
    else:
        yield Difference(name=name, before=before, after=after)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else canonical_json(value).decode()
    return ascii(text if len(text) <= 120 else text[:117] + "...")
