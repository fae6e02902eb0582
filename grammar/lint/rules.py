"""Name the checks: what each of them is about and how what it finds is mended.

The first table holds BuildKit's rules by its names and in its words, which tools know. The second holds advice of our
own; it never shows in builds, nor does it make a check fail.
"""

from __future__ import annotations

from collections.abc import Mapping

from frozen import Frozen


class Rule(Frozen):
    """One check. `experimental` ones are off unless they are asked for; `advice` is not BuildKit's."""

    name: str
    description: str
    mend: str
    experimental: bool = False
    advice: bool = False


_BUILDKIT = (
    Rule(
        name="StageNameCasing",
        description="Stage names should be lowercase",
        mend="write the name in lower case",
    ),
    Rule(
        name="FromAsCasing",
        description="The 'as' keyword should match the case of the 'from' keyword",
        mend="write FROM … AS, or from … as",
    ),
    Rule(
        name="NoEmptyContinuation",
        description="Empty continuation lines will become errors in a future release",
        mend="remove the empty line, or write # in it",
    ),
    Rule(
        name="ConsistentInstructionCasing",
        description="All commands within the Dockerfile should use the same casing (either upper or lower)",
        mend="write all keywords in upper case",
    ),
    Rule(
        name="DuplicateStageName",
        description="Stage names should be unique",
        mend="give one of the two stages another name",
    ),
    Rule(
        name="ReservedStageName",
        description="Reserved words should not be used as stage names",
        mend="give the stage another name",
    ),
    Rule(
        name="JSONArgsRecommended",
        description="JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS "
        "signals",
        mend='write ["program", "argument"], or name a shell with SHELL',
    ),
    Rule(
        name="MaintainerDeprecated",
        description="The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        mend='write LABEL org.opencontainers.image.authors="…"',
    ),
    Rule(
        name="UndefinedArgInFrom",
        description="FROM command must use declared ARGs",
        mend="declare it with ARG before the first FROM",
    ),
    Rule(
        name="WorkdirRelativePath",
        description="Relative workdir without an absolute workdir declared within the build can have unexpected "
        "results if the base image changes",
        mend="begin the path with /",
    ),
    Rule(
        name="UndefinedVar",
        description="Variables should be defined before their use",
        mend="define it with ARG or ENV above, in this stage",
    ),
    Rule(
        name="MultipleInstructionsDisallowed",
        description="Multiple instructions of the same type should not be used in the same stage",
        mend="remove all but the last one",
    ),
    Rule(
        name="LegacyKeyValueFormat",
        description="Legacy key/value format with whitespace separator should not be used",
        mend="write name=value, with quotes around a value that has blanks",
    ),
    Rule(
        name="InvalidBaseImagePlatform",
        description="Base image platform does not match expected target platform",
        mend="pull the image for the platform, or build for the image's",
    ),
    Rule(
        name="RedundantTargetPlatform",
        description="Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default "
        "behavior",
        mend="drop the --platform",
    ),
    Rule(
        name="SecretsUsedInArgOrEnv",
        description="Sensitive data should not be used in the ARG or ENV commands",
        mend="mount it where it is used: RUN --mount=type=secret,id=NAME,env=NAME",
    ),
    Rule(
        name="InvalidDefaultArgInFrom",
        description="Default value for global ARG results in an empty or invalid base image name",
        mend="give the ARG a default that makes a valid name",
    ),
    Rule(
        name="FromPlatformFlagConstDisallowed",
        description="FROM --platform flag should not use a constant value",
        mend="write --platform=$BUILDPLATFORM, or name the stage after the platform",
    ),
    Rule(
        name="CopyIgnoredFile",
        description="Attempting to Copy file that is excluded by .dockerignore",
        mend="let the file in with a line !PATH in the ignore file, or do not copy it",
    ),
    Rule(
        name="InvalidDefinitionDescription",
        description="Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. "
        "If this is not intended to be a description comment, add an empty line or comment between the instruction and "
        "the comment.",
        mend="begin the comment with the name",
        experimental=True,
    ),
    Rule(
        name="ExposeProtoCasing",
        description="Protocol in EXPOSE instruction should be lowercase",
        mend="write the protocol in lower case",
    ),
    Rule(
        name="ExposeInvalidFormat",
        description="IP address and host-port mapping should not be used in EXPOSE instruction. This will become an "
        "error in a future release",
        mend="name the container's port alone; addresses and ports of the host are for run --publish",
    ),
)

_ADVICE = (
    Rule(
        name="PackageListsKept",
        description="Package lists and archives that no later step needs stay in the layer",
        mend="end the same RUN with rm -rf /var/lib/apt/lists/*, or mount --mount=type=cache,target=/var/lib/apt and "
        "target=/var/cache/apt",
        advice=True,
    ),
    Rule(
        name="UpdateWithoutInstall",
        description="A package list fetched in a step of its own is remembered and grows old",
        mend="write apt-get update && apt-get install in one RUN",
        advice=True,
    ),
    Rule(
        name="InstallMayAsk",
        description="A package manager that asks has nobody to answer it",
        mend="add -y",
        advice=True,
    ),
    Rule(
        name="BaseNotPinned",
        description="A base image without a version may be another one tomorrow",
        mend="name a version, as debian:trixie, or a digest, as debian:trixie@sha256:…",
        advice=True,
    ),
    Rule(
        name="AddWhereCopySuffices",
        description="ADD unpacks archives and fetches URLs; COPY does neither and says so",
        mend="write COPY",
        advice=True,
    ),
    Rule(
        name="SecretCopied",
        description="A key or password that is copied stays in the image, even if a later step removes it",
        mend="mount it where it is used: RUN --mount=type=secret,id=NAME",
        advice=True,
    ),
    Rule(
        name="SudoInRun",
        description="RUN already runs as the user that USER names",
        mend="write USER root before the RUN, and the other user behind it",
        advice=True,
    ),
    Rule(
        name="TriggerCannotBuild",
        description="An instruction of ONBUILD is read by builds on this image only, which then fail",
        mend="correct the instruction",
        advice=True,
    ),
    Rule(
        name="DirectoryChangeLost",
        description="A change of directory ends with its RUN",
        mend="write WORKDIR",
        advice=True,
    ),
    Rule(
        name="DownloadCacheKept",
        description="What pip downloaded stays in the layer",
        mend="add --no-cache-dir, or mount --mount=type=cache,target=/root/.cache/pip",
        advice=True,
    ),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in (*_BUILDKIT, *_ADVICE)}
