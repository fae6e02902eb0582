"""Dockerfiles that try COPY, ADD and the ignore file."""

from __future__ import annotations

from tests.integration.differential.cases import TREE, Case, Special

FILES: tuple[Case, ...] = (
    # -- COPY and ADD
    Case(
        "copy-dest-forms",
        "COPY a.txt /x/\nCOPY a.txt /y\nCOPY a.txt /etc\nCOPY d /y2/\nCOPY d/f a.txt /z/\nCOPY ./a.txt ././q//r.txt",
        TREE,
    ),
    Case("copy-into-link-to-directory", "RUN mkdir /real && ln -s /real /ln\nCOPY d /ln\nCOPY a.txt /ln/sub/", TREE),
    Case("copy-over-a-link", "RUN echo t > /t && ln -s /t /l\nCOPY a.txt /l", TREE),
    Case("copy-dangling-link-target", "RUN ln -s /new/place /l\nCOPY a.txt /l\nRUN ln -s nowhere /m\nCOPY d /m", TREE),
    Case("copy-file-replaces-link-in-tree", "RUN mkdir -p /d && ln -s /etc/passwd /d/f\nCOPY d /d", TREE),
    Case(
        "copy-chown-names",
        "COPY --chown=www:staff a.txt /a\nCOPY --chown=root d /d\nCOPY --chown=:50 b.txt /b\n"
        "COPY --chown=www: b.txt /c\nCOPY --chown=1 b.txt /e/f/",
        TREE,
    ),
    Case(
        "copy-chown-variable",
        "ARG U=33\nENV G=staff\nCOPY --chown=$U:$G a.txt /a\nCOPY --chown=${NOPE} a.txt /b\nARG M=700\n"
        "COPY --chmod=$M a.txt /c",
        TREE,
    ),
    Case(
        "copy-chmod-forms",
        "COPY --chmod=0755 a.txt /a\nCOPY --chmod=4755 a.txt /b\nCOPY --chmod=a+X,g-r d /d\n"
        "COPY --chmod=u+s a.txt /e\nCOPY --chmod=go= a.txt /n/m",
        TREE,
    ),
    Case("copy-user-does-not-own", "USER www\nWORKDIR /w\nCOPY a.txt .\nCOPY d ./d/", TREE),
    Case(
        "copy-link-flag",
        "RUN mkdir -m 700 /x && chown 3:4 /x\nCOPY --link a.txt /x/y/\n"
        "COPY --link --chown=33:50 --chmod=600 d /d\nCOPY --link b.txt /etc/passwd2",
        TREE,
        newer=True,
    ),
    Case(
        "copy-link-owner-of-parents", "COPY --link --chown=9:9 a.txt /p/q/r\nFROM scratch\nCOPY --link a.txt /s/t", TREE
    ),
    Case("copy-link-through-symlink", "RUN mkdir /real && ln -s real /ln\nCOPY --link a.txt /ln/x", TREE, newer=True),
    Case(
        "copy-from-link",
        "FROM BASE AS s\nRUN mkdir /o && echo x > /o/x && chown -R 5:6 /o\nFROM BASE\n"
        "COPY --link --from=s /o /o\nCOPY --from=s --chown=1:1 /o/x /y",
    ),
    Case(
        "copy-from-special-files",
        "FROM BASE AS s\nRUN mkdir /o && mkfifo /o/p && mknod /o/n c 1 3 && ln -s /etc "
        "/o/l && ln -s missing /o/m && touch -d @5 /o/t && chmod 4755 /o/t\nFROM BASE\n"
        "COPY --from=s /o /o\nCOPY --from=s /o/l /single\nCOPY --from=s /o/ /q/",
    ),
    Case(
        "copy-from-wildcard",
        "FROM BASE AS s\nRUN mkdir /o && touch /o/a1 /o/a2 /o/b1\nFROM BASE\nCOPY --from=s /o/a* /x/\n"
        "COPY --from=s /etc/pass* /o/b? /y/",
    ),
    Case(
        "copy-from-root",
        "FROM scratch AS s\nCOPY a.txt /a\nCOPY d /d\nFROM BASE\nCOPY --from=s / /all/\nCOPY --from=s . /all2",
        TREE,
    ),
    Case(
        "copy-exclude-forms",
        "COPY --exclude=*.txt . /a\nCOPY --exclude=d/sub --exclude=**/link . /b\n"
        "COPY --exclude=sub/g d /c\nCOPY --exclude=f --chown=3:3 d /e",
        TREE,
    ),
    Case("copy-double-star", "COPY **/f /a/\nCOPY e/** /b/", {**TREE, "e/1": "1", "e/s/2": "2", "e/s/t/3": "3"}),
    Case("copy-question-and-class", "COPY ?.txt /a/\nCOPY [ab].txt /b/\nCOPY [^a].txt /c/", TREE),
    Case("copy-quoted-wildcard", 'COPY ["[[]x].txt", "/o/"]\nCOPY sp?ace /o/', {**TREE, "[x].txt": "x"}),
    Case(
        "copy-odd-names",
        'COPY ["a b/c d", "/x y/"]\nCOPY ["ü ñ", "/u"]\nCOPY . /all',
        {"a b/c d": "1", "ü ñ": "2", "-dash": "3", "new\nline": "4", "tab\tx": "5", "q'\"": "6", "$dollar": "7"},
    ),
    Case("copy-dollar-names", "ENV X=y\nCOPY \\$dollar /a\nCOPY '$dollar' /b", {"$dollar": "7"}),
    Case(
        "copy-heredoc-forms",
        "ENV X=1\nCOPY <<E /e\n'$X' \"${X}\" \\\\ \\$X $(x) `y`\nE\nCOPY <<-E /t\n\tone\n\t two\n\tE\n"
        "COPY <<'Q' <<\"R\" /qr/\n$X\nQ\n$X\nR\nCOPY <<E /dir/\n\nE",
    ),
    Case(
        "copy-heredoc-modes",
        "USER www\nCOPY <<E /e\nx\nE\nCOPY --chmod=700 <<F /x/\ny\nF\nADD --chown=5 <<G /g/h\nz\nG",
        TREE,
    ),
    Case("copy-heredoc-with-files", "COPY a.txt <<E b.txt /x/\nhere\nE", TREE),
    Case("copy-heredoc-over-directory", "COPY <<passwd /etc\nx\npasswd"),
    Case(
        "copy-empty-and-big",
        "COPY empty big sparse /x/",
        {"empty": "", "big": "x" * 3_000_000, "sparse": "\0" * 2_000_000},
    ),
    Case(
        "copy-modes-kept",
        "COPY . /m",
        {
            "suid": Special("a", 0o4755),
            "sgid": Special("b", 0o2711),
            "sticky": Special("c", 0o1644),
            "none": Special("d", 0o000),
            "dir": Special(directory=True, mode=0o3775),
            "dir/x": "x",
            "closed": Special(directory=True, mode=0o500),
            "all": Special("e", 0o777),
        },
    ),
    Case(
        "copy-times",
        "COPY . /t\nCOPY old /o",
        {
            "old": Special("a", mtime=1),
            "new": Special("b", mtime=4_000_000_000),
            "dir": Special(directory=True, mtime=77),
            "dir/f": Special("f", mtime=78),
        },
    ),
    Case(
        "copy-hard-links-of-context",
        "COPY . /h\nCOPY one two /i/",
        {"one": "x", "two": Special(hard="one"), "s/three": Special(hard="one")},
    ),
    Case(
        "copy-links-in-context",
        "COPY . /l\nCOPY up /u\nCOPY abs /a\nCOPY loop/x /x",
        {
            "x": "1",
            "s/up": Special(link="../x"),
            "up": Special(link="s/../x"),
            "abs": Special(link="/x"),
            "dang": Special(link="nope"),
            "loop": Special(link="."),
        },
    ),
    Case("copy-directory-link-slash", "COPY dlink/ /a/\nCOPY dlink/sub/g /b\nCOPY d/link /c", TREE),
    Case("copy-parent-escapes-are-cut", "COPY ../a.txt /x\nCOPY /d/../b.txt /y\nCOPY /../../a.txt /z", TREE),
    Case("copy-everything-twice", "COPY . /\nCOPY . /", {"a": "1", "d/b": "2"}),
    Case("copy-same-name-from-two", "COPY d/f e/f /x/\nCOPY d e /y/", {"d/f": "1", "e/f": "2", "e/g": "3"}),
    Case(
        "copy-merges-directories",
        "COPY d /x\nCOPY e /x",
        {
            "d/f": "1",
            "d/s/a": "1",
            "e/f": "2",
            "e/s": Special(directory=True, mode=0o700),
            "e/s/b": Special("3", 0o600),
        },
    ),
    Case(
        "ignore-subtleties",
        "COPY . /a",
        {
            ".dockerignore": "# comment\n  *.md  \n!README.md\n/root-only\n**/deep\ntemp?\n*/*/third\ndir/\n!dir/keep\n"
            ".git\n",
            "a.md": "",
            "README.md": "",
            "root-only": "",
            "s/root-only": "",
            "s/deep": "",
            "s/t/deep": "",
            "temp1": "",
            "temp12": "",
            "s/t/third": "",
            "dir/x": "",
            "dir/keep": "",
            ".git/c": "",
        },
    ),
    Case(
        "ignore-negation-order",
        "COPY . /a",
        {".dockerignore": "*\n!a\n!b\na\n!c/**\nc/d\n", "a": "", "b": "", "c/d": "", "c/e": "", "c/s/f": "", "z": ""},
    ),
    Case("ignore-of-dockerfile", "COPY . /a", {".dockerignore": "Dockerfile\n.dockerignore\n", "x": ""}),
    Case(
        "ignore-whole-then-back",
        "COPY src /a\nCOPY . /b",
        {".dockerignore": "**\n!src\n!**/*.keep\n", "src/a": "", "src/s/b": "", "o/x.keep": "", "o/y": ""},
    ),
    Case(
        "ignore-directories-kept-empty",
        "COPY . /a",
        {".dockerignore": "d/*\n", "d/x": "", "e": Special(directory=True)},
    ),
    Case(
        "ignore-that-is-a-directory",
        "COPY . /a",
        {
            "Dockerfile.dockerignore": Special(directory=True),
            ".dockerignore": Special(link=".dockerignore"),
            "x": "",
        },
    ),
    Case(
        "ignore-named-file", "COPY . /a", {"Dockerfile.dockerignore": "x\n", ".dockerignore": "y\n", "x": "", "y": ""}
    ),
    Case(
        "ignore-dots-and-slashes",
        "COPY . /a",
        {
            ".dockerignore": "./a/\nb//c\nd/../e\n/f/*\n",
            "a/x": "",
            "b/c": "",
            "d/x": "",
            "e": "",
            "f/x": "",
            "f/s/x": "",
        },
    ),
    Case(
        "ignore-classes",
        "COPY . /a",
        {".dockerignore": "[a-c]x\n[^d]y\n\\*z\n", "ax": "", "dx": "", "dy": "", "ey": "", "*z": "", "qz": ""},
    ),
    Case(
        "add-forms",
        'ADD a.txt b.txt /x/\nADD ["sp ace", "/y/"]\nADD --chown=3:4 --chmod=600 d /z\n'
        "ADD --link a.txt /l/\nADD --exclude=f d /e",
        TREE,
    ),
)
