"""Choose images by Docker's filters: `--filter dangling=true`, `label=…`, `before=…`, `reference=…` and the like."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from runtime.errors import DocumentError, UsageError
from runtime.oci.moments import parse_moment
from runtime.oci.references import Reference
from runtime.oci.times import parse_time
from runtime.store.images import Image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.store.facade import Store

Test = Callable[[Image], bool]

_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}

IMAGE_FILTERS = ("before", "dangling", "label", "label!", "reference", "since", "until")


def image_filter(store: Store, filters: Sequence[str], allowed: Sequence[str] = IMAGE_FILTERS) -> Test:
    """Make a test of `NAME=VALUE` filters; values of one name are alternatives, but every label must be there.

    Raises UsageError for a wrong filter, NotFound for an image that `before` or `since` names and that is not there.
    """
    values: dict[str, list[str]] = {}
    for text in filters:
        name, equals, value = text.partition("=")
        if name.endswith("!"):
            name, value = f"{name[:-1].strip()}!", value.strip()
        if not equals:
            raise UsageError(f"invalid filter {text!a}", hint="a filter is written NAME=VALUE")
        if name not in allowed:
            raise UsageError(f"invalid filter {name!a}", hint="the filters are " + ", ".join(allowed))
        values.setdefault(name, []).append(value)
    tests = [_TESTS[name](store, found) for name, found in values.items()]
    return lambda image: all(test(image) for test in tests)


def _dangling(_store: Store, values: Sequence[str]) -> Test:
    """Both choose an image that has digests alone, as in Docker."""
    wanted = {_boolean("dangling", value) for value in values}
    return lambda image: bool(
        (True in wanted and not image.names) or (False in wanted and (image.names or image.digests))
    )


def _label(_store: Store, values: Sequence[str]) -> Test:
    return lambda image: all(has_label(image, value) for value in values)


def _no_label(_store: Store, values: Sequence[str]) -> Test:
    return lambda image: not any(has_label(image, value) for value in values)


def _reference(_store: Store, values: Sequence[str]) -> Test:
    return lambda image: any(name_matches(name, values) for name in (*image.names, *image.digests))


def _before(store: Store, values: Sequence[str]) -> Test:
    limit = min(_created(store.images.require(value)) for value in values)
    return lambda image: _created(image) < limit


def _since(store: Store, values: Sequence[str]) -> Test:
    limit = max(_created(store.images.require(value)) for value in values)
    return lambda image: _created(image) > limit


def _until(store: Store, values: Sequence[str]) -> Test:
    limit = min(parse_moment(value, store.context.now(), "until") for value in values)
    return lambda image: _created(image)[0] < limit


_TESTS: dict[str, Callable[[Store, Sequence[str]], Test]] = {
    "dangling": _dangling,
    "label": _label,
    "label!": _no_label,
    "reference": _reference,
    "before": _before,
    "since": _since,
    "until": _until,
}


def has_label(image: Image, wanted: str) -> bool:
    """Tell whether an image has the label `name` or `name=value`."""
    name, equals, value = wanted.partition("=")
    labels = image.config.config.labels
    return name in labels and (not equals or labels[name] == value)


def name_matches(name: Reference, patterns: Sequence[str]) -> bool:
    """Tell whether a name, with or without its tag, is like one of the shell patterns."""
    spellings = (name.familiar(), name.familiar_name, str(name), name.name)
    return any(_pattern(pattern).fullmatch(text) for pattern in patterns for text in spellings)


def created_at(image: Image) -> int:
    """Give the time of an image in nanoseconds since the epoch, 0 for none."""
    return _created(image)[0]


def _created(image: Image) -> tuple[int, int]:
    """Order images by their time, those of one time by when they came."""
    try:
        return parse_time(image.config.created or ""), image.sequence
    except DocumentError:
        return 0, image.sequence


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in _BOOLEANS:
        raise UsageError(f"invalid filter '{name}={value}'", hint=f"write {name}=true or {name}=false")
    return _BOOLEANS[value.lower()]


def _pattern(pattern: str) -> re.Pattern[str]:
    """Translate a pattern of Go's path.Match: `*` and `?` stay within a component."""
    parts = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            parts.append("[^/]*")
        elif character == "?":
            parts.append("[^/]")
        elif character == "[" and (end := pattern.find("]", position)) > position:
            inner = pattern[position:end].replace("\\", "\\\\").replace("[", "\\[")
            parts.append(f"[{inner}]")
            position = end + 1
        elif character == "\\" and position < len(pattern):
            parts.append(re.escape(pattern[position]))
            position += 1
        else:
            parts.append(re.escape(character))
    try:
        return re.compile("".join(parts))
    except re.error:
        raise UsageError(f"invalid pattern {pattern!a}") from None
