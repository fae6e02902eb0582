"""Read and write `pybuild.lock`: what the names in a build's Dockerfile stood for when somebody decided that.

::

    {"version": 1,
     "images": {"docker.io/library/debian:trixie": {"digest": "sha256:…"},
                "docker.io/library/app:latest": {"image": "sha256:…"}},
     "urls": {"https://example.com/file": {"digest": "sha256:…"}},
     "git": {"https://example.com/project.git#main": {"commit": "…"}}}

The `digest` of an image is a registry's, of a manifest or index; an `image` is the id of one that has no registry. The
file can pin and never allow: it names no place to fetch from that the Dockerfile does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from frozen import Frozen, field
from runtime.errors import DocumentError, PybuildError, ReferenceInvalid
from runtime.oci.digests import Digest
from runtime.oci.fields import Reader, decode_object
from runtime.oci.references import Reference, parse_reference
from runtime.outputfile import output_file

if TYPE_CHECKING:
    from runtime.store.images import Image

FILE = "pybuild.lock"
VERSION = 1


class Pin(Frozen):
    """What one name stands for: a registry's `digest`, or the id of an `image` that is no registry's."""

    digest: Digest | None = None
    image: Digest | None = None

    def holds(self, reference: Reference, image: Image) -> bool:
        """Tell whether the image that a name means now is the one that it was pinned to."""
        if self.image is not None:
            return image.id == self.image
        return any(item.name == reference.name and item.digest == self.digest for item in image.digests)

    def __str__(self) -> str:
        return str(self.digest or self.image)


class Lock(Frozen):
    """The pins of one build: images by their full name, files by URL, commits by `REMOTE#REF`.

    Fields that are not known here survive a change.
    """

    images: Mapping[str, Pin] = field(default_factory=dict)
    urls: Mapping[str, Digest] = field(default_factory=dict)
    git: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    def pin(self, reference: Reference) -> Pin | None:
        """Give what a name is pinned to."""
        return self.images.get(str(reference.tagged()))

    def pinned_name(self, name: str) -> str:
        """Write a name of the Dockerfile so that it means what is pinned; PybuildError where it is not pinned.

        A name with a digest needs no pin, and an id is one.
        """
        reference = reference_of(name)
        if reference is None or reference.digest is not None:
            return name
        pin = self.pin(reference)
        if pin is None:
            raise _not_pinned(name)
        return str(pin.image) if pin.image else f"{reference.name}@{pin.digest}"

    def encode(self) -> bytes:
        """Write the file: sorted, a pin a line or two, so that a change shows as one in a diff."""
        images = {
            name: {"image": pin.image} if pin.image else {"digest": pin.digest}
            for name, pin in sorted(self.images.items())
        }
        urls = {url: {"digest": digest} for url, digest in sorted(self.urls.items())}
        git = {name: {"commit": commit} for name, commit in sorted(self.git.items())}
        others = {name: pins for name, pins in (("urls", urls), ("git", git)) if pins}
        document = {**self.extra, "version": VERSION, "images": images, **others}
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


class RemotePins:
    """What a lock says of URLs and git refs while a build runs: the law with `locked`, else only compared.

    `warn` takes what is to be told of a difference, which is told once. Thread-safe.
    """

    def __init__(self, lock: Lock | None, *, locked: bool, warn: Callable[[str], None]) -> None:
        self._lock = lock or Lock()
        self._locked = locked
        self._warn = warn
        self._told: set[str] = set()

    def file(self, url: str) -> str:
        """Give the digest that a URL has to lead to, "" for none; PybuildError where --locked wants one."""
        return self._wanted(url, self._lock.urls.get(url))

    def commit(self, name: str) -> str:
        """Give the commit that `REMOTE#REF` has to be, "" for none; PybuildError where --locked wants one."""
        return self._wanted(name, self._lock.git.get(name))

    def found(self, name: str, now: str) -> None:
        """Compare what a URL or ref turned out to be."""
        pinned = self._lock.urls.get(name) or self._lock.git.get(name)
        if pinned is not None and pinned != now and name not in self._told:
            self._told.add(name)
            self._warn(f"{name} is {now}, and {FILE} pins {pinned}: --locked builds with that")

    def _wanted(self, name: str, pin: str | None) -> str:
        if self._locked and pin is None:
            raise _not_pinned(name)
        return pin if self._locked and pin is not None else ""


def _not_pinned(name: str) -> PybuildError:
    return PybuildError(
        f"{name} is not in {FILE}, and --locked builds with what is pinned alone",
        hint=f"`pybuild lock` pins what is missing, `pybuild lock update {name}` anew",
    )


def reference_of(name: str) -> Reference | None:
    """Read a name of a Dockerfile as the name of an image, None for an id."""
    try:
        return parse_reference(name)
    except ReferenceInvalid:
        return None


def read_lock(directory: Path) -> Lock | None:
    """Read the lock file of a build context, None where it has none; raises DocumentError with its name."""
    path = directory / FILE
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PybuildError(f"{path} cannot be read: {error.strerror}") from error
    return _parsed(data, str(path))


def parse_lock(data: bytes, title: str) -> Lock:
    """Read the lock file of a context that is no directory, and is called `title`; raises DocumentError."""
    return _parsed(data, f"{FILE} in {title}")


def _parsed(data: bytes, shown: str) -> Lock:
    try:
        return decode_lock(data)
    except DocumentError as error:
        hint = error.hint or "remove the file and let `pybuild lock` write it again"
        raise DocumentError(f"{shown}: {error.message}", hint=hint) from error


def decode_lock(data: bytes) -> Lock:
    """Read a lock file's content; raises DocumentError."""
    reader = Reader(decode_object(data, FILE))
    version = reader.integer("version")
    if version != VERSION:
        raise DocumentError(f"has version {version}, and this pybuild knows {VERSION}", field="version")
    images: dict[str, Pin] = {}
    for name, value in reader.mapping("images").items():
        entry = Reader(value, f"images[{name!r}]")
        reference = reference_of(name)
        if reference is None or reference.digest is not None or str(reference.tagged()) != name:
            raise DocumentError("is no full image name with a tag", field=entry.path)
        if entry.has("image") == entry.has("digest"):
            raise DocumentError("needs a digest or an image, and not both", field=entry.path)
        images[name] = Pin(image=entry.digest("image")) if entry.has("image") else Pin(digest=entry.digest("digest"))
    urls = {url: Reader(value, f"urls[{url!r}]").digest("digest") for url, value in reader.mapping("urls").items()}
    git = {name: _commit(Reader(value, f"git[{name!r}]")) for name, value in reader.mapping("git").items()}
    return Lock(images=images, urls=urls, git=git, extra=reader.others(("version", "images", "urls", "git")))


def _commit(entry: Reader) -> str:
    commit = entry.text("commit")
    if len(commit) not in (40, 64) or not set(commit) <= set("0123456789abcdef"):
        raise DocumentError("is no commit id", field=entry.field("commit"))
    return commit


def write_lock(directory: Path, lock: Lock) -> None:
    """Write the lock file of a build context, whole or not at all; raises PybuildError."""
    path = directory / FILE
    try:
        with output_file(path) as file:
            file.write(lock.encode())
    except OSError as error:
        raise PybuildError(f"{path} cannot be written: {error.strerror}") from error
