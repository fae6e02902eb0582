"""Check the Dockerfile of a build whose bases are known: what is found becomes warnings, or ends the build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.baseconfigs import known_base
from grammar.lint import KnownBase, check_graph
from runtime.errors import PybuildError

if TYPE_CHECKING:
    from builder.plan import Plan
    from builder.reporter import Reporter
    from grammar.ignore import IgnoreFile
    from grammar.stages import Base


def warn_of_findings(plan: Plan, ignore: IgnoreFile | None, reporter: Reporter) -> None:
    """Report what the checks find in what is about to be built; `ignore` is the context's.

    Raises PybuildError where the file says that a finding is an error, DockerfileError for wrong options of the check.
    """
    known: dict[Base, KnownBase] = {
        stage.stage.base: known_base(stage.base.document) for stage in plan.stages if stage.base is not None
    }
    report = check_graph(plan.graph, ignore=ignore, find_base=known.get)
    for finding in report.findings:
        reporter.warn(str(finding), finding.start_line)
    if report.violated:
        raise PybuildError(
            report.violation,
            hint="mend what is warned of, or take error=true out of the options of the check",
        )
