"""Dockerfiles at the corners of COPY and of the language: links, odd names, patterns, several files to one place."""

from __future__ import annotations

from collections.abc import Mapping

from tests.integration.differential.cases import TREE, Case, Special

NASTY: Mapping[str, str | Special] = {
    "f": "f",
    "d/f": "1",
    "d/g/h": "2",
    "ln": Special(link="d"),
    "ln2": Special(link="ln"),
    "abs": Special(link="/d/f"),
    "absd": Special(link="/d"),
    "loop1": Special(link="loop2"),
    "loop2": Special(link="loop1"),
    "self": Special(link="self"),
    "dang": Special(link="nowhere/x"),
    "out": Special(link="../../etc/passwd"),
    "d/back": Special(link=".."),
    "d/g/up": Special(link="../f"),
    "s1": Special("s", 0o4755),
    "s2": Special("s", 0o2755),
    "st": Special(directory=True, mode=0o1777),
    "no": Special("n", 0o000),
    "nod": Special(directory=True, mode=0o000),
    "ff": Special(fifo=True),
    "h1": "h",
    "d/h2": Special(hard="h1"),
    "long" + "n" * 240: "l",
    "e": Special(directory=True, mode=0o755),
    " lead": "1",
    "tr ": "2",
    "nl\nx": "3",
    "ba\\ck": "4",
    "st*r": "5",
    "qu?": "6",
    "br[x]": "7",
    "-": "8",
    "--x": "9",
    "~": "10",
    ".hid/x": "11",
    "dd/" + "p/" * 60 + "deep": "12",
}
EXCLUDED: Mapping[str, str | Special] = {
    "a.txt": "a\n",
    "b.md": "b\n",
    "d/a.txt": "1",
    "d/b.md": "2",
    "d/s/a.txt": "3",
    "d/s/t/c.md": "4",
    "d/keep/x.md": "5",
    "d/e": Special(directory=True),
    "d/l": Special(link="b.md"),
    "#h": "h",
    " sp": "q",
    "!x": "!",
    "d/!x": "!",
    "d/#h": "#",
}
BRACKETS: Mapping[str, str | Special] = dict.fromkeys(
    ("a1", "ad", "a*", "a?", "a[", "a[]", "a-", "a.", "a]", "a\\", "ab", "aab", "a{2}b", "ax-", "é"), ""
)
TAKEN_BACK: Mapping[str, str | Special] = {
    "docs/x.md": "1",
    "docs/s/y.md": "2",
    "z.md": "3",
    "k/docs/q.md": "4",
    "src/a.o": "5",
    "src/keep/b.o": "6",
}

CORNERS: tuple[Case, ...] = (
    Case("corner-1", "COPY . /o0/\nCOPY ln /o1\nCOPY ln /o2/\nCOPY ln/ /o3/\nCOPY ln2 /o4\nCOPY ln/f /o5", NASTY),
    Case(
        "corner-2",
        "COPY ln2/g /o0/\nCOPY abs /o1\nCOPY absd /o2/\nCOPY absd/g/h /o3/\nCOPY d /o4\nCOPY d/back/f /o5",
        NASTY,
    ),
    Case(
        "corner-3",
        "COPY d/back/d/g/h /o0\n"
        "COPY d/g/up /o1\n"
        "COPY s1 s2 st no nod /o2/\n"
        "COPY ff /o3/\n"
        "COPY h1 d/h2 /o4/\n"
        "COPY long* /o5/",
        NASTY,
    ),
    Case(
        "corner-4",
        "COPY st\\*r qu\\? br\\[x\\] /o0/\n"
        'COPY ["st\\\\*r","br\\\\[x]","/o1/"]\n'
        "COPY st*r br[[]x] /o2/\n"
        "COPY -- --x /o3/\n"
        "COPY ~ /o4/\n"
        "COPY .hid /o5/",
        NASTY,
    ),
    Case(
        "corner-5",
        "COPY .h* /o0/\nCOPY .* /o1/\nCOPY dd /o2\nCOPY dd/*/*/p /o3/\nCOPY */f /o4/\nCOPY */*/h /o5/",
        NASTY,
    ),
    Case(
        "corner-6", "COPY ? /o0/\nCOPY ?? /o1/\nCOPY d/? /o2/\nCOPY d/* /o3/\nCOPY ln/* /o4/\nCOPY d/g/ d/f /o5/", NASTY
    ),
    Case(
        "corner-7", "COPY f f f /o0/\nCOPY f d/f /o1/\nCOPY d d /o2/\nCOPY d e f /o3\nCOPY .. /o4/\nCOPY / /o5/", NASTY
    ),
    Case(
        "corner-8",
        "COPY /. /o0/\nCOPY ./ /o1/\nCOPY /d/./g/../f /o2\nCOPY d/../../f /o3\nCOPY //f /o4\nCOPY f //o5//x",
        NASTY,
    ),
    Case("corner-9", "COPY f /o0/../p/./q\nCOPY f /o1/.\nCOPY f /o2/..", NASTY),
    Case("corner-alone-1", "COPY e/ /q/", NASTY),
    Case("corner-alone-2", "COPY . .", NASTY),
    Case("corner-alone-3", "COPY f .", NASTY),
    Case("corner-alone-4", "COPY f ./", NASTY),
    Case("corner-alone-5", "COPY f ..", NASTY),
    Case("corner-alone-6", "COPY f a/", NASTY),
    Case("corner-alone-7", "COPY f /tmp", NASTY),
    Case("corner-alone-8", "COPY d /tmp", NASTY),
    Case("corner-alone-9", "COPY nod /tmp", NASTY),
    Case("corner-and-more-1", "COPY st /o/st\nCOPY nod /o/nod", NASTY),
    Case("corner-and-more-2", "COPY h1 /o/a\nCOPY d/h2 /o/b", NASTY),
    Case("corner-and-more-3", "COPY e /o/e\nCOPY e /p", NASTY),
    Case("corner-and-more-4", "COPY d /f\nCOPY d /f/", NASTY),
    Case("corner-and-more-5", "WORKDIR /w\nCOPY f ./a/b/\nCOPY f a/c\nCOPY d ..\nCOPY f ../x/\nCOPY f /", NASTY),
    Case("corner-and-more-6", "WORKDIR /w\nCOPY d .\nCOPY d ./\nCOPY d d", NASTY),
    Case("corner-and-more-7", "WORKDIR /w/\nCOPY f ''", NASTY),
    Case("corner-and-more-8", "COPY f /o\nCOPY d/f /o", NASTY),
    Case("corner-and-more-9", "COPY d /o\nCOPY f /o/g", NASTY),
    Case("corner-and-more-10", "COPY e /tmp\nCOPY st /root", NASTY),
    Case("corner-and-more-11", "RUN ln -s / /r\nCOPY f /r/r/r/z\nCOPY d /r/tmp/", NASTY),
    Case("corner-and-more-12", "RUN ln -s ../../../../../../t /e1 && mkdir /t\nCOPY f /e1/\nCOPY f /e1", NASTY),
    Case(
        "corner-and-more-13", "RUN mkdir -p /a/b && ln -s b /a/c && ln -s /a/c /d\nCOPY d /d/\nCOPY f /d/../f2", NASTY
    ),
    Case("corner-and-more-14", "RUN mkdir /a && ln -s nope/deep /a/l\nCOPY d /a/l\nCOPY f /a/l/q", NASTY),
    Case("corner-and-more-15", "RUN mkdir /a && ln -s nope/deep /a/l\nCOPY f /a/l/", NASTY),
    Case("corner-and-more-16", "RUN mkdir -p /o && ln -s /tmp/zz /o/f\nCOPY d /o", NASTY),
    Case("corner-and-more-17", "RUN mkdir -p /o && mkfifo /o/f\nCOPY d /o", NASTY),
    Case("corner-and-more-18", "RUN mkdir -p /o && mknod /o/f c 1 3\nCOPY d /o\nCOPY f /o/g2", NASTY),
    Case("corner-and-more-19", "RUN echo o > /o && chmod 4777 /o && chown 3:4 /o\nCOPY f /o", NASTY),
    Case(
        "corner-and-more-20", "RUN mkdir /o && chmod 2770 /o && chown 3:4 /o\nCOPY f /o/\nCOPY d /o/n\nCOPY d /o", NASTY
    ),
    Case("corner-and-more-21", "RUN mkdir /o && chmod 1777 /o\nCOPY f /o/x/y/z", NASTY),
    Case("corner-and-more-22", "RUN touch /o && ln /o /p\nCOPY f /o", NASTY),
    Case("corner-and-more-23", "RUN mkdir /q\nCOPY f /q\nRUN rm /q/f\nCOPY d /q", NASTY),
    Case("corner-and-more-24", "RUN rm -r /var && ln -s tmp /var\nCOPY d /var/x", NASTY),
    Case(
        "exclude-patterns-1",
        "COPY --exclude=/d/s d /o0/\n"
        "COPY --exclude=/d/s . /p0/\n"
        "COPY --exclude=/s d /o1/\n"
        "COPY --exclude=/s . /p1/\n"
        "COPY --exclude=s/ d /o2/\n"
        "COPY --exclude=s/ . /p2/\n"
        "COPY --exclude=./s d /o3/\n"
        "COPY --exclude=./s . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-2",
        "COPY --exclude=s/../keep d /o0/\n"
        "COPY --exclude=s/../keep . /p0/\n"
        "COPY --exclude=*.md d /o1/\n"
        "COPY --exclude=*.md . /p1/\n"
        "COPY --exclude=**/*.md d /o2/\n"
        "COPY --exclude=**/*.md . /p2/\n"
        "COPY --exclude=** d /o3/\n"
        "COPY --exclude=** . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-3",
        "COPY --exclude=* d /o0/\n"
        "COPY --exclude=* . /p0/\n"
        "COPY --exclude=s/** d /o1/\n"
        "COPY --exclude=s/** . /p1/\n"
        "COPY --exclude=s d /o2/\n"
        "COPY --exclude=s . /p2/\n"
        "COPY --exclude=d/s d /o3/\n"
        "COPY --exclude=d/s . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-4",
        "COPY --exclude=d d /o0/\n"
        "COPY --exclude=d . /p0/\n"
        "COPY --exclude=d/**/*.md d /o1/\n"
        "COPY --exclude=d/**/*.md . /p1/\n"
        "COPY --exclude=!keep d /o2/\n"
        "COPY --exclude=!keep . /p2/\n"
        "COPY --exclude=**/!x d /o3/\n"
        "COPY --exclude=**/!x . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-5",
        "COPY --exclude=#h d /o0/\n"
        "COPY --exclude=#h . /p0/\n"
        "COPY --exclude=d/#h d /o1/\n"
        "COPY --exclude=d/#h . /p1/\n"
        "COPY --exclude=s/t d /o2/\n"
        "COPY --exclude=s/t . /p2/\n"
        "COPY --exclude=s/t/ d /o3/\n"
        "COPY --exclude=s/t/ . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-6",
        "COPY --exclude=**/t d /o0/\n"
        "COPY --exclude=**/t . /p0/\n"
        "COPY --exclude=**/c.md d /o1/\n"
        "COPY --exclude=**/c.md . /p1/\n"
        "COPY --exclude=?.md d /o2/\n"
        "COPY --exclude=?.md . /p2/\n"
        "COPY --exclude=[ab].md d /o3/\n"
        "COPY --exclude=[ab].md . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-7",
        "COPY --exclude=[!a].md d /o0/\n"
        "COPY --exclude=[!a].md . /p0/\n"
        "COPY --exclude=[^a].md d /o1/\n"
        "COPY --exclude=[^a].md . /p1/\n"
        "COPY --exclude=e d /o2/\n"
        "COPY --exclude=e . /p2/\n"
        "COPY --exclude=e/ d /o3/\n"
        "COPY --exclude=e/ . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-8",
        "COPY --exclude=l d /o0/\n"
        "COPY --exclude=l . /p0/\n"
        'COPY --exclude=" s " d /o1/\n'
        'COPY --exclude=" s " . /p1/\n'
        'COPY --exclude="\\a.txt" d /o2/\n'
        'COPY --exclude="\\a.txt" . /p2/\n'
        'COPY --exclude="s\\/t" d /o3/\n'
        'COPY --exclude="s\\/t" . /p3/',
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-9",
        "COPY --exclude=*/a.txt d /o0/\n"
        "COPY --exclude=*/a.txt . /p0/\n"
        "COPY --exclude=**/s/** d /o1/\n"
        "COPY --exclude=**/s/** . /p1/\n"
        "COPY --exclude=keep/*.md d /o2/\n"
        "COPY --exclude=keep/*.md . /p2/\n"
        "COPY --exclude=. d /o3/\n"
        "COPY --exclude=. . /p3/",
        EXCLUDED,
    ),
    Case(
        "exclude-patterns-10",
        "COPY --exclude=.. d /o0/\n"
        "COPY --exclude=.. . /p0/\n"
        "COPY --exclude=a.txt/ d /o1/\n"
        "COPY --exclude=a.txt/ . /p1/\n"
        "COPY --exclude=S d /o2/\n"
        "COPY --exclude=S . /p2/\n"
        "COPY --exclude=s/t/c.md d /o3/\n"
        "COPY --exclude=s/t/c.md . /p3/",
        EXCLUDED,
    ),
    Case("exclude-patterns-11", "COPY --exclude=!s d /o0/\nCOPY --exclude=!s . /p0/", EXCLUDED),
    Case(
        "exclude-of-named-files",
        "COPY --exclude=a.txt a.txt b.md /p/\nCOPY --exclude=*.md *.md a.txt d /q/\nCOPY --exclude=a.txt a.txt /x",
        EXCLUDED,
    ),
    Case(
        "exclude-taken-back",
        "COPY --exclude=s --exclude=!s/t d /o/\n"
        "COPY --exclude=**/*.md --exclude=!**/c.md . /p/\n"
        "COPY --exclude=* --exclude=!keep d /q/\n"
        "ADD --exclude=*.md --exclude=!b.md d /r/",
        EXCLUDED,
    ),
    Case(
        "exclude-from-a-stage",
        "FROM BASE AS s\n"
        "COPY d /d\n"
        "FROM BASE\n"
        "COPY --from=s --exclude=s --exclude=**/*.md /d /o/\n"
        "COPY --from=s --exclude=/d/s / /q/",
        EXCLUDED,
    ),
    Case(
        "exclude-variables",
        "ARG X=*.md\nCOPY --exclude=$X d /o/\nENV Y=s\nCOPY --exclude=${Y} --exclude=$NOPE d /p/",
        EXCLUDED,
    ),
    Case("several-to-one-1", "COPY a.txt b.txt /o0\nCOPY *.txt /o1\nCOPY d a.txt /o2\nADD a.txt b.txt /o3", TREE),
    Case("several-to-one-2", 'COPY nope* a.txt /o0\nCOPY ["a.txt","b.txt","/o1"]', TREE),
    Case(
        "bytes-that-are-no-text",
        "ENV a=\udce9 b=$a\nARG c=\udcff\nRUN printf $c$a > /o\nWORKDIR /\udce9/\udcc0\udcaf\nLABEL l=\udcfe\n"
        "COPY f ./\udcff/\nCOPY <<A <<'B' ./\n\udce9\nA\n\udce9\nB\nUSER \udce9\nVOLUME /\udce9\nMAINTAINER \udce9",
        {"f": "f"},
    ),
    Case(
        "destination-of-an-empty-variable",
        "WORKDIR /n/w\nENV e=\nCOPY --link a.txt $e\nCOPY b.txt d $e\nADD --link d/sub $e\nCOPY <<E $e\nx\nE",
        TREE,
    ),
    Case("destination-of-an-empty-variable-2", 'WORKDIR /n/w\nCOPY --link ["a.txt", ""]\nCOPY d ""', TREE),
    Case(
        "proxies-that-are-set-elsewhere-too",
        "ENV HTTP_PROXY=e ftp_proxy=e\nARG http_proxy=q\nARG no_proxy=q\nRUN env | grep -i _proxy | sort > /o",
        words=("--build-arg", "HTTP_PROXY=p", "--build-arg", "NO_PROXY=", "--build-arg", "FTP_PROXY=f"),
    ),
    Case(
        "user-whose-name-is-a-number",
        "RUN echo '123:x:9:9::/q:/bin/sh' >> /etc/passwd && echo '45:x:46:' >> /etc/group\n"
        "COPY --chown=123:45 f /f\nUSER 123\nRUN id -u > /tmp/u; id -g >> /tmp/u\nUSER www:45\nRUN id -g > /tmp/g",
        {"f": "f"},
    ),
    Case("expose-words-with-operands", 'ENV A=1\nEXPOSE 80${A:+90} 70${A:-x}\nEXPOSE 1"2${A:-0}"'),
    Case("heredoc-with-blanks-before-the-name", "RUN cat << E > /o\nx\nE\nRUN echo '<<- E' > /p"),
    Case(
        "replacement-names-the-match",
        "ENV a=abcb\nENV b=${a//b/[\\$0]} c=${a/b/\\$0} d=${a//b/\\$\\$} e=${a//b/\\${0}}",
    ),
    Case("onbuild-keeps-last-blanks", "ONBUILD ENV a=b  \nONBUILD RUN x \\\n  y\t"),
    Case("shell-and-healthcheck-of-empty-words", 'SHELL [""]\nHEALTHCHECK CMD [""]\nENTRYPOINT [""]'),
    Case("workdir-past-what-is-not-there", "WORKDIR /a/../b/./c//d/\nRUN pwd > /o\nWORKDIR ../e/../f"),
    Case(
        "ignore-letters-behind-backslashes",
        "COPY . /o",
        {".dockerignore": "a\\d\nbuild\\bin\n\\w.x\n", "a1": "", "ad": "", "buildbin": "", "q.x": "", "-.x": ""},
    ),
    *(
        Case(f"ignore-brackets-{number}", "FROM scratch\nCOPY . /o/", {**BRACKETS, ".dockerignore": f"{line}\n"})
        for number, line in enumerate(
            ("a[*]", "a[?]", "a[^*]", r"a[\d]", r"a[\w.]", "a[[:alpha:]]", "a[**/b]", "a*[-b]", "?{2}b", r"\x61?"), 1
        )
    ),
    Case("exclude-brackets", "COPY --exclude=a[*] --exclude=*[[:digit:]] . /o/", BRACKETS),
    *(
        Case(f"ignore-taken-back-{number}", "FROM scratch\nCOPY . /o/", {**TAKEN_BACK, ".dockerignore": lines})
        for number, lines in enumerate(
            (
                "**/*.md\n!docs\n",
                "**/*.o\n!src/keep\n",
                "src\n!src/keep\n**/*.o\n",
                "**\n!**/docs\n",
                "docs/*\n!docs/s\n**/y.md\n!docs\n",
            ),
            1,
        )
    ),
    Case(
        "exclude-taken-back-below",
        "FROM scratch\nCOPY --exclude=**/*.md --exclude=!docs . /o/\nCOPY --exclude=**/*.o --exclude=!keep src /p/",
        TAKEN_BACK,
    ),
)
CORNER_FAULTS: tuple[Case, ...] = (
    Case("fault-corner-1", "COPY * /o/", NASTY),
    Case("fault-corner-2", "COPY loop1 /o", NASTY),
    Case("fault-corner-3", "COPY self /o/", NASTY),
    Case("fault-corner-4", "COPY dang /o", NASTY),
    Case("fault-corner-5", "COPY dang f /o/", NASTY),
    Case("fault-corner-6", "COPY dang* /o/", NASTY),
    Case("fault-corner-7", "COPY out /o", NASTY),
    Case("fault-corner-8", "COPY - -- --x /o/", NASTY),
    Case("fault-corner-9", "COPY [!d]* /o/", NASTY),
    Case("fault-corner-10", "COPY [^d]* /o/", NASTY),
    Case("fault-corner-11", "COPY l* /o/", NASTY),
    Case("fault-corner-12", "COPY ./* /o/", NASTY),
    Case("fault-corner-13", "COPY f /o/\nCOPY d /o/f", NASTY),
    Case("fault-corner-14", "COPY d /o\nCOPY f /o/g/h/i", NASTY),
    Case("fault-corner-15", "COPY f /etc/passwd/x", NASTY),
    Case("fault-corner-16", "RUN ln -s l2 /l1 && ln -s l1 /l2\nCOPY f /l1", NASTY),
    Case("fault-corner-17", "RUN ln -s l2 /l1 && ln -s l1 /l2\nCOPY f /l1/", NASTY),
    Case("fault-corner-18", "RUN ln -s l2 /l1 && ln -s l1 /l2\nCOPY d /l1", NASTY),
    Case(
        "fault-corner-19", "RUN mkdir -p /o/g && ln -s /etc /o/g/l && rm -r /o/g && ln -s /tmp /o/g\nCOPY d /o", NASTY
    ),
    Case("fault-corner-20", "RUN mkdir -p /o/f\nCOPY d /o", NASTY),
    Case("fault-exclude-1", "COPY --exclude=[ d /o/", EXCLUDED),
    Case("fault-exclude-2", "COPY --exclude=a[ d /o/", EXCLUDED),
    Case("fault-exclude-3", "COPY --exclude=! d /o/", EXCLUDED),
    Case("fault-several-with-a-directory", "COPY a.txt d /x", TREE),
    Case("fault-unused-stage-with-a-bad-name", "FROM localhost/nothing: AS x\nFROM BASE", whole=True),
    Case("fault-expose-of-no-address", "EXPOSE a:1:2"),
    Case("fault-zero-byte-in-a-source", "COPY f\0 /o", NASTY),
    Case("fault-run-of-bytes-that-are-no-text", "RUN echo \udce9"),
    Case("fault-heredoc-run-of-bytes-that-are-no-text", "RUN <<E\necho \udce9\nE"),
    *(
        Case(f"fault-pattern-below-nothing-{number}", f"COPY {word} /o/", TREE)
        for number, word in enumerate(("nope/*", "d/nope/*", "a.txt d/nope/x?", "nope/../d/no/*"), 1)
    ),
    Case("fault-pattern-below-nothing-of-a-stage", "FROM BASE AS s\nFROM BASE\nCOPY --from=s /nope/* /o/"),
    Case("fault-pattern-below-a-link-to-nothing", "FROM BASE AS s\nRUN ln -s no /l\nFROM BASE\nCOPY --from=s /l/* /q/"),
    Case("fault-mount-without-fields", "RUN --mount= true"),
    Case("fault-heredoc-with-a-blank-behind-the-dash", "RUN cat <<- E\nx\nE"),
)
