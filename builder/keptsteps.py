"""Keep a failed step as it was, so that somebody can look into its sandbox later: `build --on-failure keep`.

::

    ROOT/kept/ID/about.json     what it is, for lists
    ROOT/kept/ID/step.pickle    instruction, variables, options without any secret: what makes the sandbox again
    ROOT/kept/ID/upper          what the command had written
    ROOT/kept/ID/context-N      what the mount N had of the build context

ID is 12 hex digits. The trees that the step stands on and mounts are pinned by `kept:ID`.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from builder.interfaces import Given, Result
from frozen import Frozen, replace
from runtime.errors import NotFound, PybuildError
from runtime.oci.digests import ChainID, Digest
from runtime.store.leases import add_pins, drop_pins

if TYPE_CHECKING:
    from builder.interfaces import BuildContext
    from builder.options import BuildOptions
    from builder.steps.run import RunStep
    from grammar.instructions import Run
    from runtime.store.facade import Store
    from runtime.store.preparation import Preparation

_FORMAT = 1
_ID_LENGTH = 12


class KeptStep(Frozen):
    """A failed step that is kept; `created` is ns since the epoch, `line` that of its instruction."""

    id: str
    stage: str
    line: int
    statement: str
    exit_code: int
    created: int
    size: int
    path: Path


class _Saved(Frozen):
    """What makes the sandbox of a step again."""

    format: int
    instruction: Run
    options: BuildOptions
    parent: Result
    sources: Mapping[str, Result]
    variables: Mapping[str, str]
    proxies: Mapping[str, str]
    user: str
    working_directory: str
    shell: tuple[str, ...]
    platform: str
    contexts: Mapping[str, str]


class KeptLayer:
    """The upperdir of a kept step over the layers that it stood on; what is made there stays there."""

    def __init__(self, store: Store, parent: ChainID | None, directory: Path) -> None:
        from runtime.store.trees import remove_tree

        self.lowerdirs = () if parent is None else store.snapshots.stack(parent)
        self.upperdir = directory / "upper"
        self.workdir = directory / "work"
        # overlayfs refuses the work directory of a volatile mount: what that mount had written may not be on disk.
        remove_tree(self.workdir)
        self.workdir.mkdir(mode=0o700)

    def rootfs(self) -> dict[str, object]:
        """Describe the tree where nothing lies below it."""
        return {"path": os.fspath(self.upperdir)}


class _KeptContext:
    """The build context of a kept step: what its mounts had, and nothing else."""

    def __init__(self, directory: Path, contexts: Mapping[str, str]) -> None:
        self._directory = directory
        self._contexts = contexts

    def materialise(self, path: str, workspace: Path) -> tuple[Path, Digest]:
        """Give what a mount had; the step may write there, as it could before."""
        del workspace
        name = self._contexts.get(path)
        if name is None:
            raise PybuildError(f"{path} of the build context was not kept with the step")
        return next((self._directory / name).iterdir()), Digest("")


def keep(
    store: Store,
    step: RunStep,
    given: Given,
    preparation: Preparation,
    *,
    stage: str,
    line: int,
    statement: str,
    exit_code: int,
) -> str | None:
    """Keep a step that has just failed, and return its id; None where its tree cannot be kept.

    `preparation` loses its upperdir.
    """
    if not store.snapshots.overlay and given.parent.chain is not None:
        return None
    identifier = store.context.token(_ID_LENGTH)
    directory = store.layout.root / "kept" / identifier
    directory.mkdir(mode=0o700, parents=True)
    chains = [result.chain for result in (given.parent, *given.sources.values()) if result.chain is not None]
    add_pins(store.database, f"kept:{identifier}", "snapshot", *chains)
    os.rename(preparation.upperdir, directory / "upper")
    preparation.upperdir.mkdir(mode=0o700)
    contexts: dict[str, str] = {}
    for number, mount in enumerate(step.instruction.mounts):
        if mount.type == "bind" and mount.from_ is None and mount.source not in contexts:
            place = directory / f"context-{number}"
            place.mkdir(mode=0o700)
            given.build_context.materialise(mount.source, place)
            contexts[mount.source] = place.name
    saved = _Saved(
        format=_FORMAT,
        instruction=step.instruction,
        options=replace(step.options, secrets={}, ssh={}),
        parent=given.parent,
        sources=dict(given.sources),
        variables=dict(given.variables),
        proxies=dict(given.proxies),
        user=given.user,
        working_directory=given.working_directory,
        shell=tuple(given.shell),
        platform=given.platform,
        contexts=contexts,
    )
    (directory / "step.pickle").write_bytes(pickle.dumps(saved, protocol=pickle.HIGHEST_PROTOCOL))
    about = {
        "stage": stage,
        "line": line,
        "statement": statement,
        "exitCode": exit_code,
        "created": store.context.now(),
    }
    temporary = directory / "about.new"
    temporary.write_text(json.dumps(about))
    temporary.rename(directory / "about.json")
    return identifier


def kept_steps(store: Store, *, measured: bool = False) -> tuple[KeptStep, ...]:
    """List what is kept, the latest first; sizes are 0 unless `measured`."""
    from runtime.store.collect import disk_usage

    found = []
    try:
        paths = sorted((store.layout.root / "kept").iterdir())
    except FileNotFoundError:
        return ()
    for path in paths:
        with suppress(OSError, ValueError, KeyError):  # half made by one that was killed, or being removed
            about: dict[str, Any] = json.loads((path / "about.json").read_text())
            found.append(
                KeptStep(
                    id=path.name,
                    stage=about["stage"],
                    line=about["line"],
                    statement=about["statement"],
                    exit_code=about["exitCode"],
                    created=about["created"],
                    size=disk_usage([path]) if measured else 0,
                    path=path,
                )
            )
    return tuple(sorted(found, key=lambda step: step.created, reverse=True))


def find_kept(store: Store, identifier: str | None, place: str | None = None) -> KeptStep:
    """Find a kept step by the beginning of its id, the latest without; `place` is a stage's name or a line.

    Raises NotFound.
    """
    found = [step for step in kept_steps(store) if identifier is None or step.id.startswith(identifier)]
    if place is not None:
        found = [step for step in found if place in (step.stage, str(step.line))]
    if not found:
        what = (
            "no failed step is kept"
            if identifier is None
            else f"No such kept step: {identifier} {place or ''}".rstrip()
        )
        raise NotFound(what, hint="`pybuild debug ls` lists them; build with --on-failure keep")
    if identifier and len({step.id for step in found}) > 1:
        raise NotFound(f"{identifier} begins several ids", hint="write more digits")
    return found[0]


def remove_kept(store: Store, steps: Sequence[KeptStep]) -> None:
    """Delete kept steps and let go of the trees that they pinned."""
    from runtime.store.trees import remove_tree

    for step in steps:
        (step.path / "about.json").unlink(missing_ok=True)
        drop_pins(store.database, f"kept:{step.id}")
        remove_tree(step.path)


@contextmanager
def sandbox_of(store: Store, kept: KeptStep, options: BuildOptions) -> Iterator[dict[str, Any]]:
    """Give the sandbox request of a kept step, for the length of a `with` block; services that it had run meanwhile.

    `options` has the secrets and agents of today: those of the build were not kept. Raises PybuildError.
    """
    from builder.stepclient import StepServer
    from builder.steps.run import RunStep

    try:
        saved = pickle.loads((kept.path / "step.pickle").read_bytes())
    except (OSError, pickle.PickleError, EOFError, AttributeError, ImportError, TypeError) as error:
        raise PybuildError(
            f"step {kept.id} was kept by another version of pybuild", hint="build again with --on-failure keep"
        ) from error
    if not isinstance(saved, _Saved) or saved.format != _FORMAT:
        raise PybuildError(f"step {kept.id} was kept by another version of pybuild", hint="build it again")
    own = replace(saved.options, secrets=options.secrets, ssh=options.ssh)
    step = RunStep(instruction=saved.instruction, options=own, server=StepServer())
    layer = KeptLayer(store, saved.parent.chain, kept.path)
    with ExitStack() as stack:
        if own.services:
            from builder.reporter import Reporter  # lazy: hardly any build has services
            from builder.serving import Serving

            quiet = Reporter(lambda _event: None, store.context.now)
            step.server.serving = stack.enter_context(Serving(store, quiet, own.services))
        view = stack.enter_context(store.snapshots.view(saved.parent.chain))
        given = Given(
            context=store.context,
            store=store,
            build_context=cast("BuildContext", _KeptContext(kept.path, saved.contexts)),
            parent=saved.parent,
            view=view,
            sources=saved.sources,
            variables=saved.variables,
            proxies=saved.proxies,
            user=saved.user,
            working_directory=saved.working_directory,
            shell=saved.shell,
            platform=saved.platform,
            epoch=None,
            output=_nowhere,
        )
        with step.sandbox(given, cast("Preparation", layer)) as request:
            yield request


def _nowhere(_stream: int, _data: bytes) -> None:
    """Drop output: the command has the terminal itself."""
