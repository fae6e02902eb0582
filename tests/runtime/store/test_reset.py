from __future__ import annotations

import os
from typing import Any

from runtime.context import Context
from runtime.store import Store
from runtime.store.check import check
from runtime.store.reset import reset


def test_a_store_is_as_new_afterwards_and_of_use(store: Store, make_image: Any, context: Context) -> None:
    image = make_image([{"a": b"1"}], "app")
    store.images.manifest(image)
    (store.layout.volumes / "data/_data").mkdir(parents=True)
    reset(store)
    assert store.images.list() == ()
    assert store.snapshots.list() == ()
    assert not store.layout.volumes.exists()
    assert os.listdir(store.layout.trash) == []
    assert check(store).problems == ()
    with Store.open(context) as another:
        assert another.images.list() == ()
    again = make_image([{"a": b"1"}], "app")
    assert store.images.require("app").id == again.id
    assert check(store).problems == ()
