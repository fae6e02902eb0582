"""`pybuild network create`, `rm`, `prune`, `connect` and `disconnect`."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.cli.arguments import Arguments
from runtime.cli.confirm import confirmed
from runtime.cli.declare import Flag, Verb
from runtime.cli.networkflags import check_mac
from runtime.cli.severally import each
from runtime.containers.announcing import announce_network
from runtime.context import Context
from runtime.errors import NetworkError, NotFound, UsageError
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
        Flag("--aux-address", kind="texts", metavar="NAME=IP", help="An address that no container gets"),
        Flag("--driver", "-d", kind="text", metavar="DRIVER", help="bridge"),
        Flag("--gateway", kind="texts", metavar="IP", help="Address of the bridge"),
        Flag("--internal", help="No way out, and none in"),
        Flag("--ip-range", kind="texts", metavar="SUBNET", help="Part of the subnet that containers get"),
        Flag("--ipam-driver", kind="text", metavar="DRIVER", help="default"),
        Flag("--ipam-opt", kind="texts", metavar="NAME=VALUE", help="Accepted and shown"),
        Flag("--ipv4", help="IPv4 addresses, as long as it is not false"),
        Flag("--ipv6", help="IPv6 addresses as well"),
        Flag("--label", kind="texts", metavar="NAME=VALUE", help="Set a label"),
        Flag(
            "--opt",
            "-o",
            kind="texts",
            metavar="NAME=VALUE",
            help="com.docker.network.driver.mtu, … or mtu, icc, bridge",
        ),
        Flag("--scope", kind="text", metavar="SCOPE", help="local"),
        Flag("--subnet", kind="texts", metavar="SUBNET", help="Its addresses, as 10.9.0.0/24 or fd00:9::/64"),
        Flag("--config-from", kind="text", hidden=True),
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
        Flag("--gw-priority", kind="integer", metavar="NUMBER", help="The highest is the container's way out"),
        Flag("--ip6", kind="text", metavar="IP", help="Its IPv6 address"),
        Flag("--link", kind="texts", metavar="NAME[:ALIAS]", help="What it calls another container of the network"),
        Flag("--driver-opt", kind="texts", metavar="NAME=VALUE", help="Options of the link: its name, sysctls"),
        Flag("--link-local-ip", kind="texts", metavar="IP", help="A further address of the link, as 169.254.1.2"),
    ),
)
VERB_DISCONNECT = Verb(
    name="network disconnect",
    summary="Disconnect a container from a network",
    usage="[OPTIONS] NETWORK CONTAINER",
    words=(2, 2),
    needs_store=True,
    flags=(Flag("--force", "-f", help="Accepted: nothing has to be forced"),),
)

_REFUSED = {
    "config-from": "there are no configurations to copy",
    "config-only": "there are no configurations to copy",
    "ingress": "an ingress network can only be a global scope network, and there is one host only",
}


def run_create(args: Arguments, context: Context) -> int:
    """Make a network and print its id."""
    from runtime.network.networks import Networks  # lazy: 12 ms
    from runtime.network.pools import Wishes

    for name, reason in _REFUSED.items():
        if args.given(name):
            raise NetworkError(f"--{name} cannot be had: {reason}")
    driver, ipam = args.text("driver") or "bridge", args.text("ipam-driver") or "default"
    if driver in ("host", "null"):
        raise NetworkError(f'only one instance of "{driver}" network is allowed')
    if driver != "bridge":
        raise NotFound(f'plugin "{driver}" not found', hint="there is: bridge")
    if ipam != "default":
        raise NotFound(f'plugin "{ipam}" not found', hint="there is: default; pybuild leases addresses itself")
    scope = args.text("scope") or "local"
    if scope not in ("local", "global"):
        raise NetworkError(f"cannot create a {scope} scoped network: there is one host only", hint="--scope local")
    wishes = Wishes(
        subnets=_listed(args, "subnet"),
        gateways=_listed(args, "gateway"),
        ranges=_listed(args, "ip-range"),
        aux=dict(_pair(text) for text in args.texts("aux-address")),
        ipv4=args.switch("ipv4") if args.given("ipv4") else True,
        ipv6=args.switch("ipv6"),
        options=dict(_pair(text) for text in args.texts("ipam-opt")),
    )
    with Store.open(context) as store:
        network = Networks(store).create(
            args.words[0],
            wishes=wishes,
            internal=args.switch("internal"),
            attachable=args.switch("attachable"),
            scope=scope,
            driver_options=dict(_pair(text) for text in args.texts("opt")),
            labels=dict(_pair(text) for text in args.texts("label")),
        )
        announce_network(store, "create", network.id, network.name)
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
                network = networks.find(word)
                networks.remove(network)
                announce_network(store, "destroy", network.id, network.name)
            except NotFound:
                if args.switch("force"):
                    return ""
                raise
            return word

        return each(args.words, act, context)


def run_prune(args: Arguments, context: Context) -> int:
    """Remove the networks that are not in use."""
    if not confirmed(args, context, "This will remove all custom networks not used by at least one container."):
        return 0
    with Store.open(context) as store:
        prune(store, args.texts("filter"))
    return 0


def prune(store: Store, filters: Sequence[str]) -> None:
    """Remove the networks that fit the filters and are not in use; prints their names."""
    from runtime.cli.networklist import network_test
    from runtime.containers.records import Containers
    from runtime.network.networks import Networks  # lazy: 12 ms

    Containers(store)
    networks = Networks(store)
    fits = network_test(store, filters, ("until", "label", "label!"))
    doomed = [network for network in networks.all() if fits(network) and not networks.members(network)]
    for network in doomed:
        networks.remove(network)
        announce_network(store, "destroy", network.id, network.name)
    if doomed:
        store.context.stdout.write("Deleted Networks:\n")
        store.context.stdout.writelines(f"{network.name}\n" for network in doomed)
        store.context.stdout.write("\n")


def run_connect(args: Arguments, context: Context) -> int:
    """Connect a container, running or not."""
    from runtime.containers.membership import connect  # lazy: 20 ms
    from runtime.containers.records import Containers

    settings: EndpointSettings = {}
    if args.texts("alias"):
        settings["Aliases"] = list(args.texts("alias"))
    address, mac = args.text("ip"), args.text("mac-address")
    if address:
        settings["IPAddress"] = address
    address6, priority = args.text("ip6"), args.integer("gw-priority")
    if address6:
        settings["IPv6Address"] = address6
    if mac:
        settings["MacAddress"] = check_mac(mac)
    if args.texts("driver-opt"):
        from runtime.network import endpointoptions

        settings["DriverOpts"] = endpointoptions.read(args.texts("driver-opt"))
    if args.texts("link-local-ip"):
        settings["LinkLocalIPs"] = list(args.texts("link-local-ip"))
    if args.texts("link"):
        settings["Links"] = list(args.texts("link"))
    if priority is not None:
        settings["GwPriority"] = priority
    with Store.open(context) as store:
        containers = Containers(store)
        connect(containers, args.words[0], containers.find(args.words[1]), settings)
    return 0


def run_disconnect(args: Arguments, context: Context) -> int:
    """Disconnect a container, running or not."""
    from runtime.containers.membership import disconnect  # lazy: 20 ms
    from runtime.containers.records import Containers

    with Store.open(context) as store:
        containers = Containers(store)
        disconnect(containers, args.words[0], containers.find(args.words[1]))
    return 0


def _listed(args: Arguments, name: str) -> list[str]:
    """Return the values of a flag that may also hold several, with commas between."""
    return [part for text in args.texts(name) for part in text.split(",")]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(f"invalid option or label '{text}': empty name")
    return name, value
