"""Which rules count: directives, comments, the build argument."""

from __future__ import annotations

import pytest

from grammar import DockerfileError, parse
from grammar.lint import check

TEXT = "FROM a:1\n{}CMD x\nWORKDIR y\n"


def rules(text: str, **build_args: str) -> list[str]:
    return [finding.rule.name for finding in check(parse(text), build_args=build_args).findings]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ("skip=JSONArgsRecommended", ["WorkdirRelativePath"]),
        ("skip=JSONArgsRecommended, WorkdirRelativePath", []),
        (" skip = all ", []),
        ("skip=Unknown;error=false", ["JSONArgsRecommended", "WorkdirRelativePath"]),
    ],
)
def test_the_directive_skips_rules(options: str, left: list[str]) -> None:
    assert rules(f"# check={options}\n" + TEXT.format("")) == left


def test_a_comment_skips_rules_for_its_instruction() -> None:
    assert rules(TEXT.format("# check=skip=all\n")) == ["WorkdirRelativePath"]
    assert rules(TEXT.format("# check=skip=JSONArgsRecommended,X\n# more\n")) == ["WorkdirRelativePath"]
    assert rules(TEXT.format("# check=nonsense\n")) == ["JSONArgsRecommended", "WorkdirRelativePath"]


def test_the_build_argument_takes_the_place_of_the_directive() -> None:
    text = "# check=skip=all\n" + TEXT.format("")
    assert rules(text, BUILDKIT_DOCKERFILE_CHECK="skip=WorkdirRelativePath") == ["JSONArgsRecommended"]


def test_findings_are_errors_where_the_file_says_so() -> None:
    report = check(parse("# check=error=true\n" + TEXT.format("")))
    assert report.violated == ("JSONArgsRecommended", "WorkdirRelativePath")
    assert check(parse(TEXT.format(""))).violated == ()


def test_experimental_rules_are_on_only_by_name_or_for_all() -> None:
    text = "# x\nFROM a:1 AS b\n"
    assert rules(text) == []
    assert rules("# check=experimental=InvalidDefinitionDescription\n\n" + text) == ["InvalidDefinitionDescription"]
    assert rules("# check=experimental=all;skip=all\n\n" + text) == ["InvalidDefinitionDescription"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("foo=1", 'failed to parse check options: invalid check option "foo"'),
        ("skip", 'failed to parse check options: invalid check option "skip"'),
        ("error=maybe", 'failed to parse check options: failed to parse check option "error=maybe"'),
    ],
)
def test_wrong_options_are_refused(options: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        check(parse(f"# check={options}\nFROM a:1\n"))
    assert caught.value.message == message


def test_a_fault_ends_the_check_and_what_was_found_before_stays() -> None:
    report = check(parse("FROM a:1 AS B\nFOO x\n"))
    assert [finding.rule.name for finding in report.findings] == ["StageNameCasing"]
    assert report.error is not None
    assert report.error.line == 2


def test_only_what_the_target_needs_is_followed() -> None:
    text = 'FROM a:1 AS one\nCMD x\nFROM a:1 AS two\nCMD ["x"]\n'
    assert [finding.rule.name for finding in check(parse(text)).findings] == ["JSONArgsRecommended"]
    assert check(parse(text), "two").findings == ()
