"""Dockerfiles laid out as those of real projects are: several stages, users, caches, configuration, triggers."""

from __future__ import annotations

from collections.abc import Mapping

from tests.integration.differential.cases import Case, Member, Special

NODE: Mapping[str, str | Special] = {
    ".dockerignore": "node_modules\nnpm-debug.log\n**/*.test.js\n.git\n!keep.test.js\nDockerfile*\n",
    "package.json": '{"name": "app"}\n',
    "package-lock.json": "{}\n",
    "server.js": "listen()\n",
    "keep.test.js": "kept\n",
    "src/index.js": "x\n",
    "src/index.test.js": "gone\n",
    "public/style.css": "b{}\n",
    "node_modules/left/index.js": "gone\n",
    ".git/HEAD": "gone\n",
}
PYTHON: Mapping[str, str | Special] = {
    "requirements.txt": "lark\n",
    "requirements-dev.txt": "pytest\n",
    "app/__init__.py": "",
    "app/main.py": "print()\n",
    "app/__pycache__/main.pyc": "x",
    "docker-entrypoint.sh": Special('#!/bin/sh\nexec "$@"\n', 0o755),
    "config/settings.toml": Special("a = 1\n", 0o640),
}
GO: Mapping[str, str | Special] = {
    "go.mod": "module x\n",
    "go.sum": "",
    "cmd/server/main.go": "package main\n",
    "cmd/tool/main.go": "package main\n",
    "internal/a/a.go": "package a\n",
    "web/index.html": "<html>\n",
}

PROJECTS: tuple[Case, ...] = (
    Case(
        "project-node",
        """\
ARG VERSION=20
FROM BASE AS deps
WORKDIR /usr/src/app
COPY package*.json ./
RUN mkdir -p node_modules/left && echo "$PWD" > node_modules/left/index.js
FROM deps AS build
COPY . .
RUN mkdir dist && cat server.js src/*.js > dist/server.js
FROM BASE AS production
ARG VERSION
ENV NODE_ENV=production NODE_VERSION=$VERSION
LABEL org.opencontainers.image.title="app" \\
      org.opencontainers.image.version=${VERSION}
WORKDIR /usr/src/app
COPY --from=deps --chown=1000:1000 /usr/src/app/node_modules ./node_modules
COPY --from=build --chown=1000:1000 /usr/src/app/dist ./dist
COPY --chown=1000:1000 public ./public/
USER 1000
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s CMD wget -q -O- http://localhost:3000/ || exit 1
ENTRYPOINT ["node"]
CMD ["dist/server.js"]""",
        NODE,
        whole=True,
    ),
    Case("project-node-whole-context", "WORKDIR /app\nCOPY . .\nRUN find . | sort > /list", NODE),
    Case(
        "project-python",
        """\
FROM BASE AS builder
ENV PYTHONUNBUFFERED=1 \\
    PATH="/opt/venv/bin:$PATH"
WORKDIR /build
COPY requirements*.txt .
RUN --mount=type=cache,target=/root/.cache mkdir -p /opt/venv/bin /opt/venv/lib && \\
    ln -s ../lib /opt/venv/bin/lib && printf '#!/bin/sh\\n' > /opt/venv/bin/python && chmod +x /opt/venv/bin/python
FROM BASE
ENV PATH=/opt/venv/bin:$PATH
RUN echo app:x:1001: >> /etc/group && echo app:x:1001:1001::/home/app:/bin/sh >> /etc/passwd
COPY --from=builder /opt/venv /opt/venv
WORKDIR /home/app
COPY --chown=app:app app ./app
COPY --chmod=750 docker-entrypoint.sh /usr/local/bin/
COPY --chown=app config/settings.toml /etc/app/settings.toml
USER app:app
ENTRYPOINT ["docker-entrypoint.sh"]
CMD python -m app.main""",
        PYTHON,
    ),
    Case(
        "project-go",
        """\
FROM BASE AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=bind,source=go.mod,target=go.mod --mount=type=cache,target=/go true
COPY . .
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0
RUN for c in cmd/*; do mkdir -p /out && echo "$TARGETOS/$TARGETARCH $c" > /out/$(basename $c); done && chmod 755 /out/*
FROM scratch AS server
COPY --from=build /out/server /server
COPY --from=build /etc/passwd /etc/group /etc/
COPY web /web
USER 65534:65534
ENTRYPOINT ["/server"]
FROM scratch AS tool
COPY --from=build /out/tool /
CMD ["/tool"]""",
        GO,
        words=("--target", "server"),
    ),
    Case(
        "project-go-mounted-source",
        "FROM BASE AS build\nWORKDIR /src\nRUN --mount=target=. cat cmd/*/main.go > /bin/prog\n"
        "FROM BASE\nCOPY --from=build --link /bin/prog /usr/bin/prog",
        GO,
    ),
    Case(
        "project-onbuild-chain",
        "FROM BASE AS platform\nONBUILD ARG APP=app\nONBUILD WORKDIR /srv/$APP\nONBUILD COPY . .\n"
        'ONBUILD RUN ls > list\nONBUILD LABEL app="$APP"\nFROM platform\nCMD ["ls"]',
        {"one": "1", "two/three": "3"},
    ),
    Case(
        "project-shell-changes",
        'SHELL ["/bin/sh", "-eu", "-c"]\nRUN a=1; echo $a > /one\nCMD echo one\nSHELL ["/bin/ash", "-c"]\n'
        "RUN echo two > /two\nENTRYPOINT run $HOME\nHEALTHCHECK CMD true",
    ),
    Case(
        "project-shell-is-inherited",
        'FROM BASE AS a\nSHELL ["/bin/sh", "-x", "-c"]\nFROM a\nRUN true > /f\nCMD x\n'
        "FROM a\nCOPY --from=1 /f /f\nCMD y",
    ),
    Case("project-stop-signals", "ARG S=SIGQUIT\nSTOPSIGNAL $S\nSTOPSIGNAL SIGRTMIN+3\nSTOPSIGNAL 15"),
    Case(
        "project-volumes",
        'RUN mkdir -p /data/db && echo before > /data/db/f\nVOLUME /data /var/log/app\nVOLUME ["/etc/app", "/data"]\n'
        "RUN echo after > /data/db/g; mkdir -p /etc/app; echo x > /etc/app/x\nCOPY a /data/a\nVOLUME $PATH/v",
        {"a": "a"},
    ),
    Case(
        "project-volume-is-written",
        "VOLUME /data\nRUN mkdir -p /data && echo kept > /data/f && chown 5:6 /data /data/f\nUSER 5\n"
        "WORKDIR /data/w\nRUN id -u > ../u",
    ),
    Case(
        "project-workdirs",
        "ENV BASE_DIR=/opt\nWORKDIR $BASE_DIR/a\nWORKDIR b\nWORKDIR ../c/./d//\nRUN pwd > p\nUSER 7\nWORKDIR e\n"
        "COPY f .\nWORKDIR /\nCOPY f x/\nWORKDIR /opt/a/c\nUSER 0\nRUN ls -ln d | cut -c1-30 > /tmp/seen",
        {"f": "f"},
    ),
    Case(
        "project-users",
        "RUN echo 'svc:x:77:88::/srv:/bin/sh' >> /etc/passwd && echo 'svc:x:88:' >> /etc/group && echo 'more:x:99:svc' "
        ">> /etc/group\nUSER svc\nRUN id > /tmp/1 && echo $HOME > /tmp/home\nUSER svc:99\nRUN id > /tmp/2\n"
        "USER 1234\nRUN id > /tmp/3\n"
        "COPY --chown=svc f /f\nCOPY --chown=svc:more f /g\nCOPY --chown=:more f /h\nUSER 0",
        {"f": "f"},
    ),
    Case(
        "project-copy-patterns",
        "COPY src/*.[ch] /c/\nCOPY src/*/ /dirs/\nCOPY src/m?in.c Makefile* /m/\nCOPY src/[^m]* /rest/\nCOPY . /all/\n"
        "COPY --exclude=*.c --exclude=**/deep src /some/",
        {
            "src/main.c": "m",
            "src/util.c": "u",
            "src/util.h": "h",
            "src/lib/x.c": "x",
            "src/lib/deep/y": "y",
            "src/doc/z.txt": "z",
            "Makefile": "all:",
            "Makefile.am": "am",
        },
    ),
    Case(
        "project-rootfs-archive",
        'FROM scratch\nADD rootfs.tar.gz /\nCOPY <<E /etc/motd\nhello\nE\nENV PATH=/bin LANG=C.UTF-8\nCMD ["sh"]',
        {
            "rootfs.tar.gz": Special(
                compression="gz",
                archive=(
                    Member("bin", kind=b"2", link="usr/bin"),
                    Member("usr/bin", kind=b"5", mode=0o755),
                    Member("usr/bin/sh", "sh", mode=0o755),
                    Member("usr/bin/su", kind=b"1", link="usr/bin/sh", mode=0o755),
                    Member("etc", kind=b"5", mode=0o755),
                    Member("tmp", kind=b"5", mode=0o1777),
                    Member("root", kind=b"5", mode=0o700),
                    Member("var/mail", kind=b"5", mode=0o2775, owner=(0, 8)),
                ),
            )
        },
    ),
    Case(
        "project-web-server",
        "RUN mkdir -p /etc/nginx/conf.d /usr/share/nginx/html /var/log/nginx && touch /var/log/nginx/access.log && "
        "ln -sf /dev/stdout /var/log/nginx/access.log && echo default > /etc/nginx/conf.d/default.conf\n"
        "RUN rm /etc/nginx/conf.d/default.conf\nCOPY nginx.conf /etc/nginx/\nCOPY site/ /usr/share/nginx/html\n"
        'EXPOSE 80 443/tcp 443/udp\nSTOPSIGNAL SIGQUIT\nCMD ["nginx", "-g", "daemon off;"]',
        {"nginx.conf": "events {}\n", "site/index.html": "<h1>\n", "site/img/logo.png": "png"},
    ),
    Case(
        "project-cleaned-layers",
        "RUN mkdir -p /var/cache/apt/archives /var/lib/apt/lists && echo x > /var/lib/apt/lists/a && "
        "rm -rf /var/lib/apt/lists/*\nRUN rm -rf /var/cache/apt && mkdir /var/cache/apt\nRUN cp -a /etc /etc.bak && "
        "rm -rf /etc.bak/* && mv /etc.bak /etc.old",
    ),
    Case(
        "project-here-documents",
        "ENV NAME=world\nCOPY <<-EOF <<'RAW' /etc/conf/\n\thello $NAME ${MISSING:-none}\n\tEOF\n\\$kept $NAME\nRAW\n"
        'RUN <<EOT\nset -e\nfor i in 1 2 3; do\n  echo "$i $NAME" >> /numbers\ndone\nEOT\n'
        "RUN <<A cat - <<B > /both\nfirst\nA\nsecond\nB\nRUN <<EOF\n#!/bin/sh\necho $0 | grep -c . > /script\nEOF",
    ),
    Case(
        "project-arguments",
        "ARG V=1\nFROM BASE AS one\nARG V\nARG W=${V:-none}-w X\nENV V=$V W=${W#1-} X=${X:-unset}\n"
        'LABEL all="$V $W $X" "with space"=\'single $V\' multi="a \\\nb"\nFROM one\nARG V=3\n'
        "RUN echo $V $W $X > /seen\nENV V=${V}4",
        words=("--build-arg", "W=given", "--build-arg", "X=y z"),
    ),
    Case(
        "project-secrets-and-caches",
        "RUN --mount=type=secret,id=token --mount=type=tmpfs,target=/scratch --mount=type=cache,target=/cache,uid=5,"
        "mode=700 test ! -e /run/secrets/token && stat -c '%u %a' /cache > /seen && echo x > /scratch/x\n"
        "RUN ls / > /after",
    ),
    Case(
        "project-parent-directories",
        "COPY f /a/b/c/\nCOPY --chown=3:4 f /d/e/f/g\nRUN stat -c '%u:%g %a' /a /a/b /d /d/e > /modes\n"
        "ADD f /etc/deep/f\nCOPY dir /etc",
        {"f": Special("f", 0o600), "dir/passwd.d/x": Special("x", 0o444), "dir/hosts.extra": "h"},
    ),
)
