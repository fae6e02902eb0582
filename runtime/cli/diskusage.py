"""`pybuild system df`: show what images, containers, volumes and the build cache take, in sum or one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.context import Context
from runtime.store import Store

if TYPE_CHECKING:
    from runtime.containers.records import Containers
    from runtime.oci.digests import ChainID
    from runtime.store.images import Image

VERB = Verb(
    name="system df",
    summary="Show what takes the space",
    needs_store=True,
    words=(0, 0),
    flags=(
        Flag("--format", kind="text", metavar="FORMAT", help="'table', 'json' or a Go template"),
        Flag("--verbose", "-v", help="Show each image, container and volume"),
    ),
)

_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_TABLE = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
_IMAGE_HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINER_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUME_HEADERS = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}


class Usage:
    """What the store holds, measured once."""

    def __init__(self, store: Store, containers: Containers) -> None:
        from runtime.containers.inspection import own_size
        from runtime.containers.volumes import Volumes
        from runtime.oci.digests import chain_ids

        self.images = store.images.list()
        self.sizes = {snapshot.chain_id: snapshot.own_size for snapshot in store.snapshots.list()}
        self.layers: dict[str, tuple[ChainID, ...]] = {
            image.id: chain_ids(image.config.diff_ids) for image in self.images
        }
        self.uses: dict[ChainID, int] = {}
        for chains in self.layers.values():
            for chain in chains:
                self.uses[chain] = self.uses.get(chain, 0) + 1
        self.containers = [(found, containers.state(found)) for found in containers.list()]
        self.counts: dict[str, int] = {}
        for found, _ in self.containers:
            self.counts[found.image] = self.counts.get(found.image, 0) + 1
        self.written = {found.id: own_size(containers, found) for found, _ in self.containers}
        volumes = Volumes(store)
        self.volumes = [
            (volume.name, len(volumes.users(volume.name)), volumes.size(volume.name)) for volume in volumes.list()
        ]
        self.cached, self.cache_size = _build_cache(store)

    def unique(self, image: Image) -> int:
        """Return the bytes of those layers that no other image has."""
        return sum(self.sizes.get(chain, 0) for chain in self.layers[image.id] if self.uses[chain] == 1)

    def summary(self) -> list[dict[str, object]]:
        """Return the four lines of the table."""
        used = {chain for image in self.images if image.id in self.counts for chain in self.layers[image.id]}
        mine = {chain: self.sizes.get(chain, 0) for chain in self.uses}
        total = sum(mine.values())
        active = sum(image.id in self.counts for image in self.images)
        running = [found.id for found, state in self.containers if state in ("running", "paused", "restarting")]
        written = sum(self.written.values())
        stopped = written - sum(self.written[identity] for identity in running)
        kept = sum(size for _, _, size in self.volumes)
        idle = sum(size for _, links, size in self.volumes if not links)
        linked = sum(links > 0 for _, links, _ in self.volumes)
        free = total - sum(size for chain, size in mine.items() if chain in used)
        return [
            _line("Images", len(self.images), active, total, free),
            _line("Containers", len(self.containers), len(running), written, stopped),
            _line("Local Volumes", len(self.volumes), linked, kept, idle),
            {**_line("Build Cache", self.cached, 0, self.cache_size, 0), "Reclaimable": _size(self.cache_size)},
        ]


def run(args: Arguments, context: Context) -> int:
    """Print a line for each kind of thing, or one for each thing."""
    from runtime.cli.formats import write_list  # lazy: not for the help
    from runtime.containers.records import Containers

    with Store.open(context) as store:
        containers = Containers(store)
        usage = Usage(store, containers)
        if args.switch("verbose"):
            _verbose(args, context, usage, containers)
        else:
            write_list(context, usage.summary(), form=args.text("format"), table=_TABLE, headers=_HEADERS)
    return 0


def _verbose(args: Arguments, context: Context, usage: Usage, containers: Containers) -> None:
    from runtime.cli import images, ps
    from runtime.cli.formats import write_list, write_text
    from runtime.cli.human import human_size
    from runtime.cli.templates import render, to_json

    image_rows = [
        {
            **images.row_of(context, *line, whole=False),
            "UniqueSize": _size(usage.unique(line[0])),
            "SharedSize": _size(line[0].size - usage.unique(line[0])),
            "Containers": str(usage.counts.get(line[0].id, 0)),
        }
        for image in usage.images
        for line in images.lines_of(image, [], False)
    ]
    known: dict[str, str | None] = {}
    container_rows = [
        {
            **ps.row_of(containers, found, state, False),
            "Image": ps.image_of(containers, found, known, False),
            "Size": human_size(usage.written[found.id]),
        }
        for found, state in usage.containers
    ]
    volume_rows = [{"Name": name, "Links": str(links), "Size": _size(size)} for name, links, size in usage.volumes]
    form = args.text("format")
    if form and form != "table":
        shown = [{name: value for name, value in row.items() if not callable(value)} for row in container_rows]
        document = {
            "Images": image_rows,
            "Containers": shown,
            "Volumes": volume_rows,
            "BuildCache": {"Count": usage.cached, "Size": _size(usage.cache_size)},
        }
        text = to_json(document) if form == "json" else render(form, document)
        write_text(context, text + "\n")
        return
    for title, rows, headers in (
        ("Images", image_rows, _IMAGE_HEADERS),
        ("\nContainers", container_rows, _CONTAINER_HEADERS),
        ("\nLocal Volumes", volume_rows, _VOLUME_HEADERS),
    ):
        context.stdout.write(f"{title} space usage:\n\n")
        table = "\t".join(f"{{{{.{name}}}}}" for name in headers)
        write_list(context, rows, form=None, table=table, headers=headers)
    context.stdout.write(f"\nBuild cache usage: {_size(usage.cache_size)} in {usage.cached} entries\n")


def _line(kind: str, count: int, active: int, size: int, free: int) -> dict[str, object]:
    return {
        "Active": str(active),
        "Reclaimable": f"{_size(free)} ({free * 100 // size}%)" if size else _size(free),
        "Size": _size(size),
        "TotalCount": str(count),
        "Type": kind,
    }


def _size(size: int) -> str:
    from runtime.cli.human import human_size  # lazy: not for the help

    return human_size(size, digits=4)


def _build_cache(store: Store) -> tuple[int, int]:
    """Count the cache's entries and what they alone hold; the layers that images hold as well are the images'."""
    row = store.database.one(
        """SELECT count(DISTINCT pins.owner), coalesce(sum(snapshots.own_size), 0) FROM pins
        LEFT JOIN snapshots ON snapshots.chain_id = pins.target
        WHERE pins.owner >= 'cache:' AND pins.owner < 'cache;'"""
    )
    return (int(row[0]), int(row[1])) if row else (0, 0)
