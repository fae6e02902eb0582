"""Read `--output`: `type=oci,dest=FILE,name=NAME`, or a path alone, as buildx has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frozen import Frozen, field
from runtime.errors import UsageError

TYPES = ("image", "docker", "oci", "tar", "local", "cacheonly")
_NEEDS_DESTINATION = ("local", "tar", "oci")
_ALIASES = {"none": "cacheonly"}
_KNOWN = {
    "image": ("name",),
    "docker": ("dest", "name", "compression", "tar"),
    "oci": ("dest", "name", "compression", "tar"),
    "tar": ("dest",),
    "local": ("dest",),
    "cacheonly": (),
}
_LATER = {
    "push": "pushing comes with the registry client: save the image and copy it with another tool",
    "registry": "pushing comes with the registry client: use type=oci,dest=FILE and copy that with another tool",
}
STANDARD_OUTPUT = "-"


class Output(Frozen):
    """One wish: `destination` is a path, "-" for standard output, or None for the store."""

    type: str
    destination: str | None = None
    names: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_outputs(words: Iterable[str]) -> tuple[Output, ...]:
    """Read all `--output` flags; without one the image goes to the store. Raises UsageError."""
    outputs = tuple(_read(word) for word in words) or (Output(type="image"),)
    if sum(output.destination == STANDARD_OUTPUT for output in outputs) > 1:
        raise UsageError("only one output can go to standard output", hint="give the others a dest=FILE")
    return outputs


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
        values[name.strip().lower()] = value
    kind = values.pop("type", "")
    kind = _ALIASES.get(kind, kind)
    if not kind:
        raise UsageError(f'invalid argument "{word}" for "--output" flag: type is required', hint=_types())
    if kind in _LATER or values.get("push") in ("true", "1"):
        raise UsageError(f"--output {word}: this pybuild cannot push", hint=_LATER.get(kind, _LATER["push"]))
    values.pop("push", None)
    if kind not in TYPES:
        raise UsageError(f'invalid argument "{word}" for "--output" flag: there is no type {kind}', hint=_types())
    return _checked(word, kind, values)


def _checked(word: str, kind: str, values: dict[str, str]) -> Output:
    for name in values:
        if name not in _KNOWN[kind]:
            known = ", ".join(_KNOWN[kind]) or "nothing"
            raise UsageError(f"--output {word}: {name} is not supported for type={kind}", hint=f"it takes {known}")
    if values.get("tar", "true") not in ("true", "1"):
        raise UsageError(f"--output {word}: only one tar file can be written", hint="unpack it, or leave tar= out")
    compression = values.get("compression", "gzip")
    if compression not in ("gzip", "zstd", "uncompressed"):
        raise UsageError(f"--output {word}: there is no compression {compression}", hint="gzip, zstd or uncompressed")
    destination = values.get("dest")
    if destination is None and kind in _NEEDS_DESTINATION:
        if kind == "local":
            raise UsageError(f"--output {word}: dest is required", hint="write type=local,dest=DIRECTORY")
        destination = STANDARD_OUTPUT
    if kind == "docker" and destination is None:
        kind = "image"
    names = tuple(name for name in values.get("name", "").split(",") if name)
    return Output(type=kind, destination=destination or None, names=names, attributes={"compression": compression})


def _types() -> str:
    return f"write type= and one of {', '.join(TYPES)}"
