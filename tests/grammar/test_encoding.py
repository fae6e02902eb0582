"""Bytes that are no UTF-8: what expands gets U+FFFD for them, a command is refused, a quoted heredoc keeps them."""

from __future__ import annotations

import pytest

from grammar.encoding import check_commands, is_sound, made_sound
from grammar.errors import DockerfileError
from grammar.graph import build_graph
from grammar.parser import parse


def read(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(("data", "sound"), [(b"a", True), (b"\xc3\xa9", True), (b"\xe9", False), (b"a\xff", False)])
def test_text_is_sound_if_it_can_be_written(data: bytes, sound: bool) -> None:
    assert is_sound(read(data)) is sound


def test_what_expands_gets_replacement_characters() -> None:
    dockerfile = parse(
        read(b"FROM scratch\nENV a=\xe9\nCOPY --chown=\xff a /\xe9\nONBUILD LABEL x=\xc0\xaf\nCMD \xfe\n")
    )
    _, env, copy, onbuild, cmd = made_sound(dockerfile).instructions
    assert env.arguments == ("a", "\ufffd")
    assert copy.flags == ("--chown=\ufffd",)
    assert copy.arguments == ("a", "/\ufffd")
    assert onbuild.trigger is not None
    assert onbuild.trigger.arguments == ("x", "\ufffd\ufffd")
    assert cmd.arguments == ("\ufffd",)


def test_a_quoted_heredoc_keeps_its_bytes() -> None:
    dockerfile = parse(read(b"FROM scratch\nCOPY <<E <<'F' /\n\xe9\nE\n\xe9\nF\n"))
    expanding, quoted = made_sound(dockerfile).instructions[1].heredocs
    assert expanding.content == "\ufffd\n"
    assert quoted.content.encode("utf-8", "surrogateescape") == b"\xe9\n"


@pytest.mark.parametrize("command", [b"RUN echo \xe9", b"RUN <<E\n\xe9\nE", b"RUN true\nRUN \xff"])
def test_a_command_that_is_no_text_is_refused_with_its_line(command: bytes) -> None:
    graph = build_graph(made_sound(parse(read(b"FROM x AS a\n" + command + b"\nFROM a\n"))))
    with pytest.raises(DockerfileError, match="UTF-8") as caught:
        check_commands(graph)
    assert caught.value.line == (3 if b"true" in command else 2)


def test_a_command_that_is_not_needed_may_be_anything() -> None:
    check_commands(build_graph(made_sound(parse(read(b"FROM x\nRUN \xe9\nFROM y\nRUN caf\xc3\xa9\n")))))
