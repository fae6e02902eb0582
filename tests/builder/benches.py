"""Build images in this process, without a command line: what the tests of the builder stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builder.bases import Bases
from builder.cachetransfer.wishes import CacheWish, open_shared, with_inline, write_caches
from builder.context import open_context, read_ignore_file
from builder.explanation import Explained
from builder.exporters.export import Exported, export
from builder.exporters.outputs import Output
from builder.failures import SourceText
from builder.graphcache import load_graph
from builder.options import BuildOptions
from builder.plan import make_plan
from builder.progress.events import Event, StepCached, StepFinished, StepOutput, StepStarted, Warned
from builder.reporter import Reporter
from builder.solver import Solver
from builder.stepclient import StepServer
from frozen import replace
from runtime.context import Context
from runtime.oci.references import parse_reference
from runtime.store import Store


@dataclass
class Built:
    """What one build did: its image, and what it said."""

    id: str
    config: dict[str, Any]
    executed: int
    events: list[Event]
    started_server: bool
    explained: tuple[Explained, ...] = ()

    @property
    def ran(self) -> list[str]:
        """The steps that worked, without their counts."""
        names = [event.name for event in self.events if isinstance(event, StepStarted)]
        return [
            name.partition("] ")[2] for name in names if not name.startswith(("[internal]", "exporting", "importing"))
        ]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]

    @property
    def cached(self) -> list[str]:
        names = [event.name for event in self.events if isinstance(event, StepCached)]
        return [name.partition("] ")[2] for name in names if "FROM" not in name]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, StepStarted) and event.reason]

    @property
    def output(self) -> str:
        data = b"".join(event.data for event in self.events if isinstance(event, StepOutput))
        return data.decode(errors="replace")

    @property
    def history(self) -> list[str]:
        return [entry["created_by"] for entry in self.config["history"] if "created_by" in entry]


@dataclass
class Bench:
    """A root and a context directory; `build` builds text against them."""

    context: Context
    directory: Path
    events: list[Event] = field(default_factory=list)

    def write(self, files: Mapping[str, str]) -> None:
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def build(
        self,
        text: str,
        *,
        names: tuple[str, ...] = (),
        target: str | None = None,
        build_args: Mapping[str, str] | None = None,
        options: BuildOptions | None = None,
        outputs: tuple[Output, ...] = (Output(type="image"),),
        now: int | None = None,
        platform: str = "linux/amd64",
        cache_from: tuple[CacheWish, ...] = (),
        cache_to: tuple[CacheWish, ...] = (),
    ) -> Built:
        context = self.context if now is None else replace(self.context, now=lambda: now)
        wishes = options or BuildOptions()
        events: list[Event] = []
        self.events = events
        with ExitStack() as stack:
            store = stack.enter_context(Store.open(context))
            server = stack.enter_context(StepServer())
            graph = load_graph(
                context,
                text,
                target=target,
                build_args=build_args or {},
                platform=platform,
                host="linux/amd64",
            )
            found = read_ignore_file(self.directory, None)
            opened = stack.enter_context(open_context(store, self.directory, None if found is None else found[1]))
            values = [secret.value for secret in wishes.secrets.values()]
            reporter = Reporter(events.append, context.now, values)
            plan = make_plan(graph, Bases(store, reporter), opened, wishes, server)
            source = SourceText(name="Dockerfile", text=text)
            shared = open_shared(store, cache_from, reporter, stack)
            solver = Solver(plan, store, opened, wishes, reporter, source=source, shared=shared)
            built = with_inline([solver.solve()], [solver], store, cache_to)
            write_caches(built, [solver], store, cache_to, reporter, shared)
            references = tuple(parse_reference(name) for name in names)
            exported: Exported = export(built, store, wishes, reporter, outputs=outputs, names=references)
            config = json.loads(store.blobs.read(exported.id, 1 << 20)) if store.blobs.has(exported.id) else {}
            return Built(
                id=exported.id,
                config=config,
                executed=built[0].executed,
                events=events,
                started_server=server.started,
                explained=solver.explained,
            )

    def failures(self) -> list[str]:
        return [event.error for event in self.events if isinstance(event, StepFinished) and event.error]
