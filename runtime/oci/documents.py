"""See manifests, indexes and image configs as typed values; what is unknown here survives a change.

Each view is frozen and changed with `frozen.replace`. `raw` gives the document again: the known fields, and in
`extra` whatever else was there, annotations of strangers included. `encode` writes it in canonical JSON, null and
empty fields left out. A document that has a digest is kept by the store byte for byte; encoding is for new ones.

OCI image-spec: descriptor.md, manifest.md, image-index.md, config.md. Docker: image manifest v2, schema 2, whose
media types are read like OCI's. Docker's own fields of a config (Healthcheck, OnBuild, Shell…) are github.com/
moby/docker-image-spec's.
"""

from __future__ import annotations

from collections.abc import Mapping

from frozen import Frozen, field
from runtime.errors import DocumentError
from runtime.oci.digests import ChainID, DiffID, Digest, canonical_json, chain_ids
from runtime.oci.fields import Reader, decode_object
from runtime.oci.platforms import Platform, decode_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

MANIFEST_TYPES = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
INDEX_TYPES = frozenset((OCI_INDEX, DOCKER_INDEX))
CONFIG_TYPES = frozenset((OCI_CONFIG, DOCKER_CONFIG))

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"

_LAYER_COMPRESSION = {
    OCI_LAYER: "none",
    OCI_LAYER + "+gzip": "gzip",
    OCI_LAYER + "+zstd": "zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER + ".gzip": "gzip",
    DOCKER_LAYER + ".zstd": "zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar": "none",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": "gzip",
}


def layer_media_type(compression: str) -> str:
    """Give the media type that we write for `gzip`, `zstd` or `none`."""
    return OCI_LAYER if compression == "none" else f"{OCI_LAYER}+{compression}"


def layer_compression(media_type: str) -> str | None:
    """Give `gzip`, `zstd` or `none` for a layer's media type, None for what is no layer."""
    return _LAYER_COMPRESSION.get(media_type)


class Descriptor(Frozen):
    """What a document says of a blob: type, digest, size in bytes (descriptor.md)."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        return _present(
            self.extra,
            mediaType=self.media_type,
            digest=self.digest,
            size=self.size,
            urls=list(self.urls),
            annotations=dict(self.annotations),
            platform=self.platform.raw if self.platform else None,
            artifactType=self.artifact_type,
        )


_DESCRIPTOR = ("mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType")


def decode_descriptor(reader: Reader) -> Descriptor:
    """Read a descriptor; raises DocumentError with the path of the field at fault."""
    platform = reader.optional_reader("platform")
    return Descriptor(
        media_type=reader.optional_text("mediaType") or "",
        digest=reader.digest("digest"),
        size=reader.size("size"),
        annotations=reader.text_map("annotations"),
        platform=decode_platform(platform) if platform else None,
        urls=reader.texts("urls"),
        artifact_type=reader.optional_text("artifactType") or "",
        extra=reader.others(_DESCRIPTOR),
    )


class Manifest(Frozen):
    """One image of one platform: a config and layers, bottom first (manifest.md)."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = OCI_MANIFEST
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        return _present(
            self.extra,
            schemaVersion=2,
            mediaType=self.media_type,
            artifactType=self.artifact_type,
            config=self.config.raw,
            subject=self.subject.raw if self.subject else None,
            annotations=dict(self.annotations),
        ) | {"layers": [layer.raw for layer in self.layers]}

    @property
    def is_image(self) -> bool:
        """Whether it holds an image, and not an artifact such as an attestation."""
        return self.config.media_type in CONFIG_TYPES and not any(
            layer_compression(layer.media_type) is None for layer in self.layers
        )

    def encode(self) -> bytes:
        """Write the document in canonical JSON."""
        return canonical_json(self.raw)


_MANIFEST = ("schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations")


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest of OCI v1 or Docker schema 2; raises DocumentError."""
    reader = Reader(decode_object(data, "manifest"))
    _refuse_other(reader, MANIFEST_TYPES, "a manifest", ("manifests",))
    subject = reader.optional_reader("subject")
    config = decode_descriptor(reader.reader("config"))
    return Manifest(
        config=config,
        layers=tuple(decode_descriptor(layer) for layer in reader.items("layers")),
        media_type=reader.optional_text("mediaType")
        or (DOCKER_MANIFEST if config.media_type == DOCKER_CONFIG else OCI_MANIFEST),
        annotations=reader.text_map("annotations"),
        subject=decode_descriptor(subject) if subject else None,
        artifact_type=reader.optional_text("artifactType") or "",
        extra=reader.others(_MANIFEST),
    )


class Index(Frozen):
    """A list of manifests, for several platforms or several names (image-index.md)."""

    manifests: tuple[Descriptor, ...]
    media_type: str = OCI_INDEX
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        return _present(
            self.extra,
            schemaVersion=2,
            mediaType=self.media_type,
            artifactType=self.artifact_type,
            subject=self.subject.raw if self.subject else None,
            annotations=dict(self.annotations),
        ) | {"manifests": [manifest.raw for manifest in self.manifests]}

    def encode(self) -> bytes:
        """Write the document in canonical JSON."""
        return canonical_json(self.raw)


_INDEX = ("schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations")


def decode_index(data: bytes) -> Index:
    """Read an index of OCI v1 or a manifest list of Docker schema 2; raises DocumentError."""
    reader = Reader(decode_object(data, "index"))
    _refuse_other(reader, INDEX_TYPES, "an index", ("layers", "config"))
    subject = reader.optional_reader("subject")
    return Index(
        manifests=tuple(decode_descriptor(manifest) for manifest in reader.items("manifests")),
        media_type=reader.optional_text("mediaType") or OCI_INDEX,
        annotations=reader.text_map("annotations"),
        subject=decode_descriptor(subject) if subject else None,
        artifact_type=reader.optional_text("artifactType") or "",
        extra=reader.others(_INDEX),
    )


class Healthcheck(Frozen):
    """How to see that a container works; times in nanoseconds, 0 for the default."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        return _present(
            self.extra,
            Test=list(self.test),
            Interval=self.interval,
            Timeout=self.timeout,
            StartPeriod=self.start_period,
            StartInterval=self.start_interval,
            Retries=self.retries,
        )


_HEALTHCHECK = ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")


def _decode_healthcheck(reader: Reader) -> Healthcheck:
    return Healthcheck(
        test=reader.texts("Test"),
        interval=reader.optional_integer("Interval") or 0,
        timeout=reader.optional_integer("Timeout") or 0,
        start_period=reader.optional_integer("StartPeriod") or 0,
        start_interval=reader.optional_integer("StartInterval") or 0,
        retries=reader.optional_integer("Retries") or 0,
        extra=reader.others(_HEALTHCHECK),
    )


class ContainerConfig(Frozen):
    """What a container of the image runs with: the object `config` of an image config.

    `env` are `NAME=value`, in order. `exposed_ports` (`80/tcp`) and `volumes` are sets, sorted. `entrypoint`, `cmd`
    and `shell` are None where they were not said.
    """

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, object]:
        """The document again, in Docker's field names."""
        return _present(
            self.extra,
            User=self.user,
            ExposedPorts={port: {} for port in sorted(self.exposed_ports)},
            Env=list(self.env),
            Entrypoint=list(self.entrypoint or ()),
            Cmd=list(self.cmd or ()),
            Volumes={volume: {} for volume in sorted(self.volumes)},
            WorkingDir=self.working_dir,
            Labels=dict(self.labels),
            StopSignal=self.stop_signal,
            ArgsEscaped=self.args_escaped,
            Healthcheck=self.healthcheck.raw if self.healthcheck else None,
            OnBuild=list(self.on_build),
            Shell=list(self.shell or ()),
        )


_CONTAINER_CONFIG = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
)


def _decode_container_config(reader: Reader) -> ContainerConfig:
    healthcheck = reader.optional_reader("Healthcheck")
    return ContainerConfig(
        user=reader.optional_text("User") or "",
        exposed_ports=reader.keys("ExposedPorts"),
        env=reader.texts("Env"),
        entrypoint=reader.optional_texts("Entrypoint"),
        cmd=reader.optional_texts("Cmd"),
        volumes=reader.keys("Volumes"),
        working_dir=reader.optional_text("WorkingDir") or "",
        labels=reader.text_map("Labels"),
        stop_signal=reader.optional_text("StopSignal") or "",
        args_escaped=reader.boolean("ArgsEscaped"),
        healthcheck=_decode_healthcheck(healthcheck) if healthcheck else None,
        on_build=reader.texts("OnBuild"),
        shell=reader.optional_texts("Shell"),
        extra=reader.others(_CONTAINER_CONFIG),
    )


class History(Frozen):
    """How one layer, or with `empty_layer` a piece of the config, came to be (config.md § history)."""

    created: str | None = None
    """RFC 3339, as written."""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        return _present(
            self.extra,
            created=self.created,
            created_by=self.created_by,
            author=self.author,
            comment=self.comment,
            empty_layer=self.empty_layer,
        )


_HISTORY = ("created", "created_by", "author", "comment", "empty_layer")


def _decode_history(reader: Reader) -> History:
    return History(
        created=reader.optional_text("created"),
        created_by=reader.optional_text("created_by") or "",
        author=reader.optional_text("author") or "",
        comment=reader.optional_text("comment") or "",
        empty_layer=reader.boolean("empty_layer"),
        extra=reader.others(_HISTORY),
    )


class ImageConfig(Frozen):
    """An image but for its layers' content; the digest of its encoding is the image id (config.md).

    `diff_ids` name the layers, bottom first. `created` is RFC 3339 as written, or None.
    """

    architecture: str
    os: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    created: str | None = None
    author: str = ""
    config: ContainerConfig = field(default_factory=ContainerConfig)
    diff_ids: tuple[DiffID, ...] = ()
    history: tuple[History, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def platform(self) -> Platform:
        """What it runs on, normalised."""
        return Platform(
            os=self.os,
            architecture=self.architecture,
            variant=self.variant,
            os_version=self.os_version,
            os_features=self.os_features,
        ).normalised()

    @property
    def chain_id(self) -> ChainID | None:
        """The name of the whole stack of layers, None where there is no layer."""
        return chain_ids(self.diff_ids)[-1] if self.diff_ids else None

    @property
    def raw(self) -> dict[str, object]:
        """The document again."""
        document = _present(
            self.extra,
            created=self.created,
            author=self.author,
            variant=self.variant,
            history=[entry.raw for entry in self.history],
        )
        document |= _present({}, **{"os.version": self.os_version, "os.features": list(self.os_features)})
        document |= {"architecture": self.architecture, "os": self.os, "config": self.config.raw}
        document["rootfs"] = {"type": "layers", "diff_ids": list(self.diff_ids)}
        return document

    def encode(self) -> bytes:
        """Write the document in canonical JSON: what the image id of a new image is the digest of."""
        return canonical_json(self.raw)


_IMAGE_CONFIG = (
    "architecture",
    "os",
    "variant",
    "os.version",
    "os.features",
    "created",
    "author",
    "config",
    "rootfs",
    "history",
)


def decode_config(data: bytes) -> ImageConfig:
    """Read an image config of OCI or Docker; raises DocumentError with the path of the field at fault."""
    reader = Reader(decode_object(data, "image config"))
    rootfs = reader.reader("rootfs")
    kind = rootfs.optional_text("type")
    if kind not in {None, "", "layers"}:
        raise DocumentError(f'must be "layers", is {kind!a}', field="rootfs.type")
    inner = reader.optional_reader("config")
    return ImageConfig(
        architecture=reader.optional_text("architecture") or "",
        os=reader.optional_text("os") or "",
        variant=reader.optional_text("variant") or "",
        os_version=reader.optional_text("os.version") or "",
        os_features=reader.texts("os.features"),
        created=reader.optional_text("created"),
        author=reader.optional_text("author") or "",
        config=_decode_container_config(inner) if inner else ContainerConfig(),
        diff_ids=tuple(DiffID(digest) for digest in rootfs.digests("diff_ids")),
        history=tuple(_decode_history(entry) for entry in reader.items("history")),
        extra=reader.others(_IMAGE_CONFIG),
    )


def media_type_of(data: bytes) -> str:
    """Tell a manifest from an index by its content, whatever was said of it; raises DocumentError for neither."""
    reader = Reader(decode_object(data, "manifest"))
    said = reader.optional_text("mediaType")
    if said in MANIFEST_TYPES or said in INDEX_TYPES:
        return said or ""
    if reader.has("manifests"):
        return OCI_INDEX
    if reader.has("config"):
        config = reader.reader("config").optional_text("mediaType")
        return DOCKER_MANIFEST if config == DOCKER_CONFIG else OCI_MANIFEST
    return _no_manifest(reader)


def _no_manifest(reader: Reader) -> NoReturn:
    if reader.value.get("schemaVersion") == 1:
        raise DocumentError(
            "is Docker's old image format (schema 1), which is not supported",
            field="schemaVersion",
            hint="push the image again with a current tool",
        )
    raise DocumentError(f"{reader.value.get('mediaType')!a} is neither a manifest nor an index", field="mediaType")


def _refuse_other(reader: Reader, types: frozenset[str], what: str, foreign: tuple[str, ...]) -> None:
    """Refuse another kind of document; one that could be read as both kinds is a trap (OCI CVE-2021-41190)."""
    media_type = reader.optional_text("mediaType")
    if reader.optional_integer("schemaVersion") not in {None, 2}:
        _no_manifest(reader)
    if media_type and media_type not in types:
        raise DocumentError(f"{media_type!a} is not {what}", field="mediaType")
    for name in foreign:
        if reader.has(name):
            raise DocumentError(f"does not belong into {what}", field=name)


def _present(extra: Mapping[str, object], **fields: object) -> dict[str, object]:
    """Add the fields that have a value to what is unknown; null, empty and false are absent."""
    document = dict(extra)
    document.update((name, value) for name, value in fields.items() if value or name == "size")
    return document
