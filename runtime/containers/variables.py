"""Say which variables the commands of a container get."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


def environment(containers: Containers, container: Container, home: str, *, tty: bool) -> list[str]:
    """Return the variables as a command gets them: Docker's own, then the record's, and HOME where it is not set.

    `tty`: whether the command has a terminal.
    """
    config = container.config
    variables = {"PATH": "", "HOSTNAME": config.get("Hostname", "")}
    if container.host_config.get("Links"):
        from runtime.containers import links  # lazy: hardly anybody links containers any more

        told = (entry.partition("=") for entry in links.variables(containers, container))
        variables |= {name: value for name, _, value in told}
    if tty:
        variables["TERM"] = "xterm"
    for entry in config.get("Env") or ():
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)  # `-e NAME` of a variable that is not set takes it away
    variables["HOME"] = variables.get("HOME") or home
    if not variables.get("PATH", "unset") and not any(entry.startswith("PATH=") for entry in config.get("Env") or ()):
        from runtime.oci.runtimespec import DEFAULT_PATH  # lazy: nearly every container has one of its own

        variables["PATH"] = DEFAULT_PATH
    return [f"{name}={value}" for name, value in variables.items()]
