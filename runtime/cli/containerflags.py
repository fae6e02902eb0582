"""Declare the flags that `run` and `create` share: those that have an effect, and those that are refused."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag
from runtime.errors import UsageError

FLAGS = (
    Flag("--add-host", kind="texts", metavar="HOST:IP", help="Add a host name with its address (or host-gateway)"),
    Flag("--annotation", kind="texts", metavar="NAME=VALUE", help="Add an annotation to the runtime document"),
    Flag("--attach", "-a", kind="texts", metavar="STREAM", help="Attach to stdin, stdout or stderr alone"),
    Flag("--cap-add", kind="texts", metavar="CAP", help="Add a capability, or ALL"),
    Flag("--cap-drop", kind="texts", metavar="CAP", help="Take a capability away, or ALL"),
    Flag("--cidfile", kind="text", metavar="FILE", help="Write the container's id to a file"),
    Flag("--cpu-period", kind="integer", metavar="MICROSECONDS", help="Period of the CPU quota"),
    Flag("--cpu-quota", kind="integer", metavar="MICROSECONDS", help="CPU time in each period"),
    Flag("--cpu-shares", "-c", kind="integer", metavar="N", help="CPU weight relative to other containers"),
    Flag("--cpus", kind="text", metavar="N", help="How many CPUs it may use, as 1.5"),
    Flag("--cpuset-cpus", kind="text", metavar="LIST", help="Which CPUs it may use, as 0-2,5"),
    Flag("--cpuset-mems", kind="text", metavar="LIST", help="Which memory nodes it may use"),
    Flag("--detach-keys", kind="text", metavar="KEYS", help="Keys that detach from it, as ctrl-p,ctrl-q"),
    Flag("--dns", kind="texts", metavar="IP", help="Name server"),
    Flag("--dns-option", "--dns-opt", kind="texts", metavar="OPTION", help="Option of the resolver"),
    Flag("--dns-search", kind="texts", metavar="DOMAIN", help="Domain to search names in"),
    Flag("--domainname", kind="text", metavar="NAME", help="NIS domain name"),
    Flag("--entrypoint", kind="text", metavar="COMMAND", help="Replace the image's entrypoint"),
    Flag("--env", "-e", kind="texts", metavar="NAME[=VALUE]", help="Set a variable"),
    Flag("--env-file", kind="texts", metavar="FILE", help="Read variables from a file"),
    Flag("--expose", kind="texts", metavar="PORT", help="Note a port or a range of ports"),
    Flag("--group-add", kind="texts", metavar="GROUP", help="Add a supplementary group"),
    Flag("--health-cmd", kind="text", metavar="COMMAND", help="Command that tells whether it is healthy"),
    Flag("--health-interval", kind="text", metavar="TIME", help="Time between two checks (30s)"),
    Flag("--health-retries", kind="integer", metavar="N", help="Failures in a row that make it unhealthy (3)"),
    Flag("--health-start-interval", kind="text", metavar="TIME", help="Time between checks in the start period (5s)"),
    Flag("--health-start-period", kind="text", metavar="TIME", help="Time in which failures do not count"),
    Flag("--health-timeout", kind="text", metavar="TIME", help="Longest time of a check (30s)"),
    Flag("--hostname", "-h", kind="text", metavar="NAME", help="Host name"),
    Flag("--init", help="Run an init that passes signals on and collects orphans"),
    Flag("--interactive", "-i", help="Keep standard input open"),
    Flag("--ip", kind="text", metavar="IP", help="Its address on a network of your own"),
    Flag("--ipc", kind="text", metavar="MODE", help="IPC namespace: private or host"),
    Flag("--label", "-l", kind="texts", metavar="NAME=VALUE", help="Set a label"),
    Flag("--label-file", kind="texts", metavar="FILE", help="Read labels from a file"),
    Flag("--log-driver", kind="text", metavar="NAME", help="json-file, local or none"),
    Flag("--log-opt", kind="texts", metavar="NAME=VALUE", help="max-size, max-file, labels or env"),
    Flag("--mac-address", kind="text", metavar="MAC", help="Its link-layer address"),
    Flag("--memory", "-m", kind="text", metavar="SIZE", help="Limit of memory, as 512m"),
    Flag("--memory-reservation", kind="text", metavar="SIZE", help="Soft limit of memory"),
    Flag("--memory-swap", kind="text", metavar="SIZE", help="Limit of memory and swap together, -1 for no limit"),
    Flag("--mount", kind="texts", metavar="FIELDS", help="Mount: type=bind|volume|tmpfs,source=…,target=…"),
    Flag("--name", kind="text", metavar="NAME", help="Name of the container"),
    Flag("--network", "--net", kind="texts", metavar="NETWORK", help="bridge, none, host, container:NAME, or yours"),
    Flag("--network-alias", "--net-alias", kind="texts", metavar="NAME", help="Another name on its network"),
    Flag("--no-healthcheck", help="Do without the image's health check"),
    Flag("--oom-score-adj", kind="integer", metavar="N", help="Preference of the host's out-of-memory killer"),
    Flag("--pid", kind="text", metavar="MODE", help="PID namespace: private or host"),
    Flag("--pids-limit", kind="integer", metavar="N", help="Limit of processes, -1 for none"),
    Flag("--platform", kind="text", metavar="OS/ARCH", help="Platform that the image must have"),
    Flag("--privileged", help="Give it every capability and device"),
    Flag("--publish", "-p", kind="texts", metavar="[[IP:]PORT:]PORT", help="Publish a port, or a range, on the host"),
    Flag("--publish-all", "-P", help="Publish all exposed ports at any port of the host"),
    Flag("--pull", kind="text", metavar="POLICY", help="When to ask a registry: missing, always, newer or never"),
    Flag("--quiet", "-q", help="Do not show progress of a pull"),
    Flag("--read-only", help="Mount the root filesystem read-only"),
    Flag("--restart", kind="text", metavar="POLICY", help="no, on-failure[:N], always or unless-stopped"),
    Flag("--rm", help="Remove the container and its anonymous volumes when it ends"),
    Flag("--security-opt", kind="texts", metavar="OPTION", help="seccomp=unconfined, no-new-privileges"),
    Flag("--shm-size", kind="text", metavar="SIZE", help="Size of /dev/shm"),
    Flag("--stop-signal", kind="text", metavar="SIGNAL", help="Signal that asks it to end"),
    Flag("--stop-timeout", kind="integer", metavar="SECONDS", help="Seconds before it is killed instead"),
    Flag("--sysctl", kind="texts", metavar="NAME=VALUE", help="Set a kernel parameter of its namespaces"),
    Flag("--tmpfs", kind="texts", metavar="PATH[:OPTIONS]", help="Mount a tmpfs"),
    Flag("--tty", "-t", help="Give it a terminal"),
    Flag("--ulimit", kind="texts", metavar="NAME=SOFT[:HARD]", help="Set a resource limit"),
    Flag("--user", "-u", kind="text", metavar="USER[:GROUP]", help="Run as this user"),
    Flag("--userns", kind="text", metavar="MODE", help="User namespace: host"),
    Flag("--uts", kind="text", metavar="MODE", help="UTS namespace: private or host"),
    Flag("--volume", "-v", kind="texts", metavar="[SOURCE:]TARGET[:ro]", help="Mount a host path or a volume"),
    Flag("--workdir", "-w", kind="text", metavar="DIR", help="Working directory"),
)

_NOT_YET = {
    "blkio-weight": "block I/O weights are not set",
    "cgroup-parent": "the place of its cgroup is fixed",
    "cgroupns": "its cgroup namespace is private",
    "device": "host devices are not passed on",
    "device-cgroup-rule": "host devices are not passed on",
    "gpus": "host devices are not passed on",
    "ip6": "networks have IPv4 alone",
    "link": "containers of one network of your own know each other by name",
    "memory-swappiness": "swappiness is the machine's",
    "runtime": "the sandbox is pybuild's own",
    "storage-opt": "sizes of root filesystems are not limited",
    "volume-driver": "volumes are directories of the root",
    "volumes-from": "name each volume with -v",
}
"""Flags of Docker's that cannot be in force, and why: they are refused, never ignored."""

REFUSED = (
    *(Flag(f"--{name}", kind="texts", hidden=True) for name in sorted(_NOT_YET)),
    Flag("--oom-kill-disable", hidden=True),
)


def refuse_unsupported(args: Arguments) -> None:
    """Raise UsageError for a flag that would have no effect."""
    for name, reason in _NOT_YET.items():
        if args.given(name):
            raise UsageError(f"--{name} cannot be had: {reason}")
    if args.switch("oom-kill-disable"):
        raise UsageError("--oom-kill-disable cannot be had: version 2 of control groups has no such switch")
