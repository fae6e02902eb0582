"""Scripts of flags: what they do in a container, what `inspect` shows of them, and what is refused."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

_STATUS = "grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp:)' /proc/self/status"
_MOUNTS = "awk '{print $5,$6}' /proc/self/mountinfo | grep -v -E 'resolv|hostname|hosts|cgroup' | sort"

SCRIPTS: tuple[Script, ...] = (
    Script(
        "flags-namespaces",
        """
        A := run -d --name @POD@-a --ipc shareable pbcbox sh -c 'echo hello > /dev/shm/f; sleep 100'
        exec @POD@-a sh -c 'until test -s /dev/shm/f; do sleep 0.1; done'
        run -d --name @POD@-b pbcbox sleep 101
        run --rm --ipc container:@POD@-a pbcbox cat /dev/shm/f
        run --rm --ipc container:@POD@-b pbcbox true ~ non-shareable IPC
        run --rm --ipc container:@POD@-none pbcbox true ~ No such container: pbc-flags-namespaces-none
        run --rm --pid container:@POD@-a pbcbox sh -c 'ps | grep -c "[s]leep 100"'
        run --rm --pid container:@POD@-none pbcbox true
        create --name @POD@-c --pid container:@POD@-a --ipc container:@POD@-a pbcbox true
        inspect -f '{{.HostConfig.PidMode}} {{.HostConfig.IpcMode}}' @POD@-c
        run --rm --ipc none pbcbox sh -c 'ls -d /dev/shm || echo gone'
        run --rm --ipc private pbcbox sh -c 'ls -d /dev/shm'
        run --rm --uts host --hostname x pbcbox ~ hostname and the UTS mode
        run --rm --uts host pbcbox sh -c 'test "$(readlink /proc/self/ns/uts)" = "$(readlink /proc/1/ns/uts)" && echo same'
        run --rm --pid host --uts host --ipc host pbcbox sh -c 'for n in pid uts ipc; do test "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" && echo $n; done'
        run --rm --pid private pbcbox ~ --pid: invalid PID mode
        run --rm --uts private pbcbox ~ --uts: invalid UTS mode
        run --rm --userns private pbcbox ~ --userns: invalid USER mode
        run --rm --cgroupns other pbcbox ~ --cgroupns: invalid CGROUP mode
        run --rm --ipc other pbcbox ~ invalid IPC mode: other
        stop -t 0 @POD@-a
        run --rm --pid container:@POD@-a pbcbox ~ is not running
        """,
    ),
    Script(
        "flags-rights",
        f"""
        run --rm pbcbox {_STATUS}
        run --rm -u 5:6 pbcbox {_STATUS}
        run --rm --cap-add ALL --cap-drop net_admin pbcbox {_STATUS}
        run --rm --cap-drop ALL --cap-add chown pbcbox {_STATUS}
        run --rm -u 5 --cap-add net_admin pbcbox {_STATUS}
        run --rm --security-opt no-new-privileges pbcbox {_STATUS}
        run --rm --security-opt no-new-privileges=false pbcbox {_STATUS}
        run --rm --security-opt seccomp=unconfined pbcbox {_STATUS}
        run --rm --security-opt seccomp=builtin pbcbox {_STATUS}
        run --rm --privileged pbcbox {_STATUS}
        run --rm --group-add 5 --group-add root pbcbox id -G
        run --rm --group-add pbc-none pbcbox id ~ unable to find group pbc-none
        run --rm --cap-add none pbcbox id ~ unknown capability: "CAP_NONE"
        run --rm --security-opt none=1 pbcbox id ~ invalid --security-opt 2: "none=1"
        run --rm --security-opt none pbcbox id ~ Invalid --security-opt: "none"
        run --rm --security-opt no-new-privileges=perhaps pbcbox id ~ invalid --security-opt
        run --rm --security-opt seccomp=@DIR@/none pbcbox id ~ opening seccomp profile
        $ echo '{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"excludes":{{"caps":["CAP_SYS_ADMIN"]}}}}]}}' > @DIR@/p.json
        run --rm --security-opt seccomp=@DIR@/p.json pbcbox mkdir /x ~ Function not implemented
        run --rm --security-opt seccomp=@DIR@/p.json --cap-add sys_admin pbcbox mkdir /x
        run --rm --security-opt seccomp=@DIR@/p.json --privileged pbcbox mkdir /x
        run -d --name @POD@-a --security-opt seccomp=@DIR@/p.json pbcbox sleep 100
        exec @POD@-a mkdir /x ~ Function not implemented
        inspect -f '{{{{json .HostConfig.SecurityOpt}}}}' @POD@-a
        run -d --name @POD@-b pbcbox sleep 100
        exec --privileged @POD@-b {_STATUS}
        exec -u 5:6 @POD@-b {_STATUS}
        run --rm --sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=7 pbcbox cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax
        run --rm --sysctl kernel.pid_max=7 pbcbox ~ is not allowed
        run --rm --network host --sysctl net.ipv4.ip_forward=1 pbcbox ~ not allowed in host network namespace
        run --rm --oom-score-adj 500 pbcbox cat /proc/self/oom_score_adj
        run --rm --oom-score-adj 5000 pbcbox ~ range for oom score adj is [-1000, 1000]
        run --rm --ulimit nofile=100:200 --ulimit core=0 pbcbox sh -c 'ulimit -n; ulimit -Hn; ulimit -c'
        run --rm --ulimit none=1 pbcbox ~ invalid ulimit type: none
        """,
    ),
    Script(
        "flags-mounts",
        f"""
        run --rm --network none pbcbox sh -c "{_MOUNTS.replace("$", chr(92) + "$")}"
        run --rm --network none --privileged pbcbox sh -c "{_MOUNTS.replace("$", chr(92) + "$")}"
        run --rm --network none --read-only --tmpfs /t:size=1m pbcbox sh -c "{_MOUNTS.replace("$", chr(92) + "$")}"
        run --rm --network none --security-opt systempaths=unconfined pbcbox sh -c "{_MOUNTS.replace("$", chr(92) + "$")}"
        run --rm --network none --shm-size 5m pbcbox sh -c 'df /dev/shm | tail -n1'
        run --rm --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700 pbcbox sh -c 'df /t | tail -n1; stat -c %a /t'
        run --rm --mount type=tmpfs,target=/t,readonly pbcbox touch /t/x ~ Read-only file system
        run --rm --mount type=image,source=pbcbox,target=/i pbcbox sh -c 'ls /i/bin/busybox; touch /i/x' ~ Read-only file system
        run --rm --mount type=image,source=pbcbox,target=/i,image-subpath=bin pbcbox ls /i/busybox
        run --rm -v @POD@-v:/v pbcbox sh -c 'mkdir -p /v/sub; echo hello > /v/sub/f'
        run --rm --mount type=volume,source=@POD@-v,target=/w,volume-subpath=sub pbcbox cat /w/f
        run --rm --mount type=volume,source=@POD@-v,target=/w,volume-subpath=none pbcbox cat /w/f
        run --rm --mount type=volume,source=@POD@-v,target=/w,volume-subpath=../.. pbcbox ~ subpath must be a relative path
        run --rm --mount type=volume,source=@POD@-t,target=/w,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m pbcbox sh -c 'df /w | tail -n1'
        run --rm --mount type=volume,source=@POD@-n,target=/bin2,volume-nocopy,volume-label=a=b pbcbox ls /bin2
        volume inspect -f '{{{{json .Labels}}}}' @POD@-n
        run --rm -v @POD@-c:/etc pbcbox ls /etc/passwd
        run --rm -v @POD@-d:/etc:nocopy pbcbox sh -c 'ls /etc | grep -c passwd'
        run -d --name @POD@-a -v @POD@-v:/v -v /tmp:/b:ro pbcbox sleep 100
        run --rm --volumes-from @POD@-a pbcbox sh -c 'cat /v/sub/f; touch /b/x' ~ Read-only file system
        run --rm --volumes-from @POD@-a:ro pbcbox touch /v/x ~ Read-only file system
        run --rm --volumes-from @POD@-none pbcbox ~ No such container: pbc-flags-mounts-none
        run --rm --volumes-from @POD@-a:xx pbcbox ~ invalid mode: xx
        create --name @POD@-e --volumes-from @POD@-a:ro pbcbox
        inspect -f '{{{{range .Mounts}}}}{{{{if eq .Destination "/v"}}}}{{{{json .}}}}{{{{end}}}}{{{{end}}}} {{{{.HostConfig.VolumesFrom}}}}' @POD@-e
        run --rm -v /tmp:/x:nocopy pbcbox ~ field VolumeOptions must not be specified
        run --rm -v /tmp:/x:foo pbcbox ~ invalid mode: foo
        run --rm --mount type=foo,target=/x pbcbox ~ mount type unknown
        run --rm --mount type=bind,source=/tmp,target=/x,bind-propagation=foo pbcbox ~ invalid propagation mode: foo
        run --rm --mount type=bind,source=/tmp,target=/x,bind-recursive=foo pbcbox ~ invalid value for bind-recursive: foo
        run --rm --mount type=bind,source=/tmp,target=/x,bind-recursive=writable pbcbox ~ requires 'readonly'
        run --rm --mount type=bind,source=/tmp,target=/x,volume-nocopy pbcbox ~ cannot mix 'volume-*' options
        run --rm --mount type=tmpfs,target=/x,tmpfs-size=foo pbcbox ~ invalid value for tmpfs-size: foo
        run --rm --mount source=a pbcbox ~ target is required
        run --rm --mount target=/x,foo=1 pbcbox ~ unexpected key 'foo'
        """,
        differences={
            "run --rm --mount type=volume,source=@POD@-v,target=/w,volume-subpath=none": "125 for all that never ran",
        },
    ),
    Script(
        "flags-devices",
        """
        run --rm --device /dev/full:/dev/sub/full pbcbox sh -c 'ls -l /dev/sub/full | cut -c1-10; echo x > /dev/sub/full' ~ No space left
        run --rm --device /dev/full:/dev/f:rx pbcbox ~ bad mode specified: rx
        run --rm --device none pbcbox ~ none is not an absolute path
        run --rm --device /etc/passwd pbcbox ~ not a device node
        run --rm --device vendor.test/class=none pbcbox ~ unresolvable CDI devices vendor.test/class=none
        run --rm --device-cgroup-rule none pbcbox ~ invalid device cgroup format 'none'
        run --rm --gpus all pbcbox ~ could not select device driver
        run --rm --device-read-bps /dev/none:1mb pbcbox ~ no such file or directory
        run --rm --device-read-bps /dev/none pbcbox ~ bad format: /dev/none
        run --rm --device-read-iops /dev/none:x pbcbox ~ Number must be a positive integer
        create --name @POD@-a --device /dev/null:/dev/x:r --device /dev/zero --device-cgroup-rule 'c 1:* rw' --device-write-bps /dev/x:2kb --device-read-iops /dev/x:3 --gpus 2 pbcbox
        inspect -f '{{json .HostConfig.Devices}}{{json .HostConfig.DeviceCgroupRules}}{{json .HostConfig.BlkioDeviceWriteBps}}{{json .HostConfig.BlkioDeviceReadIOps}}{{len .HostConfig.DeviceRequests}}' @POD@-a
        """,
        differences={
            "run --rm --device-read-bps /dev/none:1mb": "125 for all that never ran",
        },
    ),
    Script(
        "flags-limits",
        """
        create --name @POD@-a --cpus 0.5 -m 200m --memory-reservation 100m --memory-swap 300m --pids-limit 50 --cpuset-cpus 0 --cpuset-mems 0 -c 512 --shm-size 32m pbcbox
        inspect -f '{{with .HostConfig}}{{.NanoCpus}} {{.Memory}} {{.MemoryReservation}} {{.MemorySwap}} {{.PidsLimit}} {{.CpusetCpus}} {{.CpusetMems}} {{.CpuShares}} {{.ShmSize}}{{end}}' @POD@-a
        create --name @POD@-b --cpu-period 20000 --cpu-quota 10000 -m 100m --init=false --ulimit nofile=5:6 --ulimit core=0 pbcbox
        inspect -f '{{with .HostConfig}}{{.CpuPeriod}} {{.CpuQuota}} {{.MemorySwap}} {{.Init}}{{end}}' @POD@-b
        inspect -f '{{json .HostConfig.Ulimits}}' @POD@-b
        create --cpu-period 100 pbcbox ~ CPU cfs period can not be less than 1ms
        create --cpu-quota 100 pbcbox ~ CPU cfs quota can not be less than 1ms
        create --cpu-shares -1 pbcbox ~ invalid CPU shares (-1)
        create --cpuset-cpus 4096 pbcbox ~ Requested CPUs are not available - requested 4096
        create --cpuset-mems x pbcbox ~ Invalid value x for cpuset mems
        create --memory-swappiness 130 pbcbox ~ Valid memory swappiness range is 0-100
        create --memory-swap 50m pbcbox ~ You should always set the Memory limit
        create -m 100m --memory-swap 50m pbcbox ~ Minimum memoryswap limit should be larger than memory limit
        create -m 1m pbcbox ~ Minimum memory limit allowed is 6MB
        create --cpus 1 --cpu-quota 5000 pbcbox ~ Nano CPUs and CPU Quota cannot both be set
        create --blkio-weight-device /dev/x:5 pbcbox ~ invalid weight for device
        create --isolation hyperv pbcbox ~ linux only supports 'default'
        create --isolation default --name @POD@-c pbcbox
        create --runtime pbc-none pbcbox ~ unknown or invalid runtime name: pbc-none
        run -d --name @POD@-d -m 100m --cpus 1 pbcbox sleep 100
        update -m 300m @POD@-d ~ update the memoryswap at the same time
        update --cpu-quota 20000 @POD@-d ~ CPU Quota cannot be updated as NanoCPUs has already been set
        update --cpuset-cpus 4096 @POD@-d ~ Requested CPUs are not available
        update -m 50m --memory-swap 60m --cpus 0.5 --pids-limit 9 @POD@-d
        inspect -f '{{with .HostConfig}}{{.Memory}} {{.MemorySwap}} {{.NanoCpus}} {{.PidsLimit}}{{end}}' @POD@-d
        update @POD@-d ~ you must provide one or more flags
        """,
    ),
)
