"""Scripts of what is seldom done: streams asked for one by one, networks shared in a row, states that are in the way."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

SCRIPTS: tuple[Script, ...] = (
    Script(
        "seldom-streams",
        """
        $ printf typed | @PROGRAM@ run -i -a stdout --name @POD@-a pbcbox cat
        $ printf typed | @PROGRAM@ run -i -a stderr --name @POD@-b pbcbox sh -c 'cat >&2' 2>&1
        $ printf typed | @PROGRAM@ run -a stdin -a stdout --name @POD@-c pbcbox cat
        inspect -f '{{with .Config}}{{.AttachStdin}} {{.AttachStdout}} {{.AttachStderr}} {{.OpenStdin}} {{.StdinOnce}}{{end}}' @POD@-a @POD@-b @POD@-c
        $ printf typed | @PROGRAM@ run -i -a stdin --name @POD@-d pbcbox cat
        wait @POD@-d
        logs @POD@-d
        """,
    ),
    Script(
        "seldom-variables",
        """
        run --rm -e HOME= pbcbox sh -c 'echo $HOME'
        run --rm -e HOME= -u www pbcbox sh -c 'echo $HOME'
        run -d --name @POD@ pbcbox sleep 100
        exec -e HOME= @POD@ sh -c 'echo $HOME'
        exec -e HOME= -u www @POD@ sh -c 'echo $HOME'
        exec -e HOME=/h @POD@ sh -c 'echo $HOME'
        $ printf 'FROM pbcbox\\nENV HOME=\\nRUN echo $HOME >/made\\n' | @PROGRAM@ build -q -t @POD@:built - >/dev/null
        run --rm @POD@:built cat /made
        """,
    ),
    Script(
        "seldom-states",
        """
        run -d --name @POD@ pbcbox sleep 100
        exec -d @POD@ true
        exec -d @POD@ sh -c 'exit 3'
        exec -d @POD@ sh -c 'exit 4'
        pause @POD@
        start @POD@ ~ cannot start a paused container, try unpause instead
        start -a @POD@
        unpause @POD@
        create --name @POD@-new pbcbox
        run --rm --network container:@POD@-new pbcbox ~ cannot join network namespace of a non running container: container pbc-seldom-states-new is created
        """,
    ),
    Script(
        "seldom-shared-networks",
        """
        run -d --name @POD@-a --hostname first pbcbox sleep 100
        run -d --name @POD@-b --network container:@POD@-a pbcbox sleep 100
        run -d --name @POD@-c --network container:@POD@-b pbcbox sleep 100
        exec @POD@-c sh -c 'hostname; cat /etc/hostname; tail -n1 /etc/hosts | cut -f2'
        restart -t 0 @POD@-c
        $ @PROGRAM@ inspect -f '{{.HostsPath}} {{.HostnamePath}} {{.ResolvConfPath}}' @POD@-a @POD@-b @POD@-c | uniq | wc -l
        $ echo 1.2.3.4 mine >@DIR@/hosts
        run -d --name @POD@-d -v @DIR@/hosts:/etc/hosts pbcbox sleep 100
        run --rm --network container:@POD@-d pbcbox cat /etc/hosts
        """,
    ),
    Script(
        "seldom-links",
        """
        run -d --name @POD@-a --hostname first pbcbox sleep 100
        run -d --name @POD@-b --link @POD@-a:other pbcbox sleep 100
        exec @POD@-b sh -c 'tail -n2 /etc/hosts | head -n1 | cut -f2'
        restart -t 0 @POD@-a
        exec @POD@-b sh -c 'ping -c1 -W5 first >/dev/null && ping -c1 -W5 other >/dev/null && echo found'
        rm --link @POD@-b/other
        exec @POD@-b grep first /etc/hosts
        run -d --name @POD@-h --network host pbcbox sleep 100
        create --name @POD@-c --link @POD@-h:other pbcbox ~ host type networking can't be used with links
        """,
    ),
    Script(
        "seldom-filters",
        """
        network create @POD@
        run -d --name @POD@-a --network @POD@ pbcbox sleep 100
        run -d --name @POD@-b pbcbox sleep 100
        N := network inspect -f '{{.Id}}' @POD@
        B := network inspect -f '{{.Id}}' bridge
        ps --filter name=@POD@ --filter network=@N@ --format '{{.Names}}'
        ps --filter name=@POD@ --filter network=@N:12@ --format '{{.Names}}'
        ps --filter name=@POD@ --filter network=@B:12@ --filter network=@POD@ --format '{{.Names}}'
        ps --filter name=@POD@ --filter network=0123456789abcdef --format '{{.Names}}'
        ps --filter name=@POD@ --filter expose=80-70
        events --since 2006-01-02T15:04:05Z --until 2006-01-02 ~ cannot be after `until` time
        events --since 2006-01-02 --until 2006-01-02T15:04:05Z
        """,
    ),
    Script(
        "seldom-copies",
        """
        run -d --name @POD@ pbcbox sh -c 'mkdir -p /w/dir/sub; cd /w; echo file >file; echo a >dir/a; chmod 750 dir; ln -s file lf; ln -s dir ld; ln -s nowhere broken; ln -s loop loop; ln -s no/where broken2; touch /r; sleep 1000'
        exec @POD@ sh -c 'until test -e /r; do sleep 0.1; done'
        $ mkdir -p @DIR@/h/dir @DIR@/h/full/dir; cd @DIR@/h; echo x >file; echo y >dir/b; ln -s file lf; ln -s dir ld; ln -s nowhere broken; ln -s no/where broken2; ln -s loop loop; chmod 700 full/dir
        cp @POD@:/w/file @DIR@/h/lf
        $ cd @DIR@/h; ls -l lf | grep -o 'lf.*'; cat file
        cp @POD@:/w/file @DIR@/h/ld
        $ ls @DIR@/h/dir
        cp @POD@:/w/file @DIR@/h/broken
        $ cd @DIR@/h; ls -l broken | grep -o 'broken.*'; cat nowhere; rm nowhere
        cp @POD@:/w/dir @DIR@/h/broken
        $ cd @DIR@/h; ls -l broken | grep -o 'broken.*'; ls nowhere; rm -r nowhere
        cp @POD@:/w/file @DIR@/h/broken2
        cp @POD@:/w/file @DIR@/h/loop
        cp @POD@:/w/dir @DIR@/h/full
        $ stat -c %a @DIR@/h/full/dir
        cp @POD@:/w/ld/ @DIR@/h ~ cannot overwrite non-directory
        cp @POD@:/w/lf/.. @DIR@/h/up
        $ ls @DIR@/h/up
        cp @POD@:w/../w/./file @DIR@/h/none/../relative
        $ cat @DIR@/h/relative
        cp @DIR@/h/dir/b @POD@:/w/lf
        exec @POD@ sh -c 'ls -l /w/lf | grep -o "lf.*"; cat /w/file'
        cp @DIR@/h/dir/b @POD@:/w/broken
        exec @POD@ sh -c 'ls -l /w/broken | grep -o "broken.*"; cat /w/nowhere; rm /w/nowhere'
        cp @DIR@/h/dir @POD@:/w/broken
        exec @POD@ sh -c 'ls /w/nowhere'
        cp @DIR@/h/dir/b @POD@:/w/broken2
        cp @DIR@/h/dir/b @POD@:/w/loop
        cp @DIR@/h/dir @POD@:/w
        exec @POD@ sh -c 'stat -c "%a" /w/dir; ls /w/dir'
        cp @DIR@/h/ld/ @POD@:/w ~ cannot overwrite non-directory
        cp @DIR@/h/dir/b @POD@:/w/none/../x
        exec @POD@ cat /w/x
        cp @DIR@/h/dir/b @POD@:/w/none/x
        stop -t 0 @POD@
        cp @DIR@/h/dir/b @POD@:/w/lf
        cp @DIR@/h/dir/b @POD@:/w/ld
        $ @PROGRAM@ cp @POD@:/w - | tar tf - | sort
        cp @POD@:nope @DIR@/h ~ Could not find the file nope in container pbc-seldom-copies
        """,
    ),
    Script(
        "seldom-archives",
        """
        run -d --name @POD@ pbcbox sh -c 'mkdir -p /tree/sub; echo x >/tree/f; ln -s f /tree/l; echo y >/tree/sub/g; touch /tmp/r; sleep 1000'
        exec @POD@ sh -c 'until test -e /tmp/r; do sleep 0.1; done'
        $ @PROGRAM@ cp @POD@:/tree/. - | tar tf - | sort
        $ @PROGRAM@ cp @POD@:/tree/ - | tar tf - | sort
        $ @PROGRAM@ cp -L @POD@:/tree/l - | tar tf -
        cp -L @POD@:/tree/l @DIR@/l
        $ cat @DIR@/l
        $ mkdir @DIR@/root
        cp @POD@:/ @DIR@/root
        $ ls @DIR@/root; ls @DIR@/root/proc @DIR@/root/sys
        cp @POD@:/. @DIR@/root2
        $ ls @DIR@/root2
        cp @POD@:/ @DIR@/root3
        $ ls @DIR@/root3
        $ ls @DIR@
        $ : | @PROGRAM@ cp - @POD@:/tmp; echo $?
        cp @POD@:/tree/. @DIR@/t1
        cp @POD@:/tree/. @DIR@/t1
        $ find @DIR@/t1 | sort
        run -d --name @POD@-ro --read-only -v @POD@-v:/vol -v @DIR@:/ro:ro pbcbox sleep 1000
        cp @DIR@/l @POD@-ro:/x ~ container rootfs is marked read-only
        cp @DIR@/l @POD@-ro:/ro/x ~ mounted volume is marked read-only
        cp @DIR@/l @POD@-ro:/vol/x
        $ tar cf - -C @DIR@ l | @PROGRAM@ cp - @POD@-ro:/tmp; echo $?
        stop -t 0 @POD@-ro
        cp @DIR@/l @POD@-ro:/x ~ container rootfs is marked read-only
        cp @DIR@/l @POD@-ro:/ro/x ~ mounted volume is marked read-only
        cp @DIR@/l @POD@-ro:/vol/y
        cp @POD@-ro:/vol @DIR@/vol
        $ ls @DIR@/vol
        """,
    ),
    Script(
        "seldom-restarts",
        """
        run -d --rm --name @POD@ pbcbox sh -c 'echo run >>/runs; sleep 1000'
        restart -t 0 @POD@
        inspect -f '{{.State.Running}} {{.HostConfig.AutoRemove}}' @POD@
        exec @POD@ sh -c 'until test $(wc -l </runs) -ge 2; do sleep 0.1; done'
        restart -t 0 @POD@
        exec @POD@ sh -c 'until test $(wc -l </runs) -ge 3; do sleep 0.1; done; cat /runs'
        stop -t 0 @POD@
        $ for i in $(seq 300); do test -z "$(@PROGRAM@ ps -aq --filter name=@POD@)" && break; sleep 0.1; done; @PROGRAM@ ps -aq --filter name=@POD@
        create --rm --name @POD@-c pbcbox sleep 1000
        restart -t 0 @POD@-c
        ps -a --filter name=@POD@-c --format '{{.State}}'
        restart -t 0 @POD@-c
        kill @POD@-c
        $ for i in $(seq 300); do test -z "$(@PROGRAM@ ps -aq --filter name=@POD@)" && break; sleep 0.1; done; @PROGRAM@ ps -aq --filter name=@POD@
        $ @PROGRAM@ run --rm --name @POD@-f pbcbox sleep 1000 & for i in $(seq 300); do @PROGRAM@ exec @POD@-f true 2>/dev/null && break; sleep 0.1; done; @PROGRAM@ restart -t 0 @POD@-f; @PROGRAM@ inspect -f '{{.State.Running}}' @POD@-f; @PROGRAM@ rm -f @POD@-f; wait $!; echo $?
        """,
    ),
    Script(
        "seldom-names",
        """
        create --name @POD@-a pbcbox
        create --name @POD@-b --link @POD@-a pbcbox
        create --name @POD@-c --link @POD@-a:x pbcbox
        ps -a --no-trunc --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter name=@POD@ --format '{{.Names}}'
        rm @POD@-b
        ps -a --no-trunc --filter name=@POD@ --format '{{.Names}}'
        create --name @POD@-m --mount target=/x,readonly,bind-propagation=rshared,source=/tmp,type=bind --mount dst=/t,type=tmpfs,tmpfs-mode=700,tmpfs-size=1m --mount dst=/v,volume-label=b=c,volume-label=a=b,src=@POD@-v,volume-nocopy pbcbox
        $ @PROGRAM@ inspect -f '{{json .HostConfig.Mounts}}' @POD@-m
        """,
    ),
    Script(
        "seldom-rights",
        """
        create --name @POD@-1 --pid host pbcbox
        create --name @POD@-2 --ipc host pbcbox
        create --name @POD@-3 --pid host --security-opt no-new-privileges pbcbox
        create --name @POD@-4 --privileged --security-opt no-new-privileges pbcbox
        create --name @POD@-5 --privileged --security-opt label=disable pbcbox
        create --name @POD@-6 --security-opt systempaths=unconfined pbcbox
        create --name @POD@-7 --security-opt systempaths=unconfined --security-opt no-new-privileges pbcbox
        create --name @POD@-8 --uts host --network host --cgroupns host pbcbox
        create --name @POD@-9 --privileged --security-opt seccomp=unconfined pbcbox
        $ for i in 1 2 3 4 5 6 7 8 9; do @PROGRAM@ inspect -f '{{json .HostConfig.SecurityOpt}}' @POD@-$i; done
        """,
    ),
    Script(
        "seldom-ancestors",
        """
        tag pbcbox @POD@:base
        create --name @POD@-c1 @POD@:base true
        commit @POD@-c1 @POD@:same
        commit -c 'ENV X=1' @POD@-c1 @POD@:env
        create --name @POD@-c2 @POD@:same true
        create --name @POD@-c3 @POD@:env true
        ps -a --filter ancestor=@POD@:base --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter ancestor=@POD@:same --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter ancestor=@POD@:env --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter ancestor=pbcbox --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter ancestor=@POD@:env --filter ancestor=@POD@:same --filter name=@POD@ --format '{{.Names}}'
        run --name @POD@-c4 pbcbox touch /new
        commit @POD@-c4 @POD@:new
        create --name @POD@-c5 @POD@:new
        ps -a --filter ancestor=@POD@:new --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter ancestor=pbcbox --filter name=@POD@ --format '{{.Names}}'
        """,
    ),
    Script(
        "seldom-rotation",
        """
        run -d --name @POD@ --log-opt max-size=20k --log-opt max-file=2 pbcbox sh -c 'for i in $(seq 2000); do echo line number $i; done'
        wait @POD@
        logs --tail 3 @POD@
        $ test $(@PROGRAM@ logs @POD@ | wc -l) -lt 1500 && echo some are gone
        $ @PROGRAM@ logs @POD@ | sort -u | wc -l | grep -qx $(@PROGRAM@ logs @POD@ | wc -l) && echo none is twice
        """,
    ),
)
