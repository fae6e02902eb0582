"""Scripts of images, volumes, networks, and of the machine as a whole."""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

SCRIPTS: tuple[Script, ...] = (
    Script(
        "images",
        """
        tag pbcbox @POD@:v1
        tag pbcbox @POD@:v2
        tag pbcbox example.com:5000/@POD@/deep:v3
        images @POD@
        images @POD@:v1
        images --no-trunc @POD@:v1 --format '{{.ID}}'
        images --digests @POD@:v1
        images -q @POD@
        images -aq @POD@
        image ls @POD@ --format '{{.Repository}}:{{.Tag}}'
        image list --format '{{.Repository}} {{.Tag}}' --filter reference=@POD@:*
        images --filter 'reference=*/@POD@/*' --format '{{.Repository}}'
        images --filter 'reference=@POD@:v[12]' --format '{{.Tag}}'
        images --filter reference=@POD@:v1 --filter reference=@POD@:v2 --format '{{.Tag}}'
        images --filter label=maker=pbc --filter reference=@POD@ --format '{{.Tag}}'
        images --filter label=maker=other --filter reference=@POD@ -q
        images --filter label=maker --filter reference=@POD@:v1 --format '{{.Tag}}'
        images --filter dangling=false --filter reference=@POD@:v1 --format '{{.Tag}}'
        images --filter dangling=true --filter reference=@POD@:v1 -q
        images --filter dangling=maybe ~ dangling
        images --filter nonsense=x ~ nvalid filter
        images --filter since=nope ~ nope
        images --format json @POD@:v1
        images --format '{{json .}}' @POD@:v1
        images --format 'table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Digest}}' @POD@:v1
        images --format 'table {{.CreatedAt}}\\t{{.Size}}' @POD@:v1
        images --format '{{.Nonsense}}' @POD@:v1 ~ Nonsense
        images nothing-here
        images a b ~ requires at most 1 argument
        rmi @POD@:v1
        rmi @POD@:v1 ~ No such image
        rmi @POD@:v2 example.com:5000/@POD@/deep:v3
        rmi nope nope2 ~ nope
        rmi -f nope ~ No such image
        rmi ~ requires at least 1 argument
        tag nope @POD@:x ~ No such image: nope
        tag pbcbox UPPER ~ must be lowercase
        tag pbcbox '@POD@:bad tag' ~ nvalid
        tag pbcbox ~ requires 2 arguments
        """,
    ),
    Script(
        "image-in-use",
        """
        tag pbcbox @POD@:used
        create --name @POD@ @POD@:used
        rmi @POD@:used
        inspect -f '{{.Config.Image}}' @POD@
        ps -a --filter name=@POD@ --format '{{.Image}}'
        run --name @POD@-b --entrypoint sh pbcbox -c 'echo x > /x'
        commit -q @POD@-b @POD@:layer
        create --name @POD@-c @POD@:layer
        rmi @POD@:layer
        start -a @POD@-c
        """,
    ),
    Script(
        "image-inspect",
        """
        tag pbcbox @POD@:t
        image inspect -f '{{.Id}} {{.Os}} {{.Architecture}}' @POD@:t
        image inspect -f '{{json .Config}}' pbcbox
        image inspect -f '{{json .Config.Env}} {{.Config.WorkingDir}} {{json .Config.ExposedPorts}} {{.Config.Labels.maker}}' pbcbox
        image inspect -f '{{.Config.User}}|{{.Config.StopSignal}}|{{.Author}}|{{.Comment}}|{{.Parent}}' pbcbox
        image inspect -f '{{len .RootFS.Layers}} {{.RootFS.Type}} {{gt .Size 1000}} {{.Created}}' pbcbox
        image inspect -f '{{json .RepoDigests}} {{.Metadata.LastTagTime}}' pbcbox
        image inspect nope ~ No such image: nope
        image inspect pbcbox nope --format '{{.Os}}' ~ No such image: nope
        image inspect --platform linux/amd64 -f '{{.Os}}' pbcbox
        history pbcbox --format '{{.CreatedBy}}|{{.Comment}}|{{.CreatedSince}}'
        history pbcbox
        history -q --no-trunc pbcbox
        history -H=false --format '{{.CreatedAt}}' pbcbox
        history --format json pbcbox
        history --format 'table {{.ID}}\\t{{.CreatedBy}}' pbcbox
        history nope ~ No such image: nope
        history ~ requires 1 argument
        image history -q pbcbox
        """,
    ),
    Script(
        "save-and-load",
        """
        tag pbcbox @POD@:one
        tag pbcbox @POD@:two
        save -o @DIR@/out.tar @POD@:one @POD@:two
        $ test -s @DIR@/out.tar && echo written
        rmi @POD@:one @POD@:two
        load -i @DIR@/out.tar
        load -qi @DIR@/out.tar
        images @POD@ --format '{{.Tag}}'
        save -o @DIR@/none.tar nope ~ nope
        save -o @DIR@/no/dir.tar pbcbox ~ /no
        load -i @DIR@/nothing.tar ~ o such file
        $ echo nonsense > @DIR@/bad.tar
        load -i @DIR@/bad.tar
        save ~ requires at least 1 argument
        """,
    ),
    Script(
        "image-prune",
        """
        create --name @POD@ pbcbox
        commit -q -c 'LABEL pruned=@POD@' @POD@ @POD@:x
        rmi @POD@:x
        commit -q -c 'LABEL pruned=@POD@' @POD@ @POD@:y
        image prune -f --filter label=pruned=@POD@ --filter until=1h
        image prune -f --filter label=pruned=@POD@
        image prune -af --filter label=pruned=@POD@
        images --filter label=pruned=@POD@ -q
        image prune -f --filter nonsense=x ~ nvalid filter
        image prune -f x ~ accepts no arguments
        """,
    ),
    Script(
        "container-prune",
        """
        create --name @POD@-a -l pruned=@POD@ pbcbox
        run -d --name @POD@-b -l pruned=@POD@ pbcbox sleep 100
        create --name @POD@-c pbcbox
        container prune -f --filter label=pruned=@POD@ --filter until=1h
        container prune -f --filter label=pruned=@POD@
        ps -a --filter name=@POD@ --format '{{.Names}}'
        container prune -f --filter nonsense=x ~ nvalid filter
        """,
    ),
    Script(
        "volumes",
        """
        volume create @POD@-a
        volume create --name @POD@-b --label k=v --label l
        volume create @POD@-a
        volume create 'bad name' ~ invalid characters
        volume create --driver nonsense @POD@-c ~ nonsense
        volume ls --filter name=@POD@
        volume ls -q --filter name=@POD@
        volume ls -qf name=@POD@ -f label=k
        volume ls -q --filter name=@POD@ --filter label=k=v
        volume ls -q --filter name=@POD@ --filter label=k=other
        volume ls -q --filter name=@POD@ --filter driver=local
        volume ls -q --filter name=@POD@ --filter dangling=true
        volume ls -q --filter name=@POD@ --filter dangling=false
        volume ls --filter nonsense=x ~ nvalid filter
        volume ls --filter name=@POD@ --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}}'
        volume ls --filter name=@POD@ --format '{{.Name}} {{.Label "k"}}'
        volume ls --filter name=@POD@-b --format json
        volume ls --filter name=@POD@-b --format '{{.Mountpoint}}'
        volume ls --filter name=@POD@-b --format 'table {{.Name}}\\t{{.Links}}\\t{{.Size}}'
        volume inspect @POD@-b
        volume inspect -f '{{.Name}} {{.Driver}} {{json .Labels}} {{json .Options}} {{.Scope}}' @POD@-a @POD@-b
        inspect --type volume -f '{{.Name}}' @POD@-a
        inspect -f '{{.Name}}' @POD@-a
        volume inspect nope ~ o such volume
        run --rm -v @POD@-a:/data pbcbox sh -c 'echo kept > /data/f'
        run --rm -v @POD@-a:/data:ro pbcbox cat /data/f
        run --rm -v @POD@-a:/data:ro pbcbox touch /data/g ~ Read-only
        run --rm --mount type=volume,src=@POD@-a,dst=/m pbcbox cat /m/f
        run --rm --mount type=volume,source=@POD@-a,target=/m,readonly pbcbox touch /m/x ~ Read-only
        create --name @POD@ -v @POD@-a:/data pbcbox
        volume rm @POD@-a ~ volume is in use
        volume ls -q --filter name=@POD@ --filter dangling=false
        volume prune -f --filter label=pbc-none
        rm @POD@
        volume rm @POD@-a nope ~ nope
        volume rm -f nope
        volume rm ~ requires at least 1 argument
        volume remove @POD@-b
        volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=1m @POD@-t
        run --rm -v @POD@-t:/t pbcbox sh -c 'df -k /t | tail -1 | tr -s " " | cut -d" " -f2'
        volume inspect -f '{{json .Options}}' @POD@-t
        V := volume create
        volume inspect -f '{{.Name}}' @V@
        volume rm @V@
        volume update @POD@-t ~ can only update cluster volumes
        """,
    ),
    Script(
        "volume-content",
        """
        run --rm -v @POD@-copy:/etc pbcbox sh -c 'ls /etc | grep -E "passwd|group"'
        run --rm -v @POD@-none:/etc:nocopy pbcbox sh -c 'ls /etc | grep -c passwd'
        run --name @POD@ -v /anon pbcbox touch /anon/f
        run --rm --volumes-from @POD@ pbcbox ls /anon
        run --rm --volumes-from @POD@:ro pbcbox touch /anon/g ~ Read-only
        run --rm --volumes-from nope pbcbox true ~ nope
        inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}} {{len .Name}}{{end}}' @POD@
        run --rm -v @DIR@/made:/m pbcbox sh -c 'echo x > /m/f'
        $ ls @DIR@/made
        run --rm --tmpfs /t:size=1m,mode=700 pbcbox sh -c 'stat -c %a /t; mount | grep " /t " | grep -o size=1024k'
        run --rm --mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700 pbcbox stat -c %a /t
        run --rm --mount type=nonsense,dst=/t pbcbox true ~ nonsense
        run --rm --mount type=bind,dst=/t pbcbox true ~ ource
        run --rm --mount dst=/t,src=@POD@-copy,nonsense=1 pbcbox true ~ nonsense
        run --rm -v @POD@-copy:/a -v @POD@-none:/a pbcbox true ~ Duplicate mount point
        run --rm -v x:/y:nonsense pbcbox true ~ invalid mode
        run --rm -v 'a b:/y' pbcbox true ~ a b
        """,
    ),
    Script(
        "volume-prune",
        """
        volume create --label pruned=@POD@ @POD@-a
        V := volume create --label pruned=@POD@
        volume prune -f --filter label=pruned=@POD@
        volume prune -af --filter label=pruned=@POD@
        volume prune -f --filter nonsense=x ~ nvalid filter
        volume ls -q --filter label=pruned=@POD@
        """,
    ),
    Script(
        "networks",
        """
        N := network create @POD@
        network create --label k=v --internal -o com.docker.network.bridge.name=pbcbr0 @POD@-b
        network create @POD@ ~ already exists
        network create --driver nonsense @POD@-c ~ nonsense
        network create --subnet 10.77.0.0/24 --gateway 10.77.0.1 --ip-range 10.77.0.128/25 @POD@-d
        network create --subnet 10.77.0.0/25 @POD@-e ~ overlap
        network create --subnet nonsense @POD@-e ~ nonsense
        network ls --filter name=@POD@
        network ls -q --filter name=@POD@ --no-trunc
        network ls --filter name=@POD@ --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.IPv6}}'
        network ls --filter name=@POD@ --filter label=k --format '{{.Name}}'
        network ls --filter name=@POD@ --format '{{.Name}} {{.Label "k"}}|{{.Labels}}'
        network ls --filter driver=bridge --filter name=@POD@-d --format '{{.Name}}'
        network ls --filter type=custom --filter name=@POD@ --format '{{.Name}}'
        network ls --filter type=builtin --format '{{.Name}} {{.Driver}}'
        network ls --filter scope=local --filter name=@POD@-d --format '{{.Name}}'
        network ls --filter dangling=true --filter name=@POD@ --format '{{.Name}}'
        network ls --filter id=@N:12@ --format '{{.Name}}'
        network ls --filter nonsense=x ~ nvalid filter
        network ls --filter name=@POD@-b --format json
        network ls --filter name=@POD@ --format 'table {{.ID}}\\t{{.Name}}\\t{{.CreatedAt}}'
        network inspect -f '{{.Name}} {{.Id}} {{.Driver}} {{.Scope}} {{.Internal}} {{.EnableIPv6}} {{.Attachable}} {{.Ingress}}' @POD@-b
        network inspect -f '{{json .Labels}} {{json .Options}} {{json .Containers}}' @POD@-b
        network inspect -f '{{json .IPAM}}' @POD@-d
        network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{.IPRange}}{{end}}' @POD@-d
        network inspect nope ~ network nope not found
        network inspect none -f '{{.Name}} {{.Driver}}'
        run -d --name @POD@-x --network @POD@-d --ip 10.77.0.9 --network-alias other pbcbox sleep 100
        network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' @POD@-d
        network rm @POD@-d ~ has active endpoints
        run --rm --network @POD@-d pbcbox sh -c 'nslookup other >/dev/null && nslookup @POD@-x > /dev/null && echo found'
        inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.IPAddress}} {{json $v.IPAMConfig}} {{json $v.Aliases}}{{end}}' @POD@-x
        network connect @POD@ @POD@-x
        network connect @POD@ @POD@-x ~ already exists in network
        network connect nope @POD@-x ~ network nope not found
        network connect @POD@ nope ~ No such container: nope
        inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' @POD@-x
        ps --filter network=@POD@ --format '{{.Names}}'
        network disconnect @POD@ @POD@-x
        network disconnect @POD@ @POD@-x ~ is not connected
        network disconnect -f @POD@-d @POD@-x
        rm -f @POD@-x
        network rm @POD@ @POD@-b @POD@-d
        network rm nope ~ network nope not found
        network rm bridge ~ pre-defined
        network create bridge ~ bridge
        network create ~ requires 1 argument
        network prune -f --filter label=pbc-none
        network create --label pruned=@POD@ @POD@-p
        network prune -f --filter label=pruned=@POD@
        network prune -f --filter nonsense=x ~ nvalid filter
        run --rm --network @POD@ --ip 10.9.9.9 pbcbox true ~ pbc-networks
        run --rm --ip 172.17.0.99 pbcbox true ~ user specified IP address is supported
        """,
    ),
    Script(
        "groups",
        """
        container create --name @POD@ pbcbox sleep 100
        container start @POD@
        container exec @POD@ echo hi
        container inspect -f '{{.Name}}' @POD@
        container list --filter name=@POD@ --format '{{.Names}}'
        container ps --filter name=@POD@ --format '{{.Names}}'
        container port @POD@
        container top @POD@ -o comm
        container stop -t0 @POD@
        container logs @POD@
        container restart -t0 @POD@
        container kill @POD@
        container wait @POD@
        container rename @POD@ @POD@-new
        container rm -f @POD@-new
        container remove nope ~ No such container: nope
        container run --rm pbcbox echo ran
        image tag pbcbox @POD@:x
        image ls -q @POD@ --no-trunc
        image rm @POD@:x
        image remove nope ~ No such image: nope
        ? container nonsense
        ? container
        """,
    ),
    Script(
        "system",
        """
        system df --format '{{.Type}}'
        ? system df --format '{{json .}}'
        ? system df
        version --format '{{if .Client.Version}}client{{end}} {{if .Server.Version}}server{{end}} {{.Client.Os}}/{{.Client.Arch}}'
        version -f '{{.Server.Os}} {{.Server.Arch}}'
        system prune -f --filter nonsense=x ~ nvalid filter
        system info --format '{{.OSType}} {{.Architecture}}'
        info --format '{{.OSType}}'
        system events --since 1s --until 0s --filter type=pbc
        """,
    ),
    Script(
        "verbs",
        """
        nonsense ~ nonsense
        ? run --help
        ? ps --help
        ? --version
        version --nonsense ~ unknown flag
        ? buildx version
        ? buildx ls
        ? buildx du
        ? builder prune -f --filter id=pbc-none
        ? buildx prune -f --filter id=pbc-none
        ? buildx inspect
        ? builder du
        swarm init x
        context ls --format '{{.Name}}'
        context show
        context inspect -f '{{.Name}}'
        """,
    ),
    Script(
        "build",
        """
        $ mkdir @DIR@/c && printf 'FROM pbcbox\\nARG A=1\\nENV X=$A\\nCOPY f /f\\nCMD cat /f; echo $X\\n' > @DIR@/c/Dockerfile && echo file > @DIR@/c/f
        I := build -q -t @POD@:one @DIR@/c
        run --rm @POD@:one
        buildx build -q -t @POD@:two --build-arg A=2 @DIR@/c
        run --rm @POD@:two
        image build -q -f @DIR@/c/Dockerfile --iidfile @DIR@/iid --label k=v @DIR@/c
        $ cut -c1-7 @DIR@/iid
        builder build -q -t @POD@:three --target nope @DIR@/c ~ nope
        build -q --nonsense @DIR@/c ~ unknown flag
        build -q @DIR@/none ~ none
        build ~ requires 1 argument
        history --format '{{.CreatedBy}}' @POD@:one
        inspect -f '{{json .Config.Cmd}} {{json .Config.Env}}' @POD@:one
        """,
    ),
)
