"""Give advice of our own: what users miss in Dockerfiles that are otherwise right.

It looks at texts as they are written, and rather misses a case than speaks of one that is fine.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence

from grammar.checks import HEREDOC_MARKER, validate
from grammar.errors import DockerfileError
from grammar.flags import read_flags
from grammar.lint.findings import Collector
from grammar.nodes import Instruction
from grammar.stages import Outline

_APT = r"\bapt(?:-get)?\b(?:\s+-{1,2}\S+)*\s+"
_UPDATE = re.compile(_APT + "update\\b")
_INSTALL = re.compile(_APT + r"(?:install|upgrade|dist-upgrade|full-upgrade)\b[^;&|\n]*")
_YES = re.compile(r"(?:^|\s)(?:-[a-z]*y[a-z]*|--yes|--assume-yes|-qq+)(?=\s|$)")
_ASKS = re.compile(r"DEBIAN_FRONTEND=noninteractive")
_CLEANED = re.compile(r"rm\s+-\S*r\S*\s[^;&|\n]*/var/lib/apt/lists|\bapt-get\s+dist-?clean\b")
_PIP = re.compile(r"\bpip3?(?:\.\d+)?\s+install\b[^;&|\n]*")
_SUDO = re.compile(r"(?:^|[;&|(]\s*)sudo\s")
_CHANGE = re.compile(r"\s*cd\s+[^;&|\n]+\s*")
_SECRET_FILE = re.compile(
    r"id_(?:rsa|dsa|ecdsa|ed25519)|\.env(?:\.local)?|\.npmrc|\.netrc|\.pypirc|\.git-credentials|.*\.(?:key|p12|pfx)"
)
_ARCHIVE = re.compile(r".*\.(?:tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst|lzma)", re.IGNORECASE)
_REMOTE = re.compile(r"https?://|git://|git@|ssh://|.*\.git(?:[#?].*)?$")


def advise(stages: Sequence[Outline], collector: Collector) -> None:
    """Look at all stages of a file."""
    for stage in stages:
        if stage.base.kind == "image":
            _look_at_base(stage, collector)
        for node in stage.instructions:
            if node.keyword == "run":
                _look_at_run(node, collector)
            elif node.keyword in ("copy", "add"):
                _look_at_copy(node, collector)
            elif node.trigger is not None:
                _look_at_trigger(node, node.trigger, collector)


def _look_at_base(stage: Outline, collector: Collector) -> None:
    name, _, digest = stage.base.name.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not digest and tag in ("", "latest"):
        what = f"{stage.base.name} is whatever is the latest" if not tag else f"{stage.base.name} changes over time"
        collector.report("BaseNotPinned", what, stage.begin)


def _look_at_run(node: Instruction, collector: Collector) -> None:
    """Look at the text of a RUN, here-documents included, as one shell would read it."""
    text = "\n".join([" ".join(node.arguments), *(heredoc.content for heredoc in node.heredocs)])
    mounts = [mount for mount in read_flags(node).texts("mount") if "type=cache" in mount]
    installs = _INSTALL.findall(text)
    updates = _UPDATE.search(text) is not None
    kept_apart = any("/var/lib/apt" in mount for mount in mounts)
    if updates and not installs and not kept_apart and not _CLEANED.search(text):
        collector.report("UpdateWithoutInstall", "apt-get update has a step of its own", node)
    elif installs and updates and not kept_apart and not _CLEANED.search(text):
        collector.report("PackageListsKept", "apt-get leaves its package lists in the layer", node)
    if any(not _YES.search(command) for command in installs) and not _ASKS.search(text) and "yes |" not in text:
        collector.report("InstallMayAsk", "apt-get install may ask, and the step then fails", node)
    pips = _PIP.findall(text)
    if any("--no-cache-dir" not in command for command in pips) and not any("pip" in mount for mount in mounts):
        collector.report("DownloadCacheKept", "pip leaves its downloads in the layer", node)
    if _SUDO.search(text):
        collector.report("SudoInRun", "sudo is not needed", node)
    if node.form == "shell" and not node.heredocs and _CHANGE.fullmatch(text):
        collector.report("DirectoryChangeLost", f"'{text.strip()}' changes nothing for what follows", node)


def _look_at_trigger(node: Instruction, trigger: Instruction, collector: Collector) -> None:
    try:
        validate(trigger)
    except DockerfileError as error:
        collector.report("TriggerCannotBuild", error.message, node)


def _look_at_copy(node: Instruction, collector: Collector) -> None:
    sources = [word for word in node.arguments[:-1] if not (node.heredocs and HEREDOC_MARKER.fullmatch(word))]
    flags = read_flags(node)
    if node.keyword == "add" and not {"checksum", "unpack", "keep-git-dir"} & set(flags.given):
        plain = [word for word in sources if _is_plain(word)]
        if plain and len(plain) == len(sources):
            collector.report("AddWhereCopySuffices", f"ADD of {' '.join(plain)} does no more than COPY", node)
    if flags.text("from") is None:
        for word in _secret_files(sources):
            collector.report("SecretCopied", f"{word} is likely a secret", node)


def _is_plain(word: str) -> bool:
    """Tell whether a source of ADD is a file or directory of the context that ADD treats as COPY does."""
    return not any(character in word for character in "$*?[") and not (_REMOTE.match(word) or _ARCHIVE.fullmatch(word))


def _secret_files(sources: Iterable[str]) -> list[str]:
    return [word for word in sources if _SECRET_FILE.fullmatch(posixpath.basename(word))]
