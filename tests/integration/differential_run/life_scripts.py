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
        $ for i in $(seq 300); do test "$(@PROGRAM@ inspect -f '{{ge .RestartCount 6}} {{.State.Status}}' @POD@-again)" = "true restarting" && break; sleep 0.1; done
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
        "life-health",
        """
        commit -c 'HEALTHCHECK --interval=30s --retries=4 CMD true' -c 'CMD ["sleep", "100"]' @POD@-none @POD@ ~ No such container
        create --name @POD@-base pbcbox
        commit -c 'HEALTHCHECK --interval=30s --retries=4 CMD true' -c 'CMD ["sleep", "100"]' @POD@-base @POD@
        create --name @POD@-own --health-interval 7s @POD@
        inspect -f '{{json .Config.Healthcheck}}' @POD@-own
        create --name @POD@-cmd --health-cmd false --health-timeout 3s @POD@
        inspect -f '{{json .Config.Healthcheck}}' @POD@-cmd
        create --name @POD@-no --no-healthcheck @POD@
        inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' @POD@-no
        """,
    ),
)
