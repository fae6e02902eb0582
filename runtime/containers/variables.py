"""Say which variables the commands of a container get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.oci.runtimespec import DEFAULT_PATH

if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


def environment(containers: Containers, container: Container, home: str) -> list[str]:
    """Return the variables as the command gets them: Docker's own, then the record's, HOME where nobody set it."""
    config = container.config
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": config.get("Hostname", "")}
    if container.host_config.get("Links"):
        from runtime.containers import links  # lazy: hardly anybody links containers any more

        told = (entry.partition("=") for entry in links.variables(containers, container))
        variables |= {name: value for name, _, value in told}
    if config.get("Tty"):
        variables["TERM"] = "xterm"
    for entry in config.get("Env") or ():
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)  # `-e NAME` of a variable that is not set takes it away
    variables.setdefault("HOME", home)
    return [f"{name}={value}" for name, value in variables.items()]
