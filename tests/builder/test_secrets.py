"""Secrets are read from files and variables, and their values stay out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.secrets import read_secrets
from runtime.errors import NotFound, UsageError


def test_a_secret_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "tok"
    path.write_bytes(b"a\n")
    environ = {"V": "b", "id4": "c"}
    words = [f"id=one,src={path}", "id=two,env=V", "type=env,id=three,source=V", "id=id4", f"source={path}"]
    found = read_secrets(words, environ)
    assert {name: secret.value for name, secret in found.items()} == {
        "one": b"a\n",
        "two": b"b",
        "three": b"b",
        "id4": b"c",
        "tok": b"a\n",
    }


def test_a_value_is_in_no_representation(tmp_path: Path) -> None:
    assert "hidden" not in repr(read_secrets(["id=x,env=V"], {"V": "hidden"}))


@pytest.mark.parametrize("word", ["", "id", "id=x,what=y", "type=vault,id=x", "src="])
def test_a_wrong_word_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--secret"):
        read_secrets([word], {})


@pytest.mark.parametrize("word", ["id=x,src=/no/such/file", "id=x,env=NOTSET", "id=nosuchfile"])
def test_a_missing_source_names_the_secret(word: str) -> None:
    with pytest.raises(NotFound, match="secret"):
        read_secrets([word], {})
