"""Say where images can lie, and read the words for it: a registry, an OCI layout, an archive.

`docker://NAME` or a bare name, `oci:DIRECTORY[:NAME]`, `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:NAME]`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from frozen import Frozen
from runtime.errors import UsageError
from runtime.oci.digests import Digest
from runtime.oci.documents import Descriptor
from runtime.registry.transport import Readable

Kind = Literal["registry", "layout", "oci-archive", "docker-archive"]
_KINDS: dict[str, Kind] = {
    "docker": "registry",
    "oci": "layout",
    "oci-archive": "oci-archive",
    "docker-archive": "docker-archive",
}
_ELSEWHERE = ("containers-storage", "docker-daemon", "dir", "sif", "ostree", "atomic", "tarball")


class Place(Frozen):
    """Where an image is or goes: the name at a registry, or a path and perhaps a name there."""

    kind: Kind
    name: str = ""
    path: Path = Path()

    def __str__(self) -> str:
        if self.kind == "registry":
            return f"docker://{self.name}"
        word = "oci" if self.kind == "layout" else self.kind
        return f"{word}:{self.path}" + (f":{self.name}" if self.name else "")


def parse_place(text: str) -> Place:
    """Read a place as skopeo writes it; a word without a transport is a registry's. Raises UsageError."""
    transport, colon, rest = text.partition(":")
    if colon and transport in _ELSEWHERE:
        raise UsageError(f"{text!r}: images cannot be copied from or to {transport}", hint=f"there are {_known()}")
    if not colon or transport not in _KINDS:
        return Place(kind="registry", name=text)
    kind = _KINDS[transport]
    if kind == "registry":
        if not rest.startswith("//"):
            raise UsageError(f"{text!r}: a registry is written docker://NAME")
        return Place(kind=kind, name=rest[2:])
    path, _, name = rest.partition(":")
    if not path:
        raise UsageError(f"{text!r} has no path", hint=f"write {transport}:PATH[:NAME]")
    return Place(kind=kind, name=name, path=Path(path))


def _known() -> str:
    return "docker://NAME, oci:DIRECTORY[:NAME], oci-archive:FILE[:NAME] and docker-archive:FILE[:NAME]"


Opened: TypeAlias = Callable[[], AbstractContextManager[Readable]]
"""Opens a blob from its start."""


class Source(Protocol):
    """Where images are read from; a `resolving.Source` that has large blobs as well. Threads may share one."""

    @property
    def top(self) -> str:
        """The tag or digest under which `get_manifest` has what the place names."""

    def get_manifest(self, target: str) -> tuple[Descriptor, bytes]:
        """Give a manifest or index, verified; raises NotFound."""

    def read_blob(self, digest: Digest, size: int | None, *, limit: int) -> bytes:
        """Give a small blob, verified."""

    def open_blob(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        """Give the bytes of a blob, whose digest the reader compares."""

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """List what speaks of a manifest."""


class Target(Protocol):
    """Where images are written to. Threads may share one; `finish` comes last, from one."""

    def has_blob(self, blob: Descriptor) -> bool:
        """Tell whether the place has a blob."""

    def mount_blob(self, blob: Descriptor, source: Source) -> str | None:
        """Let the place itself take a blob from where `source` has it; says from where, None if it cannot."""

    def put_blob(self, blob: Descriptor, opened: Opened) -> None:
        """Take a blob, whose bytes `opened` gives anew each time; raises DigestMismatch where they are not right."""

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        """Store a manifest, after all that it names."""

    def finish(self, top: Descriptor, data: bytes) -> None:
        """Give `top` the name that the place says."""
