"""Find out what a further command of a container is, from the container's files and settings: user, rights, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.containers.security import filter_of, read_security
from runtime.containers.users import find_identity
from runtime.containers.view import container_view
from runtime.oci.runtimespec import User, container_spec, resolve_capabilities

if TYPE_CHECKING:
    from runtime.containers.processfile import Process
    from runtime.containers.records import Container, Containers


def first_process(containers: Containers, container: Container, user: str, *, privileged: bool) -> Process:
    """Return it for a user, or the container's own. Raises NotFound for one that the container does not know."""
    config, host = container.config, container.host_config
    with container_view(containers, container) as view:
        identity = find_identity(view, user or config.get("User", ""), host.get("GroupAdd") or ())
    own = host.get("Privileged", False)
    security = read_security(host.get("SecurityOpt") or ())
    bounds = resolve_capabilities(add=host.get("CapAdd") or (), drop=host.get("CapDrop") or (), privileged=own)
    capabilities = resolve_capabilities(privileged=True) if privileged else bounds
    process = container_spec(
        args=("true",),
        user=User(uid=identity.uid, gid=identity.gid, groups=tuple(sorted({identity.gid, *identity.groups}))),
        capabilities=capabilities,
        no_new_privileges=security.no_new_privileges,
        rlimits=[(limit["Name"], limit["Soft"], limit["Hard"]) for limit in host.get("Ulimits") or ()],
        oom_score_adj=host.get("OomScoreAdj"),
    )["process"]
    if security.apparmor and not (privileged or own):
        process["apparmorProfile"] = security.apparmor
    return {
        "process": process,
        # As Docker's: more rights for one command leave the container's filter as it is.
        "seccomp": filter_of(containers.store.context, security, bounds, privileged=own),
        "home": identity.home,
    }
