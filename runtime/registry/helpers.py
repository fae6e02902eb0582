"""Ask credential helper programs: `docker-credential-NAME get|store|erase`, secrets on their standard input alone.

The protocol is github.com/docker/docker-credential-helpers'.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from runtime.errors import DocumentError, RegistryError
from runtime.oci.fields import Reader, decode_object

if TYPE_CHECKING:
    from runtime.context import Context

_PATIENCE = 60
"""Seconds: a helper may ask the user to unlock a key ring."""
_NOT_FOUND = "credentials not found"


def get(context: Context, helper: str, server: str) -> tuple[str, str] | None:
    """Return user name and secret that `helper` keeps for `server`, None where it has none; raises RegistryError."""
    status, output = _call(context, helper, "get", server)
    if status != 0:
        if _NOT_FOUND in output.lower():
            return None
        raise _failed(helper, "get", "" if "{" in output else output)  # not what it would have answered
    try:
        reader = Reader(decode_object(output, "its answer"), "")
        found = reader.optional_text("Username") or "", reader.optional_text("Secret") or ""
    except DocumentError:  # whose cause shows what was read
        raise RegistryError(f"docker-credential-{helper} get: its answer is not understood") from None
    return found if any(found) else None


def store(context: Context, helper: str, server: str, username: str, secret: str) -> None:
    """Give a user name and secret to `helper`; raises RegistryError."""
    status, output = _call(
        context, helper, "store", json.dumps({"ServerURL": server, "Username": username, "Secret": secret})
    )
    if status != 0:
        raise _failed(helper, "store", output.replace(secret, "…") if secret else output)


def erase(context: Context, helper: str, server: str) -> bool:
    """Let `helper` forget; False where it had nothing."""
    if get(context, helper, server) is None:
        return False
    status, output = _call(context, helper, "erase", server)
    if status != 0 and _NOT_FOUND not in output.lower():
        raise _failed(helper, "erase", output)
    return status == 0


def _call(context: Context, helper: str, action: str, text: str) -> tuple[int, str]:
    program = f"docker-credential-{helper}"
    path = None if os.sep in helper else shutil.which(program, path=context.environ.get("PATH"))
    if path is None:
        raise RegistryError(
            f"the credential helper {program} is not installed", hint="install it, or take it out of config.json"
        )
    context.cancel.check()
    try:
        done = subprocess.run(
            [path, action],
            input=text.encode(),
            capture_output=True,
            env=dict(context.environ),
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = "it does not end" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        raise RegistryError(f"{program} {action}: {reason}") from None
    # Helpers say why they fail on standard output.
    output = done.stdout or done.stderr
    return done.returncode, output.decode(errors="replace").strip()


def _failed(helper: str, action: str, output: str) -> RegistryError:
    return RegistryError(f"docker-credential-{helper} {action}: {output[:200] or 'it failed'}")
