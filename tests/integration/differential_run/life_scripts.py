"""Scripts of less used flags and states: left alone from the beginning, starting again, ended, with odd words."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

_TO_STDERR = (
    "a message of the program's own goes to standard error; docker's engine writes it among the command's output"
)

SCRIPTS: tuple[Script, ...] = (
    Script(
        "life-detached",
        """
        run -di --name @POD@ pbcbox cat
        inspect -f '{{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.AttachStderr}} {{.Config.OpenStdin}} {{.Config.StdinOnce}}' @POD@
        run -d --name @POD@-none pbcbox nowhere ~ exec: "nowhere": executable file not found in $PATH
        run -d --name @POD@-path pbcbox /nowhere ~ exec: "/nowhere": stat /nowhere: no such file or directory
        run -d --name @POD@-dir pbcbox /etc ~ exec: "/etc": is a directory: permission denied
        ps -a --filter name=@POD@-none --format '{{.Names}} {{.Status}}'
        run --rm pbcbox '' ~ exec: "": executable file not found in $PATH
        exec @POD@ ''
        exec -w /etc/passwd @POD@ true
        run -dt --name @POD@-tty pbcbox sleep 100
        attach @POD@-tty ~ the input device is not a TTY
        create --name '' pbcbox
        """,
        {"exec @POD@ ''": _TO_STDERR, "exec -w /etc/passwd": _TO_STDERR},
    ),
    Script(
        "life-states",
        """
        create --name @POD@ pbcbox
        stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}' @POD@
        run -d --name @POD@-run pbcbox sleep 100
        pause @POD@-run
        rm @POD@-run ~ container is paused and must be unpaused first
        run -d --name @POD@-again --restart always pbcbox false
        $ for i in $(seq 300); do test "$(@PROGRAM@ inspect -f '{{ge .RestartCount 7}} {{.State.Status}}' @POD@-again)" = "true restarting" && break; sleep 0.1; done
        exec @POD@-again true ~ is restarting, wait until the container is running
        pause @POD@-again ~ is restarting, wait until the container is running
        attach @POD@-again ~ restarting
        rm @POD@-again ~ container is restarting: stop the container before removing or force remove
        """,
    ),
    Script(
        "life-words",
        """
        create --restart on-failure:-1 pbcbox ~ invalid restart policy: maximum retry count cannot be negative
        create --restart on-failure:x pbcbox ~ maximum retry count must be an integer
        create --restart always:2 pbcbox ~ invalid restart policy: maximum retry count can only be used with 'on-failure'
        create --restart nosuch pbcbox ~ use one of 'no', 'always', 'on-failure', or 'unless-stopped'
        create --name @POD@ --annotation x --annotation y=z pbcbox
        inspect -f '{{json .HostConfig.Annotations}}' @POD@
        commit ~ requires at least 1 and at most 2 arguments
        port a b c ~ requires at least 1 and at most 2 arguments
        ps -a --filter is-task=x ~ invalid filter 'is-task=
        ps -a --filter health=nonsense ~ invalid filter 'health=nonsense'
        ps -a --filter isolation=default --filter name=@POD@ --format '{{.Names}}'
        run -d --name @POD@-runs pbcbox sleep 100
        ps -n 0 --filter name=@POD@ --format '{{.Names}}'
        """,
    ),
    Script(
        "life-images",
        """
        create --name @POD@-same pbcbox
        $ @PROGRAM@ export @POD@-same | tar tvf - | grep -v " bin/" | cut -c1-26,49- | sort -k3
        commit @POD@-same @POD@:same
        inspect -f '{{len .RootFS.Layers}}' @POD@:same
        history --format '{{.CreatedBy}}|{{.Comment}}' @POD@:same
        rmi @POD@:same
        run --name @POD@-other pbcbox touch /x
        commit @POD@-other @POD@:other
        rmi @POD@:other
        history --human=false --format '{{.CreatedSince}} {{.ID}}' pbcbox
        history --platform linux/arm64 pbcbox ~ does not match the specified platform (linux/arm64)
        history --platform linux/amd64 -q pbcbox
        image inspect nosuch ~ No such image: nosuch:latest
        image inspect -f '{{.VirtualSize}}|{{.Container}}|{{json .ContainerConfig}}' pbcbox
        $ @PROGRAM@ image inspect pbcbox | sed -n '/"Config"/,$p'
        commit -c 'CMD ["echo", "a < b"]' @POD@-same @POD@:signs
        $ @PROGRAM@ image inspect @POD@:signs | grep -A3 '"Cmd"'
        $ @PROGRAM@ image inspect -f '{{json .Config.Cmd}}' @POD@:signs
        $ @PROGRAM@ ps -a --filter name=@POD@-none --format json
        create --name @POD@-signs -l 'x=<&>' pbcbox
        $ @PROGRAM@ ps -a --filter name=@POD@-signs --format json | grep -o '"Labels":"[^"]*"'
        $ @PROGRAM@ ps -a --filter name=@POD@-signs --format '{{json .Labels}}'
        """,
    ),
    Script(
        "life-types",
        """
        run -d --name @POD@ --health-cmd true --health-interval 31s --health-timeout 1m30s -p 127.0.0.1:28230:80 -v /tmp:/t:ro --ulimit nofile=100:200 --restart on-failure:3 --log-opt max-size=1m --device /dev/fuse --expose 99 pbcbox sleep 100
        inspect -f '{{.Config.Healthcheck}}' @POD@
        inspect -f '{{.Config.Healthcheck.Interval}} {{.Config.Healthcheck.Timeout}} {{.Config.Healthcheck.Retries}} {{.Config.Healthcheck.StartPeriod}}' @POD@
        inspect -f '{{json .Config.Healthcheck.Interval}} {{eq .Config.Healthcheck.Interval 31000000000}}' @POD@
        inspect -f '{{.Config.Volumes}} {{.Config.ExposedPorts}}' @POD@
        inspect -f '{{.NetworkSettings.Ports}} {{.HostConfig.PortBindings}}' @POD@
        inspect -f '{{.Mounts}}' @POD@
        inspect -f '{{.HostConfig.RestartPolicy}} {{.HostConfig.LogConfig}} {{.HostConfig.Devices}} {{.HostConfig.Ulimits}}' @POD@
        inspect -f '{{range $p, $c := .NetworkSettings.Ports}}{{$p}} {{$c}};{{end}}' @POD@
        """,
    ),
    Script(
        "life-events",
        """
        $ date +%s > @DIR@/begin
        create --name @POD@ pbcbox
        cp @POD@:/etc/passwd @DIR@/passwd
        cp @DIR@/passwd @POD@:/tmp
        commit @POD@ @POD@:made
        $ @PROGRAM@ events --since $(cat @DIR@/begin) --until $(($(date +%s) + 1)) --filter type=container --filter container=@POD@ --format '{{.Action}} {{.Actor.Attributes.imageRef}}'
        $ @PROGRAM@ events --since $(cat @DIR@/begin) --until $(($(date +%s) + 1)) --filter event=tag --format '{{.Type}} {{.Actor.Attributes.name}}' | grep @POD@
        """,
    ),
    Script(
        "life-machine",
        """
        info -f '{{.Swarm.LocalNodeState}} {{.Debug}} {{.ExperimentalBuild}} {{.IPv4Forwarding}} {{.OomKillDisable}} {{.IndexServerAddress}} {{.Labels}}'
        create --name @POD@ pbcbox
        system df -v --format '{{range .Containers}}{{if eq .Names "@POD@"}}{{.Names}} {{.State}}{{end}}{{end}}'
        system df -v --format '{{range .Images}}{{if eq .Repository "pbcbox"}}{{.Tag}}{{end}}{{end}}'
        """,
    ),
    Script(
        "life-templates",
        """
        create --name @POD@ pbcbox
        ps -a --filter name=@POD@ --format 'table {{.Names | lower}}\\t{{truncate .Image 3}}\\t{{title .State}}'
        ps -a --filter name=@POD@ --format 'table {{json .Names}}'
        ps -a --filter name=@POD@ --format 'tableau {{.Names}}'
        ps -a --filter name=@POD@-none --format '{{nosuch .Names}}' ~ function "nosuch" not defined
        ps -a --filter name=@POD@-none --format 'table {{.Names}}\\t{{.Ports}}'
        inspect -f '{{.Id' @POD@-none ~ unclosed action
        inspect -f '{{nosuch}}' @POD@-none ~ function "nosuch" not defined
        """,
    ),
    Script(
        "life-forced",
        """
        run --name @POD@-base pbcbox sh -c 'echo kept > /a'
        commit @POD@-base @POD@:image
        create --name @POD@ @POD@:image cat /a
        run -d --name @POD@-runs @POD@:image sleep 100
        rmi @POD@:image ~ must force
        tag @POD@:image @POD@:other
        rmi -f @POD@:image
        rmi -f @POD@:other
        ps -a --filter name=@POD@ --format '{{.Names}} {{.Image}}'
        rm -f @POD@-runs
        commit @POD@-base @POD@:second
        create --name @POD@-second @POD@:second cat /a
        rmi -f @POD@:second
        images -q @POD@
        inspect -f '{{.Config.Image}} {{.State.Status}}' @POD@-second
        ps -a --filter name=@POD@-second --format '{{.Names}} {{.Image}}'
        start -a @POD@-second
        $ @PROGRAM@ cp @POD@-second:/a - | tar xOf -
        restart -t 0 @POD@-second
        wait @POD@-second
        logs @POD@-second
        rm @POD@-second
        """,
    ),
    Script(
        "life-health",
        """
        commit -c 'HEALTHCHECK --interval=30s --retries=4 CMD true' -c 'CMD ["sleep", "100"]' @POD@-none @POD@ ~ No such container
        create --name @POD@-base pbcbox
        commit -c 'HEALTHCHECK --interval=30s --retries=4 CMD true' -c 'CMD ["sleep", "100"]' @POD@-base @POD@
        create --name @POD@-own --health-interval 7s @POD@
        inspect -f '{{json .Config.Healthcheck}}' @POD@-own
        create --name @POD@-cmd --health-cmd false --health-timeout 3s @POD@
        inspect -f '{{json .Config.Healthcheck}}' @POD@-cmd
        run -d --name @POD@-runs --health-cmd true --health-interval 200ms pbcbox sleep 100
        $ for i in $(seq 300); do test "$(@PROGRAM@ inspect -f '{{.State.Health.Status}}' @POD@-runs)" = healthy && break; sleep 0.1; done
        pause @POD@-runs
        inspect -f '{{.State.Health.Status}}' @POD@-runs
        unpause @POD@-runs
        stop -t 0 @POD@-runs
        inspect -f '{{.State.Health.Status}}' @POD@-runs
        ps -a --filter health=healthy --filter name=@POD@ --format '{{.Names}}'
        ps -a --filter health=unhealthy --filter name=@POD@ --format '{{.Names}}'
        create --name @POD@-no --no-healthcheck @POD@
        inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' @POD@-no
        """,
    ),
)
