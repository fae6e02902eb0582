from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.containers.users import Identity, find_identity
from runtime.errors import NotFound, PybuildError

PASSWD = """root:x:0:0:root:/root:/bin/sh
# comment
games:x:5:60:games:/usr/games:/usr/sbin/nologin

www:x:33:33::/var/www:/bin/sh
nohome:x:40:40
123:x:7:7::/odd:/bin/sh
broken:x:abc:1::/:/bin/sh
"""
GROUP = """root:x:0:
games:x:60:
www:x:33:
video:x:44:games,www
audio:x:29:games
45:x:46:
"""


class Files:
    def __init__(self, passwd: str | None = PASSWD, group: str | None = GROUP) -> None:
        self.files = {"/etc/passwd": passwd, "/etc/group": group}

    def read_text(self, path: PurePosixPath, limit: int) -> str | None:  # noqa: ARG002
        return self.files[str(path)]


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (), "/root"),
        ("root", 0, 0, (), "/root"),
        ("games", 5, 60, (29, 44), "/usr/games"),
        ("5", 5, 60, (29, 44), "/usr/games"),
        ("games:33", 5, 33, (), "/usr/games"),
        ("games:www", 5, 33, (), "/usr/games"),
        ("5000", 5000, 0, (), "/"),
        ("5000:6000", 5000, 6000, (), "/"),
        ("5000:video", 5000, 44, (), "/"),
        (":video", 0, 44, (), "/root"),
        ("123", 123, 0, (), "/"),
        ("games:45", 5, 45, (), "/usr/games"),
        ("nohome", 40, 40, (), "/"),
    ],
)
def test_users_are_found_as_docker_finds_them(
    user: str, uid: int, gid: int, groups: tuple[int, ...], home: str
) -> None:
    assert find_identity(Files(), user) == Identity(uid=uid, gid=gid, groups=groups, home=home)


def test_further_groups_are_names_or_numbers() -> None:
    assert find_identity(Files(), "5000", ("video", "1234")).groups == (44, 1234)


def test_an_image_without_the_files_knows_numbers_alone() -> None:
    assert find_identity(Files(None, None), "") == Identity(uid=0, gid=0, groups=(), home="/")
    assert find_identity(Files(None, None), "7:8") == Identity(uid=7, gid=8, groups=(), home="/")


@pytest.mark.parametrize(
    ("user", "more", "words"),
    [
        ("nobodyx", (), "unable to find user nobodyx: no matching entries in passwd file"),
        ("1234:grpx", (), "unable to find group grpx: no matching entries in group file"),
        ("root", ("grpx",), "unable to find group grpx: no matching entries in group file"),
        ("4294967296", (), "uids and gids must be in range"),
        ("-5", (), "uids and gids must be in range"),
        ("broken", (), "no valid number"),
    ],
)
def test_who_is_not_there_is_named(user: str, more: tuple[str, ...], words: str) -> None:
    with pytest.raises(PybuildError, match=words):
        find_identity(Files(), user, more)


def test_an_unknown_user_is_not_found() -> None:
    with pytest.raises(NotFound):
        find_identity(Files(), "nobodyx")


@given(st.text(), st.text(), st.text(max_size=8))
def test_hostile_files_raise_nothing_of_their_own(passwd: str, group: str, user: str) -> None:
    try:
        find_identity(Files(passwd, group), user)
    except PybuildError:
        pass
