"""Dockerfiles that two builders must make the same image of. `BASE` is busybox with a small passwd and group."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

SOURCE_TIME = 1_000_000_000
"""Seconds since the epoch: the time of every file of a context."""
BASE = "localhost/differential-base:1"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive; `kind` is what tarfile calls its type."""

    name: str
    content: str = ""
    kind: bytes = b"0"
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)
    link: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Special:
    """A file of a context that is more than its content; an archive may be compressed: gz, bz2, xz or zst."""

    content: str = ""
    mode: int = 0o644
    link: str = ""
    hard: str = ""
    fifo: bool = False
    directory: bool = False
    archive: tuple[Member, ...] | None = None
    compression: str = ""
    mtime: int = SOURCE_TIME


@dataclass(frozen=True, slots=True)
class Case:
    """One Dockerfile (after `FROM BASE`, unless it begins otherwise), its context, and words of the build command."""

    name: str
    dockerfile: str
    files: Mapping[str, str | Special] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    whole: bool = False
    """Whether the text is the whole Dockerfile as it stands."""
    newer: bool = False
    """Whether docker 28 makes something else of it: the recorded result is of BuildKit's version of August 2026."""

    def words_in(self, directory: str) -> list[str]:
        """Return the words for a builder that sees the context at `directory`: CONTEXT in them stands for it."""
        return [word.replace("CONTEXT", directory) for word in self.words]

    @property
    def text(self) -> str:
        """Return the whole Dockerfile."""
        begins = self.dockerfile.startswith(("FROM", "#", "ARG TAG", "ARG V=1"))
        whole = self.dockerfile if begins or self.whole else f"FROM BASE\n{self.dockerfile}"
        return re.sub(r"(?<![\w$])BASE(?!\w)", BASE, whole) + "\n"


TREE: Mapping[str, str | Special] = {
    "a.txt": "a\n",
    "b.txt": "b\n",
    "d/f": "f\n",
    "d/sub/g": Special("g\n", 0o4755),
    "d/sub/hard": Special(hard="d/f"),
    "d/link": Special(link="f"),
    "d/abs": Special(link="/etc/passwd"),
    "d/fifo": Special(fifo=True),
    "d/empty": Special(directory=True, mode=0o700),
    "closed": Special(directory=True, mode=0o750),
    "closed/x": "x\n",
    "link.txt": Special(link="a.txt"),
    "dlink": Special(link="d"),
    "sp ace": "s\n",
}

CASES: tuple[Case, ...] = (
    # -- metadata
    Case("env-both-forms", 'ENV a=1 b="two words" c=\\$x\nENV old style  value\nENV d=$a$b e=${nope:-dflt}'),
    Case("env-replaces-in-place", "ENV A=1 B=2\nENV A=3\nENV PATH=/x:$PATH"),
    Case("label-forms", 'LABEL a=1 "b c"="d e"\nLABEL multi="line1\\\nline2"\nLABEL x.y-z=v\nLABEL old fashioned'),
    Case("expose", "EXPOSE 80 443/tcp 53/udp\nEXPOSE 8000-8002\nARG P=9\nEXPOSE $P"),
    Case("user", "USER www\nUSER 33:50\nENV U=www\nUSER $U:$U"),
    Case("volume", 'VOLUME /a /b\nVOLUME ["/c d"]\nENV V=/e\nVOLUME $V'),
    Case("stopsignal", "STOPSIGNAL SIGINT\nSTOPSIGNAL 9"),
    Case("cmd-shell", "CMD echo $HOME && true"),
    Case("cmd-exec", 'CMD ["a", "b c", "$d"]'),
    Case("cmd-reset-by-entrypoint", 'CMD ["x"]\nFROM BASE AS two\nCMD one\nENTRYPOINT ["e"]\nCMD ["c"]'),
    Case("entrypoint-resets-inherited-cmd", 'FROM BASE AS one\nCMD ["x"]\nFROM one\nENTRYPOINT ["e"]'),
    Case("entrypoint-shell", "ENTRYPOINT exec top -b"),
    Case("shell", 'SHELL ["/bin/sh", "-xc"]\nRUN echo hi > /out\nCMD hello'),
    Case("healthcheck", "HEALTHCHECK --interval=5m --timeout=3s --retries=2 --start-period=1s CMD wget -q localhost"),
    Case("healthcheck-exec", 'HEALTHCHECK --start-interval=250ms CMD ["true"]'),
    Case("healthcheck-none", "HEALTHCHECK CMD true\nHEALTHCHECK NONE"),
    Case("maintainer", "MAINTAINER Some One <one@example.org>"),
    Case("onbuild", "ONBUILD RUN echo hi\nONBUILD COPY a /b\nONBUILD ENV x=$y"),
    Case("onbuild-runs", "FROM BASE AS b\nONBUILD RUN echo hi > /out\nONBUILD ENV x=1\nFROM b\nRUN echo $x > /x"),
    Case("arg-in-history", "ARG A=1\nARG B\nRUN echo $A$B > /out\nRUN echo $A > /out2", words=("--build-arg", "B=2")),
    Case("arg-and-env", "ARG X=arg\nENV X=env\nRUN echo $X > /x\nENV Y=$X", words=("--build-arg", "X=given")),
    Case("arg-global", "ARG TAG=1\nARG V=global\nFROM localhost/differential-base:$TAG\nARG V\nRUN echo $V > /v"),
    Case("arg-platform", "ARG TARGETARCH\nARG TARGETOS\nRUN echo $TARGETOS/$TARGETARCH > /p"),
    Case("expansion", "ENV a=x b=\nENV c=${a:+set} d=${b:+set} e=${b-unset} f=${z:-w$a} g=${a}y h='$a' i=\"$a\""),
    Case(
        "expansion-patterns",
        "ENV f=a/b/c.tar.gz\nENV g=${f##*/} h=${f%.*} i=${f%%.*} j=${f#*/} k=${f//\\//-} l=${f/b/B}",
    ),
    Case("labels-from-flags", "LABEL a=1", words=("--label", "b=2", "--label", "a=3")),
    Case("comments-and-continuations", "RUN echo a \\\n  # comment\n\n  && echo b \\\n > /out\n# end"),
    Case("escape-directive", "# escape=`\nFROM BASE\nRUN echo a `\n b > /out\nENV p=c:\\\\x"),
    # -- working directories
    Case("workdir", "WORKDIR /a/b\nWORKDIR c\nRUN pwd > /out\nENV D=/e\nWORKDIR $D/f"),
    Case("workdir-exists", "WORKDIR /tmp\nWORKDIR /etc"),
    Case("workdir-of-a-user", "USER www\nWORKDIR /made/here\nRUN id > /tmp/id"),
    Case("workdir-through-a-link", "RUN mkdir /real && ln -s real /ln\nWORKDIR /ln/x\nRUN pwd -P > /out"),
    # -- RUN
    Case("run-forms", 'RUN echo $HOME > /home\nRUN ["/bin/sh", "-c", "echo $0 > /zero"]\nRUN ["/bin/touch", "/t"]'),
    Case("run-nothing", "RUN true\nRUN :"),
    Case("run-removes", "RUN rm /etc/group && rm -r /var && mkdir /var && echo x > /var/y"),
    Case("run-replaces-directory", "RUN mkdir /q && echo 1 > /q/a\nRUN rm -r /q && mkdir /q && echo 2 > /q/b"),
    Case("run-links", "RUN echo a > /a && ln /a /b && ln -s a /c\nRUN ln /a /d && echo z >> /b"),
    Case("run-modes", "RUN mkdir -m 1777 /m && touch /m/f && chmod 4755 /m/f && chown 33:50 /m/f && mkfifo /m/p"),
    Case("run-devices", "RUN mknod /n c 1 3 && mknod /b b 7 0"),
    Case("run-heredoc", "RUN <<EOF\necho one > /one\necho $HOME > /home\nEOF"),
    Case("run-heredoc-file", "RUN cat > /out <<-'EOF'\n\t$literal\n\t\ttwo\nEOF"),
    Case(
        "run-heredoc-shebang", "RUN <<EOF\n#!/bin/cat\nhello\nEOF\nRUN <<E\n#!/bin/sh\necho $0 | head -c 5 > /zero\nE"
    ),
    Case("run-heredocs", "RUN cat <<A > /a && cat <<B > /b\nin a\nA\nin b\nB"),
    Case("run-environment", 'ENV A=1\nARG B=2\nRUN env | grep -E "^(A|B|HOME|PATH|USER|TERM)=" | sort > /env'),
    Case(
        "run-as-user",
        "RUN mkdir -p /var/www && chown www /var/www\nUSER www\nRUN id > /tmp/id; echo $HOME > /tmp/home; touch /tmp/f",
    ),
    Case("run-bind-mount", "RUN --mount=type=bind,source=d,target=/mnt cp /mnt/f /f", TREE),
    Case("run-cache-mount", "RUN --mount=type=cache,target=/c touch /c/x && ls /c > /o\nRUN [ -e /c ] || echo > /gone"),
    Case("run-tmpfs-mount", "RUN --mount=type=tmpfs,target=/t touch /t/x\nRUN [ -e /t ] || echo gone > /gone"),
    # -- COPY
    Case("copy-file", "COPY a.txt /\nCOPY a.txt /x\nCOPY a.txt /new/dir/\nCOPY a.txt b.txt /two/", TREE),
    Case("copy-directory", "COPY d /d\nCOPY d/ /e/\nCOPY closed /closed", TREE),
    Case("copy-all", "COPY . /all", TREE),
    Case("copy-relative", "WORKDIR /w/x\nCOPY a.txt .\nCOPY b.txt rel/\nCOPY d/f ../up", TREE),
    Case("copy-links", "COPY link.txt /l\nCOPY dlink /dl\nCOPY dlink/f /f", TREE),
    Case("copy-wildcards", "COPY *.txt /w/\nCOPY d/[f-g]* /x/\nCOPY no*thing a.txt /y/\nCOPY */f /z/", TREE),
    Case("copy-json", 'COPY ["sp ace", "/with space/"]', TREE),
    Case("copy-chown", "COPY --chown=33:50 d /d\nCOPY --chown=www a.txt /p/q/\nCOPY --chown=5 a.txt /five", TREE),
    Case("copy-chmod", "COPY --chmod=640 d /d\nCOPY --chmod=u=rwX,go=rX d /e\nCOPY --chmod=+x a.txt /p/x", TREE),
    Case(
        "copy-over-existing", "RUN mkdir -m 700 /d && chown 3:4 /d && echo old > /d/f\nCOPY d /d\nCOPY a.txt /d", TREE
    ),
    Case(
        "copy-through-links",
        "RUN mkdir /real && ln -s real /ln && ln -s /real/t /to\nCOPY a.txt /ln/\nCOPY b.txt /to",
        TREE,
    ),
    Case(
        "copy-heredoc",
        "ARG X=1\nCOPY <<A <<'B' /h/\n$X \\$X\nA\n$X\nB\nCOPY --chmod=755 --chown=3:3 <<E /bin/e\n#!x\nE",
        TREE,
    ),
    Case(
        "copy-from-stage",
        "FROM BASE AS s\nRUN mkdir /o && echo x > /o/x && ln /o/x /o/y && chown 9:8 /o/x && ln -s x /o/l\n"
        "FROM BASE\nCOPY --from=s /o /o\nCOPY --from=0 /o/l /l",
    ),
    Case("copy-from-image", "COPY --from=BASE /etc/passwd /p\nFROM scratch\nCOPY --from=BASE /etc /etc"),
    Case("copy-exclude", "COPY --exclude=*/g --exclude=link d /d\nCOPY --exclude=**/f d /e", TREE),
    Case("copy-ignored", "COPY . /all", {**TREE, ".dockerignore": "d/*\n!d/sub\n*.txt\n!b.txt\n# c\nclosed/\n"}),
    Case("copy-to-scratch", "FROM scratch\nCOPY d/f /x/y\nCOPY a.txt /", TREE),
    Case("copy-setgid", "RUN mkdir -m 2775 /sg && chgrp 50 /sg\nCOPY d /sg/new\nCOPY a.txt /sg/", TREE),
    # -- ADD
    Case("add-file", "ADD a.txt /x/\nADD d /d/", TREE),
    # -- stages
    Case(
        "stages", "FROM BASE AS a\nRUN echo a > /a\nENV A=1\nFROM a AS b\nRUN echo $A > /b\nFROM b\nCOPY --from=a /a /c"
    ),
    Case("target", "FROM BASE AS a\nRUN echo a > /a\nFROM a AS b\nRUN echo b > /b", words=("--target", "A")),
    Case("scratch-metadata", 'FROM scratch\nCOPY a.txt /\nENV A=1\nLABEL b=2\nCMD ["x"]', TREE),
    Case("stage-inherits-args", "FROM BASE AS a\nARG X=1\nFROM a\nRUN echo $X > /x"),
    Case("base-history", "RUN touch /x\nFROM BASE\nENV only=this"),
)
