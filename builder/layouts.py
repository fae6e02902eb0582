"""Take an image out of an OCI layout on disk into the store: what `--build-context NAME=oci-layout://DIR` names.

OCI image-spec, image-layout.md. What is wanted of the layout goes through `runtime.store.loading` as an archive does:
there everything is compared before it enters the store.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.errors import NotFound, PybuildError, StoreError
from runtime.oci import documents
from runtime.oci.digests import Digest, algorithm_of, hex_of, is_digest, sha256_of
from runtime.oci.documents import Descriptor
from runtime.oci.fields import MANIFEST_LIMIT

if TYPE_CHECKING:
    from runtime.oci.platforms import Platform
    from runtime.store.facade import Store
    from runtime.store.images import Image

_LATEST = "latest"


def load_layout(store: Store, text: str, platform: Platform) -> Image:
    """Load the image that `DIR[:TAG|@DIGEST]` names; it gets no name in the store.

    Raises NotFound where the directory is no layout or has no such image, and what loading an archive raises.
    """
    directory, wanted = _divided(text)
    chosen = _choose(directory, wanted)
    from runtime.store.loading import load  # lazy: only for layouts

    read, write = os.pipe2(os.O_CLOEXEC)
    failures: list[BaseException] = []
    thread = threading.Thread(target=_pack, args=(directory, chosen, write, failures), daemon=True)
    thread.start()
    try:
        with open(read, "rb") as stream:
            loaded = load(store, stream, platform=platform)
    except StoreError as error:
        thread.join()
        if failures:
            raise _unreadable(directory, failures[0]) from error
        raise
    thread.join()
    return loaded[0].image


def _divided(text: str) -> tuple[Path, str]:
    """Take the tag or digest off; a colon that is part of the directory's name stays."""
    directory, separator, digest = text.rpartition("@")
    if separator and is_digest(digest):
        return Path(directory), digest
    directory, separator, tag = text.rpartition(":")
    if separator and "/" not in tag and not Path(text).is_dir():
        return Path(directory), tag
    return Path(text), ""


def _choose(directory: Path, wanted: str) -> Descriptor:
    try:
        data = (directory / "index.json").read_bytes()
        (directory / "oci-layout").stat()
    except OSError as error:
        raise NotFound(
            f"{directory} is no OCI layout: {error.strerror}: {os.path.basename(error.filename)}",
            hint="`save` unpacked, `skopeo copy` and `buildx -o type=oci,tar=false` make one",
        ) from error
    found = {descriptor.digest: descriptor for descriptor in documents.decode_index(data).manifests}
    if is_digest(wanted):
        return found.get(Digest(wanted)) or Descriptor(
            media_type="", digest=Digest(wanted), size=_size(directory, wanted)
        )
    names = {_tag(descriptor): descriptor for descriptor in found.values()}
    if not wanted and len(found) == 1:
        return next(iter(found.values()))
    if (wanted or _LATEST) in names:
        return names[wanted or _LATEST]
    there = ", ".join(sorted(name for name in names if name)) or "no tags"
    raise NotFound(f"the layout {directory} has no image {wanted or _LATEST}", hint=f"it has {there}")


def _size(directory: Path, digest: str) -> int:
    try:
        return _blob(directory, Digest(digest)).stat().st_size
    except OSError as error:
        raise NotFound(f"the layout {directory} has no blob {digest}", hint="check the digest") from error


def _tag(descriptor: Descriptor) -> str:
    """Return the tag of a name, which may be a tag alone or a whole reference."""
    name = descriptor.annotations.get(documents.REF_NAME, "")
    return name.rpartition("/")[2].rpartition(":")[2]


def _pack(directory: Path, chosen: Descriptor, pipe: int, failures: list[BaseException]) -> None:
    """Write what belongs to one image as a tar; what goes wrong is told by the reader's error, and kept here."""
    try:
        with open(pipe, "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
            index = _index(directory, chosen)
            for name, data in (("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), ("index.json", index)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
            for digest in _needed(directory, chosen):
                archive.add(_blob(directory, digest), f"blobs/{algorithm_of(digest)}/{hex_of(digest)}", recursive=False)
    except BrokenPipeError:
        pass  # the reader has found a fault
    except (OSError, PybuildError) as error:
        failures.append(error)


def _index(directory: Path, chosen: Descriptor) -> bytes:
    """Make an index of the one image, without the names that the layout gives it."""
    import json

    media_type = chosen.media_type or documents.media_type_of(_document(directory, chosen.digest))
    entry: dict[str, object] = {"mediaType": media_type, "digest": chosen.digest, "size": chosen.size}
    return json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()


def _needed(directory: Path, chosen: Descriptor) -> Iterator[Digest]:
    """Yield the digests of all blobs below a descriptor that the layout has, each once."""
    pending = [(chosen.digest, False)]
    seen: set[Digest] = set()
    while pending:
        digest, leaf = pending.pop()
        if digest in seen or not _blob(directory, digest).exists():
            continue
        seen.add(digest)
        yield digest
        if leaf:
            continue
        data = _document(directory, digest)
        kind = documents.media_type_of(data)
        if kind in documents.INDEX_TYPES:
            pending += ((item.digest, False) for item in documents.decode_index(data).manifests)
        else:
            manifest = documents.decode_manifest(data)
            pending += ((blob.digest, True) for blob in (manifest.config, *manifest.layers))


def _document(directory: Path, digest: Digest) -> bytes:
    path = _blob(directory, digest)
    if path.stat().st_size > MANIFEST_LIMIT:
        raise PybuildError(f"blob {digest} of the layout {directory} is too large for a manifest")
    data = path.read_bytes()
    if algorithm_of(digest) == "sha256" and sha256_of(data) != digest:
        raise PybuildError(f"blob {digest} of the layout {directory} is damaged")
    return data


def _blob(directory: Path, digest: Digest) -> Path:
    return directory / "blobs" / algorithm_of(digest) / hex_of(digest)


def _unreadable(directory: Path, error: BaseException) -> PybuildError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return PybuildError(f"the layout {directory} cannot be read: {reason}")
