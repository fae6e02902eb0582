"""Write what checks, outlines and target lists say, as text and as JSON: in the shapes that buildx gives them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from builder.failures import SourceText
from grammar.lint import Finding, Report
from grammar.offers import Offer, Taken, Target

_RULE = "-" * 20
_GO_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
"""Go's encoder writes these so; documents that are compared should be equal."""


def go_json(document: Any) -> str:
    """Return a document as Go writes it with an indent of two."""
    return json.dumps(document, indent=2, ensure_ascii=False).translate(_GO_ESCAPES) + "\n"


def report_text(report: Report, source: SourceText, shown: str, *, hints: bool = False) -> str:
    """Return a report for reading; `shown` is the file's name in it. With `hints` it says how to mend what was found.

    Nothing where an error came before anything was found: the error is all there is to say.
    """
    count = len(report.findings)
    parts: list[str] = []
    if count or report.error is None:
        parts.append(_headline(count))
    for finding in sorted(report.findings, key=lambda finding: finding.start_line):
        parts.append(_section("WARNING", finding, source, shown, hints=hints))
    if hints:
        for finding in sorted(report.advice, key=lambda finding: finding.start_line):
            parts.append(_section("ADVICE", finding, source, shown, hints=True))
    return "\n".join(parts)


def _headline(count: int) -> str:
    if count == 0:
        return "Check complete, no warnings found.\n"
    return f"Check complete, {count} warning{' has' if count == 1 else 's have'} been found!\n"


def _section(kind: str, finding: Finding, source: SourceText, shown: str, *, hints: bool) -> str:
    hint = f"hint: {finding.rule.mend}\n" if hints else ""
    return f"{kind}: {finding.rule.name}\n{finding.detail}\n{hint}{_excerpt(source, shown, finding)}"


def _excerpt(source: SourceText, shown: str, finding: Finding) -> str:
    """Show the lines of a finding, marked, with what stands around them."""
    lines = source.text.split("\n")
    first, last = min(finding.start_line, len(lines)), min(finding.end_line, len(lines))
    begin, end = first, last
    wanted = 4 if first == last else 2
    seen = 0
    while seen < wanted:
        seen += 1 + (begin > 1) + (end != len(lines))
        begin, end = max(begin - 1, 1), min(end + 1, len(lines))
    rows = [
        f" {number:>3} | {'>>>' if first <= number <= last else '   '} {lines[number - 1]}"
        for number in range(begin, end + 1)
    ]
    return "\n".join([f"{shown}:{first}", _RULE, *rows, _RULE, ""])


def report_document(report: Report, source: SourceText) -> dict[str, Any]:
    """Return a report as data."""
    document: dict[str, Any] = {
        "warnings": [_warning(finding) for finding in report.findings] or None,
        "sources": [{"filename": source.name, "data": _data(source), "language": "Dockerfile"}],
    }
    if report.error is not None:
        hint = f" ({report.error.hint})" if report.error.hint else ""
        line = report.error.line
        document["buildError"] = {
            "message": report.error.message + hint,
            "location": {} if line is None else _location(line, line),
        }
    elif report.violated:
        document["buildError"] = {"message": report.violation, "location": {}}
    return document


def advice_documents(report: Report) -> list[dict[str, Any]]:
    """Return the advice of a report as data, each with its mend."""
    return [{**_warning(finding), "mend": finding.rule.mend} for finding in report.advice]


def _warning(finding: Finding) -> dict[str, Any]:
    return {
        "ruleName": finding.rule.name,
        "description": finding.rule.description,
        "detail": finding.detail,
        "location": _location(finding.start_line, finding.end_line),
    }


def _location(first: int, last: int) -> dict[str, Any]:
    lines = range(first, max(first, last) + 1)
    return {"ranges": [{"start": {"line": line}, "end": {"line": line}} for line in lines]}


def _data(source: SourceText) -> str:
    return b64encode(source.text.encode("utf-8", "surrogateescape")).decode()


def targets_text(targets: Iterable[Target]) -> str:
    """Return a list of targets for reading."""
    rows = [("TARGET", "DESCRIPTION")]
    for target in targets:
        default = "(default)" if target.default else ""
        rows.append((f"{target.name} {default}".strip(), target.description))
    return "".join(_columns(rows, gap=1))


def targets_document(targets: Iterable[Target], source: SourceText) -> dict[str, Any]:
    """Return a list of targets as data."""
    listed = [
        _present(
            name=target.name,
            default=target.default,
            description=target.description,
            base=target.base,
            platform=target.platform,
            location=_location(target.start_line, target.end_line),
        )
        for target in targets
    ]
    return {"targets": listed, "sources": [_data(source)]}


def offer_text(offer: Offer) -> str:
    """Return what a target takes for reading."""
    parts: list[str] = []
    if offer.name or offer.description:
        rows = [("TARGET:", offer.name or "(default)")]
        if offer.description:
            rows.append(("DESCRIPTION:", offer.description))
        parts += [*_columns(rows, gap=1), "\n"]
    if offer.arguments:
        table = [(taken.name, taken.value, taken.description) for taken in offer.arguments]
        parts += [*_columns([("BUILD ARG", "VALUE", "DESCRIPTION"), *table], gap=3), "\n"]
    for title, takens in (("SECRET", offer.secrets), ("SSH", offer.agents)):
        if takens:
            pairs = [(taken.name, "true" if taken.required else "") for taken in takens]
            parts += [*_columns([(title, "REQUIRED"), *pairs], gap=3), "\n"]
    return "".join(parts)


def offer_document(offer: Offer, source: SourceText) -> dict[str, Any]:
    """Return what a target takes as data."""
    return _present(
        name=offer.name,
        description=offer.description,
        args=[_taken(taken) for taken in offer.arguments],
        secrets=[_taken(taken) for taken in offer.secrets],
        ssh=[_taken(taken) for taken in offer.agents],
        sources=[_data(source)],
    )


def _taken(taken: Taken) -> dict[str, Any]:
    return {
        "name": taken.name,
        **_present(description=taken.description, value=taken.value, required=taken.required),
        "location": _location(taken.start_line, taken.end_line),
    }


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _columns(rows: Sequence[Sequence[str]], *, gap: int) -> Iterator[str]:
    """Yield lines whose columns are aligned; the last of each is not filled up."""
    widths = [max(len(row[place]) for row in rows) + gap for place in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        yield "".join([*cells, row[-1]]) + "\n"
