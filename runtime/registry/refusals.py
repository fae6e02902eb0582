"""Put a registry's refusals in the words that Docker's users know, with the host and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import RegistryError, RegistryMissing
from runtime.oci.digests import is_digest

if TYPE_CHECKING:
    from runtime.oci.references import Reference


def named(reference: Reference, target: str = "") -> str:
    """Write a repository with a tag or digest as people write it."""
    return reference.familiar_name + (f"@{target}" if ":" in target else f":{target}" if target else "")


def explained(
    error: RegistryError, reference: Reference, target: str, *, pushing: bool, deleting: bool = False
) -> RegistryError:
    """Return `error` in other words, or itself where it says enough.

    `target` is the tag or digest that was asked for, "" for the repository.
    """
    if isinstance(error, RegistryMissing):
        return error
    host = reference.domain
    if error.status in (401, 403) and "incorrect username" not in error.message:
        return _denied(error, reference, pushing=pushing)
    if deleting and error.status in (405, 501):
        return RegistryError(
            f"{host} does not allow to delete from {reference.familiar_name}", status=error.status, code="UNSUPPORTED"
        )
    if error.status != 404:
        return _about(error, reference)
    if error.code == "NAME_UNKNOWN" and not pushing:
        return RegistryMissing(
            f"repository {reference.familiar_name} not found: name unknown",
            status=404,
            code=error.code,
            hint=f"check the name; {host} may show it only to those who 'pybuild login {host}'",
        )
    if is_digest(target) and error.code == "BLOB_UNKNOWN":
        message = f"{reference.familiar_name}: blob unknown: {target} is not at {host}"
        return RegistryMissing(message, status=404, code=error.code, hint="the image is not whole there: push it again")
    if not target or error.code not in ("", "MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"):
        return RegistryMissing(error.message, status=404, code=error.code, hint=error.hint)
    return RegistryMissing(
        f"manifest for {named(reference, target)} not found: manifest unknown",
        status=404,
        code=error.code or "MANIFEST_UNKNOWN",
        hint=f"{host} knows no such {'digest' if ':' in target else 'tag'} of {reference.path}: check it",
    )


def _about(error: RegistryError, reference: Reference) -> RegistryError:
    """Say in an error's own message which repository it was about; its class stays."""
    name = reference.familiar_name
    if name not in error.message:
        error.message = f"{name}: {error.message}"
        error.args = (error.message, *error.args[1:])
    return error


def _denied(error: RegistryError, reference: Reference, *, pushing: bool) -> RegistryError:
    host, name = reference.domain, reference.familiar_name
    hint = f"run 'pybuild login {host}'; who has done so needs access to {reference.path} there"
    if pushing:
        message = f"denied: requested access to {name} is denied ({error.message})"
        return RegistryError(message, status=error.status, code=error.code or "DENIED", hint=hint)
    return RegistryMissing(
        f"pull access denied for {name}, repository does not exist or may require 'pybuild login' ({error.message})",
        status=error.status,
        code=error.code or "DENIED",
        hint=hint,
    )
