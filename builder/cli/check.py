"""`pybuild check`: find what builds and is probably not meant in a Dockerfile, and say how to mend it."""

from __future__ import annotations

from pathlib import Path

from builder.cli.calls import Question, check_file, raise_fault, shown_name, status_of
from runtime.cli.arguments import Arguments
from runtime.cli.declare import Flag, Verb
from runtime.cli.output import printable
from runtime.context import Context
from runtime.errors import UsageError

_FORMATS = ("text", "json")
_ADVICE = {"true": True, "1": True, "false": False, "0": False}

VERB = Verb(
    name="check",
    usage="[OPTIONS] [PATH]",
    summary="Check a Dockerfile",
    words=(0, 1),
    needs_store=True,
    flags=(
        Flag("--file", "-f", kind="text", metavar="FILE", help="Dockerfile (PATH/Dockerfile unless given; - is stdin)"),
        Flag("--target", kind="text", metavar="STAGE", help="Check what this stage needs, not all stages"),
        Flag("--build-arg", kind="texts", metavar="NAME[=VALUE]", help="Set a build argument"),
        Flag("--build-context", kind="texts", metavar="NAME=VALUE", help="Let a named context stand for a stage"),
        Flag("--platform", kind="text", metavar="PLATFORM", help="Platform of the image, as linux/arm64"),
        Flag("--advice", kind="optional", bare="true", metavar="BOOLEAN", help="Also give advice (the default)"),
        Flag("--format", kind="text", metavar="FORMAT", help="text (the default) or json"),
    ),
)


def run(args: Arguments, context: Context) -> int:
    """Print what was found; return 1 if that is more than advice."""
    form = args.text("format") or "text"
    if form not in _FORMATS:
        raise UsageError(f"--format cannot be '{form}'", hint=f"it is one of {', '.join(_FORMATS)}")
    advice = _ADVICE.get(args.text("advice") or "true")
    if advice is None:
        raise UsageError(f'invalid argument "{args.text("advice")}" for "--advice" flag', hint="write true or false")
    from builder import checks
    from frozen import replace

    question = _question(args, context)
    report = check_file(question, context)
    if not advice:
        report = replace(report, advice=())
    if form == "json":
        document = {"version": 1, **checks.report_document(report, question.source)}
        context.stdout.write(checks.go_json({**document, "advice": checks.advice_documents(report)}))
        return status_of(report)
    context.stdout.write(printable(checks.report_text(report, question.source, question.shown, hints=True)))
    raise_fault(report, question.source)
    return status_of(report)


def _question(args: Arguments, context: Context) -> Question:
    from builder.cli.buildflags import read_build_args
    from builder.cli.contexts import read_dockerfile
    from builder.context import read_ignore_file
    from runtime.oci.platforms import host_platform

    place = args.words[0] if args.words else "."
    file = args.text("file")
    if file is None and Path(place).is_file():
        place, file = str(Path(place).parent), place
    source = read_dockerfile(file, place, context)
    host = str(host_platform())
    found = read_ignore_file(Path(place), source.path) if Path(place).is_dir() else None
    return Question(
        source=source,
        shown=shown_name(source),
        target=args.text("target"),
        build_args=read_build_args(args.texts("build-arg"), context.environ),
        platform=args.text("platform") or host,
        host_platform=host,
        named_contexts=tuple(entry.partition("=")[0] for entry in args.texts("build-context")),
        ignore=None if found is None else found[1],
    )
