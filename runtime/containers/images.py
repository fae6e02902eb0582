"""Find the image that somebody named: in the store, made on the spot, or brought by who knows how to fetch one.

What is in the store never leads to a connection, unless the policy says so.
"""

from __future__ import annotations

from runtime.errors import NotFound, PybuildError, ReferenceInvalid, RegistryError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.store import Store
    from runtime.store.images import Image
else:
    Protocol = object

PULL_POLICIES = ("missing", "always", "never", "newer")
_SHORT_ID = 12
_SPELLINGS = {"": "missing", "true": "always", "1": "always", "false": "missing", "0": "missing"}


class Fetch(Protocol):
    """Brings an image from its registry."""

    def __call__(self, reference: Reference, platform: Platform | None, /, *, named: bool) -> Image:
        """Pull; without `named` the image gets no tag here. Raises NotFound, RegistryError and others."""


def read_policy(text: str | None) -> str:
    """Read the value of `--pull`, None where it was not given; raises UsageError."""
    policy = _SPELLINGS.get(text or "", text or "")
    if policy not in PULL_POLICIES:
        raise UsageError(
            f'invalid argument "{text}" for "--pull" flag: invalid pull option: \'{text}\': must be one of '
            f"{', '.join(PULL_POLICIES)}"
        )
    return policy


def find_image(
    store: Store, text: str, fetch: Fetch, *, policy: str = "missing", platform: Platform | None = None
) -> Image:
    """Return the image that `text` names, for `platform` if one is wanted.

    `missing` fetches what is not here, `always` whatever has a name, `newer` as well but is content with what is here
    if that fails, `never` nothing. Raises NotFound in Docker's words, and what `fetch` raises.
    """
    here = look_up(store, text)
    fits = here if here is None or platform is None or _serves(here, platform) else _other(store, text, platform)
    if policy == "never" or (fits is not None and (policy == "missing" or not _has_registry(text, fits))):
        return fits or _missing(store, text, here, platform)
    reference = _reference(text)
    if reference is None:
        return _missing(store, text, here, platform)
    try:
        # A name that stands for another platform's image here goes on to do so.
        return fetch(reference, platform, named=here is None or fits is here)
    except (RegistryError, NotFound) as error:
        if policy == "newer" and fits is not None:
            return fits
        if here is not None and fits is None:
            raise NotFound(
                f"image with reference {text} was found but its platform ({here.config.platform}) "
                f"does not match the specified platform ({platform}), and that could not be fetched: {error.message}",
                hint=error.hint,
            ) from error
        raise


def written_out(text: str) -> str:
    """Write out a name that would be taken for the beginning of an id: what a Dockerfile calls `bee` is a name.

    Twelve digits, as commands show them, are an id; who types less of one does so on a command line.
    """
    from runtime.oci.references import parse_reference  # lazy: not where nothing is looked for

    if 0 < len(text) < _SHORT_ID and set(text) <= set("0123456789abcdef"):
        return str(parse_reference(text))
    return text


def look_up(store: Store, text: str) -> Image | None:
    """Find an image in the store; `localhost/base` is made if it is not there.

    A digest is the same in every repository, so one that came from another is as good.
    """
    digest = text.partition("@")[2]
    return store.images.resolve(text) or (store.images.resolve(digest) if digest else None) or _base(store, text)


def _missing(store: Store, text: str, here: Image | None, platform: Platform | None) -> Image:
    if here is not None:
        raise NotFound(
            f"image with reference {text} was found but its platform ({here.config.platform}) "
            f"does not match the specified platform ({platform})"
        )
    raise NotFound(f"No such image: {_tagged(text)}", hint=_near(store, text))


def _serves(image: Image, platform: Platform) -> bool:
    from runtime.oci.platforms import suits  # the config's documents have loaded it

    return suits(platform, image.config.platform)


def _other(store: Store, text: str, platform: Platform) -> Image | None:
    """Find what the name was for another platform when it was pulled for that."""
    from runtime.registry.memory import Memory  # lazy: only where platforms differ

    reference = _reference(text)
    return Memory(store).for_platform(reference, platform) if reference is not None else None


def _has_registry(text: str, image: Image) -> bool:
    """Tell whether a registry can be asked for what was named: not for an id, and not for what is made here."""
    from runtime.embedded.base import is_base  # lazy: only where the policy is to ask
    from runtime.oci.references import parse_reference

    try:
        reference = parse_reference(text)
    except ReferenceInvalid:
        return False
    by_id = image.id.startswith((text, f"sha256:{text}")) and reference.tagged() not in image.names
    return not by_id and not is_base(reference)


def _reference(text: str) -> Reference | None:
    """Read a name; None for an id, which no registry knows."""
    from runtime.oci.digests import is_digest
    from runtime.oci.references import parse_reference

    if is_digest(text) or is_digest(f"sha256:{text}"):
        return None
    return parse_reference(text)


def _base(store: Store, text: str) -> Image | None:
    if not text.startswith("localhost/"):
        return None
    from runtime.embedded.base import ensure_base, is_base  # lazy: only for this one image
    from runtime.oci.references import parse_reference

    return ensure_base(store) if is_base(parse_reference(text)) else None


def _near(store: Store, text: str) -> str | None:
    try:
        store.images.require(text)
    except PybuildError as error:
        return error.hint
    return None


def _tagged(text: str) -> str:
    from runtime.oci.references import parse_reference

    try:
        return parse_reference(text).tagged().familiar()
    except ReferenceInvalid:
        return text
