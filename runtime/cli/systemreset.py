"""`pybuild system reset`: end and delete everything that the root directory holds."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.context import Context

VERB = Verb(
    name="system reset",
    summary="End all containers and delete everything: images, containers, volumes, networks, cache",
    needs_store=True,
    words=(0, 0),
    flags=(Flag("--force", "-f", help="Don't ask"),),
)

_WARNING = """This will remove, in {root}:
  - all containers, also those that run
  - all volumes with what is in them
  - all networks, images and pushed repositories
  - all build cache
"""


def run(args: Arguments, context: Context) -> int:
    """Ask, and delete."""
    if not confirmed(args, context, _WARNING.format(root=context.layout.root)):
        return 0
    from runtime.containers.records import Containers
    from runtime.containers.removal import remove
    from runtime.network.cleanup import teardown
    from runtime.store import Store
    from runtime.store.reset import reset

    with Store.open(context) as store:
        containers = Containers(store)
        for container in containers.list():
            remove(containers, container.id, force=True, volumes=True)
        teardown(context)
        if not store.is_alone():
            context.stderr.write(f"waiting for other commands that use {context.layout.root} to end\n")
            context.stderr.flush()
        reset(store)
    return 0
