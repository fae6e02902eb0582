"""Remove a `--rm` container whose starting command has gone: what its monitor becomes at its end."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from runtime import interpreters
from runtime.context import Context, Layout
from runtime.errors import PybuildError


def command(context: Context, container_id: str) -> list[str]:
    """Return the words that remove one container of this context's root, in the namespaces of whoever runs them."""
    layout = context.layout
    told = (str(layout.root), str(layout.run), layout.key, context.rootless, container_id)
    return interpreters.command(f"from runtime.containers.reaper import main; main(*{told!r})")


def main(root: str, run: str, key: str, rootless: bool, container_id: str) -> None:
    """Remove the container; where that fails, the next command does it."""
    from runtime.containers.records import Containers
    from runtime.containers.removal import remove_after_run
    from runtime.store import Store

    layout = Layout(root=Path(root), run=Path(run), key=key)
    with suppress(PybuildError), Store.open(Context(layout=layout, environ={}, rootless=rootless)) as store:
        remove_after_run(Containers(store), container_id)
