"""Dockerfiles that try what instructions mean: arguments, triggers, metadata, working directories, expansion."""

from __future__ import annotations

from tests.integration.differential.cases import TREE, Case

LANGUAGE: tuple[Case, ...] = (
    # -- FROM, ARG and platforms
    Case(
        "from-platform-variable",
        "FROM --platform=$BUILDPLATFORM BASE\nARG BUILDPLATFORM TARGETPLATFORM\n"
        "RUN echo $BUILDPLATFORM $TARGETPLATFORM > /p",
        whole=True,
    ),
    Case(
        "platform-args-all",
        "ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM "
        "BUILDOS BUILDARCH BUILDVARIANT TARGETSTAGE\nRUN env | grep -E '^(TARGET|BUILD)' | sort > /p\n"
        "LABEL v=x$TARGETVARIANT",
    ),
    Case(
        "platform-args-need-arg",
        'RUN echo "[$TARGETARCH]" > /p\nENV A=$TARGETARCH\nARG TARGETARCH=default\nENV B=$TARGETARCH',
    ),
    Case(
        "target-stage-arg",
        "FROM BASE AS one\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE > /s\nFROM one AS two\nRUN echo $TARGETSTAGE > /t",
        words=("--target", "two"),
    ),
    Case("arg-multiple-words", 'ARG A=1 B="two words" C\nARG D=$A$B\nRUN echo "$A $B $C $D" > /o'),
    Case("arg-redefined", "ARG A=1\nARG A=2\nENV A=3\nARG A=4\nRUN echo $A > /o\nENV B=$A"),
    Case(
        "arg-global-default-from-another",
        "ARG V=1\nARG TAG=$V\nFROM localhost/differential-base:$TAG\nARG TAG\nARG V=stage\nRUN echo $TAG $V > /o",
    ),
    Case("arg-given-but-not-declared", 'RUN echo "[$A]" > /o', words=("--build-arg", "A=1")),
    Case("arg-given-empty", 'ARG A=dflt\nRUN echo "[$A]" > /o\nENV B=${A:-unset}', words=("--build-arg", "A=")),
    Case(
        "arg-proxies",
        "RUN env | grep -i proxy | sort > /o\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /p",
        words=("--build-arg", "HTTP_PROXY=http://p.invalid:1", "--build-arg", "no_proxy=x"),
    ),
    Case(
        "arg-does-not-reach-later-stage",
        'FROM BASE AS a\nARG X=1\nENV Y=$X\nFROM BASE\nCOPY --from=a /etc/group /g\nRUN echo "[$X$Y]" > /o',
    ),
    Case("arg-with-spaces-given", 'ARG A\nRUN echo "$A" > /o\nLABEL l=$A', words=("--build-arg", "A=x  y $z")),
    Case(
        "arg-in-history-of-all-kinds",
        'ARG A=1 B\nRUN ["/bin/sh", "-c", "echo $A > /o"]\nWORKDIR /w\nCOPY <<E /e\nx\nE\nENV B=2\nRUN echo $B > /p',
    ),
    Case(
        "stages-numbered",
        "FROM BASE\nRUN echo 0 > /zero\nFROM BASE\nRUN echo 1 > /one\nFROM scratch\n"
        "COPY --from=0 /zero /\nCOPY --from=1 /one /",
    ),
    Case("stage-named-like-an-image", "FROM BASE AS busybox\nRUN echo s > /s\nFROM busybox\nCOPY --from=busybox /s /t"),
    Case(
        "stage-chain-metadata",
        'FROM BASE AS a\nENV A=1\nLABEL l=1\nWORKDIR /a\nUSER www\nEXPOSE 1\nVOLUME /v\nCMD ["c"]\n'
        'STOPSIGNAL 9\nSHELL ["/bin/sh", "-ec"]\nHEALTHCHECK CMD x\nFROM a AS b\nRUN id -u > /tmp/o\n'
        "FROM b\nLABEL m=2",
    ),
    Case("unused-stage-is-skipped", "FROM BASE AS never\nRUN false\nFROM BASE\nRUN echo > /x"),
    Case("from-lowercase-and-comments", "# c\n\n  from   BASE   as   X  \n\trun echo > /x", whole=True),
    # -- ONBUILD
    Case(
        "onbuild-copy-from",
        "FROM BASE AS src\nRUN echo s > /s\nFROM BASE AS b\nONBUILD COPY --from=src /s /t\nFROM b\nRUN cat /t > /u",
    ),
    Case(
        "onbuild-mount-from",
        "FROM BASE AS src\nRUN echo s > /s\nFROM BASE AS b\nONBUILD RUN --mount=from=src,target=/m cp /m/s /t\nFROM b",
    ),
    Case(
        "onbuild-not-inherited-twice", "FROM BASE AS a\nONBUILD RUN echo a >> /o\nFROM a AS b\nFROM b\nRUN echo c >> /o"
    ),
    Case(
        "onbuild-in-order-with-args",
        "FROM BASE AS a\nARG A=1\nONBUILD ARG A=2\nONBUILD RUN echo $A > /o\nONBUILD WORKDIR /w\n"
        "ONBUILD USER www\nFROM a\nRUN id -u > /tmp/p",
    ),
    Case(
        "onbuild-heredoc",
        "ONBUILD RUN <<E\necho x\nE\nONBUILD COPY <<A <<B /d/\na\nA\nb\nB\nONBUILD  run   echo 'x  y'",
    ),
    Case("onbuild-heredoc-runs", "FROM BASE AS a\nONBUILD RUN <<E\necho x > /o\nE\nFROM a"),
    Case(
        "onbuild-metadata",
        'FROM BASE AS a\nONBUILD LABEL a=1\nONBUILD CMD ["x"]\nONBUILD ENTRYPOINT y\nONBUILD EXPOSE 5\n'
        "ONBUILD VOLUME /v\nONBUILD STOPSIGNAL 9\nONBUILD HEALTHCHECK NONE\n"
        'ONBUILD SHELL ["/bin/sh", "-ec"]\nFROM a',
    ),
    # -- metadata
    Case(
        "shell-changes-commands",
        'SHELL ["/bin/sh", "-exc"]\nENTRYPOINT top\nHEALTHCHECK CMD a b\nRUN echo "$-" > /o\n'
        'SHELL ["/bin/busybox", "sh", "-c"]\nRUN echo $0 > /p\nCMD x y',
    ),
    Case(
        "healthcheck-durations",
        "HEALTHCHECK --interval=1h2m3s --timeout=1.5s --start-period=0s "
        "--retries=0 --start-interval=100ms CMD a  b   c",
    ),
    Case("healthcheck-forms", 'HEALTHCHECK CMD ["a b", "c"]\nHEALTHCHECK cmd  echo "x"'),
    Case("healthcheck-none-lower", "HEALTHCHECK none"),
    Case("stopsignal-forms", "ENV S=SIGUSR1\nSTOPSIGNAL $S"),
    Case("stopsignal-rt", "STOPSIGNAL RTMIN+3"),
    Case("expose-ranges", "EXPOSE 7000-7002/udp 9 8/sctp 7001/udp\nEXPOSE 80/TCP\nENV P='90 91/udp'\nEXPOSE $P"),
    Case("volume-forms", 'VOLUME ["/a", "/b c", "/a"]\nVOLUME rel/x /t/\nVOLUME "/q"'),
    Case("volume-then-write", "RUN mkdir /v && echo a > /v/a\nVOLUME /v\nRUN echo b > /v/b"),
    Case(
        "label-quoting",
        'LABEL a=\'single $x\' b="double \\"q\\"" c=un\\ quoted d=\nLABEL e="line \\\n  two" "f g"=\'h\'',
    ),
    Case("label-removed-by-later", "LABEL a=1 a=2\nLABEL a=3\nLABEL é=ü"),
    Case("env-special-values", "ENV A='' B=\"\" C=a=b=c D=\"x#y\" E=#z F=\\$HOME G='$HOME' H=${HOME}x I=a\\\\b"),
    Case("env-unicode-and-case", "ENV ä=ö Path=x path=y\nRUN echo $ä $Path $path > /o"),
    Case("env-empty-then-path", 'ENV A=\nENV B=$A:$PATH\nRUN echo "$B" > /o'),
    Case("env-legacy", 'ENV A  x  y\nENV B "q  r" s\nENV C $A-$B\nLABEL D e  f'),
    Case(
        "user-forms",
        "USER 1000\nRUN id > /tmp/a\nUSER 1000:50\nRUN id > /tmp/b\nUSER www:staff\nRUN id > /tmp/c\n"
        "USER root\nRUN id > /tmp/d\nUSER 33:www\nRUN id > /tmp/e",
    ),
    Case(
        "user-home",
        "USER www\nRUN echo $HOME > /tmp/a\nUSER 4444\nRUN echo $HOME > /tmp/b\nENV HOME=/h\nRUN echo $HOME > /tmp/c",
    ),
    Case(
        "user-supplementary-groups",
        "USER www\nRUN id -G > /tmp/a\nUSER www:www\nRUN id -G > /tmp/b\nUSER 33\nRUN id -G > /tmp/c",
    ),
    Case("cmd-entrypoint-forms", 'CMD ["a", "b"]\nENTRYPOINT  x  y  z'),
    Case("cmd-invalid-json", "CMD ['a', 'b']\nENTRYPOINT [\"x\", ]"),
    Case("cmd-empty-exec", "CMD []\nENTRYPOINT []"),
    Case("entrypoint-keeps-own-cmd", 'CMD ["x"]\nENTRYPOINT ["e"]'),
    Case("maintainer-twice", "MAINTAINER a\nMAINTAINER b  c"),
    # -- WORKDIR
    Case("workdir-trailing-slash", "WORKDIR /a/b/\nRUN pwd > /o\nWORKDIR /a//c/../d/.\nWORKDIR .\nWORKDIR ../e/"),
    Case("workdir-root", "WORKDIR /\nWORKDIR //\nRUN pwd > /o"),
    Case("workdir-relative-from-base", "WORKDIR rel/x\nRUN pwd > /o"),
    Case("workdir-spaces-quotes", 'WORKDIR "/a b"\nRUN pwd > /o\nWORKDIR /c d\nRUN pwd > /p'),
    Case("workdir-keeps-existing-owner", "RUN mkdir -m 700 /x && chown 5:6 /x\nWORKDIR /x\nUSER www\nWORKDIR /x/y"),
    Case("workdir-user-with-group", "USER 33:50\nWORKDIR /a/b\nRUN ls -ld /a /a/b | cut -c1-30 > /tmp/o"),
    Case("workdir-number-user", "USER 7:8\nWORKDIR /n"),
    # -- expansion
    Case(
        "expansion-everywhere",
        "ENV A=/x B=1 U=33 S=9 P=80/udp\nWORKDIR ${A}/${B:-0}\nUSER $U\nVOLUME $A\nEXPOSE $P\n"
        'STOPSIGNAL $S\nLABEL k$B=${A##/}\nCOPY ${B:+a.txt} .\nCMD $A\nENTRYPOINT ["$A"]\n'
        "ONBUILD ENV Q=$A",
        TREE,
    ),
    Case(
        "expansion-more-patterns",
        "ENV a=aXbXc e=\nENV b=${a%X*} c=${a%%X*} d=${a#*X} f=${a##*X} g=${a/X/-} h=${a//X/} "
        "i=${e:-${a#a}} j=${e:+n} k=${a:+${b:-y}} l=${u#x} m=${a#\\?} n=${a%?}",
    ),
    Case(
        "expansion-quotes-and-escapes",
        'ENV a="x y" b=\'$a\' c="\'$a\'" d=\\"$a\\" e=$a$a f=${a}\\ z g="\\$a" h=\\\\$a i=\'a\'"b"c',
    ),
    Case("expansion-dollar-corners", 'ENV a=$ b=$$ c=a$ d="$" e=$1x f=${1} g=$% h=$-'),
    Case(
        "escape-backtick",
        "# escape=`\nFROM BASE\nENV a=x`\n b=`$a c=\\$a\nRUN echo `\n  hi > /o\nCOPY a.txt /q\\r",
        TREE,
    ),
    Case("crlf-file", "FROM BASE\r\nENV a=b\r\nRUN echo x > /o\r\nLABEL c=d \\\r\n e=f\r\n", whole=True),
    Case("directives-and-comments", "# escape=\\\n# not a directive\n# syntax=ignored\nFROM BASE\nRUN echo > /o"),
    # -- flags of the command line
    Case(
        "labels-and-args-from-flags",
        "ARG V\nLABEL a=$V b=2",
        words=("--build-arg", "V=x", "--label", "b=3", "--label", "c=d e", "--label", "e"),
    ),
    Case("scratch-only-metadata", 'FROM scratch\nENV A=1\nLABEL b=$A\nWORKDIR /w\nCMD ["/x"]'),
    Case("scratch-workdir-and-user", "FROM scratch\nUSER 5:6\nWORKDIR /w/x\nCOPY <<E .\nx\nE"),
    Case("add-host-flag", "RUN grep extra /etc/hosts | tr '\\t' ' ' > /o", words=("--add-host", "extra:10.0.0.9")),
    Case("shm-size-flag", "RUN df -k /dev/shm | tail -1 | awk '{print $2}' > /o", words=("--shm-size", "32m")),
    Case("ulimit-flag", "RUN ulimit -n > /o", words=("--ulimit", "nofile=512:512")),
    Case("network-flag-none", "RUN ls /sys/class/net > /o", words=("--network", "none")),
    Case("hostname-arg", "RUN hostname > /o", words=("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=boxy")),
    Case(
        "source-date-epoch-history",
        "RUN echo x > /o\nENV A=1\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /e",
        words=("--build-arg", "SOURCE_DATE_EPOCH=1234567890"),
    ),
    Case(
        "stages-in-any-case",
        "FROM BASE AS Build\nRUN echo 1 > /x\nFROM build AS Two\nRUN --mount=from=BUILD,target=/m cp /m/x /y\n"
        "FROM BASE\nCOPY --from=Two /y /1\nCOPY --from=bUILD /x /2",
    ),
)
