"""Compile the default system call filter to BPF, once a machine, and keep it below the root."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.context import Context


def compiled(context: Context, capabilities: Collection[str]) -> Path:
    """Give the host path of the BPF program of the default profile for a process bounded by `capabilities` ("CAP_…").

    Compiles and stores it under ROOT/seccomp at the first use of this set of capabilities, architecture and version
    of libseccomp; later calls import nothing. Raises SandboxError where libseccomp is not installed.
    """
    raise NotImplementedError
