"""Check how a file is written: what can be seen without knowing what any word means."""

from __future__ import annotations

from collections.abc import Sequence

from grammar.checks import validate
from grammar.lint.findings import Collector
from grammar.nodes import Dockerfile, Instruction
from grammar.stages import outside_stages

_RESERVED = ("context", "scratch")


def keyword_of(node: Instruction) -> str:
    """Return the keyword in the letters that the file has."""
    return node.source.lstrip()[: len(node.keyword)]


def check_lines(dockerfile: Dockerfile, collector: Collector) -> None:
    """Check each instruction alone, in order. Raises DockerfileError at the first that is wrong."""
    for node in dockerfile.instructions:
        if node.blank_before:
            collector.add("NoEmptyContinuation", "Empty continuation line", node.blank_before, node.blank_before)
    divided = False
    for node in dockerfile.instructions:
        if node.keyword == "from":
            _check_letters(node, collector)
        elif node.keyword == "maintainer":
            text = "Maintainer instruction is deprecated in favor of using label"
            collector.report("MaintainerDeprecated", text, node)
        validate(node, dockerfile.directives.escape)
        divided = divided or node.keyword == "from"
        if not divided and node.keyword != "arg":
            raise outside_stages(node)
        if node.keyword == "from" and len(node.arguments) == 3:
            _check_description("FROM", [node.arguments[2].lower()], node, collector)
        elif node.keyword == "arg":
            _check_description("ARG", [word.partition("=")[0] for word in node.arguments], node, collector)


def _check_letters(node: Instruction, collector: Collector) -> None:
    if len(node.arguments) != 3:
        return
    _, as_, name = node.arguments
    if name != name.lower():
        collector.report("StageNameCasing", f"Stage name '{name}' should be lowercase", node)
    written = keyword_of(node)
    wanted = as_.lower() if written.islower() else as_.upper() if written.isupper() else as_
    if as_ != wanted:
        collector.report("FromAsCasing", f"'{as_}' and '{written}' keywords' casing do not match", node)


def _check_description(keyword: str, names: Sequence[str], node: Instruction, collector: Collector) -> None:
    """Check that the last line of the comment above begins with a name of what is defined there."""
    lines = node.comment.splitlines()
    if not lines or not names or lines[-1].split(" ", 1)[0] in names:
        return
    example = names[0] if len(names) == 1 else "<arg_key>"
    text = f"Comment for {keyword} should follow the format: `# {example} <description>`"
    collector.report("InvalidDefinitionDescription", text, node)


def check_names(begins: Sequence[Instruction], collector: Collector) -> None:
    """Check the names of all stages against each other; `begins` are their FROMs."""
    seen: set[str] = set()
    for node in begins:
        name = node.arguments[2].lower() if len(node.arguments) == 3 else ""
        if name in _RESERVED:
            text = f'Stage name should not use the same name as reserved stage "{name}"'
            collector.report("ReservedStageName", text, node, comments=False)
        if name in seen:
            text = f'Duplicate stage name "{name}", stage names should be unique'
            collector.report("DuplicateStageName", text, node, comments=False)
        if name:
            seen.add(name)


def check_casing(dockerfile: Dockerfile, collector: Collector) -> None:
    """Check that all keywords of the stages are in the case that most have."""
    nodes = list(dockerfile.instructions)
    while nodes and nodes[0].keyword == "arg":
        nodes.pop(0)
    keywords = [keyword_of(node) for node in nodes]
    lower = sum(keyword.islower() for keyword in keywords)
    upper = sum(keyword.isupper() for keyword in keywords)
    wanted = "lowercase" if lower > upper else "uppercase"
    for node, keyword in zip(nodes, keywords, strict=True):
        if keyword != (keyword.lower() if lower > upper else keyword.upper()):
            text = f"Command '{keyword}' should match the case of the command majority ({wanted})"
            collector.report("ConsistentInstructionCasing", text, node, comments=False)
