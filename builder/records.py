"""Remember what each cache key led to, and say why a key is not remembered.

A record is written in one transaction, with the pin that keeps its snapshot, after the snapshot is committed and
synced. A record whose snapshot is gone counts as a miss. Failed, cancelled and killed steps record nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from builder.explanation import Below
from builder.interfaces import KeyParts
from builder.keys import Difference, differences
from frozen import Frozen
from runtime.oci.digests import ChainID, Digest, canonical_json

if TYPE_CHECKING:
    from runtime.store.database import Row
    from runtime.store.facade import Store

_VERSION = 6
_FILES = """CREATE TABLE IF NOT EXISTS builder_files(
        key TEXT PRIMARY KEY,
        entries BLOB NOT NULL)"""
"""With row numbers: where a table has none, a look-up reads all of every long row that it passes."""
_TABLES = (
    """CREATE TABLE IF NOT EXISTS builder_records(
        key TEXT PRIMARY KEY,
        keyword TEXT NOT NULL,
        parent TEXT NOT NULL,
        content TEXT NOT NULL,
        chain TEXT NOT NULL,
        created INTEGER NOT NULL,
        site TEXT NOT NULL,
        statement TEXT NOT NULL,
        parts BLOB NOT NULL,
        elapsed INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        below TEXT NOT NULL DEFAULT '',
        turn INTEGER NOT NULL DEFAULT 0,
        used INTEGER NOT NULL DEFAULT 0,
        uses INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS builder_records_by_result ON builder_records(parent, keyword, content)",
    "CREATE INDEX IF NOT EXISTS builder_records_by_site ON builder_records(site, statement, turn)",
    "CREATE INDEX IF NOT EXISTS builder_records_by_statement ON builder_records(statement, turn)",
    "CREATE INDEX IF NOT EXISTS builder_records_by_sequence ON builder_records(sequence)",
    "CREATE INDEX IF NOT EXISTS builder_records_by_turn ON builder_records(turn)",
    "CREATE INDEX IF NOT EXISTS builder_records_by_use ON builder_records(used, created, chain)",
    """CREATE TABLE IF NOT EXISTS builder_created(
        config TEXT PRIMARY KEY,
        created INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS builder_aliases(
        alias TEXT PRIMARY KEY,
        key TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS builder_requests(
        image TEXT PRIMARY KEY,
        directory TEXT NOT NULL,
        words TEXT NOT NULL) WITHOUT ROWID""",
    _FILES,
)
_MIGRATIONS = {
    2: (
        "ALTER TABLE builder_records ADD COLUMN below TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE builder_records ADD COLUMN turn INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE builder_records ADD COLUMN used INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE builder_records ADD COLUMN uses INTEGER NOT NULL DEFAULT 0",
        "UPDATE builder_records SET turn = sequence, used = created",
    ),
    3: (),
    4: ("DROP INDEX IF EXISTS builder_records_by_site", "DROP INDEX IF EXISTS builder_records_by_statement"),
    5: (
        _FILES,
        "ALTER TABLE builder_files RENAME TO builder_files_before",
        _FILES,
        "INSERT INTO builder_files SELECT key, entries FROM builder_files_before",
        "DROP TABLE builder_files_before",
    ),
}
"""What leads from one version of the tables to the next; `turn` orders records by their last use, clocks do not."""


class Record(Frozen):
    """What a step with this key led to.

    `content` and `chain` are those of the whole tree afterwards (of the layer alone for a linked step), `chain` None
    for an empty tree. `created` is ns since the epoch, when the step first ran; `elapsed` ns that it took then.
    `below` is what it stood on.
    """

    key: Digest
    keyword: str
    parent: Digest | None
    content: Digest
    chain: ChainID | None
    created: int
    elapsed: int
    site: str
    statement: str
    parts: KeyParts
    below: Below = Below()


class Earlier(Frozen):
    """The step that most likely was the same one: its parts, what it stood on, and the packed list of its files."""

    parts: KeyParts
    below: Below
    files: bytes


class Miss(Frozen):
    """Why a step has to run: `reason` is one sentence; `difference` the first part that is not as it was, if known.

    `kind` is "changed", "new", "gone" (its layer) or "asked" (nothing was to be taken from the cache).
    """

    reason: str
    difference: Difference | None = None
    kind: str = "changed"
    earlier: Earlier | None = None

    def __str__(self) -> str:
        return f"{self.reason}: {self.difference}" if self.difference else self.reason


class Records:
    """The records of one store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._database.ensure("builder", _VERSION, _TABLES, migrations=_MIGRATIONS)

    def lookup(self, key: Digest) -> Record | None:
        """Return the record of `key`, None if there is none or its snapshot is gone."""
        row = self._database.one("SELECT * FROM builder_records WHERE key = ?", key)
        return None if row is None else self._alive(row)

    def equal_result(self, *, parent: Digest | None, keyword: str, content: Digest) -> Record | None:
        """Return the earliest record of a step of this kind over `parent` that led to `content`: early cut-off.

        `parent` is None for linked steps.
        """
        rows = self._database.read(
            "SELECT * FROM builder_records WHERE parent = ? AND keyword = ? AND content = ? ORDER BY sequence",
            parent or "",
            keyword,
            content,
        )
        return next((record for row in rows if (record := self._alive(row)) is not None), None)

    def maker(self, chain: ChainID) -> Record | None:
        """Return the record of the step that first led to a tree, None where that is not known."""
        row = self._database.one("SELECT * FROM builder_records WHERE chain = ? ORDER BY sequence LIMIT 1", chain)
        return None if row is None else self._alive(row)

    def latest_chain(self, statement: str, site: str) -> ChainID | None:
        """Return the tree that the instruction `statement` at `site` last led to, None if there is none."""
        row = self._database.one(
            "SELECT chain FROM builder_records WHERE site = ? AND statement = ? ORDER BY turn DESC LIMIT 1",
            site,
            statement,
        )
        return None if row is None or row[0] is None else ChainID(row[0])

    def store(self, record: Record, *, replace_earlier: bool = False, files: bytes = b"") -> Record:
        """Write a record and the pin of its snapshot; returns what is recorded now.

        Where the same key is recorded already, and its snapshot is there, that one stays unless `replace_earlier`.
        `files` is the packed list of what the step read; a place in a Dockerfile keeps its latest few.
        """
        with self._database.write() as connection:
            row = connection.execute("SELECT * FROM builder_records WHERE key = ?", (record.key,)).fetchone()
            earlier = None if row is None else self._alive(row)
            if earlier is not None and not replace_earlier:
                return earlier
            connection.execute(
                "INSERT OR REPLACE INTO builder_records(key, keyword, parent, content, chain, created, site, "
                "statement, parts, elapsed, below, used, sequence, turn) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                "(SELECT coalesce(max(sequence), 0) + 1 FROM builder_records), "
                "(SELECT coalesce(max(turn), 0) + 1 FROM builder_records))",
                (
                    record.key,
                    record.keyword,
                    record.parent or "",
                    record.content,
                    record.chain or "",
                    record.created,
                    record.site,
                    record.statement,
                    canonical_json(record.parts),
                    record.elapsed,
                    record.below.to_json(),
                    self._store.context.now(),
                ),
            )
            if files:
                connection.execute("INSERT OR REPLACE INTO builder_files VALUES(?, ?)", (record.key, files))
                connection.execute(
                    "DELETE FROM builder_files WHERE key IN (SELECT key FROM builder_records WHERE site = ? AND "
                    "statement = ? AND key <> ? ORDER BY turn DESC LIMIT -1 OFFSET 3)",
                    (record.site, record.statement, record.key),
                )
            owner = f"cache:{record.key}"
            connection.execute("DELETE FROM pins WHERE owner = ?", (owner,))
            if record.chain is not None:
                connection.execute("INSERT INTO pins VALUES(?, 'snapshot', ?)", (owner, record.chain))
        return record

    def aliased(self, alias: Digest) -> Record | None:
        """Return the record whose key `alias`, a digest that is cheaper to come by, was said to lead to."""
        row = self._database.one("SELECT key FROM builder_aliases WHERE alias = ?", alias)
        return None if row is None else self.lookup(Digest(row[0]))

    def add_alias(self, alias: Digest, key: Digest) -> None:
        """Say that whatever has the digest `alias` has the key `key`, too."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO builder_aliases VALUES(?, ?)", (alias, key))

    def everything(self) -> tuple[tuple[Record, ...], dict[Digest, Digest]]:
        """Give all usable records, the latest used first, and the aliases that lead to them."""
        rows = self._database.read("SELECT * FROM builder_records ORDER BY turn DESC, key")
        records = tuple(record for row in rows if (record := self._alive(row)) is not None)
        keys = {record.key for record in records}
        aliases = self._database.read("SELECT alias, key FROM builder_aliases ORDER BY alias")
        return records, {Digest(row["alias"]): Digest(row["key"]) for row in aliases if row["key"] in keys}

    def add_request(self, image: Digest, directory: str, words: Sequence[str]) -> None:
        """Note from which directory, and by which words of a command line, an image can be built again."""
        row = self._database.one("SELECT directory, words FROM builder_requests WHERE image = ?", image)
        text = json.dumps(list(words))
        if row is None or (row["directory"], row["words"]) != (directory, text):
            with self._database.write() as connection:
                connection.execute("INSERT OR REPLACE INTO builder_requests VALUES(?, ?, ?)", (image, directory, text))

    def request_of(self, image: Digest) -> tuple[str, list[str]] | None:
        """Return directory and words of the latest build that led to an image, None for one that none did."""
        row = self._database.one("SELECT directory, words FROM builder_requests WHERE image = ?", image)
        return None if row is None else (row["directory"], [str(word) for word in json.loads(row["words"])])

    def created_of(self, config: Digest, now: int) -> int:
        """Return when an image without a layer of its own was first built, `now` (ns) if it never was.

        `config` digests all of the image but its times. Two builds at once get one answer.
        """
        row = self._database.one("SELECT created FROM builder_created WHERE config = ?", config)
        if row is None:
            with self._database.write() as connection:
                connection.execute("INSERT OR IGNORE INTO builder_created VALUES(?, ?)", (config, now))
            row = self._database.one("SELECT created FROM builder_created WHERE config = ?", config)
        return now if row is None else int(row[0])

    def explain(self, key: Digest, parts: KeyParts, *, site: str, statement: str) -> Miss:
        """Say why `key` has no usable record, by comparing it with the latest step that most likely was the same one.

        That is the one with this text, else the one at this place (`site`) of the same Dockerfile.
        """
        row = self._database.one("SELECT * FROM builder_records WHERE key = ?", key)
        if row is not None:
            return Miss(reason="its result is no longer in the store", kind="gone")
        for reason, column, value in (
            ("it is not as it was", "site = ? AND statement", (site, statement)),
            ("it is another instruction than last time", "site", (site,)),
            ("it stands elsewhere than before", "statement", (statement,)),
        ):
            row = self._database.one(
                f"SELECT key, parts, below FROM builder_records WHERE {column} = ? ORDER BY turn DESC LIMIT 1", *value
            )
            if row is not None:
                files = self._database.one("SELECT entries FROM builder_files WHERE key = ?", row["key"])
                earlier = Earlier(
                    parts=json.loads(row["parts"]),
                    below=Below.of_json(row["below"]),
                    files=b"" if files is None else bytes(files[0]),
                )
                return Miss(reason=reason, difference=next(differences(earlier.parts, parts), None), earlier=earlier)
        return Miss(reason="it has not run before", kind="new")

    def touch(self, keys: Collection[Digest]) -> None:
        """Note that records were used now: by one build, in the order given."""
        if not keys:
            return
        now = self._store.context.now()
        with self._database.write() as connection:
            (turn,) = connection.execute("SELECT coalesce(max(turn), 0) + 1 FROM builder_records").fetchone()
            connection.executemany(
                "UPDATE builder_records SET turn = ?, used = ?, uses = uses + 1 WHERE key = ?",
                [(turn, now, key) for key in keys],
            )

    def forget(self, keys: Sequence[Digest]) -> None:
        """Delete records and their pins; the snapshots go with the next collection if nothing else holds them."""
        with self._database.write() as connection:
            for key in keys:
                connection.execute("DELETE FROM builder_records WHERE key = ?", (key,))
                connection.execute("DELETE FROM builder_files WHERE key = ?", (key,))
                connection.execute("DELETE FROM builder_aliases WHERE key = ?", (key,))
                connection.execute("DELETE FROM pins WHERE owner = ?", (f"cache:{key}",))

    def _alive(self, row: Row) -> Record | None:
        chain = ChainID(row["chain"]) if row["chain"] else None
        if chain is not None and self._store.snapshots.get(chain) is None:
            return None
        return Record(
            key=Digest(row["key"]),
            keyword=row["keyword"],
            parent=Digest(row["parent"]) if row["parent"] else None,
            content=Digest(row["content"]),
            chain=chain,
            created=int(row["created"]),
            elapsed=int(row["elapsed"]),
            site=row["site"],
            statement=row["statement"],
            parts=json.loads(row["parts"]),
            below=Below.of_json(row["below"]),
        )
