"""Check what FROM names: its variables and its platform."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from grammar.errors import DockerfileError
from grammar.expansion import expand
from grammar.flags import read_flags
from grammar.lint.findings import Collector
from grammar.lint.words import Asked, suggestion
from grammar.nodes import Instruction
from grammar.platforms import parse_platform
from grammar.quoting import quoted

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
_LONGEST_NAME = 4096


def is_reference(name: str) -> bool:
    """Tell whether `name` can be an image's: what Docker's reference grammar takes for a familiar name."""
    if len(name) > _LONGEST_NAME or re.fullmatch("[0-9a-f]{64}", name):
        return False
    return _REFERENCE.fullmatch(name) is not None


def check_defaults(
    begins: Sequence[Instruction], defaults: Mapping[str, str], escape: str, collector: Collector
) -> None:
    """Check that every FROM names an image even where no build argument is given; `defaults` are what ARGs say then."""
    for node in begins:
        try:
            name = expand(node.arguments[0], defaults, escape)
        except DockerfileError:
            return  # a fault that shows when the stages are divided
        if not is_reference(name):
            text = f"Default value for ARG {node.arguments[0]} results in empty or invalid base image name"
            collector.report("InvalidDefaultArgInFrom", text, node, comments=False)


def check_from(
    node: Instruction, arguments: Mapping[str, str], declared: Collection[str], escape: str, collector: Collector
) -> bool:
    """Check the words of one FROM; return whether the stage can be read at all.

    `arguments` are the global ones with their values, `declared` the names of those that ARG names, values or not.
    """
    try:
        asked = Asked(arguments)
        name = expand(node.arguments[0], asked, escape)
        _check_declared(asked, declared, node, collector)
        if not name:
            return False
        written = read_flags(node, escape).text("platform")
        if written is not None:
            asked = Asked(arguments)
            platform = expand(written, asked, escape)
            _check_declared(asked, declared, node, collector)
            _check_platform(written, platform, asked, node, collector)
    except DockerfileError:
        return False
    return True


def _check_declared(asked: Asked, declared: Collection[str], node: Instruction, collector: Collector) -> None:
    known = [*declared, *(name for name in asked.known if name not in declared)]
    for name in sorted(asked.missed):
        if name not in declared:
            near = suggestion(name, known)
            hint = f" (did you mean {near}?)" if near else ""
            collector.report("UndefinedArgInFrom", f"FROM argument '{name}' is not declared{hint}", node)


def _check_platform(written: str, platform: str, asked: Asked, node: Instruction, collector: Collector) -> None:
    if list(asked.found) == ["TARGETPLATFORM"] and not asked.missed:
        if platform == asked.known["TARGETPLATFORM"]:
            text = f"Setting platform to predefined {written} in FROM is redundant as this is the default behavior"
            collector.report("RedundantTargetPlatform", text, node)
        return
    if asked.found or asked.missed:
        return
    parsed = parse_platform(platform)
    name = node.arguments[2].lower() if len(node.arguments) == 3 else ""
    if parsed.os not in name and parsed.architecture not in name:
        text = f"FROM --platform flag should not use constant value {quoted(platform)}"
        collector.report("FromPlatformFlagConstDisallowed", text, node)
