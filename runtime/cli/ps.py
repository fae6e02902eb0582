"""`pybuild ps`: list containers."""

from __future__ import annotations

from collections.abc import Callable

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.formats import write_list
from runtime.cli.human import calendar_time, human_duration, since
from runtime.containers.records import Container, Containers
from runtime.context import Context
from runtime.errors import UsageError
from runtime.store import Store

VERB = Verb(
    name="ps",
    summary="List containers",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag("--all", "-a", help="Those that do not run as well"),
        Flag("--filter", "-f", kind="texts", metavar="NAME=VALUE", help="id, name, status, exited, ancestor, label"),
        Flag("--format", kind="text", metavar="FORMAT", help="table, json or a Go template"),
        Flag("--last", "-n", kind="integer", metavar="N", help="The N youngest, whether they run or not"),
        Flag("--latest", "-l", help="The youngest"),
        Flag("--no-trunc", help="Whole ids and commands"),
        Flag("--quiet", "-q", help="Ids alone"),
    ),
)

_TABLE = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
}
_LONGEST_COMMAND = 20
_SECOND = 1_000_000_000


def run(args: Arguments, context: Context) -> int:
    """Print the containers, the youngest first."""
    with Store.open(context) as store:
        containers = Containers(store)
        tests = [_test(text) for text in args.texts("filter")]
        shown = [
            (container, state)
            for container in containers.list()
            if all(test(container, state := containers.state(container)) for test in (*tests, _any))
        ]
        last = args.integer("last")
        count = 1 if args.switch("latest") else last if last is not None and last >= 0 else None
        if count is not None:
            shown = shown[:count]
        elif not args.switch("all") and not any(
            text.startswith(("status=", "exited=")) for text in args.texts("filter")
        ):
            shown = [(container, state) for container, state in shown if state == "running"]
        whole = args.switch("no-trunc")
        rows = [_row(container, state, context.now(), whole) for container, state in shown]
    if args.switch("quiet"):
        context.stdout.writelines(f"{row['ID']}\n" for row in rows)
    else:
        write_list(context, rows, form=args.text("format"), table=_TABLE, headers=_HEADERS)
    return 0


def _any(_container: Container, _state: str) -> bool:
    return True


def _test(text: str) -> Callable[[Container, str], bool]:
    """Read one `--filter`."""
    key, equals, value = text.partition("=")
    name, has_value, content = value.partition("=")
    tests: dict[str, Callable[[Container, str], bool]] = {
        "id": lambda container, _state: container.id.startswith(value),
        "name": lambda container, _state: value.removeprefix("/") in container.name,
        "status": lambda _container, state: state == value,
        "exited": lambda container, state: state == "exited" and str(container.exit_code) == value,
        "ancestor": lambda container, _state: value in (container.image, container.config.get("Image")),
        "label": lambda container, _state: (
            name in (labels := container.config.get("Labels") or {}) and (not has_value or labels[name] == content)
        ),
    }
    if not equals or key not in tests:
        raise UsageError(f"invalid filter '{text}'", hint=f"there are: {', '.join(tests)}, each with =VALUE")
    return tests[key]


def _row(container: Container, state: str, now: int, whole: bool) -> dict[str, object]:
    command = " ".join((container.path, *container.args))
    if not whole and len(command) > _LONGEST_COMMAND:
        command = command[: _LONGEST_COMMAND - 1] + "…"
    volumes = [mount for mount in container.mounts if mount.get("Type") == "volume"]
    names = [mount.get("Name") or mount.get("Source", "") for mount in container.mounts]
    return {
        "ID": container.id if whole else container.short_id,
        "Image": container.config.get("Image", ""),
        "Command": f'"{command}"',
        "CreatedAt": calendar_time(container.created),
        "RunningFor": since(container.created, now),
        "Status": _status(container, state, now),
        "State": state,
        "Ports": "",
        "Names": container.name,
        "Labels": ",".join(f"{name}={value}" for name, value in (container.config.get("Labels") or {}).items()),
        "Mounts": ",".join(names),
        "Networks": str(container.network.get("mode") or container.host_config.get("NetworkMode", "")),
        "LocalVolumes": str(len(volumes)),
    }


def _status(container: Container, state: str, now: int) -> str:
    if state == "running":
        return f"Up {human_duration((now - container.started) / _SECOND)}"
    if state == "exited":
        return f"Exited ({container.exit_code}) {since(container.finished, now)}"
    return "Created"
