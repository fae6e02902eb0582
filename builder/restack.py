"""Put a layer that was made over nothing on top of another tree: what COPY --link is for."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.oci.digests import ChainID
    from runtime.store.facade import Store
    from runtime.store.snapshots import Snapshot


def restack(store: Store, parent: ChainID, layer: Snapshot) -> Snapshot:
    """Return the snapshot of `layer` over `parent`, which shares its files if it can.

    Else its tar passes through a pipe and is checked on its way.
    """
    shared = store.snapshots.restack(parent, layer)
    if shared is not None:
        return shared
    reader, writer = os.pipe2(os.O_CLOEXEC)
    failures: list[BaseException] = []

    def produce() -> None:
        try:
            with open(writer, "wb") as sink:
                store.snapshots.write_tar(layer.chain_id, sink)
        except BrokenPipeError:
            pass  # the other side has its own error to tell
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        with open(reader, "rb") as stream:
            snapshot = store.snapshots.apply(parent, stream, expected=layer.diff_id)
    finally:
        thread.join()
    if failures:
        raise failures[0]
    return snapshot
