"""Dockerfiles in which two builders must find the same: `FROM BASE` is the image of the other cases."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.integration.differential.cases import Case, Special


def _case(
    name: str, dockerfile: str, files: Mapping[str, str | Special] | None = None, words: tuple[str, ...] = ()
) -> Case:
    begins = re.search("^from ", dockerfile, re.MULTILINE | re.IGNORECASE)
    text = dockerfile if begins else f"FROM BASE\n{dockerfile}"
    return Case(name, text, files or {}, words, whole=True)


CHECKS: tuple[Case, ...] = (
    _case("clean", '# no warnings\nFROM BASE AS one\nRUN echo a\nCMD ["x"]'),
    _case("stage-name-casing", "FROM BASE AS Build\nFROM BASE AS b-C"),
    _case("from-as-casing", "FROM BASE as a\nFROM BASE aS b\nFROM BASE AS c"),
    _case("from-as-casing-lower", "from BASE AS a\nrun echo\nFrom BASE as b\nfrom BASE as c"),
    _case("empty-continuation", "RUN echo a \\\n\n  && echo b\nENV a=1 \\\n  # fine\n  b=2\nCOPY <<E \\\n\n /\nx\nE"),
    _case("instruction-casing", "Run echo\nrun echo\nENV a=1\nonbuild RUN x\nONBUILD run x"),
    _case("instruction-casing-lower", "from BASE\nrun echo\nworkdir /x\nENV A=1"),
    _case("instruction-casing-tie", "run echo"),
    _case("global-arg-casing", "arg TAG=1\nFROM BASE"),
    _case("duplicate-names", "FROM BASE AS a\nFROM BASE AS A\nFROM BASE AS a"),
    _case("reserved-names", "FROM BASE AS scratch\nFROM BASE AS Context"),
    _case("json-args", 'CMD a b\nENTRYPOINT c\nFROM BASE\nSHELL ["/bin/sh", "-c"]\nCMD x\nFROM BASE\nCMD ["a"]'),
    _case("json-args-inherited-shell", 'FROM BASE AS b\nSHELL ["/bin/sh", "-ec"]\nFROM b\nENTRYPOINT x'),
    _case("maintainer", "MAINTAINER me"),
    _case("undefined-in-from", "ARG TAGG=1\nARG NOVALUE\nFROM localhost/differential-base:${TAG:-1}\nFROM BASE"),
    _case("undefined-in-from-suggests", "ARG VERSION=1\nFROM localhost/differential-base:${VERSON:-1}$NOVALU"),
    _case(
        "undefined-in-platform",
        "FROM --platform=${PLAT:-linux/amd64} BASE\nFROM --platform=$BUILDPLATFORN$BUILDPLATFORM BASE",
    ),
    _case("workdir-relative", 'WORKDIR a\nWORKDIR b\nFROM BASE\nENV X=x\nWORKDIR $X"y"'),
    _case("workdir-relative-inherited", "FROM BASE AS b\nWORKDIR /x\nFROM b\nWORKDIR rel"),
    _case(
        "undefined-var", "ENV FOO=1\nCOPY $FO $BAR$BAR ${BAR:-x} /x/\nLABEL a=$FOOO b=$1 c=$@\nWORKDIR /$NO\nUSER $WHO"
    ),
    _case("undefined-var-declared", 'ARG A\nARG B=$A\nENV C=$B$A D=$C\nRUN echo $Z\nCMD ["$Z"]\nEXPOSE 80$Z'),
    _case("undefined-var-inherited", "FROM BASE AS b\nARG A\nENV E=1\nFROM b\nLABEL x=$A$E$F"),
    _case("undefined-var-arg", "ARG A=$B\nARG B=1 C=$B$D\nARG G=$H", words=("--build-arg", "G=x")),
    _case("undefined-var-heredoc", "COPY <<A <<'B' /x/\n$NOPE \\$FINE\nA\n$FINE\nB"),
    _case("undefined-var-mount", "RUN --mount=type=cache,target=/c$NOPE,id=$A$B true"),
    _case("undefined-var-volume", 'VOLUME /$A "/$B"\nSTOPSIGNAL ${C:-9}\nCOPY --chown=$D --chmod=${E:-644} x /'),
    _case("undefined-var-onbuild", "ONBUILD COPY $NOPE /\nFROM BASE"),
    _case("undefined-var-global-not-in-stage", "ARG TAG=1\nFROM localhost/differential-base:$TAG\nLABEL a=$TAG"),
    _case("undefined-var-platform", "LABEL a=$TARGETARCH\nARG TARGETARCH\nLABEL b=$TARGETARCH c=$BUILDPLATFORM"),
    _case("undefined-var-suggests", "ENV NODE_VERSION=1\nLABEL a=$NODE_VERSIO b=$NODEVERSION c=$node_version d=$OTHER"),
    _case("multiple", 'CMD ["a"]\nCMD ["b"]\nENTRYPOINT ["c"]\nCMD ["d"]\nHEALTHCHECK NONE\nHEALTHCHECK CMD x'),
    _case("multiple-stages", 'FROM BASE AS b\nCMD ["a"]\nFROM b\nCMD ["b"]'),
    _case("legacy", 'ENV a b\nLABEL a b c\nENV c=d e="f g"\nENV "q" r\nenv x y'),
    _case("redundant-platform", "FROM --platform=$TARGETPLATFORM BASE\nFROM --platform=${TARGETPLATFORM:-x} BASE"),
    _case("redundant-platform-not", "FROM --platform=$BUILDPLATFORM BASE\nFROM --platform=$TARGETOS/$TARGETARCH BASE"),
    _case(
        "secrets",
        "ARG API_KEY TOKEN MONKEY KEYS\nARG mysql_password=x AUTH0 PUBLIC_KEY\n"
        "ENV SECRET=1 AWS_SECRET_ACCESS_KEY=2 auth=4 api_key_public=5\nENV DB_PWORD x",
    ),
    _case(
        "default-arg",
        "ARG T\nARG N=UPPER\nFROM localhost/differential-base:${T:-1}\nFROM BASE AS x$N",
        words=("--build-arg", "T=1"),
    ),
    _case("default-arg-invalid", "ARG T\nFROM localhost/differential-base:$T\nRUN echo", words=("--build-arg", "T=1")),
    _case(
        "const-platform",
        "FROM --platform=linux/amd64 BASE\nFROM --platform=amd64 BASE AS on-amd64\n"
        "FROM --platform=linux BASE AS linux1",
    ),
    _case(
        "ignored",
        "# check=experimental=CopyIgnoredFile\nFROM BASE\nCOPY a b/c d /x/\nADD f /\nCOPY . /\nCOPY --from=BASE a /\n"
        "ADD https://host.invalid/a /\nCOPY /a *.txt /",
        {".dockerignore": "a\nb\nd\ne\nf\n*.txt\n"},
    ),
    _case(
        "ignored-all",
        "# check=experimental=CopyIgnoredFile\nFROM BASE\nCOPY . /\nCOPY x /\nADD / /",
        {".dockerignore": "*\n"},
    ),
    _case("expose-casing", "EXPOSE 80/TCP 81/uDp 82/udp\nARG P=83/SCTP\nEXPOSE $P"),
    _case("expose-format", "EXPOSE 80:81\nEXPOSE 127.0.0.1:1:2/tcp 3-4:5-6"),
    _case(
        "descriptions",
        "# check=experimental=all\n# x\nARG TAG=1\n# one\n# b is it\nFROM BASE AS b\n# c\n\nARG A\n"
        "# A d\nARG A B\n# q\nARG A B",
    ),
    _case(
        "descriptions-by-name",
        "# check=experimental=InvalidDefinitionDescription;skip=JSONArgsRecommended\n# q\nFROM BASE AS b\nCMD x",
    ),
    _case(
        "skip-some", "# check=skip=JSONArgsRecommended,MaintainerDeprecated\nFROM BASE\nMAINTAINER a\nCMD x\nWORKDIR y"
    ),
    _case("skip-all", "# check=skip=all\nFROM BASE\nMAINTAINER a\nCMD x"),
    _case(
        "by-argument",
        "# check=skip=all\nFROM BASE\nCMD x\nWORKDIR y",
        words=("--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=WorkdirRelativePath"),
    ),
    _case("error", "# check=error=true\nFROM BASE\nCMD x"),
    _case("fault-unknown-instruction", "FROM BASE AS Q\nFOO x\nCMD x"),
    _case("fault-blank-base", "FROM BASE AS Q\nCMD x\nFROM $NOPE AS R\nFROM BASE AS S"),
    _case("fault-in-a-word", 'FROM BASE AS Q\nLABEL a=$NOPE\nENV b="\nCMD x'),
    _case("all-stages", "FROM BASE AS a\nCMD x\nFROM BASE AS b\nWORKDIR y\nFROM BASE"),
    _case("target", "FROM BASE AS a\nCMD x\nFROM BASE AS b\nWORKDIR y\nFROM BASE", words=("--target", "b")),
    _case("scratch", "FROM scratch\nCOPY $NOPE$PATH /\nCMD x"),
    _case("onbuild-of-a-stage", "FROM BASE AS b\nONBUILD WORKDIR rel\nONBUILD LABEL a=$NOPE\nFROM b\nCMD x"),
)
