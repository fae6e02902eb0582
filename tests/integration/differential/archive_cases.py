"""Dockerfiles that try what ADD does with archives."""

from __future__ import annotations

from tests.integration.differential.cases import Case, Member, Special

MEMBERS = (
    Member("d", kind=b"5", mode=0o750, owner=(3, 4)),
    Member("d/f", "f\n", owner=(33, 50)),
    Member("d/suid", "s\n", mode=0o4755),
    Member("d/link", kind=b"2", link="f"),
    Member("d/abs", kind=b"2", link="/etc/passwd"),
    Member("d/hard", kind=b"1", link="d/f", owner=(33, 50)),
    Member("no/parent/x", "x\n", mode=0o600),
    Member("./dotted", "d\n"),
    Member("fifo", kind=b"6"),
    Member("l" * 120 + "/" + "n" * 90, "long\n"),
    Member("ü ñ", "u\n"),
)
PLAIN = Special(archive=MEMBERS)
SMALL = (Member("a", "1"), Member("s/b", "2", owner=(7, 8)))

ARCHIVES: tuple[Case, ...] = (
    Case("add-tar", "ADD x.tar /x/\nADD x.tar /y", {"x.tar": PLAIN}),
    *(
        Case(f"add-tar-{kind}", f"ADD x.tar.{kind} /x/", {f"x.tar.{kind}": Special(archive=MEMBERS, compression=kind)})
        for kind in ("gz", "bz2", "zst")
    ),
    Case("add-tar-by-content", "ADD picture.png /x/\nADD fake.tar.gz /y/", {"picture.png": PLAIN, "fake.tar.gz": "no"}),
    Case("add-tar-chown", "ADD --chown=9:9 --chmod=700 x.tar /x/", {"x.tar": PLAIN}),
    Case(
        "add-tar-no-unpack",
        "ADD --unpack=false x.tar /x/\nADD --unpack=true y.tar /y/",
        {"x.tar": PLAIN, "y.tar": PLAIN},
    ),
    Case("add-tar-with-files", "ADD x.tar a.txt /x/", {"x.tar": Special(archive=SMALL), "a.txt": "a"}),
    Case("add-tar-wildcard", "ADD *.tar /x/", {"x.tar": Special(archive=SMALL), "y.tar": Special(archive=MEMBERS[:2])}),
    Case("add-tar-in-directory-stays", "ADD d /x/", {"d/x.tar": Special(archive=(Member("i", "i"),))}),
    Case("copy-tar-stays", "COPY x.tar /x/", {"x.tar": Special(archive=(Member("c", "c"),))}),
    Case(
        "add-tar-over-existing",
        "RUN mkdir -p /x/d /x/a && echo old > /x/d/f && ln -s /etc /x/s && chmod 700 /x/d\nADD x.tar /x/",
        {"x.tar": PLAIN},
    ),
    Case(
        "add-tar-with-nameless-files",
        "ADD x.tar /x/\nADD y.tar /y/",
        {
            "x.tar": Special(archive=(Member(""), Member("a", "1"), Member(".", "2"))),
            "y.tar": Special(archive=(Member("a", "1"), Member("./", kind=b"2", link="a"))),
        },
    ),
    Case("add-tar-through-link", "RUN mkdir /r && ln -s /r /l\nADD x.tar /l/", {"x.tar": Special(archive=SMALL)}),
    Case(
        "add-tar-link-then-file",
        "ADD x.tar /x/",
        {
            "x.tar": Special(
                archive=(Member("l", kind=b"2", link="t"), Member("l/f", "1"), Member("t", kind=b"5", mode=0o755))
            )
        },
    ),
    Case(
        "add-tar-twice-the-same-name",
        "ADD x.tar /x/",
        {
            "x.tar": Special(
                archive=(Member("f", "1"), Member("f", "22", mode=0o600), Member("g", "g"), Member("g", kind=b"5"))
            )
        },
    ),
    Case(
        "add-tar-attributes",
        "ADD x.tar /x/",
        {
            "x.tar": Special(
                archive=(
                    Member("f", "1", attributes=(("SCHILY.xattr.user.note", "hello"),)),
                    Member("t", "2", attributes=(("mtime", "1000000000.5"),)),
                )
            )
        },
    ),
    Case("add-tar-as-user", "USER www\nWORKDIR /w\nADD x.tar .", {"x.tar": Special(archive=SMALL)}),
    Case("add-tar-to-scratch", "FROM scratch\nADD x.tar /", {"x.tar": PLAIN}),
    Case("add-tar-link-flag", "ADD --link x.tar /x/", {"x.tar": Special(archive=SMALL)}),
    Case("add-tar-excludes", "ADD --exclude=*.tar . /x/", {"x.tar": Special(archive=SMALL), "a": "a"}),
    Case("add-tar-empty", "ADD x.tar /of-nothing/", {"x.tar": Special(archive=())}),
    Case("add-gz-of-a-file", "ADD x.gz /x/", {"x.gz": Special(archive=(Member("z"),), compression="gz")}),
)

OUTSIDE: tuple[Case, ...] = tuple(
    Case(f"fault-add-tar-{name}", "ADD x.tar /x/", {"x.tar": Special(archive=(member,))})
    for name, member in (
        ("above", Member("../up", "1")),
        ("inside-above", Member("a/../../b", "1")),
        ("absolute", Member("/abs", "1")),
        ("dots-inside", Member("a/../b", "1")),
        ("link-above", Member("l", kind=b"1", link="../../etc/passwd")),
        ("symlink-above", Member("s", kind=b"2", link="../../../etc/passwd")),
    )
)
