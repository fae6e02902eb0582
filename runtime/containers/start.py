"""Start a container's monitor: a small interpreter of its own, early, so that it loads while the rest is prepared."""

from __future__ import annotations

import _socket
import marshal
import os
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from runtime import interpreters
from runtime.containers import processfile, protocol
from runtime.errors import Conflict
from runtime.oci.shortsha import hex_sha256
from runtime.store.leases import boot_mark, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.documents import Config, HostConfig
    from runtime.containers.records import Container, Containers
    from runtime.network.plan import Plan
    from runtime.network.publish import Published, Reserved
    from runtime.store.images import Image

_CONTROL = 3


class MonitorProcess:
    """A monitor that waits for its plan: `pid`, and `control`, the connection to it."""

    def __init__(self, pid: int, control: _socket.socket, errors: int) -> None:
        self.pid = pid
        self.control = control
        self._errors = errors

    def last_words(self) -> str:
        """Return the last line that the monitor wrote to its standard error: a fault of ours, nothing after a kill."""
        lines = os.pread(self._errors, 1 << 16, 0).decode("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line), "")

    def start(self, plan: dict[str, object], fds: Sequence[int]) -> None:
        """Hand over what is to be run, with the descriptors that the monitor keeps. The answer is STARTED or FAILED."""
        data = memoryview(protocol.frame(protocol.START, marshal.dumps(plan)))
        with suppress(BrokenPipeError):  # a monitor that died already has no answer, and that is found by reading
            sent = self.control.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", fds))])
            while sent < len(data):
                sent += self.control.send(data[sent:])


@contextmanager
def monitor_process() -> Iterator[MonitorProcess]:
    """Start a monitor for the length of a block; one that got no plan ends with it, one that runs a container stays.

    It is in a session of its own, so that the terminal's signals do not reach it, with an empty environment.
    """
    ours, theirs = _socket.socketpair()
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    try:
        pid = os.posix_spawn(
            sys.executable,
            interpreters.command(f"from runtime.containers.monitor import main; main({_CONTROL})"),
            {},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), _CONTROL),
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, errors, 2),
            ],
            setsid=True,
            setsigmask=(),
        )
        theirs.close()
        yield MonitorProcess(pid, ours, errors)
    finally:
        for end in (ours, theirs):
            end.close()
        os.close(errors)


def start(
    containers: Containers,
    container: Container,
    image: Image,
    alive: int,
    monitor: MonitorProcess,
    *,
    attached: int = 0,
    window: tuple[int, int] | None = None,
) -> None:
    """Let a monitor run the container; its answer, STARTED or FAILED, is still to be read from `monitor.control`.

    `alive` is the descriptor that holds the container's lock; it is the monitor's afterwards and closed here, in every
    case. `attached` are the streams (protocol.IN, OUT, ERR) that come back over the connection.
    """
    from runtime.containers.bundle import make_request  # lazy: 4 ms
    from runtime.containers.lifecycle import DEFAULT_STOP_TIMEOUT, final_signals, stop_signal
    from runtime.containers.policies import health_plan, log_limits, restart_policy
    from runtime.containers.reaper import command
    from runtime.network.plan import plan as plan_network
    from runtime.sandbox import family

    context = containers.store.context
    config, host = container.config, container.host_config
    with ExitStack() as stack:
        stack.callback(os.close, alive)
        directory = os.open(containers.directory(container.id), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        stack.callback(os.close, directory)
        mode = host.get("NetworkMode") or "bridge"
        shared = _shared_network(containers, mode) if mode.startswith("container:") else None
        if shared is not None:
            _take_names(containers, container, shared.config)
        network = stack.enter_context(
            plan_network(
                context,
                containers.store,
                mode if shared is None else "none",
                owner=f"container:{container.id}",
                hostname=host_names(config),
                add_hosts=host.get("ExtraHosts") or (),
                dns=host.get("Dns") or (),
                dns_search=host.get("DnsSearch") or (),
                dns_options=host.get("DnsOptions") or (),
                endpoints=host.get("Networks") if shared is None else None,
                reserved=_reserve_ports(containers, container, stack),
                ipv6=has_ipv6(host),
            )
        )
        if host.get("Links"):
            from runtime.containers import links  # lazy: hardly anybody links containers any more

            links.dress(containers, container, network)
        request = make_request(containers, container, image, network, window, shared=shared)
        plan: dict[str, object] = {
            "request": request,
            "network": network.document,
            "tty": config.get("Tty", False),
            "stdin": config.get("OpenStdin", False),
            "stdin_once": config.get("StdinOnce", False),
            "attached": attached,
            "restart": restart_policy(host),
            "log": log_limits(host),
            "health": health_plan(containers, container),
            "stop_signal": int(stop_signal(container)),
            "final_signals": [int(number) for number in final_signals(container)],
            "stop_timeout": config.get("StopTimeout", DEFAULT_STOP_TIMEOUT),
            "auto_remove": container.auto_remove,
            "remover": command(context, container.id),
        }
        context.cancel.check()
        containers.forget_end(container)
        processfile.write(containers.directory(container.id), request)
        name = f"{monitor.pid}-{start_time(monitor.pid)}-{boot_mark()}"
        facts = {**_facts(network), "hostname": config.get("Hostname", "")}
        containers.handed_over(container, name, facts, attached=bool(attached))
        if container.started and mode == "bridge":  # before that nobody can have linked it
            from runtime.containers import links

            links.refresh(containers, container, network.address)
        descriptors = [alive, directory]
        if network.users_fd is not None:
            descriptors += [network.users_fd, *network.sockets]
        family.add(context, monitor.pid)
        monitor.start(plan, descriptors)
        network.follow(monitor.pid)


def host_names(config: Config) -> str:
    """Return the names of a container as its hosts file has them: the full one first."""
    name, domain = config.get("Hostname", ""), config.get("Domainname", "")
    full = f"{name}.{domain}" if domain else name
    short, dot, _ = full.partition(".")
    return f"{full} {short}" if dot else full


def has_ipv6(host: HostConfig) -> bool:
    """Tell whether a container leaves IPv6 switched on."""
    return (host.get("Sysctls") or {}).get("net.ipv6.conf.all.disable_ipv6") != "1"


def _shared_network(containers: Containers, mode: str) -> Container:
    """Return the running container whose network is to be shared. Raises NotFound, Conflict where it does not run."""
    other = containers.find(mode.partition(":")[2])
    if not containers.is_running(other):
        raise Conflict(
            f"cannot join network namespace of a non running container: container {other.name} is"
            f" {containers.state(other)}",
            hint=f"pybuild start {other.name}",
        )
    return other


def _take_names(containers: Containers, container: Container, other: Config) -> None:
    """Record that a container is called as the one whose network it shares, as its files say, too."""
    names = {field: other.get(field, "") for field in ("Hostname", "Domainname")}
    if any(container.config.get(field, "") != name for field, name in names.items()):
        import json  # lazy: only where a network is shared

        container.config.update(names)  # type: ignore[typeddict-item]  # both are texts of a Config
        with containers.database.write() as connection:
            connection.execute(
                "UPDATE containers SET config = ? WHERE id = ?", (json.dumps(container.config), container.id)
            )


def _reserve_ports(containers: Containers, container: Container, stack: ExitStack) -> Reserved | None:
    """Hold the host's ports that the container publishes, until the block ends or the monitor has them."""
    config, host = container.config, container.host_config
    if not (host.get("PortBindings") or host.get("PublishAllPorts")):
        return None
    from runtime.containers.records import network_names
    from runtime.network import options, publish  # lazy: 8 ms that a container without ports does without

    mode = host.get("NetworkMode") or "bridge"
    if mode == "host":
        containers.store.context.stderr.write(
            "pybuild: WARNING: published ports are discarded in the host's network: they are the host's already\n"
        )
    joined = network_names(container)
    if mode == "host" or "none" in joined or not joined or mode.startswith("container:"):
        return None  # as Docker does
    asked = _way_options(containers, container)
    bindings = publish.wanted(
        host.get("PortBindings") or {},
        config.get("ExposedPorts") or (),
        every=host.get("PublishAllPorts", False),
        address=options.host_binding(asked),
    )
    held: dict[tuple[str, int], str] = {}
    for other in containers.list():
        if containers.is_running(other):
            ports = other.network.get("ports") or {}
            assert isinstance(ports, dict)  # as _facts writes it
            held |= {(port.protocol, port.port): other.name for port in publish.read_documents(ports)}
    routed = [version for version in (4, 6) if options.gateway_mode(asked, version) == options.ROUTED]
    reserved = publish.reserve(bindings, held, routed)
    stack.callback(reserved.close)
    return reserved


def _way_options(containers: Containers, container: Container) -> dict[str, str]:
    """Return the driver's options of the network that is going to be the way out of a container."""
    from runtime.containers.records import network_names
    from runtime.network.plan import MODES

    joined = network_names(container)
    if all(name in MODES for name in joined):
        return {}
    from runtime.network.networks import Networks
    from runtime.network.ways import way_out

    networks, asked = Networks(containers.store), container.host_config.get("Networks") or {}
    known = {name: networks.find(name) for name in joined if name not in MODES}
    open_ones = {
        name: {"gateway": "yes", "priority": asked.get(name, {}).get("GwPriority", 0)}
        for name in joined
        if name not in known or not known[name].internal
    }
    way = known.get(way_out(open_ones))
    return way.options if way else {}


def _facts(network: Plan) -> dict[str, object]:
    """Return what `inspect` shows of a container's network, and what its resolv.conf was (membership)."""
    return {
        "resolver": hex_sha256(network.resolv_conf.encode("utf-8", "surrogateescape")),
        "mode": network.mode,
        "address": network.address,
        "gateway": network.gateway,
        "prefix": network.prefix,
        "mac": network.mac,
        "networks": network.endpoints,
        "ports": _ports(network.ports),
        **({"held": _ports(network.held)} if network.held else {}),
    }


def _ports(ports: tuple[Published, ...]) -> dict[str, list[dict[str, str]]]:
    if not ports:
        return {}
    from runtime.network.publish import documents  # lazy: loaded already where there are ports

    return documents(ports)
