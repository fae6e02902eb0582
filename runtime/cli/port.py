"""`pybuild port`: list the published ports of a container."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Verb
from runtime.context import Context
from runtime.errors import NotFound, UsageError

VERB = Verb(
    name="port",
    summary="List the published ports of a container",
    usage="CONTAINER [PORT[/PROTOCOL]]",
    words=(1, 2),
    needs_store=True,
)


def run(args: Arguments, context: Context) -> int:
    """Print `80/tcp -> 0.0.0.0:8080`, or with a port only where it is to be had."""
    from runtime.cli.portwords import in_order, place_words
    from runtime.containers.inspection import bindings
    from runtime.containers.records import Containers
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        ports = bindings(container) if containers.is_running(container) else {}
    if len(args.words) == 1:
        lines = in_order(f"{port} -> {place_words(place)}" for port, places in ports.items() for place in places)
    else:
        lines = in_order(place_words(place) for place in _at(ports, args))
    context.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _at(ports: dict[str, list[dict[str, str]]], args: Arguments) -> list[dict[str, str]]:
    """Return where the port that was asked for is published. Raises UsageError and NotFound."""
    number, _, protocol = args.words[1].partition("/")
    if not (number.isascii() and number.isdecimal()):
        raise UsageError(f"invalid port ({args.words[1]})", hint="a number, as 80 or 53/udp")
    wanted = f"{number}/{protocol or 'tcp'}"
    if not ports.get(wanted):
        raise NotFound(f"No public port '{args.words[1]}' published for {args.words[0]}")
    return ports[wanted]
