"""`pybuild update`: change the limits and the restart policy of containers."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.containerflags import FLAGS
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.errors import UsageError

_LIMITS = frozenset(
    (
        "blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems memory "
        "memory-reservation memory-swap pids-limit"
    ).split()
)

VERB = Verb(
    name="update",
    summary="Change the limits of containers",
    usage="[OPTIONS] CONTAINER [CONTAINER...]",
    words=(1, None),
    needs_store=True,
    flags=(
        *(flag for flag in FLAGS if flag.name in _LIMITS),
        Flag("--restart", kind="text", metavar="POLICY", help="no, on-failure[:N], always or unless-stopped"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Change each container and print the word it was named by."""
    from runtime.cli.containersettings import read_restart
    from runtime.cli.limitflags import read_limits
    from runtime.cli.severally import each
    from runtime.containers.limits import update
    from runtime.containers.records import Containers
    from runtime.store import Store

    changes = read_limits(args)
    policy = args.text("restart")
    if policy is not None:
        changes["RestartPolicy"] = read_restart(policy)
    if not changes:
        raise UsageError("you must provide one or more flags when using this command")
    with Store.open(context) as store:
        containers = Containers(store)

        def act(word: str) -> str:
            update(containers, containers.find(word), changes)
            return word

        return each(args.words, act, context)
