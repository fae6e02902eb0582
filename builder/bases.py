"""Find the images that a build starts from or copies from: in the store, or `localhost/base` made on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from builder.interfaces import Result
from builder.keys import base_content
from frozen import Frozen
from runtime.errors import NotFound, PybuildError

if TYPE_CHECKING:
    from runtime.store.facade import Store
    from runtime.store.images import Image


class BaseImage(Frozen):
    """An image that a build stands on: `name` as the Dockerfile has it, `document` its configuration as JSON."""

    name: str
    id: str
    document: Mapping[str, Any]
    result: Result

    @property
    def environment(self) -> tuple[str, ...]:
        return tuple((self.document.get("config") or {}).get("Env") or ())

    @property
    def triggers(self) -> tuple[str, ...]:
        """The texts of ONBUILD."""
        return tuple((self.document.get("config") or {}).get("OnBuild") or ())


def find_base(store: Store, name: str, platform: str, *, suggestion: str | None) -> BaseImage:
    """Return the image that `name` means in this store.

    `suggestion` is the stage that was perhaps meant. Raises NotFound where there is none, and PybuildError where it
    is for another platform than `platform` ("linux/arm64").
    """
    image = store.images.resolve(name)
    if image is None:
        image = _embedded(store, name)
    if image is None:
        raise _missing(store, name, suggestion)
    document = image.config.raw
    _check_platform(name, document, platform)
    chain = store.images.unpacked(image)
    return BaseImage(name=name, id=image.id, document=document, result=Result(chain=chain, content=base_content(chain)))


def _embedded(store: Store, name: str) -> Image | None:
    """Make `localhost/base` where that is what is asked for."""
    if not name.startswith("localhost/"):
        return None
    from runtime.embedded.base import ensure_base, is_base  # lazy: only for that name
    from runtime.oci.references import parse_reference

    return ensure_base(store) if is_base(parse_reference(name)) else None


def _check_platform(name: str, document: Mapping[str, Any], wanted: str) -> None:
    parts = (document.get("os"), document.get("architecture"))
    have = "/".join(str(part) for part in parts if part)
    if have and not (wanted == have or wanted.startswith(have + "/")):
        raise PybuildError(
            f"image {name} is for {have}, and {wanted} was asked for",
            hint=f"build with --platform {have}, or load the image for {wanted}",
        )


def _missing(store: Store, name: str, suggestion: str | None) -> NotFound:
    """Say that an image is missing, and what was perhaps meant: a stage, an image that is there, or one to bring."""
    from runtime.store.images import nearest  # loaded already: the store was asked

    if suggestion:
        return NotFound(f"No such image: {name}", hint=f"did you mean the stage {suggestion}?")
    near = nearest(name, (str(known) for image in store.images.list() for known in image.names))
    if near:
        return NotFound(f"No such image: {name}", hint=f"did you mean {near}?")
    ways = f"'pybuild load -i FILE' or 'pybuild import FILE {name}'"
    return NotFound(f"No such image: {name}", hint=f"bring it here first: {ways}; localhost/base is always there")
