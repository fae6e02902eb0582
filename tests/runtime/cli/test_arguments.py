"""The quick reader takes words as pflag does."""

from __future__ import annotations

import pytest

from runtime.cli.arguments import Arguments, HelpRequested, read_arguments, split_global
from runtime.cli.declare import Flag, Verb
from runtime.errors import UsageError

VERB = Verb(
    name="run",
    summary="",
    interspersed=False,
    flags=(
        Flag("--interactive", "-i"),
        Flag("--tty", "-t"),
        Flag("--publish", "-p", kind="texts"),
        Flag("--name", kind="text"),
        Flag("--hostname", "-h", kind="text"),
        Flag("--size", kind="integer"),
        Flag("--pull", kind="optional", bare="always"),
        Flag("--secret-flag", hidden=True),
    ),
)
BUILD = Verb(name="build", summary="", words=(1, 1), flags=(Flag("--tag", "-t", kind="texts"),))


def read(*words: str) -> Arguments:
    return read_arguments(VERB, words)


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        (["-p", "80:80"], ("80:80",)),
        (["-p80:80"], ("80:80",)),
        (["-p=80:80"], ("80:80",)),
        (["--publish", "1", "--publish=2", "-p3"], ("1", "2", "3")),
        (["-itp", "80"], ("80",)),
        (["-p="], ("",)),
        (["-p", "--name"], ("--name",)),
    ],
)
def test_a_value_may_be_joined_separate_or_behind_an_equals_sign(words: list[str], ports: tuple[str, ...]) -> None:
    assert read(*words).texts("publish") == ports


@pytest.mark.parametrize(
    ("word", "value"), [("--tty", True), ("--tty=true", True), ("-t=0", False), ("--tty=F", False)]
)
def test_a_switch_takes_a_value_only_behind_an_equals_sign(word: str, value: bool) -> None:
    assert read(word).switch("tty") is value


def test_joined_switches_are_each_set() -> None:
    arguments = read("-it")
    assert arguments.switch("interactive")
    assert arguments.switch("tty")


def test_the_first_word_ends_the_flags_of_a_verb_that_runs_others() -> None:
    assert read("-i", "app", "ls", "-t").words == ("app", "ls", "-t")
    assert not read("-i", "app", "-t").switch("tty")


def test_flags_stand_anywhere_where_words_may_be_interspersed() -> None:
    arguments = read_arguments(BUILD, ["-t", "a", ".", "-tb"])
    assert arguments.texts("tag") == ("a", "b")
    assert arguments.words == (".",)


def test_two_dashes_end_the_flags() -> None:
    assert read("-i", "--", "-t").words == ("-t",)


def test_an_optional_value_is_taken_only_behind_an_equals_sign() -> None:
    assert read("--pull", "app").text("pull") == "always"
    assert read("--pull", "app").words == ("app",)
    assert read("--pull=never").text("pull") == "never"


def test_the_last_of_several_values_counts() -> None:
    assert read("--name", "a", "--name", "b").text("name") == "b"


def test_a_short_h_is_the_verbs_own_where_it_has_one() -> None:
    assert read("-h", "box").text("hostname") == "box"
    with pytest.raises(HelpRequested):
        read_arguments(BUILD, ["-h"])


def test_global_flags_stand_before_and_after_the_verb() -> None:
    before, rest = split_global(["--root", "/a", "--debug", "run", "--root", "/b"])
    assert before.text("root") == "/a"
    assert rest == ("run", "--root", "/b")
    assert read(*rest[1:]).text("root") == "/b"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--nmae", "x"], "unknown flag: --nmae", "--name"),
        (["-x"], "unknown shorthand flag: 'x' in -x", "--help"),
        (["--name"], "flag needs an argument: --name", "--help"),
        (["-itp"], "flag needs an argument: 'p' in -itp", "--help"),
        (["--tty=maybe"], 'invalid argument "maybe" for "--tty" flag', None),
        (["--size", "big"], 'invalid argument "big" for "--size" flag', None),
    ],
)
def test_a_wrong_word_is_shown_as_written(words: list[str], message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        read(*words)
    assert message in caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


def test_a_wrong_number_of_words_is_told() -> None:
    with pytest.raises(UsageError, match="'pybuild build' requires 1 argument"):
        read_arguments(BUILD, [])


def test_asking_for_a_flag_by_the_wrong_kind_is_a_fault_of_the_program() -> None:
    with pytest.raises(TypeError):
        read("-i").text("interactive")
