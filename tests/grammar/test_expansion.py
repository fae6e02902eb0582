"""Words: variables, quotes and escapes, rule by rule. What is expected was seen with docker's BuildKit."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar.errors import ExpansionError
from grammar.expansion import expand, expand_heredoc, expand_words
from tests.grammar.work import lines_run

ENV = {
    "A": "a value",
    "E": "",
    "N": "foo",
    "P": "foo.bar/foo",
    "Q": "$N \"q\" 'r' \\",
    "é": "accent",
    "_x": "under",
    "S": " p  q ",
}

QUOTES_AND_ESCAPES = [
    ("plain", "plain"),
    ("'a b'", "a b"),
    ('"a b"', "a b"),
    ("a'b'\"c\"d", "abcd"),
    ("'$N'", "$N"),
    ('"$N"', "foo"),
    (r"\$N", "$N"),
    (r"\a\b", "ab"),
    (r"a\ b", "a b"),
    (r"a\\b", r"a\b"),
    ("a\\", "a"),
    ("\\", ""),
    (r'"a\"b"', 'a"b'),
    (r'"\$N"', "$N"),
    (r'"\\"', "\\"),
    (r'"\n\'"', r"\n\'"),
    (r"'a\b'", r"a\b"),
    ("''", ""),
    ('""', ""),
    ("# no comment", "# no comment"),
]

NAMES = [
    ("$N", "foo"),
    ("${N}", "foo"),
    ("$N.x", "foo.x"),
    ("$N-x", "foo-x"),
    ("$Nx", ""),
    ("${N}x", "foox"),
    ("$é!", "accent!"),
    ("$_x", "under"),
    ("$12ab", "ab"),
    ("$1", ""),
    ("${1}", ""),
    ("$@$*$#$?$-$!", ""),
    ("$$N", "N"),
    ("$", "$"),
    ("a$", "a$"),
    ("$ x", "$ x"),
    ("$.", "$."),
    ("$/", "$/"),
    ("$²", "$²"),
    ("$Q", "$N \"q\" 'r' \\"),
    ("'$'N", "$N"),
    ("$UNSET", ""),
]

ALTERNATIVES = [
    ("${U-w}", "w"),
    ("${E-w}", ""),
    ("${U:-w}", "w"),
    ("${E:-w}", "w"),
    ("${N:-w}", "foo"),
    ("${U+w}", ""),
    ("${E+w}", "w"),
    ("${E:+w}", ""),
    ("${N:+w}", "w"),
    ("${N?m}", "foo"),
    ("${E?m}", ""),
    ("${N:?m}", "foo"),
    ("${U:-}", ""),
    ("${U:-$N}", "foo"),
    ("${U:-${E:-${N}}}", "foo"),
    ("${U:-'a}b'}", "a}b"),
    ('${U:-"$N }"}', "foo }"),
    (r"${U:-a\}b}", "a}b"),
    ("${U:-a b}", "a b"),
    ('"${U:-"x y"}"', "x y"),
    ("${U:-{}", "{"),
    ("${N:+${U:-x}}", "x"),
    ("${@:-w}", "w"),
]

PATTERNS = [
    ("${P#*o}", "o.bar/foo"),
    ("${P##*o}", ""),
    ("${P#foo}", ".bar/foo"),
    ("${P#bar}", "foo.bar/foo"),
    ("${P%o*}", "foo.bar/fo"),
    ("${P%%o*}", "f"),
    ("${P%/*}", "foo.bar"),
    ("${P##*/}", "foo"),
    ("${P#???}", ".bar/foo"),
    ("${P%?}", "foo.bar/fo"),
    ("${P#}", "foo.bar/foo"),
    ("${P%%*}", ""),
    ("${P#[f]}", "foo.bar/foo"),
    ("${P#'foo'}", ".bar/foo"),
    ("${P#$N}", ".bar/foo"),
    ("${U#x}", ""),
    ("${P/foo/x}", "x.bar/foo"),
    ("${P//foo/x}", "x.bar/x"),
    ("${P/foo/}", ".bar/foo"),
    ("${P//o/}", "f.bar/f"),
    (r"${P/\//-}", "foo.bar-foo"),
    ("${P/o*/x}", "fx"),
    ("${P//?o/x}", "xo.bar/xo"),
    ("${P/q/x}", "foo.bar/foo"),
    ("${P/foo/$N$N}", "foofoo.bar/foo"),
    ("${N//''/-}", "-f-o-o-"),
    ("${N//*/x}", "x"),
    ("${U/a/b}", ""),
]

LITERAL_IN_PATTERNS = [
    (r"${V#\*}", "*a", "a"),
    (r"${V#\*}", "xa", "xa"),
    (r"${V#\?}", "?a", "a"),
    (r"${V#\\}", "\\a", "a"),
    (r"${V#\}}", "}a", "a"),
    (r"${V%\}}", "a}", "a"),
    ("${V%$W}", "ab*", "ab*"),
    ("${V#a.c}", "abc", "abc"),
    ("${V#(a)}", "(a)b", "b"),
]

FAULTS = [
    "'a",
    '"a',
    '"a\\"',
    "${",
    "${N",
    "${}",
    "${:}",
    "${:x}",
    "${{N}}",
    "${N:-w",
    "${N:x}",
    "${N=x}",
    "${N:=x}",
    "${N^^}",
    "${N,,}",
    "${#N}",
    "${!N}",
    "${N N}",
    "${'N'}",
    "${12ab}",
    "${N:#x}",
    "${N:%x}",
    "${N::x}",
    "${N/a}",
    "${N/a/b",
    "${N//a}",
    r"${N#\a}",
    r"${N/\[/b}",
    "${U?m}",
    "${U:?m}",
    "${E:?m}",
    "${U:?}",
    "${N:-${U?m}}",
    '"${N',
]


@pytest.mark.parametrize(("word", "expected"), [*QUOTES_AND_ESCAPES, *NAMES, *ALTERNATIVES, *PATTERNS])
def test_a_word_expands(word: str, expected: str) -> None:
    assert expand(word, ENV) == expected


@pytest.mark.parametrize(("word", "value", "expected"), LITERAL_IN_PATTERNS)
def test_what_a_pattern_escapes_is_literal(word: str, value: str, expected: str) -> None:
    assert expand(word, {"V": value, "W": "\\*c"}) == expected


@pytest.mark.parametrize("word", FAULTS)
def test_a_fault_shows_the_word(word: str) -> None:
    with pytest.raises(ExpansionError) as caught:
        expand(word, ENV)
    assert word in caught.value.message
    assert caught.value.line is None
    assert caught.value.hint


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("${U:?need $N}", "U: need foo"),
        ("${U?}", "U: is not allowed to be unset"),
        ("${E:?}", "E: is not allowed to be empty"),
        ("${N=x}", "unsupported modifier (=)"),
        ("${N:=x}", "unsupported modifier (:=)"),
        ("'a", "single-quote"),
        ('"a', "double-quote"),
    ],
)
def test_the_message_says_why(word: str, part: str) -> None:
    with pytest.raises(ExpansionError, match=r".*") as caught:
        expand(word, ENV)
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("word", "expected"),
    [("`$N", "$N"), ("a`", "a"), ("``", "`"), (r"C:\x", r"C:\x"), ('"`$N"', "$N"), (r'"\$N"', r"\foo"), ("'`'", "`")],
)
def test_the_escape_character_may_be_a_backtick(word: str, expected: str) -> None:
    assert expand(word, ENV, "`") == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", []),
        ("a b", ["a", "b"]),
        ("  a\t b  ", ["a", "b"]),
        ("'a b' c", ["a b", "c"]),
        (r"a\ b", ["a b"]),
        ("$S", ["p", "q"]),
        ("x${S}y", ["x", "p", "q", "y"]),
        ('"$S"', [" p  q "]),
        ("'' \"\" $U", []),
        ("''a", ["a"]),
        ("$A$N", ["a", "valuefoo"]),
        ("${U:-80} 81", ["80", "81"]),
        ("7 8${U:-0}", ["7", "0"]),  # what stands before an operand is lost, as in BuildKit
        ("80${U:-81 82}", ["81", "82"]),
        ('1"2${U:-0}"', ["20"]),
        ("a\u3000b", ["a", "b"]),
        ("a\xa0b", ["a", "b"]),
        ("<< a", ["<< a"]),
    ],
)
def test_words_split_after_substitution(word: str, expected: list[str]) -> None:
    assert expand_words(word, ENV) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("'$N' \"${N}\"\n", "'foo' \"foo\"\n"),
        ("it's $N\n", "it's foo\n"),
        (r"\$N \x \\" + "\n", "$N x \\\n"),
        ("a\\\nb\n", "a\nb\n"),
        ("${U:-'x'}\n", "'x'\n"),
        ("`$N`\n", "`foo`\n"),
        ("<<a << b\n", "<<a << b\n"),
    ],
)
def test_a_heredoc_keeps_its_quotes(body: str, expected: str) -> None:
    assert expand_heredoc(body, ENV) == expected


def test_a_heredoc_fails_for_a_missing_variable_that_it_needs() -> None:
    with pytest.raises(ExpansionError):
        expand_heredoc("x ${U:?m}\n", ENV)


@pytest.mark.parametrize(
    "word",
    [
        "${a:-" * 16_000 + "}" * 16_000,
        "${a:-x" * 16_000 + "}" * 16_000,
        '"${a:-' * 12_000 + '}"' * 12_000,
        "${a#" * 20_000 + "}" * 20_000,
        "${a/b/" * 14_000 + "}" * 14_000,
        "${a:-" * 20_000,
        '"' * 100_001,
        "$" * 100_000,
        "\\" * 100_000,
        "<" * 100_000,
        "${v##" + "*a" * 45_000 + "b}",
        "${v%%" + "a*" * 45_000 + "}",
        "${v//" + "a?" * 20_000 + "b/x}",
        "${v/" + "?" * 50_000 + "b/x}",
        "${v//''/x}",
        "${v//?/xx}",
    ],
    ids=range(16),
)
def test_work_grows_with_the_length_alone(word: str) -> None:
    value = "a" * 50_000

    def expanded() -> None:
        with suppress(ExpansionError):
            expand(word, {"v": value})

    assert lines_run(expanded) < 40 * (len(word) + len(value))


@given(st.text(), st.dictionaries(st.text(max_size=3), st.text(max_size=8), max_size=3), st.sampled_from("\\`"))
def test_no_word_raises_anything_else(word: str, env: dict[str, str], escape: str) -> None:
    for function in (lambda: expand(word, env, escape), lambda: expand_words(word, env, escape)):
        with suppress(ExpansionError):
            function()


@given(st.text(alphabet="$a{}:-+?#%/*\\\"'` <x1", max_size=24))
def test_no_word_of_signs_raises_anything_else(word: str) -> None:
    for escape in "\\`":
        try:
            text = expand(word, {"a": "a*x", "x": ""}, escape)
            words = expand_words(word, {"a": "a*x", "x": ""}, escape)
        except ExpansionError:
            continue
        kept = "".join(words) == "".join(text.split())
        assert kept or "${" in word or any(sign in word for sign in "\"'\\`<")


@given(st.text())
def test_a_single_quoted_text_is_itself(text: str) -> None:
    text = text.replace("'", "")
    assert expand(f"'{text}'", {}) == text


@given(st.text())
def test_an_escaped_text_is_itself(text: str) -> None:
    assert expand("".join(f"\\{character}" for character in text), {}) == text


@given(st.text())
def test_a_value_is_not_read_again(value: str) -> None:
    assert expand("$v", {"v": value}) == expand('"${v}"', {"v": value}) == value
