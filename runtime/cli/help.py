"""Show help and complete words through typer, from the same declarations that the quick parser reads.

Imported for `--help`, for completion and for nothing else: building a typer application costs more than a cached build.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from runtime.cli.declare import GLOBAL_FLAGS, Flag, Verb
from runtime.cli.registry import GROUPS, Registry

_TYPES: dict[str, tuple[Any, Any]] = {
    "switch": (bool, False),
    "text": (str | None, None),
    "texts": (list[str] | None, None),
    "integer": (int | None, None),
    "optional": (str | None, None),
}
_SETTINGS = {"help_option_names": ["--help"], "ignore_unknown_options": True}


def application(registry: Registry) -> typer.Typer:
    """Return a typer application with every verb of `registry`; it helps and completes, and runs nothing."""
    app = typer.Typer(
        name="pybuild",
        help="Build container images and run them. No daemon, no root. Without a verb, pybuild builds.",
        add_completion=False,
        rich_markup_mode=None,
        context_settings=_SETTINGS,
    )
    groups: dict[str, typer.Typer] = {}
    for name in sorted(registry.table):
        verb, _ = registry.load(name)
        parent, _, child = name.partition(" ")
        if not child:
            _add(app, name, verb)
            continue
        if parent not in groups:
            groups[parent] = typer.Typer(name=parent, help=f"Verbs of {parent}", rich_markup_mode=None)
            app.add_typer(groups[parent])
        _add(groups[parent], child, verb)
    for parent, members in GROUPS.items():
        for child, name in members.items():
            if name in registry.table and f"{parent} {child}" not in registry.table:
                if parent not in groups:
                    groups[parent] = typer.Typer(name=parent, help=f"Verbs of {parent}", rich_markup_mode=None)
                    app.add_typer(groups[parent])
                _add(groups[parent], child, registry.load(name)[0])
    return app


def show_help(registry: Registry, name: str) -> str:
    """Return the help text of one verb, or of the whole program for an empty `name`."""
    import io  # both are part of the interpreter's start
    from contextlib import redirect_stdout

    text = io.StringIO()
    with redirect_stdout(text):
        if name in registry.table:
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            _add(alone, name.rpartition(" ")[2], registry.load(name)[0])
            alone(args=["--help"], prog_name=f"pybuild {name}", standalone_mode=False)
        else:
            application(registry)(args=[*name.split(), "--help"], prog_name="pybuild", standalone_mode=False)
    return text.getvalue()


def _add(app: typer.Typer, name: str, verb: Verb) -> None:
    own = {word for flag in verb.flags for word in flag.names}
    shared = [flag for flag in GLOBAL_FLAGS if not own.intersection(flag.names)]
    app.command(
        name,
        help=verb.summary,
        options_metavar=verb.usage,
        context_settings={"help_option_names": ["--help"] if "-h" in own else ["-h", "--help"]},
    )(_signature([*verb.flags, *shared]))


def _signature(flags: list[Flag]) -> Callable[..., None]:
    """Return a function whose signature says what typer needs to know of `flags`."""

    def command(**_values: object) -> None:
        return None

    parameters: list[inspect.Parameter] = []
    annotations: dict[str, Any] = {"return": None}
    for flag in flags:
        kind, default = _TYPES[flag.kind]
        metavar = None if flag.kind == "switch" else flag.metavar
        option = typer.Option(*flag.names, help=flag.help, metavar=metavar, hidden=flag.hidden, show_default=False)
        name = "flag_" + flag.name.replace("-", "_").replace(".", "_")
        annotations[name] = Annotated[kind, option]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotations[name])
        )
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = annotations
    return command
