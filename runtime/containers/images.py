"""Find the image of a new container, by name and platform; nothing is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import NotFound, ReferenceInvalid, UsageError

if TYPE_CHECKING:
    from runtime.store import Store
    from runtime.store.images import Image

PULL_POLICIES = ("missing", "always", "never", "newer")


def find_image(store: Store, text: str, *, pull: str = "missing", platform: str | None = None) -> Image:
    """Return the image that `text` names; `localhost/base` is made if it is not there.

    Raises NotFound in Docker's words, UsageError for a policy that would have to connect.
    """
    if pull not in PULL_POLICIES:
        raise UsageError(f"invalid pull option: '{pull}': must be one of {', '.join(PULL_POLICIES)}")
    if pull in ("always", "newer"):
        raise UsageError(f"--pull={pull} cannot be had: images are not fetched", hint="leave it out to use the store")
    image = store.images.resolve(text) or _base(store, text)
    if image is None:
        raise NotFound(
            f"Unable to find image '{_tagged(text)}' locally",
            hint=f"build it, or load it: pybuild load -i FILE; {_near(store, text)}",
        )
    if platform is not None:
        from runtime.oci.platforms import parse_platform  # lazy: only where asked for

        wanted, found = parse_platform(platform), image.config.platform
        if (wanted.os, wanted.architecture) != (found.os, found.architecture):
            raise NotFound(
                f"image with reference {text} was found but its platform ({found}) "
                f"does not match the specified platform ({wanted})"
            )
    return image


def _base(store: Store, text: str) -> Image | None:
    if not text.startswith("localhost/"):
        return None
    from runtime.embedded.base import ensure_base, is_base  # lazy: only for this one image
    from runtime.oci.references import parse_reference

    return ensure_base(store) if is_base(parse_reference(text)) else None


def _near(store: Store, text: str) -> str:
    from runtime.errors import PybuildError

    try:
        store.images.require(text)
    except PybuildError as error:
        return error.hint or ""
    return ""


def _tagged(text: str) -> str:
    from runtime.oci.references import parse_reference

    try:
        return parse_reference(text).tagged().familiar()
    except ReferenceInvalid:
        return text
