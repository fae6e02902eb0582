"""Print lists and objects in the form that `--format` asks for: a table, JSON, or a Go template.

Whatever images and other people's metadata hold, no control character of it reaches a terminal or a list raw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime.cli.output import one_line, printable
from runtime.cli.structs import Line
from runtime.cli.templates import Template, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.context import Context

Row = Mapping[str, object]

_NARROWEST = 10
_GAP = 3
"""Docker's columns: ten characters at least, three blanks at least between two."""


def write_list(
    context: Context,
    rows: Sequence[Row],
    *,
    form: str | None,
    table: str,
    headers: Row,
) -> None:
    """Print rows, one a line.

    `form` is what `--format` said: None or `table` for the default columns, `json` for an object a line, `table
    TEMPLATE` for other columns, or a template. `table` is the default template, its columns separated by tabs;
    `headers` has the title of each field. Raises TemplateError.
    """
    form = (form or "table").strip(" ")
    if form == "json":
        for row in rows:
            context.stdout.write(to_json(Line(row)) + "\n")
        return
    is_table = form.startswith("table")
    text = (form[5:].strip() or table) if is_table else form
    template = Template(text.replace("\\t", "\t").replace("\\n", "\n"))
    lines = [template.render(_safe(row)) for row in rows]
    if is_table:
        lines = align([template.render_titles(headers), *lines])
    for line in lines:
        context.stdout.write(printable(line) + "\n")


def write_objects(context: Context, objects: Sequence[Row], *, form: str | None) -> None:
    """Print what `inspect` found: an indented JSON array, `json` for one on one line, or a template for each."""
    if form is None or form == "":
        texts = [_raw(item, 4).replace("\n", "\n    ") for item in objects]
        context.stdout.write("[\n    " + ",\n    ".join(texts) + "\n]\n" if texts else "[]\n")
    elif form == "json":
        context.stdout.write("[" + ",".join(_raw(item, None) for item in objects) + "]\n")
    else:
        template = Template(form)
        for item in objects:
            write_text(context, template.render(item) + "\n")


_CONFIG: Row = {
    **dict.fromkeys(("Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Volumes")),
    **dict.fromkeys(("User", "WorkingDir"), ""),
}
"""What the engine shows of an image's configuration where the image says nothing of it."""


def _raw(item: Row, indent: int | None) -> str:
    """Encode an object as the engine sends it: an image with more of its configuration, and fit for HTML."""
    config = item.get("Config")
    if "RootFS" not in item or not isinstance(config, Mapping):
        return to_json(dict(item), indent=indent)
    whole = {**_CONFIG, **config}
    text = to_json({**item, "Config": {name: whole[name] for name in sorted(whole)}}, indent=indent)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_text(context: Context, text: str) -> None:
    """Print text that may hold what others chose: as it is to a file or pipe, with escapes to a terminal."""
    context.stdout.write(printable(text) if context.stdout.isatty() else text)


def align(lines: Sequence[str]) -> list[str]:
    """Align the cells of lines, which tabs end, in columns, as Go's tabwriter does with Docker's settings.

    The last cell of a line takes no part; a column is as wide as its widest cell needs.
    """
    table = [line.split("\t") for line in lines]
    widths: list[int] = []
    for row in table:
        for number, cell in enumerate(row[:-1]):
            width = max(_width(cell) + _GAP, _NARROWEST)
            if number < len(widths):
                widths[number] = max(widths[number], width)
            else:
                widths.append(width)
    return [
        "".join(cell + " " * (widths[number] - _width(cell)) for number, cell in enumerate(row[:-1])) + row[-1]
        for row in table
    ]


def _width(text: str) -> int:
    """Count terminal columns, wide characters as two."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) != 0 for character in text)


def _safe(row: Row) -> Row:
    return Line((name, one_line(value) if isinstance(value, str) else value) for name, value in row.items())


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return the key by which lists of names are ordered as people count: `web-2` before `web-10`."""
    key: list[tuple[int, int, str]] = []
    digits = ""
    for character in [*text, ""]:
        if character and character in "0123456789":
            digits += character
            continue
        if digits:
            number = digits.lstrip("0")
            key.append((ord("0"), len(number), number))
            digits = ""
        if character:
            key.append((ord(character), 0, ""))
    return key
