"""Scripts of networks: how they are made, joined and left, and what containers have of them.

Their subnets are of 10.79.0.0/16 and fd00:79::/32.
"""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

_PREFIX = "com.docker.network."

SCRIPTS: tuple[Script, ...] = (
    Script(
        "network-pools",
        """
        network create --subnet 10.79.0.0/24 --gateway 10.79.1.1 @POD@ ~ no matching subnet for gateway 10.79.1.1
        network create --subnet 10.79.0.0/24 --gateway 10.79.0.0 @POD@ ~ failed to allocate gateway (10.79.0.0): Address already in use
        network create --subnet 10.79.0.0/24 --gateway 10.79.0.255 @POD@ ~ failed to allocate gateway (10.79.0.255): Address already in use
        network create --subnet 10.79.0.0/24 --ip-range 10.79.1.0/24 @POD@ ~ no matching subnet for range 10.79.1.0/24
        network create --subnet 10.79.0.0/24 --ip-range 10.79.0.7/26 @POD@ ~ invalid ip-range 10.79.0.7/26: it should be 10.79.0.0/26
        network create --subnet 10.79.0.0/24 --aux-address x=10.79.1.2 @POD@ ~ no matching subnet for aux-address 10.79.1.2
        network create --subnet 10.79.0.0/24 --aux-address x=10.79.0.1 @POD@ ~ failed to allocate secondary ip address (x:10.79.0.1): Address already in use
        network create --subnet 10.79.0.0/24 --subnet 10.79.1.0/24 @POD@ ~ multiple subnets
        network create --subnet 10.79.0.7/24 @POD@ ~ invalid subnet 10.79.0.7/24: it should be 10.79.0.0/24
        network create --subnet 10.79.0.0 @POD@ ~ invalid CIDR block notation
        network create --gateway 10.79.0.1 @POD@ ~ must have a corresponding subnet
        network create --ip-range 10.79.0.0/25 @POD@ ~ must have a corresponding subnet
        network create --ipv4=false @POD@ ~ IPv4 or IPv6 must be enabled
        network create --scope swarm @POD@ ~ cannot create a swarm scoped network
        network create --ipam-driver nope @POD@ ~ plugin "nope" not found
        network create -d none @POD@ ~ plugin "none" not found
        network create -d host @POD@ ~ only one instance of "host" network is allowed
        network create '' ~ name is empty
        network create host ~ operation is not permitted on predefined host network
        network create --label =x @POD@ ~ empty name
        network ls -q --filter name=@POD@
        network create --subnet 10.79.0.0/24 --ip-range 10.79.0.0/28 --aux-address a=10.79.0.2 --aux-address b=10.79.0.3 @POD@
        network inspect -f '{{json .IPAM}} {{json .Options}} {{json .Labels}}' @POD@
        run --rm --network @POD@ pbcbox sh -c 'ip -o -4 addr show eth0 | grep -o "10.79.[0-9.]*/24"'
        network create --ipv6 --subnet fd00:79:1::/64 --ip-range fd00:79:1::/80 --aux-address r=fd00:79:1::9 --subnet 10.79.2.0/24 --gateway 10.79.2.9 @POD@-6
        network inspect -f '{{range .IPAM.Config}}{{json .}}{{end}} {{.EnableIPv4}} {{.EnableIPv6}}' @POD@-6
        network create --ipv4=false --ipv6 --subnet fd00:79:3::/64 @POD@-7
        network inspect -f '{{json .IPAM.Config}} {{.EnableIPv4}} {{.EnableIPv6}}' @POD@-7
        network ls --filter name=@POD@ --format '{{.Name}} {{.IPv4}} {{.IPv6}}'
        network create --attachable --internal --label a=b --label c --ipam-opt x=y --scope local @POD@-8
        network inspect -f '{{json .Labels}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}} {{json .ConfigFrom}} {{json .IPAM.Options}}' @POD@-8
        network rm @POD@ @POD@-6 @POD@-7 @POD@-8
        """,
    ),
    Script(
        "network-options",
        f"""
        network create -o {_PREFIX}bridge.enable_icc=nope @POD@ ~ failed to parse {_PREFIX}bridge.enable_icc value: nope
        network create -o {_PREFIX}bridge.enable_ip_masquerade= @POD@ ~ failed to parse {_PREFIX}bridge.enable_ip_masquerade value:
        network create -o {_PREFIX}driver.mtu=x @POD@ ~ failed to parse {_PREFIX}driver.mtu value: x
        network create -o {_PREFIX}driver.mtu=-1 @POD@ ~ invalid MTU number: -1
        network create -o {_PREFIX}driver.mtu=60 @POD@
        network create -o {_PREFIX}bridge.host_binding_ipv4=x @POD@ ~ failed to parse {_PREFIX}bridge.host_binding_ipv4 value: x
        network create -o {_PREFIX}host_ipv4=x @POD@ ~ failed to parse {_PREFIX}host_ipv4 value: x
        network create -o {_PREFIX}bridge.inhibit_ipv4=x @POD@ ~ failed to parse {_PREFIX}bridge.inhibit_ipv4 value: x
        network create -o {_PREFIX}enable_ipv4=false @POD@ ~ IPv4 or IPv6 must be enabled
        network create -o {_PREFIX}bridge.name=waytoolongbridgename @POD@
        network create -o {_PREFIX}bridge.name=a/b @POD@
        network create -o {_PREFIX}bridge.name=lo @POD@ ~ existing interface lo is not a bridge
        network create -o {_PREFIX}bridge.gateway_mode_ipv4=nope @POD@ ~ unknown gateway mode nope
        network create -o {_PREFIX}bridge.gateway_mode_ipv4=isolated @POD@ ~ gateway mode 'isolated' can only be used for an internal network
        network create --subnet 10.79.10.0/24 -o {_PREFIX}bridge.name=pbcopt0 -o {_PREFIX}driver.mtu=1300 -o {_PREFIX}container_iface_prefix=net @POD@
        network create --subnet 10.79.11.0/24 -o {_PREFIX}bridge.name=pbcopt0 @POD@-b ~ networks have same bridge name
        network inspect -f '{{{{json .Options}}}}' @POD@
        run --rm --network @POD@ pbcbox sh -c 'ls /sys/class/net; cat /sys/class/net/net0/mtu'
        network create --subnet 10.79.12.0/24 -o {_PREFIX}bridge.gateway_mode_ipv4=nat-unprotected @POD@-u
        run -d --name @POD@-u --network @POD@-u -p 0.0.0.0:28240:80 pbcbox sleep 100
        port @POD@-u
        network create --subnet 10.79.13.0/24 -o {_PREFIX}bridge.gateway_mode_ipv4=routed @POD@-r
        run -d --name @POD@-r --network @POD@-r -p 0.0.0.0:28241:80 pbcbox sleep 100
        port @POD@-r
        inspect -f '{{{{json .NetworkSettings.Ports}}}}' @POD@-r
        ps --filter name=@POD@-r --format '{{{{.Ports}}}}'
        network create --subnet 10.79.14.0/24 --internal -o {_PREFIX}bridge.gateway_mode_ipv4=isolated @POD@-i
        run -d --name @POD@-i --network @POD@-i -p 0.0.0.0:28242:80 pbcbox sleep 100
        inspect -f '{{{{json .NetworkSettings.Ports}}}} {{{{(index .NetworkSettings.Networks "@POD@-i").Gateway}}}}' @POD@-i
        exec @POD@-i sh -c 'ip route | grep -c default'
        network create --subnet 10.79.15.0/24 -o {_PREFIX}bridge.host_binding_ipv4=127.0.0.1 @POD@-h
        run -d --name @POD@-h --network @POD@-h -p 28243:80 pbcbox sleep 100
        port @POD@-h
        """,
    ),
    Script(
        "network-endpoints",
        """
        network create --subnet 10.79.20.0/24 --ipv6 --subnet fd00:79:20::/64 @POD@
        network create --subnet 10.79.21.0/24 --ip-range 10.79.21.128/28 @POD@-b
        create --name @POD@-c --network @POD@ pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Networks}} {{.NetworkSettings.SandboxID}}|{{.NetworkSettings.SandboxKey}}|{{json .NetworkSettings.Ports}}' @POD@-c
        start @POD@-c
        inspect -f '{{json .NetworkSettings.Networks}} {{.NetworkSettings.SandboxID}}' @POD@-c
        inspect -f '{{.NetworkSettings.IPAddress}}|{{.NetworkSettings.Gateway}}|{{.NetworkSettings.MacAddress}}|{{.NetworkSettings.EndpointID}}' @POD@-c
        network connect @POD@-b @POD@-c
        inspect -f '{{json .NetworkSettings.Networks}}' @POD@-c
        network inspect @POD@-b -f '{{json .Containers}}'
        stop -t 0 @POD@-c
        inspect -f '{{json .NetworkSettings.Networks}} {{.NetworkSettings.SandboxID}}|{{json .NetworkSettings.Ports}}' @POD@-c
        network inspect -f '{{json .Containers}}' @POD@-b
        network rm @POD@-b
        network disconnect @POD@-b @POD@-c
        inspect -f '{{range $name, $each := .NetworkSettings.Networks}}{{$name}} {{end}}' @POD@-c
        run -d --name @POD@-a --network @POD@ --ip 10.79.20.7 --ip6 fd00:79:20::7 --mac-address 02:42:ac:11:00:99 --network-alias al1 --network-alias al2 --hostname post --link-local-ip 169.254.79.7 pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Networks}} {{json .Config.MacAddress}}' @POD@-a
        exec @POD@-a sh -c 'cat /sys/class/net/eth0/address; ip -o -4 addr show eth0 | sed "s/.*inet//"; ip -o -6 addr show eth0 scope global | sed "s/.*inet6//"'
        exec @POD@-a sh -c 'for name in al1 al2 post @POD@-a @POD@-a.@POD@; do nslookup -type=a $name | grep -c 10.79.20.7; done'
        exec @POD@-a sh -c 'tail -n2 /etc/hosts; grep -v "^#" /etc/resolv.conf | grep -v "^$"'
        run --rm --network @POD@ --ip 10.79.20.7 pbcbox true ~ Address already in use
        run --rm --network @POD@ --ip6 fd00:79:20::7 pbcbox true ~ Address already in use
        run --rm --network @POD@ --ip 10.79.21.7 pbcbox true ~ no configured subnet or ip-range contain the IP address 10.79.21.7
        run --rm --network @POD@ --ip 10.79.20.1 pbcbox true ~ Address already in use
        run --rm --network @POD@ --ip nonsense pbcbox true ~ invalid IPv4 address: nonsense
        run --rm --network @POD@ --ip6 10.79.20.8 pbcbox true ~ invalid IPv6 address: 10.79.20.8
        run --rm --ip 172.17.0.9 pbcbox true ~ user specified IP address is supported on user defined networks only
        run --rm --mac-address nonsense pbcbox true ~ nonsense is not a valid mac address
        run --rm --network '' pbcbox true ~ no name set for network
        run --rm --network container: pbcbox true ~ invalid container format container:<name|id>
        run --rm --network name=@POD@,colour=red pbcbox true ~ invalid field key colour
        run --rm --network ip=1.2.3.4 pbcbox true ~ network name/id is not specified
        run --rm --network @POD@ --network @POD@ pbcbox true ~ specified multiple times
        run --rm --network @POD@ --network host pbcbox true ~ cannot attach both user-defined and non-user-defined network-modes
        run --rm --network name=@POD@,ip=10.79.20.9 --ip 10.79.20.10 pbcbox true ~ cannot specify both --ip and per-network IPv4 address
        run --rm --network name=@POD@,alias=x --network-alias y pbcbox true ~ cannot specify both --network-alias and per-network alias
        run --rm --network name=@POD@,ip=10.79.20.9,driver-opt=com.docker.network.endpoint.ifname=own0 pbcbox sh -c 'ip -o -4 addr show own0 | grep -o "10.79[0-9./]*"'
        """,
    ),
    Script(
        "network-moves",
        """
        network create --subnet 10.79.30.0/24 @POD@-z
        network create --subnet 10.79.31.0/24 @POD@-a
        network create @POD@-n
        create --name @POD@-c pbcbox sleep 100
        network connect @POD@-a @POD@-c
        network connect @POD@-a @POD@-c
        inspect -f '{{json .NetworkSettings.Networks}}' @POD@-c
        network connect --ip 10.79.31.9 @POD@-n @POD@-c ~ user specified IP address is supported only when connecting to networks with user configured subnets
        network connect --ip 1.2.3.4 @POD@-z @POD@-c ~ no configured subnet or ip-range contain the IP address 1.2.3.4
        network connect host @POD@-c ~ container must be created in host network mode
        network connect none @POD@-c ~ private (none) mode
        network disconnect bridge @POD@-c
        network disconnect bridge @POD@-c ~ is not connected to
        network disconnect -f bridge @POD@-c ~ is not connected to
        network disconnect nope @POD@-c ~ nope
        start @POD@-c
        exec @POD@-c ls /sys/class/net
        network connect @POD@-z @POD@-c
        network connect @POD@-z @POD@-c ~ already exists in network
        exec @POD@-c sh -c 'ls /sys/class/net; ip route | head -n1 | cut -d. -f3'
        network disconnect @POD@-a @POD@-c
        exec @POD@-c sh -c 'ls /sys/class/net; ip route | head -n1 | cut -d. -f3'
        network disconnect @POD@-z @POD@-c
        exec @POD@-c ls /sys/class/net
        inspect -f '{{json .NetworkSettings.Networks}} {{.HostConfig.NetworkMode}} {{json .NetworkSettings.Ports}}' @POD@-c
        run -d --name @POD@-o --network none pbcbox sleep 100
        network connect bridge @POD@-o ~ private (none) mode
        network disconnect none @POD@-o
        inspect -f '{{json .NetworkSettings.Networks}}' @POD@-o
        network connect @POD@-z @POD@-o
        exec @POD@-o ls /sys/class/net
        restart -t 0 @POD@-o
        exec @POD@-o ls /sys/class/net
        inspect -f '{{range $name, $each := .NetworkSettings.Networks}}{{$name}} {{end}}{{.HostConfig.NetworkMode}}' @POD@-o
        run -d --name @POD@-h --network host pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Networks}} {{json .NetworkSettings.Ports}}' @POD@-h
        network connect bridge @POD@-h ~ cannot be connected to any other network
        network disconnect host @POD@-h ~ container was created in host network mode
        run -d --name @POD@-j --hostname other --network @POD@-z pbcbox sleep 100
        run -d --name @POD@-k --network container:@POD@-j pbcbox sleep 100
        inspect -f '{{json .NetworkSettings}} {{.Config.Hostname}}' @POD@-k
        network connect bridge @POD@-k ~ cannot be connected to any other network
        network disconnect bridge @POD@-k ~ is not connected to network bridge
        rm -f @POD@-k
        network rm @POD@-z ~ has active endpoints
        run -d --name @POD@-m --network name=@POD@-z,gw-priority=1 --network name=@POD@-a,gw-priority=5 pbcbox sleep 100
        exec @POD@-m sh -c 'ip route | head -n1 | cut -d. -f3'
        network create --internal --subnet 10.79.32.0/24 @POD@-in
        run -d --name @POD@-p --network @POD@-in -p 28250:80 pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Ports}}' @POD@-p
        network connect bridge @POD@-p
        port @POD@-p
        network disconnect bridge @POD@-p
        port @POD@-p
        """,
    ),
    Script(
        "network-lists",
        """
        N := network create --label env=prod --label tier=a @POD@-1
        network create --label env=dev --internal @POD@-2
        network ls -f 'name=^@POD@-[13]$' --format '{{.Name}}'
        network ls -f 'name=@POD@-.' --format '{{.Name}}'
        network ls -f 'name=@POD@-[' --format '{{.Name}}'
        network ls -f name=@POD@-1 -f name=@POD@-2 --format '{{.Name}}'
        network ls -f label=env=prod -f label=tier=a -f name=@POD@ --format '{{.Name}}'
        network ls -f label=env=prod -f label=env=dev -f name=@POD@ --format '{{.Name}}'
        network ls -f type=nope ~ invalid filter
        network ls -f dangling=nope ~ invalid value for filter 'dangling'
        network ls -f scope=swarm
        network ls -f id=@N:6@ --format '{{.Name}}'
        network ls extra ~ accepts no arguments
        network inspect @POD@-1 nope --format '{{.Name}}' ~ network nope not found
        network inspect nope nope2 ~ network nope2 not found
        network inspect @N:6@ --format '{{.Name}} {{index .Labels "env"}} {{.Labels.nope}}'
        network inspect bridge -f '{{len .IPAM.Config}} {{range $name, $value := .Options}}{{$name}} {{end}}'
        network inspect host -f '{{json .}}'
        network inspect none -f '{{json .}}'
        inspect --type network @POD@-1 --format '{{.Name}} {{.Driver}}'
        network rm -f nope
        network rm @POD@-1 nope @POD@-2 ~ network nope not found
        network rm host nope ~ pre-defined
        network remove @POD@-1 ~ not found
        """,
    ),
    Script(
        "network-ports",
        """
        create --name @POD@-1 -p 28260:80 -p 127.0.0.1:28261:81/udp -p 28262-28263:82-83 -p [::1]:28264:86 -p published=28265,target=87,protocol=udp,mode=host pbcbox sleep 100
        inspect -f '{{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}}' @POD@-1
        start @POD@-1
        inspect -f '{{json .NetworkSettings.Ports}}' @POD@-1
        port @POD@-1
        port @POD@-1 80
        port @POD@-1 81 ~ No public port '81' published for
        port @POD@-1 81/udp
        port @POD@-1 nonsense ~ invalid port (nonsense)
        ps --filter name=@POD@-1 --format '{{.Ports}}'
        run -d --name @POD@-2 -p 28271:80 -p 127.0.0.1:28272:80 -p 28270:80 pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Ports}}' @POD@-2
        port @POD@-2
        port @POD@-2 80/tcp
        ps --filter name=@POD@-2 --format '{{.Ports}}'
        run -d --name @POD@-3 -p 28280:80 -p 28280:80/udp --expose 90-91 pbcbox sleep 100
        port @POD@-3
        ps --filter name=@POD@-3 --format '{{.Ports}}'
        run -d --name @POD@-4 -p 28281-28283:28281-28283 --expose 443 pbcbox sleep 100
        ps --filter name=@POD@-4 --format '{{.Ports}}'
        run --rm -p 28260:80 pbcbox true ~ port is already allocated
        run --rm -p 1.2.3.4:28290:80 pbcbox true ~ annot assign requested address
        run --rm -p 28290:80/nonsense pbcbox true ~ nvalid proto: nonsense
        run --rm -p 28290-28292:80-81 pbcbox true ~ nvalid ranges specified for container and host Ports: 80-81 and 28290-28292
        run --rm -p 28292-28290:80 pbcbox true ~ nvalid hostPort: 28292-28290
        run --rm -p 28290: pbcbox true ~ o port specified: 28290:<empty>
        run --rm --dns-search 'a b' pbcbox true ~ a b is not a valid domain
        stop -t 0 @POD@-3
        port @POD@-3
        """,
    ),
)
