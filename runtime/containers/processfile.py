"""Keep what a container's first process is, besides its words: a further command of its user is that as well.

The file `process` holds it as JSON while the container runs; so `exec` need not look into images and their files.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any, TypedDict

    class Process(TypedDict):
        """`process` is that of a runtime-spec document, `seccomp` the path of its filter, `home` a directory."""

        process: dict[str, Any]
        seccomp: str | None
        home: str


def write(directory: Path, request: Mapping[str, Any]) -> None:
    """Keep what a launcher's request says of the process."""
    process = request["spec"]["process"]
    home = next((entry[5:] for entry in process["env"] if entry.startswith("HOME=")), "/")
    kept = {name: value for name, value in process.items() if name not in ("args", "env", "cwd", "terminal")}
    found: Process = {"process": kept, "seccomp": request.get("seccomp"), "home": home}
    (directory / "process").write_text(json.dumps(found), encoding="utf-8")


def read(directory: Path) -> Process | None:
    """Return what was kept; None where there is nothing of use."""
    try:
        with open(directory / "process", encoding="utf-8") as file:
            found: Process = json.load(file)
        return found
    except (OSError, ValueError):
        return None
