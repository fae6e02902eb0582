"""Check what a stage's instructions mean, one after the other, as a build goes through them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence

from frozen import Frozen
from grammar.errors import DockerfileError
from grammar.expansion import expand, expand_words
from grammar.ignore import IgnoreFile
from grammar.instructions import Copy, Env, ResolvedInstruction, Workdir
from grammar.lint import sensitive
from grammar.lint.bases import is_reference
from grammar.lint.findings import Collector
from grammar.lint.words import Asked, suggestion, undefined
from grammar.lint.written import keyword_of
from grammar.nodes import Instruction
from grammar.platforms import parse_platform
from grammar.quoting import quoted
from grammar.scope import Scope
from grammar.stages import Base

_NO_VARIABLES = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")
_ONCE = ("cmd", "entrypoint", "healthcheck")


class KnownBase(Frozen):
    """What the checks have to know of a base image: `environment` and `onbuild` as its config has them."""

    environment: tuple[str, ...] = ()
    onbuild: tuple[str, ...] = ()
    has_shell: bool = False
    platform: str = ""


FindBase = Callable[[Base], KnownBase | None]
"""Returns what is known of an image; None where it is not there, and nothing that depends on it is checked."""


class StageLines(Frozen):
    """One stage as it is checked: its FROM, what it stands on, and its instructions, triggers of the base first."""

    index: int
    begin: Instruction
    base: Base
    platform: str
    instructions: tuple[Instruction, ...]


class _State(Frozen):
    """What a stage passes on to those that stand on it. `certain` is False where the base is not known."""

    scope: Scope
    certain: bool
    has_shell: bool
    workdir_set: bool = False


class StageChecker:
    """Goes through stages in order, each after the one that it stands on."""

    def __init__(
        self,
        collector: Collector,
        *,
        open_scope: Callable[[Sequence[str]], Scope],
        find_base: FindBase,
        ignore: IgnoreFile | None,
        escape: str,
    ) -> None:
        self._collector = collector
        self._open_scope = open_scope
        self._find_base = find_base
        self._ignore = ignore
        self._escape = escape
        self._ends: dict[int, _State] = {}

    def check(self, stage: StageLines) -> None:
        """Check one stage. Raises DockerfileError with the line."""
        state = self._begin(stage)
        scope, has_shell, workdir_set = state.scope, state.has_shell, state.workdir_set
        used: dict[str, Instruction] = {}
        for node in stage.instructions:
            self._check_variables(node, scope, certain=state.certain)
            after, resolved = scope.apply(node)
            self._check_meaning(node, resolved, scope)
            if node.keyword in _ONCE:
                self._check_once(node, used)
            if node.keyword in ("cmd", "entrypoint") and node.form == "shell" and not has_shell:
                text = f"JSON arguments recommended for {keyword_of(node)} to prevent unintended behavior related to "
                self._collector.report("JSONArgsRecommended", text + "OS signals", node)
            if isinstance(resolved, Workdir):
                if not workdir_set and not resolved.path.startswith("/"):
                    path = quoted(resolved.path)
                    text = f"Relative workdir {path} can have unexpected results if the base image changes"
                    self._collector.report("WorkdirRelativePath", text, node)
                workdir_set = True
            has_shell = has_shell or node.keyword == "shell"
            scope = after
        self._ends[stage.index] = _State(
            scope=scope, certain=state.certain, has_shell=has_shell, workdir_set=workdir_set
        )

    def _begin(self, stage: StageLines) -> _State:
        base = stage.base
        if base.kind == "stage" and base.stage in self._ends:
            return self._ends[base.stage]
        if base.kind == "scratch":
            return _State(scope=self._open_scope(()), certain=True, has_shell=False)
        if base.kind == "image" and not is_reference(base.name):
            raise DockerfileError(
                f"failed to parse stage name {quoted(base.name)}: invalid reference format",
                line=stage.begin.start_line,
                hint="names of images are in lower case, as in registry.example/team/app:1.2",
            )
        known = self._find_base(base)
        if known is None:
            return _State(scope=self._open_scope(()), certain=False, has_shell=False)
        wanted = parse_platform(base.platform or stage.platform)
        offered = parse_platform(known.platform) if known.platform else wanted
        if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
            text = f'Base image {base.name} was pulled with platform "{offered}", expected "{wanted}" for current build'
            self._collector.report("InvalidBaseImagePlatform", text, stage.begin, comments=False)
        return _State(scope=self._open_scope(known.environment), certain=True, has_shell=known.has_shell)

    def _check_variables(self, node: Instruction, scope: Scope, *, certain: bool) -> None:
        """Check that what `node` uses is defined; only if it is `certain` what the base image defines."""
        if node.keyword == "arg":
            self._check_arguments(node, scope, certain=certain)
        elif certain:
            try:
                names = list(undefined(node, scope.visible, self._escape))
            except DockerfileError:
                return  # the same fault shows when the instruction is read
            self._report_undefined(names, node, scope.visible, scope.arguments)

    def _check_arguments(self, node: Instruction, scope: Scope, *, certain: bool) -> None:
        """Check the defaults that count; each word of one ARG sees those before it."""
        visible, declared = dict(scope.visible), dict(scope.arguments)
        for word in node.arguments:
            name, equals, default = word.partition("=")
            self._report_secret("ARG", name, node)
            value = scope.build_args.get(name)
            if value is None and equals:
                asked = Asked(visible)
                try:
                    value = expand(default, asked, self._escape)
                except DockerfileError:
                    return
                missed = sorted(asked.missed) if certain else ()
                self._report_undefined(missed, node, visible, declared)
            elif value is None:
                value = scope.global_args.get(name)
            if value is not None:
                visible[name] = value
            declared[name] = value

    def _report_undefined(
        self,
        names: Sequence[str],
        node: Instruction,
        visible: Mapping[str, str],
        declared: Mapping[str, str | None],
    ) -> None:
        for name in names:
            if name not in declared and name not in _NO_VARIABLES:
                near = suggestion(name, visible)
                hint = f" (did you mean ${near}?)" if near else ""
                self._collector.report("UndefinedVar", f"Usage of undefined variable '${name}'{hint}", node)

    def _check_meaning(self, node: Instruction, resolved: ResolvedInstruction, scope: Scope) -> None:
        if node.keyword in ("env", "label") and _is_legacy(node):
            keyword = keyword_of(node)
            text = f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" format'
            self._collector.report("LegacyKeyValueFormat", text, node)
        if isinstance(resolved, Env):
            for name, _ in resolved.variables:
                self._report_secret("ENV", name, node)
        elif isinstance(resolved, Copy):
            self._check_ignored(node, resolved)
        elif node.keyword == "expose":
            self._check_ports(node, scope)

    def _report_secret(self, keyword: str, name: str, node: Instruction) -> None:
        if sensitive.is_secret(name):
            text = f"Do not use ARG or ENV instructions for sensitive data ({keyword} {quoted(name)})"
            self._collector.report("SecretsUsedInArgOrEnv", text, node)

    def _check_once(self, node: Instruction, used: dict[str, Instruction]) -> None:
        """Report an earlier instruction of which only this one counts, at the place of the earlier one."""
        earlier = used.get(node.keyword)
        if earlier is not None:
            text = (
                f"Multiple {keyword_of(node)} instructions should not be used in the same stage because only the last "
                "one will be used"
            )
            settings = self._collector.settings.with_comment(node.comment)
            self._collector.add("MultipleInstructionsDisallowed", text, earlier.start_line, earlier.end_line, settings)
        used[node.keyword] = node

    def _check_ignored(self, node: Instruction, copy: Copy) -> None:
        """Check whether sources are left out of the context; with exceptions in the ignore file that is too hard."""
        ignore = self._ignore
        if ignore is None or ignore.reincludes or copy.from_ is not None:
            return
        for source in copy.sources:
            if source.startswith(_REMOTE):
                continue
            path = _cleaned(source)
            if path.startswith("/") and path != "/":
                continue  # patterns are matched with it as it is written, and none begins with a slash
            if ignore.excludes_all if path in (".", "/") else ignore.excludes(path):
                verb = "Copy" if copy.keyword == "copy" else "Add"
                text = f"Attempting to {verb} file {quoted(path)} that is excluded by .dockerignore"
                self._collector.report("CopyIgnoredFile", text, node)

    def _check_ports(self, node: Instruction, scope: Scope) -> None:
        for word in sorted(node.arguments):
            for port in expand_words(word, scope.visible, self._escape):
                address, _, protocol = port.partition("/")
                if protocol != protocol.lower():
                    text = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                    self._collector.report("ExposeProtoCasing", text, node)
                if ":" in address:
                    text = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                    self._collector.report("ExposeInvalidFormat", text, node)


def _is_legacy(node: Instruction) -> bool:
    """Tell whether ENV or LABEL is written `name value`."""
    text = node.source.lstrip()[len(node.keyword) :].lstrip()
    return bool(node.arguments) and not text.startswith(node.arguments[0] + "=")


def _cleaned(path: str) -> str:
    """Return a path as Go's filepath.Clean gives it."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned
