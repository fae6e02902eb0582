"""Finding the image of a container: when a registry is asked, and when it must not be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from runtime.containers.images import find_image, read_policy
from runtime.context import Context
from runtime.errors import NotFound, RegistryError, UsageError
from runtime.oci.digests import Digest
from runtime.oci.documents import ImageConfig
from runtime.oci.platforms import Platform, parse_platform
from runtime.oci.references import Reference, parse_reference
from runtime.registry.memory import Memory
from runtime.store import Store
from runtime.store.images import Image

ARM = parse_platform("linux/arm64")


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


def _image(store: Store, *names: str, architecture: str = "amd64") -> Image:
    config = ImageConfig(architecture=architecture, os="linux")
    return store.images.record(config.encode(), [parse_reference(name) for name in names])


@dataclass
class Registry:
    """Stands for `fetch`: gives `image`, or raises what it is told, and keeps what was asked."""

    image: Image | None = None
    asked: list[tuple[str, bool]] = field(default_factory=list)

    def __call__(self, reference: Reference, platform: Platform | None, /, *, named: bool) -> Image:
        del platform
        self.asked.append((str(reference), named))
        if self.image is None:
            raise RegistryError("cannot be reached")
        return self.image


def test_what_is_here_is_never_asked_for(store: Store) -> None:
    image = _image(store, "app")
    registry = Registry()
    for text in ("app", "docker.io/library/app:latest", image.id, image.short_id):
        assert find_image(store, text, registry).id == image.id
    assert not registry.asked


def test_a_digest_is_here_whatever_repository_it_came_from(store: Store) -> None:
    digest = "sha256:" + "1" * 64
    image = _image(store, f"example.com/app:v1@{digest}")
    registry = Registry()
    assert find_image(store, f"other.example/name@{digest}", registry).id == image.id
    assert not registry.asked


def test_what_is_missing_is_fetched_under_its_name(store: Store) -> None:
    registry = Registry(_image(store))
    assert find_image(store, "app", registry) == registry.image
    assert registry.asked == [("docker.io/library/app", True)]


@pytest.mark.parametrize("policy", ["always", "newer"])
def test_the_policy_asks_although_it_is_here(store: Store, policy: str) -> None:
    _image(store, "app")
    registry = Registry(_image(store, architecture="arm"))
    assert find_image(store, "app", registry, policy=policy) == registry.image


def test_newer_is_content_with_what_is_here(store: Store) -> None:
    image = _image(store, "app")
    assert find_image(store, "app", Registry(), policy="newer").id == image.id
    with pytest.raises(RegistryError):
        find_image(store, "app", Registry(), policy="always")


def test_never_asks_for_nothing(store: Store) -> None:
    registry = Registry(_image(store))
    with pytest.raises(NotFound, match="No such image: app:latest"):
        find_image(store, "app", registry, policy="never")
    assert not registry.asked


@pytest.mark.parametrize("policy", ["missing", "always"])
def test_an_id_is_no_registrys(store: Store, policy: str) -> None:
    image = _image(store, "app")
    registry = Registry(image)
    assert find_image(store, image.short_id, registry, policy=policy).id == image.id
    with pytest.raises(NotFound):
        find_image(store, "sha256:" + "0" * 64, registry, policy=policy)
    assert not registry.asked


def test_another_platform_is_fetched_without_moving_the_name(store: Store) -> None:
    _image(store, "app")
    registry = Registry(_image(store, architecture="arm64"))
    assert find_image(store, "app", registry, platform=ARM) == registry.image
    assert registry.asked == [("docker.io/library/app", False)]


def test_what_was_pulled_for_another_platform_is_here_for_it(store: Store) -> None:
    _image(store, "app")
    other = _image(store, architecture="arm64")
    Memory(store).note_platform(parse_reference("app"), ARM, other)
    registry = Registry()
    assert find_image(store, "app", registry, platform=ARM).id == other.id
    assert not registry.asked


def test_an_image_of_another_platform_alone_is_told_so(store: Store) -> None:
    _image(store, "app")
    with pytest.raises(NotFound, match=r"its platform \(linux/amd64\) does not match .*linux/arm64"):
        find_image(store, "app", Registry(), platform=ARM)
    with pytest.raises(NotFound, match=r"its platform \(linux/amd64\) does not match"):
        find_image(store, "app", Registry(), policy="never", platform=ARM)


def test_an_arm_of_32_bits_does_not_stand_for_one_of_64(store: Store) -> None:
    _image(store, "app", architecture="arm")
    registry = Registry(_image(store, architecture="arm64"))
    assert find_image(store, "app", registry, platform=ARM) == registry.image


def test_policies_are_read_as_docker_and_podman_write_them() -> None:
    words = [None, "missing", "always", "true", "newer", "never", "false"]
    assert [read_policy(word) for word in words] == [
        "missing",
        "missing",
        "always",
        "always",
        "newer",
        "never",
        "missing",
    ]
    with pytest.raises(UsageError, match="sometimes"):
        read_policy("sometimes")


def test_the_digest_of_a_name_is_that_of_its_image_alone(store: Store) -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    image = _image(store, f"app:v1@{one}", f"app:v2@{two}")
    memory = Memory(store)
    memory.note_digest(parse_reference("app:v2"), image, Digest(two))
    assert memory.digest_of(parse_reference("app:v2"), image) == two
    other = _image(store, architecture="arm64")
    assert memory.digest_of(parse_reference("app:v2"), other) is None
