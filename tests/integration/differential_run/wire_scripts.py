"""Scripts of what containers find of their networks from inside: their files, their names, their links.

Their subnets are of 10.80.0.0/16 and fd00:80::/32.
"""

# ruff: noqa: E501  a line of a script is one line

from __future__ import annotations

from tests.integration.differential_run.scripts import Script

_FILE = "sh -c 'tail -n +4 /etc/resolv.conf'"
"""What is written below the head, which names the program."""

SCRIPTS: tuple[Script, ...] = (
    Script(
        "wire-resolver",
        f"""
        network create @POD@
        run --rm pbcbox sh -c 'head -n 4 /etc/resolv.conf | cut -c 1'
        run --rm pbcbox {_FILE}
        run --rm --network @POD@ pbcbox {_FILE}
        run --rm --network none pbcbox {_FILE}
        run --rm --network host --dns 1.2.3.4 --dns-search a.b --dns-option ndots:3 pbcbox {_FILE}
        run --rm --dns 1.2.3.4 --dns-search a.b --dns-option ndots:3 pbcbox {_FILE}
        run --rm --dns 1.2.3.4 --dns-search . pbcbox {_FILE}
        run --rm --dns-option ndots:x pbcbox {_FILE}
        run --rm --network @POD@ --dns 1.2.3.4 --dns 5.6.7.8 --dns-search . pbcbox {_FILE}
        run --rm --network @POD@ --dns 2001:db8::1 --dns-search a.b --dns-option ndots:3 pbcbox {_FILE}
        run --rm --network @POD@ --dns-option attempts:2 --dns-option ndots:-1 pbcbox {_FILE}
        run --rm --network @POD@ --dns-search a.b. --dns-search c.d pbcbox {_FILE}
        run --rm --dns-search 1.2.3.4 pbcbox true ~ 1.2.3.4 is not a valid domain
        run -d --name @POD@-a --dns-search q.r pbcbox sleep 100
        network connect @POD@ @POD@-a
        exec @POD@-a {_FILE}
        run -d --name @POD@-b pbcbox sleep 100
        exec @POD@-b sh -c 'echo nameserver 7.7.7.7 >/etc/resolv.conf'
        network connect @POD@ @POD@-b
        exec @POD@-b cat /etc/resolv.conf
        """,
    ),
    Script(
        "wire-hosts",
        """
        network create @POD@
        network create --ipv6 --subnet 10.80.2.0/24 --subnet fd00:80:2::/64 @POD@-6
        run --rm --network @POD@ -h foo.bar --domainname baz pbcbox sh -c 'tail -n1 /etc/hosts | cut -f2'
        run --rm --add-host 'a b:1.2.3.4' --add-host c=5.6.7.8 pbcbox grep -e '^1[.]2[.]' -e '^5[.]6[.]' /etc/hosts
        run --rm --network none --add-host a:host-gateway pbcbox sh -c 'tail -n1 /etc/hosts | cut -f2'
        run --rm --network host --add-host a:1.2.3.4 pbcbox cat /etc/hosts
        run --rm --network none --sysctl net.ipv6.conf.all.disable_ipv6=1 pbcbox cat /etc/hosts
        run -d --name @POD@-a --network @POD@-6 --sysctl net.ipv6.conf.all.disable_ipv6=1 pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Networks}}' @POD@-a
        exec @POD@-a sh -c 'cat /etc/hosts; ip addr show eth0 | grep -c inet'
        run --rm --network @POD@-6 pbcbox nslookup -type=aaaa @POD@-a
        run -d --name @POD@-b --sysctl net.ipv6.conf.all.disable_ipv6=1 pbcbox sleep 100
        network connect @POD@-6 @POD@-b
        inspect -f '{{range .NetworkSettings.Networks}}{{.GlobalIPv6Address}}|{{end}}' @POD@-b
        exec @POD@-b sh -c 'grep -c : /etc/hosts'
        """,
    ),
    Script(
        "wire-links",
        """
        network create @POD@
        run -d --name @POD@-a --network @POD@ pbcbox sleep 100
        run -d --name @POD@-b --link @POD@-a:one pbcbox sleep 100 ~ not attached to default bridge network
        network connect bridge @POD@-a
        run -d --name @POD@-c --link @POD@-a:one pbcbox sleep 100
        exec @POD@-c sh -c "ping -c 1 -w 20 one | grep -c received"
        run -d --name @POD@-h --network host pbcbox sleep 100
        run --rm --link @POD@-h:x pbcbox true ~ host type networking can't be used with links
        run --rm --link '' pbcbox true ~ empty string specified for links
        create --name @POD@-d --link @POD@-a:up --link @POD@-c:up pbcbox
        inspect -f '{{json .HostConfig.Links}}' @POD@-d
        run --rm --network host --mac-address 92:d0:c6:0a:29:33 pbcbox true
        run -d --name @POD@-m --network none --mac-address 92:d0:c6:0a:29:33 pbcbox sleep 100
        inspect -f '{{json .NetworkSettings.Networks}}' @POD@-m
        """,
    ),
    Script(
        "wire-names",
        """
        network create 'test@#$@POD@'
        network create 'a b @POD@'
        network create a/b@POD@
        network ls -f 'name=a b @POD@' --format '{{.Name}}'
        run --rm --network 'a b @POD@' pbcbox grep -c 127.0.0.11 /etc/resolv.conf
        run -d --name @POD@-c --network a/b@POD@ pbcbox sleep 100
        inspect -f '{{range $name, $each := .NetworkSettings.Networks}}{{$name}}{{end}}' @POD@-c
        ? rm -f @POD@-c
        network rm 'test@#$@POD@' 'a b @POD@' a/b@POD@
        N := network create @POD@-1
        network create @N@
        network inspect -f '{{.Name}}' @N@
        network rm @N@
        network rm @N@
        volume create @POD@-v
        volume inspect -f '{{.Name}}' @POD@-v nope @POD@-v ~ o such volume
        volume create -o type=tmpfs -o device=tmpfs -o o=size=1m @POD@-t
        run --rm -v @POD@-t:/x pbcbox sh -c 'mount | grep " /x "'
        """,
    ),
    Script(
        "wire-gateways",
        """
        network create --internal --subnet 10.80.31.0/31 -o com.docker.network.bridge.inhibit_ipv4=true @POD@-p2p
        run -d --name @POD@-pa --network @POD@-p2p pbcbox sleep 100
        run -d --name @POD@-pb --network @POD@-p2p pbcbox sleep 100
        $ @PROGRAM@ inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}_{{.Gateway}}{{end}}' @POD@-pa @POD@-pb
        network inspect -f '{{json .IPAM.Config}}' @POD@-p2p
        exec @POD@-pa sh -c 'ping -c1 -w20 @POD@-pb | grep -c ttl'
        run --rm --network @POD@-p2p pbcbox true
        network create --internal --subnet 10.80.31.4/30 -o com.docker.network.bridge.gateway_mode_ipv4=isolated @POD@-i
        run -d --name @POD@-i1 --network @POD@-i pbcbox sleep 100
        run --rm --network @POD@-i pbcbox sh -c 'ip -o -4 addr show eth0 | cut -c 9-60; ip route; ping -c1 -w20 @POD@-i1 | grep -c ttl'
        network create --subnet 10.80.33.0/24 --ip-range 10.80.33.8/30 @POD@-r
        run -d --name @POD@-r1 --network @POD@-r pbcbox sleep 100
        $ @PROGRAM@ inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}_{{.Gateway}}{{end}}' @POD@-r1
        exec @POD@-r1 sh -c 'ip route | grep -o "via [0-9.]*" | tr . _'
        run -d --name @POD@-r2 --network @POD@-r pbcbox sleep 100
        run -d --name @POD@-r3 --network @POD@-r pbcbox sleep 100
        run --rm --network @POD@-r pbcbox true
        run --rm --network @POD@-r --ip 10.80.33.1 pbcbox sh -c 'ip -o -4 addr show eth0 | grep -c 10.80.33.1/24'
        run --rm --network @POD@-r --ip 10.80.33.8 pbcbox true ~ Address already in use
        network create --ipv6 --subnet fd00:80:3::/48 --ip-range fd00:80:3:1::/64 --subnet 10.80.34.0/24 @POD@-6
        run --rm --network @POD@-6 pbcbox sh -c 'ip -6 -o addr show eth0 scope global | grep -o fd00[0-9a-f:/]*; ip -6 route | grep default | cut -c 1-40'
        network create --subnet 10.80.35.0/24 --ip-range 10.80.35.128/25 --aux-address a=10.80.35.128 @POD@-a
        network create --subnet 10.80.36.0/31 @POD@-31
        run --rm --network @POD@-31 pbcbox sh -c 'ip -o -4 addr show eth0 | grep -c brd; ip route'
        """,
    ),
    Script(
        "wire-order",
        """
        volume create @POD@-10
        volume create @POD@-9
        volume create @POD@-b
        volume ls --filter name=@POD@ --format '{{.Name}}'
        volume ls -q --filter name=@POD@
        network create @POD@-10
        network create @POD@-9
        network create @POD@-b
        network ls --filter name=@POD@ --format '{{.Name}}'
        network ls -q --filter name=@POD@ --format '{{.Name}}'
        network ls -q --filter name=@POD@ --format 'table {{.Name}}'
        """,
    ),
    Script(
        "wire-macs",
        """
        network create --subnet 10.80.71.0/24 @POD@
        create --name @POD@-a --network @POD@ --mac-address 02:00:00:00:00:55 pbcbox sleep 100
        inspect -f '{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}|{{.Config.MacAddress}}' @POD@-a
        start @POD@-a
        inspect -f '{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}|{{.Config.MacAddress}}' @POD@-a
        stop -t 0 @POD@-a
        inspect -f '{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}|{{.Config.MacAddress}}' @POD@-a
        start @POD@-a
        exec @POD@-a cat /sys/class/net/eth0/address
        create --name @POD@-b --mac-address 02:00:00:00:00:56 pbcbox sleep 100
        inspect -f '{{.NetworkSettings.MacAddress}}|{{.Config.MacAddress}}' @POD@-b
        start @POD@-b
        stop -t 0 @POD@-b
        inspect -f '{{.NetworkSettings.MacAddress}}|{{.Config.MacAddress}}' @POD@-b
        create --name @POD@-c --network none --mac-address 02:00:00:00:00:57 pbcbox sleep 100
        inspect -f '{{range .NetworkSettings.Networks}}{{.MacAddress}}{{end}}|{{.Config.MacAddress}}' @POD@-c
        """,
    ),
)
