"""`pybuild create`: make a container from an image without starting it."""

from __future__ import annotations

import os

from runtime.cli.arguments import Arguments
from runtime.cli.containerflags import FLAGS, REFUSED, refuse_unsupported
from runtime.cli.declare import Verb
from runtime.cli.run import id_file
from runtime.context import Context

VERB = Verb(
    name="create",
    summary="Make a container from an image",
    usage="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    words=(1, None),
    interspersed=False,
    needs_store=True,
    usage_status=125,
    failure_status=125,
    flags=(*FLAGS, *REFUSED),
)


def run(args: Arguments, context: Context) -> int:
    """Make the container and print its id."""
    from runtime.cli.containersettings import read_config, read_host_config
    from runtime.cli.fetching import find_named_image
    from runtime.containers.create import create
    from runtime.containers.images import read_policy
    from runtime.containers.records import Containers
    from runtime.store import Store

    refuse_unsupported(args)
    policy = read_policy(args.text("pull"))
    config = read_config(args, context, args.words[0], args.words[1:])
    host = read_host_config(args)
    with Store.open(context) as store:
        image = find_named_image(args, context, store, policy)
        containers = Containers(store)
        with id_file(args.text("cidfile")) as write_id:
            container, alive = create(containers, image, config, host, name=args.text("name"))
            os.close(alive)
            write_id(container.id)
    context.stdout.write(f"{container.id}\n")
    return 0
