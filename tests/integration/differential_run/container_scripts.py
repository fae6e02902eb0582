"""Scripts of containers: their lives, what they print, and how they end."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

SCRIPTS: tuple[Script, ...] = (
    Script("run-echo", "run --rm pbcbox echo hello"),
    Script("run-default-command", "run --rm pbcbox"),
    Script(
        "run-statuses",
        """
        run --rm pbcbox sh -c 'exit 7'
        run --rm pbcbox false
        run --rm pbcbox /nowhere ~ no such file
        run --rm pbcbox nowhere ~ nowhere
        run --rm pbcbox /etc/passwd ~ permission denied
        run --rm pbcbox sh -c 'kill -9 $$'
        run --rm pbcbox sh -c 'kill -TERM $$'
        run --rm pbc-no-such-image:v1 ~ pbc-no-such-image
        run --rm --nonsense pbcbox ~ unknown flag: --nonsense
        run --rm -Z pbcbox ~ unknown shorthand flag
        run ~ requires at least 1 argument
        run --rm --memory=lots pbcbox ~ lots
        run --rm --network=pbc-nowhere pbcbox ~ pbc-nowhere
        run --rm -v relative/path:/x pbcbox ~ relative/path
        run --rm -v /tmp:relative pbcbox ~ relative
        run --rm --mount type=bind,source=/pbc-nowhere,target=/x pbcbox ~ /pbc-nowhere
        run --rm -p 80:80:80:80:80 pbcbox ~ nvalid
        run --rm -e =x pbcbox ~ =x
        run --rm --name 'a b' pbcbox ~ Invalid container name
        run --rm UPPER ~ must be lowercase
        run -d --rm -a stdout pbcbox true
        run --rm --restart=always pbcbox true ~ --rm
        run --pull=never --rm pbc-none ~ pbc-none
        """,
    ),
    Script(
        "run-streams",
        """
        run --rm pbcbox sh -c 'echo out; echo err >&2' ~ err
        run --rm -i pbcbox cat
        run --rm -a stderr pbcbox sh -c 'echo out; echo err >&2'
        run --rm -t pbcbox echo line
        run --rm -t pbcbox tty
        run --rm pbcbox tty
        """,
    ),
    Script(
        "run-environment",
        """
        run --rm -e A=1 -e B="two words" --env C= pbcbox sh -c 'env | sort | grep -v HOSTNAME'
        run --rm -e PBC_NOT_SET pbcbox sh -c 'echo ${PBC_NOT_SET-unset}'
        run --rm --hostname box.example -e A=1 pbcbox sh -c 'hostname; echo $HOSTNAME'
        run --rm -h box --domainname example pbcbox hostname -f
        run --rm -w /tmp pbcbox pwd
        run --rm --workdir=/new/dir pbcbox pwd
        run --rm -w relative pbcbox pwd ~ relative
        run --rm -u 33:50 pbcbox id
        run --rm -u www pbcbox id
        run --rm -u 1234 pbcbox id
        run --rm -u nobody pbcbox id ~ nobody
        run --rm -u www --group-add staff --group-add 77 pbcbox sh -c 'id -G | xargs -n1 echo | sort -u'
        run --rm --entrypoint echo pbcbox a b
        run --rm --entrypoint '' pbcbox echo c
        $ printf 'X=1\\n# none\\n\\nY=a b\\nHOMELESS\\n' > @DIR@/env
        run --rm --env-file @DIR@/env pbcbox sh -c 'env | grep -E "^(X|Y|HOMELESS)" | sort'
        run --rm --env-file @DIR@/none pbcbox true ~ none
        """,
    ),
    Script(
        "run-detached",
        """
        C := run -d --name @POD@ pbcbox sh -c 'echo two >&2; sleep 1; echo one; exit 3'
        wait @POD@
        logs @POD@ ~ two
        logs --tail 1 @POD@
        logs -n0 @POD@
        logs -t @POD@
        ps -a --filter name=@POD@ --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}}'
        inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.Pid}} {{.State.Error}}' @POD@
        inspect -f '{{.Id}}' @C:12@
        rm @POD@
        rm @POD@ ~ No such container
        inspect @POD@ ~ No such object: pbc-run-detached
        logs @POD@ ~ No such container: pbc-run-detached
        """,
    ),
    Script(
        "run-name-conflict",
        """
        create --name @POD@ pbcbox
        create --name @POD@ pbcbox ~ is already in use by container
        run --name @POD@ pbcbox true ~ Conflict
        rename @POD@ @POD@-new
        rename @POD@ @POD@-other ~ No such container
        create --name @POD@ pbcbox
        rename @POD@ @POD@-new ~ already in use
        rename @POD@ @POD@ ~ same name
        rm @POD@ @POD@-new
        """,
    ),
    Script(
        "start-and-stop",
        """
        create --name @POD@ pbcbox sh -c 'trap "echo bye; exit 5" TERM; echo up; touch /dev/shm/up; while :; do sleep 0.1; done'
        start @POD@
        start @POD@
        exec @POD@ sh -c 'until test -e /dev/shm/up; do sleep 0.1; done'
        stop -t 60 @POD@
        stop @POD@
        inspect -f '{{.State.ExitCode}}' @POD@
        restart -t 60 @POD@
        exec @POD@ sh -c 'until test -e /dev/shm/up; do sleep 0.1; done'
        ? stop --time 60 @POD@
        start nope @POD@ ~ nope
        exec @POD@ sh -c 'until test -e /dev/shm/up; do sleep 0.1; done'
        kill -s TERM @POD@
        wait @POD@
        kill @POD@ ~ is not running
        stop nope ~ No such container: nope
        start nope ~ No such container: nope
        restart nope ~ No such container: nope
        kill nope ~ No such container: nope
        wait nope ~ No such container: nope
        pause @POD@ ~ is not running
        unpause @POD@ ~ is not paused
        stop ~ requires at least 1 argument
        kill -s NOSUCH @POD@ ~ nvalid signal
        logs @POD@
        rm -f @POD@
        """,
    ),
    Script(
        "start-attached",
        """
        create --name @POD@ pbcbox sh -c 'echo out; exit 4'
        start -a @POD@
        start --attach @POD@
        create -i --name @POD@-cat pbcbox cat
        start -ai @POD@-cat
        start -a @POD@ @POD@-cat ~ cannot start and attach multiple containers at once
        attach @POD@ ~ cannot attach to a stopped container
        """,
    ),
    Script(
        "signals",
        """
        run -d --name @POD@ pbcbox sleep 100
        kill -s 9 @POD@
        wait @POD@
        start @POD@
        kill -s SIGKILL @POD@
        wait @POD@
        run -d --name @POD@-stop --stop-signal QUIT --stop-timeout 55 pbcbox sh -c 'trap "exit 9" QUIT; touch /up; while :; do sleep 0.1; done'
        inspect -f '{{.Config.StopSignal}} {{.Config.StopTimeout}}' @POD@-stop
        exec @POD@-stop sh -c 'until test -e /up; do sleep 0.1; done'
        stop @POD@-stop
        wait @POD@-stop
        run -d --name @POD@-hard pbcbox sh -c 'trap "" TERM; while :; do sleep 0.1; done'
        stop -t 0 @POD@-hard
        wait @POD@-hard
        run -d --name @POD@-sig pbcbox sh -c 'trap "exit 9" USR2; touch /up; while :; do sleep 0.1; done'
        exec @POD@-sig sh -c 'until test -e /up; do sleep 0.1; done'
        stop -t 55 -s USR2 @POD@-sig
        wait @POD@-sig
        """,
    ),
    Script(
        "pause",
        """
        run -d --name @POD@ pbcbox sleep 100
        pause @POD@
        inspect -f '{{.State.Status}} {{.State.Paused}} {{.State.Running}}' @POD@
        ps --filter name=@POD@ --format '{{.Status}} {{.State}}'
        pause @POD@ ~ already paused
        exec @POD@ true ~ is paused
        unpause @POD@
        inspect -f '{{.State.Status}} {{.State.Paused}}' @POD@
        pause @POD@ nope ~ No such container: nope
        ps --filter status=paused --filter name=@POD@ -q --no-trunc
        rm -f @POD@
        """,
    ),
    Script(
        "remove",
        """
        run -d --name @POD@ pbcbox sleep 100
        rm @POD@ ~ container is running
        rm -f @POD@
        rm -f @POD@ ~ No such container
        rm nope ~ No such container: nope
        create --name @POD@-a -v /data pbcbox
        create --name @POD@-b -v @POD@-vol:/data pbcbox
        V := inspect -f '{{range .Mounts}}{{.Name}}{{end}}' @POD@-a
        rm -v @POD@-a
        volume inspect @V@ ~ o such volume
        rm -fv @POD@-b
        volume inspect -f '{{.Name}}' @POD@-vol
        rm ~ requires at least 1 argument
        """,
    ),
    Script(
        "exec",
        """
        run -d --name @POD@ -e A=1 -w /tmp -u 33 pbcbox sleep 100
        exec @POD@ sh -c 'id -u; pwd; echo $A $B'
        exec -e B=2 -w / -u 0 @POD@ sh -c 'id -u; pwd; echo $A $B'
        exec @POD@ sh -c 'exit 9'
        ? exec @POD@ nowhere
        ? exec @POD@ /etc/passwd
        exec -t @POD@ tty
        exec -i @POD@ cat
        exec -d @POD@ touch /tmp/made
        exec @POD@ sh -c 'until test -e /tmp/made; do sleep 0.1; done'
        exec @POD@ ls /tmp
        exec --privileged @POD@ true
        exec @POD@ ~ requires at least 2 arguments
        exec nope true ~ No such container: nope
        ? exec -w /none @POD@ true
        stop -t 0 @POD@
        exec @POD@ true ~ is not running
        """,
    ),
    Script(
        "top-and-port",
        """
        run -d --name @POD@ -p 127.0.0.1:28090:80 -p 127.0.0.1:28091:81/udp pbcbox sleep 100
        port @POD@
        port @POD@ 80
        port @POD@ 80/tcp
        port @POD@ 81/udp
        port @POD@ 82 ~ No public port '82' published
        port nope ~ No such container: nope
        top @POD@ -o user,comm
        top @POD@ -eo args
        inspect -f '{{json .HostConfig.PortBindings}}' @POD@
        inspect -f '{{json .NetworkSettings.Ports}}' @POD@
        inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}' @POD@
        ps --filter name=@POD@ --format '{{.Ports}}'
        stop -t0 @POD@
        port @POD@
        top @POD@ ~ is not running
        top nope ~ No such container: nope
        """,
    ),
    Script(
        "diff-and-commit",
        """
        run --name @POD@ pbcbox sh -c 'echo x > /new; rm /etc/group; mkdir /root/d; echo y >> /etc/passwd'
        ? diff @POD@
        commit -m message -a somebody -c 'CMD ["cat", "/new"]' -c 'ENV X=1' @POD@ @POD@-image
        run --rm @POD@-image
        inspect -f '{{json .Config.Cmd}} {{.Comment}} {{.Author}} {{json .Config.Env}}' @POD@-image
        history --format '{{.CreatedBy}} {{.Comment}}' @POD@-image
        commit @POD@
        commit nope ~ No such container: nope
        diff nope ~ No such container: nope
        commit --change 'NONSENSE x' @POD@ ~ NONSENSE
        rmi @POD@-image
        """,
    ),
    Script(
        "copy",
        """
        run -d --name @POD@ pbcbox sleep 100
        $ mkdir @DIR@/d && echo text > @DIR@/d/f
        cp @DIR@/d @POD@:/tmp
        exec @POD@ cat /tmp/d/f
        cp @DIR@/d/. @POD@:/root
        exec @POD@ ls /root
        cp @POD@:/tmp/d/f @DIR@/back
        $ cat @DIR@/back
        cp @POD@:/nowhere @DIR@ ~ Could not find the file /nowhere in container
        cp @DIR@/none @POD@:/ ~ none
        cp nope:/x @DIR@ ~ No such container: nope
        cp @DIR@/d/f @POD@:/no/such/dir/ ~ director
        cp @DIR@/d/f @DIR@/e ~ must specify at least one container source
        cp -q @POD@:/etc/passwd @DIR@/p
        cp @POD@:/tmp/d @DIR@/new
        $ find @DIR@ | sort
        """,
    ),
    Script(
        "export-import",
        """
        create --name @POD@ pbcbox
        export -o @DIR@/out.tar @POD@
        $ tar tf @DIR@/out.tar | sort | grep -v -e bin/ -e ^dev/ -e .dockerenv -e etc/h -e etc/mtab -e etc/resolv
        import @DIR@/out.tar @POD@:one
        import -c 'CMD ["echo", "imported"]' -m words @DIR@/out.tar @POD@:two
        run --rm @POD@:two
        run --rm @POD@:one ~ o command specified
        export nope ~ No such container: nope
        history --format '{{.Comment}}' @POD@:two
        """,
    ),
    Script(
        "update",
        """
        run -d --name @POD@ -m 64m pbcbox sleep 100
        update --memory 96m --memory-swap 96m @POD@
        inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' @POD@
        update --restart on-failure:3 @POD@
        inspect -f '{{json .HostConfig.RestartPolicy}}' @POD@
        update --cpus 0.5 @POD@
        inspect -f '{{.HostConfig.NanoCpus}}' @POD@
        update --cpu-shares 512 --pids-limit 50 @POD@
        inspect -f '{{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}}' @POD@
        update -m 1m @POD@ ~ 6MB
        update nope --cpus 1 ~ No such container: nope
        update @POD@ ~ one or more flags
        """,
    ),
    Script(
        "wait",
        """
        run -d --name @POD@-a pbcbox sh -c 'exit 1'
        run -d --name @POD@-b pbcbox sh -c 'exit 2'
        wait @POD@-a @POD@-b
        create --name @POD@-c pbcbox
        wait @POD@-a nope @POD@-b ~ nope
        """,
    ),
    Script(
        "stats",
        """
        run -d --name @POD@ -m 64m pbcbox sleep 100
        stats --no-stream --format '{{.Name}} {{.PIDs}} {{.Container}}' @POD@
        stats --no-stream --no-trunc --format '{{.ID}}' @POD@
        stats --no-stream nope ~ No such container: nope
        """,
    ),
    Script(
        "restart-policy",
        """
        run -d --name @POD@ --restart on-failure:2 pbcbox sh -c 'echo run; exit 3'
        $ for i in $(seq 300); do test "$(@PROGRAM@ inspect -f '{{.State.Status}} {{.RestartCount}}' @POD@)" = "exited 2" && break; sleep 0.1; done
        wait @POD@
        logs @POD@
        inspect -f '{{.RestartCount}} {{json .HostConfig.RestartPolicy}} {{.State.ExitCode}}' @POD@
        create --name @POD@-b --restart nonsense pbcbox ~ nonsense
        create --name @POD@-c --restart always:3 pbcbox ~ maximum retry count
        create --name @POD@-d --restart unless-stopped pbcbox
        inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' @POD@-d
        """,
    ),
    Script(
        "health",
        """
        run -d --name @POD@ --health-cmd 'echo fine' --health-interval 1s --health-retries 2 pbcbox sleep 100
        inspect -f '{{json .Config.Healthcheck}}' @POD@
        $ for i in $(seq 300); do test "$(@PROGRAM@ inspect -f '{{.State.Health.Status}}' @POD@)" = healthy && break; sleep 0.1; done
        inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}} {{(index .State.Health.Log 0).Output}}' @POD@
        ps --filter name=@POD@ --format '{{.Status}}'
        ps --filter health=healthy --filter name=@POD@ --format '{{.Names}}'
        run -d --name @POD@-none --no-healthcheck pbcbox sleep 100
        inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' @POD@-none
        """,
    ),
    Script(
        "cidfile",
        """
        C := run -d --name @POD@ --cidfile @DIR@/cid pbcbox sleep 100
        $ cat @DIR@/cid
        run --cidfile @DIR@/cid pbcbox true ~ cid
        """,
    ),
    Script(
        "init-and-namespaces",
        """
        run --rm --init pbcbox sh -c 'test $$ -gt 1 && echo a child of an init'
        run --rm --pid host pbcbox sh -c 'test $$ -gt 1 && echo host'
        run -d --name @POD@ pbcbox sleep 100
        run --rm --pid container:@POD@ pbcbox ps -o comm
        run --rm --network container:@POD@ pbcbox hostname
        run --rm --ipc container:@POD@ pbcbox true ~ hareable
        run --rm --uts host pbcbox sh -c 'test -n "$(hostname)" && echo ok'
        run --rm --read-only pbcbox sh -c 'touch /x' ~ Read-only
        run --rm --read-only --tmpfs /run pbcbox sh -c 'touch /run/x && echo ok'
        run --rm --privileged pbcbox sh -c 'grep CapEff /proc/self/status'
        run --rm pbcbox sh -c 'grep Cap /proc/self/status'
        run --rm --cap-drop ALL --cap-add NET_BIND_SERVICE pbcbox grep CapEff /proc/self/status
        run --rm --cap-add nonsense pbcbox true ~ nvalid
        run --rm --ulimit nofile=100:200 pbcbox sh -c 'ulimit -n; ulimit -Hn'
        run --rm --sysctl net.ipv4.ip_forward=0 pbcbox cat /proc/sys/net/ipv4/ip_forward
        run --rm --shm-size 1m pbcbox sh -c 'df -k /dev/shm | tail -1 | tr -s " " | cut -d " " -f 2'
        run --rm --network none pbcbox sh -c 'ls /sys/class/net'
        run --rm --add-host a:1.2.3.4 --add-host b=5.6.7.8 pbcbox grep -E ' (a|b)$' /etc/hosts
        run --rm --dns 9.9.9.9 --dns-search example.org --dns-option ndots:3 pbcbox grep -E '^[a-z]' /etc/resolv.conf
        run --rm --mac-address 02:42:ac:11:00:99 pbcbox cat /sys/class/net/eth0/address
        """,
    ),
)
