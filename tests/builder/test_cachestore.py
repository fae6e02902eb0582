"""What the build cache holds, and what goes first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder.cachestore import CACHE_MOUNT, delete, entries, oldest_beyond
from builder.policy import CachePolicy, Limit, collect_slice, parse_size, read_cache_policy
from frozen import replace
from runtime.errors import DocumentError, UsageError
from runtime.store import Store
from runtime.store.locks import Lock
from tests.builder.benches import Bench

DAY = 86_400 * 10**9
NO_IMAGE = ()


def build(bench: Bench, name: str, *, now: int, size: int = 10) -> None:
    """Build one layer that no image keeps."""
    bench.write({name: "x" * size})
    bench.build(f"FROM scratch\nCOPY {name} /\n", now=now, outputs=NO_IMAGE)


def make_mount(bench: Bench, name: str, size: int) -> Path:
    path = bench.context.layout.cache_mounts / name
    (path / "data").mkdir(parents=True)
    (path / "data" / "file").write_bytes(b"x" * size)
    (path / "id").write_text("/root/.cache")
    (path / "lock").touch()
    os.utime(path / "id", ns=(DAY, DAY))
    os.utime(path / "lock", ns=(DAY, DAY))
    return path


def test_entries_come_the_least_recently_used_first(bench: Bench) -> None:
    build(bench, "a", now=DAY)
    build(bench, "b", now=2 * DAY)
    build(bench, "a", now=3 * DAY)
    with Store.open(bench.context) as store:
        found = entries(store)
    assert [entry.description for entry in found] == ["COPY b /", "COPY a /"]
    assert [(entry.used, entry.uses) for entry in found] == [(2 * DAY, 0), (3 * DAY, 1)]
    assert found[1].created == DAY


def test_what_an_image_has_is_shared_and_frees_nothing(bench: Bench) -> None:
    bench.write({"a": "1"})
    bench.build("FROM scratch\nCOPY a /\n")
    with Store.open(bench.context) as store:
        (entry,) = entries(store)
    assert entry.shared
    assert entry.size == 1
    assert entry.freeable == 0


def test_a_cache_mount_is_emptied_unless_a_step_has_it(bench: Bench) -> None:
    path = make_mount(bench, "m", 5000)
    with Store.open(bench.context) as store:
        lock = Lock(path / "lock")
        lock.acquire(bench.context.cancel, exclusive=False)
        (entry,) = entries(store)
        assert (entry.type, entry.in_use, entry.description) == (CACHE_MOUNT, True, "cache mount /root/.cache")
        assert delete(store, [entry]) == ()
        lock.close()
        assert delete(store, entries(store))[0].id == entry.id
        assert entries(store) == ()
    assert not (path / "data").exists()


def test_the_most_recently_used_stay_within_a_size(bench: Bench) -> None:
    for day, name in enumerate(("a", "b", "c"), 1):
        build(bench, name, now=day * DAY, size=100)
    with Store.open(bench.context) as store:
        chosen = oldest_beyond(entries(store), 150)
    assert [entry.description for entry in chosen] == ["COPY a /", "COPY b /"]


def test_a_forgotten_record_is_a_miss(bench: Bench) -> None:
    build(bench, "a", now=DAY)
    with Store.open(bench.context) as store:
        delete(store, entries(store))
        assert store.database.read("SELECT * FROM builder_files") == []
        assert store.database.read("SELECT * FROM pins") == []
    assert bench.build("FROM scratch\nCOPY a /\n").executed == 1


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (CachePolicy(max_size=Limit(size=10**12), keep_free=Limit()), 3),
        (CachePolicy(max_size=Limit(size=150), keep_free=Limit()), 1),
        (CachePolicy(max_size=Limit(size=0), keep_free=Limit()), 0),
        (CachePolicy(max_size=Limit(size=10**12), keep_free=Limit(share=1.0)), 0),
        (CachePolicy(max_size=Limit(size=10**12), keep_free=Limit(), max_age=8 * 86400), 2),
    ],
)
def test_the_policy_takes_the_oldest(bench: Bench, policy: CachePolicy, left: int) -> None:
    for day, name in enumerate(("a", "b", "c"), 1):
        build(bench, name, now=day * DAY, size=100)
    with Store.open(replace(bench.context, now=lambda: 10 * DAY)) as store:
        assert collect_slice(store, policy) == 3 - left
        assert len(entries(store)) == left
        assert len(store.snapshots.list()) == left


def test_what_was_just_used_stays_however_full_the_disk_is(bench: Bench) -> None:
    build(bench, "a", now=DAY)
    with Store.open(replace(bench.context, now=lambda: DAY + 60 * 10**9)) as store:
        assert collect_slice(store, CachePolicy(keep_free=Limit(share=1.0))) == 0
        assert len(entries(store)) == 1


def test_cache_mounts_are_measured_once_an_hour(bench: Bench) -> None:
    path = make_mount(bench, "m", 5000)
    with Store.open(replace(bench.context, now=lambda: 100 * DAY)) as store:
        assert collect_slice(store, CachePolicy(keep_free=Limit())) == 1
    (path / "data").mkdir()
    for later, left in ((1, 0), (7200, 1)):
        with Store.open(replace(bench.context, now=lambda later=later: 100 * DAY + later * 10**9)) as store:
            assert collect_slice(store, CachePolicy(keep_free=Limit())) == left


def test_what_an_image_needs_survives_every_policy(bench: Bench) -> None:
    bench.write({"a": "1"})
    bench.build("FROM scratch\nCOPY a /\n", now=DAY)
    with Store.open(replace(bench.context, now=lambda: 100 * DAY)) as store:
        collect_slice(store, CachePolicy(max_size=Limit(size=0)))
        assert len(store.snapshots.list()) == 1


def test_a_collection_waits_for_nobody(bench: Bench) -> None:
    build(bench, "a", now=DAY)
    with Store.open(bench.context) as other, Store.open(replace(bench.context, now=lambda: 100 * DAY)) as store:
        assert collect_slice(store, CachePolicy(keep_free=Limit())) == 1
        assert len(other.snapshots.list()) == 1


def test_the_configuration_sets_the_policy(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[cache]\nmax_size = "10GB"\nkeep_free = "5%"\nmax_age = "48h"\n')
    context = replace(bench.context, config_file=file, environ={})
    assert read_cache_policy(context) == CachePolicy(
        max_size=Limit(size=10**10), keep_free=Limit(share=0.05), max_age=172800
    )
    assert read_cache_policy(replace(bench.context, environ={})) == CachePolicy()


@pytest.mark.parametrize("text", ["max_size = true", 'max_size = "x"', 'max_age = "1y"', "other = 1", "max_size = -1"])
def test_a_wrong_policy_is_refused(bench: Bench, tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[cache]\n{text}\n")
    with pytest.raises(DocumentError, match="cache"):
        read_cache_policy(replace(bench.context, config_file=file, environ={}))


def test_sizes_have_units_of_both_kinds() -> None:
    assert [parse_size(text) for text in ("5", "1k", "512MB", "1GiB", "1.5g")] == [
        5,
        1000,
        512000000,
        1 << 30,
        15 * 10**8,
    ]
    with pytest.raises(UsageError):
        parse_size("many")
