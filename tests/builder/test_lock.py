"""Pins: the lock file, what `lock` writes into it, and what builds make of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.bases import Bases, Wanted
from builder.failures import InstructionFailed
from builder.lock import FILE, Lock, Pin, decode_lock, read_lock, write_lock
from builder.pinning import named_images, pinned
from builder.progress.events import Event, StepStarted, Warned
from builder.reporter import Reporter
from frozen import replace
from runtime.context import Context
from runtime.errors import DocumentError, NotFound, PybuildError
from runtime.oci.digests import Digest
from runtime.oci.references import parse_reference
from runtime.store import Store
from tests.runtime.registry.samples import Sample, add_image
from tests.runtime.registry.scripted import MemoryRegistry, ScriptedServer

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
HOST = "linux/amd64"


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def server(registry: MemoryRegistry) -> Iterator[ScriptedServer]:
    with ScriptedServer(registry) as started:
        yield started


def test_a_lock_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    lock = Lock(images={"docker.io/library/b:1": Pin(digest=ONE), "docker.io/library/a:1": Pin(image=TWO)})
    write_lock(tmp_path, lock)
    assert read_lock(tmp_path) == lock
    assert list(json.loads((tmp_path / FILE).read_bytes())["images"]) == [
        "docker.io/library/a:1",
        "docker.io/library/b:1",
    ]


def test_no_lock_file_is_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path) is None


def test_what_a_later_version_adds_survives() -> None:
    lock = decode_lock(json.dumps({"version": 1, "images": {}, "urls": {"x": "y"}}).encode())
    assert json.loads(lock.encode())["urls"] == {"x": "y"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "not JSON"),
        (b"{}", "version: is missing"),
        (b'{"version": 2}', "has version 2"),
        (b'{"version": 1, "images": {"app": {"digest": "%s"}}}' % ONE.encode(), "no full image name"),
        (b'{"version": 1, "images": {"docker.io/library/app:1": {}}}', "needs a digest or an image"),
        (b'{"version": 1, "images": {"docker.io/library/app:1": {"digest": "sha256:1"}}}', "digest"),
        (b'{"version": 1, "images": {"docker.io/library/app:1": 7}}', "must be an object"),
    ],
)
def test_a_wrong_lock_file_is_named_with_its_fault(tmp_path: Path, document: bytes, words: str) -> None:
    (tmp_path / FILE).write_bytes(document)
    with pytest.raises(DocumentError, match=words) as caught:
        read_lock(tmp_path)
    assert FILE in caught.value.message


def _named(store: Store, text: str) -> list[str]:
    return [name.familiar() for name in named_images(store, text, build_args={"V": "7"}, platform=HOST, host=HOST)]


def test_all_stages_are_searched_for_names(store: Store) -> None:
    text = """ARG V=1
FROM base:$V AS one
COPY --from=tools /a /b
FROM one AS two
RUN --mount=from=cache:x,target=/m true
FROM scratch AS three
FROM pinned@sha256:1111111111111111111111111111111111111111111111111111111111111111
"""
    assert _named(store, text) == ["base:7", "cache:x", "tools:latest"]


def test_what_triggers_name_is_found_where_the_base_is_here(store: Store, registry: MemoryRegistry) -> None:
    from runtime.oci.documents import ContainerConfig, ImageConfig

    inner = ContainerConfig(on_build=("COPY --from=helper /x /y",))
    config = ImageConfig(architecture="amd64", os="linux", config=inner)
    store.images.record(config.encode(), [parse_reference("base:1")])
    assert _named(store, "FROM base:1\n") == ["base:1", "helper:latest"]


def _lock(store: Store, server: ScriptedServer, earlier: Lock | None = None, *, anew: bool = False) -> Lock:
    reference = parse_reference(f"{server.host}/team/app").tagged()
    return pinned(store, [reference], earlier, anew=[reference] if anew else [])


def test_a_missing_pin_is_the_registrys_digest(store: Store, registry: MemoryRegistry, server: ScriptedServer) -> None:
    sample = add_image(registry, "team/app")
    assert _lock(store, server).images == {f"{server.host}/team/app:latest": Pin(digest=Digest(sample.digest))}
    assert not server.asked("GET", "/blobs/")


def test_a_pin_stays_until_it_is_asked_for_anew(store: Store, registry: MemoryRegistry, server: ScriptedServer) -> None:
    first = add_image(registry, "team/app", files=({"a": b"1"},))
    lock = _lock(store, server)
    second = add_image(registry, "team/app", files=({"a": b"2"},))
    assert _lock(store, server, lock) == lock
    name = f"{server.host}/team/app:latest"
    assert lock.images[name].digest == first.digest
    assert _lock(store, server, lock, anew=True).images[name].digest == second.digest


def test_what_is_not_named_any_more_is_dropped(store: Store) -> None:
    assert pinned(store, [], Lock(images={"docker.io/library/a:1": Pin(digest=ONE)})).images == {}


def test_an_image_without_a_registry_is_pinned_by_its_id(store: Store) -> None:
    from runtime.oci.documents import ImageConfig

    image = store.images.record(ImageConfig(architecture="amd64", os="linux").encode(), [parse_reference("app:1")])
    lock = pinned(store, [parse_reference("app:1")], None)
    assert lock.images == {"docker.io/library/app:1": Pin(image=image.id)}


def test_a_name_that_no_registry_knows_cannot_be_pinned(store: Store, server: ScriptedServer) -> None:
    with pytest.raises(NotFound, match="manifest unknown"):
        _lock(store, server)


class Building:
    """Looks bases up as a build does."""

    def __init__(self, store: Store, **options: object) -> None:
        self.events: list[Event] = []
        reporter = Reporter(self.events.append, store.context.now)
        self.bases = Bases(store, reporter, **options)  # type: ignore[arg-type]

    def find(self, name: str) -> str:
        return self.bases.find(Wanted(name=name, platform=HOST, line=3)).id

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def pulls(self) -> int:
        return sum(isinstance(event, StepStarted) for event in self.events)


@pytest.fixture
def moved(store: Store, registry: MemoryRegistry, server: ScriptedServer) -> tuple[Lock, Sample, Sample]:
    """Return a lock, the image that it pins, and the one to which the tag has moved since."""
    first = add_image(registry, "team/app", files=({"a": b"1"},))
    lock = _lock(store, server)
    return lock, first, add_image(registry, "team/app", files=({"a": b"2"},))


def test_locked_builds_with_the_old_digest(
    store: Store, server: ScriptedServer, moved: tuple[Lock, Sample, Sample]
) -> None:
    lock, first, _ = moved
    assert Building(store, lock=lock, locked=True).find(f"{server.host}/team/app") == first.id


def test_without_locked_the_drift_is_told(
    store: Store, server: ScriptedServer, moved: tuple[Lock, Sample, Sample]
) -> None:
    lock, first, second = moved
    building = Building(store, lock=lock)
    assert building.find(f"{server.host}/team/app") == second.id
    assert len(building.warnings) == 1
    assert second.digest in building.warnings[0]
    assert first.digest in building.warnings[0]


def test_what_is_as_pinned_is_no_drift(store: Store, registry: MemoryRegistry, server: ScriptedServer) -> None:
    add_image(registry, "team/app")
    building = Building(store, lock=_lock(store, server))
    building.find(f"{server.host}/team/app")
    assert not building.warnings


def test_a_pinned_base_that_is_stored_needs_no_network(
    context: Context, server: ScriptedServer, registry: MemoryRegistry
) -> None:
    sample = add_image(registry, "team/app")
    name = f"{server.host}/team/app"
    with Store.open(context) as store:
        lock = _lock(store, server)
        Building(store, lock=lock, locked=True).find(name)
    with Store.open(replace(context, offline=True)) as store:
        building = Building(store, lock=lock, locked=True, policy="always")
        assert building.find(name) == sample.id
        assert building.pulls == 0


def test_locked_refuses_what_is_not_pinned(store: Store, server: ScriptedServer) -> None:
    with pytest.raises(InstructionFailed, match=r"--locked needs a pybuild\.lock"):
        Building(store, locked=True).find("app")
    with pytest.raises(InstructionFailed, match=r"app is not in pybuild\.lock") as caught:
        Building(store, lock=Lock(), locked=True).find("app")
    assert caught.value.line == 3


def test_offline_a_base_that_is_missing_is_not_asked_for(context: Context, server: ScriptedServer) -> None:
    with Store.open(replace(context, offline=True)) as store:
        with pytest.raises(InstructionFailed, match="No such image") as caught:
            Building(store).find(f"{server.host}/team/app")
        assert "offline" in (caught.value.hint or "")
    assert not server.connections


def test_bases_that_are_missing_come_at_once(store: Store, registry: MemoryRegistry, server: ScriptedServer) -> None:
    samples = [add_image(registry, f"team/{name}", files=({name: b"1"},)) for name in ("a", "b", "c")]
    building = Building(store)
    names = [f"{server.host}/team/{name}" for name in ("a", "b", "c", "a")]
    building.bases.prepare([Wanted(name=name, platform=HOST, line=1) for name in names])
    server.requests.clear()
    assert [building.find(name) for name in names[:3]] == [sample.id for sample in samples]
    assert not server.requests
    assert building.pulls == 3


def test_a_base_that_no_registry_has_is_told_with_its_line(
    store: Store, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    add_image(registry, "team/a")
    building = Building(store)
    wanted = [Wanted(name=f"{server.host}/team/{name}", platform=HOST, line=line) for line, name in enumerate("ab", 5)]
    with pytest.raises(InstructionFailed, match=r"No such image: .*/team/b: .*manifest unknown") as caught:
        building.bases.prepare(wanted)
    assert caught.value.line == 6


@pytest.mark.parametrize("policy", ["missing", "always", "never"])
def test_the_policy_says_whether_a_moved_tag_is_seen(
    store: Store, registry: MemoryRegistry, server: ScriptedServer, policy: str
) -> None:
    first = add_image(registry, "team/app", files=({"a": b"1"},))
    name = f"{server.host}/team/app"
    Building(store).find(name)
    second = add_image(registry, "team/app", files=({"a": b"2"},))
    assert Building(store, policy=policy).find(name) == (second if policy == "always" else first).id


def test_an_unreadable_lock_file_is_a_fault(tmp_path: Path, missing: Callable[[str], None]) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(PybuildError, match="cannot be read"):
        read_lock(tmp_path)
