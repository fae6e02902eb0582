"""`.dockerignore`: which paths are left out. What is expected is what moby's patternmatcher says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.errors import DockerfileError
from grammar.ignore import IgnoreFile
from tests.grammar.work import lines_run

CASES = [
    ("a", "a", True),
    ("a", "a/b/c", True),
    ("a", "b/a", False),
    ("a", "ab", False),
    ("A", "a", False),
    ("a/b", "a/b", True),
    ("a/b", "a", False),
    ("/a", "a", True),
    ("//a/", "a", True),
    ("./a/../b/", "b", True),
    ("  a  ", "a", True),
    ("a\r", "a", True),
    ("*", "a/b", True),
    ("*.go", "x.go", True),
    ("*.go", "d/x.go", False),
    ("?", "a", True),
    ("?", "ab", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    ("*/a", "x/a", True),
    ("*/a", "a", False),
    ("**", "a/b", True),
    ("**/a", "a", True),
    ("**/a", "x/y/a", True),
    ("**/a", "x/ba", False),
    ("**/*.txt", "f.txt", True),
    ("**/*.txt", "d/e/f.txt", True),
    ("a/**", "a", False),
    ("a/**", "a/b/c", True),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("a**/*.txt", "a/d/f.txt", True),
    ("**file", "dir/xfile", True),
    ("**file*", "xfile", False),
    ("a**b", "ab", True),
    ("a**b", "axb", False),
    ("a**b", "ax/b", True),
    ("[a-c]x", "bx", True),
    ("[^a]", "b", True),
    ("[^a]", "a", False),
    ("[!a]", "!", True),
    ("[!a]", "b", False),
    (r"a\*b", "a*b", True),
    (r"a\*b", "axb", False),
    (r"\#a", "#a", True),
    (r"\!a", "!a", True),
    (r"[\]x]", "]", True),
    (r"a\d", "a7", True),  # a backslash before a letter is what it is in a regular expression
    (r"a\d", "ad", False),
    (r"\w/**", "_/x", True),
    (r"\S", "a", True),
    (r"\tx", "\tx", True),
    (r"build\bin", "buildbin", False),
    (r"build/\bin", "build/in", True),
    (r"a\Bb", "ab", True),
    ("#a", "#a", False),
    (" #a", "#a", True),
    ("a.b", "axb", False),
    ("a|b*", "a", True),
    ("a|b*", "x/b", True),
    ("a|b*", "c", False),
    ("a|b", "a", False),
    ("a|b", "a|b", True),
    ("*.log|*.tmp", "d/x.tmp", True),
    ("*.log|*.tmp", "x.log.1", True),
    ("*.log|*.tmp", "d/x.log", False),
    ("*.a|k|?", "d/kk", True),
    ("*.a|^k|?z", "xk", False),
    ("*.a|^k|?z", "k", True),
    ("a^b*", "a^b", False),
    ("^a*", "ab", True),
    ("*^a", "a", True),
    ("*^a", "ba", False),
    ("a\\|b*", "a|bc", True),
    ("[|^]x", "|x", True),
    ("[|^]x", "^x", True),
    ("^a", "^a", True),
    ("**|a", "x|a", True),
    ("a|b/**", "a|b/c", True),
    ("a|b/**", "a", False),
    ("a{1}", "a{1}", True),
    (".", "a", False),
    ("..", "a", False),
    ("/", "a", False),
    ("é*", "éa", True),
    ("\ufeffa", "a", True),
    ("a[*]", "a[]", True),  # between brackets a star is what it is for Docker outside of them: [^/]*
    ("a[*]", "a^/[]", True),
    ("a[*]", "a*", False),
    ("a[?]", "a/]", True),
    ("a[?]", "a?", False),
    ("a[^?]", "a?", False),
    ("a[**/b]", "a.", True),
    (r"a[\d]", "a7", True),
    (r"a[\d]", "ad", False),
    (r"a[\d-z]", "a-", True),
    (r"a[^\W]", "a_", True),
    ("a[[:alpha:]]", "aq", True),
    ("a[[:alpha:]7]", "a7", True),
    ("a[[:^alpha:]]", "aq", False),
    ("a[.]b", "a.b", True),
    ("?{2}", "ab", True),  # what else is special in a regular expression and is no sign of a pattern's
    ("?{2}", "a", False),
    ("a{1,2}?", "aab", True),
    ("a{1,}?", "aaaab", True),
    ("a{,2}?", "a{,2}b", True),
    ("{2}a?", "ab", True),
    (r"\x61\142", "ab", True),
    (r"a\Q*", "a[^/]*$", True),
    (r"\Q+\E?", r"\+a", True),
    (r"\Aa?", "ab", True),
    (r"a\z?", "ab", False),
    ("a*[-b]", "ax-", True),  # Go looks no further than at what stands before the star
    ("a*[]b]", "a]", True),
    ("a*\\", "ax$y", True),
    ("", "a", False),
]

BAD_EXPRESSIONS = [
    *(
        "[[:nope:]]",
        "a[[:alpha:]",
        r"[a-\d]",
        r"[\b]",
        "*{2}",
        "a{2}{2}?",
        "?{1001}",
        "?{3,2}",
        "?|{2}",
        r"?\p",
        "*[-a]",
        "a*[a",
    ),
]

SEQUENCES = [
    (["*", "!a"], "a", False),
    (["*", "!a"], "b", True),
    (["!a", "*"], "a", True),
    (["a", "!a/b"], "a/b", False),
    (["a", "!a/b"], "a/b/c", False),
    (["a", "!a/b"], "a/c", True),
    (["a", "!a/b", "a/b/c"], "a/b/c", True),
    (["**", "!*/x"], "d/x/y", False),
    (["a", "! b"], "a", True),
    (["b", "! b"], "b", False),
    (["*", "!!a"], "!a", False),
    (["*.md", "!README.md", "README*"], "README.md", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), CASES)
def test_a_pattern_decides(pattern: str, path: str, expected: bool) -> None:
    assert IgnoreFile([pattern]).excludes(path) is expected


@pytest.mark.parametrize(("patterns", "path", "expected"), SEQUENCES)
def test_the_last_match_decides(patterns: list[str], path: str, expected: bool) -> None:
    assert IgnoreFile(patterns).excludes(path) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "!",
        " ! ",
        "!/",
        "[",
        "[]",
        "[]a]",
        "[a",
        "[a-",
        "[-a]",
        "[^",
        "a\\",
        "[b-a]",
        "src\\gen",
        "\\é",
        *BAD_EXPRESSIONS,
    ],
)
def test_a_bad_pattern_is_named_with_its_line(pattern: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        IgnoreFile(["# comment", "", pattern])
    assert caught.value.line == 3
    assert pattern.strip() in caught.value.message


def test_repeats_without_end_are_refused() -> None:
    with pytest.raises(DockerfileError, match="syntax error in pattern"):
        IgnoreFile(["a{1000}?" * 4000])


def test_the_context_itself_is_never_left_out() -> None:
    assert not IgnoreFile(["*", "**", "."]).excludes(".")


@pytest.mark.parametrize(
    ("patterns", "directory", "expected"),
    [
        (["a"], "a", False),
        (["a", "!a/b"], "a", True),
        (["a", "!b"], "a", False),
        (["*", "!a/b/c"], "a", True),
        (["*", "!a/b/c"], "x", False),
        (["*", "!**/keep"], "x/y", True),
        (["*", "!*/keep"], "x", True),
        (["*", "!*/keep"], "x/y", False),
        (["!a/b", "a"], "a", False),
        (["a", "!a/**"], "a", True),
        (["a", "!a*"], "b", False),
    ],
)
def test_a_walk_may_skip_what_nothing_brings_back(patterns: list[str], directory: str, expected: bool) -> None:
    assert IgnoreFile(patterns).may_reinclude_below(directory) is expected


PIECES = (*"ab[]^*?|\\", "{2}", "{1,}", "[:alpha:]", r"\Q", r"\E", r"\z", r"\A", r"\x61", r"\d")
SIGNS = st.text(alphabet="abdwB/*?!.[]^|-\\ #", max_size=8) | st.lists(st.sampled_from(PIECES)).map("".join)
PATH = st.lists(st.text(alphabet="ab.*", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@given(st.lists(SIGNS, max_size=4), PATH)
def test_no_pattern_raises_anything_else(patterns: list[str], path: str) -> None:
    try:
        ignore = IgnoreFile(patterns)
    except DockerfileError:
        return
    ignore.excludes(path)


@given(st.lists(SIGNS, max_size=4), PATH)
def test_what_is_kept_is_never_below_what_a_walk_skips(patterns: list[str], path: str) -> None:
    try:
        ignore = IgnoreFile(patterns)
    except DockerfileError:
        return
    if re.search(r"(^|/)\.\.?(/|$)", path) or ignore.excludes(path):
        return
    parent = path.rpartition("/")[0]
    while parent:
        assert not ignore.excludes(parent) or ignore.may_reinclude_below(parent)
        parent = parent.rpartition("/")[0]


@given(st.lists(SIGNS, max_size=4), PATH)
def test_both_engines_agree(patterns: list[str], path: str) -> None:
    try:
        ignore = IgnoreFile(patterns)
    except DockerfileError:
        return
    long = "/".join(["~"] * 3000)  # too long for the expressions, and matched by no pattern above but a wild one
    assert ignore.excludes(f"{path}/{long}") == ignore.excludes(f"{path}/{long[:101]}")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 2000 + "b", "a" * 4000),
        ("*a" * 25_000 + "b", "a" * 50_000),
        ("**/a/" * 30 + "b", "a/" * 2000),
        ("?" * 50_000, "a" * 50_000),
        ("**", "a/" * 50_000),
        ("[a-z]" * 10_000, "a" * 50_000),
        ("**/a*b*c*\n" * 500 + "b", "a/" * 2000),
        ("?^\n**.a\n" * 1000, "a/" * 2000),
    ],
    ids=range(8),
)
def test_no_patterns_take_long(pattern: str, path: str) -> None:
    assert lines_run(lambda: IgnoreFile(pattern.split("\n")).excludes(path)) < 150 * (len(pattern) + len(path))


def test_deep_path_is_judged_as_its_parents_one_by_one() -> None:
    lines = ["**/c*d*e*f", "a/b/c", "!a/b/c/d?/**/x", "**/z", "!**/q?r/[ab]"]
    for last in ("x", "z", "qqr/b", "cd/e", "cdef", "b"):
        path = "/".join(["a", "b", "c", "d1", *"efghijklmnopqrstuvw", last])
        asked = IgnoreFile(lines)
        parts = path.split("/")
        one_by_one = [asked.excludes("/".join(parts[:length])) for length in range(1, len(parts) + 1)]
        assert IgnoreFile(lines).excludes(path) == one_by_one[-1]


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["**/*.md", "!docs"], "docs/x.md", True),  # nothing had left out docs
        (["*", "!docs"], "docs/x.md", False),
        (["src", "!src/keep", "**/*.o"], "src/keep/b.o", True),
        (["docs/*", "!docs/s", "**/y.md", "!docs"], "docs/s/y.md", True),
        (["**/*.md", "!docs/**"], "docs/s/y.md", False),
        (["a"], "a/b", True),
    ],
)
def test_a_walk_counts_what_brings_back_a_directory_that_was_left_out(
    patterns: list[str], path: str, expected: bool
) -> None:
    assert IgnoreFile(patterns).leaves_out(path) is expected
