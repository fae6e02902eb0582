"""Scripts of volumes and mounts: what is in them first, who has them, what `inspect` and templates say of them."""

from tests.integration.differential_run.scripts import Script

_MAKE = (
    "mkdir -p /full/sub /priv; echo content >/full/f; echo deep >/full/sub/g; ln -s f /full/l; ln /full/f /full/h; "
    "ln -s /full /link; ln -s nowhere /dangling; ln -s /../../etc /out; "
    "chown 33:50 /full/f; chmod 640 /full/f; chown 33:33 /full /priv; chmod 2750 /full; chmod 700 /priv"
)

SCRIPTS = (
    Script(
        "volume-first-use",
        f"""
        run --name @POD@-m pbcbox sh -c '{_MAKE}'
        ? commit @POD@-m @POD@:i
        run --rm -v @POD@-a:/full @POD@:i sh -c 'ls /full; cat /full/f; stat -c "%u:%g %a %h" /full /full/f /full/sub'
        run --rm -v @POD@-a:/x @POD@:i stat -c '%u:%g %a' /x /x/f
        run --rm -v @POD@-b:/full:nocopy @POD@:i sh -c 'ls /full; stat -c "%u:%g %a" /full'
        run --rm -v @POD@-b:/full @POD@:i ls /full
        run --rm -v @POD@-c:/full:ro @POD@:i sh -c 'ls /full; touch /full/x' ~ Read-only file system
        run --rm -v @POD@-d:/link @POD@:i sh -c 'ls /full; readlink /link'
        run --rm -v @POD@-e:/dangling @POD@:i sh -c 'readlink /dangling; stat -c "%F %u:%g %a" /nowhere'
        run --rm -v @POD@-f:/out/new @POD@:i ls -d /etc/new
        run --rm -v @POD@-g:/priv -u www @POD@:i sh -c 'touch /priv/x; stat -c "%u %a" /priv /priv/x'
        run --rm -v @POD@-h:/new/deep @POD@:i stat -c '%u:%g %a' /new /new/deep
        run --rm -v @POD@-i:/full/sub @POD@:i sh -c 'cat /full/sub/g'
        run --rm --mount type=volume,src=@POD@-j,dst=/full,volume-nocopy @POD@:i ls /full
        run --rm --mount type=volume,src=@POD@-k,dst=/full,readonly @POD@:i ls /full
        run --rm -v @POD@-l:/bin/busybox @POD@:i true ~ directory
        create --name @POD@-n -v @POD@-o:/full @POD@:i
        run --rm -v @POD@-o:/y @POD@:i ls /y
        run --rm --tmpfs /full --tmpfs /priv --tmpfs /t @POD@:i stat -c '%u:%g %a' /full /priv /t
        run --rm --mount type=tmpfs,dst=/full --tmpfs /priv:mode=711 @POD@:i stat -c '%a' /full /priv
        run --rm --read-only -v @POD@-p:/w -v /an @POD@:i sh -c 'touch /w/x /an/x && echo made; touch /x' ~ Read-only
        run --rm -v @POD@-q:/srv/dir -w /srv/dir/sub @POD@:i sh -c 'pwd; stat -c %a .'
        """,
    ),
    Script(
        "volume-anonymous",
        """
        run -d --name @POD@-a -v /x -v @POD@-n:/y pbcbox sleep 100
        V := inspect -f '{{range .Mounts}}{{if eq .Destination "/x"}}{{.Name}}{{end}}{{end}}' @POD@-a
        volume inspect @V@
        volume ls -q --filter label=com.docker.volume.anonymous --filter name=@V@
        inspect -f '{{range .Mounts}}{{if eq .Destination "/y"}}{{.Driver}} {{.RW}} [{{.Mode}}]{{end}}{{end}}' @POD@-a
        inspect -f '{{json .HostConfig.Binds}} {{json .Config.Volumes}}' @POD@-a
        ps --filter name=@POD@ --filter volume=@V@ --format '{{.Names}} {{.LocalVolumes}}'
        create --name @POD@-b --volumes-from @POD@-a:ro pbcbox
        inspect -f '{{range .Mounts}}{{if eq .Destination "/x"}}{{.RW}} [{{.Mode}}]{{end}}{{end}}' @POD@-b
        ? rm -fv @POD@-a
        volume inspect -f '{{.Name}}' @V@
        volume rm @V@ ~ volume is in use
        rm -v @POD@-b
        volume inspect -f '{{.Name}}' @V@ ~ o such volume
        volume ls -q --filter name=@POD@
        run -d --name @POD@-c -v /x pbcbox true
        wait @POD@-c
        W := inspect -f '{{range .Mounts}}{{.Name}}{{end}}' @POD@-c
        rm @POD@-c
        volume rm @W@
        """,
    ),
    Script(
        "volume-sources",
        """
        create --name @POD@-a -v @DIR@/made//x/../y:/m -v @DIR@:/ro:ro pbcbox ls -a /m
        $ ls @DIR@
        start -a @POD@-a
        $ stat -c '%a %F' @DIR@/made/y; rm -r @DIR@/made
        start -a @POD@-a
        $ stat -c '%a %F' @DIR@/made/y; mkdir @DIR@/two
        create --name @POD@-b --mount type=bind,src=@DIR@/two,dst=/m pbcbox true
        $ rmdir @DIR@/two; echo one >@DIR@/f; ln -s f @DIR@/l; mkdir -p @DIR@/d/sub
        start @POD@-b ~ bind source path does not exist
        run --rm --mount type=bind,src=@DIR@/none,dst=/m pbcbox true ~ bind source path does not exist
        run --rm -v @DIR@/f:/new/deep/f pbcbox cat /new/deep/f
        run --rm -v @DIR@/l:/etc/passwd:ro pbcbox cat /etc/passwd
        run --rm -v @DIR@/f:/etc pbcbox true ~ mount a directory onto a file
        run --rm -v @DIR@/d:/bin/busybox pbcbox true ~ mount a directory onto a file
        run --rm -v @DIR@/d:/x -v @DIR@/f:/x/y pbcbox sh -c 'cat /x/y; ls /x'
        $ stat -c '%a %s' @DIR@/d/y
        run --rm -v @DIR@/d:/x:ro -v @DIR@/f:/x/z pbcbox true ~ ead-only file system
        run --rm -v @DIR@/d:/x:ro -v @POD@-v:/x/sub pbcbox sh -c 'touch /x/sub/f && ls /x/sub'
        run --rm -v @DIR@/f/below:/x pbcbox true ~ ot a directory
        run --rm -v @DIR@/d:/x -v @DIR@/d:/x pbcbox ls /x
        run --rm -v /dev/null:/x pbcbox stat -c %F /x
        run --rm -v @DIR@/d:/proc/none pbcbox true ~ o such file or directory
        """,
        {
            "run --rm -v @DIR@/d:/proc/none": "125 for all that never ran",
        },
    ),
    Script(
        "volume-words",
        """
        run --rm -v /x:ro pbcbox true ~ invalid volume specification: '/x:ro'
        run --rm -v /x: pbcbox true ~ empty section between colons
        run --rm -v :/x pbcbox true ~ empty section between colons
        run --rm -v aa:bb:cc:dd pbcbox true ~ too many colons
        run --rm -v '' pbcbox true
        run --rm -v /x:/ pbcbox true ~ destination can't be '/'
        run --rm -v @POD@-q:rel pbcbox true ~ mount path must be absolute
        run --rm -v @POD@-q:/x:rw,rw pbcbox true ~ invalid mode: rw,rw
        run --rm -v @POD@-q:/x:ro,rw pbcbox true ~ invalid mode: ro,rw
        run --rm -v @POD@-q:/x:z,Z pbcbox true ~ invalid mode: z,Z
        run --rm -v @POD@-q:/x:nocopy,nocopy pbcbox true ~ invalid mode
        run --rm -v @POD@-q:/x:, pbcbox true ~ invalid mode: ,
        run --rm -v @POD@-q:/x:RO pbcbox true ~ invalid mode: RO
        run --rm -v @POD@-q:/x:rshared pbcbox true
        run --rm -v @POD@-q:/x:ro,z,nocopy,cached pbcbox true
        run --rm -v ~/x:/x pbcbox true ~ includes invalid characters for a local volume name
        run --rm -v a/b:/x pbcbox true ~ includes invalid characters for a local volume name
        run --rm --mount ' type=tmpfs,dst=/x' pbcbox true ~ unexpected key ' type' in ' type=tmpfs'
        run --rm --mount type=volume,dst=/x,volume-subpath=a pbcbox true ~ must not set Subpath when using anonymous
        run --rm --mount type=volume,src=@POD@-q,dst=/x,volume-subpath=/a pbcbox true ~ relative path within the volume
        run --rm --mount type=volume,src=@POD@-q,dst=/x,volume-subpath=a/../.. pbcbox true ~ relative path within
        run --rm -v @POD@-q:/x pbcbox mkdir -p /x/a/b
        run --rm --mount type=volume,src=@POD@-q,dst=/y,volume-subpath=./a/../a pbcbox ls /y
        run --rm --tmpfs /t:foo pbcbox true ~ invalid tmpfs option "foo"
        run --rm --tmpfs t pbcbox true ~ mount path must be absolute
        run --rm --tmpfs / pbcbox true ~ destination can't be '/'
        run --rm --tmpfs /t -v @POD@-q:/t pbcbox true ~ Duplicate mount point: /t
        run --rm --volumes-from '' pbcbox true
        create --name @POD@-a -v @POD@-q:/x --tmpfs /t pbcbox
        create --name @POD@-b --volumes-from @POD@-a: pbcbox
        create --name @POD@-c --volumes-from @POD@-a:nocopy pbcbox ~ invalid mode: nocopy
        inspect -f '{{range .Mounts}}{{.RW}} [{{.Mode}}]{{end}} {{json .HostConfig.VolumesFrom}}' @POD@-b
        volume create x ~ volume name is too short
        volume create a/b ~ includes invalid characters for a local volume name
        volume create -o size=1m @POD@-s ~ quota size requested but no quota support
        volume create -o foo=bar @POD@-s ~ invalid option: "foo"
        volume create -o type=none @POD@-s ~ missing required option: "device"
        volume create -d other @POD@-s ~ create pbc-volume-words-s: error looking up volume plugin other
        volume create --label =x @POD@-s ~ empty name
        """,
    ),
    Script(
        "volume-told",
        """
        volume create --label v5=x --label a=b @POD@-a
        volume create --label v5=y @POD@-b
        create --name @POD@-c1 -v @POD@-a:/x --mount type=tmpfs,dst=/t,tmpfs-size=1m pbcbox
        create --name @POD@-c2 -v @POD@-a:/x -v @DIR@:/b:ro pbcbox
        volume ls --filter name=^@POD@-a$
        volume ls -q --filter name=told-[ab]
        volume ls -q --filter label=v5=x --filter label=a
        volume ls -q --filter name=@POD@ --filter dangling=0
        volume ls -q --filter name=@POD@ --filter dangling=maybe ~ invalid filter 'dangling
        volume ls -q --filter name=@POD@ --filter label!=v5 ~ invalid filter 'label!'
        volume ls -q --filter name=@POD@ --format '{{.Driver}}'
        volume inspect @POD@-a
        volume inspect -f '{{.Labels}} {{.Options}}' @POD@-b
        volume inspect -f '{{.Status}} {{.UsageData}} {{.Labels.none}} {{index .Labels "v5"}}' @POD@-a
        inspect -f '{{range .Mounts}}{{if eq .Type "tmpfs"}}{{.}} [{{.Name}}{{.Driver}}]{{end}}{{end}}' @POD@-c1
        inspect -f '{{range .HostConfig.Mounts}}{{.Type}} {{.Source}} {{.ReadOnly}} {{.BindOptions}};{{end}}' @POD@-c1
        inspect -f '{{range .HostConfig.Mounts}}{{json .}}{{end}}' @POD@-c1
        ps -a --filter volume=@POD@-a --format '{{.Names}}'
        volume rm @POD@-a @POD@-b ~ volume is in use
        volume rm -f @POD@-a ~ volume is in use
        volume rm -f @POD@-none
        volume prune -af --filter label=v5 --filter label!=v5=y
        volume prune -af --filter all=1 ~ cannot specify both --all and --filter all=1
        volume prune -f --filter all=maybe ~ invalid filter 'all
        rm @POD@-c1 @POD@-c2
        volume prune -f --filter label=v5=x --filter all=1
        volume ls -q --filter name=@POD@
        """,
    ),
    Script(
        "volume-memory",
        """
        volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=33,mode=0750 @POD@-t
        run --rm -v @POD@-t:/etc pbcbox sh -c 'stat -c "%u:%g %a" /etc; ls /etc | grep -c passwd; df /etc | tail -n1'
        run -d --name @POD@-a -v @POD@-t:/x pbcbox sh -c 'echo a >/x/.a; mv /x/.a /x/a; sleep 100'
        exec @POD@-a sh -c 'until test -e /x/a; do sleep 0.1; done'
        run --rm -v @POD@-t:/deep/y pbcbox sh -c 'cat /deep/y/a; echo b >/deep/y/b'
        run --rm -v @POD@-t:/y:ro pbcbox sh -c 'ls /y; touch /y/c' ~ Read-only
        exec @POD@-a cat /x/b
        ? rm -f @POD@-a
        run --rm -v @POD@-t:/y pbcbox ls /y
        volume create -o type=none -o o=bind -o device=@DIR@ @POD@-b
        $ echo hi >@DIR@/hi
        run --rm -v @POD@-b:/x pbcbox cat /x/hi
        run --rm -v @POD@-b:/x:ro pbcbox sh -c 'cat /x/hi; touch /x/no' ~ Read-only
        volume create -o type=none -o o=bind,ro -o device=@DIR@ @POD@-c
        run --rm -v @POD@-c:/x pbcbox sh -c 'cat /x/hi; touch /x/no' ~ Read-only
        volume create -o type=none -o o=bind -o device=@DIR@/none @POD@-d
        run --rm -v @POD@-d:/x pbcbox true ~ o such file or directory
        volume rm @POD@-b
        $ ls @DIR@
        """,
        {
            "run --rm -v @POD@-d:/x": "125 for all that never ran",
        },
    ),
)
