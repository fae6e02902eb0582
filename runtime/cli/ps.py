"""`pybuild ps`: list containers."""

from __future__ import annotations

from runtime.cli.arguments import Arguments
from runtime.cli.clientwishes import wished_format
from runtime.cli.declare import Flag, Verb
from runtime.cli.formats import write_list
from runtime.cli.human import calendar_time, human_duration, human_size, since
from runtime.cli.output import quoted
from runtime.containers.condition import read_condition
from runtime.containers.records import Container, Containers, network_names
from runtime.context import Context
from runtime.store import Store

VERB = Verb(
    name="ps",
    summary="List containers",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag("--all", "-a", help="Those that do not run as well"),
        Flag("--filter", "-f", kind="texts", metavar="NAME=VALUE", help="id, name, status, exited, ancestor, label, …"),
        Flag("--format", kind="text", metavar="FORMAT", help="table, json or a Go template"),
        Flag("--last", "-n", kind="integer", metavar="N", help="The N youngest, whether they run or not"),
        Flag("--latest", "-l", help="The youngest"),
        Flag("--no-trunc", help="Whole ids and commands"),
        Flag("--quiet", "-q", help="Ids alone"),
        Flag("--size", "-s", help="How much each has on disk"),
    ),
)

_TABLE = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
_HEADERS: dict[str, object] = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Label": str,
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Platform": "PLATFORM",
    "Size": "SIZE",
}
_LONGEST_COMMAND = 20
_LONGEST_MOUNT = 15
_SECOND = 1_000_000_000


def run(args: Arguments, context: Context) -> int:
    """Print the containers, the youngest first."""
    texts = args.texts("filter")
    form = wished_format(args, context, "psFormat")
    sizes = args.switch("size") or (form is not None and any(word in form for word in (".Size", "json .}}")))
    with Store.open(context) as store:
        containers = Containers(store)
        last = args.integer("last")
        count = 1 if args.switch("latest") else last if last is not None and last > 0 else None
        everything = args.switch("all") or any(text.startswith(("status=", "exited=")) for text in texts)
        found = containers.list(running=count is None and not everything)
        shown = [(container, containers.state(container)) for container in found]
        if texts:
            from runtime.containers.filters import container_filter  # lazy: only where asked for

            fits = container_filter(containers, texts)
            shown = [(container, state) for container, state in shown if fits(container, state)]
        if count is not None:
            shown = shown[:count]
        elif not everything:
            shown = [(container, state) for container, state in shown if state in ("running", "paused", "restarting")]
        whole = args.switch("no-trunc")
        known: dict[str, str | None] = {}  # names of images, and which each one is now
        rows = [
            {**row_of(containers, container, state, whole), "Image": image_of(containers, container, known, whole)}
            for container, state in shown
        ]
        if whole:
            from runtime.containers import links  # lazy: only where all names are wanted

            further = links.names(containers)
            for row, (container, _) in zip(rows, shown, strict=True):
                row["Names"] = ",".join((container.name, *further.get(container.id, ())))
        if sizes:
            for row, (container, _) in zip(rows, shown, strict=True):
                row["Size"] = _size(containers, container)
    if args.switch("quiet"):
        context.stdout.writelines(f"{row['ID']}\n" for row in rows)
    else:
        table = _TABLE + ("\t{{.Size}}" if args.switch("size") else "")
        write_list(context, rows, form=form, table=table, headers=_HEADERS)
    return 0


def row_of(containers: Containers, container: Container, state: str, whole: bool) -> dict[str, object]:
    """Return the fields of a container's line but for its image."""
    now = containers.store.context.now()
    words = (f"'{word}'" if " " in word else word for word in container.args)
    command = " ".join((container.path, *words))
    if not whole and len(command) > _LONGEST_COMMAND:
        command = command[: _LONGEST_COMMAND - 1] + "…"
    labels = container.config.get("Labels") or {}
    volumes = [mount for mount in container.mounts if mount.get("Type") == "volume"]
    names = [mount.get("Name") or mount.get("Source", "") for mount in container.mounts]
    if not whole:
        names = [name if len(name) <= _LONGEST_MOUNT else name[: _LONGEST_MOUNT - 1] + "…" for name in names]
    return {
        "ID": container.id if whole else container.short_id,
        "Command": quoted(command),
        "CreatedAt": calendar_time(container.created),
        "RunningFor": since(container.created, now),
        "Status": _status(containers, container, state, now),
        "State": state,
        "Ports": _ports(container, state),
        "Names": container.name,
        "Label": lambda name: labels.get(name, ""),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "Mounts": ",".join(names),
        "Networks": ",".join(network_names(container)),
        "LocalVolumes": str(len(volumes)),
        "Platform": None,
        "Size": "0B",
    }


def image_of(containers: Containers, container: Container, known: dict[str, str | None], whole: bool) -> str:
    """Return the image as it was named, or its id where that name has become another's or nobody's.

    A digest is left out unless the `whole` name is wanted.
    """
    name = container.config.get("Image", "")
    if name not in known:
        found = containers.store.images.resolve(name)
        known[name] = None if found is None else found.id
    if known[name] == container.image:
        return name if whole else name.partition("@")[0]
    number = str(container.image)
    return number if whole else number.partition(":")[2][:12]


def _ports(container: Container, state: str) -> str:
    """List published and exposed ports, as `0.0.0.0:8080->80/tcp, 443/tcp`."""
    if state not in ("running", "paused"):
        return ""
    from runtime.cli.portwords import summary  # lazy: only for what runs
    from runtime.containers.inspection import all_ports

    return summary(all_ports(container))


def _size(containers: Containers, container: Container) -> str:
    from runtime.containers.inspection import size_of  # lazy: only where asked for

    own, whole = size_of(containers, container)
    return f"{human_size(own)} (virtual {human_size(whole)})"


def _status(containers: Containers, container: Container, state: str, now: int) -> str:
    if state in ("running", "paused"):
        up = f"Up {human_duration((now - container.started) / _SECOND)}"
        if state == "paused":
            return f"{up} (Paused)"
        health = read_condition(containers.directory(container.id)).health
        if health:
            return f"{up} (health: starting)" if health == "starting" else f"{up} ({health})"
        return up
    if state == "restarting":
        return f"Restarting ({container.exit_code}) {since(container.finished or container.created, now)}"
    if state == "exited":
        return f"Exited ({container.exit_code}) {since(container.finished, now)}"
    return "Created"
