"""`pybuild rename`: give a container another name."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.context import Context

VERB = Verb(
    name="rename",
    summary="Rename a container",
    usage="CONTAINER NEW_NAME",
    words=(2, 2),
    needs_store=True,
)


def run(args: Arguments, context: Context) -> int:
    """Rename it; prints nothing."""
    from runtime.containers.names import check_name
    from runtime.containers.records import Containers
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)
        containers.rename(containers.find(args.words[0]), check_name(args.words[1].removeprefix("/")))
    return 0
