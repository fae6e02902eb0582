"""Take names from images and remove images, by Docker's rules (`rmi`, `image prune`)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import Conflict, ReferenceInvalid
from runtime.oci.digests import Digest, hex_of
from runtime.oci.references import Reference, parse_reference
from runtime.store.images import SHORT_ID, Image
from runtime.store.leases import pinned_by

if TYPE_CHECKING:
    from runtime.store.facade import Store

_CONTAINER = "container:"


class Removed(Frozen):
    """What happened, in order: names that were taken away, and the id where the image went, too."""

    untagged: tuple[Reference, ...]
    deleted: Image | None


def remove_image(store: Store, text: str, *, force: bool = False) -> Removed:
    """Remove a name, and with its last one the image; by id the image with its names.

    What it alone needed is left to `collect`. Raises NotFound; Conflict where a container uses the image, or where an
    id stands for an image with names in several repositories, unless `force`. A stopped container keeps what it needs
    of an image that went; of one that a running container uses, the name alone goes.
    Of several commands that remove one name, one does, and the others find none.
    """
    with store.images.changing():
        return _remove(store, text, force)


def _remove(store: Store, text: str, force: bool) -> Removed:
    image = store.images.require(text)
    reference = _reference(text, image)
    references = (*image.names, *image.digests)
    if reference is None:
        if not force and not _is_single(image):
            raise Conflict(
                f"Conflict: unable to delete {image.short_id} (must be forced) - "
                "image is referenced in multiple repositories",
                hint="remove its names one by one, or use --force",
            )
        _refuse_used(store, image, force)
        store.images.remove(image)
        return Removed(untagged=references, deleted=image)
    if len(image.names) <= 1 and _is_single(image):
        _refuse_last_name(store, image, text, force)
    gone = (reference, *_digests_left_alone(image, reference))
    left = [name for name in references if name not in gone]
    if left or (force and any(_is_running(store, user) for user in containers_of(store, image))):
        store.images.untag(*gone)
        return Removed(untagged=gone, deleted=None)
    _refuse_used(store, image, force)
    store.images.remove(image)
    return Removed(untagged=gone, deleted=image)


def prune_images(store: Store, *, everything: bool, wanted: Callable[[Image], bool]) -> tuple[Removed, ...]:
    """Remove images without names, or with `everything` all that no container uses, if they are `wanted`."""
    removed = []
    for image in store.images.list():
        if (image.names and not everything) or not wanted(image) or containers_of(store, image):
            continue
        store.images.remove(image)
        removed.append(Removed(untagged=(*image.names, *image.digests), deleted=image))
    return tuple(removed)


def containers_of(store: Store, image: Image) -> tuple[str, ...]:
    """List the ids of the containers that use an image, sorted."""
    return containers_of_id(store, image.id)


def containers_of_id(store: Store, image: Digest) -> tuple[str, ...]:
    """List the ids of the containers that use the image with this id, sorted."""
    owners = pinned_by(store.database, "image", image)
    return tuple(owner.removeprefix(_CONTAINER) for owner in owners if owner.startswith(_CONTAINER))


def _reference(text: str, image: Image) -> Reference | None:
    """Give the name that `text` is of the image, None where it is its id or the beginning of it."""
    try:
        reference = parse_reference(text).tagged()
    except ReferenceInvalid:
        return None
    if reference.digest is not None:
        found = [name for name in image.digests if (name.name, name.digest) == (reference.name, reference.digest)]
        return found[0] if found else None
    if reference in image.names:
        return reference
    return None if hex_of(image.id).startswith(text.removeprefix("sha256:")) else reference


def _is_single(image: Image) -> bool:
    """Tell whether the image has one name at most, and digests of one repository only."""
    return len(image.names) <= 1 and len({name.name for name in (*image.names, *image.digests)}) <= 1


def _digests_left_alone(image: Image, gone: Reference) -> Sequence[Reference]:
    """List the digests of a repository whose last tag goes: they go with it."""
    if gone.digest is not None or any(name.name == gone.name and name != gone for name in image.names):
        return ()
    return [name for name in image.digests if name.name == gone.name]


def _refuse_last_name(store: Store, image: Image, text: str, force: bool) -> None:
    users = containers_of(store, image)
    if users and not force:
        raise Conflict(
            f'Conflict: unable to remove repository reference "{text}" (must force) - container '
            f"{users[0][:SHORT_ID]} is using its referenced image {image.short_id}",
            hint=f"remove the container with `pybuild rm {users[0][:SHORT_ID]}`, or use --force",
        )


def _refuse_used(store: Store, image: Image, force: bool) -> None:
    for user in containers_of(store, image):
        short = user[:SHORT_ID]
        if _is_running(store, user):
            raise Conflict(
                f"Conflict: unable to delete {image.short_id} (cannot be forced) - "
                f"image is being used by running container {short}",
                hint=f"stop it with `pybuild stop {short}`",
            )
        if not force:
            raise Conflict(
                f"Conflict: unable to delete {image.short_id} (must be forced) - "
                f"image is being used by stopped container {short}",
                hint=f"remove it with `pybuild rm {short}`, or use --force",
            )


def _is_running(store: Store, container: str) -> bool:
    """Tell whether a container's monitor lives: it holds the lock on the file `alive`."""
    try:
        descriptor = os.open(store.layout.containers / container / "alive", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
