"""`pybuild events`: show what happened to containers, images, volumes and networks, and what happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import one_line
from runtime.context import Context
from runtime.errors import UsageError

VERB = Verb(
    name="events",
    summary="Show what happens",
    words=(0, 0),
    needs_store=True,
    flags=(
        Flag("--filter", "-f", kind="texts", metavar="NAME=VALUE", help="container, event, image, label, type, volume"),
        Flag("--format", kind="text", metavar="FORMAT", help="'json' or a Go template"),
        Flag("--since", kind="text", metavar="TIME", help="Begin at a time, as 2024-01-02T03:04:05Z or 10m"),
        Flag("--until", kind="text", metavar="TIME", help="End at a time, as 2024-01-02T03:04:05Z or 10m"),
    ),
)

_INTERVAL = 0.1
_KNOWN = ("container", "daemon", "event", "image", "label", "network", "scope", "type", "volume")

Event = Mapping[str, object]


def run(args: Arguments, context: Context) -> int:
    """Print the events between two times; without `--until` go on until interrupted."""
    from runtime.containers.filters import split_filters
    from runtime.containers.records import Containers
    from runtime.oci.moments import parse_moment
    from runtime.store import Store

    now = context.now()
    since = parse_moment(args.text("since") or "", now, "since") if args.text("since") else None
    until = parse_moment(args.text("until") or "", now, "until") if args.text("until") else None
    if since is not None and until is not None and since > until:
        raise UsageError(f"`since` time ({args.text('since')}) cannot be after `until` time ({args.text('until')})")
    fits = _fits(split_filters(args.texts("filter"), _KNOWN))
    show = _shower(args.text("format"))
    with Store.open(context) as store:
        containers = Containers(store)
        last = 0
        if since is None:
            row = store.database.one("SELECT max(number) FROM events")
            last = int(row[0] or 0) if row is not None else 0
        while True:
            rows = store.database.read("SELECT * FROM events WHERE number > ? ORDER BY number", last)
            for row in sorted(rows, key=lambda row: (int(row["time"]), int(row["number"]))):
                last = max(last, int(row["number"]))
                moment = int(row["time"])
                event = _document(row["type"], row["action"], row["actor"], json.loads(row["attributes"]), moment)
                if (since is None or moment >= since) and (until is None or moment <= until) and fits(event):
                    context.stdout.write(show(event) + "\n")
            context.stdout.flush()
            if until is not None and context.now() > until:
                return 0
            with store.idle():
                time.sleep(_INTERVAL)
            containers.reconcile()


def _document(kind: str, action: str, actor: str, attributes: dict[str, str], moment: int) -> dict[str, object]:
    """Return an event as the Engine API has it."""
    document: dict[str, object] = {}
    if kind == "container":
        document |= {"status": action, "id": actor, "from": attributes.get("image", "")}
    return document | {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": actor, "Attributes": dict(sorted(attributes.items()))},
        "scope": "local",
        "time": moment // 1_000_000_000,
        "timeNano": moment,
    }


def _shower(form: str | None) -> Callable[[Event], str]:
    if form == "json":
        from runtime.cli.templates import to_json

        return lambda event: to_json(dict(event))
    if form:
        from runtime.cli.templates import Template

        template = Template(form)
        # Go's names, `Status` or `TimeNano`, are the API's but for the case of their letters.
        return lambda event: one_line(template.render({"status": "", "id": "", "from": "", **event}))
    return _line


def _line(event: Event) -> str:
    moment = event["timeNano"]
    actor = event["Actor"]
    assert isinstance(moment, int)
    assert isinstance(actor, dict)  # both as _document makes them
    seconds, fraction = divmod(moment, 1_000_000_000)
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{fraction:09}{zone[:3]}:{zone[3:]}".replace("+00:00", "Z")
    told = ", ".join(f"{name}={value}" for name, value in sorted(actor["Attributes"].items()))
    return one_line(f"{stamp} {event['Type']} {event['Action']} {actor['ID']} ({told})")


def _fits(given: Mapping[str, list[str]]) -> Callable[[Event], bool]:
    from runtime.containers.filters import label_fits, pattern

    def one(event: Event, name: str, value: str) -> bool:
        actor = event["Actor"]
        assert isinstance(actor, dict)  # as _document makes it
        attributes = actor["Attributes"]
        match name:
            case "event":
                return event["Action"] == value or str(event["Action"]).partition(":")[0] == value
            case "type":
                return event["Type"] == value
            case "label":
                return label_fits(attributes, value)
            case "scope":
                return value == "local"
            case "daemon":
                return False
            case "image":
                own = event["Type"] == "image"
                named = (actor["ID"], attributes.get("name")) if own else (attributes.get("image"),)
                return value in named or any(text and text.rpartition(":")[0] == value for text in named)
        known = actor["ID"] if event["Type"] == name else str(attributes.get(name, ""))
        names = (known, attributes.get("name", "") if event["Type"] == name else "")
        # As Docker does: a part of the name is enough, and may be a pattern.
        return bool(value) and any(text and (text == value or pattern(value).search(text)) for text in names)

    return lambda event: all(any(one(event, name, value) for value in values) for name, values in given.items())
