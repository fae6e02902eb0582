"""Collect what the checks find."""

from __future__ import annotations

from frozen import Frozen
from grammar.errors import DockerfileError
from grammar.lint.rules import RULES, Rule
from grammar.lint.settings import Settings
from grammar.nodes import Instruction


class Finding(Frozen):
    """What one rule found: `detail` is a sentence, and the lines are the instruction's first and last."""

    rule: Rule
    detail: str
    start_line: int
    end_line: int

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.detail}"


class Report(Frozen):
    """All that a check found, in the order found; `advice` apart, and `error` if the file cannot be built.

    `violated` names the rules for which a build is to fail, because the file asks for that.
    """

    findings: tuple[Finding, ...] = ()
    advice: tuple[Finding, ...] = ()
    error: DockerfileError | None = None
    violated: tuple[str, ...] = ()

    @property
    def violation(self) -> str:
        """Say that findings end a build, because the file asks for that."""
        return f"lint violation found for rules: {', '.join(self.violated)}"


class Collector:
    """Keeps the findings of rules that are wanted; `settings` are the file's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.found: list[Finding] = []

    def report(self, rule: str, detail: str, node: Instruction, *, comments: bool = True) -> None:
        """Note that `rule` found something in `node`, whose comment may switch the rule off if `comments`."""
        settings = self.settings.with_comment(node.comment) if comments and node.comment else self.settings
        self.add(rule, detail, node.start_line, node.end_line, settings)

    def add(self, rule: str, detail: str, start_line: int, end_line: int, settings: Settings | None = None) -> None:
        """Note that `rule` found something in those lines."""
        wanted = RULES[rule]
        if (settings or self.settings).want(wanted):
            self.found.append(Finding(rule=wanted, detail=detail, start_line=start_line, end_line=end_line))

    def finish(self, error: DockerfileError | None) -> Report:
        """Return all of it."""
        findings = tuple(finding for finding in self.found if not finding.rule.advice)
        violated = dict.fromkeys(finding.rule.name for finding in findings) if self.settings.error else {}
        return Report(
            findings=findings,
            advice=tuple(finding for finding in self.found if finding.rule.advice),
            error=error,
            violated=tuple(violated),
        )
