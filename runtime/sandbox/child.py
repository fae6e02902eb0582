"""Become the command: everything between fork and exec, in order.

Runs in the child of `launcher.launch`, in its new namespaces. It imports nothing (once the host's root is left no
module can be found) and never returns: at the end it is the command, or it has told the launcher which step failed
and why. What it opens is close-on-exec; before the first path of the container's own making is followed (working
directory, program) no directory of the host is open any more.
"""

from __future__ import annotations

import os
from _socket import AF_INET, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET, sethostname, socket
from errno import EACCES, EEXIST, EINVAL, ENOENT, ENOSYS, ENOTDIR, EPERM
from fcntl import F_DUPFD_CLOEXEC, fcntl, ioctl
from stat import S_ISCHR, S_ISFIFO, S_ISSOCK
from struct import pack, unpack_from

from runtime.sandbox import cgroups, devices, masks, mounts, preparation, privileges, rootfs, stub
from runtime.sandbox import syscalls as sys
from runtime.sandbox.failure import LaunchFailure, encode, from_error, refused
from runtime.sandbox.program import environment_of, execute_directly, find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

CONTROL = 3  # the number of the control socket while the stub runs
PLACED = b"placed"
GO = b"go"
CREATED = b"created\0"
MOUNTS = b"mounts"
READY = b"ready"
TERMINAL = b"terminal"
FAILURE = b"failure\0"
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_SIGKILL = 9
_NULL = os.makedev(1, 3)
_IPC_SYSCTLS = frozenset(
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced".split()
)


class Setup:
    """What one launch knows while it goes through its steps.

    `new` are the flags of namespaces that are new (CLONE_NEW…); `joins` are descriptors of others with their kind, in
    the order to enter them. `devices_limited` says that a device cgroup keeps foreign devices out; where it does not
    and the spec wants that, every mount is made nodev. `filter_program` is compiled BPF, empty for none.
    """

    def __init__(
        self,
        request: dict[str, Any],
        stdio: tuple[int, int, int],
        control: socket,
        *,
        new: int,
        joins: list[tuple[int, int]],
        devices_limited: bool,
        filter_program: bytes,
    ) -> None:
        self.request = request
        self.spec = request["spec"]
        self.process = self.spec["process"]
        self.linux = self.spec.get("linux") or {}
        self.stdio = stdio
        self.control = control
        self.new = new
        self.joins = joins
        self.devices_limited = devices_limited
        self.filter_program = filter_program
        self.created: list[str] = []
        self.prepared: list[mounts.Prepared] = []
        self.bound_devices: list[mounts.Prepared] = []
        self.root_fd = self.stub_fd = self.slave = -1
        self.userns = self.nodev = False
        self.held = 0
        self.own_groups: dict[str, str] = {}
        self.program = ""


def become(setup: Setup, *, entering: bool = False) -> NoReturn:
    """Do every step; the process ends as the command, or with 125 after it has said what failed.

    `entering` a container that runs already has fewer of them: its tree is there.
    """
    step = ""
    try:
        for function in ENTERING if entering else STEPS:
            step = function.__name__
            function(setup)
    except LaunchFailure as failure:
        report(setup.control, failure)
    except OSError as error:
        report(setup.control, from_error(step, error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        report(setup.control, refused(step, f"{step}: the container's description is wrong: {error!r}"))
    except BaseException as error:  # nothing may climb into the launcher's code in this process
        report(setup.control, refused(step, f"{step}: {error!r}"))
    os._exit(125)


def report(control: socket, failure: LaunchFailure) -> None:
    try:
        control.send(FAILURE + encode(failure))
    except OSError:  # the launcher is gone, and so is whoever would read it
        pass


# --- namespaces and what belongs to them ----------------------------------------------------------------------------


def isolate(setup: Setup) -> None:
    """Forget what was inherited (signals, session, descriptors); wait for cgroup and id map; close memory to all."""
    if not setup.new & sys.CLONE_NEWPID:
        # other processes of the namespace see this one: close its memory to them. In a new namespace there are none,
        # and what runs outside (the launcher, which writes id maps, and helpers that open /proc/PID/ns) may look
        sys.prctl(sys.PR_SET_DUMPABLE, 0)
        tree = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        setup.control.sendmsg([MOUNTS], [(SOL_SOCKET, SCM_RIGHTS, pack("i", tree))])
        os.close(tree)
    sys.close_all_but([*setup.stdio, setup.control.fileno(), *[fd for fd, _ in setup.joins]])
    sys.reset_signals()
    sys.unblock_signals()
    os.setsid()
    os.umask(0)
    for fd, kind in setup.joins:
        sys.setns(fd, kind)
        os.close(fd)
    await_word(setup, PLACED)
    if setup.new & sys.CLONE_NEWUSER:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    setup.own_groups = cgroups.own_groups()
    if setup.new & sys.CLONE_NEWCGROUP:
        sys.unshare(sys.CLONE_NEWCGROUP)
    setup.userns = rootfs.in_user_namespace()
    setup.held = privileges.permitted()
    rules = (setup.linux.get("resources") or {}).get("devices") or []
    denied = any(not rule["allow"] and rule.get("type", "a") == "a" and rule.get("major") is None for rule in rules)
    allowed = bool(rules) and rules[-1]["allow"] and rules[-1].get("type", "a") == "a" and "major" not in rules[-1]
    setup.nodev = denied and not allowed and not setup.devices_limited and not setup.userns


def enter(setup: Setup) -> None:
    """Join the namespaces of a container that runs: nothing of the host may be open or readable there any more.

    The memory file through which the command starts is opened before, so that the program of this process, which
    /proc/PID/exe shows in the container, can never be the host's interpreter once the command may look.
    """
    sys.prctl(sys.PR_SET_DUMPABLE, 0)
    sys.close_all_but([*setup.stdio, setup.control.fileno(), *[fd for fd, _ in setup.joins]])
    sys.reset_signals()
    sys.unblock_signals()
    os.setsid()
    os.umask(0)
    await_word(setup, PLACED)
    if stub.available(sys.MACHINE):
        try:
            setup.stub_fd = stub.sealed(sys.MACHINE)
        except PermissionError:  # vm.memfd_noexec=2
            pass
    for fd, kinds in setup.joins:
        sys.setns(fd, kinds)
        os.close(fd)
    setup.held = privileges.permitted()
    setup.root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def entered_console(setup: Setup) -> None:
    """Give the command a terminal of the container's own, without making it the container's /dev/console."""
    if not setup.process.get("terminal"):
        return
    owner = setup.process["user"]["uid"]
    window = setup.request.get("window")
    master, setup.slave = devices.open_terminal(setup.root_fd, owner, window, console=False)
    setup.control.sendmsg([TERMINAL], [(SOL_SOCKET, SCM_RIGHTS, pack("i", master))])
    os.close(master)
    ioctl(setup.slave, devices.TIOCSCTTY, 0)
    setup.stdio = (setup.slave, setup.slave, setup.slave)


def await_word(setup: Setup, word: bytes) -> None:
    if setup.control.recv(64) != word:
        os._exit(125)  # the launcher gave up or died


def keyring(_setup: Setup) -> None:
    try:
        sys.join_session_keyring()
    except OSError as error:
        if error.errno not in (ENOSYS, EPERM):  # no keyrings in this kernel, or kept away by a filter around us
            raise


def hostname(setup: Setup) -> None:
    """Set the names of the UTS namespace, which has to be the container's own: never those of the machine."""
    if (setup.spec.get("hostname") or setup.spec.get("domainname")) and not setup.new & sys.CLONE_NEWUTS:
        raise refused("hostname", "host and domain names need a UTS namespace of the container's own")
    if setup.spec.get("hostname"):
        sethostname(setup.spec["hostname"])
    if setup.spec.get("domainname"):
        sys.setdomainname(os.fsencode(setup.spec["domainname"]))


def sysctl(setup: Setup) -> None:
    """Set linux.sysctl; only what belongs to a namespace of the container's own, never a setting of the machine."""
    for name, value in (setup.linux.get("sysctl") or {}).items():
        own = (
            (name.startswith("net.") and setup.new & sys.CLONE_NEWNET)
            or ((name in _IPC_SYSCTLS or name.startswith("fs.mqueue.")) and setup.new & sys.CLONE_NEWIPC)
            or (name == "kernel.domainname" and setup.new & sys.CLONE_NEWUTS)
        )
        if not own:
            raise refused("sysctl", f"sysctl {name}: it does not belong to a namespace of this container", path=name)
        try:
            cgroups.write("/proc/sys/" + name.replace(".", "/"), str(value))
        except OSError as error:
            raise from_error("sysctl", error, f"sysctl {name}={value}") from None


def adjust_oom(setup: Setup) -> None:
    """Set oom_score_adj: first, as the file belongs to a user only while this process can be dumped."""
    adjustment = setup.process.get("oomScoreAdj")
    if adjustment is not None:
        try:
            cgroups.write("/proc/self/oom_score_adj", str(adjustment))
        except OSError as error:
            if adjustment:  # the default, 0, may be below what this process was started with
                raise from_error("adjust_oom", error, f"oom_score_adj {adjustment}") from None


def loopback(setup: Setup) -> None:
    if not setup.new & sys.CLONE_NEWNET:
        return
    link = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    request = pack("16sH22x", b"lo", 0)
    (flags,) = unpack_from("H", ioctl(link.fileno(), _SIOCGIFFLAGS, request), 16)
    ioctl(link.fileno(), _SIOCSIFFLAGS, pack("16sH22x", b"lo", flags | _IFF_UP))
    link.close()


# --- the tree -------------------------------------------------------------------------------------------------------


def prepare(setup: Setup) -> None:
    """Make every mount on nothing, while the host's files are in sight."""
    entries = setup.spec.get("mounts") or ()
    # A mount that shares its events with the machine has to be copied while this namespace does so itself.
    shared = {index: preparation.shared(setup, entry) for index, entry in enumerate(entries)}
    try:
        sys.mount(b"", b"/", None, sys.MS_REC | sys.MS_SLAVE)
    except OSError as error:
        if error.errno != EINVAL:
            raise
        text = "/ is no mount point here, as in a chroot: bind its directory on itself before entering it"
        raise refused("prepare", f"{text} (mount --bind DIR DIR)", path="/", errno=EINVAL) from None
    setup.root_fd = rootfs.detached(setup.request["rootfs"], userxattr=setup.userns)
    for index, entry in enumerate(entries):
        early = shared[index]
        setup.prepared += [early] if early is not None else preparation.prepared(setup, entry)
    extra = setup.linux.get("devices") or []
    setup.bound_devices = devices.from_host(extra=extra, only_bound=setup.userns or setup.nodev)
    if setup.nodev:
        # terminals are devices too, but a devpts has no others
        fds = [prepared.fd for prepared in setup.prepared if prepared.fstype != "devpts"]
        for fd in [setup.root_fd, *fds]:
            sys.mount_setattr(fd, attr_set=sys.MOUNT_ATTR_NODEV, recursive=True)


def change_root(setup: Setup) -> None:
    if stub.available(sys.MACHINE):
        try:
            setup.stub_fd = stub.sealed(sys.MACHINE)
        except PermissionError:  # vm.memfd_noexec=2: then the command is executed without it
            pass
    rootfs.enter(setup.root_fd)


def place(setup: Setup) -> None:
    """Put the mounts in their places; /dev gets its nodes as soon as it is there."""
    sealed = []
    covered: list[str] = []
    for prepared in setup.prepared:
        made: list[str] = []
        fd = mounts.place(setup.root_fd, prepared, made)
        # what was made inside another mount is not the root filesystem's
        setup.created += [path for path in made if not path.startswith(tuple(covered))]
        covered.append(prepared.destination.rstrip("/") + "/")
        if covered[-1] == "/dev/" and not prepared.options.bind:
            devices.populate(setup.root_fd, setup.bound_devices, setup.linux.get("devices") or [])
        if prepared.sealed:
            sealed.append(fd)
        else:
            os.close(fd)
    for fd in sealed:
        sys.mount_setattr(fd, attr_set=sys.MOUNT_ATTR_RDONLY)
        os.close(fd)


def console(setup: Setup) -> None:
    """Open the terminal, send its master to the launcher, make it the controlling one of this session."""
    if not setup.process.get("terminal"):
        return
    owner = setup.process["user"]["uid"]
    master, setup.slave = devices.open_terminal(setup.root_fd, owner, setup.request.get("window"))
    setup.control.sendmsg([TERMINAL], [(SOL_SOCKET, SCM_RIGHTS, pack("i", master))])
    os.close(master)
    ioctl(setup.slave, devices.TIOCSCTTY, 0)
    setup.stdio = (setup.slave, setup.slave, setup.slave)


def protect(setup: Setup) -> None:
    """Hide and lock parts of /proc and /sys, and make the root read-only if it is to be."""
    empty = -1
    for path in setup.linux.get("maskedPaths") or ():
        empty = masks.mask(setup.root_fd, path, empty)
    if empty >= 0:
        os.close(empty)
    for path in setup.linux.get("readonlyPaths") or ():
        masks.lock(setup.root_fd, path)
    if (setup.spec.get("root") or {}).get("readonly"):
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        sys.mount_setattr(root, attr_set=sys.MOUNT_ATTR_RDONLY)
        os.close(root)
    os.close(setup.root_fd)


# --- the process itself ---------------------------------------------------------------------------------------------


def stdio(setup: Setup) -> None:
    """Put the streams on 0, 1 and 2 and let the command's user open them again by /dev/stdout."""
    copies = [fcntl(fd, F_DUPFD_CLOEXEC, 10) for fd in setup.stdio]
    for number, fd in enumerate(copies):
        os.dup2(fd, number)
        os.close(fd)
    # from here on paths are followed that the image chose: /proc/self/fd must not lead anywhere. And limits may
    # follow under which no descriptor can be had: what is left gets the number it needs now
    control = fcntl(setup.control.detach(), F_DUPFD_CLOEXEC, 10)
    if setup.stub_fd >= 0:
        setup.stub_fd = fcntl(setup.stub_fd, F_DUPFD_CLOEXEC, 10)
    sys.close_all_but([control, setup.stub_fd])
    os.dup2(control, CONTROL, inheritable=False)
    os.close(control)
    setup.control = socket(fileno=CONTROL)
    user = setup.process["user"]["uid"]
    for number in range(3):
        status = os.fstat(number)
        if S_ISCHR(status.st_mode) and status.st_rdev == _NULL:
            _reopen_null(number)
        elif user and (S_ISFIFO(status.st_mode) or S_ISSOCK(status.st_mode)):
            try:
                os.fchown(number, user, -1)
            except OSError:  # not every kind of stream has an owner
                pass


def _reopen_null(number: int) -> None:
    """Replace the host's null device by the container's own."""
    try:
        fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    os.dup2(fd, number)
    os.close(fd)


def user(setup: Setup) -> None:
    """Enter the working directory, load the filter where it needs privilege, and take the command's rights."""
    process = setup.process
    os.umask(0o022)
    cwd = process.get("cwd") or "/"
    if not cwd.startswith("/"):
        raise refused("user", f"working directory {cwd!r} is not absolute", path=cwd)
    if setup.new & sys.CLONE_NEWNS:  # a further command in a container finds it, or does not
        _make_directory(cwd)
    account = process.get("user") or {}
    sets = privileges.Capabilities(process.get("capabilities") or {}, setup.held)
    sets.drop_bounding()
    if not process.get("noNewPrivileges"):
        seccomp(setup)
    entered = _enter_directory(cwd, last=False)
    privileges.set_rlimits(process.get("rlimits") or [])
    privileges.change_user(account.get("uid", 0), account.get("gid", 0), account.get("additionalGids") or [])
    sets.apply()
    if not setup.new & sys.CLONE_NEWPID:
        sys.prctl(sys.PR_SET_DUMPABLE, 0)  # a change of ids may have opened it
    if not entered:
        _enter_directory(cwd, last=True)
    if os.getcwd()[:1] != "/":
        raise refused("user", f"working directory {cwd!r} lies outside the container", path=cwd)
    os.umask(account.get("umask", 0o022))
    if process.get("noNewPrivileges"):
        sys.prctl(sys.PR_SET_NO_NEW_PRIVS, 1)


def _make_directory(cwd: str) -> None:
    """Make the working directory and its parents if they are not there, as the container's root user."""
    made = ""
    for part in cwd.split("/"):
        if part:
            made += "/" + part
            try:
                os.mkdir(made, 0o755)
            except OSError as error:
                if error.errno == EEXIST:
                    continue
                if os.path.isdir(cwd):  # a read-only root in which it exists
                    return
                raise from_error("user", error, f"working directory {cwd}") from None
    if os.path.exists(cwd) and not os.path.isdir(cwd):
        raise refused("user", f"working directory {cwd}: not a directory", path=cwd, errno=ENOTDIR)


def _enter_directory(cwd: str, *, last: bool) -> bool:
    try:
        os.chdir(cwd)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):  # only of a further command: otherwise it was made
            text = f"working directory {cwd}: {os.strerror(error.errno).lower()}"
            raise LaunchFailure("user", error.errno, cwd, 127, text) from None
        if last or error.errno != EACCES:
            raise from_error("user", error, f"working directory {cwd}") from None
        return False  # perhaps the command's user may
    return True


def seccomp(setup: Setup) -> None:
    if setup.filter_program:
        sys.seccomp_load(setup.filter_program)


def apparmor(setup: Setup) -> None:
    """Ask for process.apparmorProfile, which is taken on with the next execve."""
    profile = setup.process.get("apparmorProfile")
    if not profile:
        return
    for path in ("/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"):
        try:
            cgroups.write(path, f"exec {profile}")
            return
        except OSError as error:
            if error.errno != ENOENT:
                raise from_error("apparmor", error, f"AppArmor profile {profile}") from None
    raise refused("apparmor", f"AppArmor profile {profile}: this kernel has no AppArmor")


def program(setup: Setup) -> None:
    """Find the command by PATH of its own environment, as its own user."""
    arguments = setup.process["args"]
    if not arguments:
        raise refused("program", "there is no command to run")
    setup.program = find_program(arguments[0], setup.process.get("env") or ())


def execute(setup: Setup) -> None:
    """Wait for the caller's work on the namespaces, then be the command, through the stub where there is one."""
    if setup.created:
        setup.control.send(CREATED + b"\0".join([os.fsencode(path) for path in setup.created]))
    sys.prctl(sys.PR_SET_PDEATHSIG, _SIGKILL)
    await_word(setup, GO)
    sys.prctl(sys.PR_SET_DUMPABLE, 0)
    if setup.process.get("noNewPrivileges"):
        seccomp(setup)
    environment = environment_of(setup.process.get("env") or ())
    arguments = setup.process["args"]
    try:
        if setup.stub_fd < 0:
            if setup.request.get("init"):
                raise refused("program", f"an init is not available here ({sys.MACHINE}, or vm.memfd_noexec is set)")
            setup.control.send(READY)
            execute_directly(setup.program, arguments, environment)
        os.set_inheritable(CONTROL, True)
        setup.control.send(READY)
        os.execve(
            setup.stub_fd, ["init" if setup.request.get("init") else "exec", setup.program, *arguments], environment
        )
    except ValueError as error:
        raise refused("program", f"arguments or environment: {error}") from None


STEPS: tuple[Callable[[Setup], None], ...] = (
    adjust_oom,
    isolate,
    keyring,
    hostname,
    sysctl,
    loopback,
    prepare,
    change_root,
    place,
    console,
    protect,
    stdio,
    user,
    apparmor,
    program,
    execute,
)

ENTERING: tuple[Callable[[Setup], None], ...] = (
    adjust_oom,
    enter,
    entered_console,
    stdio,
    user,
    apparmor,
    program,
    execute,
)
