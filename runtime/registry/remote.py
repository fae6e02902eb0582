"""Look at an image where it is, without fetching its layers: manifest, index, configuration, referrers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runtime.errors import NotFound
from runtime.oci import documents
from runtime.oci.documents import CONFIG_TYPES, Descriptor, Manifest
from runtime.oci.fields import MANIFEST_LIMIT
from runtime.registry import resolving
from runtime.registry.client import Repository
from runtime.registry.resolving import Document

if TYPE_CHECKING:
    from runtime.oci.digests import Digest
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.registry.transport import Transport

_REFERRERS = 200
"""Referrers that are shown."""


def remote_document(transport: Transport, reference: Reference, platform: Platform | None) -> dict[str, object]:
    """Give what a registry has under a name, with Docker's field names where Docker has them.

    `Index` is the document that the name stands for if that is an index; then `Manifest`, `ImageConfig` and all that
    comes from them are those of `platform` (None: this machine's). Where the index has none for this machine they are
    null; where `platform` was asked for, NotFound is raised. Raises RegistryError, DocumentError, DigestMismatch.
    """
    repository = Repository(transport, reference)
    reference = reference.tagged()
    descriptor, data = repository.get_manifest(str(reference.digest or reference.tag))
    top = Document(descriptor=descriptor, data=data)
    is_index = top.descriptor.media_type in documents.INDEX_TYPES
    try:
        chain = resolving.resolve(repository, top.descriptor.digest, platform, found=top).documents
    except NotFound:
        if platform is not None or not is_index:
            raise
        chain = (top,)
    manifest = chain[-1] if chain[-1] is not top or not is_index else None
    subjects = dict.fromkeys(item.descriptor.digest for item in (top, chain[-1]))
    return {
        "Name": reference.familiar_name,
        "RepoTags": [reference.familiar()] if reference.digest is None else [],
        "RepoDigests": [f"{reference.familiar_name}@{top.descriptor.digest}"],
        "Digest": top.descriptor.digest,
        "MediaType": top.descriptor.media_type,
        **(_image_fields(repository, manifest) if manifest else {"Id": "", "Manifest": None, "ImageConfig": None}),
        "Index": json.loads(top.data) if is_index else None,
        "Referrers": [_shown(item, subject) for subject in subjects for item in repository.referrers(subject)][
            :_REFERRERS
        ],
    }


def _image_fields(repository: Repository, document: Document) -> dict[str, object]:
    manifest = documents.decode_manifest(document.data)
    return {
        "Id": manifest.config.digest,
        "ManifestDigest": document.descriptor.digest,
        "Size": sum(layer.size for layer in manifest.layers),
        "Manifest": json.loads(document.data),
        **_config_fields(repository, manifest),
    }


def _config_fields(repository: Repository, manifest: Manifest) -> dict[str, object]:
    if manifest.config.media_type not in CONFIG_TYPES:
        return {"ImageConfig": None}  # an artifact's is its maker's business
    data = repository.read_blob(manifest.config.digest, manifest.config.size, limit=MANIFEST_LIMIT)
    config, document = documents.decode_config(data), json.loads(data)
    return {
        "Created": config.created,
        "Author": config.author,
        "Architecture": config.architecture,
        "Variant": config.variant,
        "Os": config.os,
        "Config": document.get("config") or {},
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "ImageConfig": document,
    }


def _shown(referrer: Descriptor, subject: Digest) -> dict[str, object]:
    return {**referrer.raw, "subject": subject}
