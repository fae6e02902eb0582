"""Dockerfiles that try RUN: forms, here-documents, what a layer records, mounts."""

from __future__ import annotations

from tests.integration.differential.cases import TREE, Case

RUNS: tuple[Case, ...] = (
    # -- RUN
    Case("run-exec-expansion", 'ENV A=x\nRUN ["/bin/echo", "$A"]\nRUN ["/bin/sh", "-c", "echo $A > /o"]'),
    Case(
        "run-heredoc-variety",
        "RUN <<E1 cat > /a\none $HOME\nE1\nRUN <<'E' sh\necho $HOME > /b\nE\nRUN <<-T\n\techo tab > /c\n"
        "\tT\nRUN 3<<F cat <&3 > /d\nfd\nF",
    ),
    Case("run-heredoc-fails-not", "RUN <<E\nfalse\necho still > /o\nE"),
    Case(
        "run-heredoc-set-e-shell",
        'SHELL ["/bin/sh", "-c"]\nRUN <<E\nset -u\necho "${X:-none}" > /o\necho \'$X\' >> /o\nE',
    ),
    Case("run-heredoc-python-like", "RUN <<E\n#!/bin/busybox sh\necho $# $0 > /o\nls -l $0 | cut -c1-10 >> /o\nE"),
    Case("run-heredoc-crlf", "RUN cat > /o <<E\na\r\nb\nE"),
    Case("run-heredoc-quoted-name", 'RUN <<"EOF" cat > /o\n$HOME\\n\nEOF'),
    Case("run-heredoc-with-mount", "RUN --mount=type=tmpfs,target=/t <<E\necho x > /t/x\ncp /t/x /o\nE"),
    Case("run-lines-and-comments", "RUN echo a; \\\n# gone\n   echo b; \\\n\n\techo c > /o  "),
    Case(
        "run-writes-nothing-in-proc-and-dev",
        "RUN echo > /dev/null; touch /dev/shm/x; mount | wc -l > /dev/null; ls /proc > /dev/null",
    ),
    Case("run-umask-and-limits", "RUN umask > /u; ulimit -c > /c; nproc > /dev/null"),
    Case("run-environment-whole", "RUN env | grep -v SHLVL | sort > /env"),
    Case("run-as-pid-1", "RUN echo $$ > /o; hostname > /h; cat /proc/1/comm > /c"),
    Case(
        "run-etc-files-untouched",
        "RUN ls -la /etc | grep -E 'hosts|resolv|hostname' | wc -l > /o; echo x >> /etc/hosts || echo ro > /p",
    ),
    Case("run-network-none", "RUN --network=none ls /sys/class/net > /o"),
    Case("run-network-default-flag", "RUN --network=default echo > /o"),
    Case(
        "run-sparse-and-big",
        "RUN dd if=/dev/zero of=/sparse bs=1 count=1 seek=4194303 2>/dev/null; "
        "dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null; : > /empty",
    ),
    Case(
        "run-special-modes",
        "RUN touch /a /b /c; chmod 4711 /a; chmod 2711 /b; chmod 1777 "
        "/c; mkdir -m 3770 /d; chown 1:2 /a; chmod 4711 /a",
    ),
    Case("run-touch-only", "RUN touch -d @1000 /etc/passwd\nRUN chmod 600 /etc/group\nRUN chown 1:1 /bin/busybox"),
    Case("run-rename", "RUN mv /etc/group /etc/g2 && mv /var /var2\nRUN mkdir /x && echo > /x/y\nRUN mv /x /z"),
    Case(
        "run-directory-becomes-file",
        "RUN mkdir /x && echo > /x/y\nRUN rm -r /x && echo f > /x\nRUN rm /x && mkdir /x && echo n > /x/n",
    ),
    Case(
        "run-symlink-replaces",
        "RUN mkdir /x && echo > /x/y\nRUN rm -r /x && ln -s /etc /x\nRUN ln -sf nowhere /dangling",
    ),
    Case("run-unicode-names", "RUN mkdir '/ä b' && echo > '/ä b/ñ' && echo > \"/tab\tx\" && echo > '/qu\"ote'"),
    Case(
        "run-opaque-many",
        "RUN mkdir -p /o/a /o/b && echo 1 > /o/a/1\nRUN rm -rf /o && mkdir -p /o/a && echo 2 > /o/a/2\nRUN rm -rf /o/a",
    ),
    # -- RUN --mount
    Case(
        "mount-bind-from-stage",
        "FROM BASE AS s\nRUN mkdir /d && echo x > /d/x\nFROM BASE\n"
        "RUN --mount=from=s,source=/d,target=/m cp /m/x /x\n"
        "RUN --mount=type=bind,from=s,src=d/x,dst=/f cat /f > /y",
    ),
    Case(
        "mount-bind-rw-is-dropped",
        "RUN --mount=target=/m,rw touch /m/new && ls /m | sort > /o\nRUN --mount=target=/m ls /m | sort > /p",
        TREE,
    ),
    Case("mount-bind-readonly", "RUN --mount=target=/m sh -c 'touch /m/new 2>/dev/null || echo ro > /o'", TREE),
    Case("mount-bind-from-image", "RUN --mount=from=BASE,target=/m ls /m/etc | sort > /o"),
    Case("mount-bind-relative-target", "WORKDIR /w\nRUN --mount=target=m,source=a.txt cat m > /o", TREE),
    Case("mount-bind-variables", "ARG T=/mm\nENV S=d\nRUN --mount=target=$T,source=${S} ls $T | sort > /o", TREE),
    Case(
        "mount-bind-over-existing",
        "RUN echo old > /f && mkdir /dd\nRUN --mount=target=/f,source=a.txt --mount=target=/dd,source=d "
        "cat /f /dd/f > /o",
        TREE,
    ),
    Case("mount-bind-nested-target", "RUN --mount=target=/deep/er/m cp /deep/er/m/a.txt /o", TREE),
    Case(
        "mount-cache-options",
        "RUN --mount=type=cache,target=/c,uid=33,gid=50,mode=0750 stat -c '%u %g %a' /c > /o\n"
        "RUN --mount=type=cache,target=/c2,sharing=locked,id=other-x touch /c2/y; ls /c2 > /p",
    ),
    Case(
        "mount-cache-from",
        "FROM BASE AS s\nRUN mkdir /seed && echo x > /seed/x && chown -R 3:4 /seed\nFROM BASE\n"
        "RUN --mount=type=cache,id=diff-seed,from=s,source=/seed,target=/c "
        "ls -ln /c | tail -1 | cut -c1-40 > /dev/null; cat /c/x > /o",
    ),
    Case(
        "mount-cache-shared-id",
        "RUN --mount=type=cache,id=diff-sh,target=/c1 echo a > /c1/a\n"
        "RUN --mount=type=cache,id=diff-sh,target=/c2 cat /c2/a > /o",
    ),
    Case(
        "mount-cache-default-id-is-target",
        "RUN --mount=type=cache,target=/diff-c echo a > /diff-c/a\nWORKDIR /w\n"
        "RUN --mount=type=cache,target=/diff-c/ ls /diff-c > /o",
    ),
    Case(
        "mount-cache-readonly",
        "RUN --mount=type=cache,id=diff-ro,target=/c echo a > /c/a\n"
        "RUN --mount=type=cache,id=diff-ro,target=/c,ro sh -c 'touch /c/b 2>/dev/null; ls /c' > /o",
    ),
    Case(
        "mount-tmpfs-size",
        "RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk '{print $2}' > /o\n"
        "RUN --mount=type=tmpfs,target=/tmp touch /tmp/x",
    ),
    Case("mount-tmpfs-mode", "RUN --mount=type=tmpfs,target=/t stat -c '%a %u %g' /t > /o"),
    Case(
        "mount-tmpfs-mode-of-what-it-covers",
        "RUN mkdir -m 2750 /t && chown 3:4 /t && ln -s t /l\n"
        "RUN --mount=type=tmpfs,target=/l --mount=type=tmpfs,target=/n/m stat -c '%a %u %g' /t /n /n/m > /o",
    ),
    Case("mount-secret-absent", "RUN --mount=type=secret,id=nope ls /run/secrets > /o 2>&1 || echo none > /o"),
    Case(
        "mount-secret-file",
        "RUN --mount=type=secret,id=s cat /run/secrets/s > /o; stat -c '%a %u %g' /run/secrets/s >> /o\n"
        "RUN [ -e /run/secrets ] && echo dir > /p || echo none > /p",
        {"secret.txt": "shh"},
        words=("--secret", "id=s,src=CONTEXT/secret.txt"),
    ),
    Case(
        "mount-secret-options",
        "RUN --mount=type=secret,id=s,target=/x/y,mode=0440,uid=33,gid=50 "
        "stat -c '%a %u %g' /x/y > /o; cat /x/y >> /o\nWORKDIR /w\n"
        "RUN --mount=type=secret,id=s,target=rel cat rel > /p",
        {"secret.txt": "shh"},
        words=("--secret", "id=s,src=CONTEXT/secret.txt"),
    ),
    Case(
        "mount-secret-env",
        'RUN --mount=type=secret,id=s,env=TOKEN echo "$TOKEN" > /o; ls '
        "/run/secrets >> /o 2>/dev/null; true\n"
        "RUN --mount=type=secret,id=s,env=T,target=/f cat /f > /p; echo $T >> /p\n"
        'RUN echo "[$TOKEN]" > /q',
        {"secret.txt": "shh"},
        words=("--secret", "id=s,src=CONTEXT/secret.txt"),
    ),
    Case(
        "mount-many",
        "RUN --mount=target=/a,source=d --mount=type=tmpfs,target=/a/empty "
        "--mount=type=cache,id=diff-m,target=/c sh -c 'ls /a > /o'",
        TREE,
    ),
    Case("mount-exec-form", 'RUN --mount=target=/m ["/bin/cp", "/m/a.txt", "/o"]', TREE),
    Case(
        "mount-as-user",
        "USER www\nRUN --mount=target=/m cat /m/a.txt > /tmp/o\n"
        "RUN --mount=type=cache,target=/c sh -c 'touch /c/x 2>/dev/null && echo w || echo no' > /tmp/p",
        TREE,
    ),
)
