"""A file that says to be written in another language is not taken for a Dockerfile."""

from __future__ import annotations

import pytest

from builder.syntax import check_syntax
from grammar.errors import DockerfileError
from grammar.parser import parse


@pytest.mark.parametrize(
    "name",
    [
        "docker/dockerfile",
        "docker/dockerfile:1",
        "docker/dockerfile:1.4.3",
        "docker/dockerfile:1.99",
        "docker/dockerfile:1-labs",
        "docker/dockerfile:experimental",
        "docker.io/docker/dockerfile:latest@sha256:0",
        "docker/dockerfile-upstream:master",
        "mirror.example:5000/hub/dockerfile:1.0-experimental",
        "docker/dockerfile:1 argument",
    ],
)
def test_dockers_language_of_version_one_is_known(name: str) -> None:
    text = f"# syntax={name}\nFROM a\n"
    check_syntax(parse(text), text)
    check_syntax(parse("FROM a\n"), "FROM a\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("docker/dockerfile:2", "version 2 of the syntax is not known"),
        ("docker/dockerfile:2.1-labs", "version 2 of the syntax is not known"),
        ("example/other:1", "the syntax is not known"),
        ("dockerfilex", "the syntax is not known"),
    ],
)
def test_another_language_is_refused_at_its_line(name: str, said: str) -> None:
    for before, line in (("", 1), ("#!/usr/bin/env x\n", 2), ("# escape=`\n", 2)):
        text = f"{before}# Syntax = {name}\nFROM a\n"
        with pytest.raises(DockerfileError, match=f"unsupported syntax {name}: {said}") as caught:
            check_syntax(parse(text), text)
        assert caught.value.line == line
