"""Follow the variables of a stage from line to line.

ENV and ARG share one name space for expansion, in which the later line wins; only ENV reaches the image. A stage made
`FROM` another one starts with all that the other had at its end, ARG values included, so its first scope simply is
the other's last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frozen import Frozen, field
from grammar.instructions import Arg, Env, ResolvedInstruction
from grammar.nodes import Instruction
from grammar.resolution import resolve

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What PATH is where the base image does not set it."""

PROXIES = tuple(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)
"""Arguments that need no ARG: RUN sees them where they are given, and they do not count for the cache."""


class Scope(Frozen):
    """The variables that one line of a stage sees. All mappings keep the order in which names first appeared."""

    visible: Mapping[str, str] = field(default_factory=dict)
    """What expansion and RUN see: ENV and ARG together."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """ENV alone, the base image's included: what the image keeps."""
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    """The arguments declared so far, and the value each got; None where there is none."""
    global_args: Mapping[str, str] = field(default_factory=dict)
    build_args: Mapping[str, str] = field(default_factory=dict)
    escape: str = "\\"

    @classmethod
    def open(
        cls,
        environment: Iterable[str] = (),
        *,
        global_args: Mapping[str, str] | None = None,
        build_args: Mapping[str, str] | None = None,
        escape: str = "\\",
    ) -> Scope:
        """Return the scope in which a stage begins whose base has `environment` (`NAME=value`, as in a config)."""
        variables = base_environment(environment)
        return cls(
            visible=variables,
            environment=dict(variables),
            global_args=global_args or {},
            build_args=build_args or {},
            escape=escape,
        )

    def apply(self, node: Instruction) -> tuple[Scope, ResolvedInstruction]:
        """Return what `node` means here, and the scope of the line after it.

        Raises DockerfileError with the line.
        """
        resolved = resolve(node, self.visible, self.escape, given=self.build_args, inherited=self.global_args)
        if not isinstance(resolved, Env | Arg):
            return self, resolved
        visible, environment, arguments = dict(self.visible), dict(self.environment), dict(self.arguments)
        if isinstance(resolved, Env):
            visible.update(resolved.variables)
            environment.update(resolved.variables)
        else:
            for argument in resolved.arguments:
                if argument.value is not None:
                    visible[argument.name] = argument.value
                arguments[argument.name] = visible.get(argument.name)
        after = Scope(
            visible=visible,
            environment=environment,
            arguments=arguments,
            global_args=self.global_args,
            build_args=self.build_args,
            escape=self.escape,
        )
        return after, resolved

    @property
    def proxies(self) -> dict[str, str]:
        """Return the predeclared proxy arguments that were given, each in both cases; of both the lower case counts."""
        given: dict[str, str] = {}
        for upper, lower in zip(PROXIES[::2], PROXIES[1::2], strict=True):
            value = self.build_args.get(lower, self.build_args.get(upper))
            if value:
                given[upper] = given[lower] = value
        return given

    def visible_for_run(self) -> dict[str, str]:
        """Return the environment of a RUN: what is visible, and the proxies, whatever else sets them."""
        return {**self.visible, **self.proxies}


def base_environment(environment: Iterable[str]) -> dict[str, str]:
    """Return an image's `NAME=value` list as a mapping in order; PATH is always in it."""
    variables: dict[str, str] = {}
    for entry in environment:
        name, _, value = entry.partition("=")
        variables[name] = value
    variables.setdefault("PATH", DEFAULT_PATH)
    return variables
