"""Read which checks are wanted: `skip=NAME,…;error=true;experimental=NAME,…`, each with `all` for names.

They stand in the directive `# check=` or in the build argument BUILDKIT_DOCKERFILE_CHECK, and hold for the file; in
a comment `# check=` right above an instruction they hold for it, on top of the file's.
"""

from __future__ import annotations

import re

from frozen import Frozen, replace
from grammar.errors import DockerfileError
from grammar.lint.rules import Rule
from grammar.nearest import did_you_mean
from grammar.quoting import quoted
from grammar.values import boolean

_COMMENT = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_OPTIONS = ("skip", "error", "experimental")


class Settings(Frozen):
    """Which rules count. `error` says that a finding ends the build."""

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False
    error: bool = False

    def want(self, rule: Rule) -> bool:
        """Tell whether `rule` is to be checked."""
        if rule.experimental:
            return self.experimental_all or rule.name in self.experimental
        return not self.skip_all and rule.name not in self.skip

    def with_comment(self, comment: str) -> Settings:
        """Return these settings with those of the first `check=` line of a comment; one that is wrong is none."""
        for line in comment.splitlines():
            match = _COMMENT.fullmatch(line)
            if match is None or match[1].lower() != "check":
                continue
            try:
                other = read_settings(match[2].partition(" ")[0])
            except DockerfileError:
                return self
            return replace(
                self,
                skip=self.skip | other.skip,
                skip_all=self.skip_all or other.skip_all,
                experimental=self.experimental | other.experimental,
                experimental_all=self.experimental_all or other.experimental_all,
            )
        return self


def read_settings(text: str) -> Settings:
    """Read the options of one line. Raises DockerfileError without a line."""
    settings = Settings()
    for option in text.strip().split(";", 2) if text.strip() else ():
        name, equals, value = option.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in _OPTIONS:
            raise DockerfileError(
                f"invalid check option {quoted(name if equals else option)}",
                hint=did_you_mean(name, _OPTIONS) or "write skip=NAME,…;error=true;experimental=NAME,…",
            )
        if name == "error":
            settings = replace(settings, error=_truth(option, value))
        elif value == "all":
            settings = replace(settings, **{f"{name}_all": True})
        else:
            settings = replace(settings, **{name: frozenset(word.strip() for word in value.split(","))})
    return settings


def _truth(option: str, value: str) -> bool:
    try:
        return boolean("error", value)
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse check option {quoted(option)}", hint=error.hint) from error
