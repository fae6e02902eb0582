"""Scripts of what flows: logs, standard input and output, archives in pipes, attached terminals, events of objects."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

SCRIPTS: tuple[Script, ...] = (
    Script(
        "logs",
        """
        run -d --name @POD@ pbcbox sh -c 'for i in 1 2 3 4 5; do echo line $i; done; sleep 1; echo error >&2'
        wait @POD@
        logs @POD@ ~ error
        logs -f @POD@ ~ error
        logs --follow --tail 2 @POD@
        logs --tail all @POD@
        logs --tail=3 @POD@
        logs -n 0 @POD@
        logs -n -1 @POD@
        logs --tail nonsense @POD@
        logs -t --tail 2 @POD@
        logs --timestamps --tail 2 @POD@
        logs --since 1h @POD@
        logs --since 2000-01-01 @POD@
        logs --until 2000-01-01T00:00:00Z @POD@
        logs --until 1h @POD@
        logs --since 2999-01-01T00:00:00 @POD@
        logs --since nonsense @POD@ ~ nonsense
        logs --details @POD@
        logs ~ requires 1 argument
        run --name @POD@-tty -t pbcbox echo on a terminal
        logs @POD@-tty
        run -d --name @POD@-none --log-driver none pbcbox echo gone
        wait @POD@-none
        logs @POD@-none ~ does not support reading
        create --name @POD@-new pbcbox echo x
        logs @POD@-new
        run -d --name @POD@-opt --log-opt max-size=10k --log-opt max-file=2 pbcbox true
        inspect -f '{{json .HostConfig.LogConfig}}' @POD@-opt
        run --rm --log-driver nonsense pbcbox true ~ nonsense
        """,
        {"logs --tail nonsense": "docker shows everything without a word; here it is an error that names the value"},
    ),
    Script(
        "logs-followed",
        """
        run -d --name @POD@ --restart on-failure:1 pbcbox sh -c 'echo start; until test -e /dev/shm/go; do sleep 0.1; done; exit 3'
        $ (timeout 50 @PROGRAM@ logs -f @POD@; echo $?) > @DIR@/first & until test -s @DIR@/first; do sleep 0.1; done; @PROGRAM@ exec @POD@ touch /dev/shm/go > @DIR@/exec 2>&1; wait; cat @DIR@/first
        $ for i in $(seq 300); do @PROGRAM@ exec @POD@ touch /dev/shm/go > @DIR@/exec 2>&1; test "$(@PROGRAM@ inspect -f '{{.State.Status}} {{.RestartCount}}' @POD@)" = "exited 1" && break; sleep 0.1; done
        wait @POD@
        $ timeout 50 @PROGRAM@ logs -f @POD@; echo $?
        create --name @POD@-new pbcbox echo x
        $ timeout 50 @PROGRAM@ logs -f @POD@-new; echo $?
        run -d --name @POD@-by-hand pbcbox sh -c 'echo start; sleep 100'
        $ timeout 50 @PROGRAM@ logs -f @POD@-by-hand > @DIR@/log & until test -s @DIR@/log; do sleep 0.1; done; @PROGRAM@ restart -t 0 @POD@-by-hand > /dev/null; wait; cat @DIR@/log
        $ timeout 50 @PROGRAM@ logs -f @POD@-by-hand > @DIR@/again & until test -s @DIR@/again; do sleep 0.1; done; @PROGRAM@ stop -t 0 @POD@-by-hand > /dev/null; wait; cat @DIR@/again
        """,
    ),
    Script(
        "logs-between-times",
        """
        run --name @POD@ pbcbox sh -c 'echo one; echo two'
        logs --since 0 @POD@
        logs --until 0 @POD@
        logs --since '' --until '' @POD@
        logs --until -1h @POD@
        logs --since -1h @POD@
        logs --since +1h @POD@
        logs --since 1.5h --until 0s @POD@
        logs --since 1700000000.1234567891 @POD@
        logs --since 2020-01-01+02:00 @POD@
        logs --until 2020-01-01T00:00-01:30 @POD@
        logs --until 2020-01-01T00Z @POD@
        logs --until 2020-01-01T00:00:00.123456789 @POD@
        logs --since 2020-13-01 @POD@ ~ invalid value for "since"
        logs --until 1d @POD@ ~ failed to parse value as time or duration: "1d"
        logs --tail +1 @POD@
        """,
    ),
    Script(
        "standard-input",
        """
        $ printf 'a\\nb\\n' | @PROGRAM@ run --rm -i pbcbox cat
        $ printf 'a\\nb\\n' | @PROGRAM@ run --rm pbcbox cat
        $ printf 'echo from stdin\\nexit 6\\n' | @PROGRAM@ run --rm -i pbcbox sh
        $ printf 'a\\n' | @PROGRAM@ run --rm -i --name @POD@ pbcbox sh -c 'cat; exit 5'
        create -i --name @POD@-c pbcbox cat
        $ printf 'into start\\n' | @PROGRAM@ start -ai @POD@-c
        run -d --name @POD@-e pbcbox sleep 100
        $ printf 'into exec\\n' | @PROGRAM@ exec -i @POD@-e cat
        $ printf 'not read\\n' | @PROGRAM@ exec @POD@-e cat
        $ printf 'x\\n' | @PROGRAM@ run -t -i --rm pbcbox cat 2>&1 | grep -o 'the input device is not a TTY'
        $ yes | head -c 300000 | @PROGRAM@ run --rm -i pbcbox md5sum
        $ @PROGRAM@ run --rm pbcbox sh -c 'head -c 1000000 /dev/zero' | md5sum
        """,
    ),
    Script(
        "archives-in-pipes",
        """
        run -d --name @POD@ pbcbox sleep 100
        $ @PROGRAM@ cp @POD@:/etc/passwd - | tar tf -
        $ @PROGRAM@ cp @POD@:/etc/passwd - | tar xOf -
        $ mkdir @DIR@/d; echo x > @DIR@/d/f; tar cf - -C @DIR@ d | @PROGRAM@ cp - @POD@:/tmp
        exec @POD@ cat /tmp/d/f
        $ @PROGRAM@ export @POD@ | tar tf - | grep -c bin/busybox
        $ @PROGRAM@ export @POD@ | @PROGRAM@ import - @POD@:imported > /dev/null
        run --rm @POD@:imported cat /tmp/d/f
        $ @PROGRAM@ save pbcbox | tar tf - | grep -x -e manifest.json -e oci-layout -e index.json
        $ @PROGRAM@ save pbcbox | @PROGRAM@ load
        $ @PROGRAM@ save pbcbox | gzip | @PROGRAM@ load -q
        $ echo nonsense | @PROGRAM@ load
        $ @PROGRAM@ save pbcbox | tar xOf - manifest.json | grep -o '"RepoTags":[^]]*]'
        $ printf 'FROM pbcbox\\nRUN echo made > /made\\n' | @PROGRAM@ build -q -t @POD@:built - > /dev/null
        run --rm @POD@:built cat /made
        """,
    ),
    Script(
        "attach",
        """
        run -d --name @POD@ pbcbox sh -c 'sleep 5; echo late; exit 3'
        attach --no-stdin @POD@
        attach @POD@ ~ cannot attach to a stopped container
        attach nope ~ No such container: nope
        run -d -i --name @POD@-in pbcbox sh -c 'read x; echo got $x; exit 4'
        $ echo word | @PROGRAM@ attach @POD@-in > /dev/null
        inspect -f '{{.State.ExitCode}}' @POD@-in
        create --name @POD@-off pbcbox
        attach @POD@-off ~ cannot attach to a stopped container
        """,
    ),
    Script(
        "events-of-objects",
        """
        volume create @POD@-vol
        network create @POD@-net
        tag pbcbox @POD@:x
        run -d --name @POD@ --network @POD@-net -v @POD@-vol:/v pbcbox sleep 100
        rm -f @POD@
        rmi @POD@:x
        network rm @POD@-net
        volume rm @POD@-vol
        $ sleep 1.2
        events --since 5m --until 0s --filter volume=@POD@-vol --format '{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}'
        events --since 5m --until 0s --filter network=@POD@-net --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}'
        events --since 5m --until 0s --filter type=image --filter image=@POD@:x --format '{{.Action}} {{.Actor.Attributes.name}}'
        events --since 5m --until 0s --filter container=@POD@ --filter type=container --format '{{.Action}}'
        """,
    ),
    Script(
        "documents",
        """
        volume create --label k=v @POD@-vol
        volume inspect @POD@-vol --format json
        volume inspect @POD@-vol
        network create --label k=v --subnet 10.78.0.0/24 @POD@-net
        network inspect @POD@-net --format '{{.Name}} {{json .Labels}} {{json .Options}} {{(index .IPAM.Config 0).Subnet}}'
        network inspect bridge --format '{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}}'
        network inspect host none --format '{{.Name}} {{.Driver}} {{json .IPAM.Config}}'
        create --name @POD@ pbcbox
        container inspect --format '{{json .State}}' @POD@
        $ @PROGRAM@ inspect @POD@ | python3 -c 'import json,sys; print("\\n".join(sorted(json.load(sys.stdin)[0])))'
        $ @PROGRAM@ inspect @POD@ | python3 -c 'import json,sys; print("\\n".join(sorted(json.load(sys.stdin)[0]["Config"])))'
        $ @PROGRAM@ inspect @POD@ | python3 -c 'import json,sys; print("\\n".join(sorted(json.load(sys.stdin)[0]["HostConfig"])))'
        $ @PROGRAM@ inspect @POD@ | python3 -c 'import json,sys; print("\\n".join(sorted(json.load(sys.stdin)[0]["NetworkSettings"])))'
        """,
    ),
)
