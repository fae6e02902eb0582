"""Read the configuration of base images without having the images: for checks and questions about a Dockerfile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from grammar.lint import KnownBase
from runtime.containers.images import look_up, written_out
from runtime.errors import PybuildError, ReferenceInvalid
from runtime.oci.platforms import parse_platform
from runtime.oci.references import parse_reference

if TYPE_CHECKING:
    from grammar.stages import Base
    from runtime.store.facade import Store


class BaseConfigs:
    """Finds each base once: in the store, else what its registry says of it; `warn` is told what is not found."""

    def __init__(self, store: Store, warn: Callable[[str], None]) -> None:
        self._store = store
        self._warn = warn
        self._found: dict[tuple[str, str], KnownBase | None] = {}

    def __call__(self, base: Base) -> KnownBase | None:
        """Return what is known of a base, None where nothing is."""
        if base.kind != "image":
            return None
        key = base.name, base.platform or ""
        if key not in self._found:
            try:
                self._found[key] = known_base(self._document(*key))
            except PybuildError as error:
                self._warn(f"{base.name}: what depends on this base is not checked: {error.message}")
                self._found[key] = None
        return self._found[key]

    def environment(self, base: Base) -> tuple[str, ...]:
        """Return the environment that an image begins with; none where it is not known."""
        known = self(base)
        return () if known is None else known.environment

    def _document(self, name: str, platform: str) -> Mapping[str, Any]:
        image = look_up(self._store, written_out(name))
        if image is not None:
            return image.config.raw
        if self._store.context.offline:
            raise PybuildError(f"No such image: {name}")
        return self._ask(name, platform)

    def _ask(self, name: str, platform: str) -> Mapping[str, Any]:
        from runtime.registry.resolving import read_config, resolve
        from runtime.registry.session import Session  # lazy: 100 ms of HTTP

        try:
            reference = parse_reference(name).tagged()
        except ReferenceInvalid as error:
            raise PybuildError(error.message) from error
        with Session.open(self._store.context) as session:
            repository = session.repository(reference)
            target = str(reference.digest or reference.tag)
            resolved = resolve(repository, target, parse_platform(platform) if platform else None)
            return read_config(repository, resolved.manifest)[1].raw


def known_base(document: Mapping[str, Any]) -> KnownBase:
    """Return what the checks have to know of an image's configuration."""
    config = document.get("config") or {}
    parts = (document.get(name) for name in ("os", "architecture", "variant"))
    return KnownBase(
        environment=tuple(config.get("Env") or ()),
        onbuild=tuple(config.get("OnBuild") or ()),
        has_shell=bool(config.get("Shell")),
        platform="/".join(part for part in parts if part),
    )
