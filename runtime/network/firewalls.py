"""Open a way through firewalls that are not nftables tables of iptables-nft: firewalld, and iptables of the old kind.

Both are only talked to when a bridge is made or taken away, by the programs that come with them. Standard library
alone, and usable under `python -I -S`.
"""

from __future__ import annotations

import os

from runtime.network.nftables import NFPROTO_INET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.network.nftables import Nftables

_LEGACY_TABLES = "/proc/net/ip_tables_names"
_PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
_FIREWALLD_TABLE = "firewalld"


def open_ways(rules: Nftables, bridge: str, comment: str) -> None:
    """Let the firewalls of this machine forward what `bridge` sends and gets.

    firewalld: the bridge joins the zone `trusted` (until it is gone or firewalld restarts). iptables-legacy: two rules
    at the end of FORWARD, where its policy drops. Raises OSError with the words of the program that failed.
    """
    if rules.has_table(_FIREWALLD_TABLE, NFPROTO_INET):
        _must_run("firewall-cmd", "-q", "--zone=trusted", f"--change-interface={bridge}")
    if _legacy_drops():
        for rule in _legacy_rules(bridge, comment):
            _must_run("iptables-legacy", "-w", "-A", *rule)


def close_ways(rules: Nftables, bridge: str, comment: str) -> None:
    """Undo `open_ways` as far as something of it is there; failures are left to the next who tries."""
    if rules.has_table(_FIREWALLD_TABLE, NFPROTO_INET):
        _run("firewall-cmd", "-q", "--zone=trusted", f"--remove-interface={bridge}")
    if _legacy_drops():
        for rule in _legacy_rules(bridge, comment):
            _run("iptables-legacy", "-w", "-D", *rule)


def _legacy_drops() -> bool:
    """Tell whether iptables of the old kind has a FORWARD chain whose policy is DROP."""
    try:
        with open(_LEGACY_TABLES, "rb") as file:
            if b"filter" not in file.read().split():
                return False
    except OSError:
        return False
    found = _run("iptables-legacy", "-w", "-S", "FORWARD")
    return found is not None and found[0] == 0 and found[1].startswith("-P FORWARD DROP")


def _legacy_rules(bridge: str, comment: str) -> Iterator[tuple[str, ...]]:
    for direction in ("-i", "-o"):
        yield "FORWARD", direction, bridge, "-m", "comment", "--comment", comment, "-j", "ACCEPT"


def _must_run(program: str, *arguments: str) -> None:
    found = _run(program, *arguments)
    if found is None:
        raise OSError(f"{program} is needed to let the firewall pass the bridge, and is not installed")
    if found[0]:
        raise OSError(f"{program} {' '.join(arguments)}: {found[1].strip() or 'failed'}")


def _run(program: str, *arguments: str) -> tuple[int, str] | None:
    """Run a program of the system; returns its status and output, None where it is not installed."""
    path = next((found for place in _PATH if os.access(found := f"{place}/{program}", os.X_OK)), None)
    if path is None:
        return None
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        actions = [null, (os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
        environment = {"PATH": ":".join(_PATH), "LC_ALL": "C"}
        pid = os.posix_spawn(path, [program, *arguments], environment, file_actions=actions)
    finally:
        os.close(writer)
    with open(reader, "rb") as file:
        output = file.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), output.decode("utf-8", "replace")
