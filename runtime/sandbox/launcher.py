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
    device_rules  str | absent: what asked for rules of devices beyond the usual ones; without a device cgroup refused

Beyond the standard an entry of spec.mounts may be {"type": "layers", "destination", "options", "rootfs": as above,
"subpath": "/path"}: a stack of layers, or the part of one at `subpath`, mounted at a place other than the root; or
{"type": "foreign", "destination", "source", "namespace"}: what is mounted at `source` in another mount namespace, where
its "inode" is this one, and the mount "otherwise" where it cannot be had.

Launcher and child speak over one socket pair of whole messages: "placed" (cgroup and id map are done), "go" (so is the
caller's `attach`); back come "terminal" and "mounts" with a descriptor, "created" with paths, "failure", "ready"
just before execve, or the four bytes of an errno from the stub. The end of file after "ready" says that execve has
succeeded.
"""

from __future__ import annotations

import os
import time
from _socket import (
    AF_UNIX,
    CMSG_LEN,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SCM_RIGHTS,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from sys import byteorder

from runtime.sandbox import cgroups, child, rootfs
from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import LaunchFailure, decode, from_error, refused
from runtime.sandbox.program import exec_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Child", "LaunchFailure", "enter", "hold", "launch", "wait"]

# in this order namespaces are joined: the user's first, as it gives the right to the others
_NAMESPACES = {
    "user": sys.CLONE_NEWUSER,
    "pid": sys.CLONE_NEWPID,
    "ipc": sys.CLONE_NEWIPC,
    "uts": sys.CLONE_NEWUTS,
    "network": sys.CLONE_NEWNET,
    "cgroup": sys.CLONE_NEWCGROUP,
    "mount": sys.CLONE_NEWNS,
}

_END_SECONDS = 5.0

_PLACES = {
    "ipc": sys.CLONE_NEWIPC,
    "uts": sys.CLONE_NEWUTS,
    "net": sys.CLONE_NEWNET,
    "pid": sys.CLONE_NEWPID,
    "cgroup": sys.CLONE_NEWCGROUP,
}
"""What a further command of a container shares with its first beside the mounts, by the names of /proc/PID/ns."""


class Child:
    """A started command; owned by the process that launched it, its parent.

    `pid` is seen from the caller; `pidfd` polls readable when it has ended; `terminal` is the master end of its
    pseudo-terminal (the caller closes it) or None. `mountpoints` are the paths, absolute in the rootfs and in order of
    creation, of files and directories that did not exist there and were made to mount on: a build removes them again.
    `tree` holds the mount namespace of a container whose processes no pid namespace ends, -1 where one does: held, it
    tells them from all others, as its number is given to no other namespace meanwhile.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        terminal: int | None,
        mountpoints: tuple[str, ...],
        cgroup: cgroups.Cgroup | None = None,
        tree: int = -1,
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.terminal = terminal
        self.mountpoints = mountpoints
        self.cgroup = cgroup
        self.tree = tree


def launch(
    request: dict[str, Any],
    stdio: tuple[int, int, int],
    *,
    attach: Callable[[int], None] | None = None,
) -> Child:
    """Start what `request` describes and return once the command itself runs (its execve has succeeded).

    `stdio` are the descriptors that become 0, 1 and 2 of the command (they stay open here and are the caller's; where
    spec.process.terminal is true they are not used). `attach(pid)` is called in the calling process when the
    namespaces exist and before the command starts: networks are connected there; what it raises ends the launch,
    undoes it, and is raised here. The caller has one thread; it may be the superuser or uid 0 of a user namespace.
    Raises LaunchFailure; SIGKILLs the command when the calling process dies.
    """
    cgroup, limited = _cgroup(request)
    if request.get("device_rules") and not limited:
        if cgroup:
            cgroup.remove()
        raise refused("devices", f"{request['device_rules']}: rules of devices need a control group that keeps them")
    pid = 0
    opened: list[int] = []
    ours: socket | None = None
    try:
        new, joins = _namespaces(request["spec"], opened)
        filter_program = _read(request["seccomp"]) if request.get("seccomp") else b""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        setup = child.Setup(
            request, stdio, theirs, new=new, joins=joins, devices_limited=limited, filter_program=filter_program
        )
        pid = _fork(setup, ours)
        theirs.close()
        started = _supervise(setup, ours, pid, cgroup, attach)
    except BaseException:
        if pid:
            _destroy(pid)
        if cgroup:
            cgroup.remove()
        raise
    finally:
        for fd in opened:
            os.close(fd)
        if ours:
            ours.close()
    return started


def hold(request: dict[str, Any]) -> None:
    """Keep namespaces of other containers open that `request` names by path, for as long as this process lives.

    When the command is started again a process' number may be another's. What cannot be opened is left to `launch`.
    """
    spec = request["spec"]
    named = [(entry, "path") for entry in (spec.get("linux") or {}).get("namespaces") or () if entry.get("path")]
    named += [(entry, "namespace") for entry in spec.get("mounts") or () if entry.get("namespace")]
    for entry, key in named:
        try:
            fd = os.open(entry[key], os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        entry[key] = f"/proc/{os.getpid()}/fd/{fd}"


def enter(request: dict[str, Any], stdio: tuple[int, int, int], target: int, cgroup: cgroups.Cgroup | None) -> Child:
    """Start a further command in the namespaces of a container that runs; returns once its execve has succeeded.

    `target` is a pidfd of the container's first process, whose user namespace this process is in as well; `cgroup` is
    the container's, and stays. Of `request` spec.process, seccomp, init and window count. Raises as `launch` does.
    """
    pid = 0
    ours: socket | None = None
    try:
        filter_program = _read(request["seccomp"]) if request.get("seccomp") else b""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        joins = [(target, _others(target))]
        setup = child.Setup(
            request, stdio, theirs, new=0, joins=joins, devices_limited=True, filter_program=filter_program
        )
        before = sys.block_signals()
        try:
            pid = _fork_beside(setup, ours, target)
        except OSError as error:
            raise from_error("namespaces", error, "joining the container") from None
        finally:
            sys.unblock_signals(before)
        theirs.close()
        started = _supervise(setup, ours, pid, cgroup, None)
        started.cgroup = None  # the container's own; it does not end with this command
    except BaseException:
        if pid:
            _destroy(pid)
        raise
    finally:
        if ours:
            ours.close()
    return started


def _others(target: int) -> int:
    """Give the flags of those of a container's namespaces that are not this process's own: joining these needs a right
    that nobody has where they belong to the machine."""
    with open(f"/proc/self/fdinfo/{target}", "rb") as file:
        pid = int(next(line for line in file if line.startswith(b"Pid:")).split()[1])
    flags = sys.CLONE_NEWNS
    for name, flag in _PLACES.items():
        if os.readlink(f"/proc/self/ns/{name}") != os.readlink(f"/proc/{pid}/ns/{name}"):
            flags |= flag
    return flags


def _fork_beside(setup: child.Setup, ours: socket, target: int) -> int:
    """Fork the child of `enter`: a helper joins the pid namespace and forks the child as its own sibling."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    helper = sys.clone3(0)
    if helper == 0:
        try:
            sys.prctl(sys.PR_SET_DUMPABLE, 0)
            if setup.joins[0][1] & sys.CLONE_NEWPID:
                sys.setns(target, sys.CLONE_NEWPID)
            pid = sys.clone3(sys.CLONE_PARENT)
            if pid == 0:
                os.close(writer)
                ours.close()
                child.become(setup, entering=True)
            os.write(writer, str(pid).encode())
        except OSError as error:
            os.write(writer, f"-{error.errno}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = int(file.read() or b"-1")
    os.waitpid(helper, 0)
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))
    return answer


def wait(started: Child) -> int:
    """Wait for the end of the command, free what belonged to it (pidfd, cgroup); its status, 128+n for signal n."""
    _, status = os.waitpid(started.pid, 0)
    os.close(started.pidfd)
    if started.cgroup:
        started.cgroup.remove()
    if started.tree >= 0:
        end_all(started.tree)
        os.close(started.tree)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def end_all(tree: int) -> None:
    """Kill what is left in a mount namespace, until there is nothing: its processes may go on forking."""
    wanted = os.fstat(tree)
    deadline = time.monotonic() + _END_SECONDS
    found = True
    while found and time.monotonic() < deadline:
        found = False
        for name in os.listdir("/proc"):
            try:
                if name.isdecimal() and os.path.samestat(os.stat(f"/proc/{name}/ns/mnt"), wanted):
                    os.kill(int(name), 9)
                    found = True
            except OSError:  # gone, or not ours
                continue
        if found:
            time.sleep(0.002)


def _cgroup(request: dict[str, Any]) -> tuple[cgroups.Cgroup | None, bool]:
    """Make the cgroup; also say whether it keeps the container from devices that it was not given."""
    resources = (request["spec"].get("linux") or {}).get("resources") or {}
    name = request.get("cgroup")
    if not name:
        asked = sorted(key for key, value in resources.items() if key != "devices" and value)
        if asked:
            raise refused("cgroup", f"limits ({', '.join(asked)}) need a cgroup")
        return None, False
    rootless = rootfs.in_user_namespace()
    cgroup = cgroups.create(name, resources, rootless=rootless)
    if cgroup is None and "/" in name:
        raise refused("cgroup", f"{name.rpartition('/')[0]}: no control group can be made here, and so none below it")
    limited = not rootless and cgroup is not None and ("devices" in cgroup.paths or "" in cgroup.paths)
    return cgroup, limited


def _namespaces(spec: dict[str, Any], opened: list[int]) -> tuple[int, list[tuple[int, int]]]:
    """Sort linux.namespaces into flags of new ones and descriptors (kept in `opened`) of those to be joined."""
    new = sys.CLONE_NEWNS
    joins = []
    entries = {entry["type"]: entry.get("path") for entry in (spec.get("linux") or {}).get("namespaces") or ()}
    for kind in entries:
        if kind not in _NAMESPACES:
            raise refused("namespaces", f"namespace {kind!r} is not known")
    for kind, flag in _NAMESPACES.items():
        path = entries.get(kind)
        if path and kind == "mount":
            raise refused(
                "namespaces", "a mount namespace cannot be joined, as the root filesystem is made in a new one"
            )
        if path:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise from_error("namespaces", error, f"{kind} namespace {path}") from None
            opened.append(fd)
            joins.append((fd, flag))
        elif kind in entries:
            new |= flag
    return new, joins


def _fork(setup: child.Setup, ours: socket) -> int:
    """Fork the child into its new namespaces; the child does not return from here.

    It makes its cgroup namespace itself, once it is in its cgroup. A pid namespace can only be joined by a process's
    children: then a helper does so and forks the child as its own sibling.
    """
    flags = setup.new & ~sys.CLONE_NEWCGROUP
    before = sys.block_signals()
    try:
        joined = [fd for fd, kind in setup.joins if kind == sys.CLONE_NEWPID]
        if not joined:
            pid = sys.clone3(flags)
            if pid == 0:
                ours.close()
                child.become(setup)
            return pid
        setup.joins = [(fd, kind) for fd, kind in setup.joins if kind != sys.CLONE_NEWPID]
        return _fork_into(setup, ours, flags, joined[0])
    except OSError as error:
        raise from_error("namespaces", error, "making namespaces") from None
    finally:
        sys.unblock_signals(before)


def _fork_into(setup: child.Setup, ours: socket, flags: int, pid_namespace: int) -> int:
    users = [(fd, kind) for fd, kind in setup.joins if kind == sys.CLONE_NEWUSER]
    setup.joins = [(fd, kind) for fd, kind in setup.joins if kind != sys.CLONE_NEWUSER]
    reader, writer = os.pipe2(os.O_CLOEXEC)
    helper = sys.clone3(0)
    if helper == 0:
        try:
            for fd, kind in users:
                sys.setns(fd, kind)
            sys.prctl(sys.PR_SET_DUMPABLE, 0)
            sys.setns(pid_namespace, sys.CLONE_NEWPID)
            pid = sys.clone3(flags | sys.CLONE_PARENT)
            if pid == 0:
                os.close(writer)
                ours.close()
                child.become(setup)
            os.write(writer, str(pid).encode())
        except OSError as error:
            os.write(writer, f"-{error.errno}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = int(file.read() or b"-1")
    os.waitpid(helper, 0)
    if answer < 0:
        raise OSError(-answer, os.strerror(-answer))
    return answer


def _supervise(
    setup: child.Setup,
    ours: socket,
    pid: int,
    cgroup: cgroups.Cgroup | None,
    attach: Callable[[int], None] | None,
) -> Child:
    """Do the launcher's part while the child goes through its steps, and hear how it went."""
    pidfd = os.pidfd_open(pid)
    heard = _Heard(setup)
    try:
        try:
            if setup.new & sys.CLONE_NEWUSER:
                _map_ids(setup.linux, pid)
            if cgroup:
                cgroup.add(pid)
            _say(ours, child.PLACED)
            if attach:
                attach(pid)
            _say(ours, child.GO)
        except BaseException as error:
            heard.listen(ours, MSG_DONTWAIT)  # the child may have failed first, and that be the reason
            if heard.failure:
                raise heard.failure from error
            raise
        heard.listen(ours)
        if heard.failure:
            raise heard.failure
        if not heard.ready:
            raise refused("program", "the process was killed before it became the command")
    except BaseException:
        os.close(pidfd)
        for fd in (heard.terminal, heard.tree):
            if fd is not None and fd >= 0:
                os.close(fd)
        raise
    return Child(pid, pidfd, heard.terminal, tuple(heard.created), cgroup, heard.tree)


def _say(ours: socket, word: bytes) -> None:
    try:
        ours.send(word, MSG_NOSIGNAL)
    except OSError:  # the child is gone; what it has said before is read next
        pass


class _Heard:
    """What the child has said."""

    def __init__(self, setup: child.Setup) -> None:
        self.setup = setup
        self.failure: LaunchFailure | None = None
        self.ready = False
        self.terminal: int | None = None
        self.created: list[str] = []
        self.tree = -1

    def listen(self, ours: socket, flags: int = 0) -> None:
        """Take messages until the end of file, or with MSG_DONTWAIT those that are there."""
        while True:
            try:
                message, ancillary, _, _ = ours.recvmsg(1 << 16, CMSG_LEN(4), MSG_CMSG_CLOEXEC | flags)
            except BlockingIOError:
                return
            except ConnectionResetError:  # said once where the child ended before it read all; its words come next
                continue
            if not message:
                return
            for level, kind, data in ancillary:
                if level == SOL_SOCKET and kind == SCM_RIGHTS and message == child.MOUNTS:
                    self.tree = int.from_bytes(data, byteorder)
                elif level == SOL_SOCKET and kind == SCM_RIGHTS:
                    self.terminal = int.from_bytes(data, byteorder)
            self._take(message)

    def _take(self, message: bytes) -> None:
        if message.startswith(child.FAILURE):
            self.failure = decode(message[len(child.FAILURE) :])
        elif message.startswith(child.CREATED):
            self.created += [os.fsdecode(path) for path in message[len(child.CREATED) :].split(b"\0")]
        elif message == child.READY:
            self.ready = True
        elif len(message) == 4:
            name = self.setup.process["args"][0]
            self.failure = exec_failure(name, int.from_bytes(message, "little"))


def _map_ids(linux: dict[str, Any], pid: int) -> None:
    """Write linux.uidMappings and gidMappings for a child in a new user namespace."""
    for file, key in (("uid_map", "uidMappings"), ("gid_map", "gidMappings")):
        lines = [f"{entry['containerID']} {entry['hostID']} {entry['size']}" for entry in linux.get(key) or ()]
        try:
            cgroups.write(f"/proc/{pid}/{file}", "\n".join(lines))
        except OSError as error:
            raise from_error("namespaces", error, f"user namespace: {key}") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise from_error("seccomp", error, f"seccomp program {path}") from None


def _destroy(pid: int) -> None:
    """Kill and reap a child that must not go on; everything in its pid namespace ends with it."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
