"""The default system call filter, as a table: what a container may call, always, under a condition, or never.

Equal in effect to Docker's default profile. What is not named is refused with EPERM; what the kernel got after the
newest call named here, with ENOSYS, so that programs fall back to what they did before. Names that an architecture has
not got mean nothing there.
"""

from __future__ import annotations

ALWAYS = {
    "times and timers": """
        adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
        clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time
        timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
        timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times
    """,
    "sockets": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
        recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
    """,
    "extended attributes": """
        fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
        llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
    """,
    "identity": """
        capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid
        getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid
        setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32
        setreuid setreuid32 setuid setuid32
    """,
    "memory": """
        brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap
        mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect
        process_mrelease remap_file_pages
    """,
    "scheduling and resources": """
        getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_get_priority_max
        sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
        sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler sched_yield setpriority setrlimit sysinfo ugetrlimit
    """,
    "signals": """
        kill pause pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
        rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack
        signalfd signalfd4 sigprocmask sigreturn tgkill tkill
    """,
    "System V and POSIX message passing": """
        ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
        mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop
        semtimedop_time64 shmat shmctl shmdt shmget
    """,
    "waiting for events": """
        _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
        epoll_wait_old eventfd eventfd2 fanotify_mark futex futex_requeue futex_time64 futex_wait futex_waitv
        futex_wake inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
        io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 pselect6
        pselect6_time64 select
    """,
    "processes and threads": """
        execve execveat exit exit_group fork get_robust_list get_thread_area getpgid getpgrp getpid getppid
        getrandom getsid gettid landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open
        prctl riscv_hwprobe rseq seccomp set_robust_list set_thread_area set_tid_address setpgid setsid umask
        uname uretprobe vfork wait4 waitid waitpid
    """,
    "open files": """
        _llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64
        fdatasync flock fsync ftruncate ftruncate64 ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64
        pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range syncfs tee
        vmsplice write writev
    """,
    "paths and directories": """
        access cachestat chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmod fchmodat fchmodat2
        fchown fchown32 fchownat fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat getcwd getdents
        getdents64 lchown lchown32 link linkat listmount lstat lstat64 mkdir mkdirat mknod mknodat
        name_to_handle_at newfstatat open openat openat2 readlink readlinkat rename renameat renameat2 rmdir
        stat stat64 statfs statfs64 statmount statx symlink symlinkat truncate truncate64 unlink unlinkat
        utime utimensat utimensat_time64 utimes
    """,
}
"""Allowed with any argument; the keys only sort."""

WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
        lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
        quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare
    """,
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}
"""Allowed where the bounding set has the capability."""

ON_MACHINE = {
    "x86_64": "arch_prctl modify_ldt",
    "i686": "modify_ldt",
    "aarch64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "armv7l": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    "ppc64le": "sync_file_range2 swapcontext",
    "s390x": "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
    "riscv64": "riscv_flush_icache",
}
"""Allowed on one architecture (`uname -m`)."""

SINCE_KERNEL_4_8 = "process_vm_readv process_vm_writev ptrace"
"""Before, a tracer could get around the filter; every kernel that can run a sandbox is newer."""

AF_VSOCK = 40
"""The one family for which `socket` is refused: it reaches the host's hypervisor, and no namespace holds it back."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Values that `personality` may take: PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is."""

CLONE_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: `clone` with none of them needs no capability."""

NUMBERS = {
    "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455,
    "futex_requeue": 456, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
    "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465,
    "removexattrat": 466,
}  # fmt: skip
"""The newest calls, for a libseccomp that is older than they are; their numbers are the same on every architecture."""

NUMBERS_X86_64 = {"uretprobe": 335}
"""Of these, what one architecture has alone."""

NEWEST = 466
"""No call with a higher number is named above."""

NEWEST_X32 = 547
"""The same for x32, which has numbers of its own from 512 on."""

ARCHITECTURES = {
    "x86_64": ("X86_64", "X86", "X32"),
    "aarch64": ("AARCH64", "ARM"),
    "s390x": ("S390X", "S390"),
    "riscv64": ("RISCV64",),
    "ppc64le": ("PPC64LE",),
}
"""What else the kernel of a machine runs, by libseccomp's names, its own first."""


def allowed(machine: str, capabilities: frozenset[str]) -> frozenset[str]:
    """Give the names that are allowed whatever their arguments."""
    words = [*ALWAYS.values(), SINCE_KERNEL_4_8, ON_MACHINE.get(machine, "")]
    words += [names for capability, names in WITH_CAPABILITY.items() if capability in capabilities]
    return frozenset(" ".join(words).split())
