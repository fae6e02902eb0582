"""Declare the flags that `run` and `create` share: those that have an effect, and those that are refused."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag
from runtime.errors import UsageError

FLAGS = (
    Flag("--add-host", kind="texts", metavar="HOST:IP", help="Add a host name with its address (or host-gateway)"),
    Flag("--annotation", kind="texts", metavar="NAME=VALUE", help="Add an annotation to the runtime document"),
    Flag("--attach", "-a", kind="texts", metavar="STREAM", help="Attach to stdin, stdout or stderr alone"),
    Flag("--blkio-weight", kind="text", metavar="N", help="Weight of its block I/O, 10 to 1000"),
    Flag("--blkio-weight-device", kind="texts", metavar="DEVICE:N", help="The same for one device"),
    Flag("--cap-add", kind="texts", metavar="CAP", help="Add a capability, or ALL"),
    Flag("--cap-drop", kind="texts", metavar="CAP", help="Take a capability away, or ALL"),
    Flag("--cgroup-parent", kind="text", metavar="GROUP", help="Control group that its own is below"),
    Flag("--cgroupns", kind="text", metavar="MODE", help="Cgroup namespace: private or host"),
    Flag("--cidfile", kind="text", metavar="FILE", help="Write the container's id to a file"),
    Flag("--cpu-period", kind="integer", metavar="MICROSECONDS", help="Period of the CPU quota"),
    Flag("--cpu-quota", kind="integer", metavar="MICROSECONDS", help="CPU time in each period"),
    Flag("--cpu-rt-period", kind="integer", metavar="MICROSECONDS", help="Period of the limit of real-time CPU"),
    Flag("--cpu-rt-runtime", kind="integer", metavar="MICROSECONDS", help="Real-time CPU in each period"),
    Flag("--cpu-shares", "-c", kind="integer", metavar="N", help="CPU weight relative to other containers"),
    Flag("--cpus", kind="text", metavar="N", help="How many CPUs it may use, as 1.5"),
    Flag("--cpuset-cpus", kind="text", metavar="LIST", help="Which CPUs it may use, as 0-2,5"),
    Flag("--cpuset-mems", kind="text", metavar="LIST", help="Which memory nodes it may use"),
    Flag(
        "--device",
        kind="texts",
        metavar="HOST[:PATH][:rwm]",
        help="Give it a device, or one described as VENDOR/CLASS=NAME",
    ),
    Flag("--device-cgroup-rule", kind="texts", metavar="RULE", help="Let it use devices, as 'c 1:3 rwm'"),
    Flag("--device-read-bps", kind="texts", metavar="DEVICE:RATE", help="Bytes that it may read in a second"),
    Flag("--device-read-iops", kind="texts", metavar="DEVICE:N", help="Reads that it may do in a second"),
    Flag("--device-write-bps", kind="texts", metavar="DEVICE:RATE", help="Bytes that it may write in a second"),
    Flag("--device-write-iops", kind="texts", metavar="DEVICE:N", help="Writes that it may do in a second"),
    Flag("--dns", kind="texts", metavar="IP", help="Name server"),
    Flag("--dns-option", "--dns-opt", kind="texts", metavar="OPTION", help="Option of the resolver"),
    Flag("--dns-search", kind="texts", metavar="DOMAIN", help="Domain to search names in"),
    Flag("--domainname", kind="text", metavar="NAME", help="NIS domain name"),
    Flag("--entrypoint", kind="text", metavar="COMMAND", help="Replace the image's entrypoint"),
    Flag("--env", "-e", kind="texts", metavar="NAME[=VALUE]", help="Set a variable"),
    Flag("--env-file", kind="texts", metavar="FILE", help="Read variables from a file"),
    Flag("--expose", kind="texts", metavar="PORT", help="Note a port or a range of ports"),
    Flag("--gpus", kind="texts", metavar="GPUS", help="Give it GPUs: all, a number, or device=…"),
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
    Flag("--ip6", kind="text", metavar="IP", help="IPv6 address in a network of the user's"),
    Flag("--ipc", kind="text", metavar="MODE", help="IPC namespace: private, shareable, none, host or container:NAME"),
    Flag("--isolation", kind="text", metavar="NAME", help="default alone"),
    Flag("--label", "-l", kind="texts", metavar="NAME=VALUE", help="Set a label"),
    Flag("--label-file", kind="texts", metavar="FILE", help="Read labels from a file"),
    Flag("--link", kind="texts", metavar="NAME[:ALIAS]", help="Know another container by a name"),
    Flag("--link-local-ip", kind="texts", metavar="IP", help="A further address of its link, as 169.254.1.2"),
    Flag("--log-driver", kind="text", metavar="NAME", help="json-file, local or none"),
    Flag("--log-opt", kind="texts", metavar="NAME=VALUE", help="max-size, max-file, labels, env, tag…"),
    Flag("--mac-address", kind="text", metavar="MAC", help="Its link-layer address"),
    Flag("--memory", "-m", kind="text", metavar="SIZE", help="Limit of memory, as 512m"),
    Flag("--memory-reservation", kind="text", metavar="SIZE", help="Soft limit of memory"),
    Flag("--memory-swap", kind="text", metavar="SIZE", help="Limit of memory and swap together, -1 for no limit"),
    Flag("--memory-swappiness", kind="integer", metavar="N", help="How readily its memory is swapped, 0 to 100"),
    Flag("--mount", kind="texts", metavar="FIELDS", help="Mount: type=bind|volume|tmpfs|image,source=…,target=…"),
    Flag("--name", kind="text", metavar="NAME", help="Name of the container"),
    Flag("--network", "--net", kind="texts", metavar="NETWORK", help="bridge, none, host, container:NAME, or yours"),
    Flag("--network-alias", "--net-alias", kind="texts", metavar="NAME", help="Another name on its network"),
    Flag("--no-healthcheck", help="Do without the image's health check"),
    Flag("--oom-kill-disable", help="Let it wait for memory instead of being killed"),
    Flag("--oom-score-adj", kind="integer", metavar="N", help="Preference of the host's out-of-memory killer"),
    Flag("--pid", kind="text", metavar="MODE", help="PID namespace: host or container:NAME"),
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
    Flag("--runtime", kind="text", metavar="NAME", help="pybuild alone"),
    Flag(
        "--security-opt",
        kind="texts",
        metavar="OPTION",
        help="seccomp=FILE|unconfined, no-new-privileges, systempaths=unconfined",
    ),
    Flag("--shm-size", kind="text", metavar="SIZE", help="Size of /dev/shm"),
    Flag("--stop-signal", kind="text", metavar="SIGNAL", help="Signal that asks it to end"),
    Flag("--stop-timeout", kind="integer", metavar="SECONDS", help="Seconds before it is killed instead"),
    Flag("--sysctl", kind="texts", metavar="NAME=VALUE", help="Set a kernel parameter of its namespaces"),
    Flag("--tmpfs", kind="texts", metavar="PATH[:OPTIONS]", help="Mount a tmpfs"),
    Flag("--tty", "-t", help="Give it a terminal"),
    Flag("--ulimit", kind="texts", metavar="NAME=SOFT[:HARD]", help="Set a resource limit"),
    Flag("--user", "-u", kind="text", metavar="USER[:GROUP]", help="Run as this user"),
    Flag("--userns", kind="text", metavar="MODE", help="User namespace: host"),
    Flag("--uts", kind="text", metavar="MODE", help="UTS namespace: host"),
    Flag("--volume", "-v", kind="texts", metavar="[SOURCE:]TARGET[:ro]", help="Mount a host path or a volume"),
    Flag("--volume-driver", kind="text", metavar="NAME", help="local alone"),
    Flag("--volumes-from", kind="texts", metavar="CONTAINER[:ro]", help="Mount what another container has mounted"),
    Flag("--workdir", "-w", kind="text", metavar="DIR", help="Working directory"),
)

REFUSALS = {
    "kernel-memory": "Linux has given this limit up; --memory counts the kernel's memory as well",
    "storage-opt": "the root filesystem is a directory, whose size nothing limits",
    "use-api-socket": "there is no engine whose socket could be given to a container",
}
"""Flags of Docker's that cannot be in force, and why: they are refused, never ignored."""

REFUSED = (
    *(Flag(f"--{name}", kind="texts", hidden=True) for name in sorted(REFUSALS) if name != "use-api-socket"),
    Flag("--use-api-socket", hidden=True),
    Flag("--disable-content-trust", hidden=True),
)


def refuse_unsupported(args: Arguments) -> None:
    """Raise UsageError for a flag that would have no effect."""
    for name, reason in REFUSALS.items():
        if args.given(name) and (name != "use-api-socket" or args.switch(name)):
            raise UsageError(f"--{name} cannot be had: {reason}")
    if args.given("disable-content-trust") and not args.switch("disable-content-trust"):
        raise UsageError(
            "--disable-content-trust=false cannot be had: no notary is asked; NAME@sha256:… names one content alone"
        )
