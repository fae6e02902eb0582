"""Write `ROOT/images/index.json` from the database, so that other tools can read the store in place.

OCI image-spec, image-layout.md. The index lists the images whose layers are complete as blobs. Each name is there
under the spellings that people use, since a tool looks for the annotation as it was typed: `app` is also `app:latest`
and `docker.io/library/app:latest`.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from frozen import replace
from runtime.errors import StoreError
from runtime.oci.documents import REF_NAME, Descriptor, Index, decode_descriptor
from runtime.oci.fields import Reader, decode_object
from runtime.oci.references import DEFAULT_TAG, parse_reference
from runtime.store.locks import held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runtime.store.facade import Store

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

_QUERY = """
    SELECT names.name AS name, coalesce(names.target, images.manifest) AS descriptor
    FROM names JOIN images ON images.id = names.image WHERE images.manifest IS NOT NULL
    UNION ALL
    SELECT NULL, images.manifest FROM images
    WHERE images.manifest IS NOT NULL AND images.id NOT IN (SELECT image FROM names)
"""


def encode_descriptor(descriptor: Descriptor) -> str:
    """Write a descriptor as the database keeps it."""
    return json.dumps(descriptor.raw, separators=(",", ":"))


def stored_descriptor(text: str) -> Descriptor:
    """Read a descriptor from the database."""
    return decode_descriptor(Reader(decode_object(text, "descriptor")))


def project(store: Store) -> None:
    """Bring `oci-layout` and `index.json` up to date; when this returns, they tell what the database does.

    Reads the database under the lock, so that the last of several writers writes the last state.
    """
    images = store.layout.images
    with held(store.layout.locks / "index.json", store.context.cancel):
        if not (images / "oci-layout").exists():
            (images / "blobs/sha256").mkdir(mode=0o755, parents=True, exist_ok=True)
            _replace(store, images / "oci-layout", LAYOUT)
        data = expected_index(store)
        if _read(images / "index.json") != data:
            _replace(store, images / "index.json", data)


def expected_index(store: Store) -> bytes:
    """Give the `index.json` that the database stands for."""
    entries: list[tuple[str, Descriptor]] = []
    for row in store.database.read(_QUERY):
        descriptor = stored_descriptor(row["descriptor"])
        entries += [(spelling, descriptor) for spelling in _spellings(row["name"])]
    entries.sort(key=lambda entry: (entry[0] == "", entry[0], entry[1].digest))
    return Index(manifests=tuple(named(descriptor, name) for name, descriptor in entries)).encode() + b"\n"


def named(descriptor: Descriptor, name: str) -> Descriptor:
    """Annotate a descriptor with a name, which may be "" for none."""
    return replace(descriptor, annotations={**descriptor.annotations, REF_NAME: name}) if name else descriptor


def _spellings(name: str | None) -> tuple[str, ...]:
    if name is None:
        return ("",)
    reference = parse_reference(name)
    familiar = reference.familiar()
    short = (reference.familiar_name,) if reference.tag == DEFAULT_TAG else ()
    return tuple(dict.fromkeys((str(reference), familiar, *short)))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(store: Store, path: Path, data: bytes) -> None:
    temporary = store.workspace() / f"{path.name}-{store.context.token(8)}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
