"""Scripts of lists and documents: ps, images, inspect, templates, events."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

_THREE = """
create --name @POD@-a -l tier=web -l team=x pbcbox sleep 100
run -d --name @POD@-b -l tier=db --network none pbcbox sleep 100
run --name @POD@-c -l tier=web -v @POD@-vol:/data pbcbox sh -c 'exit 3'
"""

SCRIPTS: tuple[Script, ...] = (
    Script(
        "ps-filters",
        _THREE
        + """
        ps -a --filter name=@POD@ --format '{{.Names}}'
        ps --filter name=@POD@ --format '{{.Names}}'
        container ls -a --filter name=@POD@ --format '{{.Names}}: {{.State}}'
        ps -a -f name=@POD@ -f label=tier=web --format '{{.Names}}'
        ps -af name=@POD@ -flabel=tier --format '{{.Names}}'
        ps -a -f name=@POD@ -f label=tier=web -f label=team=x --format '{{.Names}}'
        ps -a -f name=@POD@ -f label=tier=web -f label=tier=db --format '{{.Names}}'
        ps -a -f name=@POD@ -f 'label!=tier=web' --format '{{.Names}}' ~ nvalid filter
        ps -a -f name=@POD@ -f status=exited --format '{{.Names}}'
        ps -f name=@POD@ -f status=exited --format '{{.Names}}'
        ps -a -f name=@POD@ -f status=exited -f status=created --format '{{.Names}}'
        ps -a -f name=@POD@ -f exited=3 --format '{{.Names}}'
        ps -a -f name=@POD@ -f exited=0 --format '{{.Names}}'
        ps -a -f name=@POD@ -f volume=@POD@-vol --format '{{.Names}}'
        ps -a -f name=@POD@ -f volume=/data --format '{{.Names}}'
        ps -a -f name=@POD@ -f network=none --format '{{.Names}}'
        ps -a -f name=@POD@ -f network=bridge --format '{{.Names}}'
        ps -a -f name=@POD@ -f ancestor=pbcbox --format '{{.Names}}'
        ps -a -f name=@POD@ -f ancestor=pbcbox:latest --format '{{.Names}}'
        ps -a -f name=@POD@ -f ancestor=nope --format '{{.Names}}'
        ps -a -f name=@POD@ -f since=@POD@-a --format '{{.Names}}'
        ps -a -f name=@POD@ -f before=@POD@-c --format '{{.Names}}'
        ps -a -f since=nope ~ No such container: nope
        ps -a -f name=@POD@ -f expose=80/tcp --format '{{.Names}}'
        ps -a -f name=@POD@ -f expose=80/udp --format '{{.Names}}'
        ps -a -f name=@POD@ -f publish=80/tcp --format '{{.Names}}'
        ps -a -f name=@POD@ -f health=none --format '{{.Names}}'
        ps -a -f name=@POD@ -f is-task=false --format '{{.Names}}'
        ps -a -f name=^/@POD@-a$ --format '{{.Names}}'
        ps -a -f name=^@POD@-[ab]$ --format '{{.Names}}'
        ps -a -f name=@POD@-a -f name=@POD@-b --format '{{.Names}}'
        ps -a -f nonsense=x ~ nvalid filter
        ps -a -f nonsense ~ nvalid
        ps -a -f status=nonsense ~ nvalid filter
        ps -a -f exited=x ~ nvalid
        ps -a --last x ~ invalid argument
        ps -n 2 -f name=@POD@ --format '{{.Names}}'
        ps -lf name=@POD@ --format '{{.Names}}'
        """,
        {
            "ps -a -f name=@POD@ -f 'label!=tier=web'": "docker takes label! for prunes alone; here it excludes, as there"
        },
    ),
    Script(
        "ps-formats",
        _THREE
        + """
        ps -a -f name=@POD@
        ps -a --no-trunc -f name=@POD@-c
        ps -aqf name=@POD@
        ps -aq --no-trunc -f name=@POD@
        ps -a -f name=@POD@ --format table
        ps -a -f name=@POD@ --format 'table {{.Names}}\\t{{.Status}}\\t{{.Image}}'
        ps -a -f name=@POD@ --format 'table {{.ID}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Ports}}'
        ps -a -f name=@POD@ --format 'table {{.Labels}}\\t{{.Mounts}}\\t{{.Networks}}\\t{{.LocalVolumes}}\\t{{.State}}'
        ps -a -f name=@POD@ --format 'table {{.CreatedAt}}\\t{{.Size}}'
        ps -a -f name=@POD@-c --format '{{.Labels}}|{{.Label "tier"}}|{{.Label "nope"}}|'
        ps -a -f name=@POD@-c --format 'table {{.Names}} {{.Label "tier"}}'
        ps -a -f name=@POD@-c --format '{{json .}}'
        ps -a -f name=@POD@-a --format json
        ps -a -f name=@POD@-b --format json
        ps -a -f name=@POD@ --format '{{.Names | upper}}'
        ps -a -f name=@POD@ --format '{{upper .Names}} {{lower .State}} {{title .State}} {{truncate .Names 3}}'
        ps -a -f name=@POD@-a --format '{{pad .State 2 3}}|{{join (split .Names "-") "+"}}|{{len .Names}}|{{println .Names}}|'
        ps -a -f name=@POD@-a --format '{{.Nonsense}}' ~ Nonsense
        ps -a -f name=@POD@-a --format '{{.Names' ~ template
        ps -a -f name=@POD@-a --format '{{nonsense .Names}}' ~ function "nonsense" not defined
        ps -a -f name=@POD@-a --format 'plain'
        ps -a -f name=@POD@-a --format ''
        ps -as -f name=@POD@-a
        ps -a -f name=@POD@-nothing
        ps -a -f name=@POD@-nothing --format json
        ps x ~ accepts no arguments
        ps --nonsense ~ unknown flag: --nonsense
        """,
    ),
    Script(
        "inspect-container",
        """
        C := create --name @POD@ -e A=1 -l k=v -w /tmp -u 33 -p 127.0.0.1:28099:80 -v @POD@-vol:/data:ro --tmpfs /run:size=1m --memory 64m --cpus 1.5 --restart on-failure:2 --hostname box --init --entrypoint /bin/sh pbcbox -c 'exit 0'
        inspect -f '{{.Name}} {{.Id}} {{.Path}} {{.Args}} {{.Image}}' @POD@
        inspect -f '{{json .Config}}' @POD@
        inspect -f '{{json .State}}' @POD@
        inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' @POD@
        inspect -f '{{json .HostConfig.Binds}} {{json .HostConfig.Tmpfs}} {{json .HostConfig.PortBindings}} {{.HostConfig.Init}}' @POD@
        inspect -f '{{json .HostConfig}}' @POD@
        inspect -f '{{json .Mounts}}' @POD@
        inspect -f '{{json .NetworkSettings}}' @POD@
        inspect -f '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}} {{.Mode}}{{end}}' @POD@
        inspect -f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}' @POD@
        inspect -f '{{range .Config.Env}}{{println .}}{{end}}' @POD@
        inspect -f '{{index .Config.Labels "k"}} {{index .Config.Env 0}} {{len .Config.Env}}' @POD@
        inspect -f '{{.Created}} {{.RestartCount}} {{.Platform}} {{.Driver}} {{.MountLabel}} {{.ProcessLabel}} {{.AppArmorProfile}} {{.ExecIDs}}' @POD@
        inspect -f '{{if .State.Running}}up{{else}}down{{end}}' @POD@
        inspect -f '{{.State.Nonsense}}' @POD@ ~ Nonsense
        inspect -f '{{.Config.Labels.k}} {{.Config.Labels.none}}' @POD@
        inspect -f '{{.Config.Hostname}} {{.Config.Domainname}} {{.Config.User}} {{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.Image}} {{.Config.WorkingDir}}' @POD@
        inspect --format='{{.Name}}' @C:12@
        inspect --type container -f '{{.Name}}' @POD@
        inspect --type image @POD@ ~ No such image
        inspect --type nonsense @POD@ ~ nonsense
        container inspect -f '{{.Name}}' @POD@ nope ~ No such container: nope
        inspect -s -f '{{.SizeRw}}' @POD@
        inspect ~ requires at least 1 argument
        inspect -f '{{.Name}}' nope ~ No such object: nope
        inspect nope ~ No such object: nope
        """,
    ),
    Script(
        "inspect-running",
        """
        run -d --name @POD@ pbcbox sleep 100
        inspect -f '{{.State.Status}} {{gt .State.Pid 0}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.FinishedAt}} {{.State.StartedAt}}' @POD@
        inspect -f '{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.MacAddress}}' @POD@
        inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' @POD@
        inspect -f '{{range $n, $c := .NetworkSettings.Networks}}{{$n}} {{$c.Gateway}}{{end}}' @POD@
        inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' @POD@
        inspect -f '{{json .NetworkSettings.Networks}}' @POD@
        inspect -f '{{json .NetworkSettings.Ports}}' @POD@
        inspect -f '{{with .State.Health}}{{.Status}}{{else}}none{{end}}' @POD@
        inspect -f '{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig}}' @POD@
        inspect -f '{{.Config.Cmd}} {{.Config.Entrypoint}} {{json .Config.Entrypoint}} {{json .Config.Volumes}} {{.Config.OnBuild}}' @POD@
        stop -t 0 @POD@
        inspect -f '{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}} {{.State.FinishedAt}}' @POD@
        inspect -f '{{.NetworkSettings.IPAddress}}|{{json .NetworkSettings.Ports}}|{{.NetworkSettings.SandboxID}}|' @POD@
        """,
    ),
    Script(
        "templates",
        """
        create --name @POD@ -e A=1 -e B=2 -l a.b=c pbcbox sh -c 'exit 1'
        inspect -f '{{json .Config.Env}}' @POD@
        inspect -f '{{join .Config.Env ","}}' @POD@
        inspect -f '{{join .Config.Cmd " "}}' @POD@
        inspect -f '{{split .Name "-"}}' @POD@
        inspect -f '{{upper .Name}} {{lower "ABC"}} {{title "abc def"}}' @POD@
        inspect -f '{{pad "x" 2 3}}|{{pad "" 2 3}}|{{truncate "abcdef" 3}}|{{truncate "ab" 3}}' @POD@
        inspect -f '{{println "a" 1 true}}{{print "a" "b" 1 2}}' @POD@
        inspect -f '{{printf "%s %d %v %q %5s|%-5s|%05d %t %x" "a" 1 .Args "q" "r" "l" 42 true 255}}' @POD@
        inspect -f '{{printf "%.3s %T %%" "abcdef" "x"}}' @POD@
        inspect -f '{{index .Config.Env 1}} {{slice .Name 1 4}} {{len .Args}}' @POD@
        inspect -f '{{index .Config.Env 99}}' @POD@ ~ out of range
        inspect -f '{{eq .State.Status "created"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}}' @POD@
        inspect -f '{{eq 1 2 1}} {{and true false}} {{or false true}} {{not true}} {{and 1 0 2}} {{or 0 "" "x"}}' @POD@
        inspect -f '{{if and (eq .State.Status "created") (not .State.Running)}}yes{{else}}no{{end}}' @POD@
        inspect -f '{{if eq .State.ExitCode 1}}one{{else if eq .State.ExitCode 0}}zero{{else}}more{{end}}' @POD@
        inspect -f '{{with .Config}}{{.Image}} {{$.Name}}{{end}}' @POD@
        inspect -f '{{with .Config.Volumes}}some{{else}}none{{end}}' @POD@
        inspect -f '{{with $x := .Name}}{{$x}}{{end}}' @POD@
        inspect -f '{{range $i, $e := .Config.Env}}{{if $i}}, {{end}}{{$i}}:{{$e}}{{end}}' @POD@
        inspect -f '{{range .Config.Env}}{{if eq . "B=2"}}{{break}}{{end}}{{.}};{{end}}' @POD@
        inspect -f '{{range .Config.Env}}{{if eq . "A=1"}}{{continue}}{{end}}{{.}};{{end}}' @POD@
        inspect -f '{{range .Config.OnBuild}}x{{else}}none{{end}}' @POD@
        inspect -f '{{$x := 1}}{{$x = 2}}{{$x}}' @POD@
        inspect -f '{{/* nothing */}}a{{- " b " -}}   c' @POD@
        inspect -f '{{define "T"}}<{{.}}>{{end}}{{template "T" .Name}}' @POD@
        inspect -f '{{block "T" .Name}}[{{.}}]{{end}}' @POD@
        inspect -f '{{.Name | printf "%s-%s" "x" | upper}}' @POD@
        inspect -f '{{"quoted\\tx"}} {{`raw\\t`}} {{1.5}} {{nil}}' @POD@ ~ nil
        inspect -f '{{true}} {{0x10}} {{1e3}} {{"q"}}' @POD@
        inspect -f "{{'a'}}" @POD@
        inspect -f '{{.Config.Labels}} {{.Config.Env}} {{.HostConfig.Memory}} {{.State.Running}}' @POD@
        inspect -f '{{index .Config.Labels "a.b"}}' @POD@
        inspect -f '{{html "<a>"}} {{js "a\\"b"}} {{urlquery "a b&c"}}' @POD@
        inspect -f '{{call .Name}}' @POD@ ~ call
        inspect -f '{{.Config.Healthcheck}} {{json .Config.Healthcheck}} {{.HostConfig.Init}} {{.HostConfig.Ulimits}}' @POD@
        inspect -f '{{len .Config.Labels}} {{range $k, $v := .Config.Labels}}{{$k}}{{end}}' @POD@
        inspect -f '{{json .Name}} {{json .State.Running}} {{json .HostConfig.Memory}} {{json .HostConfig.Ulimits}}' @POD@
        inspect -f '{{' @POD@ ~ parsing
        inspect -f '{{if}}x{{end}}' @POD@ ~ missing value
        inspect -f '{{range .Args}}' @POD@ ~ unexpected EOF
        inspect -f '{{end}}' @POD@ ~ unexpected
        inspect -f '{{.Name.Foo}}' @POD@ ~ Foo
        inspect -f '{{add 1 2}}' @POD@ ~ function "add" not defined
        inspect -f 'x\\ty\\nz' @POD@
        inspect -f json @POD@-none ~ No such object
        inspect -f '{{table .Name}}' @POD@ ~ table
        inspect -f '{{.}}' @POD@-none ~ No such object
        ? inspect -f '' pbcbox nope ~ No such object: nope
        """,
    ),
    Script(
        "events",
        """
        create --name @POD@ -l k=v pbcbox sleep 100
        start @POD@
        pause @POD@
        unpause @POD@
        exec @POD@ true
        rename @POD@ @POD@-new
        kill @POD@-new
        wait @POD@-new
        rm @POD@-new
        $ sleep 1.2
        events --since 5m --until 0s --filter container=@POD@ --format '{{.Action}}'
        events --since 5m --until 0s --filter container=@POD@-new --filter event=die --format '{{.Type}} {{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.name}} {{.Actor.Attributes.image}}'
        events --since 5m --until 0s --filter container=@POD@-new --filter event=kill --filter event=destroy --format '{{.Status}} {{.From}} {{.Scope}}'
        events --since 5m --until 0s --filter label=k=v --filter type=container --filter event=start --format '{{.Actor.Attributes.k}}'
        events --since 5m --until 0s --filter container=@POD@-new --filter event=die
        events --since 5m --until 0s --filter container=@POD@-new --filter event=die --format '{{json .}}'
        events --since 5m --until 0s --filter container=@POD@-new --filter event=die --format json
        events --since nonsense ~ nonsense
        """,
    ),
)
