"""Records last, give way where they must, and explain what is not remembered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.interfaces import KeyParts
from builder.keys import key_of
from builder.records import Record, Records
from frozen import replace
from runtime.context import Context
from runtime.oci.digests import ChainID, Digest
from runtime.store import Store

PARENT = Digest("sha256:" + "1" * 64)
CONTENT = Digest("sha256:" + "2" * 64)


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


def layer(store: Store, name: str) -> ChainID:
    with store.snapshots.prepare(None) as preparation:
        (Path(preparation.upperdir) / name).touch()
        return preparation.commit(preparation.measure()).chain_id


def record(chain: ChainID | None, parts: KeyParts, **changes: object) -> Record:
    made = Record(
        key=key_of(parts),
        keyword="run",
        parent=PARENT,
        content=CONTENT,
        chain=chain,
        created=5,
        elapsed=7,
        site="here",
        statement="RUN x",
        parts=parts,
    )
    return replace(made, **changes)


def test_what_is_stored_is_found_as_it_was(store: Store) -> None:
    written = record(layer(store, "a"), {"instruction": "run", "environment": {"é": "1"}})
    assert Records(store).store(written) == written
    assert Records(store).lookup(written.key) == written


def test_a_record_without_its_layer_is_none(store: Store) -> None:
    chain = layer(store, "a")
    written = Records(store).store(record(chain, {"x": 1}))
    store.snapshots.remove(chain)
    assert Records(store).lookup(written.key) is None


def test_the_first_of_two_equal_works_stays(store: Store) -> None:
    records = Records(store)
    first = records.store(record(layer(store, "a"), {"x": 1}, created=1))
    assert records.store(record(layer(store, "b"), {"x": 1}, created=2)) == first
    second = records.store(record(layer(store, "b"), {"x": 1}, created=2), replace_earlier=True)
    assert second.created == 2
    assert [row["target"] for row in store.database.read("SELECT target FROM pins")] == [second.chain]


def test_the_earliest_equal_result_of_the_same_kind_is_found(store: Store) -> None:
    records = Records(store)
    first = records.store(record(layer(store, "a"), {"x": 1}))
    records.store(record(layer(store, "b"), {"x": 2}))
    assert records.equal_result(parent=PARENT, keyword="run", content=CONTENT) == first
    assert records.equal_result(parent=PARENT, keyword="copy", content=CONTENT) is None
    assert records.equal_result(parent=None, keyword="run", content=CONTENT) is None


@pytest.mark.parametrize(
    ("parts", "site", "statement", "said"),
    [
        ({"command": "new"}, "other", "RUN y", "it has not run before"),
        ({"command": "new"}, "here", "RUN x", "it is not as it was: command: 'old' became 'new'"),
        ({"command": "new"}, "here", "RUN y", "it is another instruction than last time: command: 'old' became 'new'"),
        (
            {"command": "old", "parent": "p"},
            "there",
            "RUN x",
            "it stands elsewhere than before",
        ),
    ],
)
def test_a_miss_says_why(store: Store, parts: KeyParts, site: str, statement: str, said: str) -> None:
    records = Records(store)
    records.store(record(layer(store, "a"), {"command": "old"}))
    miss = records.explain(key_of(parts), parts, site=site, statement=statement)
    assert str(miss).startswith(said)


def test_what_is_forgotten_is_not_pinned_any_more(store: Store) -> None:
    records = Records(store)
    written = records.store(record(layer(store, "a"), {"x": 1}))
    records.forget([written.key])
    assert records.lookup(written.key) is None
    assert store.database.read("SELECT * FROM pins") == []


def test_an_image_without_layers_is_as_old_as_its_first_build(store: Store) -> None:
    records = Records(store)
    assert records.created_of(CONTENT, 5) == 5
    assert records.created_of(CONTENT, 9) == 5


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_records_of_an_older_store_are_found(context: Context, version: int) -> None:
    with Store.open(context) as store:
        stored = Records(store).store(record(layer(store, "a"), {"x": 1}), files=b"packed")
        with store.database.write() as connection:
            connection.execute("UPDATE components SET version = ? WHERE name = 'builder'", (version,))
            if version == 2:
                for index in ("site", "statement", "turn", "use"):
                    connection.execute(f"DROP INDEX builder_records_by_{index}")
                for column in ("below", "turn", "used", "uses"):
                    connection.execute(f"ALTER TABLE builder_records DROP COLUMN {column}")
            if version < 4:
                connection.execute("DROP TABLE builder_files")
    with Store.open(context) as store:
        assert Records(store).lookup(stored.key) == stored
        Records(store).touch([stored.key])
