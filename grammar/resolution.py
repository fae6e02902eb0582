"""Read what an instruction means where it stands: its words with the variables expanded that its line sees.

Variables expand in ADD, COPY, ENV, LABEL, EXPOSE, STOPSIGNAL, USER, VOLUME, WORKDIR, in defaults of ARG and in the
fields of RUN's mounts; of FROM, the graph expands them. Not in the text of RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import cast

from frozen import Frozen
from grammar import instructions as typed
from grammar.checks import HEREDOC_MARKER, Written, validate
from grammar.errors import DockerfileError
from grammar.expansion import expand, expand_heredoc, expand_words
from grammar.instructions import ResolvedInstruction
from grammar.mounts import read_device, read_mount
from grammar.nodes import Heredoc, Instruction
from grammar.values import interval, mode, port_list, port_range, retries, signal

_MARKER_ALONE = re.compile(r"""\s*\d*<<-?\s*(?:\\.|[^\s'"<\\]|'[^'<]*'|"[^"<]*")+\s*""", re.DOTALL)
_REMOTE = ("http://", "https://")
_FETCHED = (*_REMOTE, "git://", "ssh://")


class _Line(Frozen, kw_only=False):
    """One instruction and the variables that its line sees."""

    written: Written
    environment: Mapping[str, str]
    given: Mapping[str, str]
    inherited: Mapping[str, str]

    @property
    def words(self) -> tuple[str, ...]:
        return self.written.node.arguments

    def expand(self, word: str) -> str:
        return expand(word, self.environment, self.written.escape)

    def text(self, flag: str) -> str | None:
        """Return a flag's value, expanded; an empty one counts as not given."""
        value = self.written.flags.text(flag)
        return None if value is None else self.expand(value) or None


def resolve(
    node: Instruction,
    environment: Mapping[str, str],
    escape: str = "\\",
    *,
    given: Mapping[str, str] | None = None,
    inherited: Mapping[str, str] | None = None,
) -> ResolvedInstruction:
    """Return what `node` means where `environment` is seen.

    `given` are the build's arguments and `inherited` the global ones, both for ARG alone: the first win over a
    default, and the second stand in for a missing one. Raises DockerfileError with the line.
    """
    line = _Line(validate(node, escape), environment, given or {}, inherited or {})
    try:
        return _READERS[node.keyword](line)
    except DockerfileError as error:
        raise error.at(node.start_line) from None


def trigger_text(node: Instruction) -> str:
    """Return the text of an ONBUILD's instruction as an image's config keeps it, here-documents included."""
    parts = [re.sub(r"\s*ONBUILD\s*", "", node.source, count=1, flags=re.IGNORECASE)]
    heredocs = node.heredocs or (node.trigger.heredocs if node.trigger is not None else ())
    parts += (heredoc.body + heredoc.delimiter for heredoc in heredocs)
    return "\n".join(parts)


def _from(line: _Line) -> typed.From:
    image = line.expand(line.words[0])
    if not image:
        raise DockerfileError(
            f"base name ({line.words[0]}) should not be blank",
            hint="give the variable a default with ARG before FROM, or a value with --build-arg",
        )
    name = line.words[2].lower() if len(line.words) == 3 else ""
    written = line.written.flags.text("platform")
    platform = line.text("platform")
    if written is not None and platform is None:
        raise DockerfileError(f"empty platform value from expression {written}", hint="write --platform=linux/amd64")
    return typed.From(image=image, platform=platform, name=name)


def _run(line: _Line) -> typed.Run:
    node, flags = line.written.node, line.written.flags
    text = "" if node.form == "exec" else " ".join(node.arguments)
    script = None
    if node.heredocs and node.form == "shell":
        text, script = _shell_input(text, node.heredocs)
    return typed.Run(
        command=node.arguments if node.form == "exec" else text,
        form=node.form,
        heredocs=node.heredocs,
        script=script,
        mounts=tuple(read_mount(mount, line.expand) for mount in flags.texts("mount")),
        network=cast(typed.NetworkMode, flags.text("network") or "default"),
        security=cast(typed.SecurityMode, flags.text("security") or "sandbox"),
        devices=tuple(read_device(device) for device in flags.texts("device")),
    )


def _shell_input(text: str, heredocs: tuple[Heredoc, ...]) -> tuple[str, typed.InlineFile | None]:
    """Return what the shell is to run, or an empty text and the file to run in its place.

    A marker with nothing else makes the body a script; one that begins with `#!` names its own interpreter. With a
    command, the shell reads command and bodies as they stood.
    """
    if len(heredocs) == 1 and _MARKER_ALONE.fullmatch(text):
        content = heredocs[0].content
        if not content.startswith("#!"):
            return content, None
        return "", typed.InlineFile(name=heredocs[0].delimiter, content=content)
    return "\n".join([text, *(heredoc.body + heredoc.delimiter for heredoc in heredocs)]), None


def _copy(line: _Line) -> typed.Copy:
    node, flags = line.written.node, line.written.flags
    *words, destination = node.arguments
    heredocs = iter(node.heredocs if node.form == "shell" else ())
    sources: list[str] = []
    files: list[typed.InlineFile] = []
    for word in words:
        heredoc = next(heredocs, None) if HEREDOC_MARKER.fullmatch(word) else None
        if heredoc is not None:
            files.append(_inline_file(line, heredoc))
        else:
            sources.append(line.expand(word))
    chmod = line.text("chmod")
    checksum = line.text("checksum")
    _check_sources(node, sources, checksum)
    return typed.Copy(
        keyword="add" if node.keyword == "add" else "copy",
        sources=tuple(sources),
        files=tuple(files),
        destination=line.expand(destination),
        from_=flags.text("from"),
        chown=line.text("chown"),
        chmod=None if chmod is None else mode(chmod),
        link=flags.switch("link") or False,
        parents=flags.switch("parents") or False,
        excludes=flags.texts("exclude"),
        checksum=checksum,
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
    )


def _inline_file(line: _Line, heredoc: Heredoc) -> typed.InlineFile:
    name = heredoc.delimiter
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise DockerfileError(f'"{name}" cannot be the name of a file', hint="give the here-document a plain name")
    content = expand_heredoc(heredoc.content, line.environment) if heredoc.expand else heredoc.content
    return typed.InlineFile(name=name, content=content)


def _check_sources(node: Instruction, sources: list[str], checksum: str | None) -> None:
    """Refuse remote sources of COPY, and a checksum that would not say what it is of."""
    if node.keyword == "copy":
        for source in sources:
            if source.startswith(_REMOTE):
                raise DockerfileError(f"source can't be a URL for COPY: {source}", hint="ADD fetches URLs")
            if source.startswith(("git://", "git@")):
                raise DockerfileError(f"source can't be a git ref for COPY: {source}", hint="ADD fetches repositories")
    elif checksum is not None:
        if len(sources) != 1:
            raise DockerfileError("checksum can't be specified for multiple sources", hint="use one ADD a source")
        host = sources[0].partition(":")[0]
        if not sources[0].startswith(_FETCHED) and "@" not in host:  # git@HOST:PATH is one as well
            raise DockerfileError(f"checksum requires HTTP(S) or Git sources: {sources[0]}")


def _env(line: _Line) -> typed.Env:
    variables = tuple((line.expand(name), line.expand(value)) for name, value in _pairs(line))
    for (name, _), (written, _) in zip(variables, _pairs(line), strict=True):
        if not name:
            raise DockerfileError(f"ENV names can not be blank: {written} expands to nothing")
    return typed.Env(variables=variables)


def _label(line: _Line) -> typed.Label:
    return typed.Label(labels=tuple((line.expand(name), line.expand(value)) for name, value in _pairs(line)))


def _pairs(line: _Line) -> tuple[tuple[str, str], ...]:
    return tuple(zip(line.words[::2], line.words[1::2], strict=False))


def _arg(line: _Line) -> typed.Arg:
    """Read the words of ARG one after the other: each sees those before it.

    A default that is not used is not expanded, so that a fault in it does not count.
    """
    earlier: dict[str, str] = {}
    environment = ChainMap(earlier, cast(dict[str, str], line.environment))  # only `earlier` is ever written
    arguments: list[typed.Argument] = []
    for word in line.words:
        name, equals, default = word.partition("=")
        value: str | None
        if name in line.given:
            value = line.given[name]
        elif equals:
            value = expand(default, environment, line.written.escape)
        else:
            value = line.inherited.get(name)
        if value is not None:
            earlier[name] = value
        arguments.append(typed.Argument(name=name, value=value))
    return typed.Arg(arguments=tuple(arguments))


def _workdir(line: _Line) -> typed.Workdir:
    return typed.Workdir(path=line.expand(_only_word(line)))


def _user(line: _Line) -> typed.User:
    return typed.User(user=line.expand(_only_word(line)))


def _stopsignal(line: _Line) -> typed.StopSignal:
    return typed.StopSignal(signal=signal(line.expand(_only_word(line))))


def _maintainer(line: _Line) -> typed.Maintainer:
    return typed.Maintainer(name=_only_word(line))


def _only_word(line: _Line) -> str:
    return next(word for word in line.words if word)


def _expose(line: _Line) -> typed.Expose:
    """Read the ports in the order of the words as written, sorted; only here one word may expand to several."""
    words = (port for word in sorted(line.words) for port in expand_words(word, line.environment, line.written.escape))
    return typed.Expose(ports=port_list(map(port_range, words)))


def _volume(line: _Line) -> typed.Volume:
    paths = tuple(line.expand(word.strip()) for word in line.words)
    if not all(paths):
        raise DockerfileError(
            f"VOLUME specified can not be an empty string: {' '.join(line.words)}", hint="a variable in it is not set"
        )
    return typed.Volume(paths=paths)


def _command(line: _Line) -> str | tuple[str, ...]:
    return line.words if line.written.node.form == "exec" else " ".join(line.words)


def _cmd(line: _Line) -> typed.Cmd:
    return typed.Cmd(command=_command(line), form=line.written.node.form)


def _entrypoint(line: _Line) -> typed.Entrypoint:
    return typed.Entrypoint(command=_command(line), form=line.written.node.form)


def _shell(line: _Line) -> typed.Shell:
    return typed.Shell(command=line.words)


def _healthcheck(line: _Line) -> typed.Healthcheck:
    node, flags = line.written.node, line.written.flags
    kind, *words = node.arguments
    if kind.upper() == "NONE":
        return typed.Healthcheck(test=("NONE",))
    return typed.Healthcheck(
        test=("CMD", *words) if node.form == "exec" else ("CMD-SHELL", " ".join(words)),
        interval=interval("interval", flags.text("interval")),
        timeout=interval("timeout", flags.text("timeout")),
        start_period=interval("start-period", flags.text("start-period")),
        start_interval=interval("start-interval", flags.text("start-interval")),
        retries=retries(flags.text("retries")),
    )


def _onbuild(line: _Line) -> typed.Onbuild:
    return typed.Onbuild(trigger=trigger_text(line.written.node))


_READERS: Mapping[str, Callable[[_Line], ResolvedInstruction]] = {
    "add": _copy,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
