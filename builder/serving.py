"""Run the services of one build beside its steps: started when the first step needs them, gone when the build ends.

They are containers on a network of their own, which the build's RUNs join, too; each is found there by its name.
Containers and network say whose they are: what a killed build left goes with the next command that looks at containers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from frozen import replace
from runtime.containers.condition import read_condition
from runtime.containers.records import Container, Containers
from runtime.errors import PybuildError
from runtime.store.leases import is_alive, own_name

if TYPE_CHECKING:
    from builder.reporter import Reporter, Vertex
    from builder.services import Service
    from runtime.containers.documents import Config, HostConfig
    from runtime.network.networks import Network
    from runtime.oci.platforms import Platform
    from runtime.oci.references import Reference
    from runtime.store import Store
    from runtime.store.images import Image

LABEL = "pybuild.build"
_TURN = 0.05
"""Seconds between two looks at a service that is not ready yet."""
_PATIENCE = 10.0
"""Seconds that a service may take to listen on a port which its image only mentions."""
_LISTENING = "0A"
_LINES = 20


def find_images(store: Store, reporter: Reporter, services: tuple[Service, ...]) -> tuple[Service, ...]:
    """Return the services with the ids of their images, which are fetched where they are missing."""
    from runtime.containers.images import find_image

    def found(service: Service, vertex: Vertex) -> Image:
        def fetch(reference: Reference, platform: Platform | None, /, *, named: bool) -> Image:
            from builder.pulling import PullProgress
            from runtime.registry.pull import pull
            from runtime.registry.session import Session  # lazy: 100 ms of HTTP

            with Session.open(store.context) as session:
                progress = PullProgress(vertex, store.context.now)
                return pull(store, reference, session, platform=platform, named=named, progress=progress).image

        return find_image(store, service.image, fetch)

    identified = []
    for service in services:
        with reporter.working(f"[service {service.name}] find {service.image}") as vertex:
            identified.append(replace(service, identity=found(service, vertex).id))
    return tuple(identified)


class Serving:
    """The services of one build; thread-safe, and a context manager that takes them away."""

    def __init__(self, store: Store, reporter: Reporter, services: tuple[Service, ...]) -> None:
        self._store = store
        self._reporter = reporter
        self._services = services
        self._lock = threading.Lock()
        self._network: Network | None = None
        self._made: dict[str, str] = {}
        self._error: PybuildError | None = None
        self._ready = False

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from runtime.containers.removal import dismiss
        from runtime.network.networks import Networks

        with self._lock:
            if self._network is None:
                return
            containers = Containers(self._store)
            try:
                for identity in self._made.values():
                    dismiss(containers, identity)
            finally:
                Networks(self._store).remove(self._network)
                self._network = None

    def network(self) -> str:
        """Return the name of the network on which the services are, all of them ready. Raises PybuildError."""
        with self._lock:
            if self._error is not None:
                raise self._error
            try:
                if not self._ready:
                    self._start()
            except PybuildError as error:
                self._error = error
                raise
            assert self._network is not None  # _start has made it
            return self._network.name

    def tell(self, output: Callable[[int, bytes], None]) -> None:
        """Write the last lines of each service: a step has failed, and they may say why."""
        if not self._ready:
            return
        containers = Containers(self._store)
        for name, identity in self._made.items():
            lines = _last_lines(containers, identity) or [b"(none)\n"]
            output(2, b"".join((f"--- the last lines of service {name}:\n".encode(), *lines)))

    def _start(self) -> None:
        from runtime.network.networks import Networks

        context = self._store.context
        containers = Containers(self._store)
        networks = Networks(self._store)
        for network in networks.all():  # of a build that was killed before it had a container
            owner = network.labels.get(LABEL)
            if owner and not is_alive(owner):
                with suppress(PybuildError):
                    networks.remove(network)
        owner = own_name(context)
        self._network = networks.create(f"build-{context.token(12)}", labels={LABEL: owner})
        for service in self._services:  # one after the other: each may need those before it
            with self._reporter.working(f"[service {service.name}] start {service.image}") as vertex:
                self._launch(containers, service, self._network.name, owner)
                self._wait(containers, service, vertex)
        self._ready = True

    def _launch(self, containers: Containers, service: Service, network: str, owner: str) -> None:
        from runtime.containers.create import create
        from runtime.containers.foreground import run_detached
        from runtime.containers.start import monitor_process

        config, host = _documents(service, network, owner)
        image = self._store.images.require(service.identity)
        try:
            with monitor_process() as monitor:
                name = f"{network}-{service.name}"
                container, alive = create(containers, image, config, host, name=name)
                self._made[service.name] = container.id
                run_detached(containers, container, image, alive, monitor)
        except PybuildError as error:
            raise PybuildError(f"service {service.name} ({service.image}): {error.message}", hint=error.hint) from error

    def _wait(self, containers: Containers, service: Service, vertex: Vertex) -> None:
        """Wait until a service is ready. Raises PybuildError where it ends, is not healthy, or takes too long."""
        context = self._store.context
        identity = self._made[service.name]
        began = context.now()
        while True:
            context.cancel.check()
            container = containers.get(identity)
            if container is None:
                raise PybuildError(f"service {service.name} ({service.image}) was removed by somebody")
            if not containers.is_running(container):
                containers.reconcile()
                ended = containers.get(identity) or container
                # Its monitor has left word of the end and may still see to the network: the row comes later.
                code = containers.last_word(ended).code if ended.state == "running" else ended.exit_code
                raise self._failed(containers, service, vertex, f"ended with status {code}")
            waited = (context.now() - began) / 1e9
            state = _state(containers, container, service)
            if state is None:
                return
            if state == "is unhealthy":
                raise self._failed(containers, service, vertex, state)
            mentioned = service.port is None and not read_condition(containers.directory(identity)).health
            if mentioned and waited > min(_PATIENCE, service.timeout):
                self._reporter.warn(f"service {service.name} {state}; the build goes on: say port= or give it a check")
                return
            if waited > service.timeout:
                raise self._failed(containers, service, vertex, f"{state} after {service.timeout:g} seconds")
            context.cancel.wait(_TURN)

    def _failed(self, containers: Containers, service: Service, vertex: Vertex, what: str) -> PybuildError:
        lines = _last_lines(containers, self._made[service.name])
        for line in lines:
            vertex.output(2, line)
        said = lines[-1].decode(errors="replace").strip() if lines else ""
        hint = f"its last line: {said}" if said else "it has said nothing"
        return PybuildError(f"service {service.name} ({service.image}) {what}", hint=hint)


def _documents(service: Service, network: str, owner: str) -> tuple[Config, HostConfig]:
    """Return what the container of a service is to be, and to have of the machine, as `create` takes them."""
    variables = {entry.partition("=")[0]: entry for entry in service.environment}
    config: Config = {
        "Hostname": service.name,
        "Image": service.image,
        "Env": list(variables.values()),
        "Cmd": list(service.command) or None,
        "Labels": {LABEL: owner},
    }
    host: HostConfig = {
        "NetworkMode": network,
        "Networks": {network: {"Aliases": [service.name]}},
        "ServiceOf": owner,
    }
    return config, host


def _state(containers: Containers, container: Container, service: Service) -> str | None:
    """Tell what is still missing, in words that follow a name; None of a service that is ready."""
    health = read_condition(containers.directory(container.id)).health
    if health and service.port is None:
        return {"healthy": None, "unhealthy": "is unhealthy"}.get(health, "is not healthy")
    exposed = [port.partition("/")[0] for port in container.config.get("ExposedPorts") or () if port.endswith("/tcp")]
    ports = [str(service.port)] if service.port is not None else exposed
    if not ports or _listens(container.pid, {int(port) for port in ports}):
        return None
    return f"does not listen on port {' or '.join(ports)}"


def _listens(pid: int, ports: set[int]) -> bool:
    """Tell whether somebody listens on one of the ports in a process's network (proc_net(5))."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError), open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) in ports:
                    return True
    return False


def _last_lines(containers: Containers, identity: str) -> list[bytes]:
    from runtime.containers.logs import LogReader

    with LogReader(containers.directory(identity) / "log") as reader:
        reader.skip_to_last(_LINES)
        text = b"".join(record.text for record in reader.read())
    return text.splitlines(keepends=True)
