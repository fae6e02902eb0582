"""Answer questions about a Dockerfile in place of a build: `build --call check|outline|targets`, `build --check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from builder.failures import SourceText, explained
from frozen import Frozen
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import PybuildError, UsageError

if TYPE_CHECKING:
    from builder.baseconfigs import BaseConfigs
    from grammar.ignore import IgnoreFile
    from grammar.lint import Report
    from grammar.nodes import Dockerfile
    from grammar.offers import Offer

METHODS = ("build", "check", "outline", "targets")
_SPELLINGS = {"lint": "check"}
_FORMATS = ("text", "json")
_Answer = TypeVar("_Answer")


class Call(Frozen):
    """What is asked for: one of METHODS, in which form, and whether the exit status should not speak of the answer."""

    method: str
    format: str = "text"
    ignore_status: bool = False


class Question(Frozen):
    """What a question is about: the file, and what a build of it would be given; `shown` names it in texts."""

    source: SourceText
    shown: str
    target: str | None
    build_args: Mapping[str, str]
    platform: str
    host_platform: str
    named_contexts: tuple[str, ...] = ()
    ignore: IgnoreFile | None = None

    def parse(self) -> Dockerfile:
        """Read the file. Raises DockerfileError."""
        from grammar.parser import parse  # lazy: 60 ms

        return parse(self.source.text)


def read_call(text: str | None, *, check: bool) -> Call | None:
    """Read the values of `--call` and `--check`; None where a build is asked for. Raises UsageError."""
    if text is None:
        return Call(method="check") if check else None
    method, *options = text.split(",")
    method = _SPELLINGS.get(method, method)
    if method not in METHODS:
        raise UsageError(f'invalid argument "{text}" for "--call" flag', hint=f"write one of {', '.join(METHODS)}")
    if check and method != "check":
        raise UsageError(f"--check and --call={method} cannot be used together")
    form, ignore_status = "text", False
    for option in options:
        name, _, value = option.partition("=")
        if name == "format" and value in _FORMATS:
            form = value
        elif name == "ignorestatus" and value in ("", "true", "false"):
            ignore_status = value != "false"
        else:
            raise UsageError(
                f'invalid argument "{text}" for "--call" flag: {option}', hint="options are format=json, ignorestatus"
            )
    return None if method == "build" else Call(method=method, format=form, ignore_status=ignore_status)


def answer(call: Call, question: Question, context: Context) -> int:
    """Print the answer on standard output; return the exit status. Raises PybuildError for a file that is wrong."""
    from builder import checks

    if call.method == "check":
        report = check_file(question, context)
        if call.format == "json":
            context.stdout.write(checks.go_json(checks.report_document(report, question.source)))
        else:
            context.stdout.write(printable(checks.report_text(report, question.source, question.shown)))
            if not call.ignore_status:
                raise_fault(report, question.source)
        return 0 if call.ignore_status else status_of(report)
    with explained(question.source):
        if call.method == "targets":
            from grammar.offers import targets

            found = targets(_judged(question))
            text = checks.targets_text(found)
            document = checks.targets_document(found, question.source)
        else:
            offer = _ask(question, context)
            text = checks.offer_text(offer)
            document = checks.offer_document(offer, question.source)
    context.stdout.write(checks.go_json(document) if call.format == "json" else printable(text))
    return 0


def check_file(question: Question, context: Context) -> Report:
    """Check a file, with what can be known of its bases. Raises PybuildError for wrong options of the check."""
    from grammar.errors import DockerfileError
    from grammar.lint import Report, check

    with explained(question.source):
        try:
            dockerfile = question.parse()
        except DockerfileError as error:
            return Report(error=error)
        return _with_bases(
            context,
            lambda find: check(
                dockerfile,
                question.target,
                question.build_args,
                question.platform,
                build_platform=question.host_platform,
                named_contexts=question.named_contexts,
                ignore=question.ignore,
                find_base=find,
            ),
        )


def status_of(report: Report) -> int:
    """Return the exit status of a check: 1 where anything was found."""
    return 1 if report.findings or report.error is not None else 0


def raise_fault(report: Report, source: SourceText) -> None:
    """Raise what makes a file fail that was checked, if anything does."""
    if report.error is not None:
        with explained(source):
            raise report.error
    if report.violated:
        raise PybuildError(report.violation)


def shown_name(source: SourceText) -> str:
    """Return how texts call the file: by its path, as the caller reaches it."""
    return source.name if source.path is None else str(Path(source.path))


def _judged(question: Question) -> Dockerfile:
    from grammar.checks import validate

    dockerfile = question.parse()
    for node in dockerfile.instructions:
        validate(node, dockerfile.directives.escape)
    return dockerfile


def _ask(question: Question, context: Context) -> Offer:
    from grammar.graph import build_graph
    from grammar.offers import offer

    graph = build_graph(
        question.parse(),
        question.target,
        question.build_args,
        question.platform,
        build_platform=question.host_platform,
        named_contexts=question.named_contexts,
    )
    return _with_bases(context, lambda find: offer(graph, find.environment))


def _with_bases(context: Context, ask: Callable[[BaseConfigs], _Answer]) -> _Answer:
    """Call `ask` with what finds the configuration of bases, the store open."""
    from builder.baseconfigs import BaseConfigs
    from runtime.store import Store

    def warn(message: str) -> None:
        context.stderr.write(f"{printable(message)}\n")

    with Store.open(context) as store:
        return ask(BaseConfigs(store, warn))
