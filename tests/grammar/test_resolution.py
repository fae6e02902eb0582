"""What each instruction means, and what is refused: with its line, the word as written, and a hint."""

from __future__ import annotations

import pytest

from frozen import replace
from grammar import instructions as typed
from grammar.checks import validate
from grammar.errors import DockerfileError
from grammar.instructions import Mount, ResolvedInstruction
from grammar.nodes import Instruction
from grammar.parser import parse
from grammar.resolution import resolve

ENV = {"A": "x y", "B": "b", "P": "80 81", "Q": '"'}
SECOND = 1_000_000_000


def node(text: str) -> Instruction:
    return parse(text).instructions[0]


def meaning(text: str, escape: str = "\\") -> ResolvedInstruction:
    return resolve(node(text), ENV, escape)


MEANINGS: list[tuple[str, ResolvedInstruction]] = [
    ("ENV a=1 b=$B", typed.Env(variables=(("a", "1"), ("b", "b")))),
    ("ENV a $A  z", typed.Env(variables=(("a", "x y  z"),))),
    ("ENV a=$A 'b c'=\"d\"", typed.Env(variables=(("a", "x y"), ("b c", "d")))),
    ("ENV $B=1", typed.Env(variables=(("b", "1"),))),
    ("ENV B=2 c=$B", typed.Env(variables=(("B", "2"), ("c", "b")))),
    ('LABEL "x y"=1 z="$A"', typed.Label(labels=(("x y", "1"), ("z", "x y")))),
    ("WORKDIR /a b", typed.Workdir(path="/a b")),
    ('WORKDIR "/$B c"', typed.Workdir(path="/b c")),
    ("USER $B:1", typed.User(user="b:1")),
    ("USER ${U}", typed.User(user="")),
    ("EXPOSE 80", typed.Expose(ports=("80/tcp",))),
    ("EXPOSE 9/UDP 80 $P", typed.Expose(ports=("80/tcp", "81/tcp", "80/tcp", "9/udp"))),
    ("EXPOSE 8000-8002", typed.Expose(ports=("8000/tcp", "8001/tcp", "8002/tcp"))),
    ("EXPOSE 80-81:90 127.0.0.1:1:2 [::1]::3", typed.Expose(ports=("2/tcp", "90/tcp", "3/tcp"))),
    ("EXPOSE 80 80 79-81", typed.Expose(ports=("79/tcp", "80/tcp", "81/tcp", "80/tcp", "80/tcp"))),
    ("EXPOSE $U", typed.Expose(ports=())),
    ("VOLUME /a $B", typed.Volume(paths=("/a", "b"))),
    ('VOLUME ["/a b", "$B"]', typed.Volume(paths=("/a b", "b"))),
    ("STOPSIGNAL SIGTERM", typed.StopSignal(signal="SIGTERM")),
    ("STOPSIGNAL ${S:-9}", typed.StopSignal(signal="9")),
    ("STOPSIGNAL rtmin+3", typed.StopSignal(signal="rtmin+3")),
    ("CMD a $B", typed.Cmd(command="a $B", form="shell")),
    ('CMD ["a", "$B"]', typed.Cmd(command=("a", "$B"), form="exec")),
    ("CMD []", typed.Cmd(command=(), form="exec")),
    ("ENTRYPOINT a 'b'", typed.Entrypoint(command="a 'b'", form="shell")),
    ('SHELL ["/bin/bash", "-c"]', typed.Shell(command=("/bin/bash", "-c"))),
    ("MAINTAINER a $B <c@d>", typed.Maintainer(name="a $B <c@d>")),
    ("HEALTHCHECK NONE", typed.Healthcheck(test=("NONE",))),
    ("HEALTHCHECK --interval=5s none", typed.Healthcheck(test=("NONE",))),
    ('HEALTHCHECK CMD [""]', typed.Healthcheck(test=("CMD", ""))),
    ('SHELL [""]', typed.Shell(command=("",))),
    ("HEALTHCHECK CMD a $B", typed.Healthcheck(test=("CMD-SHELL", "a $B"))),
    (
        'HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1h --start-interval=2s --retries=3 cmd ["a"]',
        typed.Healthcheck(
            test=("CMD", "a"),
            interval=90 * SECOND,
            timeout=SECOND // 2,
            start_period=3600 * SECOND,
            start_interval=2 * SECOND,
            retries=3,
        ),
    ),
    ("ONBUILD RUN a  $B", typed.Onbuild(trigger="RUN a  $B")),
    ("ONBUILD ENV a=b \t", typed.Onbuild(trigger="ENV a=b \t")),
    ("onbuild   copy . /x", typed.Onbuild(trigger="copy . /x")),
    ("ONBUILD COPY <<E /x\n$B\nE\n", typed.Onbuild(trigger="COPY <<E /x\n$B\nE")),
    ("FROM a AS B1", typed.From(image="a", name="b1")),
    ("FROM --platform=linux/$B a:${B}", typed.From(image="a:b", platform="linux/b")),
    ("RUN a $B", typed.Run(command="a $B")),
    ("RUN", typed.Run(command="")),
    ('RUN ["a", "$B"]', typed.Run(command=("a", "$B"), form="exec")),
    ("RUN --network=none --security=insecure a", typed.Run(command="a", network="none", security="insecure")),
    ("RUN --device=v/c=d,required a", typed.Run(command="a", devices=(typed.Device(name="v/c=d", required=True),))),
    ("RUN --mount=target=/a x", typed.Run(command="x", mounts=(Mount(target="/a"),))),
    ("COPY a '$B' /c", typed.Copy(keyword="copy", sources=("a", "$B"), destination="/c")),
    ('COPY ["a b", "$B"]', typed.Copy(keyword="copy", sources=("a b",), destination="b")),
    (
        "COPY --from=0 --chown=$B:1 --chmod=0755 --link --parents=false --exclude=*.o --exclude=$B a b",
        typed.Copy(
            keyword="copy",
            sources=("a",),
            destination="b",
            from_="0",
            chown="b:1",
            chmod="0755",
            link=True,
            excludes=("*.o", "$B"),
        ),
    ),
    ("COPY --chmod=u=rwX,go+r a b", typed.Copy(keyword="copy", sources=("a",), destination="b", chmod="u=rwX,go+r")),
    (
        "ADD --checksum=sha256:1 --keep-git-dir --unpack=false http://h/f /d",
        typed.Copy(
            keyword="add",
            sources=("http://h/f",),
            destination="/d",
            checksum="sha256:1",
            keep_git_dir=True,
            unpack=False,
        ),
    ),
]


@pytest.mark.parametrize(("text", "expected"), MEANINGS)
def test_an_instruction_means(text: str, expected: ResolvedInstruction) -> None:
    assert meaning(text) == expected


def test_heredocs_of_copy_are_files_in_order_and_expand_unless_quoted() -> None:
    found = meaning("COPY <<A x <<'B' /d\n$B \"q\" \\$B\nA\n$B\nB\n")
    assert isinstance(found, typed.Copy)
    assert found.sources == ("x",)
    assert found.files == (
        typed.InlineFile(name="A", content='b "q" $B\n'),
        typed.InlineFile(name="B", content="$B\n"),
    )


@pytest.mark.parametrize(
    ("text", "command", "script"),
    [
        ("RUN <<E\na\nE\n", "a\n", None),
        ("RUN <<-E\n\ta\n\tE\n", "a\n", None),
        ("RUN << E\na\nE\n", "a\n", None),
        ("RUN <<'E F'\na\nE F\n", "a\n", None),
        ("RUN <<E\n#!/bin/sh\na\nE\n", "", typed.InlineFile(name="E", content="#!/bin/sh\na\n")),
        ("RUN cat <<E && x\na\nE\n", "cat <<E && x\na\nE", None),
        ("RUN <<E cat\na\nE\n", "<<E cat\na\nE", None),
        ("RUN <<A <<B\na\nA\nb\nB\n", "<<A <<B\na\nA\nb\nB", None),
    ],
)
def test_heredocs_of_run_are_a_script_or_go_to_the_shell(
    text: str, command: str, script: typed.InlineFile | None
) -> None:
    found = meaning(text)
    assert isinstance(found, typed.Run)
    assert (found.command, found.script) == (command, script)


MOUNTS = [
    ("type=bind,source=a,target=/b", Mount(source="a", target="/b")),
    ("src=$B,dst=/x,rw", Mount(source="b", target="/x", read_only=False)),
    ("destination=/x,ro=false", Mount(target="/x", read_only=False)),
    ("target=/x,rw,ro", Mount(target="/x")),
    ("from=img:1,target=/x", Mount(from_="img:1", target="/x")),
    ("type=cache,target=/c/../d", Mount(type="cache", target="/c/../d", read_only=False, id="/d")),
    (
        "type=CACHE,id=$B,target=/c,sharing=LOCKED,mode=0700,uid=1,gid=2,ro",
        Mount(type="cache", target="/c", id="b", sharing="locked", mode=0o700, uid=1, gid=2),
    ),
    ("type=tmpfs,target=/t,size=64m", Mount(type="tmpfs", target="/t", read_only=False, size=64 << 20)),
    ("type=tmpfs,target=/t,size=1.5GiB", Mount(type="tmpfs", target="/t", read_only=False, size=3 << 29)),
    ("type=secret,id=s", Mount(type="secret", id="s", target="/run/secrets/s")),
    ("type=secret,target=/a/s,required", Mount(type="secret", id="s", target="/a/s", required=True)),
    ("required=true,type=secret,source=d/s", Mount(type="secret", id="d/s", target="/run/secrets/s", source="d/s")),
    ("type=secret,id=s,env=S", Mount(type="secret", id="s", env="S")),
    ("type=secret,id=s,env=S,target=/x", Mount(type="secret", id="s", env="S", target="/x")),
    ("type=ssh", Mount(type="ssh", id="default")),
    (r"type=$T,\"target=/a,b\"", Mount(target="/a,b")),
]


@pytest.mark.parametrize(("written", "expected"), MOUNTS)
def test_a_mount_means(written: str, expected: Mount) -> None:
    found = resolve(node(f"RUN --mount={written} x"), {**ENV, "T": "bind"})
    assert isinstance(found, typed.Run)
    if "required=true" in written:
        expected = replace(expected, required=True)
    assert found.mounts == (expected,)


def test_variables_of_the_shell_form_stay() -> None:
    assert meaning("RUN echo $B \\$B '$B'") == typed.Run(command="echo $B \\$B '$B'")


def test_a_word_of_arg_sees_those_before_it() -> None:
    found = meaning("ARG p=1 q=$p B r=${B}2 s")
    assert found == typed.Arg(
        arguments=tuple(
            typed.Argument(name=name, value=value)
            for name, value in [("p", "1"), ("q", "1"), ("B", None), ("r", "b2"), ("s", None)]
        )
    )


def test_a_given_argument_is_taken_as_it_is_and_its_default_is_not_looked_at() -> None:
    found = resolve(node("ARG a=${x:?never} b=$a"), {}, given={"a": "$B 'x'"})
    assert found == typed.Arg(
        arguments=(typed.Argument(name="a", value="$B 'x'"), typed.Argument(name="b", value="$B 'x'"))
    )


def test_the_escape_character_is_the_files() -> None:
    assert resolve(node("# escape=`\nUSER `$B\\x"), ENV, "`") == typed.User(user="$B\\x")


FAULTS = [
    ("XYZ a", "unknown instruction: XYZ", None),
    ("copu a b", "unknown instruction: copu", "did you mean copy?"),
    ("RNU x", "unknown instruction: RNU", "did you mean RUN?"),
    ("COPY --form=a a b", "unknown flag: --form", "did you mean --from?"),
    ("CMD --x a", "unknown flag: --x", "CMD has no flags"),
    ("ARG --x a", "unknown flag: --x", None),
    ("COPY --link --link a b", "duplicate flag specified: --link", None),
    ("COPY --link=x a b", "expecting boolean value for flag --link, not: x", None),
    ("COPY --link= a b", "missing a value on flag: --link", None),
    ("COPY --chown a b", "missing a value on flag: --chown", None),
    ("COPY", "COPY requires at least two arguments", None),
    ("COPY a", "COPY requires at least two arguments, but only one was provided", None),
    ("ADD a", "ADD requires at least two arguments", None),
    ("COPY a <<E\nx\nE\n", "COPY cannot accept a heredoc as a destination", None),
    ('COPY "a b" c', 'failed to process ""a"', None),
    ("COPY <<a/b /x\nx\na/b\n", '"a/b" cannot be the name of a file', None),
    ("COPY --from=$a a b", "variable expansion is not supported for --from: $a", None),
    ("COPY --chmod=99 a b", "invalid chmod parameter: '99'", None),
    ("COPY --chmod=77777 a b", "invalid chmod parameter", None),
    ("COPY --chmod=u+q a b", "invalid chmod parameter: 'u+q'", None),
    ("COPY http://h/f b", "source can't be a URL for COPY: http://h/f", "ADD fetches URLs"),
    ("ADD --checksum=sha256:1 a b", "checksum requires HTTP(S) or Git sources: a", None),
    ("ADD --checksum=sha256:1 http://a http://b c", "checksum can't be specified for multiple sources", None),
    ("ENV $U=1", "ENV names can not be blank", None),
    ("ARG", "ARG requires at least one argument", None),
    ("ARG =x", "ARG names can not be blank", None),
    ("FROM", "FROM requires either one or three arguments", None),
    ("FROM a b", "FROM requires either one or three arguments", None),
    ("FROM a as b c", "FROM requires either one or three arguments", None),
    ("FROM a as 1b", 'invalid name for build stage: "1b"', None),
    ("FROM a as b/c", 'invalid name for build stage: "b/c"', None),
    ("FROM $U", "base name ($U) should not be blank", None),
    ("FROM --platform=$U a", "empty platform value from expression $U", None),
    ("USER", "USER requires exactly one argument", None),
    ("WORKDIR", "WORKDIR requires exactly one argument", None),
    ("MAINTAINER", "MAINTAINER requires exactly one argument", None),
    ("EXPOSE", "EXPOSE requires at least one argument", None),
    ("EXPOSE x", "invalid containerPort: x", None),
    ("EXPOSE a:1:2", "invalid IP address: a", None),
    ("EXPOSE [::1%eth0]:1:2", "invalid IP address: [::1%eth0]", None),
    ("EXPOSE 70000", "invalid containerPort: 70000", None),
    ("EXPOSE 9-8", "invalid containerPort: 9-8", None),
    ("EXPOSE 80/foo", "invalid proto: foo", None),
    ("EXPOSE /tcp", "no port specified", None),
    ("EXPOSE 1-2:3-5", "invalid ranges", None),
    ("VOLUME", "VOLUME requires at least one argument", None),
    ('VOLUME ["a", ""]', "VOLUME specified can not be an empty string", None),
    ("VOLUME $U", "VOLUME specified can not be an empty string", None),
    ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument", None),
    ("STOPSIGNAL SIGFOO", "invalid signal: SIGFOO", None),
    ("STOPSIGNAL 0", "invalid signal: 0", None),
    ("STOPSIGNAL TERN", "invalid signal: TERN", "did you mean TERM?"),
    ("SHELL /bin/sh", "SHELL requires the arguments to be in JSON form", None),
    ("SHELL []", "SHELL requires at least one argument", None),
    ("HEALTHCHECK", "HEALTHCHECK requires at least one argument", None),
    ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)', None),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD", None),
    ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments", None),
    ("HEALTHCHECK --interval=5 CMD x", 'missing unit in duration "5"', None),
    ("HEALTHCHECK --interval=5x CMD x", 'unknown unit "x" in duration "5x"', None),
    ("HEALTHCHECK --timeout=x CMD x", 'invalid duration "x"', None),
    ("HEALTHCHECK --timeout=1us CMD x", 'Interval "timeout" cannot be less than 1ms', None),
    ("HEALTHCHECK --retries=x CMD x", '--retries: invalid number "x"', None),
    ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)", None),
    ("ONBUILD", "ONBUILD requires at least one argument", None),
    ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", None),
    ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger", None),
    ("ONBUILD maintainer x", "MAINTAINER isn't allowed as an ONBUILD trigger", None),
    ("RUN []", "RUN requires at least one argument", None),
    ("RUN --network=foo x", 'invalid network mode "foo"', None),
    ("RUN --security=foo x", 'security "foo" is not valid', None),
    ("RUN --mount=type=foo x", 'unsupported mount type "foo"', None),
    ("RUN --mount=type=cahce,target=/x x", 'unsupported mount type "cahce"', "did you mean cache?"),
    ("RUN --mount=foo x", "invalid field 'foo' must be a key=value pair", None),
    ("RUN --mount=target x", "invalid field 'target' must be a key=value pair", None),
    ("RUN --mount=taget=/x x", "unexpected key 'taget' in 'taget=/x'", "did you mean target?"),
    ("RUN --mount=from=$x,target=/x x", "'from' doesn't support variable expansion", None),
    ("RUN --mount=target=/x,ro=maybe x", "invalid value for readonly: maybe", None),
    ("RUN --mount=target=/x,mode=0700 x", 'mode not allowed for "bind" type mounts', None),
    ("RUN --mount=type=cache,target=/x,mode=9 x", "invalid value 9 for mode", None),
    ("RUN --mount=type=cache,target=/x,uid=a x", "invalid value a for uid", None),
    ("RUN --mount=type=cache,target=/x,sharing=foo x", 'unsupported sharing value "foo"', None),
    ("RUN --mount=type=tmpfs,target=/x,size=z x", "invalid value for size: z", None),
    ("RUN --mount=type=secret x", "invalid secret mount. one of source, target required", None),
    ("RUN --mount=type=secret,id=a,source=b x", "both source and id can't be set", None),
    ("RUN --mount=type=secret,id=a,from=b x", 'from not allowed for "secret" type mounts', None),
    ("RUN --mount=required,target=/x x", 'required not allowed for "bind" type mounts', None),
    ("RUN --mount= x", "must be a key=value pair", None),
    ("RUN --device=a,b x", "unexpected key 'b'", None),
]


@pytest.mark.parametrize(("text", "part", "hint"), FAULTS)
def test_a_fault_is_named_at_its_line(text: str, part: str, hint: str | None) -> None:
    faulty = parse("# one\n\n" + text).instructions[0]
    with pytest.raises(DockerfileError) as caught:
        resolve(faulty, {})
    assert part in caught.value.message
    assert caught.value.line == 3
    if hint is not None:
        assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["EXPOSE $P", "STOPSIGNAL $S", "VOLUME $V", "COPY --chmod=$M a b", "ENV $a=1"])
def test_what_variables_may_still_change_is_not_judged_early(text: str) -> None:
    validate(node(text))
