"""The words of ADD and of contexts name what BuildKit's would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.remote.submodules import submodule_remote
from builder.remote.words import GitSource, file_name, is_git, is_remote, is_web, parse_git, without_password
from runtime.errors import PybuildError, UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("word", "source"),
    [
        ("https://h/a/b.git", GitSource(remote="https://h/a/b.git")),
        ("https://h/b.git#v1", GitSource(remote="https://h/b.git", ref="v1")),
        ("https://h/b.git#v1:d/e", GitSource(remote="https://h/b.git", ref="v1", directory="d/e")),
        ("https://h/b.git#:d", GitSource(remote="https://h/b.git", directory="d")),
        ("https://h/b.git#main:./d//x/", GitSource(remote="https://h/b.git", ref="main", directory="d/x")),
        ("https://u:p@h:8/b.git", GitSource(remote="https://u:p@h:8/b.git")),
        ("git://h/b#x", GitSource(remote="git://h/b", ref="x")),
        ("ssh://git@h:22/b.git", GitSource(remote="ssh://git@h:22/b.git")),
        ("git@h:a/b.git#x:d", GitSource(remote="git@h:a/b.git", ref="x", directory="d")),
        ("git@h:b?ref=x&subdir=d", GitSource(remote="git@h:b", ref="x", directory="d")),
        ("https://h/b.git?ref=x", GitSource(remote="https://h/b.git", ref="x")),
        ("https://h/b.git?branch=x", GitSource(remote="https://h/b.git", ref="refs/heads/x")),
        ("https://h/b.git?tag=x", GitSource(remote="https://h/b.git", ref="refs/tags/x")),
        ("https://h/b.git?ref=x#x", GitSource(remote="https://h/b.git", ref="x")),
        (f"https://h/b.git?commit={COMMIT}", GitSource(remote="https://h/b.git", ref=COMMIT, checksum=COMMIT)),
        (
            f"https://h/b.git?tag=x&checksum={COMMIT}",
            GitSource(remote="https://h/b.git", ref="refs/tags/x", checksum=COMMIT),
        ),
        ("https://h/b.git?keep-git-dir=true", GitSource(remote="https://h/b.git", keep_git_dir=True)),
        ("https://h/b.git?keep-git-dir=0", GitSource(remote="https://h/b.git", keep_git_dir=False)),
        ("https://h/b.git?submodules=false", GitSource(remote="https://h/b.git", submodules=False)),
    ],
)
def test_a_repository_is_read_with_its_ref_and_directory(word: str, source: GitSource) -> None:
    assert is_git(word)
    assert parse_git(word) == source


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("https://h/b.git?what=1", 'unexpected query "what"'),
        ("https://h/b.git?ref=a&ref=b", "multiple values"),
        ("https://h/b.git?ref=", "has no value"),
        ("https://h/b.git?ref=a#b", "ref conflicts: a vs b"),
        ("https://h/b.git?branch=a&tag=a", "ref conflicts"),
        ("https://h/b.git?subdir=a#x:b", "subdir conflicts"),
        ("https://h/b.git?keep-git-dir=maybe", "invalid value 'maybe' of keep-git-dir"),
        ("https://h/b.git?commit=xyz", "invalid checksum 'xyz'"),
        ("https://h/b.git#main:a/../../b", "lies outside of the repository"),
        ("https://h/b.git#--upload-pack=x", "no name of a branch"),
        ("https://h/b c.git", "no git repository that can be reached"),
    ],
)
def test_a_repository_that_contradicts_itself_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_git(word)
    assert said in caught.value.message


@pytest.mark.parametrize("word", ["https://h/b", "https://h/b.git/x", "http://h/x.tar.gz", "https://h/x?a=b.git"])
def test_a_url_that_does_not_end_in_git_is_a_file(word: str) -> None:
    assert is_web(word)
    assert not is_git(word)


@pytest.mark.parametrize("word", ["a", "a/b.git", "./x", "c:\\x", "a:b", "ftp://h/x.git", "file:///x.git", "@h:x", ""])
def test_other_words_are_paths(word: str) -> None:
    assert not is_remote(word)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/b.txt", "b.txt"),
        ("http://h/a/b.txt?x=/y", "b.txt"),
        ("http://h/a%20b", "a b"),
        ("http://h/", "__unnamed__"),
        ("http://h", "__unnamed__"),
        ("http://h/a/", "a"),
        ("http://h/a%2fb", "b"),
    ],
)
def test_a_file_is_called_as_the_path_of_its_url_ends(url: str, name: str) -> None:
    assert file_name(url) == name


@given(st.text(max_size=60))
def test_any_word_is_read_or_refused(word: str) -> None:
    for text in (word, f"https://h/{word}.git", f"git@h:{word}", f"https://h/r.git?{word}", f"https://h/r.git#{word}"):
        if is_git(text):
            try:
                source = parse_git(text)
            except (UsageError, ValueError):
                continue
            assert ".." not in source.directory.split("/")
            assert not source.ref.startswith("-")


def test_passwords_are_not_shown() -> None:
    assert without_password("https://u:secret@h/x") == "https://u:xxxxx@h/x"
    assert without_password("https://u@h/x") == "https://u@h/x"
    assert without_password("git@h:x") == "git@h:x"


@pytest.mark.parametrize(
    ("parent", "url", "remote"),
    [
        ("https://h/a/b.git", "../c.git", "https://h/a/c.git"),
        ("https://h/a/b.git", "./c.git", "https://h/a/b.git/c.git"),
        ("git@h:a/b.git", "../c.git", "git@h:a/c.git"),
        ("https://h/a.git", "https://other/x.git", "https://other/x.git"),
        ("https://h/a.git", "../../../x.git", "https://h/x.git"),
    ],
)
def test_a_submodule_comes_from_where_its_url_says(parent: str, url: str, remote: str) -> None:
    assert submodule_remote(parent, url, "sub") == remote


@pytest.mark.parametrize("url", ["/etc", "file:///etc", "ext::sh -c id", "--upload-pack=x", ""])
def test_a_submodule_of_this_machine_is_refused(url: str) -> None:
    with pytest.raises(PybuildError, match="is not fetched"):
        submodule_remote("https://h/a.git", url, "sub")
