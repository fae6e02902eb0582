"""Pins: the lock file, what `lock` writes into it, and what builds make of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.bases import Bases, Wanted
from builder.failures import InstructionFailed
from builder.lock import FILE, Lock, Pin, RemotePins, decode_lock, read_lock, write_lock
from builder.namedcontexts import read_contexts
from builder.pinning import Names, named, pinned
from builder.progress.events import Event, StepStarted, Warned
from builder.remote.sources import Remotes
from builder.remote.words import parse_git
from builder.reporter import Reporter
from frozen import replace
from runtime.context import Context
from runtime.errors import DocumentError, NotFound, PybuildError
from runtime.oci.digests import Digest
from runtime.oci.references import parse_reference
from runtime.store import Store
from tests.remotes import Git, Web, git_server, make_repository, web_server
from tests.runtime.registry.samples import Sample, add_image, add_index
from tests.runtime.registry.scripted import MemoryRegistry, ScriptedServer, digest_of

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
HOST = "linux/amd64"
_PARTS = ("amd64", "arm64")


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
    lock = decode_lock(json.dumps({"version": 1, "images": {}, "wasm": {"x": "y"}}).encode())
    assert json.loads(lock.encode())["wasm"] == {"x": "y"}


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
        (b'{"version": 1, "urls": {"https://x/y": {}}}', "digest: is missing"),
        (b'{"version": 1, "git": {"https://x/y.git#": {"commit": "main"}}}', "is no commit id"),
    ],
)
def test_a_wrong_lock_file_is_named_with_its_fault(tmp_path: Path, document: bytes, words: str) -> None:
    (tmp_path / FILE).write_bytes(document)
    with pytest.raises(DocumentError, match=words) as caught:
        read_lock(tmp_path)
    assert FILE in caught.value.message


def _named(store: Store, text: str) -> list[str]:
    names = named(store, text, build_args={"V": "7"}, platform=HOST, host=HOST)
    return [*(name.familiar() for name in names.images), *names.urls, *(source.pin_name for source in names.trees)]


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


def test_files_and_repositories_are_named_too_unless_they_are_pinned(store: Store) -> None:
    commit = "1" * 40
    text = f"""FROM scratch AS one
ARG W=9
ADD https://host.example/$W /a
ADD --checksum={ONE} https://host.example/known /b
ADD https://host.example/project.git#main:sub /c
ADD https://host.example/project.git#{commit} /d
FROM one
ADD https://user:secret@host.example/e /e
"""
    assert _named(store, text) == [
        "https://host.example/9",
        "https://user:secret@host.example/e",
        "https://host.example/project.git#main",
    ]


def _lock(store: Store, server: ScriptedServer, earlier: Lock | None = None, *, anew: bool = False) -> Lock:
    reference = parse_reference(f"{server.host}/team/app").tagged()
    return pinned(store, Names(images=(reference,)), earlier, anew=[str(reference)] if anew else [])


def test_named_contexts_are_named_and_what_they_hide_is_not(store: Store) -> None:
    words = [
        "base=docker-image://real:1",
        "other=https://example.com/x.tar",
        "tree=https://example.com/y.git#main",
        "fixed=https://example.com/z.git#" + "a" * 40,
        "dep=target:first",
    ]
    text = "FROM base AS first\nFROM plain\nCOPY --from=dep / /\nCOPY --from=other / /\nCOPY --from=fixed / /\n"
    names = named(store, text, build_args={}, platform=HOST, host=HOST, contexts=read_contexts(words))
    assert names.all() == (
        "docker.io/library/plain:latest",
        "docker.io/library/real:1",
        "https://example.com/x.tar",
        "https://example.com/y.git#main",
    )


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
    assert pinned(store, Names(), Lock(images={"docker.io/library/a:1": Pin(digest=ONE)})).images == {}


def test_an_image_without_a_registry_is_pinned_by_its_id(store: Store) -> None:
    from runtime.oci.documents import ImageConfig

    image = store.images.record(ImageConfig(architecture="amd64", os="linux").encode(), [parse_reference("app:1")])
    lock = pinned(store, Names(images=(parse_reference("app:1"),)), None)
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


def test_the_image_of_another_platform_is_no_drift_of_a_pinned_index(
    store: Store, registry: MemoryRegistry, server: ScriptedServer
) -> None:
    entries = []
    for architecture in ("amd64", "arm64"):
        sample = add_image(registry, "team/app", architecture, architecture=architecture)
        entries.append(sample.descriptor(platform={"os": "linux", "architecture": architecture}))
    add_index(registry, "team/app", "latest", entries)
    lock = _lock(store, server)
    name = f"{server.host}/team/app"
    for locked in (False, True):
        building = Building(store, lock=lock, locked=locked)
        found = {building.bases.find(Wanted(name=name, platform=f"linux/{part}", line=1)).id for part in _PARTS}
        assert len(found) == 2
        assert not building.warnings
    server.requests.clear()
    building.bases.find(Wanted(name=name, platform="linux/arm64", line=1))
    Building(store, lock=lock, locked=True).bases.find(Wanted(name=name, platform="linux/arm64", line=1))
    assert not server.requests


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
    said = "No such image: .*/team/app: nothing connects with --offline"
    with Store.open(replace(context, offline=True)) as store, pytest.raises(InstructionFailed, match=said):
        Building(store).find(f"{server.host}/team/app")
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


@pytest.fixture
def elsewhere(tmp_path: Path, missing: Callable[[str], None]) -> Iterator[tuple[Web, Git]]:
    """Return a web server and a repository that is served."""
    if shutil.which("git") is None:
        missing("git")
    repository = make_repository(tmp_path / "git")
    with git_server(repository.bare.parent) as address, web_server() as web:
        repository.address = address
        yield web, repository


@contextmanager
def _remotes(context: Context, lock: Lock, *, locked: bool) -> Iterator[tuple[Remotes, list[str]]]:
    warnings: list[str] = []
    with Store.open(context) as store:
        pins = RemotePins(lock, locked=locked, warn=warnings.append)
        reporter = Reporter(lambda _event: None, context.now)
        with Remotes(store, context, reporter, secrets={}, pins=pins) as remotes:
            yield remotes, warnings


def test_a_file_is_pinned_by_its_digest_and_a_ref_by_its_commit(context: Context, elsewhere: tuple[Web, Git]) -> None:
    web, git = elsewhere
    url = web.put("/file", "one")
    commit = git.commit({"a": "1"})
    source = parse_git(git.url)
    with Store.open(context) as store:
        lock = pinned(store, Names(urls=(url,), trees=(source,)), None)
    assert lock.urls == {url: digest_of(b"one")}
    assert lock.git == {f"{git.url}#": commit}
    web.put("/file", "two")
    later = git.commit({"a": "2"})
    with Store.open(context) as store:
        assert pinned(store, Names(urls=(url,), trees=(source,)), lock) == lock
        again = pinned(store, Names(urls=(url,), trees=(source,)), lock, anew=[url, source.pin_name])
    assert (again.urls[url], again.git[source.pin_name]) == (digest_of(b"two"), later)

    with _remotes(context, lock, locked=False) as (remotes, warnings):
        assert remotes.file(url).digest == digest_of(b"two")
        assert remotes.tree(source).commit.id == later
        assert len(warnings) == 2
    with _remotes(context, lock, locked=True) as (remotes, warnings):
        assert remotes.file(url).digest == digest_of(b"one")
        assert remotes.tree(source).commit.id == commit
        assert not warnings
    with _remotes(replace(context, offline=True), lock, locked=True) as (remotes, _):
        assert remotes.file(url).digest == digest_of(b"one")
        assert remotes.tree(source).commit.id == commit


def test_a_pinned_url_that_has_other_content_now_is_refused(context: Context, elsewhere: tuple[Web, Git]) -> None:
    url = elsewhere[0].put("/file", "two")
    lock = Lock(urls={url: Digest(digest_of(b"one"))})
    with _remotes(context, lock, locked=True) as (remotes, _), pytest.raises(PybuildError, match="sha256:"):
        remotes.file(url)


def test_locked_refuses_urls_and_refs_that_are_not_pinned(context: Context) -> None:
    with _remotes(context, Lock(), locked=True) as (remotes, _):
        with pytest.raises(PybuildError, match=r"http://x/y is not in pybuild\.lock"):
            remotes.file("http://x/y")
        with pytest.raises(PybuildError, match=r"git://x/y#main is not in pybuild\.lock"):
            remotes.tree(parse_git("git://x/y#main"))
