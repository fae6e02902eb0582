"""Turn a request into a process: fork it into its namespaces, watch it become the command, wait for it.

Standard library alone, and usable under `python -I -S`: what is imported here is in memory before the first
sandbox starts, because a child can import nothing once it has left the host's root.

A request is a dict that JSON can hold::

    spec       an OCI runtime-spec document (runtime.oci.runtimespec.container_spec makes it)
    rootfs     {"lowerdirs": [topmost first], "upperdir": str | None, "workdir": str | None, "volatile": bool}
               or {"path": str}, a directory that is bound as it is
    seccomp    host path of a compiled BPF program | None
    cgroup     "pybuild-KEY-ID" | None: made by `launch` with the limits of spec.linux.resources, removed by `wait`
    init       bool: a small init is PID 1 and the command its child
    window     [rows, columns] | absent: size of the terminal, where spec.process.terminal is true
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class LaunchFailure(Exception):
    """The command was not started; everything that was made for it is gone again.

    `step` is what was being done ("mount", "exec", "rlimit", …), `errno` the kernel's answer (0 if there is none), `path`
    the thing it was done to, `exit_code` what a container that failed so exits with: 127 command not found, 126 not
    executable, 125 everything else. `str()` is one sentence for a user.
    """

    def __init__(self, step: str, errno: int, path: str, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.errno = errno
        self.path = path
        self.exit_code = exit_code


class Child:
    """A started command; owned by the process that launched it, its parent.

    `pid` is seen from the caller; `pidfd` polls readable when it has ended; `terminal` is the master end of its
    pseudo-terminal (the caller closes it) or None. `mountpoints` are the paths, absolute in the rootfs and in order of
    creation, of files and directories that did not exist there and were made to mount on: a build removes them again.
    """

    def __init__(self, pid: int, pidfd: int, terminal: "int | None", mountpoints: "tuple[str, ...]") -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.terminal = terminal
        self.mountpoints = mountpoints


def launch(
    request: "dict[str, Any]",
    stdio: "tuple[int, int, int]",
    *,
    attach: "Callable[[int], None] | None" = None,
) -> Child:
    """Start what `request` describes and return once the command itself runs (its execve has succeeded).

    `stdio` are the descriptors that become 0, 1 and 2 of the command (they stay open here and are the caller's; where
    spec.process.terminal is true they are not used). `attach(pid)` is called in the calling process when the
    namespaces exist and before the command starts: networks are connected there; what it raises ends the launch,
    undoes it, and is raised here. The caller has one thread; it may be the superuser or uid 0 of a user namespace.
    Raises LaunchFailure; SIGKILLs the command when the calling process dies.
    """
    raise NotImplementedError


def wait(child: Child) -> int:
    """Wait for the end of `child`, free what belonged to it (pidfd, cgroup), return its status; 128+n for signal n."""
    raise NotImplementedError
