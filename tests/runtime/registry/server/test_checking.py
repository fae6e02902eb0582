"""What `system check` says of a registry whose records and blobs part."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from frozen import replace
from runtime.cli.arguments import Arguments
from runtime.cli.system import VERB_CHECK, run_check
from runtime.context import Context
from runtime.oci.digests import Digest
from runtime.registry.server.checking import check_records
from runtime.store import Store
from tests.runtime.registry.server.clients import CONFIG, LAYER, MANIFEST, Client


def push_image(client: Client, name: str) -> tuple[Digest, Digest, Digest]:
    """Push an image as `NAME:1`; returns the digests of config, layer and manifest."""
    config, layer = client.push_blob(name, b"{}"), client.push_blob(name, b"layer")
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config, "size": 2},
        "layers": [{"mediaType": LAYER, "digest": layer, "size": 5}],
    }
    answer = client.push_manifest(name, "1", document)
    assert answer.status == 201
    return config, layer, Digest(answer.headers["Docker-Content-Digest"])


def remove_file(client: Client, digests: tuple[Digest, Digest, Digest]) -> None:
    os.unlink(client.store.blobs.path(digests[1]))


def remove_manifest(client: Client, digests: tuple[Digest, Digest, Digest]) -> None:
    os.unlink(client.store.blobs.path(digests[2]))


def delete_blob(client: Client, digests: tuple[Digest, Digest, Digest]) -> None:
    assert client.call("DELETE", f"/v2/team/app/blobs/{digests[1]}").status == 202


def unpin(client: Client, _digests: tuple[Digest, Digest, Digest]) -> None:
    with client.store.database.write() as connection:
        connection.execute("DELETE FROM pins")


def lose_manifest_row(client: Client, _digests: tuple[Digest, Digest, Digest]) -> None:
    with client.store.database.write() as connection:
        connection.execute("DELETE FROM registry_manifests")


def lose_repository(client: Client, _digests: tuple[Digest, Digest, Digest]) -> None:
    with client.store.database.write() as connection:
        connection.execute("DELETE FROM registry_repositories")


def change_size(client: Client, _digests: tuple[Digest, Digest, Digest]) -> None:
    with client.store.database.write() as connection:
        connection.execute("UPDATE registry_manifests SET size = 7")


def test_what_was_pushed_is_sound(client: Client) -> None:
    push_image(client, "team/app")
    assert check_records(client.store) == ()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove_file, "team/app: blob {1} is missing"),
        (remove_manifest, "team/app: manifest {2} is missing"),
        (delete_blob, "team/app: manifest {2} needs blob {1}, which was deleted"),
        (unpin, "team/app: blob {0} is not pinned"),
        (lose_manifest_row, "team/app: tag 1 names manifest {2}, which it does not have"),
        (lose_repository, "pins of registry:1: there is no such repository"),
        (change_size, "bytes, not 7"),
    ],
)
def test_what_parts_is_named(
    client: Client, damage: Callable[[Client, tuple[Digest, Digest, Digest]], None], words: str
) -> None:
    digests = push_image(client, "team/app")
    damage(client, digests)
    found = [str(problem) for problem in check_records(client.store)]
    assert any(words.format(*digests) in text for text in found), found


def test_a_store_that_never_served_has_nothing_to_compare(context: Context) -> None:
    with Store.open(context) as store:
        assert check_records(store) == ()
        assert store.database.one("SELECT 1 FROM sqlite_master WHERE name LIKE 'registry%'") is None


def test_the_verb_tells(client: Client, context: Context) -> None:
    remove_file(client, push_image(client, "team/app"))
    out = io.StringIO()
    where = replace(context, stdout=out, stderr=io.StringIO())
    assert run_check(Arguments({flag.name: flag for flag in VERB_CHECK.flags}, {}, ()), where) == 1
    assert "registry repository team/app: blob" in out.getvalue()
