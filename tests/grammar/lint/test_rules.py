"""Each rule finds what it is for, and lets pass what is fine."""

from __future__ import annotations

import pytest

from grammar import IgnoreFile, parse
from grammar.lint import RULES, Finding, KnownBase, check

PLATFORM = "linux/amd64"
BASE = KnownBase(environment=("PATH=/bin", "FROM_BASE=1"), platform=PLATFORM)

CASES = [
    # rule, what triggers it, detail, line, what does not
    ("StageNameCasing", "FROM a:1 AS Build", "Stage name 'Build' should be lowercase", 1, "FROM a:1 AS build"),
    ("FromAsCasing", "FROM a:1 as b", "'as' and 'FROM' keywords' casing do not match", 1, "from a:1 as b"),
    ("FromAsCasing", "from a:1 As b", "'As' and 'from' keywords' casing do not match", 1, "From a:1 as b"),
    ("NoEmptyContinuation", "FROM a:1\nRUN x \\\n\n && y", "Empty continuation line", 4, "FROM a:1\nRUN x \\\n#\n&& y"),
    (
        "ConsistentInstructionCasing",
        "FROM a:1\nRun x",
        "Command 'Run' should match the case of the command majority (uppercase)",
        2,
        "from a:1\nrun x",
    ),
    (
        "ConsistentInstructionCasing",
        "from a:1\nrun x\nCMD []",
        "Command 'CMD' should match the case of the command majority (lowercase)",
        3,
        "FROM a:1\nCMD []",
    ),
    (
        "DuplicateStageName",
        "FROM a:1 AS b\nFROM a:1 AS B",
        'Duplicate stage name "b", stage names should be unique',
        2,
        "FROM a:1 AS b\nFROM a:1 AS c\nFROM b",
    ),
    (
        "ReservedStageName",
        "FROM a:1 AS context",
        'Stage name should not use the same name as reserved stage "context"',
        1,
        "FROM a:1 AS contexts",
    ),
    (
        "JSONArgsRecommended",
        "FROM a:1\nCMD x",
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
        2,
        'FROM a:1\nSHELL ["/bin/bash", "-c"]\nENTRYPOINT x\nFROM a:1\nCMD ["x"]',
    ),
    (
        "MaintainerDeprecated",
        "FROM a:1\nMAINTAINER me",
        "Maintainer instruction is deprecated in favor of using label",
        2,
        "FROM a:1\nLABEL maintainer=me",
    ),
    (
        "UndefinedArgInFrom",
        "ARG VERSION=1\nFROM a:${VERSIO:-2}",
        "FROM argument 'VERSIO' is not declared (did you mean VERSION?)",
        2,
        "ARG VERSION\nFROM a:${VERSION:-2}",
    ),
    (
        "UndefinedArgInFrom",
        "FROM --platform=${P:-$BUILDPLATFORM} a:1",
        "FROM argument 'P' is not declared",
        1,
        "FROM --platform=$BUILDPLATFORM a:1",
    ),
    (
        "WorkdirRelativePath",
        "FROM a:1\nWORKDIR x",
        'Relative workdir "x" can have unexpected results if the base image changes',
        2,
        "FROM a:1 AS b\nWORKDIR /x\nWORKDIR y\nFROM b\nWORKDIR z",
    ),
    (
        "UndefinedVar",
        "FROM a:1\nENV VERSION=1\nCOPY $VERSIN /",
        "Usage of undefined variable '$VERSIN' (did you mean $VERSION?)",
        3,
        "FROM a:1\nARG NONE\nCOPY $FROM_BASE$NONE a$PATH /\nEXPOSE 80$NOWHERE\nRUN $NOWHERE",
    ),
    (
        "UndefinedVar",
        "FROM a:1\nRUN --mount=target=/x,source=$QQQQQ x",
        "Usage of undefined variable '$QQQQQ'",
        2,
        "FROM a:1\nRUN --mount=target=$PATH x",
    ),
    (
        "UndefinedVar",
        "FROM a:1\nCOPY <<E /\n$QQQQQ\nE",
        "Usage of undefined variable '$QQQQQ'",
        2,
        "FROM a:1\nCOPY <<'E' /\n$QQQQQ\nE",
    ),
    (
        "UndefinedVar",
        "FROM a:1\nARG A=$QQQQQ B=$A",
        "Usage of undefined variable '$QQQQQ'",
        2,
        "FROM unknown:1\nARG A=$QQQQQ",
    ),
    (
        "MultipleInstructionsDisallowed",
        'FROM a:1\nCMD ["x"]\nCMD ["y"]',
        "Multiple CMD instructions should not be used in the same stage because only the last one will be used",
        2,
        'FROM a:1 AS b\nCMD ["x"]\nFROM b\nCMD ["y"]\nENTRYPOINT ["z"]',
    ),
    (
        "LegacyKeyValueFormat",
        "FROM a:1\nENV a b",
        '"ENV key=value" should be used instead of legacy "ENV key value" format',
        2,
        "FROM a:1\nLABEL a=b",
    ),
    (
        "InvalidBaseImagePlatform",
        "FROM --platform=$TARGETOS/arm64 a:1",
        'Base image a:1 was pulled with platform "linux/amd64", expected "linux/arm64" for current build',
        1,
        "FROM a:1",
    ),
    (
        "RedundantTargetPlatform",
        "FROM --platform=${TARGETPLATFORM} a:1",
        "Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
        1,
        "FROM --platform=$BUILDPLATFORM a:1",
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM a:1\nARG GITHUB_TOKEN",
        'Do not use ARG or ENV instructions for sensitive data (ARG "GITHUB_TOKEN")',
        2,
        "FROM a:1\nARG TOKENS PUBLIC_KEY KEY_VERSION\nENV MONKEY=1",
    ),
    (
        "InvalidDefaultArgInFrom",
        "ARG T\nFROM a:$T",
        "Default value for ARG a:$T results in empty or invalid base image name",
        2,
        "ARG T=1\nFROM a:$T",
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/amd64 a:1",
        'FROM --platform flag should not use constant value "linux/amd64"',
        1,
        "FROM --platform=linux/amd64 a:1 AS for-amd64",
    ),
    (
        "CopyIgnoredFile",
        "FROM a:1\nADD ./kept.txt gone/x /",
        'Attempting to Add file "gone/x" that is excluded by .dockerignore',
        2,
        "FROM a:1\nCOPY . /\nCOPY --from=b:1 gone /\nADD https://host.invalid/gone /",
    ),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=all\n\n# what for\nARG T=1\nFROM a:1",
        "Comment for ARG should follow the format: `# T <description>`",
        4,
        "# check=experimental=all\n\n# T is what for\nARG T=1\n# b is one\nFROM a:1 AS b",
    ),
    (
        "ExposeProtoCasing",
        "FROM a:1\nEXPOSE 80/UDP",
        "Defined protocol '80/UDP' in EXPOSE instruction should be lowercase",
        2,
        "FROM a:1\nEXPOSE 80/udp 81",
    ),
    (
        "ExposeInvalidFormat",
        "FROM a:1\nEXPOSE 127.0.0.1:80:80",
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
        2,
        "FROM a:1\nEXPOSE 80-82",
    ),
    (
        "PackageListsKept",
        "FROM a:1\nRUN apt-get update && apt-get install -y x",
        "apt-get leaves its package lists in the layer",
        2,
        "FROM a:1\nRUN apt-get update && apt-get install -y x && rm -rf /var/lib/apt/lists/*\n"
        "RUN --mount=type=cache,target=/var/lib/apt apt update && apt -y install x",
    ),
    (
        "UpdateWithoutInstall",
        "FROM a:1\nRUN apt-get update",
        "apt-get update has a step of its own",
        2,
        "FROM a:1\nRUN apt-get update && apt-get install -y x",
    ),
    (
        "InstallMayAsk",
        "FROM a:1\nRUN <<E\napt-get install x\nE",
        "apt-get install may ask, and the step then fails",
        2,
        "FROM a:1\nRUN apt-get install --no-install-recommends -qy x\nRUN apt-get install --yes x",
    ),
    ("BaseNotPinned", "FROM a", "a is whatever is the latest", 1, "FROM a:1 AS b\nFROM b\nFROM scratch"),
    ("BaseNotPinned", "FROM h:5000/a:latest", "h:5000/a:latest changes over time", 1, "FROM a@sha256:" + "0" * 64),
    (
        "AddWhereCopySuffices",
        "FROM a:1\nADD a b/ /x/",
        "ADD of a b/ does no more than COPY",
        2,
        "FROM a:1\nADD a.tar.gz /\nADD https://host.invalid/x /\nADD --unpack=false $PATH /\nADD *.x /",
    ),
    (
        "SecretCopied",
        "FROM a:1\nCOPY ./k/id_rsa /x",
        "./k/id_rsa is likely a secret",
        2,
        "FROM a:1\nCOPY id_rsa.pub /x",
    ),
    ("SudoInRun", "FROM a:1\nRUN x && sudo y", "sudo is not needed", 2, "FROM a:1\nRUN apt-get install -y sudo"),
    (
        "DirectoryChangeLost",
        "FROM a:1\nRUN cd /x",
        "'cd /x' changes nothing for what follows",
        2,
        "FROM a:1\nRUN cd / && x",
    ),
    (
        "TriggerCannotBuild",
        "FROM a:1\nONBUILD COPY --form=x a b",
        "COPY: unknown flag: --form",
        2,
        "FROM a:1\nONBUILD COPY --from=x a b",
    ),
    (
        "DownloadCacheKept",
        "FROM a:1\nRUN pip install x",
        "pip leaves its downloads in the layer",
        2,
        "FROM a:1\nRUN pip install --no-cache-dir x\nRUN --mount=type=cache,target=/root/.cache/pip pip install x",
    ),
]


def found(text: str) -> list[Finding]:
    report = check(
        parse(text + "\n"),
        build_args={"T": "1"},
        platform=PLATFORM,
        ignore=IgnoreFile(["gone"]),
        find_base=lambda base: None if base.name == "unknown:1" else BASE,
    )
    assert report.error is None
    return [*report.findings, *report.advice]


@pytest.mark.parametrize(("rule", "text", "detail", "line", "fine"), CASES)
def test_a_rule_finds_what_it_is_for_and_nothing_else(rule: str, text: str, detail: str, line: int, fine: str) -> None:
    matching = [finding for finding in found(text) if finding.rule.name == rule]
    assert [(finding.detail, finding.start_line) for finding in matching] == [(detail, line)]
    assert [finding for finding in found(fine) if finding.rule.name == rule] == []


def test_every_rule_has_a_case() -> None:
    assert {rule for rule, *_ in CASES} == set(RULES)


def test_a_variable_is_reported_once_for_each_word() -> None:
    findings = found("FROM a:1\nCOPY $QQQQQ$QQQQQ $QQQQQ /")
    assert [finding.rule.name for finding in findings] == ["UndefinedVar", "UndefinedVar"]


def test_triggers_of_a_base_are_checked_at_the_line_of_from() -> None:
    report = check(parse("FROM a:1\n"), find_base=lambda _: KnownBase(onbuild=("WORKDIR rel",)))
    assert [(finding.rule.name, finding.start_line) for finding in report.findings] == [("WorkdirRelativePath", 1)]


def test_a_shell_of_the_base_allows_the_shell_form() -> None:
    report = check(parse("FROM a:1\nCMD x\n"), find_base=lambda _: KnownBase(has_shell=True))
    assert report.findings == ()
