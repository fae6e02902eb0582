"""Read annotations and give each document its own: `--annotation`, and `annotation.KEY=VALUE` of an output.

Levels are those of buildx: `manifest` (what goes without saying), `index`, and the descriptors of both. A platform in
brackets chooses one image of an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from frozen import Frozen
from runtime.errors import UsageError
from runtime.oci.platforms import parse_platform

LEVELS = ("manifest", "index", "manifest-descriptor", "index-descriptor")
_LEVEL = r"(?P<level>manifest-descriptor|index-descriptor|manifest|index)(?:\[(?P<platform>[^\]]+)\])?"
_FIELD = re.compile(rf"annotation(?:-{_LEVEL})?(?:\[(?P<only>[^\]]+)\])?\.(?P<key>.+)")


class Annotation(Frozen):
    """One annotation; `platform` None is every image."""

    level: str
    platform: str | None
    key: str
    value: str


def read_annotations(words: Iterable[str]) -> tuple[Annotation, ...]:
    """Read `--annotation [LEVEL[PLATFORM],…:]KEY=VALUE`: a colon in front of the `=` ends levels. Raises UsageError."""
    found: list[Annotation] = []
    for word in words:
        name, equals, value = word.partition("=")
        targets, colon, key = name.partition(":")
        if not colon:
            targets, key = "manifest", name
        if not equals or not key:
            raise UsageError(f'invalid argument "{word}" for "--annotation" flag', hint="write KEY=VALUE")
        for target in targets.split(","):
            one = re.fullmatch(_LEVEL, target)
            if one is None:
                raise UsageError(
                    f'invalid argument "{word}" for "--annotation" flag: there is no level "{target}"',
                    hint=f"write one of {', '.join(LEVELS)}, a manifest's perhaps with [PLATFORM]",
                )
            found.append(_made(one["level"], one["platform"], key, value))
    return tuple(found)


def read_field(name: str, value: str) -> Annotation | None:
    """Read an attribute of an output, as `annotation-index.KEY`; None for one that is no annotation."""
    match = _FIELD.fullmatch(name)
    if match is None:
        return None
    return _made(match["level"] or "manifest", match["platform"] or match["only"], match["key"], value)


def chosen(annotations: Sequence[Annotation], level: str, platform: str | None = None) -> Mapping[str, str]:
    """Give the annotations of one document; later ones win."""
    return {
        item.key: item.value
        for item in annotations
        if item.level == level and (item.platform is None or platform is None or item.platform == platform)
    }


def _made(level: str, platform: str | None, key: str, value: str) -> Annotation:
    if platform is not None:
        if level.startswith("index"):
            raise UsageError(f"annotation {key}: an index has no platform [{platform}]")
        platform = str(parse_platform(platform))
    return Annotation(level=level, platform=platform, key=key, value=value)
