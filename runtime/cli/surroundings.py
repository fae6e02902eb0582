"""Make the `Context` of one run from flags and environment: where the root lies, who we are, whether we may connect."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from runtime.cli.arguments import Arguments
from runtime.context import Context, Layout
from runtime.oci.shortsha import hex_sha256

_RUN = "/run/pybuild"


def make_context(arguments: Arguments, before: Arguments, environ: Mapping[str, str]) -> Context:
    """Return the context for one run; `before` holds the global flags that stood in front of the verb."""

    def last(name: str) -> str | None:
        return arguments.text(name) if arguments.given(name) else before.text(name)

    def either(name: str) -> bool:
        return (arguments.switch(name) if arguments.given(name) else False) or before.switch(name)

    rootless = os.geteuid() != 0
    config = last("config") or environ.get("PYBUILD_CONFIG")
    return Context(
        layout=find_layout(last("root"), environ, rootless=rootless),
        environ=environ,
        rootless=rootless,
        offline=either("offline") or environ.get("PYBUILD_OFFLINE", "") in ("1", "true"),
        debug=either("debug"),
        config_file=Path(config) if config else None,
    )


def find_layout(root: str | None, environ: Mapping[str, str], *, rootless: bool) -> Layout:
    """Resolve `--root`, `$PYBUILD_ROOT` and the defaults to the directories of one root; nothing is made."""
    if root is None:
        root = environ.get("PYBUILD_ROOT") or None
    if root is None and rootless:
        data = environ.get("XDG_DATA_HOME") or os.path.join(environ.get("HOME") or "/", ".local", "share")
        root = os.path.join(data, "pybuild")
    path = os.path.realpath(root or "/var/lib/pybuild")
    key = hex_sha256(os.fsencode(path))[:10]
    runtime_directory = environ.get("XDG_RUNTIME_DIR")
    if not rootless and _can_write(_RUN):
        run = f"{_RUN}/{key}"
    elif rootless and runtime_directory and os.access(runtime_directory, os.W_OK):
        run = os.path.join(runtime_directory, "pybuild", key)
    else:
        run = os.path.join(path, "run")
    return Layout(root=Path(path), run=Path(run), key=key)


def _can_write(path: str) -> bool:
    """Tell whether `path` can be written, or made: uid 0 of a user namespace is not the machine's."""
    return os.access(path if os.path.isdir(path) else os.path.dirname(path), os.W_OK)
