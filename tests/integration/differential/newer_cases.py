"""Dockerfiles that docker 28 makes something else of than BuildKit's version of August 2026: --parents, --link."""

from __future__ import annotations

from collections.abc import Mapping

from tests.integration.differential.cases import TREE, Case, Special

PARENTS: Mapping[str, str | Special] = {
    "a.txt": "a\n",
    "x/a.txt": "xa\n",
    "x/y/b.txt": "yb\n",
    "x/y/z/c": Special("c", 0o755),
    "x/y/ln": Special(link="b.txt"),
    "x/dl": Special(link="y"),
    "x/up": Special(link="../a.txt"),
    "x/dang": Special(link="no"),
    "x/loop": Special(link="loop"),
    "x/hard": Special(hard="x/y/b.txt"),
    "x/e": Special(directory=True, mode=0o711),
    "x/p": Special(directory=True, mode=0o2750),
    "x/p/f": Special("f", 0o600),
    "dl": Special(link="x/y"),
    "[b]/c": "br",
    "sp ace/f": "s",
    "x/fifo": Special(fifo=True),
    "n/x.c": "1",
    "n/m/y.c": "2",
    "n/m/z.h": "3",
}
_BEFORE = (
    "RUN mkdir -p /real/sub && ln -s real /ln && mkdir -m 700 /p && chown 3:4 /p && echo o > /p/a.txt && "
    "ln -s nowhere /dang && touch /file && mkdir /d && echo old > /d/f && ln -s /etc/passwd /d/link\n"
)
"""What a linked layer does not look at."""


def _case(name: str, dockerfile: str, files: Mapping[str, str | Special] = PARENTS) -> Case:
    return Case(name, dockerfile, files, newer=True)


NEWER: tuple[Case, ...] = (
    _case(
        "parents-1",
        "COPY --parents x/y/b.txt /o0/\n"
        "COPY --parents x/y/b.txt /o1\n"
        "COPY --parents x/y /o2/\n"
        "COPY --parents x/y/ /o3/\n"
        "COPY --parents ./x/y/b.txt /o4/\n"
        "COPY --parents x/./y/b.txt /o5/",
    ),
    _case(
        "parents-2",
        "COPY --parents x/./y/z/c a.txt /o0/\n"
        "COPY --parents ./a.txt /o1/\n"
        "COPY --parents ./x /o2/\n"
        "COPY --parents x/. /o3/\n"
        "COPY --parents x/*/b.txt /o4/\n"
        "COPY --parents x/./*/b.txt /o5/",
    ),
    _case(
        "parents-3",
        "COPY --parents **/*.txt /o0/\n"
        "COPY --parents x/./**/*.txt /o1/\n"
        "COPY --parents **/c /o2/\n"
        "COPY --parents x/**/c /o3/\n"
        "COPY --parents x/y/*/c /o4/\n"
        "COPY --parents x/y/* /o5/",
    ),
    _case(
        "parents-4",
        "COPY --parents x/?/b.txt /o0/\n"
        "COPY --parents x/[xy]/b.txt /o1/\n"
        "COPY --parents nope* /o2/\n"
        "COPY --parents x/nope* a.txt /o3/\n"
        "COPY --parents x/dl /o4/\n"
        "COPY --parents dl /o5/",
    ),
    _case(
        "parents-5",
        "COPY --parents dl/ /o0/\n"
        "COPY --parents dl/*.txt /o1/\n"
        "COPY --parents x/up /o2/\n"
        "COPY --parents x/dang /o3/\n"
        "COPY --parents x/loop /o4/\n"
        "COPY --parents x/y/ln /o5/",
    ),
    _case(
        "parents-6",
        "COPY --parents x/hard x/y/b.txt /o0/\n"
        "COPY --parents x/e /o1/\n"
        "COPY --parents x/p/f /o2/\n"
        "COPY --parents x/p /o3/\n"
        "COPY --parents --chown=3:4 x/p/f /o4/\n"
        "COPY --parents --chown=www --chmod=700 x/y/b.txt /o5/",
    ),
    _case(
        "parents-7",
        "COPY --parents --chmod=u=rwX,go= x/y /o0/\n"
        "COPY --parents --exclude=*.txt x /o1/\n"
        "COPY --parents --exclude=x/y x /o2/\n"
        "COPY --parents --exclude=y x /o3/\n"
        "COPY --parents --exclude=**/b.txt x/y /o4/\n"
        "COPY --parents --exclude=b.txt x/./y /o5/",
    ),
    _case(
        "parents-8",
        "COPY --parents --exclude=y/b.txt x/./y /o0/\n"
        "COPY --parents ../x/a.txt /o1/\n"
        "COPY --parents /x/a.txt /o2/\n"
        "COPY --parents x/../x/a.txt /o3/\n"
        "COPY --parents x//y//b.txt /o4/\n"
        "COPY --parents x/y/./z/./c /o5/",
    ),
    _case(
        "parents-9",
        "COPY --parents x/y/b.txt x/a.txt a.txt /o0\n"
        'COPY --parents ["sp ace/f", "/o1/"]\n'
        "COPY --parents [[]b]/c /o2/\n"
        "COPY --parents x/fifo /o3/\n"
        "COPY --parents=false x/y/b.txt /o4/\n"
        "COPY --parents n/*/*.c n/*.c /o5/",
    ),
    _case(
        "parents-10",
        "COPY --parents n/**/*.c /o0/\n"
        "COPY --parents ./n/./m/y.c /o1/\n"
        "COPY --parents x/y/b.txt/ /o4/\n"
        "COPY --parents a.txt/ /o5/",
    ),
    _case("parents-11", "COPY --parents x/a.txt/../y/b.txt /o0/"),
    _case("parents-alone-1", "COPY --parents x/y/b.txt /"),
    _case("parents-and-more-1", "WORKDIR /w\nCOPY --parents x/a.txt ."),
    _case("parents-and-more-2", "WORKDIR /w\nCOPY --parents x/a.txt rel"),
    _case(
        "parents-and-more-3",
        "RUN mkdir -m 700 -p /o/x && chown 5:6 /o/x && echo k > /o/x/keep\nCOPY --parents x/a.txt /o/",
    ),
    _case("parents-and-more-4", "RUN ln -s /real /o && mkdir /real\nCOPY --parents x/a.txt /o/"),
    _case("parents-and-more-5", "COPY --parents <<E /o/\nx\nE"),
    _case("parents-and-more-6", "COPY --parents a.txt <<E /o/\nx\nE"),
    _case(
        "parents-and-more-7",
        "FROM BASE AS s\n"
        "RUN mkdir -p -m 750 /s/t/u && chown 7:8 /s/t && echo 1 > /s/t/u/f && ln -s t /s/l && "
        "touch -d @9 /s/t/u/f\n"
        "FROM BASE\n"
        "COPY --from=s --parents /s/t/u/f /o/",
    ),
    _case(
        "parents-and-more-8",
        "FROM BASE AS s\n"
        "RUN mkdir -p -m 750 /s/t/u && chown 7:8 /s/t && echo 1 > /s/t/u/f && ln -s t /s/l\n"
        "FROM BASE\n"
        "COPY --from=s --parents /s/./t/u /o/",
    ),
    _case(
        "parents-and-more-9",
        "FROM BASE AS s\n"
        "RUN mkdir -p -m 750 /s/t/u && chown 7:8 /s/t && echo 1 > /s/t/u/f && ln -s t /s/l\n"
        "FROM BASE\n"
        "COPY --from=s --parents --chown=1:1 /s/*/u /o/",
    ),
    _case(
        "parents-and-more-10",
        "FROM BASE AS s\n"
        "RUN mkdir -p -m 750 /s/t/u && chown 7:8 /s/t && echo 1 > /s/t/u/f && ln -s t /s/l\n"
        "FROM BASE\n"
        "COPY --from=s --parents /s/./**/f /o/",
    ),
    _case("parents-and-more-11", "ARG P=x/y\nCOPY --parents $P/b.txt /o/"),
    _case(
        "parents-ignored",
        "COPY --parents d/**/*.md /o/\nCOPY --parents d /p/",
        {"d/a.md": "", "d/s/b.md": "", "d/s/c.txt": "", ".dockerignore": "d/s\n!d/s/b.md\n"},
    ),
    _case(
        "parents-and-hard-links",
        "COPY --parents d/* /o0/\n"
        "COPY --parents **/hard **/f /o1/\n"
        "COPY --parents d/[fs]* /o2/\n"
        "COPY --link --parents d/./* /o3/\n"
        "COPY --parents --exclude=d/f d/* /o4/\n"
        "COPY d/[fs]* /o5/",
        TREE,
    ),
    _case(
        "parents-and-hard-links-of-a-stage",
        "FROM BASE AS s\n"
        "RUN mkdir -p /s/a/b /s/c && echo 1 > /s/a/b/f && ln /s/a/b/f /s/c/g && ln /s/c/g /s/h\n"
        "FROM BASE\n"
        "COPY --from=s --parents /s/./** /o0/\n"
        "COPY --from=s --parents /s/*/ /o1/\n"
        "COPY --from=s --parents --chown=3:4 /s/./*/* /s/h /o2/",
    ),
    _case(
        "parents-with-all-taken-back",
        "COPY --parents --exclude=* --exclude=!x/y x /o0/\n"
        "COPY --parents --exclude=d --exclude=!d/m n * /o1/\n"
        "COPY --parents --exclude=*.txt *.txt /o2/\n"
        "COPY --parents x/** /o3/",
    ),
    _case(
        "links-are-not-followed", _BEFORE + "COPY --link a.txt /ln/x\nCOPY --link d /dang\nCOPY --link a.txt /d", TREE
    ),
    _case(
        "link-replaces-owner-of-directories", _BEFORE + "COPY --link --chown=5:6 a.txt /p/q/\nCOPY --link d /d", TREE
    ),
    _case("link-over-a-file", _BEFORE + "COPY --link a.txt /file/", TREE),
    _case("link-over-a-file-with-a-directory", _BEFORE + "COPY --link d /file", TREE),
    _case(
        "link-with-mode-is-a-copy",
        _BEFORE + "COPY --link --chmod=700 a.txt /ln/x\n"
        "COPY --link --chmod=u+x a.txt /p/x\n"
        "ARG M=\n"
        "COPY --link --chmod=$M b.txt /ln/y",
        TREE,
    ),
    _case("link-switched-off", _BEFORE + "COPY --link=false a.txt /ln/x\nCOPY --link=true b.txt /ln/y", TREE),
    _case("link-relative", _BEFORE + "WORKDIR /ln/w\nCOPY --link a.txt .\nADD --link d z/", TREE),
    _case("link-here-document", _BEFORE + "COPY --link <<E /ln/h\nx\nE\nCOPY --link --exclude=f d /p", TREE),
    _case("link-of-everything", _BEFORE + "COPY --link . /", TREE),
    _case(
        "link-from-an-image", _BEFORE + "COPY --link --from=BASE /etc /ln\nCOPY --link --from=BASE /etc/passwd /p", TREE
    ),
    _case("link-and-parents", _BEFORE + "COPY --link --parents d/f /ln/\nCOPY --link --parents d/sub/g /p", TREE),
    _case("link-after-removal", _BEFORE + "RUN rm -r /p\nCOPY --link a.txt /p/\nCOPY --link nothing* /gone/", TREE),
)
NEWER_FAULTS: tuple[Case, ...] = (
    _case("fault-parents-1", "COPY --parents nope /o/"),
    _case("fault-parents-2", "COPY --parents x/./nope /o/"),
    _case("fault-parents-3", "COPY --parents no/./x /o/"),
    _case("fault-parents-4", "COPY --parents dl/b.txt /o/"),
    _case("fault-parents-5", "RUN mkdir /o /r && ln -s /r /o/x\nCOPY --parents x/a.txt /o/"),
    _case("fault-parents-6", "RUN mkdir /o && touch /o/x\nCOPY --parents x/a.txt /o/"),
    _case(
        "fault-parents-7",
        "FROM BASE AS s\n"
        "RUN mkdir -p -m 750 /s/t/u && chown 7:8 /s/t && echo 1 > /s/t/u/f && ln -s t /s/l\n"
        "FROM BASE\n"
        "COPY --from=s --parents /s/l/u/f /o/",
    ),
    _case("fault-parents-8", "ADD --parents x/a.txt /o/"),
    _case("fault-parents-9", "COPY --parents --exclude=a.txt a.txt /o/"),
    _case("fault-parents-10", "COPY --parents --exclude=n n a.txt /o/"),
    _case("fault-parents-11", "COPY --parents --exclude=x/y x/y/b.txt /o/"),
    _case("fault-parents-12", "FROM BASE AS s\nCOPY n /c\nFROM BASE\nCOPY --from=s --parents --exclude=**/c /c/m /o/"),
)
