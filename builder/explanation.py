"""Say why a step had to run, for `build --explain`: each cause with what it was and what it is.

A step's parts are compared with those of the step that most likely was the same one the last time; where files differ,
the lists of files that are kept with records say which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from builder.filelists import changes
from builder.keys import Difference, differences
from frozen import Frozen, field, replace

if TYPE_CHECKING:
    from builder.interfaces import KeyParts
    from builder.records import Miss

_SHOWN = 10
"""How many causes the text form shows of one step; JSON has `_KEPT`."""
_KEPT = 100
_OF_FILES = ("sources", "mounts")
_WORDS = {"command": "command", "script": "command", "shell": "command", "epoch": "SOURCE_DATE_EPOCH"}


class Below(Frozen):
    """What a step stands on: an `image` with its `id`, or the step before, with its `line` and `text`.

    `values` are those of the variables that its own text names.
    """

    image: str = ""
    id: str = ""
    line: int = 0
    text: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    def with_values(self, statement: str, visible: Mapping[str, str]) -> Below:
        """Add the values of the variables that a statement names."""
        if "$" not in statement:
            return self
        import re  # part of every build

        names = sorted(set(re.findall(r"\$\{?(\w+)", statement)))
        return replace(self, values={name: visible[name] for name in names if name in visible})

    def to_json(self) -> str:
        document = {"image": self.image, "id": self.id, "text": self.text, "values": dict(self.values)}
        return json.dumps({name: value for name, value in document.items() if value})

    @staticmethod
    def of_json(text: str) -> Below:
        found = json.loads(text) if text else {}
        return Below(
            image=found.get("image", ""),
            id=found.get("id", ""),
            text=found.get("text", ""),
            values=found.get("values", {}),
        )


class Cause(Frozen):
    """One reason: `kind` is file, argument, environment, base, parent, command, option, instruction, or a state.

    `name` is the path, the variable or the option; `text` says it in words; `before` and `after` where they are known.
    """

    kind: str
    text: str
    name: str = ""
    changes: tuple[str, ...] = ()
    before: object = None
    after: object = None
    line: int | None = None

    def to_dict(self) -> dict[str, object]:
        found: dict[str, object] = {"kind": self.kind, "text": self.text}
        if self.name:
            found["name"] = self.name
        if self.changes:
            found["changes"] = list(self.changes)
        if self.before is not None or self.after is not None:
            found["before"] = self.before
            found["after"] = self.after
        if self.line is not None:
            found["line"] = self.line
        return found


class Explained(Frozen):
    """Why one step ran: its place in the Dockerfile, its text, the sentence, and the causes, the most telling first."""

    stage: str
    line: int
    name: str
    reason: str
    causes: tuple[Cause, ...]

    def to_dict(self) -> dict[str, object]:
        return {
            "stage": self.stage,
            "line": self.line,
            "name": self.name,
            "reason": self.reason,
            "causes": [cause.to_dict() for cause in self.causes],
        }


class Now(Frozen):
    """What a step is made of in this build: its parts, the list of its files, its surroundings."""

    parts: KeyParts
    files: bytes
    below: Below
    environment: Mapping[str, str]


def causes_of(miss: Miss, now: Now) -> tuple[Cause, ...]:
    """List why a step ran, at most a hundred causes."""
    earlier = miss.earlier
    if earlier is None:
        return (Cause(kind=miss.kind, text=miss.reason),)
    found: list[Cause] = []
    compared = False
    if "environment" not in now.parts:  # of RUN: there all variables count, not only those that its text names
        found += _variables(earlier.below.values, now)
    for difference in differences(earlier.parts, now.parts):
        if difference.name.startswith(_OF_FILES) and not compared:
            compared = True
            found += _files(earlier.files, now.files)
            if found and found[-1].kind == "file":
                continue
        elif difference.name.startswith(_OF_FILES) and any(cause.kind == "file" for cause in found):
            continue
        found.append(_cause(difference, earlier.below, now))
        if len(found) >= _KEPT:
            break
    if not found:
        return (Cause(kind=miss.kind, text=miss.reason),)
    return tuple(found[:_KEPT])


def _variables(before: Mapping[str, str], now: Now) -> Iterator[Cause]:
    after = now.below.values
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield _variable(Difference(name=name, before=before.get(name), after=after.get(name)), now)


def _variable(difference: Difference, now: Now) -> Cause:
    kind = "environment" if difference.name in now.environment else "argument"
    what = "environment variable" if kind == "environment" else "build argument"
    return Cause(
        kind=kind,
        text=f"{what} {difference}",
        name=difference.name,
        before=difference.before,
        after=difference.after,
    )


def _files(before: bytes, after: bytes) -> Iterator[Cause]:
    for change in changes(before, after):
        yield Cause(
            kind="file",
            text=str(change),
            name=change.path,
            changes=change.changes,
            before=change.before,
            after=change.after,
        )


def _cause(difference: Difference, below: Below, now: Now) -> Cause:
    name, before, after = difference.name, difference.before, difference.after
    if name == "parent":
        return _parent(below, now.below)
    if name == "semantics":
        return Cause(kind="version", text=str(difference))
    if name.startswith("environment."):
        return _variable(Difference(name=name.partition(".")[2], before=before, after=after), now)
    if name.startswith(_OF_FILES) or name.startswith("files"):
        kind = "mount" if name.startswith("mounts") else "source"
        return Cause(kind=kind, text=str(difference), name=name, before=before, after=after)
    kind = "command" if name.partition("[")[0] in ("command", "script") else "option"
    shown = _WORDS.get(name.partition("[")[0], name)
    text = shown + str(difference)[len(name) :]
    return Cause(kind=kind, text=text, name=name, before=before, after=after)


def _parent(before: Below, after: Below) -> Cause:
    if after.image:
        if before.image == after.image:
            text = f"base image {after.image}: {before.id} became {after.id}"
        elif before.image:
            text = f"base image: {before.image} became {after.image}"
        else:
            text = f"it now stands on the base image {after.image}"
        return Cause(
            kind="base", text=text, name=after.image, before=before.id or None, after=after.id, line=after.line or None
        )
    if not after.text:
        return Cause(kind="base", text="it now stands on nothing", before=before.id or None)
    same = before.text == after.text
    what = "has another result" if same else "is another one than last time"
    return Cause(
        kind="parent",
        text=f"the step before it, line {after.line}, {what}: {after.text}",
        name=after.text,
        line=after.line,
        before=None if same else before.text or None,
        after=None if same else after.text,
    )


def to_text(steps: tuple[Explained, ...], source: str, cached: int) -> str:
    """Word all of a build: each step that ran with its line, then its causes."""
    lines: list[str] = []
    for step in steps:
        lines.append(f"{source}:{step.line}: {step.name}")
        shown = step.causes if len(step.causes) <= _SHOWN else step.causes[: _SHOWN - 1]
        lines += [f"  {cause.text}" for cause in shown]
        if len(shown) < len(step.causes):
            lines.append(f"  and {len(step.causes) - len(shown)} more")
    if not steps:
        lines.append(f"every step was remembered ({cached})")
    return "\n".join(lines) + "\n"


def to_document(steps: tuple[Explained, ...], cached: int, image: str | None) -> dict[str, Any]:
    """Give the same as one JSON object."""
    return {"version": 1, "image": image, "cached": cached, "steps": [step.to_dict() for step in steps]}
