"""Choose and word the helper that connects an unprivileged user's containers: pasta, else slirp4netns.

Both carry a container's connections over sockets of the user, on the host. The host's loopback stays closed to the
container. They need `/dev/net/tun`, which every user can open on usual machines.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from frozen import Frozen
from runtime.errors import NetworkError
from runtime.network.helpers import READY_FD

if TYPE_CHECKING:
    from runtime.context import Context
    from runtime.network.publish import Published

PASTA = "pasta"
SLIRP4NETNS = "slirp4netns"

_PACKAGES = {PASTA: "passt", SLIRP4NETNS: "slirp4netns"}
_TUN = "/dev/net/tun"
_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")

_PASTA_DNS = "169.254.1.1"
"""Link-local, so nobody's server: pasta answers there with the host's resolver, also one on the host's loopback."""

_SLIRP_DNS = "10.0.2.3"
"""Where slirp4netns answers by itself (slirp4netns(1))."""

SLIRP_ADDRESS = "10.0.2.100"
"""What slirp4netns gives the container."""

_SLIRP_MTU = 65520

_APART = ("--address", "169.254.77.2", "--netmask", "30", "--gateway", "169.254.77.1")
"""Link-local: no host's own network, and no bridge's."""


class Helper(Frozen):
    """A helper found on this machine: its mode, path, and the address at which it answers questions for names."""

    mode: str
    program: str
    dns: str

    def command(self, place: str, *, forward: bool, ports: Iterable[Published] = (), apart: bool = False) -> list[str]:
        """Give the command line; `place` is the file over which `attach` binds the container's network namespace.

        `ports` are those that pasta publishes. `apart`: the namespace has an address of its own. By default it has the
        host's under pasta, so that nothing in it can ask the host by that.

        `forward` says that the container asks `dns` for names. Only then is pasta told of it: of 2023 at least, it
        gives that address to all answers of the host's name server, also to those that the container asked itself.
        """
        if self.mode == PASTA:
            names = ["--dns-forward", self.dns] if forward else []
            return [
                self.program,
                "--config-net",
                "--quiet",
                "--no-map-gw",
                *(_APART if apart else ()),
                *_pasta_ports(list(ports)),
                *names,
                "--netns-only",
                "--netns",
                place,
            ]
        return [
            self.program,
            "--configure",
            f"--mtu={_SLIRP_MTU}",
            "--disable-host-loopback",
            f"--ready-fd={READY_FD}",
            "--netns-type=path",
            place,
            "tap0",
        ]


def _pasta_ports(published: list[Published]) -> list[str]:
    """Write which ports of the host pasta is to listen at (pasta(1), -t and -u). Raises NetworkError for SCTP."""
    words = []
    seen = {}
    for port in published:
        if port.protocol == "sctp":
            raise NetworkError(f"port {port.key} cannot be published: pasta has no SCTP")
        if port.address == "::" and (port.protocol, port.port) in seen:
            continue  # an entry without address stands for both versions
        address = "" if port.address in ("0.0.0.0", "::") else f"{port.address}/"
        seen[port.protocol, port.port] = True
        words += [f"-{port.protocol[0]}", f"{address}{port.port}:{port.container}"]
    for flag in ("-t", "-u"):
        if flag not in words:
            words += [flag, "none"]
    return [*words, "-T", "none", "-U", "none"]


def find(environ: Mapping[str, str], wanted: str | None = None) -> Helper:
    """Find the helper to use: `wanted` if one is named, else pasta, else slirp4netns.

    Raises NetworkError, with what to install or to do, where there is none or `/dev/net/tun` cannot be opened.
    """
    candidates = (wanted,) if wanted else (PASTA, SLIRP4NETNS)
    for mode in candidates:
        program = _which(mode, environ)
        if program is not None:
            _check_tun()
            return Helper(mode=mode, program=program, dns=_PASTA_DNS if mode == PASTA else _SLIRP_DNS)
    names = " or ".join(candidates)
    packages = " or ".join(_PACKAGES[mode] for mode in candidates)
    raise NetworkError(
        f"a network for an unprivileged user needs {names}, which is not installed",
        hint=f"install the package {packages}, or use --network none or --network host",
    )


def place(context: Context) -> str:
    """Name an empty file that is there, for a network namespace to be bound over in the helper's mount namespace.

    It lies in the run directory, below which AppArmor lets pasta open such files, or else with the locks.
    """
    path = context.layout.run / "netns"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except PermissionError:
        path = context.layout.locks / "netns"
        path.touch(mode=0o600)
    return str(path)


def _which(program: str, environ: Mapping[str, str]) -> str | None:
    places = [place for place in environ.get("PATH", "").split(":") if place.startswith("/")]
    for place in (*places, *_SYSTEM_PATH):
        path = f"{place}/{program}"
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def _check_tun() -> None:
    try:
        os.close(os.open(_TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise NetworkError(
            f"{_TUN} cannot be opened: {error.strerror}; a network for an unprivileged user needs it",
            hint=f"have an administrator `chmod 0666 {_TUN}`, or use --network none or --network host",
        ) from error
