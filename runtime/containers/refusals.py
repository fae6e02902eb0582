"""Say why a container cannot be acted on in the state that it is in."""

from __future__ import annotations

from runtime.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.containers.records import Container, Containers


def not_running(container: Container) -> Conflict:
    """Return the error of an act that needs a running container."""
    return Conflict(f"container {container.id} is not running", hint=f"pybuild start {container.name}")


def refuse_restarting(containers: Containers, container: Container) -> None:
    """Raise Conflict for a container that waits until it is started again."""
    if containers.state(container) == "restarting":
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running",
            hint=f"`pybuild logs {container.name}` shows why it ends",
        )
