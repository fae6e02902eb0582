from __future__ import annotations

import fcntl
import os
import threading
from typing import Any

import pytest

from runtime.context import Context
from runtime.errors import Conflict, NotFound
from runtime.oci.digests import hex_of, sha256_of
from runtime.oci.references import parse_reference
from runtime.store import Store
from runtime.store.check import check
from runtime.store.images import Image
from runtime.store.leases import add_pins
from runtime.store.removal import Removed, prune_images, remove_image

MakeImage = Any
CONTAINER = "c" * 64


def told(removed: Removed) -> tuple[list[str], bool]:
    return [name.familiar() for name in removed.untagged], removed.deleted is not None


def use(store: Store, image: Image, *, running: bool = False) -> int:
    """Let a container use an image; returns the descriptor that holds its lock, -1 where it is stopped."""
    add_pins(store.database, f"container:{CONTAINER}", "image", image.id)
    directory = store.layout.containers / CONTAINER
    directory.mkdir(parents=True)
    descriptor = os.open(directory / "alive", os.O_RDWR | os.O_CREAT)
    if running:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor
    os.close(descriptor)
    return -1


def test_a_name_of_several_is_only_taken_away(store: Store, make_image: MakeImage) -> None:
    make_image([], "app:1", "app:2")
    assert told(remove_image(store, "app:1")) == (["app:1"], False)
    assert told(remove_image(store, "app:2")) == (["app:2"], True)
    assert store.images.list() == ()


@pytest.mark.parametrize("names", [("app:1",), ("app:1", "app:2")])
def test_of_several_commands_that_remove_one_name_one_does_and_the_others_find_none(
    context: Context, store: Store, make_image: MakeImage, names: tuple[str, ...]
) -> None:
    make_image([], *names)
    ended: list[str] = []
    start = threading.Barrier(6)

    def remove() -> None:
        with Store.open(context) as own:
            start.wait()
            try:
                remove_image(own, "app:1")
                ended.append("removed")
            except NotFound as error:
                ended.append(error.message)

    threads = [threading.Thread(target=remove) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["No such image: app:1"] * 5 + ["removed"]
    assert [name.familiar() for image in store.images.list() for name in image.names] == list(names[1:])
    assert check(store).problems == ()


def test_by_its_id_an_image_goes_with_its_name(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app:1")
    assert told(remove_image(store, hex_of(image.id)[:12])) == (["app:1"], True)


def test_by_its_id_an_image_with_several_names_must_be_forced(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app:1", "b:1")
    with pytest.raises(Conflict, match="referenced in multiple repositories"):
        remove_image(store, image.id)
    assert told(remove_image(store, image.id, force=True)) == (["app:1", "b:1"], True)


def test_the_digests_of_a_repository_go_with_its_last_tag(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app:1")
    digest = sha256_of(b"x")
    store.images.record(store.blobs.path(image.id).read_bytes(), [parse_reference(f"app:1@{digest}")])
    assert told(remove_image(store, "app:1")) == (["app:1", f"app@{digest}"], True)


def test_what_is_missing_is_said_to_be_missing(store: Store) -> None:
    with pytest.raises(NotFound, match="No such image: app:latest"):
        remove_image(store, "app")


def test_the_last_name_stays_while_a_container_uses_the_image(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app:1")
    use(store, image)
    with pytest.raises(Conflict, match=r"must force\) - container cccccccccccc is using"):
        remove_image(store, "app:1")
    with pytest.raises(Conflict, match=r"must be forced\) - image is being used by stopped container"):
        remove_image(store, image.id)
    assert told(remove_image(store, "app:1", force=True)) == (["app:1"], True)
    assert store.images.list() == ()
    assert store.images.get(image.id).config == image.config  # for its container
    with pytest.raises(NotFound):
        store.images.require(image.id)


def test_a_running_container_is_never_overruled(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app:1")
    descriptor = use(store, image, running=True)
    with pytest.raises(Conflict, match="cannot be forced"):
        remove_image(store, image.id, force=True)
    assert told(remove_image(store, "app:1", force=True)) == (["app:1"], False)
    os.close(descriptor)
    assert store.images.require(image.id).names == ()


def test_another_name_can_go_while_a_container_uses_the_image(store: Store, make_image: MakeImage) -> None:
    image = make_image([], "app:1", "app:2")
    use(store, image)
    assert told(remove_image(store, "app:2")) == (["app:2"], False)


def test_pruning_takes_what_has_no_name_and_no_container(store: Store, make_image: MakeImage) -> None:
    dangling, used = make_image([{"a": b"1"}]), make_image([{"a": b"2"}])
    named = make_image([{"a": b"3"}], "app")
    use(store, used)
    removed = prune_images(store, everything=False, wanted=lambda _image: True)
    assert [item.deleted.id for item in removed if item.deleted] == [dangling.id]
    removed = prune_images(store, everything=True, wanted=lambda _image: True)
    assert [item.deleted.id for item in removed if item.deleted] == [named.id]
