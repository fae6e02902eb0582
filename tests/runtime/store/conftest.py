"""A store that is open for the length of a test."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pytest

from runtime.context import Context
from runtime.oci.digests import ChainID, DiffID
from runtime.oci.documents import ContainerConfig, History, ImageConfig
from runtime.oci.references import parse_reference
from runtime.store import Store
from runtime.store.images import Image


class MakeImage(Protocol):
    """See the fixture `make_image`."""

    def __call__(
        self, layers: Sequence[Mapping[str, bytes]], *names: str, config: ContainerConfig | None = None
    ) -> Image:
        """Record an image."""


@pytest.fixture
def store(context: Context) -> Iterator[Store]:
    with Store.open(context) as opened:
        yield opened


@pytest.fixture
def make_image(store: Store) -> MakeImage:
    """Return a function that records an image: its layers as {path: content}, its names, changes of its config."""

    def make(layers: Sequence[Mapping[str, bytes]], *names: str, config: ContainerConfig | None = None) -> Image:
        diff_ids: list[DiffID] = []
        parent: ChainID | None = None
        for layer in layers:
            with store.snapshots.prepare(parent) as preparation:
                for path, content in layer.items():
                    file = preparation.upperdir / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                    os.utime(file, (1, 1))
                snapshot = preparation.commit(preparation.measure())
            diff_ids.append(snapshot.diff_id)
            parent = snapshot.chain_id
        document = ImageConfig(
            architecture="amd64",
            os="linux",
            created="2024-01-02T03:04:05Z",
            config=config or ContainerConfig(cmd=("sh",)),
            diff_ids=tuple(diff_ids),
            history=tuple(History(created_by=f"layer {number}") for number in range(len(layers))),
        )
        return store.images.record(document.encode(), [parse_reference(name).tagged() for name in names])

    return make
