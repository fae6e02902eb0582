"""`created_by` of every instruction reads as BuildKit 28 writes it."""

from __future__ import annotations

import pytest

from builder.history import created_by
from grammar import instructions as typed
from grammar.nodes import Heredoc

SECOND = 1_000_000_000

CASES: list[tuple[typed.ResolvedInstruction, str | None]] = [
    (typed.From(image="x"), None),
    (typed.Onbuild(trigger="RUN x"), None),
    (
        typed.Arg(arguments=(typed.Argument(name="X", value="1"), typed.Argument(name="Y", value=None))),
        "ARG X=1 Y",
    ),
    (typed.Env(variables=(("A", "1"), ("B", "two words"))), "ENV A=1 B=two words"),
    (typed.Label(labels=(("a", "b"), ("x y", "z"))), "LABEL a=b x y=z"),
    (typed.Workdir(path="x"), "WORKDIR /w/x"),
    (typed.User(user="user name"), "USER user name"),
    (typed.Volume(paths=("/b", "/a")), "VOLUME [/b /a]"),
    (typed.Expose(ports=("20/tcp", "100/tcp", "3/udp")), "EXPOSE [20/tcp 100/tcp 3/udp]"),
    (typed.StopSignal(signal="SIGTERM"), "STOPSIGNAL SIGTERM"),
    (typed.Shell(command=("/bin/bash", "-c")), "SHELL [/bin/bash -c]"),
    (typed.Cmd(command="foo bar", form="shell"), 'CMD ["/bin/sh" "-c" "foo bar"]'),
    (typed.Cmd(command=(), form="exec"), "CMD []"),
    (typed.Entrypoint(command=("é", "\n\x01x"), form="exec"), 'ENTRYPOINT ["é" "\\n\\x01x"]'),
    (typed.Maintainer(name="me <x@y>"), "MAINTAINER me <x@y>"),
    (
        typed.Healthcheck(test=("CMD-SHELL", 'echo $A "x"'), interval=5 * SECOND, retries=3),
        'HEALTHCHECK &{["CMD-SHELL" "echo $A \\"x\\""] "5s" "0s" "0s" "0s" \'\\x03\'}',
    ),
    (typed.Healthcheck(test=("NONE",)), 'HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" \'\\x00\'}'),
    (typed.Run(command="echo hi > f"), "RUN |2 X=1 Y= /bin/sh -c echo hi > f # buildkit"),
    (typed.Run(command=("echo", "a b"), form="exec"), "RUN |2 X=1 Y= echo a b # buildkit"),
    (
        typed.Run(
            command="",
            heredocs=(Heredoc(delimiter="E", content="#!/bin/sh\n", expand=True, strip_tabs=False),),
            script=typed.InlineFile(name="E", content="#!/bin/sh\n"),
        ),
        "RUN |2 X=1 Y= /bin/sh -c /dev/pipes/E # buildkit",
    ),
    (
        typed.Copy(keyword="copy", sources=("src/a", "b"), destination="./", from_="base", link=True),
        "COPY src/a b ./ # buildkit",
    ),
    (
        typed.Copy(keyword="add", sources=("b",), destination="/b", chown="1:2", chmod="600", excludes=("*.x",)),
        "ADD --chown=1:2 --chmod=600 b /b # buildkit",
    ),
    (
        typed.Copy(keyword="copy", sources=(), files=(typed.InlineFile(name="A", content="x\n"),), destination="/hd/"),
        "COPY <<A /hd/ # buildkit",
    ),
]


@pytest.mark.parametrize(("instruction", "text"), CASES, ids=lambda value: type(value).__name__)
def test_an_instruction_reads_as_buildkit_writes_it(instruction: typed.ResolvedInstruction, text: str | None) -> None:
    written = created_by(
        instruction,
        shell=("/bin/sh", "-c"),
        working_directory="/w/x",
        arguments={"X": "0", "Y": None},
        visible={"X": "1"},
    )
    assert written == text


def test_a_run_without_arguments_has_no_count() -> None:
    text = created_by(typed.Run(command="x"), shell=("sh",), working_directory="/", arguments={}, visible={})
    assert text == "RUN sh x # buildkit"
