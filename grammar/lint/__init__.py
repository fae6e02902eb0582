"""Check a Dockerfile for what builds and is probably not meant.

`check(dockerfile, …)` gives a Report of findings, each with its rule, a sentence and lines; `RULES` holds the rules by
name. Pure, as the whole grammar is: what has to be known of base images and ignore files is an argument.
"""

from __future__ import annotations

from grammar.lint.checking import check, check_graph
from grammar.lint.findings import Finding, Report
from grammar.lint.rules import RULES, Rule
from grammar.lint.stages import KnownBase

__all__ = ["RULES", "Finding", "KnownBase", "Report", "Rule", "check", "check_graph"]
