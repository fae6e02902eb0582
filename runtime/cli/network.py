"""`pybuild network create`, `rm`, `prune`, `connect` and `disconnect`."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.cli.networkflags import check_mac
from runtime.cli.severally import each
from runtime.context import Context
from runtime.errors import NotFound, UsageError
from runtime.network.settings import EndpointSettings
from runtime.store import Store

VERB_CREATE = Verb(
    name="network create",
    summary="Make a network",
    usage="[OPTIONS] NETWORK",
    words=(1, 1),
    needs_store=True,
    flags=(
        Flag("--attachable", help="Accepted: any container may join"),
        Flag("--driver", "-d", kind="text", metavar="DRIVER", help="bridge"),
        Flag("--gateway", kind="texts", metavar="IP", help="Address of the bridge"),
        Flag("--internal", help="No way out, and none in"),
        Flag("--ip-range", kind="texts", metavar="SUBNET", help="Part of the subnet that containers get"),
        Flag("--ipv6", hidden=True),
        Flag("--label", kind="texts", metavar="NAME=VALUE", help="Set a label"),
        Flag(
            "--opt",
            "-o",
            kind="texts",
            metavar="NAME=VALUE",
            help="com.docker.network.driver.mtu, … or mtu, icc, bridge",
        ),
        Flag("--subnet", kind="texts", metavar="SUBNET", help="Its addresses, as 10.9.0.0/24"),
        *(
            Flag(name, kind="texts", hidden=True)
            for name in ("--aux-address", "--config-from", "--ipam-driver", "--ipam-opt", "--scope")
        ),
        Flag("--config-only", hidden=True),
        Flag("--ingress", hidden=True),
    ),
)
VERB_RM = Verb(
    name="network rm",
    summary="Remove networks",
    usage="NETWORK [NETWORK...]",
    words=(1, None),
    needs_store=True,
    flags=(Flag("--force", "-f", help="Those that do not exist are fine"),),
)
VERB_PRUNE = Verb(
    name="network prune",
    summary="Remove all networks that no running container is on",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag("--filter", kind="texts", metavar="NAME=VALUE", help="Remove only what fits (until, label, label!)"),
        Flag("--force", "-f", help="Don't ask"),
    ),
)
VERB_CONNECT = Verb(
    name="network connect",
    summary="Connect a container to a network",
    usage="[OPTIONS] NETWORK CONTAINER",
    words=(2, 2),
    needs_store=True,
    flags=(
        Flag("--alias", kind="texts", metavar="NAME", help="Another name of the container there"),
        Flag("--ip", kind="text", metavar="IP", help="Its address"),
        Flag("--mac-address", kind="text", metavar="MAC", help="Its link-layer address"),
        *(Flag(name, kind="texts", hidden=True) for name in ("--driver-opt", "--ip6", "--link", "--link-local-ip")),
        Flag("--gw-priority", kind="integer", hidden=True),
    ),
)
VERB_DISCONNECT = Verb(
    name="network disconnect",
    summary="Disconnect a container from a network",
    usage="[OPTIONS] NETWORK CONTAINER",
    words=(2, 2),
    needs_store=True,
    flags=(Flag("--force", "-f", help="One that is not connected is fine"),),
)

_REFUSED = {
    "aux-address": "no address is kept free; give a smaller --ip-range",
    "config-from": "there are no configurations to copy",
    "config-only": "there are no configurations to copy",
    "driver-opt": "links have no options",
    "gw-priority": "the first network with a way out is the gateway",
    "ingress": "there is one host only",
    "ip6": "networks have IPv4 alone",
    "ipam-driver": "addresses are leased by pybuild itself",
    "ipam-opt": "addresses are leased by pybuild itself",
    "ipv6": "networks have IPv4 alone",
    "link": "containers of one network know each other's names; use --alias",
    "link-local-ip": "networks have IPv4 alone",
    "scope": "there is one host only",
}


def run_create(args: Arguments, context: Context) -> int:
    """Make a network and print its id."""
    from runtime.network.networks import Networks  # lazy: 12 ms

    _refuse(args, "aux-address config-from config-only ingress ipam-driver ipam-opt ipv6 scope")
    driver = args.text("driver") or "bridge"
    if driver in ("host", "null", "none"):
        raise UsageError(f'only one instance of "{driver.replace("none", "null")}" network is allowed')
    if driver != "bridge":
        raise NotFound(
            f"could not find plugin {driver} in v1 plugin registry: plugin not found", hint="there is: bridge"
        )
    values = {}
    for flag in ("subnet", "gateway", "ip-range"):
        texts = args.texts(flag)
        if len(texts) > 1:
            raise UsageError(f"--{flag} can be given once: a network has one subnet")
        values[flag] = texts[0] if texts else ""
    with Store.open(context) as store:
        network = Networks(store).create(
            args.words[0],
            subnet=values["subnet"],
            gateway=values["gateway"],
            ip_range=values["ip-range"],
            internal=args.switch("internal"),
            options=dict(_pair(text) for text in args.texts("opt")),
            labels=dict(_pair(text) for text in args.texts("label")),
        )
    context.stdout.write(f"{network.id}\n")
    return 0


def run_rm(args: Arguments, context: Context) -> int:
    """Remove each network and print the word it was named by."""
    from runtime.containers.records import Containers
    from runtime.network.networks import PREDEFINED, Networks  # lazy: 12 ms

    with Store.open(context) as store:
        Containers(store)  # sees to containers whose monitors were killed
        networks = Networks(store)

        def act(word: str) -> str:
            if word in PREDEFINED:
                raise UsageError(f"{word} is a pre-defined network and cannot be removed")
            try:
                networks.remove(networks.find(word))
            except NotFound:
                if args.switch("force"):
                    return ""
                raise
            return word

        return each(args.words, act, context)


def run_prune(args: Arguments, context: Context) -> int:
    """Remove the networks that are not in use."""
    from runtime.cli.networklist import network_test
    from runtime.containers.records import Containers
    from runtime.network.networks import Networks  # lazy: 12 ms

    if not confirmed(args, context, "This will remove all custom networks not used by at least one container."):
        return 0
    with Store.open(context) as store:
        Containers(store)
        networks = Networks(store)
        fits = network_test(store, args.texts("filter"), ("until", "label", "label!"))
        doomed = [network for network in networks.all() if fits(network) and not networks.members(network)]
        for network in doomed:
            networks.remove(network)
    if doomed:
        context.stdout.write("Deleted Networks:\n")
        context.stdout.writelines(f"{network.name}\n" for network in doomed)
        context.stdout.write("\n")
    return 0


def run_connect(args: Arguments, context: Context) -> int:
    """Connect a container, running or not."""
    from runtime.containers.membership import connect  # lazy: 20 ms
    from runtime.containers.records import Containers

    _refuse(args, "driver-opt gw-priority ip6 link link-local-ip")
    settings: EndpointSettings = {}
    if args.texts("alias"):
        settings["Aliases"] = list(args.texts("alias"))
    address, mac = args.text("ip"), args.text("mac-address")
    if address:
        settings["IPAddress"] = address
    if mac:
        settings["MacAddress"] = check_mac(mac)
    with Store.open(context) as store:
        containers = Containers(store)
        connect(containers, args.words[0], containers.find(args.words[1]), settings)
    return 0


def run_disconnect(args: Arguments, context: Context) -> int:
    """Disconnect a container, running or not."""
    from runtime.containers.membership import disconnect  # lazy: 20 ms
    from runtime.containers.records import Containers
    from runtime.errors import Conflict

    with Store.open(context) as store:
        containers = Containers(store)
        try:
            disconnect(containers, args.words[0], containers.find(args.words[1]))
        except (NotFound, Conflict):
            if not args.switch("force"):
                raise
    return 0


def _refuse(args: Arguments, names: str) -> None:
    for name in names.split():
        if args.given(name):
            raise UsageError(f"--{name} cannot be had: {_REFUSED[name]}")


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(f"invalid option or label '{text}': empty name")
    return name, value
