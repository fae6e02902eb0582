"""Read `--output`: `type=oci,dest=FILE,name=NAME`, or a path alone, as buildx has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.exporters.annotations import Annotation, read_field
from frozen import Frozen
from runtime.errors import UsageError

TYPES = ("image", "registry", "docker", "oci", "tar", "local", "cacheonly")
_NEEDS_DESTINATION = ("local", "tar", "oci")
_ALIASES = {"none": "cacheonly"}
_OF_IMAGES = (
    "name",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "rewrite-timestamp",
)
_OF_THE_STORE = ("push", "push-by-digest", "registry.insecure", "store", "name-canonical")
_WITHOUT_EFFECT = ("unpack", "buildinfo", "dangling-name-prefix")
"""Ask for what is done anyway, or name what is never there."""
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "image": (*_OF_IMAGES, *_OF_THE_STORE, *_WITHOUT_EFFECT),
    "registry": (*_OF_IMAGES, *_OF_THE_STORE, *_WITHOUT_EFFECT),
    "docker": (*_OF_IMAGES, "dest", "tar"),
    "oci": (*_OF_IMAGES, "dest", "tar"),
    "tar": ("dest", "platform-split", "rewrite-timestamp"),
    "local": ("dest", "platform-split", "rewrite-timestamp", "mode"),
    "cacheonly": (),
}
_COMPRESSIONS = ("gzip", "zstd", "uncompressed")
_TRUE = ("true", "1")
_FALSE = ("false", "0")
STANDARD_OUTPUT = "-"


class Output(Frozen):
    """One wish: `destination` is a path, "-" for standard output, or None for the store.

    `compression` is None where nothing was said: layers that are compressed already stay as they are then. `tar` is
    False for an OCI layout in a directory. `split` gives each platform a directory of its own, None for more than one.
    `index` writes an index for one platform, too. `oci` is False where the media types are to be Docker's.

    `by_digest` pushes without a tag, `canonical` keeps names with the digest as well, and without `store` nothing is
    kept. `insecure` is for the registry of a push. `delete` removes what a directory holds beside the tree.
    """

    type: str
    destination: str | None = None
    names: tuple[str, ...] = ()
    push: bool = False
    compression: str | None = None
    level: int | None = None
    force: bool = False
    tar: bool = True
    split: bool | None = None
    rewrite: bool = False
    index: bool = False
    oci: bool = True
    by_digest: bool = False
    canonical: bool = False
    store: bool = True
    insecure: bool = False
    delete: bool = False
    annotations: tuple[Annotation, ...] = ()

    @property
    def needs_manifest(self) -> bool:
        """Whether the image's layers have to be blobs, and its manifest written."""
        layers = self.compression or self.force or self.level is not None
        return bool(self.push or self.index or layers or self.annotations or self.canonical or not self.oci)


def read_outputs(
    words: Iterable[str], *, push: bool = False, annotations: tuple[Annotation, ...] = ()
) -> tuple[Output, ...]:
    """Read all `--output` flags; without one the image goes to the store. Raises UsageError.

    `push` (`--push`) is `type=registry`, for the images among them. `annotations` are those of `--annotation`.
    """
    from frozen import replace

    outputs = tuple(_read(word) for word in words)
    if push and not any(output.type == "image" for output in outputs):
        outputs = (*outputs, Output(type="image", push=True))
    outputs = outputs or (Output(type="image"),)
    if sum(output.destination == STANDARD_OUTPUT for output in outputs) > 1:
        raise UsageError("only one output can go to standard output", hint="give the others a dest=FILE")
    made = []
    for output in outputs:
        if output.type in ("image", "oci", "docker"):
            output = replace(
                output,
                push=output.push or (push and output.type == "image"),
                annotations=(*annotations, *output.annotations),
            )
        made.append(output)
    if annotations and any(output.annotations and not output.oci for output in made):
        raise UsageError("--annotation conflicts with oci-mediatypes=false", hint="Docker's manifests hold none")
    if annotations and not any(output.annotations for output in made):
        raise UsageError("--annotation: no output is an image", hint="annotations go with images, layouts and archives")
    return tuple(made)


def _read(word: str) -> Output:
    import csv  # lazy: only where there is something to read

    fields = next(csv.reader([word]), [])
    if len(fields) == 1 and "=" not in fields[0]:
        if fields[0] == STANDARD_OUTPUT:
            return Output(type="tar", destination=STANDARD_OUTPUT)
        return Output(type="local", destination=fields[0])
    values: dict[str, str] = {}
    for part in fields:
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f'invalid argument "{word}" for "--output" flag: {part!r} is no NAME=VALUE')
        name = name.strip()
        values[name if name.startswith("annotation") else name.lower()] = value
    kind = values.pop("type", "")
    kind = _ALIASES.get(kind, kind)
    if not kind:
        raise UsageError(f'invalid argument "{word}" for "--output" flag: type is required', hint=_types())
    if kind not in TYPES:
        raise UsageError(f'invalid argument "{word}" for "--output" flag: there is no type {kind}', hint=_types())
    return _checked(word, kind, values)


def _checked(word: str, kind: str, values: dict[str, str]) -> Output:
    annotations = []
    for name in [name for name in values if name.startswith("annotation")]:
        annotation = read_field(name, values[name])
        if annotation is None or "name" not in _KNOWN[kind]:
            raise UsageError(f"--output {word}: {name} is not supported for type={kind}")
        annotations.append(annotation)
        del values[name]
    for name in values:
        if name not in _KNOWN[kind]:
            known = ", ".join(_KNOWN[kind]) or "nothing"
            raise UsageError(f"--output {word}: {name} is not supported for type={kind}", hint=f"it takes {known}")
    tar = _switch(word, values, "tar", default=True)
    if not tar and kind != "oci":
        raise UsageError(f"--output {word}: type={kind} is a tar file", hint="type=oci,tar=false writes a directory")
    destination = _destination(word, kind, values.get("dest"), tar=tar)
    if kind == "docker" and destination is None:
        kind = "image"
    push = kind == "registry" or _switch(word, values, "push", default=False)
    compression = _compression(word, values.get("compression"))
    oci = _switch(word, values, "oci-mediatypes", default=True)
    if not oci and (compression == "zstd" or annotations):
        other = "compression=zstd" if compression == "zstd" else "annotations"
        raise UsageError(f"--output {word}: {other} conflicts with oci-mediatypes=false", hint="leave that out")
    return Output(
        type="image" if kind == "registry" else kind,
        destination=destination,
        names=tuple(name for name in values.get("name", "").split(",") if name),
        push=push,
        compression=compression,
        level=_level(word, values.get("compression-level")),
        force=_switch(word, values, "force-compression", default=False),
        tar=tar,
        split=_switch(word, values, "platform-split", default=False) if "platform-split" in values else None,
        rewrite=_switch(word, values, "rewrite-timestamp", default=False),
        oci=oci,
        by_digest=_switch(word, values, "push-by-digest", default=False),
        canonical=_switch(word, values, "name-canonical", default=False),
        store=_switch(word, values, "store", default=True),
        insecure=_switch(word, values, "registry.insecure", default=False),
        delete=_deletes(word, values.get("mode", "copy")),
        annotations=tuple(annotations),
    )


def _deletes(word: str, mode: str) -> bool:
    if mode not in ("copy", "delete"):
        raise UsageError(f"--output {word}: there is no mode {mode}", hint="copy or delete")
    return mode == "delete"


def _destination(word: str, kind: str, given: str | None, *, tar: bool) -> str | None:
    directory = kind == "local" or not tar
    if not given and kind in _NEEDS_DESTINATION:
        if directory:
            raise UsageError(f"--output {word}: dest is required", hint=f"write type={kind},dest=DIRECTORY")
        return STANDARD_OUTPUT
    if directory and given == STANDARD_OUTPUT:
        raise UsageError(f"--output {word}: a directory cannot go to standard output")
    return given or None


def _compression(word: str, given: str | None) -> str | None:
    if given == "estargz":
        raise UsageError(
            f"--output {word}: compression=estargz is not supported", hint="gzip, zstd and uncompressed are"
        )
    if given is not None and given not in _COMPRESSIONS:
        raise UsageError(f"--output {word}: there is no compression {given}", hint="gzip, zstd or uncompressed")
    return given


def _level(word: str, given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdecimal() and int(given) <= 22):
        raise UsageError(f"--output {word}: compression-level is a number from 0 to 22")
    return int(given)


def _switch(word: str, values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name)
    if text is None:
        return default
    if not text:
        return True
    if text.lower() not in (*_TRUE, *_FALSE):
        raise UsageError(f"--output {word}: {name} is true or false")
    return text.lower() in _TRUE


def _types() -> str:
    return f"write type= and one of {', '.join(TYPES)}"
