"""Read what a container's files are, without a mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers
    from runtime.store.view import MergedView


def container_view(containers: Containers, container: Container) -> MergedView:
    """Give a container's own tree, its changes over its image; a context manager."""
    from runtime.store.view import MergedView

    snapshots = containers.store.snapshots
    directory = containers.directory(container.id)
    if (directory / "rootfs").is_dir():
        return MergedView((directory / "rootfs",))
    image = containers.store.images.get(container.image)  # type: ignore[arg-type]  # a digest, as create wrote it
    lower = snapshots.stack(image.chain_id) if image.chain_id is not None else ()
    return MergedView((directory / "upper", *lower))
