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
    from runtime.containers.inspection import bindings
    from runtime.containers.records import Containers
    from runtime.store import Store

    with Store.open(context) as store:
        containers = Containers(store)
        container = containers.find(args.words[0])
        ports = bindings(container) if containers.is_running(container) else {}
    if len(args.words) == 1:
        for port, places in sorted(ports.items()):
            for place in places:
                context.stdout.write(f"{port} -> {_address(place)}\n")
        return 0
    number, _, protocol = args.words[1].partition("/")
    if not number.isdecimal():
        raise UsageError(f"Error: invalid port: {args.words[1]}", hint="a number, as 80 or 53/udp")
    wanted = f"{number}/{protocol or 'tcp'}"
    if not ports.get(wanted):
        raise NotFound(f"No public port '{args.words[1]}' published for {args.words[0]}")
    for place in ports[wanted]:
        context.stdout.write(f"{_address(place)}\n")
    return 0


def _address(place: dict[str, str]) -> str:
    host = place.get("HostIp") or "0.0.0.0"
    return f"[{host}]:{place['HostPort']}" if ":" in host else f"{host}:{place['HostPort']}"
