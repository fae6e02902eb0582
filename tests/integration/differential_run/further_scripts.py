"""Scripts of everyday work: a service and its client, repeated commands, many names at once, odd but valid spellings."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

_NOTHING_LEFT = "a container that cannot be connected is not left behind: nothing of it ever ran"
_OUR_STATUS = (
    "125, as everything that is the program's own fault; docker takes the words `no such file` for the command's"
)

SCRIPTS: tuple[Script, ...] = (
    Script(
        "two-services",
        """
        network create @POD@
        volume create @POD@-data
        run -d --name @POD@-web --network @POD@ -v @POD@-data:/www --restart unless-stopped -p 127.0.0.1:28217:80 pbcbox sh -c 'echo hello > /www/index.html; exec httpd -f -p 80 -h /www'
        $ for i in $(seq 50); do curl -s -m 2 http://127.0.0.1:28217/ && break; sleep 0.3; done
        run --rm --network @POD@ pbcbox wget -q -O - http://@POD@-web/
        exec @POD@-web sh -c 'echo changed > /www/index.html'
        run --rm --network @POD@ pbcbox wget -q -O - http://@POD@-web/
        restart -t 0 @POD@-web
        ps --filter name=@POD@ --format '{{.Names}} {{.Image}} {{.State}} {{.Ports}} {{.Networks}} {{.Mounts}}'
        port @POD@-web
        port @POD@-web 80/tcp
        run --rm -v @POD@-data:/d pbcbox cat /d/index.html
        run --name @POD@-taken -p 127.0.0.1:28217:81 pbcbox true ~ 28217
        ps -a --filter name=@POD@-taken --format '{{.Status}}'
        volume rm @POD@-data ~ volume is in use
        network rm @POD@ ~ has active endpoints
        ? rm -f @POD@-web @POD@-taken
        volume rm @POD@-data
        network rm @POD@
        """,
        {"ps -a --filter name=@POD@-taken": _NOTHING_LEFT},
    ),
    Script(
        "many-names",
        """
        create --name @POD@-1 pbcbox sleep 100
        create --name @POD@-2 pbcbox sleep 100
        create --name @POD@-3 pbcbox sleep 100
        start @POD@-1 @POD@-2 @POD@-3
        ps -q --filter name=@POD@
        inspect -f '{{.Name}}' @POD@-1 @POD@-2 @POD@-3
        pause @POD@-1 @POD@-2
        unpause @POD@-1 @POD@-2
        kill @POD@-1 @POD@-2
        wait @POD@-1 @POD@-2
        restart -t 0 @POD@-1 @POD@-3
        stop -t 0 @POD@-1 @POD@-2 @POD@-3
        rm @POD@-1 nope @POD@-2 ~ nope
        rm -f @POD@-1 @POD@-2 @POD@-3 ~ No such container
        ps -aq --filter name=@POD@
        """,
    ),
    Script(
        "spellings",
        """
        run --rm --env=A=1 --env B=2 -e=C=3 pbcbox sh -c 'echo $A $B $C'
        run --rm -eA=1 pbcbox sh -c 'echo $A'
        run --rm -w/tmp pbcbox pwd
        run --rm -it=false pbcbox echo x
        run --rm=true pbcbox echo x
        run --rm=false --name @POD@-kept pbcbox echo kept
        ps -a --filter=name=@POD@-kept --format={{.Names}}
        ps -a -fname=@POD@-kept --format='{{.Names}}'
        rm @POD@-kept
        run -itd --name @POD@ pbcbox
        inspect -f '{{.Config.Tty}} {{.Config.OpenStdin}} {{.State.Status}}' @POD@
        ? exec @POD@ -- echo x
        rm -vf @POD@
        run --rm -- pbcbox echo after
        run --rm pbcbox -- x ~ --
        run --rm pbcbox sh -c 'echo "$0" "$@"' a b c
        run --rm -ti pbcbox echo x ~ the input device is not a TTY
        run --rm -e A pbcbox env --help ~ env
        images --format {{.Repository}} pbcbox
        images --filter=reference=pbcbox --format={{.Tag}}
        image inspect --format={{.Os}} pbcbox:latest
        inspect -f{{.Os}} pbcbox
        run --rm -p80 -P pbcbox true
        run --rm --publish=127.0.0.1::80 pbcbox true
        run --rm --label a=b --label=c -ld=e pbcbox true
        run --rm --memory=64M --memory-swap=-1 pbcbox true
        run --rm -m 64MB pbcbox true
        run --rm --cpus=.5 pbcbox true
        run --rm -c 512 pbcbox true
        run --rm -u0:0 pbcbox id -u
        run --rm --user=root pbcbox id -u
        run --rm --net none pbcbox ls /sys/class/net
        run --rm --network=host pbcbox true
        run --rm --privileged=false pbcbox true
        run --rm --read-only=false pbcbox touch /x
        run --rm --init=true pbcbox true
        run --rm --pull=missing pbcbox true
        run --rm --pull missing -q pbcbox true
        run --rm --pull nonsense pbcbox true ~ nonsense
        run --rm --sig-proxy=false pbcbox true
        run --rm --tmpfs=/t pbcbox touch /t/x
        run --rm -v /anon pbcbox touch /anon/x
        run --rm --volume=/anon pbcbox ls -d /anon
        run --rm --stop-signal=9 pbcbox true
        run --rm --stop-signal nonsense pbcbox true ~ nonsense
        run --rm --log-driver=none pbcbox echo shown
        run --rm --isolation default pbcbox true
        run --rm --platform linux/amd64 pbcbox true
        run --rm --runtime nonsense pbcbox true ~ nonsense
        run --rm --userns host pbcbox id -u
        run --rm --cgroupns host pbcbox true
        run --rm --oom-score-adj 500 pbcbox cat /proc/self/oom_score_adj
        run --rm --pids-limit -1 pbcbox true
        run --rm --security-opt no-new-privileges pbcbox grep NoNewPrivs /proc/self/status
        run --rm --security-opt seccomp=unconfined pbcbox grep Seccomp: /proc/self/status
        run --rm --ulimit nofile=64 pbcbox sh -c 'ulimit -n; ulimit -Hn'
        run --rm --ulimit nonsense=1 pbcbox true ~ nonsense
        run --rm --device /dev/fuse pbcbox ls /dev/fuse
        run --rm --device /dev/nonsense pbcbox true ~ /dev/nonsense
        run --rm --expose 90 --expose 91-92/udp --name @POD@-x pbcbox true
        run --rm --sysctl nonsense=1 pbcbox true ~ nonsense
        run --rm --tmpfs /t:nonsense pbcbox true ~ nonsense
        """,
        {"run --rm --device /dev/nonsense": _OUR_STATUS},
    ),
    Script(
        "ids",
        """
        C := create --name @POD@ pbcbox sleep 100
        inspect -f '{{.Name}}' @C@
        inspect -f '{{.Name}}' @C:12@
        inspect -f '{{.Name}}' @C:5@
        start @C:12@
        exec @C:8@ echo hi
        logs @C:12@
        stop -t 0 @C@
        rename @C:12@ @POD@-new
        ps -a --filter id=@C:12@ --format '{{.Names}}'
        ps -a --filter id=@C@ --format '{{.Names}}'
        ? rm @C:6@
        I := inspect -f '{{.Id}}' pbcbox
        inspect -f '{{.Os}}' @I@
        run --rm @I@ echo by id
        run --rm @I:19@ echo by a prefix
        image inspect -f '{{.Id}}' @I:19@
        history -q @I:19@
        tag @I@ @POD@:tagged
        rmi @POD@:tagged
        """,
    ),
    Script(
        "written-files",
        """
        run --rm pbcbox sh -c 'cat /etc/hostname | wc -c'
        run --rm --hostname box pbcbox cat /etc/hostname
        run --rm --hostname box --network none pbcbox cat /etc/hosts
        run --rm --hostname box --domainname example.org pbcbox sh -c 'tail -1 /etc/hosts | cut -f2'
        run --rm --network host pbcbox sh -c 'test -s /etc/hosts && echo there'
        run --rm pbcbox sh -c 'mount | grep -c -e /etc/hosts -e /etc/resolv.conf -e /etc/hostname'
        run --rm pbcbox sh -c 'mount | grep -E " /(proc|sys|dev|dev/pts|dev/shm|dev/mqueue) " | cut -d" " -f3,5 | sort'
        run --rm pbcbox sh -c 'ls /dev | sort | grep -v -e ^core'
        run --rm pbcbox sh -c 'ls -ld /proc/sys/kernel /sys/fs/cgroup > /dev/null && echo ok'
        run --rm pbcbox sh -c 'echo 1 > /proc/sys/kernel/panic' ~ ead-only
        run --rm pbcbox sh -c 'touch /sys/x' ~ touch
        run --rm --privileged pbcbox sh -c 'test -e /dev/loop-control -o -e /dev/null && echo ok'
        run --rm pbcbox sh -c 'cat /proc/self/status | grep -E "^(Uid|Gid|Seccomp|NoNewPrivs):" | tr "\\t" " "'
        run --rm pbcbox sh -c 'ulimit -c; umask'
        run --rm pbcbox sh -c 'id; pwd; echo $HOME'
        run --rm -u www pbcbox sh -c 'id -un; echo $HOME'
        run --rm pbcbox env
        run --rm -t pbcbox sh -c 'echo $TERM; stty size | wc -w'
        run --rm pbcbox sh -c 'cat /proc/1/cmdline | tr "\\0" " "'
        """,
    ),
    Script(
        "commit-changes",
        """
        create --name @POD@ --entrypoint /bin/echo -e A=1 -l k=v -u www -w /tmp --expose 99 pbcbox words
        commit -q @POD@ @POD@:plain > /dev/null
        inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}} {{json .Config.Env}} {{json .Config.Labels}} {{json .Config.ExposedPorts}}' @POD@:plain
        commit -c 'ENTRYPOINT ["/bin/sh"]' -c 'CMD ["-c", "echo new"]' -c 'ENV B=2' -c 'LABEL x=y' -c 'USER root' -c 'WORKDIR /' -c 'EXPOSE 1/udp' -c 'VOLUME /v' -c 'STOPSIGNAL 9' -c 'HEALTHCHECK --interval=5s CMD true' -c 'ONBUILD RUN true' @POD@ @POD@:changed
        inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}}' @POD@:changed
        inspect -f '{{json .Config.Env}} {{json .Config.Labels}} {{json .Config.Volumes}} {{.Config.StopSignal}}' @POD@:changed
        inspect -f '{{json .Config.ExposedPorts}}' @POD@:changed
        inspect -f '{{json .Config.OnBuild}}' @POD@:changed
        run --rm @POD@:changed
        commit -p=false -m 'a message' -a 'A Name <a@example.org>' @POD@ @POD@:told
        inspect -f '{{.Comment}}|{{.Author}}' @POD@:told
        history --format '{{.CreatedBy}}|{{.Comment}}|{{.Size}}' @POD@:told
        commit @POD@ UPPER ~ must be lowercase
        commit @POD@ @POD@:plain > /dev/null
        images @POD@ --format '{{.Tag}}'
        """,
    ),
    Script(
        "failures-leave-nothing",
        """
        ? run -d --name @POD@ pbcbox nowhere ~ nowhere
        ps -a --filter name=@POD@ --format '{{.Names}} {{.Status}}'
        inspect -f '{{.State.ExitCode}} {{.State.Status}} {{len .State.Error | lt 0}}' @POD@
        rm @POD@
        run --name @POD@ --network pbc-nowhere pbcbox true ~ pbc-nowhere
        ps -a --no-trunc --filter name=@POD@ --format '{{.Names}}'
        ? rm -f @POD@
        run --name @POD@ -v @POD@-vol:/x --mount type=bind,src=/pbc-nowhere,dst=/y pbcbox true ~ /pbc-nowhere
        ps -a --filter name=@POD@ -q
        run --name @POD@ pbc-none-such ~ pbc-none-such
        ps -a --filter name=@POD@ -q
        create --name @POD@ --memory 1k pbcbox ~ 6MB
        ps -a --filter name=@POD@ -q
        run --rm --name @POD@ pbcbox sh -c 'exit 9'
        ps -a --filter name=@POD@ -q
        run --rm -d --name @POD@ pbcbox sleep 6
        wait @POD@
        $ for i in $(seq 300); do test -z "$(@PROGRAM@ ps -aq --filter name=@POD@)" && break; sleep 0.1; done
        ps -a --filter name=@POD@ -q
        run --rm --cidfile /pbc-no/dir/x --name @POD@ pbcbox true ~ /pbc-no/dir/x
        ps -a --filter name=@POD@ -q
        """,
        {
            "ps -a --no-trunc --filter name=@POD@": _NOTHING_LEFT,
            "run --rm --cidfile /pbc-no/dir/x": _OUR_STATUS,
        },
    ),
)
